//! Who plays the agent in the demo: the worker's own stand-in, or a real agent whose model is played from a script.
//!
//! Looks for the agent's program before anything is started, starts the pretend provider, and says with which settings
//! our programs find both. How an agent is called is data of the room `agents`.

use super::universe;
use crate::{
    cli::{image, program::Surroundings},
    emulator::model::{Model, Options},
    exit::Exit,
    runtime,
};
use serde_json::json;
use std::{
    net::{IpAddr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

/// Which agent plays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Agent {
    /// Prepared files, no model, no other program.
    #[default]
    Scripted,
    /// The real opencode.
    Opencode,
    /// The real Claude Code.
    Claude,
    /// The real Codex.
    Codex,
}

/// Where its steps run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Runtime {
    /// Child processes of this machine.
    #[default]
    Process,
    /// Containers.
    Docker,
}

/// The model that plays the demo.
const MODEL: &str = "screenplay";
/// What agents call the provider.
const PROVIDER: &str = "fake";
/// Tokens that opencode believes the model to take in: a usual size, which nothing here reaches.
const CONTEXT: u32 = 128_000;
/// Tokens that opencode believes the model to give out at most.
const OUTPUT: u32 = 4_096;
/// In which variable opencode and codex find the key.
const KEY: &str = "MODEL_KEY";
/// Folders of agents that were installed for this project, below the current directory.
const INSTALLED: [&str; 2] = ["target/agents/node_modules/.bin", "target/agents/bin"];
/// A demo that takes longer is stuck; on a slow machine it takes a quarter of this.
const LIMIT: Duration = Duration::from_secs(110);
/// Real agents take seconds to start, six times in a demo, and so do ten containers.
const LIMIT_REAL: Duration = Duration::from_mins(5);

impl Agent {
    /// By which settings choose it; also the name of its program, if it has one.
    fn name(self) -> &'static str {
        match self {
            Self::Scripted => "scripted",
            Self::Opencode => "opencode",
            Self::Claude => "claude",
            Self::Codex => "codex",
        }
    }

    /// Its own program, if it has one.
    pub(super) fn program(self) -> Option<&'static str> {
        self.package().map(|_| self.name())
    }

    /// The package that its program comes with, in the version that was tried.
    fn package(self) -> Option<&'static str> {
        match self {
            Self::Scripted => None,
            Self::Opencode => Some("opencode-ai@1.18.33"),
            Self::Claude => Some("@anthropic-ai/claude-code@2.1.197"),
            Self::Codex => Some("@openai/codex@0.169.0"),
        }
    }

    /// After how long a demo is stuck.
    pub(super) fn limit(self, runtime: Runtime) -> Duration {
        match (self, runtime) {
            (Self::Scripted, Runtime::Process) => LIMIT,
            (Self::Scripted, Runtime::Docker) | (Self::Opencode | Self::Claude | Self::Codex, _) => {
                LIMIT_REAL
            }
        }
    }
}

/// Why the demo does not begin.
#[derive(Debug, thiserror::Error)]
pub(super) enum Refused {
    #[error(
        "{name} is not installed: it is neither on the search path nor in {}. \
         `npm install --global {package}` installs it; nothing was started",
        INSTALLED[0]
    )]
    Missing { name: &'static str, package: &'static str },
    #[error("{0}\nNothing was started")]
    Image(#[from] image::Problem),
    #[error("the container engine cannot be used: {0}\nNothing was started")]
    Engine(#[from] runtime::Error),
    #[error("the pretend model provider does not start: {0}")]
    Provider(#[from] std::io::Error),
}

impl Refused {
    /// What a script learns of it.
    pub(super) fn exit(&self) -> Exit {
        match self {
            // What the number says in `sysexits.h`: something that is needed is not there.
            Self::Missing { .. } => Exit::Unreachable,
            Self::Image(problem) => problem.into(),
            Self::Engine(error) => error.into(),
            Self::Provider(_) => Exit::Bug,
        }
    }
}

/// A real agent and the model that it talks to.
#[derive(Debug)]
pub(super) struct Cast {
    agent: Agent,
    pub(super) model: Model,
    pub(super) key: String,
    /// Where its program is; none where it is part of the image.
    folder: Option<PathBuf>,
}

impl Cast {
    /// Finds the agent's program and starts its provider; nothing when the agent is our own stand-in.
    pub(super) async fn gather(
        agent: Agent,
        runtime: Runtime,
        address: IpAddr,
        surroundings: &Surroundings,
    ) -> Result<Option<Self>, Refused> {
        let (name, Some(package)) = (agent.name(), agent.package()) else { return Ok(None) };
        let folder = match runtime {
            Runtime::Process => {
                let search =
                    surroundings.host.environment.get("PATH").map(String::as_str).unwrap_or_default();
                Some(folder_of(name, search).ok_or(Refused::Missing { name, package })?)
            }
            // It is part of the image.
            Runtime::Docker => None,
        };
        let key = key();
        let address = SocketAddr::new(address, 0);
        let options = Options { address, key: key.clone(), screenplay: universe::screenplay() };
        Ok(Some(Self { agent, model: Model::start(options).await?, key, folder }))
    }

    /// Who plays, for people.
    pub(super) fn introduction(&self) -> String {
        let folder =
            self.folder.as_ref().map_or_else(|| "its image".into(), |path| path.display().to_string());
        format!(
            "the agent is {} from {folder}; its model is a script at {}",
            self.agent.name(),
            self.model.url()
        )
    }

    /// How often the model was asked, and how often it refused.
    pub(super) fn talk(&self) -> (usize, usize) {
        let asked = self.model.requests();
        let refused = asked.iter().filter(|asked| !asked.played.is_empty() && asked.status != SAID).count();
        (asked.len(), refused)
    }

    /// The search path on which the agent's program is found.
    pub(super) fn search_path(&self, given: &str) -> String {
        match &self.folder {
            Some(own) if std::env::split_paths(given).all(|folder| folder != *own) => {
                format!("{}:{given}", own.display())
            }
            Some(_) | None => given.to_owned(),
        }
    }

    /// The settings that choose agent and model, and the variables that they pass on. What to call the agent with stands
    /// in the room `agents`; where its provider is, only we know.
    pub(super) fn vars(&self) -> Vec<(String, String)> {
        let (words, variables) = self.provider();
        let names: Vec<&str> = variables.iter().map(|(name, _)| *name).collect();
        let settings = [
            ("ROUNDSMAN_AGENT_NAME", self.agent.name().to_owned()),
            ("ROUNDSMAN_AGENT_COMMAND", words),
            ("ROUNDSMAN_AGENT_ENVIRONMENT", names.join(",")),
        ];
        let own = |(name, value): (&str, String)| (name.to_owned(), value);
        settings.into_iter().chain(variables).map(own).collect()
    }

    /// How the agent is told of provider and model: more words for its command line, and variables.
    fn provider(&self) -> (String, Vec<(&'static str, String)>) {
        let (url, key) = (self.model.url(), self.key.clone());
        match self.agent {
            Agent::Scripted => (String::new(), Vec::new()),
            Agent::Opencode => {
                let options = json!({"baseURL": format!("{url}/v1"), "apiKey": format!("{{env:{KEY}}}")});
                let limit = json!({"limit": {"context": CONTEXT, "output": OUTPUT}});
                let provider =
                    json!({"npm": "@ai-sdk/openai-compatible", "options": options, "models": {MODEL: limit}});
                let full = format!("{PROVIDER}/{MODEL}");
                let config = json!({
                    "autoupdate": false, "share": "disabled", "enabled_providers": [PROVIDER],
                    "provider": {PROVIDER: provider}, "model": full, "small_model": full,
                });
                (String::new(), vec![(KEY, key), ("OPENCODE_CONFIG_CONTENT", config.to_string())])
            }
            Agent::Claude => {
                let model = ("ANTHROPIC_MODEL", MODEL.to_owned());
                (String::new(), vec![("ANTHROPIC_API_KEY", key), ("ANTHROPIC_BASE_URL", url), model])
            }
            Agent::Codex => {
                let provider = format!(
                    r#"model_providers.{PROVIDER}={{name="{PROVIDER}",base_url="{url}/v1",env_key="{KEY}",wire_api="responses"}}"#
                );
                (format!("-m {MODEL} -c model_provider={PROVIDER} -c '{provider}'"), vec![(KEY, key)])
            }
        }
    }
}

/// The status of an answer that is one.
const SAID: u16 = 200;

/// The folder in which a program is: on the search path, or where it was installed for this project.
fn folder_of(program: &str, search: &str) -> Option<PathBuf> {
    let own = INSTALLED.iter().filter_map(|folder| std::path::absolute(folder).ok());
    std::env::split_paths(search)
        .filter(|folder| folder.is_absolute())
        .chain(own)
        .find(|folder| is_program(&folder.join(program)))
}

fn is_program(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
}

/// Shaped like a real key, made for this demo and worth nothing outside.
fn key() -> String {
    use std::hash::{BuildHasher as _, Hasher as _};
    let noise = std::collections::hash_map::RandomState::new().build_hasher().finish();
    format!("sk-demo-{noise:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_found_on_the_search_path_only_if_it_can_be_run() {
        use std::{fs, os::unix::fs::PermissionsExt as _};
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("some-agent");
        fs::write(&path, "#!/bin/sh\n").unwrap();
        let search = format!("/nowhere:{}", home.path().display());
        assert_eq!(folder_of("some-agent", &search), None);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(folder_of("some-agent", &search), Some(home.path().to_owned()));
        assert_eq!(folder_of("other-agent", &search), None);
    }

    #[test]
    fn what_is_missing_is_said_with_the_command_that_helps() {
        for agent in [Agent::Opencode, Agent::Claude, Agent::Codex] {
            let refused = Refused::Missing { name: agent.name(), package: agent.package().unwrap() };
            let said = refused.to_string();
            assert!(said.contains("npm install --global") && said.contains(agent.name()), "{said}");
            assert_eq!(refused.exit().code(), 69);
        }
    }
}
