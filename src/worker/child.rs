//! One child process with everything around it that it cannot be trusted with: its own process group, a deadline, an
//! idle limit, an output cap, a stop file, and an end that leaves no process behind.
//!
//! Knows nothing about git, agents or turns. An exit code is reported, never believed.

use super::{
    evidence::Sink,
    machine::{self, Instant, now},
};
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use std::{
    io::{Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicI32, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

/// Shortest pause of the supervisor: most git calls end within a few milliseconds.
const POLL_FIRST: Duration = Duration::from_millis(2);
/// Longest pause of the supervisor: a stop must be noticed within a quarter of a second.
const POLL_LONGEST: Duration = Duration::from_millis(100);
/// How long pipes may stay open after the group was killed: only a process that left the group can hold them.
const PIPE_PATIENCE: Duration = Duration::from_secs(2);
/// What is kept of standard error for people.
const STDERR_TAIL: usize = 16 << 10;

/// How much sooner than its supervisor the kernel ends a call where memory is short: of 1,000, half.
const OOM_SCORE: &str = "500";

/// The process group of the call that is running, for the watchdog: 0 = none. One step runs one call at a time.
static GROUP: AtomicI32 = AtomicI32::new(0);

/// Kills the group of the running call, whatever the supervisor is doing.
pub(super) fn kill_running_group() {
    if let Some(group) = Pid::from_raw(GROUP.load(Ordering::SeqCst)) {
        _ = kill_process_group(group, Signal::KILL);
    }
}

/// How somebody tells a step to stop: a file in its directory, or a `SIGTERM` of the container runtime.
#[derive(Clone, Debug)]
pub(super) struct Stop {
    /// The file.
    pub(super) file: PathBuf,
    /// Set by the signal handler.
    pub(super) signalled: Arc<AtomicBool>,
}

impl Stop {
    /// Whether somebody did.
    pub(super) fn asked(&self) -> bool {
        self.signalled.load(Ordering::SeqCst) || self.file.exists()
    }
}

/// What a call may use up.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// When it is over at the latest.
    pub(super) deadline: Instant,
    /// Time without a byte of output after which it counts as hung.
    pub(super) idle: Option<Duration>,
    /// Bytes of output.
    pub(super) output_bytes: u64,
    /// Between asking and killing.
    pub(super) grace: Duration,
    /// How to notice a stop; none while work is being saved because of one.
    pub(super) stop: Option<Stop>,
}

/// Reads along.
pub(super) trait Watch: Send + Sync {
    /// The next bytes of standard output.
    fn output(&self, bytes: &[u8]);

    /// Why the call must end now.
    fn cut(&self) -> Option<String>;

    /// Whether its output belongs into the log as well.
    fn is_logged(&self) -> bool;
}

/// A call to be made.
pub(super) struct Call<'a> {
    /// Program and arguments; never through a shell.
    pub(super) command: &'a [String],
    /// The complete environment.
    pub(super) environment: &'a [(String, String)],
    /// Working directory.
    pub(super) directory: &'a Path,
    /// Standard input.
    pub(super) input: Vec<u8>,
    /// Where output goes: both streams, or standard error alone where somebody watches the other.
    pub(super) log: Option<Sink>,
    /// Who reads standard output as it comes, and may end the call because of it.
    pub(super) watch: Option<Arc<dyn Watch>>,
    /// Whether standard output is handed back.
    pub(super) capture: bool,
    /// Its bounds.
    pub(super) bounds: Bounds,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// By itself, with this code.
    Exited(i32),
    /// By a signal that was not ours.
    Signalled(i32),
    /// It could not be started.
    NotStarted(String),
    /// Killed: silent for too long.
    Idle,
    /// Killed: took too long.
    Timeout,
    /// Killed: wrote too much.
    TooMuchOutput,
    /// Killed: used up what it was given.
    Exhausted(String),
    /// Killed: somebody asked for a stop.
    Stopped,
}

/// What a call left.
#[derive(Debug)]
pub(super) struct Ended {
    /// How it ended.
    pub(super) end: End,
    /// Standard output, if captured.
    pub(super) stdout: Vec<u8>,
    /// The end of standard error.
    pub(super) stderr: Vec<u8>,
}

impl Ended {
    fn not_started(why: &std::io::Error) -> Self {
        Self { end: End::NotStarted(why.to_string()), stdout: Vec::new(), stderr: Vec::new() }
    }
}

/// Makes the call and supervises it to its end. When this returns, nothing of its process group is alive.
pub(super) fn run(call: Call<'_>) -> Ended {
    let Some((program, arguments)) = call.command.split_first() else {
        return Ended::not_started(&std::io::Error::other("the command is empty"));
    };
    let path =
        call.environment.iter().rev().find(|(name, _)| name == "PATH").map(|(_, value)| value.as_str());
    let spawned = Command::new(machine::place(program, path.unwrap_or_default()))
        .arg0(program)
        .args(arguments)
        .env_clear()
        .envs(call.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(call.directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => return Ended::not_started(&error),
    };
    let group = Pid::from_child(&child);
    // Where memory ends, the one who used it up goes, not the one who can tell of it. Not every kernel lets us.
    _ = std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), OOM_SCORE);
    GROUP.store(group.as_raw_nonzero().get(), Ordering::SeqCst);

    let shared = Arc::new(Shared {
        began: now(),
        last_output_ms: AtomicU64::new(0),
        total: AtomicU64::new(0),
        cap: call.bounds.output_bytes,
        closed: AtomicBool::new(false),
        log: Mutex::new(call.log),
        stdout: Mutex::new(Vec::new()),
        stderr: Mutex::new(Vec::new()),
    });
    let (done, pipes) = mpsc::channel();
    if let Some(pipe) = child.stdout.take() {
        let keep = if call.capture { Keep::All } else { Keep::Nothing };
        read(pipe, Arc::clone(&shared), keep, call.watch.clone(), done.clone());
    }
    if let Some(pipe) = child.stderr.take() {
        read(pipe, Arc::clone(&shared), Keep::Tail, None, done);
    }
    if let Some(mut pipe) = child.stdin.take() {
        // A child that does not read its input closes the pipe; that is its right.
        thread::spawn(move || _ = pipe.write_all(&call.input));
    }

    let cut = supervise(group, &shared, &call.bounds, call.watch.as_deref());
    // The leader is still a zombie here, so its id cannot have been given to somebody else: the group is ours.
    _ = kill_process_group(group, Signal::KILL);
    let end = reap(&mut child, cut);
    GROUP.store(0, Ordering::SeqCst);
    for _ in 0..2 {
        if pipes.recv_timeout(PIPE_PATIENCE).is_err() {
            break;
        }
    }
    shared.closed.store(true, Ordering::SeqCst);
    if let Some(log) = shared.log.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
        log.finish();
    }
    let end = if shared.is_over() && matches!(end, End::Exited(_)) { End::TooMuchOutput } else { end };
    Ended { end, stdout: take(&shared.stdout), stderr: take(&shared.stderr) }
}

fn take(bytes: &Mutex<Vec<u8>>) -> Vec<u8> {
    std::mem::take(&mut bytes.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Returns when the leader has ended, and why we ended it, if we did.
fn supervise(group: Pid, shared: &Shared, bounds: &Bounds, watch: Option<&dyn Watch>) -> Option<End> {
    let mut pause = POLL_FIRST;
    loop {
        if has_ended(group) {
            return None;
        }
        let used_up = || watch.and_then(Watch::cut).map(End::Exhausted);
        if let Some(cut) = shared.cut(bounds).or_else(used_up) {
            _ = kill_process_group(group, Signal::TERM);
            let kill_at = now() + bounds.grace;
            while !has_ended(group) && now() < kill_at {
                thread::sleep(POLL_LONGEST.min(bounds.grace));
            }
            return Some(cut);
        }
        thread::sleep(pause);
        pause = (pause * 2).min(POLL_LONGEST);
    }
}

/// Looks without reaping, so that the id stays reserved until the group is killed.
fn has_ended(leader: Pid) -> bool {
    let look = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    !matches!(waitid(WaitId::Pid(leader), look), Ok(None))
}

fn reap(child: &mut Child, cut: Option<End>) -> End {
    match (child.wait(), cut) {
        (_, Some(cut)) => cut,
        (Err(error), None) => End::NotStarted(error.to_string()),
        (Ok(status), None) => {
            status.code().map_or_else(|| End::Signalled(status.signal().unwrap_or_default()), End::Exited)
        }
    }
}

/// What supervisor and readers share.
struct Shared {
    began: Instant,
    last_output_ms: AtomicU64,
    total: AtomicU64,
    cap: u64,
    closed: AtomicBool,
    log: Mutex<Option<Sink>>,
    stdout: Mutex<Vec<u8>>,
    stderr: Mutex<Vec<u8>>,
}

impl Shared {
    fn elapsed_ms(&self) -> u64 {
        u64::try_from(now().duration_since(self.began).as_millis()).unwrap_or(u64::MAX)
    }

    fn is_over(&self) -> bool {
        self.total.load(Ordering::SeqCst) > self.cap
    }

    fn cut(&self, bounds: &Bounds) -> Option<End> {
        if bounds.stop.as_ref().is_some_and(Stop::asked) {
            return Some(End::Stopped);
        }
        if self.is_over() {
            return Some(End::TooMuchOutput);
        }
        if now() >= bounds.deadline {
            return Some(End::Timeout);
        }
        let silent = self.elapsed_ms().saturating_sub(self.last_output_ms.load(Ordering::SeqCst));
        bounds.idle.filter(|limit| Duration::from_millis(silent) > *limit).map(|_| End::Idle)
    }
}

#[derive(Clone, Copy)]
enum Keep {
    All,
    Tail,
    Nothing,
}

fn read(
    mut pipe: impl Read + Send + 'static,
    shared: Arc<Shared>,
    keep: Keep,
    watch: Option<Arc<dyn Watch>>,
    done: mpsc::Sender<()>,
) {
    thread::spawn(move || {
        let mut buffer = vec![0; 64 << 10];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            if shared.closed.load(Ordering::SeqCst) {
                break;
            }
            shared.last_output_ms.store(shared.elapsed_ms(), Ordering::SeqCst);
            let before = shared.total.fetch_add(count as u64, Ordering::SeqCst);
            // Over the cap the pipe is drained, not kept, so that the child does not block before it is killed.
            let room = usize::try_from(shared.cap.saturating_sub(before)).unwrap_or(usize::MAX);
            let bytes = &buffer[..count.min(room)];
            if let Some(watch) = &watch {
                watch.output(bytes);
            }
            if watch.as_ref().is_none_or(|watch| watch.is_logged())
                && let Some(log) = shared.log.lock().unwrap_or_else(PoisonError::into_inner).as_mut()
            {
                log.take(bytes);
            }
            match keep {
                Keep::Nothing => {}
                Keep::All => {
                    shared.stdout.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
                }
                Keep::Tail => {
                    let mut tail = shared.stderr.lock().unwrap_or_else(PoisonError::into_inner);
                    tail.extend_from_slice(bytes);
                    let surplus = tail.len().saturating_sub(STDERR_TAIL);
                    tail.drain(..surplus);
                }
            }
        }
        _ = done.send(());
    });
}
