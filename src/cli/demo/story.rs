//! Other roads than the straight one, played for a person to watch: `roundsman demo --story NAME`.
//!
//! A story is data: how the stage is set, what people do and when, when it is over, and what must then be true. Who
//! plays the agent is a small shell script of the story. Knows the universe from outside; what our programs make of it
//! is read from the same records that an operator would read.

mod direction;
mod repertoire;

pub(super) use direction::direct;

use super::universe::{Universe, refused};
use crate::{
    domain::{Run, Stage},
    emulator::{CommentSnapshot, SeedFile},
};
use std::{collections::BTreeMap, fs, io, path::PathBuf};

const MAIN: &str = "refs/heads/main";

/// Which story.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Story {
    /// Reviewers ask twice, and are answered twice.
    ReviewPingPong,
    /// A reviewer writes the very line: it becomes a commit, and no agent is called.
    Suggestion,
    /// The target branch moves under the change, and is merged into it.
    Conflict,
    /// A build fails for reasons of the pipeline, and is run again without an agent.
    FlakyBuild,
    /// The target branch is red itself: the run parks until it is mended.
    TargetRed,
    /// A person pushes to the branch, and hands it back later.
    HumanTakeover,
    /// The agent has a question; the answer goes into the same run.
    AgentAsks,
    /// The checks stay red until attempts are used up.
    BudgetSpent,
    /// One of two executors dies; the other takes over.
    TwoClusters,
    /// The kill switch is pulled between push and pull request.
    Brake,
    /// The label is taken off while the agent works.
    LabelRemoved,
    /// The memory is deleted before every look.
    LostMemory,
    /// Nothing checks pull requests in this repository.
    NoChecks,
    /// A command in the discussion pauses the run, another lets it go on.
    Commands,
}

/// How a story goes.
pub(super) struct Plot {
    /// One line for the people who watch.
    pub(super) title: &'static str,
    /// The agent: a POSIX shell script that is told the kind of turn in `$ROUNDSMAN_TURN_KIND` and finds `$WORLD`.
    pub(super) agent: &'static str,
    /// What differs from the demo's settings.
    pub(super) settings: &'static [(&'static str, &'static str)],
    /// What is done to the stage before anybody comes on.
    pub(super) prepare: fn(&Scene) -> io::Result<()>,
    /// What people do, in this order.
    pub(super) acts: Vec<Act>,
    /// Whether it is over.
    pub(super) ends: fn(&Scene) -> bool,
    /// What must be true then.
    pub(super) proves: fn(&Scene) -> Vec<Proof>,
    /// Whether the memory is deleted before each round.
    pub(super) forgets: bool,
}

/// Something that a person does, or that happens to a machine.
pub(super) struct Act {
    /// As soon as this holds.
    pub(super) when: fn(&Scene) -> bool,
    /// Who.
    pub(super) who: &'static str,
    /// What people are told.
    pub(super) what: &'static str,
    /// The deed.
    pub(super) deed: fn(&mut Scene) -> io::Result<()>,
}

/// Something that a story shows.
pub(super) struct Proof {
    /// In a word or two.
    pub(super) name: &'static str,
    /// Whether it held.
    pub(super) kept: bool,
    /// What was found.
    pub(super) found: String,
}

/// What a story sees and moves.
pub(super) struct Scene {
    pub(super) universe: Universe,
    /// The work item of the story.
    pub(super) item: i64,
    /// Runs as the executors remember them after their last visit.
    pub(super) runs: Vec<Run>,
    /// Executors: the first one, and one that joins where a story wants it.
    pub(super) hosts: Vec<Host>,
    /// How far the programs' clocks are ahead.
    pub(super) ahead: jiff::SignedDuration,
    /// Rounds of all programs since the last act.
    pub(super) rounds: u32,
    /// Where scripts leave word.
    pub(super) world: PathBuf,
}

/// One executor: its settings, and whether its scheduler still starts anything.
pub(super) struct Host {
    pub(super) vars: BTreeMap<String, String>,
    pub(super) is_alive: bool,
    /// Whether its memory is deleted before each look.
    pub(super) forgets: bool,
}

impl Scene {
    /// The newest run.
    pub(super) fn run(&self) -> Option<&Run> {
        self.runs.iter().max_by_key(|run| run.id)
    }

    fn is_over(&self) -> bool {
        self.run().is_some_and(Run::is_closed)
    }

    fn is_escalated(&self) -> bool {
        self.run().is_some_and(|run| matches!(run.stage, Stage::Escalated { .. }))
    }

    /// Lets time pass for our programs and for the pretend service.
    fn passes(&mut self, hours: i64) {
        let by = jiff::SignedDuration::from_hours(hours);
        self.ahead += by;
        self.universe.emulator.advance(by);
    }

    /// Whether a script left this file.
    fn there(&self, file: &str) -> bool {
        self.world.join(file).exists()
    }

    fn leave(&self, file: &str) -> io::Result<()> {
        fs::write(self.world.join(file), "")
    }

    fn set(&mut self, name: &str, value: &str) {
        for host in &mut self.hosts {
            host.vars.insert(name.to_owned(), value.to_owned());
        }
    }

    /// The only pull request that is open, or was.
    fn pull(&self) -> Option<crate::emulator::PullSnapshot> {
        self.universe.emulator.pull_requests().into_iter().next_back()
    }

    fn is_green(&self) -> bool {
        self.pull().is_some_and(|pull| {
            pull.merge_status == "succeeded"
                && pull.checks.iter().any(|(name, status)| name == "Build" && status == "approved")
        })
    }

    /// In review, green, and nobody of ours at work: what people wait for before they speak.
    fn is_ready(&self) -> bool {
        self.is_green() && self.run().is_some_and(|run| matches!(run.stage, Stage::InReview { .. }))
    }

    /// Whether a turn of this kind has pushed.
    fn turned(&self, kind: &str) -> bool {
        let turns = self.run().map(|run| run.turns.as_slice()).unwrap_or_default();
        turns.iter().any(|turn| turn.kind.word() == kind && turn.end.is_some())
    }

    /// Whether any word of ours on the item contains this.
    fn says(&self, words: &str) -> bool {
        self.told().iter().any(|text| text.contains(words))
    }

    /// Branches of ours.
    fn branches(&self) -> usize {
        let refs = self.universe.emulator.refs(&self.universe.repository);
        refs.keys().filter(|name| name.starts_with("refs/heads/agent/")).count()
    }

    /// A file on main.
    fn file(&self, path: &str) -> String {
        let found = self.universe.emulator.file(&self.universe.repository, MAIN, path);
        String::from_utf8(found.unwrap_or_default()).unwrap_or_default()
    }

    /// Another pull request, as it were, brings a file to main.
    fn lands(&self, path: &str, content: &str) -> io::Result<()> {
        let Universe { emulator, repository, owner, .. } = &self.universe;
        let files = [SeedFile::new(path, content)];
        emulator.land(repository, MAIN, &files, "From elsewhere", owner).map(drop).map_err(refused)
    }

    /// A person's own commit on the agent's branch.
    fn pushes(&self, path: &str, content: &str) -> io::Result<()> {
        let Universe { emulator, repository, owner, .. } = &self.universe;
        let branch = self.run().ok_or_else(|| io::Error::other("no run"))?.branch().full();
        let files = [SeedFile::new(path, content)];
        emulator.push_as(repository, &branch, &files, "By hand", owner).map(drop).map_err(refused)
    }

    /// What the pipeline runs from now on, a shell script.
    fn pipeline(&self, script: &str) -> io::Result<()> {
        let place = self.world.join("pipeline.sh");
        fs::write(&place, format!("WORLD='{}'\n{script}", self.world.display()))?;
        let place = place.display().to_string();
        self.universe.emulator.set_pipeline_command(self.universe.pipeline, &["sh", &place]);
        Ok(())
    }

    /// The pipeline builds main.
    fn builds_main(&self) -> io::Result<()> {
        let Universe { emulator, pipeline, owner, .. } = &self.universe;
        emulator
            .run_pipeline(*pipeline, MAIN, owner)
            .map(drop)
            .ok_or_else(|| io::Error::other("nothing was queued"))
    }

    fn comments(&self, text: &str) -> io::Result<()> {
        let Universe { emulator, owner, .. } = &self.universe;
        emulator.comment_item(self.item, &format!("<p>{text}</p>"), owner).map(drop).map_err(refused)
    }

    /// Another executor with a memory of its own.
    fn joins(&mut self, name: &'static str) -> io::Result<()> {
        let mut vars = self.hosts[0].vars.clone();
        let state = self.world.join(name);
        fs::create_dir_all(&state)?;
        vars.insert("ROUNDSMAN_STATE_DIR".into(), state.display().to_string());
        vars.insert("ROUNDSMAN_RUNTIME_EXECUTOR".into(), name.into());
        self.hosts.push(Host { vars, is_alive: true, forgets: false });
        Ok(())
    }

    /// Replies of ours in threads that a person opened.
    fn replies(&self) -> usize {
        let bot = &self.universe.bot.id;
        let threads = self.pull().map(|pull| pull.threads).unwrap_or_default();
        threads
            .iter()
            .filter(|thread| thread.comments.first().is_some_and(|first| first.author != *bot))
            .flat_map(|thread| &thread.comments)
            .filter(|comment| comment.author == *bot && !comment.deleted)
            .count()
    }

    /// Our words on the work item, newest last.
    fn told(&self) -> Vec<String> {
        let item = self.universe.emulator.item(self.item);
        let own = item.map(|item| item.comments).unwrap_or_default().into_iter();
        own.filter(|comment| !comment.deleted && comment.author == self.universe.bot.id)
            .map(|comment| comment.text)
            .collect()
    }

    fn tags(&self) -> Vec<String> {
        self.universe.emulator.item(self.item).map(|item| item.tags).unwrap_or_default()
    }

    fn turns(&self) -> String {
        let kinds = self.run().map(|run| run.turns.iter().map(|turn| turn.kind.word()).collect::<Vec<_>>());
        kinds.unwrap_or_default().join(", ")
    }

    /// Says something in a thread of its own, on a file.
    fn remarks(&self, text: &str) -> io::Result<()> {
        let pull = self.pull().ok_or_else(|| io::Error::other("no pull request"))?;
        let Universe { emulator, reviewer, .. } = &self.universe;
        emulator
            .comment_pull_request(pull.id, text, Some(("/README.md", 1)), reviewer)
            .map(drop)
            .map_err(refused)
    }

    /// Says more in the thread that was begun first.
    fn asks_again(&self, text: &str) -> io::Result<()> {
        let Universe { emulator, reviewer, .. } = &self.universe;
        let pull = self.pull().ok_or_else(|| io::Error::other("no pull request"))?;
        let begun = |comment: &CommentSnapshot| comment.author == reviewer.id;
        let thread = pull.threads.iter().find(|thread| thread.comments.first().is_some_and(begun));
        let thread = thread.ok_or_else(|| io::Error::other("no thread"))?;
        emulator.reply(pull.id, thread.id, text, reviewer).map(drop).map_err(refused)
    }

    /// The reviewer is content, settles what is open and completes.
    fn completes(&self) -> io::Result<()> {
        let pull = self.pull().ok_or_else(|| io::Error::other("no pull request"))?;
        let Universe { emulator, reviewer, .. } = &self.universe;
        for thread in pull.threads.iter().filter(|thread| !thread.is_system()) {
            emulator.set_thread_status(pull.id, thread.id, "fixed").map_err(refused)?;
        }
        emulator.vote(pull.id, 10, reviewer).map_err(refused)?;
        emulator.complete(pull.id, "squash", reviewer).map_err(refused)
    }
}

impl Story {
    pub(super) fn title(self) -> &'static str {
        self.plot().title
    }

    pub(super) fn plot(self) -> Plot {
        repertoire::plot(self)
    }
}

/// For a story that proves something about what is left.
fn proof(name: &'static str, kept: bool, found: impl Into<String>) -> Proof {
    Proof { name, kept, found: found.into() }
}
