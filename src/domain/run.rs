//! A run: everything for one claimed item, from claim to close, as it is remembered between two ticks.
//!
//! A run holds only what cannot be read from the world again, or is needed to ask for it. History is kept for people
//! and is no input to a decision; what decisions count (turns by kind, triggers already used) is in [`Run::turns`].

use super::{
    AgentFailure, BranchName, CommentId, CommitId, DiffStat, ExecutorId, Generation, Identity, Judged,
    PullRequestId, Repository, Revision, RunId, Step, TextChange, Trigger, TriggerKey, Turn, TurnKind,
    TurnNumber, Usage,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// One run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// Work item and tested revision.
    pub id: RunId,
    /// Who owns the run's containers.
    pub executor: ExecutorId,
    /// Random, made before the claim: tells two processes of one executor apart.
    pub nonce: String,
    /// Where the change goes.
    pub repository: Repository,
    /// The branch that the pull request targets.
    pub target: BranchName,
    /// The work item's type by name; its states are looked up by it.
    pub kind: String,
    /// The work item's title when it was claimed, for sentences.
    pub title: String,
    /// Who asked, that is put the label on. Mentioned when we need somebody.
    pub requested_by: Option<Identity>,
    /// Server time of the claim. All commits carry it, so that the same input gives the same commit ids.
    pub claimed_at: Timestamp,
    /// The one progress comment, once found or written.
    pub progress_comment: Option<CommentId>,
    /// Digest of the progress comment as last written: unchanged means nothing to write and nothing to read.
    pub progress_digest: Option<String>,
    /// Where the run stands.
    pub stage: Stage,
    /// All turns so far, oldest first; at most `MAX_TURNS`.
    pub turns: Vec<TurnRecord>,
    /// What we pushed last, confirmed by a read.
    pub pushed: Option<Pushed>,
    /// Our pull request, once seen.
    pub pull_request: Option<PullRequestId>,
    /// Since when the verdict on our work has been red; cleared by green.
    pub red_since: Option<Timestamp>,
    /// What we doubt: seen missing or unreadable, and since when.
    pub doubts: Doubts,
    /// When reviewers were reminded; once per run.
    pub reminded_at: Option<Timestamp>,
    /// Procedures already carried out, by key: each is tried once per head, so that one that has no effect cannot
    /// become a write per tick.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub procedures: BTreeSet<String>,
    /// What the item asked for besides its text, within what the operator allows.
    #[serde(default, skip_serializing_if = "Choices::is_empty")]
    pub choices: Choices,
    /// The last time that a trusted person let the run go on: what was spent before does not count any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<Resumed>,
    /// The newest turn whose work was accepted, that is all checks passed on it: money is counted from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted: Option<TurnNumber>,
    /// What earlier runs of the same work item used up, as it was known at the claim: money is counted per item.
    #[serde(default, skip_serializing_if = "Usage::is_nothing")]
    pub before: Usage,
    /// What the newest turn's agent says about its work: a claim, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub said: Option<Claimed>,
    /// The head about which the progress comment has mentioned a person: each mention is a mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mentioned: Option<CommitId>,
    /// The newest edit of the item's text that came after the one that was approved: told, never worked on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<TextChange>,
    /// The revision of the item up to which its discussion was read: a comment makes a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heard: Option<Revision>,
    /// The head whose tests were counted last, and how many there were.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub judged: Option<Judged>,
    /// Red because the target branch is: the run waits for it to be mended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parked: Option<Parked>,
    /// What it goes on with, when the executor of an earlier run of this item was gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub continues: Option<Continued>,
    /// The oldest turns, where there were too many of them for the record in the comment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub summed: Option<Summed>,
    /// How often it was saved.
    #[serde(skip, default = "new_generation")]
    pub generation: Generation,
}

fn new_generation() -> Generation {
    Generation::NEW
}

/// Why and since when a run waits for its target branch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Parked {
    /// The failure that both have.
    pub signature: String,
    /// When it was seen.
    pub since: Timestamp,
    /// When the target was first seen without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<Timestamp>,
}

/// What a claim settles: what never changes in the life of a run.
#[derive(Clone, Debug)]
pub struct Claim {
    /// See [`Run::id`].
    pub id: RunId,
    /// See [`Run::executor`].
    pub executor: ExecutorId,
    /// See [`Run::nonce`].
    pub nonce: String,
    /// See [`Run::repository`].
    pub repository: Repository,
    /// See [`Run::target`].
    pub target: BranchName,
    /// See [`Run::kind`].
    pub kind: String,
    /// See [`Run::title`].
    pub title: String,
    /// See [`Run::requested_by`].
    pub requested_by: Option<Identity>,
    /// See [`Run::claimed_at`].
    pub claimed_at: Timestamp,
}

/// What an item asks for by label, frozen at the claim. None = what the operator set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choices {
    /// The agent by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The model, as the agent writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// How hard it thinks, as the agent writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub effort: Option<String>,
    /// Whether the pull request is opened as a draft.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draft: Option<bool>,
}

impl Choices {
    /// Nothing was asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What an agent says about its work.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claimed {
    /// In which turn.
    pub turn: TurnNumber,
    /// One paragraph, cut.
    pub summary: String,
    /// Whether it says that the repository's checks passed; none when there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checks_passed: Option<bool>,
    /// What it said that it would do, cut; none when it made no plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
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

/// What a run took over from one whose executor is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Continued {
    /// The branch with the work so far, named after the run that began it.
    pub branch: BranchName,
    /// The revision of the item whose text was approved.
    pub text: Revision,
}

/// A trusted person let the run go on, by label or by command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// When we heard it.
    pub at: Timestamp,
    /// Who.
    pub by: Option<Identity>,
    /// The newest turn then: it and those before count against no budget of attempts, and their inputs may be tried
    /// again.
    pub after: TurnNumber,
    /// The revision of the item that they have seen: from now on its text is what is asked for.
    pub revision: Revision,
}

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

/// The newest thing we pushed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// The head.
    pub head: CommitId,
    /// When it was seen.
    pub at: Timestamp,
}

/// Absences and gaps become facts only with time and a second look; this is where the first look is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Doubts {
    /// The work item answered "not there".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_gone_since: Option<Timestamp>,
    /// Our branch was not there although we pushed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub branch_gone_since: Option<Timestamp>,
    /// The worker that we saw was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker_gone_since: Option<Timestamp>,
    /// Our branch was at a commit that we never pushed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foreign_head_since: Option<Timestamp>,
    /// Something needed could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gap_since: Option<Timestamp>,
    /// The checks had no verdict on our head; cleared by a verdict. A build that is queued again after days in review
    /// has its own clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pending_since: Option<Timestamp>,
    /// An effect that was decided could not be performed, and why it last could not; cleared by the next that can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stuck: Option<Stuck>,
    /// Something was said and the answer was lost: since when the server may still be at it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unheard_since: Option<Timestamp>,
}

/// What could not be performed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stuck {
    /// Since when.
    pub since: Timestamp,
    /// Why, redacted, for people.
    pub why: String,
    /// Whether it may heal by itself, or by the operator's hand for all runs: then people are asked late.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_heal: bool,
}

impl Run {
    /// A run as it is right after its claim.
    pub fn claimed(claim: Claim) -> Self {
        let Claim { id, executor, nonce, repository, target, kind, title, requested_by, claimed_at } = claim;
        Self {
            id,
            executor,
            nonce,
            repository,
            target,
            kind,
            title,
            requested_by,
            claimed_at,
            progress_comment: None,
            progress_digest: None,
            stage: Stage::Claimed,
            turns: Vec::new(),
            pushed: None,
            pull_request: None,
            red_since: None,
            doubts: Doubts::default(),
            reminded_at: None,
            procedures: BTreeSet::new(),
            choices: Choices::default(),
            resumed: None,
            accepted: None,
            before: Usage::default(),
            said: None,
            mentioned: None,
            edited: None,
            heard: None,
            judged: None,
            parked: None,
            continues: None,
            summed: None,
            generation: Generation::NEW,
        }
    }

    /// The revision whose text is what is asked for: the approved one, or the one with which a person let it go on.
    pub fn text_revision(&self) -> Revision {
        let approved = self.continues.as_ref().map_or(self.id.revision, |continued| continued.text);
        self.resumed.as_ref().map_or(approved, |resumed| resumed.revision)
    }

    /// Turns that count: those since a person last let the run go on.
    pub fn counted(&self) -> impl Iterator<Item = &TurnRecord> {
        let after = self.resumed.as_ref().map(|resumed| resumed.after);
        self.turns.iter().filter(move |turn| after.is_none_or(|after| turn.number > after))
    }

    /// The branch of this run.
    /// Whether its pull request is opened as a draft: what the item chose, else what the operator set.
    pub fn opens_as_draft(&self, usual: bool) -> bool {
        self.choices.draft.unwrap_or(usual)
    }

    /// The branch of this run: its own, or the one that it goes on with.
    pub fn branch(&self) -> BranchName {
        self.continues
            .as_ref()
            .map_or_else(|| BranchName::of_run(self.id), |continued| continued.branch.clone())
    }

    /// Whether the run is over.
    pub fn is_closed(&self) -> bool {
        match self.stage {
            Stage::Closed { .. } => true,
            Stage::Claimed
            | Stage::Working { .. }
            | Stage::Pushed { .. }
            | Stage::InReview { .. }
            | Stage::Escalated { .. } => false,
        }
    }

    /// The turn being executed.
    pub fn current_turn(&self) -> Option<(&Turn, Step)> {
        match &self.stage {
            Stage::Working { turn, step, .. } => Some((turn, *step)),
            Stage::Claimed
            | Stage::Pushed { .. }
            | Stage::InReview { .. }
            | Stage::Escalated { .. }
            | Stage::Closed { .. } => None,
        }
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

    /// Whether its pull request is a draft by our own doing; `usually` is what the operator set.
    pub fn drafts(&self, usually: bool) -> bool {
        let first = self.turns.iter().find(|turn| matches!(turn.end, Some(TurnEnd::Pushed { .. })));
        self.choices.draft.unwrap_or(usually) || first.is_some_and(TurnRecord::is_cut)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Awaiting, Revision, ThreadId, WorkItemId};
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

    #[test]
    fn people_are_answered_word_by_word_and_on_any_head() {
        let commit = |digit: &str| digit.repeat(40).parse::<CommitId>().unwrap();
        let word = |thread, comment| Awaiting { thread: ThreadId(thread), comment: CommentId(comment) };
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
