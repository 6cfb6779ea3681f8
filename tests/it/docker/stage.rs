//! The stories' world with its steps in containers: the same programs, settings that choose an engine, and a pretend Azure
//! DevOps that listens where containers reach it. What the engine holds of it goes when the stage goes.

use super::bench::{IMAGE, clear, client, objects, ready};
use crate::world::World;
use roundsman::{
    cli::demo::universe,
    domain::{Run, Step, TurnNumber},
    runtime::docker::{DockerRuntime, Options},
};
use sha2::{Digest as _, Sha256};
use std::{
    collections::BTreeMap,
    net::IpAddr,
    process::{Child, Command},
};

/// A change that passes all checks.
pub(crate) const GOOD: &str = "printf 'A line.\\n' >> README.md; echo changed";
/// Begins, says so, and would work for long.
pub(crate) const LONG: &str = "echo x > wip.txt; echo on > \"$ROUNDSMAN_OUT/plan.md\"; sleep 300";

/// The world, and the engine of its steps.
pub(crate) struct Stage {
    pub(crate) world: World,
    host: String,
    scope: String,
}

impl Stage {
    /// On the machine's engine. None, and said why, where there is none.
    pub(crate) async fn new() -> Option<Self> {
        let host = ready()?;
        let options = Options { host: Some(host.clone()), ..Options::new("00000000", IMAGE) };
        let doorway = DockerRuntime::connect(options).unwrap().doorway().await.unwrap();
        Some(Self::on(host, doorway).await)
    }

    /// On an engine that has the image, and whose containers reach this machine at the doorway.
    pub(crate) async fn on(host: String, doorway: IpAddr) -> Self {
        let mut world = World::at(doorway).await;
        for (name, value) in [
            ("ROUNDSMAN_RUNTIME_KIND", "docker"),
            ("ROUNDSMAN_RUNTIME_IMAGE", IMAGE),
            ("ROUNDSMAN_RUNTIME_DOCKER_HOST", &host),
            ("ROUNDSMAN_RUNTIME_EGRESS", "none"),
            // Tests run side by side on small machines.
            ("ROUNDSMAN_RUNTIME_MEMORY", "384MiB"),
            ("ROUNDSMAN_ADO_ALLOW_HTTP", "yes"),
            ("ROUNDSMAN_AGENT_COMMAND", "-"),
            ("ROUNDSMAN_AGENT_ENVIRONMENT", "SCREENPLAY"),
            ("SCREENPLAY", &universe::script()),
        ] {
            world.set(name, value);
        }
        let settings = world.settings();
        // As the programs name themselves in an engine; the first story would find nothing of another name.
        let said = format!("{}\n{}", settings.ado.url, settings.runtime.executor);
        let scope = format!("{:x}", Sha256::digest(said))[..8].to_owned();
        Self { world, host, scope }
    }

    /// From now on the agent is this shell program.
    pub(crate) fn agent(&mut self, program: &str) {
        for (name, value) in [
            ("ROUNDSMAN_AGENT_NAME", "command"),
            ("ROUNDSMAN_AGENT_COMMAND", "sh -c 'eval \"$AGENT_PROGRAM\"'"),
            ("ROUNDSMAN_AGENT_ENVIRONMENT", "AGENT_PROGRAM"),
            ("ROUNDSMAN_AGENT_PLAN_FIRST", "no"),
            ("AGENT_PROGRAM", program),
        ] {
            self.world.set(name, value);
        }
    }

    /// Calls the client on this stage's engine.
    pub(crate) fn docker(&self, arguments: &[&str]) -> String {
        client(Some(&self.host), arguments).unwrap_or_else(|why| panic!("docker {arguments:?}: {why}"))
    }

    /// Ids of what the engine holds of this world.
    pub(crate) fn objects(&self, kind: &str) -> Vec<String> {
        objects(Some(&self.host), &self.scope, kind).unwrap()
    }

    /// The name of an object of a run: `t01-out`, `workspace`.
    pub(crate) fn object(&self, run: impl std::fmt::Display, what: &str) -> String {
        format!("roundsman-{}-{run}-{what}", self.scope)
    }

    /// The label by which what a story makes itself is cleared away.
    pub(crate) fn label(&self) -> String {
        format!("io.roundsman.scope={}", self.scope)
    }

    /// Names of the containers of a step that are there, or that run.
    pub(crate) fn containers(&self, step: Step, only_running: bool) -> Vec<String> {
        let (scope, step) = (format!("label={}", self.label()), format!("label=io.roundsman.step={step}"));
        let state = if only_running { "--filter=status=running" } else { "--all" };
        let arguments = ["ps", state, "--filter", &scope, "--filter", &step, "--format", "{{.Names}}"];
        self.docker(&arguments).lines().map(str::to_owned).collect()
    }

    /// Ticks and polls until an agent has begun; its container.
    pub(crate) async fn until_agent_works(&mut self) -> String {
        for _ in 0..100 {
            _ = self.world.tick().await;
            _ = self.world.poll().await;
            if let [agent] = &self.containers(Step::Agent, true)[..] {
                return agent.clone();
            }
            crate::world::harsh::pause(50).await;
        }
        panic!("no agent began: {:#?}", self.world.runs().await);
    }

    /// Until the agent of the first turn has said that it is at work.
    pub(crate) async fn until_agent_is_busy(&mut self) -> String {
        let agent = self.until_agent_works().await;
        let run = self.world.run().await.id;
        let app = self.world.app().await;
        for _ in 0..200 {
            let plan = app.runtime.left(run, TurnNumber::FIRST, &roundsman::runtime::Left::Plan).await;
            if plan.unwrap().is_some() {
                return agent;
            }
            crate::world::harsh::pause(50).await;
        }
        panic!("the agent was not heard of: {:#?}", self.world.runs().await);
    }

    /// The rest of the road, with a reviewer who takes what is green: one closed run, merged, everything once, nothing
    /// left in the engine. The run.
    pub(crate) async fn merges(&mut self, item: i64) -> Run {
        let pull = self.world.until_green().await;
        let (emulator, reviewer) =
            (self.world.universe.emulator.clone(), self.world.universe.reviewer.clone());
        self.world.go(|_| emulator.pull_requests()[0].merge_status == "succeeded").await;
        emulator.vote(pull, 10, &reviewer).unwrap();
        emulator.complete(pull, "squash", &reviewer).unwrap();
        self.world.go(|world| world.is_closed(item)).await;
        _ = self.world.tick().await;
        _ = self.world.tick().await;
        self.world.assert_survived(item).await;
        self.world.run().await
    }

    /// Listens from now on for containers that start. The engine itself remembers only the newest events of everybody.
    pub(crate) fn starts(&self) -> Starts {
        let scope = format!("label={}", self.label());
        let log = tempfile::NamedTempFile::new().unwrap();
        let listener = Command::new("docker")
            .env("DOCKER_HOST", &self.host)
            .args(["events", "--since", "0", "--filter", &scope, "--filter", "event=start"])
            .args(["--format", "{{.Actor.Attributes.name}}"])
            .stdout(log.reopen().unwrap())
            .spawn()
            .unwrap();
        Starts { listener, log }
    }

    /// The engine holds nothing of this world.
    pub(crate) fn assert_bare(&self) {
        for kind in ["container", "volume", "network"] {
            assert_eq!(self.objects(kind), [""; 0], "{kind}");
        }
    }
}

/// See [`Stage::starts`].
pub(crate) struct Starts {
    listener: Child,
    log: tempfile::NamedTempFile,
}

impl Starts {
    /// How often each container was started.
    pub(crate) fn end(mut self) -> BTreeMap<String, u32> {
        self.listener.kill().unwrap();
        self.listener.wait().unwrap();
        let mut starts = BTreeMap::new();
        for name in std::fs::read_to_string(self.log.path()).unwrap().lines() {
            *starts.entry(name.to_owned()).or_default() += 1;
        }
        starts
    }
}

impl Drop for Starts {
    fn drop(&mut self) {
        _ = self.listener.kill();
        _ = self.listener.wait();
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        clear(Some(&self.host), &self.scope);
    }
}
