//! What a build is asked to do, before an engine is asked for anything: options and settings become words for the
//! client. Knows no engine and runs nothing.

use super::{
    AGENTS, Options, Problem, Surroundings, configured, context, context::Programs, own_program, variable,
};
use std::path::{Path, PathBuf};

/// What stands for no agent on the command line.
pub(super) const NO_AGENT: &str = "none";
/// The ways out of a company network that engines know by themselves; they stay out of the image's history.
const PROXIES: [&str; 6] = ["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"];

/// Everything that is known before an engine is asked.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) tag: String,
    base: Option<String>,
    agents: Vec<String>,
    pub(super) programs: Programs,
    certificates: Option<PathBuf>,
    network: Option<String>,
    proxies: Vec<&'static str>,
    no_cache: bool,
}

impl Plan {
    pub(super) fn new(options: &Options, surroundings: &Surroundings) -> Result<Self, Problem> {
        let mut agents: Vec<String> = options.agents.iter().map(|name| name.trim().to_owned()).collect();
        agents.retain(|name| !name.is_empty() && name != NO_AGENT);
        if let Some(unknown) = agents.iter().find(|name| !AGENTS.contains(&name.as_str())) {
            let known = AGENTS.join(", ");
            return Err(Problem::Asked(format!(
                "no agent {unknown} can be put into an image; there are: {known}, or `{NO_AGENT}`. For another one \
                 write a Dockerfile that begins with this image"
            )));
        }
        // In the file's order, so that the same set is the same image.
        agents.sort_by_key(|name| AGENTS.iter().position(|known| known == name));
        agents.dedup();
        let certificates = match &options.ca {
            Some(file) if !file.is_file() => {
                return Err(Problem::Asked(format!("--ca: {} is no file", file.display())));
            }
            Some(file) => Some(file.clone()),
            None => variable(surroundings, "SSL_CERT_FILE").map(PathBuf::from).filter(|file| file.is_file()),
        };
        if let Some(file) = certificates.iter().find(|file| file.display().to_string().contains([',', '"'])) {
            // The client would read a list out of it.
            return Err(Problem::Asked(format!(
                "{}: neither a comma nor a quote may be in the path of certificates",
                file.display()
            )));
        }
        let here = std::env::current_dir()?;
        Ok(Self {
            tag: options.tag.clone().unwrap_or_else(|| configured(surroundings)),
            base: options.base.clone(),
            agents,
            programs: Programs::choose(options.source.as_deref(), &own_program(surroundings), &here)?,
            certificates,
            network: options.network.clone(),
            proxies: PROXIES
                .into_iter()
                .filter(|name| surroundings.vars.iter().any(|(n, _)| n == name))
                .collect(),
            no_cache: options.no_cache,
        })
    }

    /// Words for the client, without the context.
    pub(super) fn arguments(&self, context: &Path, loads: bool) -> Vec<String> {
        let mut words: Vec<String> =
            ["build", "--progress=plain", "--target", "worker"].map(Into::into).into();
        if loads {
            // A builder of its own keeps what it built unless it is told to hand it over.
            words.push("--load".into());
        }
        words.extend(["--file".into(), context.join("worker.dockerfile").display().to_string()]);
        words.extend(["--tag".into(), self.tag.clone()]);
        let mut argument = |text: String| words.extend(["--build-arg".into(), text]);
        match &self.programs {
            Programs::Checkout(_) => argument("BINARIES=built".into()),
            Programs::Compiled(_) => {
                argument("BINARIES=prebuilt".into());
                argument(format!("PREBUILT={}", context::PREBUILT));
            }
        }
        argument(format!("AGENTS={}", self.agents.join(" ")));
        argument(format!("VERSION={}", env!("CARGO_PKG_VERSION")));
        if let Some(base) = &self.base {
            argument(format!("BASE={base}"));
        }
        for name in &self.proxies {
            // Without a value the client takes it from its environment: an address may hold a password.
            argument((*name).into());
        }
        if let Some(file) = &self.certificates {
            words.extend(["--secret".into(), format!("id=ca,src={}", file.display())]);
        }
        if let Some(network) = &self.network {
            words.extend(["--network".into(), network.clone()]);
        }
        if self.no_cache {
            words.push("--no-cache".into());
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::image::owned, exit::Exit, shell::Host};

    fn surroundings(vars: &[(&str, &str)]) -> Surroundings {
        let own = std::env::current_exe().unwrap().display().to_string();
        Surroundings {
            vars: vars.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect(),
            now: jiff::Timestamp::UNIX_EPOCH,
            talks_to_terminal: false,
            writes_to_terminal: false,
            host: Host { worker: vec![own], ..Host::default() },
        }
    }

    fn words(options: &Options, vars: &[(&str, &str)]) -> String {
        let plan = Plan::new(options, &surroundings(vars)).unwrap();
        plan.arguments(Path::new("/c"), false).join(" ")
    }

    #[test]
    fn the_command_carries_what_was_asked_and_no_secret() {
        let asked =
            Options { base: Some("b:1".into()), agents: owned(&["codex", "opencode"]), ..Options::default() };
        let said = words(&asked, &[("HTTPS_PROXY", "http://user:pass@proxy:3128")]);
        for part in
            ["--tag roundsman-worker ", "BASE=b:1", "AGENTS=opencode codex", "--build-arg HTTPS_PROXY"]
        {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("pass") && !said.contains("--no-cache"), "{said}");
        let said = words(
            &Options { agents: owned(&["none"]), no_cache: true, ..Options::default() },
            &[("ROUNDSMAN_RUNTIME_IMAGE", "registry.example/w:2")],
        );
        assert!(
            said.contains("--tag registry.example/w:2") && said.contains("--build-arg AGENTS= "),
            "{said}"
        );
        assert!(said.contains("--no-cache"), "{said}");
    }

    #[test]
    fn nonsense_is_refused_before_an_engine_is_asked() {
        for options in [
            Options { agents: owned(&["opencode", "; rm"]), ..Options::default() },
            Options { ca: Some("/does/not/exist".into()), ..Options::default() },
        ] {
            let problem = Plan::new(&options, &surroundings(&[])).unwrap_err();
            assert_eq!(Exit::from(&problem), Exit::Usage, "{problem}");
        }
    }
}
