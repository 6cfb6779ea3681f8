//! What one tick learned about one run: read once, possibly stale, possibly incomplete, and honest about it.

use crate::domain::{
    Build, CommitId, FailedTask, IdentityId, PolicyEvaluation, PullRequest, Thread, WorkItem, Worker,
};
use std::{collections::BTreeSet, fmt};

/// Everything that was read about one run in one tick. There is no way to build one with a part left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observation {
    /// Who we are: our own comments and commits are nobody's feedback.
    pub me: IdentityId,
    /// The work item.
    pub item: Seen<ItemSeen>,
    /// Every worker that the executor has for this run.
    pub workers: Seen<Vec<Worker>>,
    /// Head of our branch; none when there is no such branch.
    pub branch: Seen<Option<CommitId>>,
    /// Our pull request, in whatever state; none when there is none.
    pub pull_request: Seen<Option<PullRequest>>,
    /// What checks and policies say.
    pub checks: Seen<Checks>,
    /// Discussions on the pull request.
    pub threads: Seen<Vec<Thread>>,
    /// Signatures of failures on the target branch itself.
    pub target_failures: Seen<BTreeSet<String>>,
    /// Names of failing tests that fail on the target branch now and then.
    pub known_flakes: Seen<BTreeSet<String>>,
    /// Whether the last fix left fewer tests, or more skipped ones, than the build before.
    pub tests_weakened: Seen<Option<String>>,
    /// Whether a later claim of the item took our place. Asked for only once somebody may have made one.
    pub replaced: Seen<bool>,
}

/// A part of an observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen<T> {
    /// Read, complete.
    Known(T),
    /// Could not be read. Never bad news, never good news.
    Unknown(Gap),
    /// Not looked at in this tick, on purpose: the run is cold, or nothing below needs it.
    NotAsked,
}

impl<T> Seen<T> {
    /// The value, if it was read.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) | Self::NotAsked => None,
        }
    }

    /// The gap, if it could not be read.
    pub fn gap(&self) -> Option<&Gap> {
        match self {
            Self::Unknown(gap) => Some(gap),
            Self::Known(_) | Self::NotAsked => None,
        }
    }
}

/// Something that could not be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// What.
    pub source: Source,
    /// Why, redacted, for the operator.
    pub why: String,
}

impl fmt::Display for Gap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} could not be read: {}", self.source, self.why)
    }
}

/// What an observation consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The work item.
    Item,
    /// The executor's workers.
    Workers,
    /// Our branch.
    Branch,
    /// Our pull request.
    PullRequest,
    /// Checks and policies.
    Checks,
    /// Discussions.
    Threads,
}

impl Source {
    /// All sources.
    pub const ALL: [Self; 6] =
        [Self::Item, Self::Workers, Self::Branch, Self::PullRequest, Self::Checks, Self::Threads];
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Item => "the work item",
            Self::Workers => "the executor's workers",
            Self::Branch => "our branch",
            Self::PullRequest => "the pull request",
            Self::Checks => "checks and policies",
            Self::Threads => "the discussions",
        })
    }
}

/// The work item as seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemSeen {
    /// It is there.
    Here {
        /// The item.
        item: Box<WorkItem>,
        /// Whether its state means that nobody expects work any more.
        is_over: bool,
        /// Whether a trusted person wrote `/agent stop`.
        stop_asked: bool,
    },
    /// Missing, deleted or unreadable: these look alike.
    Gone,
}

/// What checks and policies say about our pull request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Evaluations of branch policies.
    pub evaluations: Vec<PolicyEvaluation>,
    /// Builds of our branch and of the pull request's merge.
    pub builds: Vec<Build>,
    /// Whether a branch policy of the target validates at all.
    pub is_validated: bool,
    /// The failing tasks of the failing builds, once something failed.
    pub failed_tasks: Vec<FailedTask>,
}
