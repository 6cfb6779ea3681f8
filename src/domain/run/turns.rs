//! What a run remembers of its turns, and what is counted of them: attempts, losses, use, inputs that were answered.
//!
//! Knows numbers only; what they may be is in `decide`'s budgets.

use crate::domain::{
    AgentFailure, CommitId, DiffStat, Run, Trigger, TriggerKey, TurnKind, TurnNumber, Usage,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What is remembered of a turn after it ended: enough to count and to never repeat.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TurnRecord {
    /// Its number.
    pub number: TurnNumber,
    /// Its kind.
    pub kind: TurnKind,
    /// The input it answered.
    pub trigger: TriggerKey,
    /// When it was reserved.
    pub at: Timestamp,
    /// How it ended, once it did.
    pub end: Option<TurnEnd>,
    /// The earlier turn whose work it only publishes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work_of: Option<TurnNumber>,
    /// What its agent used up, once that is known.
    #[serde(default, skip_serializing_if = "Usage::is_nothing")]
    pub usage: Usage,
    /// When its end was noted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<Timestamp>,
    /// What failed, where it was lost or failed: tells an outage of the provider from a weak agent, across runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<AgentFailure>,
    /// Size of what it pushed, as publish measured it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changed: Option<DiffStat>,
}

impl TurnRecord {
    /// A turn that was just reserved.
    pub fn reserved(number: TurnNumber, kind: TurnKind, trigger: TriggerKey, at: Timestamp) -> Self {
        Self {
            number,
            kind,
            trigger,
            at,
            end: None,
            work_of: None,
            usage: Usage::default(),
            ended_at: None,
            fault: None,
            changed: None,
        }
    }

    /// The turn whose agent did the work.
    pub fn work(&self) -> TurnNumber {
        self.work_of.unwrap_or(self.number)
    }

    /// Whether it counts against the budget of its kind: everything that was not lost to the cluster.
    pub fn is_spent(&self) -> bool {
        self.end != Some(TurnEnd::Lost)
    }

    /// Whether it counts as lost to the cluster. What a provider did not answer has its own limit, in time.
    pub fn is_lost(&self) -> bool {
        self.end == Some(TurnEnd::Lost) && !self.is_unanswered()
    }

    /// The model provider did not answer.
    pub fn is_unanswered(&self) -> bool {
        self.fault == Some(AgentFailure::Provider)
    }

    /// A limit cut its agent off, and what it had done was pushed.
    pub fn is_cut(&self) -> bool {
        self.fault == Some(AgentFailure::Exhausted) && matches!(self.end, Some(TurnEnd::Pushed { .. }))
    }
}

/// How a turn ended, as far as budgets care.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "end")]
pub enum TurnEnd {
    /// Pushed this head.
    Pushed {
        /// The head.
        head: CommitId,
    },
    /// Ended properly without a push (an answer was enough).
    Answered,
    /// Lost to the cluster: costs an infrastructure attempt, never one of the agent's.
    Lost,
    /// Failed by the agent or its provider.
    Failed,
}

impl Run {
    /// Turns that count: those since a person last let the run go on.
    pub fn counted(&self) -> impl Iterator<Item = &TurnRecord> {
        let after = self.resumed.as_ref().map(|resumed| resumed.after);
        self.turns.iter().filter(move |turn| after.is_none_or(|after| turn.number > after))
    }

    /// The number that the next turn gets.
    pub fn next_turn_number(&self) -> TurnNumber {
        self.turns.last().map_or(TurnNumber::FIRST, |last| last.number.next())
    }

    /// Turns of `kind` that count against its budget: everything that was not lost to the cluster.
    pub fn spent(&self, kind: TurnKind) -> u32 {
        let summed = self.summed.as_ref().and_then(|summed| summed.spent.get(&kind).copied());
        summed.unwrap_or(0).saturating_add(count(self.counted().filter(|t| t.kind == kind && t.is_spent())))
    }

    /// Turns lost to the cluster. Those that a provider did not answer have their own limit, in time.
    pub fn lost(&self) -> u32 {
        let summed = self.summed.as_ref().map_or(0, |summed| summed.lost);
        summed.saturating_add(count(self.counted().filter(|t| t.is_lost())))
    }

    /// The newest turns, as long as none of them got an answer from the model provider; newest first.
    pub fn unanswered(&self) -> impl Iterator<Item = &TurnRecord> {
        let counted: Vec<&TurnRecord> = self.counted().collect();
        counted.into_iter().rev().skip_while(|turn| turn.ended_at.is_none()).take_while(|t| t.is_unanswered())
    }

    /// What the run used up so far, earlier runs of its work item not included.
    pub fn usage(&self) -> Usage {
        self.turns.iter().fold(Usage::default(), |sum, turn| sum + turn.usage)
    }

    /// The newest turn, if a limit cut its agent off and its work was pushed as it was, and nobody let it go on since.
    pub fn cut_short(&self) -> Option<&TurnRecord> {
        self.counted().last().filter(|turn| turn.is_cut())
    }

    /// Whether we ever knew `head` as the head of our branch.
    pub fn knows_head(&self, head: &CommitId) -> bool {
        self.pushed.as_ref().is_some_and(|p| p.head == *head)
            || self.turns.iter().any(|t| matches!(&t.end, Some(TurnEnd::Pushed { head: own }) if own == head))
    }

    /// Whether this very input was already answered by a turn that was not lost to the cluster. People's words are
    /// the same input on every head: they were answered when each of them was, in whichever turn.
    pub fn has_answered(&self, trigger: &Trigger) -> bool {
        let kept = || self.counted().filter(|t| t.end != Some(TurnEnd::Lost)).map(|t| &t.trigger);
        match trigger {
            Trigger::Threads { awaiting, head: _ } => {
                awaiting.iter().all(|word| kept().any(|key| key.is_about(*word)))
            }
            Trigger::WorkItem { .. }
            | Trigger::FailingChecks { .. }
            | Trigger::Conflict { .. }
            | Trigger::Answer { .. } => {
                let asked = trigger.key();
                kept().any(|key| *key == asked)
            }
        }
    }
}

fn count(turns: impl Iterator) -> u32 {
    u32::try_from(turns.count()).unwrap_or(u32::MAX)
}

/// Turns that are remembered as a sum. What they used up is in [`Run::before`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summed {
    /// The newest of them.
    pub until: TurnNumber,
    /// How many of them count against the budget of their kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub spent: BTreeMap<TurnKind, u32>,
    /// How many of them count as lost to the cluster.
    #[serde(default, skip_serializing_if = "is_none_lost")]
    pub lost: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it so")]
fn is_none_lost(lost: &u32) -> bool {
    *lost == 0
}

impl Summed {
    /// Of turns up to that one; nothing counts yet.
    pub fn until(number: TurnNumber) -> Self {
        Self { until: number, spent: BTreeMap::new(), lost: 0 }
    }

    /// Adds the next turn, and whether it counts against budgets of attempts.
    pub fn add(&mut self, turn: &TurnRecord, counts: bool) {
        self.until = self.until.max(turn.number);
        if counts && turn.is_lost() {
            self.lost += 1;
        } else if counts && turn.is_spent() {
            *self.spent.entry(turn.kind).or_default() += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{
        Awaiting, BranchName, Claim, CommentId, ExecutorId, Repository, Revision, RunId, ThreadId, WorkItemId,
    };

    #[test]
    fn people_are_answered_word_by_word_and_on_any_head() {
        let commit = |digit: &str| digit.repeat(40).parse::<CommitId>().unwrap();
        let word = |thread, comment| Awaiting::of(ThreadId(thread), CommentId(comment));
        let asked = |head: &str, awaiting: &[Awaiting]| Trigger::Threads {
            head: commit(head),
            awaiting: awaiting.to_vec(),
        };
        let record = |number, trigger: &Trigger, end| TurnRecord {
            end,
            ..TurnRecord::reserved(
                TurnNumber(number),
                TurnKind::Respond,
                trigger.key(),
                Timestamp::UNIX_EPOCH,
            )
        };
        let mut run = sample();
        run.turns = vec![
            record(1, &asked("a", &[word(3, 1), word(12, 4)]), Some(TurnEnd::Pushed { head: commit("b") })),
            record(2, &asked("b", &[word(5, 1)]), Some(TurnEnd::Lost)),
        ];
        assert!(run.has_answered(&asked("b", &[word(3, 1)])), "one of the two, on the next head");
        assert!(!run.has_answered(&asked("b", &[word(3, 2), word(12, 4)])), "somebody went on in one thread");
        assert!(!run.has_answered(&asked("b", &[word(3, 1), word(4, 1)])), "somebody began another");
        assert!(!run.has_answered(&asked("b", &[word(2, 4)])), "2.4 is not 12.4");
        assert!(!run.has_answered(&asked("b", &[word(5, 1)])), "the cluster lost that turn");
        run.turns.push(record(3, &asked("b", &[word(5, 1)]), None));
        assert!(run.has_answered(&asked("b", &[word(5, 1)])), "it is being done again");
        assert_eq!((run.spent(TurnKind::Respond), run.lost(), run.next_turn_number().0), (2, 1, 4));
    }

    fn sample() -> Run {
        Run::claimed(Claim {
            id: RunId { item: WorkItemId(7), revision: Revision(1) },
            executor: ExecutorId("here".into()),
            nonce: "n".into(),
            repository: Repository {
                id: "r".into(),
                name: "shop".into(),
                project_id: "p".into(),
                project: "Web".into(),
                clone_url: "https://example.org".into(),
                default_branch: None,
            },
            target: BranchName::new("main"),
            kind: "Bug".into(),
            title: "t".into(),
            requested_by: None,
            claimed_at: Timestamp::UNIX_EPOCH,
        })
    }
}
