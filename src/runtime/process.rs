//! Steps as child processes of this machine. **For demos and development: it isolates nothing.** An agent that runs here
//! can read and write whatever the user who started it can, reach every network, and see every other step's files.
//! Where that matters, use a runtime with containers.
//!
//! What is kept is what the other runtimes promise: a step starts once, whoever asks and however often; it is found
//! again after a restart; it ends by its own limits, watched or not; and only a lock, never a pid, says that it lives.
//!
//! ```text
//! <root>/<run>/{repo.git,workspace,home}
//! <root>/<run>/t01/{in,out}
//! <root>/<run>/t01/steps/{fetch,agent,publish}/{spec.json,lock,latch,pid,stop,status.json,output.log}
//! ```

pub(crate) mod files;

use super::{
    EVIDENCE_FILES, EVIDENCE_FOLDER, Error, EvidenceFile, Handover, Left, Runtime, Started, is_evidence,
    spec::{Places, WorkerSpec, worker_name},
};
use crate::domain::{RunId, Step, TurnNumber, Worker, WorkerState};
use async_trait::async_trait;
use files::StepFiles;
use rustix::process::{Pid, Signal, kill_process_group};
use secrecy::ExposeSecret as _;
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    os::unix::{
        fs::{DirBuilderExt, OpenOptionsExt},
        process::CommandExt,
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

/// How often files are looked at while waiting.
const POLL: Duration = Duration::from_millis(100);
/// How long a new worker may take to its latch: it retries its lock for five seconds.
const START_PATIENCE: Duration = Duration::from_secs(10);
/// What a stopped worker gets beyond its grace, to save the work of its agent.
const SAVE_PATIENCE: Duration = Duration::from_secs(35);
/// How long the kernel may take to free the lock of a killed worker.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// What is read of a file that an agent left.
const LEFT_LIMIT: u64 = 64 << 10;
/// The most that a log's end is read, whoever asks for more.
const LOG_LIMIT: usize = 1 << 20;
/// Files of evidence that are listed; an honest agent leaves a few dozen.
const MOST_EVIDENCE: usize = 2_000;
/// Bytes of a log that hint at why a worker ended.
const HINT_TAIL: usize = 500;

/// Steps as child processes. Isolates nothing; see the module.
#[derive(Clone, Debug)]
pub struct ProcessRuntime {
    root: PathBuf,
    worker: Vec<String>,
    environment: BTreeMap<String, String>,
}

impl ProcessRuntime {
    /// Keeps everything below `root`; `worker_program` is the beginning of the command, for example
    /// `["/…/roundsman-worker"]` or `["/…/roundsman", "worker"]`.
    pub fn new(root: impl AsRef<Path>, worker_program: Vec<String>) -> Self {
        let root = std::path::absolute(root.as_ref()).unwrap_or_else(|_| root.as_ref().to_owned());
        Self { root, worker: worker_program, environment: BTreeMap::new() }
    }

    /// The environment of workers. They inherit nothing: without `PATH` they look in the usual places; behind a proxy
    /// they need its variables. Never a secret: an agent can read its worker's environment.
    #[must_use]
    pub fn with_environment(mut self, environment: BTreeMap<String, String>) -> Self {
        self.environment = environment;
        self
    }

    /// Where the steps of a turn find and leave things. [`Runtime::start`] puts this in place of a specification's
    /// own places, which are meant for containers.
    pub fn places(&self, run: RunId, turn: TurnNumber) -> Places {
        let (home, turn) = (self.run_dir(run), self.turn_dir(run, turn));
        Places {
            repository: home.join("repo.git"),
            workspace: home.join("workspace"),
            input: turn.join("in"),
            output: turn.join("out"),
            home: home.join("home"),
        }
    }

    /// The directory of a step: what `roundsman-worker --dir` gets.
    pub fn step_dir(&self, run: RunId, turn: TurnNumber, step: Step) -> PathBuf {
        self.turn_dir(run, turn).join("steps").join(step.word())
    }

    fn run_dir(&self, run: RunId) -> PathBuf {
        self.root.join(run.to_string())
    }

    fn turn_dir(&self, run: RunId, turn: TurnNumber) -> PathBuf {
        self.run_dir(run).join(format!("t{:02}", turn.0))
    }

    fn start_now(&self, spec: &WorkerSpec, handover: &Handover) -> Result<Started, Error> {
        let mut spec = spec.clone();
        spec.places = self.places(spec.run, spec.turn.work());
        let directory = self.step_dir(spec.run, spec.turn.number, spec.step);
        for place in [&directory, &spec.places.input, &spec.places.output, &spec.places.home] {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(place)
                .map_err(|e| unusable(place, &e))?;
        }
        let step = StepFiles::new(&directory);
        let bytes = serde_json::to_vec_pretty(&spec).map_err(|e| Error::Unusable(e.to_string()))?;
        // The link to the name `spec.json` is the arbiter: it is made once, complete, or not at all.
        let is_new = files::write_once(&step.spec(), &bytes).map_err(|e| unusable(&step.spec(), &e))?;
        if !is_new {
            let there = step.read_spec().map_err(|e| unusable(&step.spec(), &e))?;
            // Another copy of us made it from a reading a moment apart: the first one holds, started or not.
            if there.turn != spec.turn || there.source != spec.source {
                return Err(Error::Differs { name: spec.name() });
            }
        }
        if !step.latch().exists() {
            let child = self.spawn(&step, &directory, spec.step, handover)?;
            await_latch(&step, child, &spec.name())?;
        }
        Ok(if is_new { Started::New } else { Started::Adopted })
    }

    fn spawn(
        &self,
        step: &StepFiles,
        directory: &Path,
        what: Step,
        handover: &Handover,
    ) -> Result<Child, Error> {
        let (program, prefix) = self
            .worker
            .split_first()
            .ok_or_else(|| Error::Unusable("no worker program is configured".into()))?;
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(step.log())
            .map_err(|e| unusable(&step.log(), &e))?;
        let both = log.try_clone().map_err(|e| unusable(&step.log(), &e))?;
        let mut child = Command::new(program)
            .args(prefix)
            .arg(what.word())
            .arg("--dir")
            .arg(directory)
            .env_clear()
            .envs(&self.environment)
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(both)
            .process_group(0)
            .spawn()
            .map_err(|e| unusable(Path::new(program), &e))?;
        if let Some(mut pipe) = child.stdin.take() {
            let line = handover.line(None);
            // A worker that was started before does not read; its pipe may be closed.
            thread::spawn(move || _ = pipe.write_all(line.expose_secret().as_bytes()));
        }
        Ok(child)
    }

    fn list(&self, run: RunId) -> Result<Vec<Worker>, Error> {
        let mut workers = Vec::new();
        for directory in entries(&self.run_dir(run))? {
            let number =
                directory.file_name().and_then(|name| name.to_str()?.strip_prefix('t')?.parse().ok());
            let Some(turn) = number.map(TurnNumber) else { continue };
            for step in Step::ALL {
                let files = StepFiles::new(&self.step_dir(run, turn, step));
                match files.read_spec() {
                    Ok(spec) => {
                        let state = state(&files, step)?;
                        workers.push(Worker { turn: spec.turn, step, state });
                    }
                    // A start that died before its specification had a name: nothing ran.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(error) => return Err(unusable(&files.spec(), &error)),
                }
            }
        }
        workers.sort_by_key(|worker| (worker.turn.number, worker.step));
        Ok(workers)
    }

    fn runs(&self) -> Result<Vec<RunId>, Error> {
        let mut runs: Vec<RunId> =
            entries(&self.root)?.iter().filter_map(|path| path.file_name()?.to_str()?.parse().ok()).collect();
        runs.sort();
        Ok(runs)
    }

    fn stop_now(&self, run: RunId) -> Result<(), Error> {
        for worker in self.list(run)? {
            let (turn, step) = (worker.turn.number, worker.step);
            let directory = self.step_dir(run, turn, step);
            let files = StepFiles::new(&directory);
            if !matches!(worker.state, WorkerState::Finished(_)) {
                // Also for one that was only created: should its start be under way, it ends at once.
                fs::write(files.stop(), b"").map_err(|e| unusable(&files.stop(), &e))?;
            }
            let grace = files.read_spec().map_or(0, |spec| spec.limits.grace_seconds);
            if !self.ends_within(&files, Duration::from_secs(grace) + SAVE_PATIENCE)? {
                kill_while_locked(&files);
                if !self.ends_within(&files, KILL_PATIENCE)? {
                    let name = worker_name(run, turn, step);
                    return Err(Error::WillNotEnd { name, grace_seconds: grace });
                }
            }
            files::kill_marked(&directory);
        }
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "reads like the sentence that it is")]
    fn ends_within(&self, step: &StepFiles, patience: Duration) -> Result<bool, Error> {
        for _ in 0..=patience.as_millis() / POLL.as_millis() {
            if !is_locked(step)? {
                return Ok(true);
            }
            thread::sleep(POLL);
        }
        Ok(false)
    }

    fn remove_now(&self, run: RunId) -> Result<(), Error> {
        if self.list(run)?.iter().any(|worker| matches!(worker.state, WorkerState::Running { .. })) {
            return Err(Error::StillAlive(run));
        }
        let directory = self.run_dir(run);
        files::remove_tree(&directory).map_err(|e| unusable(&directory, &e))
    }

    fn health_now(&self) -> Result<(), Error> {
        let program =
            self.worker.first().map(Path::new).ok_or_else(|| Error::Unusable("no worker program".into()))?;
        if !program.is_file() {
            return Err(Error::Unusable(format!("{} is not there", program.display())));
        }
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.root)
            .map_err(|e| unusable(&self.root, &e))?;
        let mut probe = tempfile::tempfile_in(&self.root).map_err(|e| unusable(&self.root, &e))?;
        probe.write_all(b"writable").and_then(|()| probe.sync_all()).map_err(|e| unusable(&self.root, &e))
    }
}

#[async_trait]
impl Runtime for ProcessRuntime {
    async fn health(&self) -> Result<(), Error> {
        self.health_now()
    }

    async fn start(&self, spec: &WorkerSpec, handover: &Handover) -> Result<Started, Error> {
        let (runtime, spec, handover) = (self.clone(), spec.clone(), handover.clone());
        blocking(move || runtime.start_now(&spec, &handover)).await
    }

    async fn workers(&self) -> Result<BTreeMap<RunId, Vec<Worker>>, Error> {
        let mut all = BTreeMap::new();
        for run in self.runs()? {
            let workers = self.list(run)?;
            if !workers.is_empty() {
                all.insert(run, workers);
            }
        }
        Ok(all)
    }

    async fn workers_of(&self, run: RunId) -> Result<Vec<Worker>, Error> {
        self.list(run)
    }

    async fn wait(&self, run: RunId, turn: TurnNumber, step: Step, limit: Duration) -> Result<(), Error> {
        let files = StepFiles::new(&self.step_dir(run, turn, step));
        let ended = async {
            // Without a latch it was not started yet, or is about to be.
            while is_locked(&files)? || !files.latch().exists() {
                tokio::time::sleep(POLL).await;
            }
            Ok(())
        };
        tokio::time::timeout(limit, ended).await.unwrap_or(Ok(()))
    }

    async fn stop(&self, run: RunId) -> Result<(), Error> {
        let runtime = self.clone();
        blocking(move || runtime.stop_now(run)).await
    }

    async fn left(&self, run: RunId, turn: TurnNumber, file: &Left) -> Result<Option<String>, Error> {
        let out = self.places(run, turn).output;
        files::read_left(&out, &file.path(), LEFT_LIMIT).map_err(|e| unusable(&out, &e))
    }

    async fn log_tail(
        &self,
        run: RunId,
        turn: TurnNumber,
        step: Step,
        bytes: usize,
    ) -> Result<String, Error> {
        let log = StepFiles::new(&self.step_dir(run, turn, step)).log();
        files::tail(&log, bytes.min(LOG_LIMIT)).map_err(|e| unusable(&log, &e))
    }

    async fn remove(&self, run: RunId) -> Result<(), Error> {
        let runtime = self.clone();
        blocking(move || runtime.remove_now(run)).await
    }

    async fn leftovers(&self) -> Result<Vec<RunId>, Error> {
        self.runs()
    }

    async fn evidence(&self, run: RunId, turn: TurnNumber) -> Result<Vec<EvidenceFile>, Error> {
        let out = self.places(run, turn).output;
        let mut files = Vec::new();
        for top in EVIDENCE_FILES.into_iter().chain([EVIDENCE_FOLDER]) {
            files.extend(files::list_left(&out, top, MOST_EVIDENCE).map_err(|e| unusable(&out, &e))?);
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
        if !is_evidence(path) {
            return Ok(None);
        }
        let out = self.places(run, turn).output;
        files::read_left_bytes(&out, path, limit).map_err(|e| unusable(&out, &e))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::Unusable(e.to_string()))?
}

fn unusable(path: &Path, error: &io::Error) -> Error {
    Error::Unusable(format!("{}: {error}", path.display()))
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, Error> {
    let listed = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => {
            other.and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>())
        }
    };
    listed.map_err(|e| unusable(directory, &e))
}

fn is_locked(step: &StepFiles) -> Result<bool, Error> {
    step.is_locked().map_err(|e| unusable(&step.lock(), &e))
}

/// What the files say. The latch is looked at before the lock: a worker that takes both in between is still running.
fn state(files: &StepFiles, step: Step) -> Result<WorkerState, Error> {
    let latch = fs::metadata(files.latch());
    if is_locked(files)? {
        let since = latch.or_else(|_| fs::metadata(files.lock())).and_then(|facts| facts.modified());
        let since = since.map_err(|e| unusable(&files.lock(), &e))?;
        let since = since.try_into().map_err(|e: jiff::Error| Error::Unusable(e.to_string()))?;
        return Ok(WorkerState::Running { since });
    }
    if latch.is_err() {
        return Ok(WorkerState::Created);
    }
    Ok(files.read_status(step).map_or_else(
        || {
            let said = files::tail(&files.log(), HINT_TAIL).unwrap_or_default();
            let said = said.lines().last().unwrap_or_default().trim();
            WorkerState::Crashed { hint: format!("ended without a status; its last line: {said}") }
        },
        WorkerState::Finished,
    ))
}

/// Returns when the worker has its latch. A child that ends without one could not start.
fn await_latch(step: &StepFiles, mut child: Child, name: &str) -> Result<(), Error> {
    let mut outcome = Err(Error::Unusable(format!("{name} did not take its latch")));
    for _ in 0..START_PATIENCE.as_millis() / POLL.as_millis() {
        // In this order: a child that ended may have made its latch before.
        let has_ended = !matches!(child.try_wait(), Ok(None));
        if step.latch().exists() {
            outcome = Ok(());
            break;
        }
        if has_ended {
            let said = files::tail(&step.log(), HINT_TAIL).unwrap_or_default();
            outcome = Err(Error::Unusable(format!("{name} did not start: {}", said.trim())));
            break;
        }
        thread::sleep(POLL);
    }
    // Nobody else may reap our child; it may live longer than we do, and then nobody has to.
    thread::spawn(move || child.wait());
    outcome
}

/// Kills the recorded process group, but only while the lock proves that the record is the living worker's.
fn kill_while_locked(files: &StepFiles) {
    let group =
        fs::read_to_string(files.pid()).ok().and_then(|text| Pid::from_raw(text.trim().parse().ok()?));
    if let Some(group) = group
        && files.is_locked().unwrap_or(false)
    {
        _ = kill_process_group(group, Signal::KILL);
    }
}
