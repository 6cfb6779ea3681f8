//! What a world needs to be treated badly: real programs that can be killed, a memory that can be lost, seeded chance,
//! and a summary of what people see in the end.

use super::{Memory, World};
use jiff::SignedDuration;
use std::{
    fs, io,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

/// One of the two programs that a scheduler starts.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Program {
    Poller,
    Watcher,
}

/// A program that was started as a scheduler would; it is killed when the test loses interest.
pub(crate) struct Invocation(Child);

impl Invocation {
    pub(crate) fn is_over(&mut self) -> bool {
        self.0.try_wait().expect("a child can be asked").is_some()
    }

    /// SIGKILL. Whether there was anything left to kill.
    pub(crate) fn kill(&mut self) -> bool {
        let was_alive = !self.is_over();
        self.0.kill().expect("a child can be killed");
        self.0.wait().expect("a child can be awaited");
        was_alive
    }

    pub(crate) async fn ends(&mut self) {
        for _ in 0..6_000 {
            if self.is_over() {
                return;
            }
            pause(10).await;
        }
        panic!("a program did not end within a minute");
    }
}

impl Drop for Invocation {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

/// Between two looks at real processes.
pub(crate) async fn pause(milliseconds: u64) {
    tokio::time::sleep(Duration::from_millis(milliseconds)).await;
}

/// Chance that can be repeated.
pub(crate) struct Dice {
    pub(crate) seed: u64,
    state: u64,
}

impl Dice {
    /// From `ROUNDSMAN_STORY_SEED`, else new; said aloud, so that a failure can be told again.
    pub(crate) fn new(story: &str) -> Self {
        use std::hash::{BuildHasher, Hasher};
        let fresh = || std::collections::hash_map::RandomState::new().build_hasher().finish() >> 32;
        let seed = number("ROUNDSMAN_STORY_SEED").unwrap_or_else(fresh);
        println!("{story}: ROUNDSMAN_STORY_SEED={seed}");
        Self { seed, state: seed }
    }

    /// One of `0..sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        // SplitMix64.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }
}

/// A number that whoever runs the stories may set.
pub(crate) fn number(name: &str) -> Option<u64> {
    std::env::var_os(name)?.to_str()?.parse().ok()
}

/// What people see in the end, without what may differ from one telling to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) state: String,
    pub(crate) tags: Vec<String>,
    /// State, title and work items of every pull request.
    pub(crate) pulls: Vec<(String, String, Vec<i64>)>,
    /// Comments of ours on the item that carry a marker.
    pub(crate) progress: usize,
    /// How the progress comment ends up: its first line.
    pub(crate) headline: String,
    /// Other comments of ours on the item.
    pub(crate) said: usize,
    /// Comments of ours, for each thread that people began.
    pub(crate) replies: Vec<usize>,
    /// Threads that we began.
    pub(crate) threads: usize,
    /// What was merged.
    pub(crate) merged: Option<String>,
}

impl World {
    /// Starts one of our programs as a scheduler would. What it says is kept below the world's home.
    pub(crate) fn start(&self, program: Program) -> Invocation {
        self.start_with(program, &[])
    }

    /// Starts the operator's program.
    pub(crate) fn start_operator(&self, arguments: &[&str]) -> Invocation {
        self.spawn(Command::new(env!("CARGO_BIN_EXE_roundsman")).args(arguments), &[])
    }

    /// The same with some settings changed.
    pub(crate) fn start_with(&self, program: Program, changed: &[(&str, &str)]) -> Invocation {
        let path = match program {
            Program::Poller => env!("CARGO_BIN_EXE_roundsman-poller"),
            Program::Watcher => env!("CARGO_BIN_EXE_roundsman-watcher"),
        };
        self.spawn(&mut Command::new(path), changed)
    }

    fn spawn(&self, command: &mut Command, changed: &[(&str, &str)]) -> Invocation {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.home().join("programs.log"));
        command.env_clear().envs(&self.vars).envs(changed.iter().copied());
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.expect("a log")).process_group(0);
        Invocation(command.spawn().expect("a program of ours"))
    }

    /// Loses the memory: the store's file and what belongs to it.
    pub(crate) fn forget(&self) {
        let lost = self.lose_memory();
        assert!(lost > 0 || self.memory() != Memory::Sqlite, "there was a memory to lose");
    }

    /// Ticks, polls and people, with an hour glass that runs once nothing comes of it by itself, until the item is closed
    /// and two more ticks had their say.
    pub(crate) async fn survives(&mut self, item: i64) {
        self.survives_until(|world| world.is_closed(item)).await;
        _ = self.tick().await;
        _ = self.tick().await;
    }

    pub(crate) async fn survives_until(&mut self, done: impl Fn(&Self) -> bool) {
        for round in 0..500 {
            if done(self) {
                return;
            }
            let report = self.tick().await;
            _ = self.poll().await;
            // Whether a lost request may still arrive is not waited for in real time.
            if report.lines.iter().any(|line| line.why.contains("it is looked for at")) {
                self.passes(SignedDuration::from_secs(61));
            }
            // People are refused now and then, and try again.
            _ = self.universe.review();
            if round > 60 {
                // Longer than any back-off takes together, far shorter than any patience.
                self.passes(SignedDuration::from_secs(15));
            }
            pause(30).await;
        }
        let items = self.universe.emulator.items();
        let log = fs::read_to_string(self.home().join("programs.log")).unwrap_or_default();
        panic!("the story did not get there: {:#?}\n{items:#?}\n{log}", self.runs().await);
    }

    /// The summary.
    pub(crate) fn seen(&self, item: i64) -> Seen {
        let (emulator, bot) = (&self.universe.emulator, &self.universe.bot.id);
        let shown = emulator.item(item).expect("the item");
        let comments = self.comments(item);
        let (progress, said): (Vec<_>, Vec<_>) =
            comments.iter().partition(|text| roundsman::words::Marker::find(text).is_some());
        let pulls = emulator.pull_requests();
        let threads = pulls.iter().flat_map(|pull| &pull.threads).filter(|thread| !thread.is_system());
        let own = |thread: &roundsman::emulator::ThreadSnapshot| {
            thread.comments.iter().filter(|comment| !comment.deleted && comment.author == *bot).count()
        };
        let (ours, theirs): (Vec<_>, Vec<_>) =
            threads.partition(|thread| thread.comments.first().is_some_and(|c| c.author == *bot));
        let merged = emulator.file(&self.universe.repository, "refs/heads/main", "bin/greet");
        Seen {
            state: shown.state,
            tags: shown.tags,
            pulls: pulls
                .iter()
                .map(|pull| (pull.status.clone(), pull.title.clone(), pull.work_items.clone()))
                .collect(),
            progress: progress.len(),
            headline: progress.first().map(|text| headline(text)).unwrap_or_default(),
            said: said.len(),
            replies: theirs.iter().map(|thread| own(thread)).collect(),
            threads: ours.len(),
            merged: merged.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// Directories of the steps of all turns, as the process runtime lays them out.
    pub(crate) fn steps(&self) -> Vec<PathBuf> {
        steps_below(&self.settings().state_dir.join("runs"))
    }

    /// SIGKILLs the worker of a step with all its programs. Whether it was alive: it holds its lock.
    pub(crate) fn kill_worker(step: &Path) -> bool {
        let Ok(lock) = fs::File::open(step.join("lock")) else { return false };
        if !matches!(lock.try_lock_shared(), Err(fs::TryLockError::WouldBlock)) {
            return false;
        }
        let Ok(text) = fs::read_to_string(step.join("pid")) else { return false };
        let group = text.trim().parse().ok().and_then(rustix::process::Pid::from_raw);
        group.is_some_and(|group| {
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).is_ok()
        })
    }

    /// Command lines of processes that still work somewhere below this world.
    pub(crate) fn orphans(&self) -> Vec<String> {
        at_work_below(self.home()).into_iter().map(|(_, line)| line).collect()
    }

    /// One closed run, merged; everything once; nothing of ours left behind.
    pub(crate) async fn assert_survived(&self, item: i64) {
        self.assert_once(item);
        let runs = self.runs().await;
        assert_eq!(runs.len(), 1, "{runs:#?}");
        let is_merged = matches!(
            runs[0].stage,
            roundsman::domain::Stage::Closed { outcome: roundsman::domain::Outcome::Merged, .. }
        );
        assert!(is_merged, "{runs:#?}");
        let seen = self.seen(item);
        assert!(seen.replies.iter().all(|replies| *replies == 1), "{seen:#?}");
        assert_eq!(seen.threads, 0, "{seen:#?}");
        assert_eq!(seen.said, 1, "one closing word: {:#?}", self.comments(item));
        let workers = self.app().await.runtime.workers().await.expect("workers");
        assert!(workers.is_empty(), "{workers:#?}");
        assert_eq!(self.orphans(), Vec::<String>::new());
    }
}

/// Processes that work somewhere below a world's directory, with their command lines.
fn at_work_below(home: &Path) -> Vec<(PathBuf, String)> {
    let home = home.display().to_string();
    let read = |process: PathBuf| -> io::Result<(PathBuf, String)> {
        let line = fs::read(process.join("cmdline"))?;
        Ok((process, String::from_utf8_lossy(&line).replace('\0', " ")))
    };
    let all = entries(Path::new("/proc")).into_iter().filter_map(|process| read(process).ok());
    // The pretend service has git processes of its own.
    let service = format!("{home}/azure-devops");
    all.filter(|(_, line)| line.contains(&home) && !line.contains(&service)).collect()
}

/// The directory of a world. Whatever a story left at work ends with it: agents that wait for a word would go on for hours.
pub(crate) struct Home(pub(crate) tempfile::TempDir);

impl Drop for Home {
    fn drop(&mut self) {
        for (process, _) in at_work_below(self.0.path()) {
            let id = process.file_name().and_then(|name| name.to_str()?.parse().ok());
            if let Some(id) = id.and_then(rustix::process::Pid::from_raw) {
                _ = rustix::process::kill_process(id, rustix::process::Signal::KILL);
            }
        }
    }
}

/// See [`World::steps`].
pub(crate) fn steps_below(runs: &Path) -> Vec<PathBuf> {
    let turns = entries(runs).into_iter().flat_map(|run| entries(&run));
    turns.flat_map(|turn| entries(&turn.join("steps"))).collect()
}

fn headline(text: &str) -> String {
    let plain = text.replace("<br>", "\n").replace("</p>", "\n");
    let line = plain.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or_default();
    line.to_owned()
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<PathBuf> = fs::read_dir(directory)
        .map(|entries| entries.flatten().map(|entry| entry.path()).collect())
        .unwrap_or_default();
    paths.sort();
    paths
}
