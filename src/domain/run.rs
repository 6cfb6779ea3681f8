//! A run: everything for one claimed item, from claim to close, as it is remembered between two ticks.
//!
//! A run holds only what cannot be read from the world again, or is needed to ask for it. History is kept for people
//! and is no input to a decision; what decisions count (turns by kind, triggers already used) is in [`Run::turns`].

mod stage;
mod turns;

pub use stage::{Outcome, Stage, Started};
pub use turns::{Summed, TurnEnd, TurnRecord};

use super::{
    BranchName, CommentId, CommitId, ExecutorId, Generation, Identity, Judged, ProgressDigest, PullRequestId,
    Repository, Revision, RunId, Step, TextChange, Turn, TurnNumber, Usage,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

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
    /// The progress comment as last written.
    pub progress_digest: Option<ProgressDigest>,
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
    /// What the pipelines came to on the newest head that they judged: tells an outage of theirs, across runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub built: Option<Built>,
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

/// What became of the builds of a head.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Built {
    /// The head.
    pub head: CommitId,
    /// When that was first seen.
    pub at: Timestamp,
    /// Whether the pipelines themselves failed, so that nothing is known of the change.
    pub is_broken: bool,
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
            built: None,
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

    /// Whether its pull request is a draft by our own doing; `usually` is what the operator set.
    pub fn drafts(&self, usually: bool) -> bool {
        let first = self.turns.iter().find(|turn| matches!(turn.end, Some(TurnEnd::Pushed { .. })));
        self.choices.draft.unwrap_or(usually) || first.is_some_and(TurnRecord::is_cut)
    }
}
