//! The small enums that a case is told by.

use crate::domain::{AgentFailure, Started, Step};
use std::time::Duration;

/// Where the run stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decide) enum At {
    Claimed,
    Working(On, Step, Started),
    Pushed,
    InReview,
    EscalatedEarly,
    Escalated,
    Closed,
}

/// What the turn under way is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decide) enum On {
    Item,
    Red,
    Threads,
    Conflict,
}

impl On {
    pub(in crate::decide) const ALL: [Self; 4] = [Self::Item, Self::Red, Self::Threads, Self::Conflict];
}

/// The worker of the step under way; a stray one of turn 1 when none is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::decide) enum Work {
    None,
    Created,
    Running,
    Crashed,
    FetchReady,
    FetchGone,
    FetchMoved,
    FetchFailed,
    Worked,
    Replied,
    Nothing,
    Question,
    Failed(AgentFailure),
    Pushed,
    Refused,
    Diverged,
    PublishFailed,
}

impl Work {
    pub(in crate::decide) fn all() -> Vec<Self> {
        let mut all = vec![
            Self::None,
            Self::Created,
            Self::Running,
            Self::Crashed,
            Self::FetchReady,
            Self::FetchGone,
            Self::FetchMoved,
            Self::FetchFailed,
            Self::Worked,
            Self::Replied,
            Self::Nothing,
            Self::Question,
            Self::Pushed,
            Self::Refused,
            Self::Diverged,
            Self::PublishFailed,
        ];
        all.extend(AgentFailure::ALL.map(Self::Failed));
        all
    }
}

macro_rules! axis {
    ($(#[$doc:meta] $name:ident { $($value:ident),* $(,)? })*) => {$(
        #[$doc]
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::decide) enum $name { $($value),* }
        #[allow(dead_code, reason = "an axis that no block multiplies in full lists its few values there")]
        impl $name {
            pub(in crate::decide) const ALL: &[Self] = &[$(Self::$value),*];
        }
    )*};
}

axis! {
    /// The pull request.
    Pr { None, Current, Stale, Conflicts, MergeFailed, Draft, VotedDown, Completed, Abandoned, Other }
    /// Our branch: where we left it, gone, or where somebody else put it.
    Branch { Ours, Gone, Foreign }
    /// The checks.
    Ck {
        NotAsked, Nothing, NothingYet, Pending, Failing, Infrastructure, Broken, Canceled, Partial, Passing,
        PeopleOpen, Expired, LinkMissing, NeverStarted, Approval,
    }
    /// The threads.
    Talk { NotAsked, Silent, Awaiting, StillWriting, Answered }
    /// The work item.
    Item {
        Here, Over, Gone, LabelGone, StopLabel, StopAsked, Paused, Assigned, Asked, AskedAndReady, Claimed, Stale,
    }
    /// The turns before.
    Past { Few, Spent, TurnsGone, Answered, SameTwice }
    /// Everything began this long ago.
    Age { Seconds, Minutes, Hour, Hours, Days, Weeks }
    /// Facts that refine red and green, and what could not be performed.
    Fact { None, TargetRed, Flake, Weakened, Stuck }
    /// Settings.
    Rules { Default, Green, DraftAndAuto }
    /// What a part that is missing is.
    Hole { Unknown, NotAsked }
}

impl Age {
    /// Each falls between two deadlines: before all; after back-off and grace; after the step's; after the worker's
    /// last, the verdict's, the gap's and red's; after the reminder; after the review's.
    pub(in crate::decide) fn duration(self) -> Duration {
        let minutes = |n: u64| Duration::from_secs(n * 60);
        match self {
            Self::Seconds => Duration::from_secs(30),
            Self::Minutes => minutes(15),
            Self::Hour => minutes(55),
            Self::Hours => minutes(7 * 60),
            Self::Days => minutes(4 * 24 * 60),
            Self::Weeks => minutes(15 * 24 * 60),
        }
    }
}
