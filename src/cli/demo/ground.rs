//! On which ground the demo is played: processes of this machine, or containers of its engine. Everything of ours that a
//! step talks to then listens where containers reach it, and only there.

use super::{
    cast::{Agent, Refused, Runtime},
    universe,
};
use crate::{
    cli::{image, program::Surroundings},
    runtime::docker::{DockerRuntime, Options},
};
use std::net::{IpAddr, Ipv4Addr};

/// Which installation asks for the engine's address; nothing is made under it.
const SCOPE: &str = "00000000";
/// In which variable the stand-in finds its script: no directory of this machine is seen from inside a container.
const SCREENPLAY: &str = "SCREENPLAY";

/// Where steps run, and where they find us.
#[derive(Debug)]
pub(super) struct Ground {
    /// Where the pretend services listen.
    pub(super) address: IpAddr,
    image: Option<image::Made>,
    engine: Option<String>,
}

impl Ground {
    /// Makes it: in containers with the image that they need, built when it is missing.
    pub(super) async fn lay(
        runtime: Runtime,
        agent: Agent,
        surroundings: &Surroundings,
        show: image::Show,
    ) -> Result<Self, Refused> {
        match runtime {
            Runtime::Process => Ok(Self { address: Ipv4Addr::LOCALHOST.into(), image: None, engine: None }),
            Runtime::Docker => {
                let inside: Vec<&str> = agent.program().into_iter().collect();
                let image = image::ensure(surroundings, &inside, show)?;
                let given = ["ROUNDSMAN_RUNTIME_DOCKER_HOST", "DOCKER_HOST"];
                let engine = given.iter().find_map(|name| {
                    let found =
                        surroundings.vars.iter().find(|(key, value)| key == name && !value.is_empty());
                    found.map(|(_, value)| value.clone())
                });
                let options = Options { host: engine.clone(), ..Options::new(SCOPE, image.image.as_str()) };
                let address = DockerRuntime::connect(options)?.doorway().await?;
                Ok(Self { address, image: Some(image), engine })
            }
        }
    }

    /// What people are told about it.
    pub(super) fn introduction(&self) -> Option<String> {
        let made = self.image.as_ref()?;
        let how = if made.took.is_zero() { "was there".into() } else { format!("built in {:?}", made.took) };
        Some(format!("steps run in containers of {} ({how}, {} MB)", made.image, made.bytes / 1_000_000))
    }

    /// The settings that choose it. `provider` is the port of the pretend model provider.
    pub(super) fn vars(&self, agent: Agent, provider: Option<u16>) -> Vec<(String, String)> {
        let Some(made) = &self.image else { return Vec::new() };
        let mut vars = vec![
            ("ROUNDSMAN_RUNTIME_KIND", "docker".to_owned()),
            ("ROUNDSMAN_RUNTIME_IMAGE", made.image.clone()),
            // The pretend Azure DevOps is on this machine, but containers know it by another address.
            ("ROUNDSMAN_ADO_ALLOW_HTTP", "yes".to_owned()),
        ];
        if let Some(engine) = &self.engine {
            vars.push(("ROUNDSMAN_RUNTIME_DOCKER_HOST", engine.clone()));
        }
        let reaches = provider.map_or_else(|| "none".into(), |port| format!("{}:{port}", self.address));
        vars.push(("ROUNDSMAN_RUNTIME_EGRESS", reaches));
        if agent == Agent::Scripted {
            vars.extend([
                ("ROUNDSMAN_AGENT_COMMAND", "-".to_owned()),
                ("ROUNDSMAN_AGENT_ENVIRONMENT", SCREENPLAY.to_owned()),
                (SCREENPLAY, universe::script()),
            ]);
        }
        vars.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}
