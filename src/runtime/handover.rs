//! What a step is handed besides its specification: everything secret, as one JSON line on its standard input.
//!
//! Never in an argument, in the environment of a worker, in a label or in a file: what is written there, somebody reads.
//!
//! ```text
//! {"credential":{"scheme":"pat","token":"…"},"environment":{"NAME":"value"},"certificates":"PEM","spec":{…}}
//! ```
//!
//! Each key may be absent. `spec` is there where the executor shares no file system with the worker.

use super::{Credential, Scheme, spec::WorkerSpec};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, io::BufRead};

/// A brief, a bundle of certificates and a few tokens; the largest real ones have a few hundred KB.
const LIMIT: u64 = 8 << 20;

/// What one worker is handed.
#[derive(Clone, Debug, Default)]
pub struct Handover {
    /// How git authenticates; for fetch and publish only.
    pub credential: Option<Credential>,
    /// Variables of the agent with their values; for the agent step only.
    pub environment: BTreeMap<String, SecretString>,
    /// Certificates to trust besides the usual ones, as PEM. Public, but too long for an environment.
    pub certificates: Option<String>,
    /// What to do, where the worker cannot read it from a file.
    pub spec: Option<Box<WorkerSpec>>,
}

/// As it is written and read.
#[derive(Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Wire {
    #[serde(skip_serializing_if = "Option::is_none")]
    credential: Option<WireCredential>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    environment: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificates: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    spec: Option<Box<WorkerSpec>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireCredential {
    scheme: Scheme,
    token: String,
}

impl Handover {
    /// The line with its end, for the worker's standard input. `spec` where no file can carry it.
    pub fn line(&self, spec: Option<&WorkerSpec>) -> SecretString {
        let wire = Wire {
            credential: self.credential.as_ref().map(|credential| WireCredential {
                scheme: credential.scheme,
                token: credential.token.expose_secret().to_owned(),
            }),
            environment: self
                .environment
                .iter()
                .map(|(name, value)| (name.clone(), value.expose_secret().to_owned()))
                .collect(),
            certificates: self.certificates.clone(),
            spec: spec.cloned().map(Box::new),
        };
        let mut line = serde_json::to_string(&wire).expect("maps of text are JSON");
        line.push('\n');
        line.into()
    }

    /// Reads the line. Nothing at all is an empty handover.
    pub fn read(input: impl BufRead) -> Result<Self, String> {
        let mut line = String::new();
        input
            .take(LIMIT)
            .read_line(&mut line)
            .map_err(|error| format!("standard input could not be read: {}", error.kind()))?;
        if line.trim().is_empty() {
            return Ok(Self::default());
        }
        // The error of the parser could quote a secret.
        let Wire { credential, environment, certificates, spec } =
            serde_json::from_str(&line).map_err(|_| "standard input is no handover line".to_owned())?;
        Ok(Self {
            credential: credential
                .map(|WireCredential { scheme, token }| Credential { scheme, token: token.into() }),
            environment: environment.into_iter().map(|(name, value)| (name, value.into())).collect(),
            certificates,
            spec,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let handover = Handover {
            credential: Some(Credential { scheme: Scheme::Bearer, token: "t0ken".to_owned().into() }),
            environment: BTreeMap::from([("MODEL_KEY".to_owned(), "k\"e\ny".to_owned().into())]),
            certificates: Some("-----BEGIN\n".into()),
            spec: None,
        };
        let line = handover.line(None);
        assert_eq!(line.expose_secret().matches('\n').count(), 1);
        let read = Handover::read(line.expose_secret().as_bytes()).unwrap();
        assert_eq!(read.credential.unwrap().token.expose_secret(), "t0ken");
        assert_eq!(read.environment["MODEL_KEY"].expose_secret(), "k\"e\ny");
        assert_eq!(read.certificates.as_deref(), Some("-----BEGIN\n"));
        assert!(!format!("{handover:?}").contains("t0ken"));
    }

    #[test]
    fn an_error_quotes_nothing() {
        let said =
            Handover::read(&b"{\"credential\":{\"scheme\":\"x\",\"token\":\"s3cret\"}}\n"[..]).unwrap_err();
        assert!(!said.contains("s3cret"), "{said}");
        assert!(Handover::read(&b""[..]).unwrap().credential.is_none());
    }
}
