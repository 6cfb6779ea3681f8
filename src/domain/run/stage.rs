//! Where a run stands between two ticks, and which moves are legal.

use crate::domain::{Step, Turn};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Where a run stands between two ticks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "stage")]
pub enum Stage {
    /// The item is ours; no turn has started.
    Claimed,
    /// A turn is, or should be, executing this step.
    Working {
        /// The turn.
        turn: Turn,
        /// Its step.
        step: Step,
        /// Since when this step is due.
        since: Timestamp,
        /// Whether the runtime was seen to have its worker: then its absence means that it was lost.
        started: Started,
    },
    /// Our branch is pushed; the pull request is not known yet.
    Pushed {
        /// Since when.
        since: Timestamp,
    },
    /// The change is with checks and people.
    InReview {
        /// Since when.
        since: Timestamp,
    },
    /// People were asked; we only watch for their answer.
    Escalated {
        /// Why, as the people were told.
        reason: String,
        /// Since when.
        since: Timestamp,
    },
    /// Over.
    Closed {
        /// How.
        outcome: Outcome,
        /// When.
        at: Timestamp,
    },
}

impl Stage {
    /// The legal moves: everything else is a bug, and the store refuses it.
    pub fn can_become(&self, next: &Self) -> bool {
        use Stage::{Claimed, Closed, Escalated, InReview, Pushed, Working};
        match (self, next) {
            // A person who reactivates the pull request takes back that they gave it up.
            (Closed { outcome: Outcome::Declined, .. }, InReview { .. }) => true,
            // Over is over.
            (Closed { .. }, _) => false,
            // A person or the world can end a run, and we can ask for help, from anywhere.
            (_, Closed { .. } | Escalated { .. }) => true,
            // Only people lead out of an escalation; a resumed run goes back to where its work stands.
            (Escalated { .. }, Claimed | Working { .. } | Pushed { .. } | InReview { .. }) => true,
            // A claim is the beginning, but memory can be lost and the world be ahead of it.
            (Claimed, Claimed | Working { .. } | Pushed { .. } | InReview { .. }) => true,
            (Working { .. } | Pushed { .. } | InReview { .. }, Claimed) => false,
            (Working { .. }, Working { .. } | Pushed { .. } | InReview { .. }) => true,
            (Pushed { .. }, Pushed { .. } | InReview { .. } | Working { .. }) => true,
            (InReview { .. }, InReview { .. } | Working { .. }) => true,
            // A pull request does not become unknown again; a deleted one is declined.
            (InReview { .. }, Pushed { .. }) => false,
        }
    }

    /// One word, for tables.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::Working { .. } => "working",
            Self::Pushed { .. } => "pushed",
            Self::InReview { .. } => "in-review",
            Self::Escalated { .. } => "escalated",
            Self::Closed { .. } => "closed",
        }
    }
}

/// Whether a step's worker was ever seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Started {
    /// Reserved; the worker may not exist yet.
    NotYet,
    /// The runtime had it.
    Seen,
}

/// How a run closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The pull request was merged.
    Merged,
    /// All checks are green and policy says that is enough.
    Green,
    /// A person gave the pull request up or deleted its branch.
    Declined,
    /// A person took the item back.
    HandedBack,
    /// A later claim of the same item replaced this one.
    Superseded,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 5] =
        [Self::Merged, Self::Green, Self::Declined, Self::HandedBack, Self::Superseded];

    /// As it stands in logs and summaries.
    pub fn word(self) -> &'static str {
        match self {
            Self::Merged => "merged",
            Self::Green => "green",
            Self::Declined => "declined",
            Self::HandedBack => "handed-back",
            Self::Superseded => "superseded",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Revision, Trigger, TurnKind, TurnNumber};
    use insta::assert_snapshot;

    fn turn() -> Turn {
        let trigger = Trigger::WorkItem { revision: Revision(1) };
        Turn { number: TurnNumber::FIRST, kind: TurnKind::Implement, trigger, base: None, work_of: None }
    }

    fn stages() -> [Stage; 6] {
        let since = Timestamp::UNIX_EPOCH;
        [
            Stage::Claimed,
            Stage::Working { turn: turn(), step: Step::Fetch, since, started: Started::NotYet },
            Stage::Pushed { since },
            Stage::InReview { since },
            Stage::Escalated { reason: String::new(), since },
            Stage::Closed { outcome: Outcome::Merged, at: since },
        ]
    }

    #[test]
    fn the_legal_moves() {
        let rows = stages().into_iter().map(|from| {
            let to =
                stages().into_iter().filter(|to| from.can_become(to)).map(|to| to.word()).collect::<Vec<_>>();
            format!("{} -> {}\n", from.word(), to.join(" "))
        });
        assert_snapshot!(rows.collect::<String>(), @r#"
        claimed -> claimed working pushed in-review escalated closed
        working -> working pushed in-review escalated closed
        pushed -> working pushed in-review escalated closed
        in-review -> working in-review escalated closed
        escalated -> claimed working pushed in-review escalated closed
        closed ->
        "#);
    }
}
