//! Walls of a step: engine, image, limits, and what a step may reach. Only runtimes with containers have them.
//!
//! Read here and described here; what each wall becomes in an engine is the runtime's business.

use super::{
    RepositoryPath,
    describe::{joined, yes_no},
    parse::{self, Parsed, wrong},
    raw::RawRuntime,
    read::Reader,
    vars::{self, Var},
};
use std::{collections::BTreeMap, path::PathBuf, time::Duration};
use url::Url;

/// What `roundsman image build` makes.
const IMAGE: &str = "roundsman-worker";
/// Bytes in a binary gigabyte.
const GIB: u64 = 1 << 30;
/// An agent needs 0.7 GiB; a compiler beside it the rest.
const MEMORY: u64 = 4 * GIB;
/// Below this an agent is killed before it has said a word: 256 MiB were measured to be too little.
const LEAST_MEMORY: u64 = 384 << 20;
/// Two steps side by side leave a small host usable.
const MILLI_CPUS: u32 = 2_000;
/// A parallel build has a few hundred.
const PROCESSES: u32 = 512;
/// More is a mistake: a host has about 32,000 process ids.
const MOST_PROCESSES: u32 = 30_000;
/// A checkout, its dependencies and a build.
const DISK: u64 = 10 * GIB;
/// Last week's surprise can still be looked into.
const RETENTION: Duration = Duration::from_hours(7 * 24);

/// Walls of a step.
#[derive(Clone, Debug)]
pub struct Sandbox {
    /// The engine, as `DOCKER_HOST` is written; none = this machine's socket.
    pub engine: Option<String>,
    /// Directory with `ca.pem`, `cert.pem` and `key.pem` for an engine on another machine.
    pub engine_certificates: Option<PathBuf>,
    /// Image of the steps.
    pub image: String,
    /// Image of the agent's step by repository.
    pub images: Vec<ImageRoute>,
    /// Whether that image may be built from the repository's own files.
    pub build_images: bool,
    /// Another OCI runtime of the engine.
    pub isolation: Option<String>,
    /// Bytes of memory, swap included.
    pub memory: u64,
    /// Thousandths of a processor.
    pub milli_cpus: u32,
    /// Processes and threads.
    pub processes: u32,
    /// Bytes on volumes.
    pub disk: u64,
    /// What an agent's step may reach.
    pub egress: Egress,
    /// How steps leave the company network.
    pub proxy: Option<Url>,
    /// What fetch and publish reach without it.
    pub no_proxy: Vec<String>,
    /// Certificates to trust, as PEM.
    pub certificates: Option<PathBuf>,
    /// How long what a closed run left is kept.
    pub retention: Duration,
}

/// What an agent's step may reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Egress {
    /// What the agent's own file names: its model provider.
    OfTheAgent,
    /// These, as `host[:port]`. Empty = no network.
    Listed(Vec<String>),
}

/// The image of one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRoute {
    /// The repository.
    pub repository: RepositoryPath,
    /// The image.
    pub image: String,
}

impl Sandbox {
    /// The operator's image for the agent's step of `project/repository`, if there is one of its own.
    pub fn image_of(&self, project: &str, repository: &str) -> Option<&str> {
        let same = |route: &&ImageRoute| {
            route.repository.project.eq_ignore_ascii_case(project)
                && route.repository.name.eq_ignore_ascii_case(repository)
        };
        self.images.iter().find(same).map(|route| route.image.as_str())
    }

    pub(super) fn describe(&self) -> Vec<(&'static Var, String)> {
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        let path =
            |path: &Option<PathBuf>| path.as_ref().map(|p| p.display().to_string()).unwrap_or_default();
        let images = self.images.iter().map(|route| format!("{}={}", route.repository, route.image));
        vec![
            (&vars::RUNTIME_DOCKER_HOST, optional(&self.engine)),
            (&vars::RUNTIME_DOCKER_CERTIFICATES, path(&self.engine_certificates)),
            (&vars::RUNTIME_IMAGE, self.image.clone()),
            (&vars::RUNTIME_IMAGES, joined(images, "; ")),
            (&vars::RUNTIME_BUILD_IMAGES, yes_no(self.build_images)),
            (&vars::RUNTIME_ISOLATION, optional(&self.isolation)),
            (&vars::RUNTIME_MEMORY, bytes_text(self.memory)),
            (&vars::RUNTIME_CPUS, cpus_text(self.milli_cpus)),
            (&vars::RUNTIME_PROCESSES, self.processes.to_string()),
            (&vars::RUNTIME_DISK, bytes_text(self.disk)),
            (
                &vars::RUNTIME_EGRESS,
                match &self.egress {
                    Egress::OfTheAgent => String::new(),
                    Egress::Listed(hosts) if hosts.is_empty() => NO_NETWORK.into(),
                    Egress::Listed(hosts) => hosts.join(", "),
                },
            ),
            (&vars::RUNTIME_PROXY, self.proxy.as_ref().map(ToString::to_string).unwrap_or_default()),
            (&vars::RUNTIME_NO_PROXY, self.no_proxy.join(", ")),
            (&vars::RUNTIME_CERTIFICATES, path(&self.certificates)),
            (&vars::RUNTIME_RETENTION, parse::duration_text(self.retention)),
        ]
    }
}

impl Reader {
    pub(super) fn sandbox(&mut self, raw: RawRuntime, vars: &BTreeMap<String, String>) -> Sandbox {
        let RawRuntime {
            // Read with the runtime itself.
            kind: _,
            executor: _,
            worker: _,
            docker_host,
            docker_certificates,
            image,
            images,
            build_images,
            isolation,
            memory,
            cpus,
            processes,
            disk,
            egress,
            proxy,
            no_proxy,
            certificates,
            retention,
        } = raw;
        let usual = |name: &str| vars.get(name).filter(|value| !value.is_empty()).cloned();
        let folder = docker_certificates.or_else(|| usual("DOCKER_CERT_PATH")).map(PathBuf::from);
        let given = docker_host.or_else(|| usual("DOCKER_HOST"));
        Sandbox {
            engine: self.maybe(&vars::RUNTIME_DOCKER_HOST, given, |text| engine(text, folder.is_some())),
            engine_certificates: folder,
            image: self.or(&vars::RUNTIME_IMAGE, image, image_name, IMAGE.into()),
            images: self.or(&vars::RUNTIME_IMAGES, images, image_routes, Vec::new()),
            build_images: self.or(&vars::RUNTIME_BUILD_IMAGES, build_images, parse::yes_no, false),
            isolation: self.maybe(&vars::RUNTIME_ISOLATION, isolation, parse::plain_name),
            memory: self.or(&vars::RUNTIME_MEMORY, memory, |text| bytes(text, LEAST_MEMORY), MEMORY),
            milli_cpus: self.or(&vars::RUNTIME_CPUS, cpus, milli_cpus, MILLI_CPUS),
            processes: self.or(
                &vars::RUNTIME_PROCESSES,
                processes,
                parse::number(16..=MOST_PROCESSES),
                PROCESSES,
            ),
            disk: self.or(&vars::RUNTIME_DISK, disk, |text| bytes(text, 1 << 20), DISK),
            egress: self.or(&vars::RUNTIME_EGRESS, egress, egress_list, Egress::OfTheAgent),
            proxy: self.maybe(&vars::RUNTIME_PROXY, proxy, proxy_url),
            no_proxy: self.or(&vars::RUNTIME_NO_PROXY, no_proxy, parse::list, Vec::new()),
            certificates: certificates.map(PathBuf::from),
            retention: self.or(&vars::RUNTIME_RETENTION, retention, parse::duration, RETENTION),
        }
    }
}

/// Stands for no network; an empty list cannot be written, because empty is absent.
const NO_NETWORK: &str = "none";

fn egress_list(text: &str) -> Parsed<Egress> {
    if text.eq_ignore_ascii_case(NO_NETWORK) {
        return Ok(Egress::Listed(Vec::new()));
    }
    parse::split(text, ',', |item| {
        let (host, port) = item.rsplit_once(':').unwrap_or((item, "443"));
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '*' | '_');
        let is_host = !host.is_empty() && host.chars().all(plain);
        if is_host && port.parse::<u16>().is_ok_and(|port| port > 0) {
            Ok(item.to_owned())
        } else {
            Err(wrong("is not a host", "write `host` or `host:port`, for example `models.example:443`"))
        }
    })
    .map(Egress::Listed)
}

fn engine(text: &str, has_certificates: bool) -> Parsed<String> {
    let host = text.split_once("://").map_or("", |(_, rest)| rest);
    let is_own = ["localhost:", "127.0.0.1:", "[::1]:"].iter().any(|own| host.starts_with(own));
    if !text.starts_with("unix://") && !is_own && !has_certificates {
        return Err(wrong(
            "is another machine's engine, and tokens would travel there readable",
            "name its certificates in ROUNDSMAN_RUNTIME_DOCKER_CERTIFICATES",
        ));
    }
    let is_known = ["unix://", "tcp://", "http://", "https://"].iter().any(|start| text.starts_with(start));
    if is_known && !text.contains(char::is_whitespace) && !text.contains('@') {
        Ok(text.to_owned())
    } else {
        Err(wrong("is not an engine's address", "write `unix:///var/run/docker.sock` or `tcp://host:2376`"))
    }
}

fn image_name(text: &str) -> Parsed<String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | '/' | ':' | '@');
    if text.chars().all(plain) && text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        Ok(text.to_owned())
    } else {
        Err(wrong("is not the name of an image", "write `name:tag` or `name@sha256:…`"))
    }
}

fn image_routes(text: &str) -> Parsed<Vec<ImageRoute>> {
    parse::split(text, ';', |item| {
        let (repository, image) = item
            .split_once('=')
            .ok_or_else(|| wrong("is not a route", "write `project/repository=image`"))?;
        Ok(ImageRoute { repository: parse::repository(repository.trim())?, image: image_name(image.trim())? })
    })
}

fn proxy_url(text: &str) -> Parsed<Url> {
    const ADVICE: &str = "write `http://host:port`; credentials do not belong here";
    let url = parse::web_url(text, ADVICE)?;
    if url.scheme() == "http" { Ok(url) } else { Err(wrong("is not a plain proxy", ADVICE)) }
}

/// Units of sizes, largest first.
const UNITS: [(&str, u64); 3] = [("GiB", GIB), ("MiB", 1 << 20), ("KiB", 1 << 10)];

fn bytes(text: &str, least: u64) -> Parsed<u64> {
    let bad = || wrong("is not a size", "write a number and a unit, for example `4GiB` or `512MiB`");
    let (unit, factor) =
        UNITS.iter().find(|(unit, _)| text.to_lowercase().ends_with(&unit.to_lowercase())).ok_or_else(bad)?;
    let number: u64 = text[..text.len() - unit.len()].trim().parse().map_err(|_| bad())?;
    let size = number.checked_mul(*factor).ok_or_else(bad)?;
    if size < least {
        return Err(wrong("is too small", format!("write at least `{}`", bytes_text(least))));
    }
    Ok(size)
}

fn bytes_text(size: u64) -> String {
    let fits = UNITS.iter().find(|(_, factor)| size.is_multiple_of(*factor));
    fits.map_or_else(|| size.to_string(), |(unit, factor)| format!("{}{unit}", size / factor))
}

fn milli_cpus(text: &str) -> Parsed<u32> {
    const MOST: f64 = 1_000.0;
    let bad = || wrong("is not a number of processors", "write for example `2` or `0.5`");
    let cpus: f64 = text.parse().map_err(|_| bad())?;
    let milli = (cpus * 1_000.0).round();
    if !(10.0..=MOST * 1_000.0).contains(&milli) {
        return Err(bad());
    }
    // In range, whole and positive: nothing is lost.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked above")]
    Ok(milli as u32)
}

fn cpus_text(milli: u32) -> String {
    let text = format!("{}.{:03}", milli / 1_000, milli % 1_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_processors_read_back_as_written() {
        for text in ["4GiB", "512MiB", "1KiB"] {
            assert_eq!(bytes(text, 0).ok().map(bytes_text).as_deref(), Some(text));
        }
        for (text, milli) in [("2", 2_000), ("0.5", 500), ("1.25", 1_250)] {
            assert_eq!(milli_cpus(text).ok(), Some(milli));
            assert_eq!(cpus_text(milli), text);
        }
        for bad in ["4", "4GB", "-1GiB", "GiB", "99999999999GiB"] {
            assert!(bytes(bad, 0).is_err(), "{bad}");
        }
        assert!(bytes("1MiB", LEAST_MEMORY).is_err());
        for bad in ["0", "-1", "many", "NaN", "inf", "100000"] {
            assert!(milli_cpus(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn no_network_has_a_word_and_a_host_a_shape() {
        assert_eq!(egress_list("None").ok(), Some(Egress::Listed(Vec::new())));
        let listed = Egress::Listed(vec!["models.example".into(), "10.0.0.1:8080".into()]);
        assert_eq!(egress_list("models.example, 10.0.0.1:8080").ok(), Some(listed));
        for bad in ["https://models.example", "host:0", "host:x", "a b", "user@host"] {
            assert!(egress_list(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn another_machines_engine_is_reached_with_certificates_or_not_at_all() {
        for (text, certificates, fits) in [
            ("unix:///run/engine.sock", false, true),
            ("tcp://127.0.0.1:2375", false, true),
            ("tcp://engine.example:2376", true, true),
            ("tcp://engine.example:2375", false, false),
            ("http://127.0.0.1.example:2375", false, false),
            ("engine.example", true, false),
        ] {
            assert_eq!(engine(text, certificates).is_ok(), fits, "{text}");
        }
    }

    #[test]
    fn an_image_is_named_and_not_an_option() {
        let images = image_routes("Shop/Web=shop-ci:1; Shop/api=registry.example/api@sha256:ab").ok();
        assert_eq!(images.map(|all| all.len()), Some(2));
        assert!(image_routes("Shop/Web").is_err() && image_routes("Shop/Web=--privileged").is_err());
    }
}
