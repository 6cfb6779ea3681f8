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
    Answer,
}

impl On {
    pub(in crate::decide) const ALL: [Self; 5] =
        [Self::Item, Self::Red, Self::Threads, Self::Conflict, Self::Answer];
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
    Empty,
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
            Self::Empty,
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
    Pr {
        None, Current, Stale, Conflicts, MergeFailed, Draft, VotedDown, Completed, Abandoned, Other, MergesAtOnce,
        MergesAtOnceInConflict,
    }
    /// Our branch: where we left it, gone, or where somebody else put it.
    Branch { Ours, Gone, Foreign }
    /// The checks.
    Ck {
        NotAsked, Nothing, NothingYet, Pending, Failing, Infrastructure, Broken, Canceled, Stopped, Partial, Passing,
        PeopleOpen, Expired, LinkMissing, NeverStarted, Approval, NoAgent, OptionalRed,
    }
    /// The threads.
    Talk { NotAsked, Silent, Awaiting, StillWriting, Answered, Twice, Opposed }
    /// The work item.
    Item {
        Here, Over, Gone, LabelGone, StopLabel, StopAsked, Paused, Assigned, Asked, AskedAndReady, Claimed, Stale,
    }
    /// The turns before.
    Past { Few, Spent, TurnsGone, Answered, SameTwice, Unanswered, Cut }
    /// Everything began this long ago.
    Age { Seconds, Minutes, Hour, Hours, Days, Weeks }
    /// Facts that refine red and green, and what could not be performed.
    Fact { None, TargetRed, TargetMended, TargetUnknown, Flake, Weakened, Unheard, Stuck }
    /// What was used up, and what all runs together come to.
    Spend { Little, Time, Tokens, Cost, Unaccepted, Unpriced, Pushes, Day, Down, DownForOthers, Unread }
    /// Settings.
    Rules { Default, Green, DraftAndAuto, Drill }
    /// What people said to us in the discussion, in a thread or by label, and what we said.
    Voice {
        Silent, Unread, Nothing, Status, Explain, Stop, Pause, Resume, Retry, Dance, Stranger, Answered, InThread,
        TextChanged, Labelled, LabelledByStranger, LabelledByNobody, Answer, StrangersAnswer,
        WordsAfterNoQuestion, AnswerInReview, StrangersReview, ReviewBeforeQuestion, ReviewAfterNoQuestion, TakenBack,
        ClaimedAnew,
    }
    /// Whether another executor took the run over, where that was looked at.
    Successor { NotAsked, None, There, Unknown }
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
