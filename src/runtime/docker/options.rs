//! What an operator can choose about the engine and its containers, and what holds when nothing is chosen.
//!
//! Knows no environment variable: settings are read elsewhere and handed in.

use crate::runtime::Error;
use std::{collections::BTreeMap, path::PathBuf, time::Duration};

/// The socket of an engine on this machine.
pub(super) const LOCAL_SOCKET: &str = "unix:///var/run/docker.sock";
/// Digits of a scope: 2³² installations on one engine do not meet by accident.
const SCOPE_DIGITS: usize = 8;
/// A status of the largest size must survive the rotation of a log.
const LEAST_LOG: u64 = 2 << 20;

/// What an operator can choose.
#[derive(Clone, Debug)]
pub struct Options {
    /// `unix:///…`, `tcp://host:port`, or with [`tls`](Self::tls) `https://host:port`; none = the local socket.
    pub host: Option<String>,
    /// How an engine on another machine and we recognise each other.
    pub tls: Option<TlsFiles>,
    /// Which installation this is: 8 lower-case hexadecimal digits. Objects of another scope are never touched.
    pub scope: String,
    /// The worker image.
    pub image: String,
    /// Memory of a step in bytes; swap comes on top for nobody.
    pub memory_bytes: u64,
    /// Processor time of a step in thousandths of a core; cut to what the engine has.
    pub cpus_milli: u64,
    /// Processes and threads of a step.
    pub pids: u64,
    /// Size of `/tmp` in bytes; it counts as memory.
    pub tmp_bytes: u64,
    /// Open files of one process.
    pub nofile: u64,
    /// Bytes of the largest file that a process may write.
    pub fsize_bytes: u64,
    /// Bytes of a step's log, in two files of which the older one goes first. At least 2 MiB.
    pub log_bytes: u64,
    /// A container runtime other than the engine's default, for example `runsc`.
    pub oci_runtime: Option<String>,
    /// What an agent can reach.
    pub egress: Egress,
    /// The network of fetch, publish and the egress gate; none = the engine's default bridge.
    pub outside_network: Option<String>,
    /// `name:address` pairs for fetch, publish and the egress gate, never for an agent.
    pub extra_hosts: Vec<String>,
    /// Variables of fetch and publish, such as a proxy's. Readable by whoever can inspect containers: never a secret.
    pub environment: BTreeMap<String, String>,
    /// How long what is left of a closed run is kept. Only carried here; whoever removes runs obeys it.
    pub retention: Duration,
    /// How long the engine may take for one answer.
    pub call_limit: Duration,
}

/// Files for an engine that asks for TLS.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// Certificates that may vouch for the engine, PEM.
    pub ca: PathBuf,
    /// Our certificate, PEM.
    pub cert: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
}

/// What an agent can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Egress {
    /// No network at all.
    Nothing,
    /// A gate that lets the listed targets through.
    Gate {
        /// `host[:port]`; an empty list lets nothing through.
        allow: Vec<String>,
        /// The proxy that the gate itself has to use, `http://host:port`.
        upstream: Option<String>,
    },
}

impl Options {
    /// The defaults for an installation and its worker image.
    pub fn new(scope: impl Into<String>, image: impl Into<String>) -> Self {
        Self {
            host: None,
            tls: None,
            scope: scope.into(),
            image: image.into(),
            // An agent was measured at 0.7 GB, a compiler or a test suite beside it takes the rest.
            memory_bytes: 4 << 30,
            // Agents wait for their provider; two cores keep a build short without starving a small host.
            cpus_milli: 2000,
            // A parallel build has some hundred threads; a fork bomb has more.
            pids: 512,
            // Build tools unpack and link there.
            tmp_bytes: 1 << 30,
            // Compilers and watchers need thousands; some engines refuse more than 20,000.
            nofile: 16_384,
            // Larger than any build product, smaller than a disk.
            fsize_bytes: 4 << 30,
            // The story of one step; everything else is evidence.
            log_bytes: 8 << 20,
            oci_runtime: None,
            egress: Egress::Nothing,
            outside_network: None,
            extra_hosts: Vec::new(),
            environment: BTreeMap::new(),
            // A week: whoever was away on Friday still finds what was left.
            retention: Duration::from_hours(7 * 24),
            // Creating a container on a busy disk was seen to take several seconds.
            call_limit: Duration::from_mins(1),
        }
    }

    /// Where the engine is.
    pub(super) fn address(&self) -> &str {
        self.host.as_deref().unwrap_or(LOCAL_SOCKET)
    }

    /// Refuses what could not work, before anything is asked.
    pub(super) fn check(&self) -> Result<(), Error> {
        let bad = |why: String| Err(Error::Unusable(why));
        let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
        if self.scope.len() != SCOPE_DIGITS || !self.scope.chars().all(hex) {
            return bad(format!("the scope `{}` is not {SCOPE_DIGITS} hexadecimal digits", self.scope));
        }
        if self.image.is_empty() {
            return bad("no worker image is named; build one with `roundsman image build`".into());
        }
        if self.log_bytes < LEAST_LOG {
            return bad(format!("{} bytes of log are less than {LEAST_LOG}", self.log_bytes));
        }
        let address = self.address();
        match address.split_once("://").map(|(scheme, _)| scheme) {
            Some("unix") if self.tls.is_none() => Ok(()),
            Some("tcp" | "http") if self.tls.is_none() => Ok(()),
            Some("tcp" | "https") if self.tls.is_some() => Ok(()),
            Some("https") => bad(format!("{address}: TLS needs the engine's CA, a certificate and its key")),
            _ => bad(format!("{address}: an engine is at unix://, tcp:// or https:// (with TLS files)")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_work_is_refused_before_anything_is_asked() {
        let good = Options::new("0123abcd", "worker");
        assert!(good.check().is_ok());
        let refused = |change: fn(&mut Options)| {
            let mut options = good.clone();
            change(&mut options);
            options.check().is_err()
        };
        assert!(refused(|o| o.scope = "0123ABCD".into()));
        assert!(refused(|o| o.scope = "0123abc".into()));
        assert!(refused(|o| o.image.clear()));
        assert!(refused(|o| o.log_bytes = 1));
        assert!(refused(|o| o.host = Some("https://engine:2376".into())));
        assert!(refused(|o| o.host = Some("ssh://engine".into())));
        assert!(!refused(|o| o.host = Some("tcp://engine:2375".into())));
    }
}
