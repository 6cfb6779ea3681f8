//! The frame around every step: read the specification, take lock and latch, keep the time, leave a status.
//!
//! Knows nothing about what the steps do.

use super::{
    EXIT_BROKEN, EXIT_STARTED_BEFORE,
    child::{self, Stop},
    machine::{self, Instant, now},
    secrets::Redactor,
};
use crate::{
    domain::{Step, StepResult},
    runtime::{
        Handover,
        process::files::{self, StepFiles},
        spec::{SCHEMA, WorkerSpec},
    },
};
use rustix::process::{Signal, getpgrp, getpid, kill_process_group};
use secrecy::ExposeSecret as _;
use std::{
    fs::{File, OpenOptions, TryLockError},
    io::Write,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

/// How long saving work may take after a limit struck.
pub(super) const SAVE_LIMIT: Duration = Duration::from_secs(30);
/// What the watchdog grants beyond all limits before it takes the step for stuck.
const WATCHDOG_SLACK: Duration = Duration::from_secs(30);
/// How long the line on standard input may take: whoever starts us writes it at once.
const HANDOVER_PATIENCE: Duration = Duration::from_mins(2);
/// Observers hold the lock for microseconds; so often is it tried again.
const LOCK_TRIES: u32 = 100;
/// Between two tries.
const LOCK_PAUSE: Duration = Duration::from_millis(50);
/// Characters of one entry of the step's log; everything is in the evidence.
const SAID: usize = 4_000;
/// Where Kubernetes picks up the last words of a container; elsewhere it does not exist.
const TERMINATION_LOG: &str = "/dev/termination-log";
/// Variables that name a file of certificates, for OpenSSL, git, Node.js, Python and curl.
const TRUST: [&str; 5] =
    ["SSL_CERT_FILE", "GIT_SSL_CAINFO", "NODE_EXTRA_CA_CERTS", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"];
/// Names of variables whose values are secrets.
const SECRET_NAMES: [&str; 5] = ["KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIAL"];

/// Why a step did not begin, or could not end.
pub(super) struct Refusal {
    /// Exit code.
    pub(super) code: u8,
    /// For people.
    pub(super) why: String,
}

/// A step that has begun.
pub(super) struct Job {
    pub(super) spec: WorkerSpec,
    pub(super) directory: PathBuf,
    /// When the step is over at the latest.
    pub(super) deadline: Instant,
    pub(super) stop: Stop,
    pub(super) redactor: Redactor,
    /// What we were handed on standard input.
    pub(super) handover: Handover,
    /// The file with the certificates that we were handed.
    certificates: Option<PathBuf>,
    files: StepFiles,
    /// Held until the process ends.
    _lock: File,
}

impl Job {
    /// Takes lock and latch: after this the step runs exactly once.
    pub(super) fn begin(step: Step, directory: &Path) -> Result<Self, Refusal> {
        let broken = |why: String| Refusal { code: EXIT_BROKEN, why };
        let began = now();
        let files = StepFiles::new(directory);
        let mut handover = receive().map_err(broken)?;
        if let Some(spec) = handover.spec.take() {
            // Kept for people; the first one holds, as everywhere.
            let bytes = serde_json::to_vec_pretty(&spec).map_err(|e| broken(e.to_string()))?;
            files::write_once(&files.spec(), &bytes).map_err(|e| broken(format!("spec.json: {e}")))?;
        }
        let spec = files.read_spec().map_err(|e| broken(format!("spec.json: {e}")))?;
        if spec.schema != SCHEMA || spec.step != step {
            return Err(broken(format!("this worker knows schema {SCHEMA} and was called for {step}")));
        }
        let lock = lock(&files)?;
        match OpenOptions::new().write(true).create_new(true).open(files.latch()) {
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(Refusal {
                    code: EXIT_STARTED_BEFORE,
                    why: format!("{} was started before", spec.name()),
                });
            }
            Err(error) => return Err(broken(format!("latch: {error}"))),
        }
        files::write_atomically(&files.pid(), getpid().as_raw_nonzero().to_string().as_bytes())
            .map_err(|e| broken(format!("pid: {e}")))?;

        let signalled = Arc::new(AtomicBool::new(false));
        listen(Arc::clone(&signalled));
        let limits = &spec.limits;
        let deadline = began + Duration::from_secs(limits.wall_seconds);
        // Work is saved, and where the agent was cut off it is looked at and bundled once more.
        watch(deadline + Duration::from_secs(limits.grace_seconds) + 2 * SAVE_LIMIT + WATCHDOG_SLACK);

        let mut redactor = Redactor::default();
        if step == Step::Agent {
            // Whoever handed us one by mistake: the agent must not find it in our memory either.
            handover.credential = None;
        }
        if let Some(credential) = &handover.credential {
            redactor.learn(credential.token.expose_secret());
        }
        for (name, value) in &handover.environment {
            if SECRET_NAMES.iter().any(|part| name.to_uppercase().contains(part)) {
                redactor.learn(value.expose_secret());
            }
        }
        let certificates =
            handover.certificates.as_deref().map(|pem| trust(directory, pem)).transpose().map_err(broken)?;
        Ok(Self {
            certificates,
            spec,
            directory: directory.to_owned(),
            deadline,
            stop: Stop { file: files.stop(), signalled },
            redactor,
            handover,
            files,
            _lock: lock,
        })
    }

    /// Leaves the status: in its file, then as the last line of the output.
    pub(super) fn end(self, result: &StepResult) -> Result<(), Refusal> {
        let broken = |why: String| Refusal { code: EXIT_BROKEN, why };
        let line = serde_json::to_string(result).map_err(|e| broken(e.to_string()))?;
        files::write_atomically(&self.files.status(), line.as_bytes())
            .map_err(|e| broken(format!("status.json: {e}")))?;
        if let Ok(mut log) = OpenOptions::new().write(true).open(TERMINATION_LOG) {
            _ = log.write_all(line.as_bytes());
        }
        // The file decides; a closed pipe does not change how the step ended.
        _ = writeln!(std::io::stdout(), "{line}");
        Ok(())
    }

    /// A line for the step's log, before the status that ends it.
    pub(super) fn say(&self, text: &str) {
        // Nobody has to read along; a closed pipe stops no work.
        _ = writeln!(std::io::stdout(), "{}", self.clean(text, SAID));
    }

    /// Cleans text for people.
    pub(super) fn clean(&self, text: &str, limit: usize) -> String {
        self.redactor.clean(text, limit)
    }

    /// How to reach a server, for every program of this step that has one.
    pub(super) fn network(&self) -> Vec<(String, String)> {
        let mut network = machine::network();
        if let Some(file) = &self.certificates {
            network.retain(|(name, _)| !TRUST.contains(&name.as_str()));
            network.extend(TRUST.map(|name| (name.to_owned(), machine::text(file))));
        }
        network
    }

    /// Variables that every program of this step gets.
    pub(super) fn environment(&self) -> Vec<(String, String)> {
        let places = &self.spec.places;
        let own = |name: &str, value: String| (name.to_owned(), value);
        vec![
            own("PATH", machine::search_path()),
            own("LANG", "C.UTF-8".into()),
            own("HOME", machine::text(&places.home)),
            own("PWD", machine::text(&places.workspace)),
            own(files::MARK, machine::text(&self.directory)),
        ]
    }
}

/// Most programs trust this file instead of their own list, so it holds what is trusted anyway, too.
fn trust(directory: &Path, pem: &str) -> Result<PathBuf, String> {
    let usual =
        machine::certificates().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let place = directory.join("certificates.pem");
    files::write_atomically(&place, format!("{usual}\n{pem}\n").as_bytes())
        .map_err(|error| format!("certificates.pem: {error}"))?;
    Ok(place)
}

/// What we are handed. Whoever was to write it may be cut off without a word, and no limit of the step holds yet.
fn receive() -> Result<Handover, String> {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || _ = sender.send(Handover::read(std::io::stdin().lock())));
    receiver
        .recv_timeout(HANDOVER_PATIENCE)
        .unwrap_or_else(|_| Err(format!("nothing was handed over within {} s", HANDOVER_PATIENCE.as_secs())))
}

fn lock(files: &StepFiles) -> Result<File, Refusal> {
    let broken = |why: String| Refusal { code: EXIT_BROKEN, why: format!("lock: {why}") };
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(files.lock())
        .map_err(|e| broken(e.to_string()))?;
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(error)) => return Err(broken(error.to_string())),
        }
        if files.latch().exists() {
            break;
        }
    }
    Err(Refusal { code: EXIT_STARTED_BEFORE, why: "another worker of this name is running".into() })
}

/// A container runtime asks with `SIGTERM`; the first process of a container would ignore it by default.
fn listen(flag: Arc<AtomicBool>) {
    thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let Ok(mut signals) = signal(SignalKind::terminate()) else { return };
            while signals.recv().await.is_some() {
                flag.store(true, Ordering::SeqCst);
            }
        });
    });
}

/// Ends the step for good when everything else failed to: no status, so it counts as crashed.
fn watch(at: Instant) {
    thread::spawn(move || {
        while let Some(left) = at.checked_duration_since(now()).filter(|left| !left.is_zero()) {
            thread::sleep(left);
        }
        child::kill_running_group();
        if getpgrp() == getpid() {
            _ = kill_process_group(getpgrp(), Signal::KILL);
        }
        #[expect(clippy::exit, reason = "the supervisor is stuck; nothing is left to unwind")]
        std::process::exit(i32::from(EXIT_BROKEN));
    });
}
