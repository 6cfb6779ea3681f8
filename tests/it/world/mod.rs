//! The test universe: the demo's pretend Azure DevOps, our programs called as a scheduler would call them, and a clock
//! that can be moved. Each invocation has settings, memory and `now` of its own; nothing is handed over.

pub(crate) mod harsh;

use jiff::{SignedDuration, Timestamp};
use roundsman::{
    cli::demo::universe::Universe,
    domain::{Run, Stage},
    settings::Settings,
    shell::{
        App, Host,
        poll::{self, Mode},
        report::Report,
        tick,
    },
};
use std::{collections::BTreeMap, path::Path, time::Duration};

mod programs;

use harsh::Home;
pub(crate) use programs::{Ended, line, program};

pub(crate) struct World {
    pub(crate) universe: Universe,
    /// Settings; a story changes them before it acts.
    pub(crate) vars: BTreeMap<String, String>,
    /// How far the programs' clock is ahead of the real one.
    ahead: SignedDuration,
    home: std::sync::Arc<Home>,
    memory: Memory,
    /// Where all exchanges with the pretend service are written down.
    traffic: std::path::PathBuf,
}

/// How runs are remembered in every story of one telling; `ROUNDSMAN_STORY_STORE` chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// In a file.
    Sqlite,
    /// In Azure DevOps alone.
    Labels,
    /// In a file that is deleted before each visit of the watcher.
    Forgetful,
}

impl Memory {
    #[expect(
        clippy::disallowed_methods,
        reason = "whoever runs the tests chooses; no program of ours reads it"
    )]
    pub(crate) fn chosen() -> Self {
        match std::env::var("ROUNDSMAN_STORY_STORE").as_deref() {
            Err(_) | Ok("" | "sqlite") => Self::Sqlite,
            Ok("labels") => Self::Labels,
            Ok("forgetful") => Self::Forgetful,
            Ok(other) => panic!("ROUNDSMAN_STORY_STORE is sqlite, labels or forgetful, not {other}"),
        }
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::at(std::net::Ipv4Addr::LOCALHOST.into()).await
    }

    /// A world whose pretend services listen at this address of the machine.
    pub(crate) async fn at(address: std::net::IpAddr) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let record = traffic(home.path()).unwrap_or_else(|| home.path().join("traffic.jsonl"));
        let universe =
            Universe::build(home.path(), (address, 0).into(), Some(&record)).await.expect("a universe");
        let mut vars: BTreeMap<String, String> = universe.vars().into_iter().collect();
        let memory = Memory::chosen();
        if memory == Memory::Labels {
            vars.insert("ROUNDSMAN_STORE_KIND".into(), "labels".into());
        }
        Self {
            universe,
            vars,
            ahead: SignedDuration::ZERO,
            home: std::sync::Arc::new(Home(home)),
            memory,
            traffic: record,
        }
    }

    /// The same world, seen from another host.
    pub(crate) fn elsewhere(&self) -> Self {
        let Self { universe, vars, ahead, home, memory, traffic } = self;
        Self {
            universe: universe.clone(),
            vars: vars.clone(),
            ahead: *ahead,
            home: home.clone(),
            memory: *memory,
            traffic: traffic.clone(),
        }
    }

    /// All exchanges with the pretend service so far.
    pub(crate) fn sent(&self) -> String {
        std::fs::read_to_string(&self.traffic).expect("traffic")
    }

    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.vars.insert(name.to_owned(), value.to_owned());
    }

    pub(crate) fn home(&self) -> &Path {
        self.home.0.path()
    }

    /// Lets time pass for our programs and for the pretend service.
    pub(crate) fn passes(&mut self, by: SignedDuration) {
        self.ahead += by;
        self.universe.emulator.advance(by);
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::from_vars(self.vars.clone().into_iter()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    /// The clock of our programs.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test plays the scheduler: each invocation reads its clock once"
    )]
    pub(crate) fn now(&self) -> Timestamp {
        Timestamp::now() + self.ahead
    }

    /// One invocation's application.
    pub(crate) async fn app(&self) -> App {
        let now = self.now();
        match App::open(self.settings(), host(), now).await {
            // A file that was deleted under a connection which was just closing; nobody does that but this test.
            Err(_) if self.memory == Memory::Forgetful && self.lose_memory() > 0 => {
                App::open(self.settings(), host(), now).await.expect("an application")
            }
            opened => opened.expect("an application"),
        }
    }

    pub(crate) async fn poll(&self) -> Report {
        Box::pin(poll::poll(&self.app().await, Mode::Real)).await
    }

    pub(crate) async fn tick(&self) -> Report {
        if self.memory == Memory::Forgetful {
            self.lose_memory();
        }
        Box::pin(tick::tick(&self.app().await, Mode::Real)).await
    }

    /// Polls and ticks, lets the reviewer look and builds end, until `done` or until nothing has come of 400 rounds.
    pub(crate) async fn until(&self, done: impl Fn(&Self) -> bool) {
        for _ in 0..400 {
            if done(self) {
                return;
            }
            _ = self.tick().await;
            _ = self.poll().await;
            self.universe.review().expect("a review");
            // Workers and builds are real processes; they need real time.
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        panic!(
            "the story did not get there: {:#?}\n{:#?}",
            self.runs().await,
            self.universe.emulator.items()
        );
    }

    /// Until the work item is closed and nothing of ours is in flight.
    pub(crate) async fn until_closed(&self, item: i64) {
        self.until(|world| world.is_closed(item)).await;
        _ = self.tick().await;
    }

    pub(crate) fn is_closed(&self, item: i64) -> bool {
        self.universe.emulator.item(item).is_some_and(|item| item.category == "Completed")
    }

    /// Deletes the file in which runs are remembered; answers how many files that were.
    pub(crate) fn lose_memory(&self) -> usize {
        let store = self.settings().store.path;
        let parts = ["", "-wal", "-shm"].map(|end| format!("{}{end}", store.display()));
        parts.into_iter().filter(|part| std::fs::remove_file(part).is_ok()).count()
    }

    /// Whether the story can be told although it is about the file; if not, why is said aloud.
    #[expect(
        clippy::print_stdout,
        reason = "what was not told is part of what a reader of a run wants to see"
    )]
    pub(crate) fn keeps_a_file(&self, story: &str) -> bool {
        let keeps = self.memory == Memory::Sqlite;
        if !keeps {
            println!("skipped: not told with {:?}: {story}", self.memory);
        }
        keeps
    }

    pub(crate) fn memory(&self) -> Memory {
        self.memory
    }

    /// All runs of this executor, newest first. Where the memory is lost all the time, those that are over are only to be
    /// found in their comments.
    pub(crate) async fn runs(&self) -> Vec<Run> {
        let mut runs = self.app().await.store.recent(100).await.expect("runs");
        if self.memory == Memory::Forgetful {
            let mut told = self.elsewhere();
            told.set("ROUNDSMAN_STORE_KIND", "labels");
            // A story may have made Azure DevOps refuse us.
            let told = told.app().await.store.recent(100).await.unwrap_or_default();
            runs.extend(
                told.into_iter().filter(|old| !runs.iter().any(|run| run.id == old.id)).collect::<Vec<_>>(),
            );
            runs.sort_by_key(|run| std::cmp::Reverse((run.claimed_at, run.id)));
        }
        runs
    }

    /// The only run, and its stage.
    pub(crate) async fn stage(&self) -> Stage {
        let runs = self.runs().await;
        assert_eq!(runs.len(), 1, "{runs:#?}");
        runs[0].stage.clone()
    }

    /// Texts of all comments of ours on the item.
    pub(crate) fn comments(&self, item: i64) -> Vec<String> {
        let item = self.universe.emulator.item(item).expect("the item");
        let own = item.comments.into_iter().filter(|c| !c.deleted && c.author == self.universe.bot.id);
        own.map(|comment| comment.text).collect()
    }

    /// What everybody must see, whatever went wrong on the way: one claim, one pull request, one progress comment.
    pub(crate) fn assert_once(&self, item: i64) {
        let pulls = self.universe.emulator.pull_requests();
        assert!(pulls.len() <= 1, "{pulls:#?}");
        let comments = self.comments(item);
        let progress = comments.iter().filter(|text| roundsman::words::Marker::find(text).is_some()).count();
        assert_eq!(progress, 1, "{comments:#?}");
        assert!(!comments.iter().any(|text| own_words(text).contains('`')), "HTML: {comments:#?}");
        let unknown = self.universe.emulator.unknown_requests();
        assert!(unknown.is_empty(), "{unknown:#?}");
    }
}

/// A comment of ours without what it quotes.
fn own_words(html: &str) -> String {
    let (first, quotes) = html.split_once("<blockquote>").unwrap_or((html, ""));
    let after = quotes.split("<blockquote>").filter_map(|quote| quote.split_once("</blockquote>"));
    after.fold(first.to_owned(), |words, (_, more)| words + more)
}

/// Where all exchanges with this world are recorded, for whoever holds them against the service's own documents.
fn traffic(home: &Path) -> Option<std::path::PathBuf> {
    let folder = std::env::var_os("ROUNDSMAN_STORY_TRAFFIC").filter(|folder| !folder.is_empty())?;
    let name = home.file_name().expect("a name").to_string_lossy().into_owned();
    Some(Path::new(&folder).join(format!("{}.jsonl", name.trim_start_matches('.'))))
}

/// The worker that cargo built beside these tests.
pub(crate) fn host() -> Host {
    let path = std::env::var_os("PATH").map(|path| ("PATH".to_owned(), path.to_string_lossy().into_owned()));
    Host {
        worker: vec![env!("CARGO_BIN_EXE_roundsman-worker").into()],
        environment: path.into_iter().collect(),
    }
}
