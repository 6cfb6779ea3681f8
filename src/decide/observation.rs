//! What one tick learned about one run: read once, possibly stale, possibly incomplete, and honest about it.

use super::budget::FleetFacts;
use super::heard::{Asked, Remark};
use crate::domain::{
    Build, CommitId, FailedTask, FailedTest, IdentityId, LabelledBy, OwnWord, PolicyEvaluation, PostedStatus,
    PullRequest, TestTotals, TextChange, Thread, WorkItem, Worker,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, fmt};

/// Everything that was read about one run in one tick. There is no way to build one with a part left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default = "Observation::of_nothing")]
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
    /// What we said on the pull request, by its keys; read together with the discussions.
    pub said: Seen<Vec<OwnWord>>,
    /// The discussion of the work item, oldest first. Not asked for when nothing was said since we looked last.
    pub discussion: Seen<Vec<Remark>>,
    /// Commands in threads of the pull request that await our answer.
    pub commands: Seen<Vec<Asked>>,
    /// Who put the label for agents on an escalated item again, if it is there.
    pub labelled: Seen<Option<LabelledBy>>,
    /// Who changed the item's text, and when; asked for when a command would let an escalated run go on.
    pub text_changes: Seen<Vec<TextChange>>,
    /// What became of the tests on our head; asked once for each head that has a verdict.
    pub tests: Seen<TestsSeen>,
    /// Who made the branch of our name, where the service tells.
    pub branch_by: Seen<Option<IdentityId>>,
    /// What all runs together come to, as remembered: day's spending, and whether something is down for all of them.
    #[serde(default)]
    pub fleet: FleetFacts,
    /// Whether a later claim of the item took our place. Asked for only once somebody may have made one.
    pub replaced: Seen<bool>,
    /// Whether of somebody who spoke it could not be told whether their words count: a group could not be read.
    #[serde(default)]
    pub unsure: bool,
}

impl Observation {
    /// For records of a version that did not look at everything yet: what is missing there was not asked.
    fn of_nothing() -> Self {
        Self {
            me: IdentityId::new(""),
            fleet: FleetFacts::default(),
            item: Seen::NotAsked,
            workers: Seen::NotAsked,
            branch: Seen::NotAsked,
            pull_request: Seen::NotAsked,
            checks: Seen::NotAsked,
            threads: Seen::NotAsked,
            target_failures: Seen::NotAsked,
            known_flakes: Seen::NotAsked,
            said: Seen::NotAsked,
            discussion: Seen::NotAsked,
            commands: Seen::NotAsked,
            labelled: Seen::NotAsked,
            text_changes: Seen::NotAsked,
            tests: Seen::NotAsked,
            branch_by: Seen::NotAsked,
            replaced: Seen::NotAsked,
            unsure: false,
        }
    }
}

/// A part of an observation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Checks {
    /// Evaluations of branch policies.
    pub evaluations: Vec<PolicyEvaluation>,
    /// Builds of our branch and of the pull request's merge.
    pub builds: Vec<Build>,
    /// Whether a branch policy of the target validates at all.
    pub is_validated: bool,
    /// The failing tasks of the failing builds, once something failed.
    pub failed_tasks: Vec<FailedTask>,
    /// The failing tests of the failing builds, where they published any.
    pub failed_tests: Vec<FailedTest>,
    /// Statuses that other services posted; asked only where no policy validates.
    pub statuses: Vec<PostedStatus>,
}

/// What became of the tests on our head.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestsSeen {
    /// How many its builds published; none where they published nothing.
    pub totals: Option<TestTotals>,
    /// Whether nobody may tell us how many: then they prove nothing, and what the push itself shows still counts.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_uncounted: bool,
    /// How many the builds of the head before published; asked only when the run does not remember.
    pub before: Option<TestTotals>,
    /// Files of tests that the newest push took away.
    pub removed: Vec<String>,
    /// Files with thresholds of coverage that the newest push touched.
    pub touched: Vec<String>,
}
