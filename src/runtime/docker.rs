//! Steps in containers of one Docker engine, on this machine or another.
//!
//! What it promises, in the order in which it is read: a name exists once, so a step starts once, whoever asks; what a
//! container may do is read back from the engine before it is started; what is secret goes to standard input and nowhere
//! else; an agent reaches nothing but its gate; a step that ended is never started again; only the last line of its
//! output says how; nothing of another installation is touched, and nothing is ever pruned.
//!
//! Who can create containers owns the host of the engine: so do we. Decides nothing about runs.

mod archive;
mod described;
mod engine;
mod hardening;
mod name;
mod network;
mod options;
mod state;
mod volumes;

use super::{
    EVIDENCE_FILES, EVIDENCE_FOLDER, Error, EvidenceFile, Handover, Left, Runtime, Started,
    process::files::{plain, plain_end},
    spec::{Places, WorkerSpec},
};
use crate::{
    domain::{RunId, Step, Turn, TurnNumber, Worker, WorkerState},
    runtime::environment::Decision,
};
use async_trait::async_trait;
use bollard::models::{ContainerInspectResponse, ContainerSummary};
use engine::{Engine, Failure, Kind, Streams};
use futures_util::{StreamExt as _, TryStreamExt as _};
use hardening::{Caps, STEP_DIR, Wish};
use jiff::Timestamp;
use name::{Labels, Names, Who};
pub use options::{Egress, Options, TlsFiles};
use secrecy::ExposeSecret as _;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};
use tokio::io::AsyncWriteExt as _;

/// The oldest API that has everything we ask for: engines of 2020.
const OLDEST_API: (usize, usize) = (1, 41);
/// How long the maker of a container gets to start it before somebody else does.
const START_PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks at something that is about to change.
const POLL: Duration = Duration::from_millis(200);
/// How long an engine is waited for to hang up after a handover: a local one takes milliseconds.
const HANG_UP_PATIENCE: Duration = Duration::from_millis(500);
/// Looks after a start whose answer was lost.
const LOOKS: u32 = 5;
/// What a stopped worker gets beyond its grace, to save the work of its agent.
const SAVE_PATIENCE: Duration = Duration::from_secs(35);
/// The grace of a worker whose label does not tell.
const USUAL_GRACE: u64 = 10;
/// What is read of a file that an agent left.
const LEFT_LIMIT: u64 = 64 << 10;
/// The most that a log's end is read, whoever asks for more.
const LOG_LIMIT: usize = 1 << 20;
/// Lines of a log's end; a line of more than 16 KiB counts as several.
const LOG_LINES: u32 = 20_000;
/// A status is bounded by its writer, well below this.
const STATUS_LIMIT: usize = 512 << 10;
/// Lines among which the status is: a long line counts as one for each 16 KiB.
const STATUS_LINES: u32 = 40;
/// Containers that are looked at side by side.
const PARALLEL: usize = 8;

/// Steps in containers. Cheap to clone; clones share one connection.
#[derive(Clone)]
pub struct DockerRuntime {
    engine: Arc<Engine>,
}

impl DockerRuntime {
    /// Takes the options; the engine is reached at the first call, so one that is down shows in [`Runtime::health`].
    pub fn connect(options: Options) -> Result<Self, Error> {
        options.check()?;
        Ok(Self { engine: Arc::new(Engine::new(options)) })
    }

    /// What was chosen.
    pub fn options(&self) -> &Options {
        &self.engine.options
    }

    /// The address at which fetch, publish and gates reach the engine's own machine.
    pub async fn doorway(&self) -> Result<std::net::IpAddr, Error> {
        network::doorway(&self.engine).await
    }

    fn names(&self, run: RunId) -> Names<'_> {
        Names::new(&self.engine.options.scope, run)
    }

    /// Creates the container of a step. None: its name is taken.
    async fn create(&self, spec: &WorkerSpec) -> Result<Option<Wish>, Error> {
        let (engine, names) = (&self.engine, self.names(spec.run));
        let (mut mounts, wanted) = volumes::of_step(&names, spec);
        mounts.extend(volumes::prepare(engine, &names, spec, wanted).await?);
        let network = match (network::egress_of(&engine.options.egress, spec), spec.step) {
            (Egress::Gate { .. }, Step::Agent) => {
                Some(network::make(engine, &names, spec.turn.number).await?)
            }
            (Egress::Nothing, _) | (Egress::Gate { .. }, Step::Fetch | Step::Publish) => None,
        };
        let wish = self.wish(spec, mounts, network).await?;
        match engine.create(&wish.name, wish.body()).await {
            Ok(()) => Ok(Some(wish)),
            Err(Failure { kind: Kind::Conflict, .. }) => Ok(None),
            Err(Failure { kind: Kind::Absent, .. }) => Err(volumes::missing(&wish.image)),
            // It may have been created: the name tells.
            Err(lost @ Failure { kind: Kind::Silent, .. }) => match engine.inspect(&wish.name).await? {
                Some(_) => Ok(None),
                None => Err(lost.into()),
            },
            Err(refused) => Err(refused.into()),
        }
    }

    /// The container that a step wants.
    async fn wish(
        &self,
        spec: &WorkerSpec,
        mounts: Vec<hardening::Place>,
        network: Option<String>,
    ) -> Result<Wish, Error> {
        let options = &self.engine.options;
        let (network, dns, environment, extra_hosts) = match spec.step {
            Step::Agent => {
                let (network, dns, environment) =
                    network::of_agent(&network::egress_of(&options.egress, spec), network);
                (network, dns, environment, Vec::new())
            }
            Step::Fetch | Step::Publish => {
                let given =
                    options.environment.iter().map(|(name, value)| format!("{name}={value}")).collect();
                (network::outside(&self.engine), Vec::new(), given, options.extra_hosts.clone())
            }
        };
        let worker = if spec.image.is_some() { volumes::TOOLS_WORKER } else { volumes::OWN_WORKER };
        Ok(Wish {
            name: self.names(spec.run).worker(spec.turn.number, spec.step),
            image: spec.image.clone().unwrap_or_else(|| options.image.clone()),
            labels: name::worker_labels(&options.scope, spec),
            command: [worker, spec.step.word(), "--dir", STEP_DIR].map(str::to_owned).to_vec(),
            environment,
            mounts,
            network,
            extra_hosts,
            dns,
            takes_input: true,
            caps: Caps::of_step(options, self.engine.info().await?.ncpu),
        })
    }

    /// Takes a container that somebody else made, or makes one anew that an earlier call left half-way.
    async fn adopt(&self, spec: &WorkerSpec, handover: &Handover) -> Result<(), Error> {
        let name = self.names(spec.run).worker(spec.turn.number, spec.step);
        let mut waited = Duration::ZERO;
        loop {
            // A name is taken a moment before its container can be seen.
            let seen = self.engine.inspect(&name).await?;
            let labels = seen.as_ref().and_then(|seen| seen.config.as_ref()?.labels.as_ref());
            if labels.is_some_and(|labels| labels.get(name::SPEC) != Some(&name::fingerprint(spec))) {
                return Err(Error::Differs { name });
            }
            let facts = seen.and_then(|seen| seen.state);
            if facts.as_ref().is_some_and(|facts| !state::is_created(facts)) {
                return Ok(());
            }
            // Its maker goes first: two who write to one standard input spoil it.
            if waited >= START_PATIENCE {
                break;
            }
            tokio::time::sleep(POLL).await;
            waited += POLL;
        }
        // Never started, so nothing is lost with it; and an input that was opened once and left cannot be used again.
        match self.engine.remove(&name, false).await {
            Ok(()) => {}
            // It was started after all.
            Err(Failure { kind: Kind::Conflict, .. }) => return Ok(()),
            Err(failure) => return Err(failure.into()),
        }
        match self.create(spec).await? {
            Some(wish) => Box::pin(self.launch(spec, handover, wish)).await,
            None => {
                Err(Error::Unusable(format!("somebody else is starting {name} as well; the next look tells")))
            }
        }
    }

    /// Starts a container that we have just created, after reading back what it may do, and hands over what is secret.
    async fn launch(&self, spec: &WorkerSpec, handover: &Handover, wish: Wish) -> Result<(), Error> {
        let (engine, names) = (&self.engine, self.names(spec.run));
        let mut lines = wish.differences(&self.seen(&wish.name).await?);
        let gated =
            spec.step == Step::Agent && network::egress_of(&engine.options.egress, spec) != Egress::Nothing;
        if gated {
            lines.extend(network::weaknesses(engine, &names, &wish.network).await?);
        }
        if !lines.is_empty() {
            return Err(Error::Weakened { name: wish.name, lines });
        }
        if gated {
            Box::pin(network::open(engine, &names, spec, &wish.network)).await?;
        }

        let mut attached = engine.attach(&wish.name).await?;
        self.start_once(&wish.name).await?;
        let line = line(spec, handover);
        let write = async {
            attached.input.write_all(line.expose_secret().as_bytes()).await?;
            attached.input.shutdown().await
        };
        let failed =
            |why: String| Error::Unusable(format!("{} could not be handed its line: {why}", wish.name));
        match tokio::time::timeout(engine.options.call_limit, write).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(failed(error.to_string())),
            Err(_) => return Err(failed("the engine did not take it".into())),
        }
        // An engine that hangs up has passed everything on; one that keeps the line until the container ends has it, too.
        let hang_up = async { while attached.output.next().await.is_some() {} };
        _ = tokio::time::timeout(HANG_UP_PATIENCE, hang_up).await;
        Ok(())
    }

    async fn seen(&self, name: &str) -> Result<ContainerInspectResponse, Error> {
        let seen = self.engine.inspect(name).await?;
        seen.ok_or_else(|| {
            Error::Unusable(format!("container {name} was removed while it was being started"))
        })
    }

    /// Starts; a lost answer is looked up.
    async fn start_once(&self, name: &str) -> Result<(), Error> {
        let Err(failure) = self.engine.start(name).await else { return Ok(()) };
        if failure.kind == Kind::Silent {
            for _ in 0..LOOKS {
                if !self.seen(name).await?.state.as_ref().is_some_and(state::is_created) {
                    return Ok(());
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Err(failure.into())
    }

    /// Workers that carry these labels besides the scope's, by run.
    async fn list(&self, also: Option<RunId>) -> Result<BTreeMap<RunId, Vec<Worker>>, Error> {
        let found = self.workers_and_names(also).await?;
        let looked = futures_util::stream::iter(found)
            .map(|(who, name)| async move { self.look(who, &name).await })
            .buffered(PARALLEL);
        let seen: Vec<Option<(RunId, Worker)>> = looked.try_collect().await?;
        let mut all: BTreeMap<RunId, Vec<Worker>> = BTreeMap::new();
        for (run, worker) in seen.into_iter().flatten() {
            all.entry(run).or_default().push(worker);
        }
        for workers in all.values_mut() {
            workers.sort_by_key(|worker| (worker.turn.number, worker.step));
        }
        Ok(all)
    }

    async fn workers_and_names(&self, also: Option<RunId>) -> Result<Vec<(Who, String)>, Error> {
        let mut found = Vec::new();
        for container in self.containers(also).await? {
            let name = name_of(&container);
            match container.labels.as_ref().and_then(name::who) {
                None => {}
                Some(Ok(who)) => found.push((who, name)),
                Some(Err(why)) => return Err(Error::Unusable(format!("container {name}: {why}"))),
            }
        }
        Ok(found)
    }

    async fn containers(&self, of: Option<RunId>) -> Result<Vec<ContainerSummary>, Error> {
        Ok(self.engine.list(&self.filter(of)).await?)
    }

    fn filter(&self, of: Option<RunId>) -> Vec<String> {
        let scope = name::is(name::SCOPE, &self.engine.options.scope);
        std::iter::once(scope).chain(of.map(|run| name::is(name::RUN, run))).collect()
    }

    /// A worker's state; none when it was removed since it was listed.
    async fn look(&self, who: Who, name: &str) -> Result<Option<(RunId, Worker)>, Error> {
        let Some(seen) = self.engine.inspect(name).await? else { return Ok(None) };
        let facts = seen.state.unwrap_or_default();
        let ended = !state::is_live(&facts) && !state::is_created(&facts);
        let output = if ended {
            self.engine.tail(name, Streams::Output, STATUS_LINES, STATUS_LIMIT).await?
        } else {
            Vec::new()
        };
        let state = state::worker_state(who.step, &facts, &output)
            .map_err(|why| Error::Unusable(format!("container {name}: {why}")))?;
        Ok(Some((who.run, Worker { turn: who.turn, step: who.step, state })))
    }

    /// Asks one worker to end, waits, kills.
    async fn end(&self, name: &str) -> Result<(), Error> {
        let Some(seen) = self.engine.inspect(name).await? else { return Ok(()) };
        let facts = seen.state.unwrap_or_default();
        if !state::is_live(&facts) {
            return Ok(());
        }
        if facts.paused == Some(true) {
            // It cannot hear anything; when it cannot be resumed, the stop ends in a kill.
            _ = self.engine.unpause(name).await;
        }
        let labels = seen.config.and_then(|config| config.labels).unwrap_or_default();
        let grace_seconds =
            labels.get(name::GRACE).and_then(|seconds| seconds.parse().ok()).unwrap_or(USUAL_GRACE);
        self.engine.stop(name, Duration::from_secs(grace_seconds) + SAVE_PATIENCE).await?;
        let after = self.engine.inspect(name).await?.and_then(|seen| seen.state).unwrap_or_default();
        if state::is_live(&after) {
            return Err(Error::WillNotEnd { name: name.to_owned(), grace_seconds });
        }
        Ok(())
    }

    fn agent(&self, run: RunId, turn: TurnNumber) -> String {
        self.names(run).worker(turn, Step::Agent)
    }
}

#[async_trait]
impl Runtime for DockerRuntime {
    async fn health(&self) -> Result<(), Error> {
        self.engine.ping().await?;
        let (major, minor) = self.engine.version().await?;
        if (major, minor) < OLDEST_API {
            let (old_major, old_minor) = OLDEST_API;
            return Err(Error::Unusable(format!(
                "the engine speaks API {major}.{minor}, at least {old_major}.{old_minor} is needed; update it"
            )));
        }
        let image = &self.engine.options.image;
        let found = self.engine.image(image).await?.ok_or_else(|| volumes::missing(image))?;
        let labels = found.config.and_then(|config| config.labels).unwrap_or_default();
        volumes::fits(image, labels.get(name::SCHEMA_LABEL).map(String::as_str))
    }

    async fn start(&self, spec: &WorkerSpec, handover: &Handover) -> Result<Started, Error> {
        let mut spec = spec.clone();
        spec.places = Places::of_image();
        let name = self.names(spec.run).worker(spec.turn.number, spec.step);
        let keep = (spec.step == Step::Agent).then_some(spec.turn.number);
        network::close(&self.engine, spec.run, keep).await?;
        if self.engine.inspect(&name).await?.is_none()
            && let Some(wish) = self.create(&spec).await?
        {
            Box::pin(self.launch(&spec, handover, wish)).await?;
            return Ok(Started::New);
        }
        Box::pin(self.adopt(&spec, handover)).await?;
        Ok(Started::Adopted)
    }

    async fn workers(&self) -> Result<BTreeMap<RunId, Vec<Worker>>, Error> {
        self.list(None).await
    }

    async fn workers_of(&self, run: RunId) -> Result<Vec<Worker>, Error> {
        Ok(self.list(Some(run)).await?.remove(&run).unwrap_or_default())
    }

    async fn wait(&self, run: RunId, turn: TurnNumber, step: Step, limit: Duration) -> Result<(), Error> {
        let name = self.names(run).worker(turn, step);
        let ended = async {
            while let Some(seen) = self.engine.inspect(&name).await? {
                let facts = seen.state.unwrap_or_default();
                if state::is_created(&facts) {
                    tokio::time::sleep(POLL).await;
                } else if state::is_live(&facts) {
                    self.engine.wait(&name, limit).await?;
                } else {
                    break;
                }
            }
            Ok(())
        };
        tokio::time::timeout(limit, ended).await.unwrap_or(Ok(()))
    }

    async fn stop(&self, run: RunId) -> Result<(), Error> {
        // Twice: a start that was under way may have come through meanwhile.
        for _ in 0..2 {
            let names = self.workers_and_names(Some(run)).await?.into_iter().map(|(_, name)| name);
            let ends = futures_util::stream::iter(names).map(|name| async move { self.end(&name).await });
            ends.buffer_unordered(PARALLEL).try_collect::<Vec<()>>().await?;
        }
        network::close(&self.engine, run, None).await
    }

    async fn left(&self, run: RunId, turn: TurnNumber, file: &Left) -> Result<Option<String>, Error> {
        let (agent, out) = (self.agent(run, turn), out());
        let bytes = archive::file(&self.engine, &agent, &out, &file.path(), LEFT_LIMIT).await?;
        Ok(bytes.map(|bytes| plain(&String::from_utf8_lossy(&bytes))))
    }

    async fn log_tail(
        &self,
        run: RunId,
        turn: TurnNumber,
        step: Step,
        bytes: usize,
    ) -> Result<String, Error> {
        let name = self.names(run).worker(turn, step);
        let bytes = bytes.min(LOG_LIMIT);
        Ok(plain_end(&self.engine.tail(&name, Streams::Both, LOG_LINES, bytes).await?, bytes))
    }

    async fn remove(&self, run: RunId) -> Result<(), Error> {
        let workers = self.list(Some(run)).await?.remove(&run).unwrap_or_default();
        if workers.iter().any(|worker| matches!(worker.state, WorkerState::Running { .. })) {
            return Err(Error::StillAlive(run));
        }
        for container in self.containers(Some(run)).await? {
            let is_worker = container.labels.as_ref().is_some_and(|labels| labels.contains_key(name::STEP));
            // A worker is never killed here: one that was started meanwhile makes this fail.
            self.engine.remove(&name_of(&container), !is_worker).await?;
        }
        for (network, _) in self.engine.networks(&self.filter(Some(run))).await? {
            self.engine.remove_network(&network).await?;
        }
        for (volume, _) in self.engine.volumes(&self.filter(Some(run))).await? {
            self.engine.remove_volume(&volume).await?;
        }
        Ok(())
    }

    async fn environment(&self, run: RunId, turn: &Turn) -> Result<Decision, Error> {
        described::image(&self.engine, run, turn).await
    }

    async fn remove_unused(&self, before: Timestamp, now: Timestamp) -> Result<u32, Error> {
        described::remove_unused(&self.engine, before, now).await
    }

    async fn leftovers(&self) -> Result<Vec<RunId>, Error> {
        let scope = self.filter(None);
        let containers = self.engine.list(&scope).await?.into_iter().filter_map(|c| c.labels);
        let volumes = self.engine.volumes(&scope).await?.into_iter().map(|(_, labels)| labels);
        let networks = self.engine.networks(&scope).await?.into_iter().map(|(_, labels)| labels);
        let all: Vec<Labels> = containers.chain(volumes).chain(networks).collect();
        Ok(all.iter().filter_map(name::run).collect::<BTreeSet<_>>().into_iter().collect())
    }

    async fn evidence(&self, run: RunId, turn: TurnNumber) -> Result<Vec<EvidenceFile>, Error> {
        let (agent, out) = (self.agent(run, turn), out());
        let mut files = Vec::new();
        for top in EVIDENCE_FILES.into_iter().chain([EVIDENCE_FOLDER]) {
            files.extend(archive::list(&self.engine, &agent, &out, top).await?);
        }
        files.sort();
        Ok(files.into_iter().map(|(path, bytes)| EvidenceFile { path, bytes }).collect())
    }

    async fn read_evidence(
        &self,
        run: RunId,
        turn: TurnNumber,
        path: &str,
        limit: u64,
    ) -> Result<Option<Vec<u8>>, Error> {
        if !super::is_evidence(path) {
            return Ok(None);
        }
        archive::file(&self.engine, &self.agent(run, turn), &out(), path, limit).await
    }
}

/// Where a step finds what the agent leaves.
fn out() -> String {
    Places::of_image().output.to_string_lossy().into_owned()
}

fn name_of(container: &ContainerSummary) -> String {
    let name = container.names.iter().flatten().next().map(|name| name.trim_start_matches('/').to_owned());
    name.or_else(|| container.id.clone()).unwrap_or_default()
}

/// What this worker is handed. The agent gets no credential of ours, and the others nothing of the agent's.
fn line(spec: &WorkerSpec, handover: &Handover) -> secrecy::SecretString {
    let mut own = handover.clone();
    match spec.step {
        Step::Agent => own.credential = None,
        Step::Fetch | Step::Publish => own.environment.clear(),
    }
    // The image is ours to know; a worker of an older image refuses what it does not know.
    let spec = WorkerSpec { image: None, ..spec.clone() };
    own.line(Some(&spec))
}
