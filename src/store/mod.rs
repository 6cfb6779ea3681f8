//! Where runs are remembered between ticks. A journal and a cache: Azure DevOps, git and the runtime are the
//! authority, and losing everything here may cost a repeated doorbell and slower polling, nothing else.

pub mod labels;
pub mod sqlite;

pub use crate::domain::{Cause, Priority, Receiver, Ring, RingKind};

use crate::{
    ado,
    domain::{Generation, Run, RunId, Stage, WorkItemId},
};
use async_trait::async_trait;
use jiff::Timestamp;

/// A memory of runs.
#[async_trait]
pub trait RunStore: Send + Sync {
    /// Notes the intent to claim, before the claim is made. Durable when it returns. Repeating it is harmless.
    async fn intend(&self, intent: &Intent) -> Result<(), Error>;

    /// The intents that have neither become a run nor been dropped, oldest first.
    async fn intents(&self) -> Result<Vec<Intent>, Error>;

    /// Forgets an intent.
    async fn drop_intent(&self, run: RunId) -> Result<(), Error>;

    /// Remembers a new run and forgets its intent, in one transaction. A run that is remembered already stays as it is.
    async fn open(&self, run: &Run) -> Result<Saved, Error>;

    /// One run, closed ones too.
    async fn load(&self, run: RunId) -> Result<Option<Run>, Error>;

    /// All runs that are not closed, ordered by id.
    async fn in_flight(&self) -> Result<Vec<Run>, Error>;

    /// The newest runs, closed ones too, newest first.
    async fn recent(&self, limit: u32) -> Result<Vec<Run>, Error>;

    /// Runs of an item that this memory knows besides what the item's comments tell, closed ones too.
    async fn of_item(&self, item: WorkItemId) -> Result<Vec<Run>, Error>;

    /// All runs, closed ones too, with a turn that began or ended at or after `since`; others may be among them. An error
    /// rather than a part: what is counted of them is a limit.
    async fn worked_since(&self, since: Timestamp) -> Result<Vec<Run>, Error>;

    /// Saves `run` if it is still the generation that was loaded, together with what is to be rung and noted: one
    /// transaction. An illegal move of the stage is an error and nothing is saved. Where a save is dear, it is kept in
    /// this process until [`settle`](Self::settle): one write per visit, however often the run moved in it.
    async fn save(&self, run: &Run, rings: &[Ring], note: Option<&Note>) -> Result<Saved, Error>;

    /// Makes durable what was saved since the last time. Superseded when somebody else was faster: then it is dropped.
    async fn settle(&self, run: RunId) -> Result<Saved, Error>;

    /// Takes over what the progress comment of a run shall say from the next save on; one write for both. False where
    /// the record does not ride in the comment: then the caller writes it.
    fn says(&self, run: RunId, html: &str) -> bool;

    /// Durably notes that `run` leaves the stage `before` for its own with the very next write to the item. Until the
    /// item's labels show that write, the run reads back as it was before. Answers the generation to go on with.
    async fn foretell(&self, run: &Run, before: &Stage) -> Result<Saved, Error>;

    /// How many runs were opened at or after `since`.
    async fn opened_since(&self, since: Timestamp) -> Result<u32, Error>;

    /// What happened in a run, oldest first. For people; no decision reads it.
    async fn history(&self, run: RunId) -> Result<Vec<Note>, Error>;

    /// Rings that are due at `now`, oldest first, at most `limit`.
    async fn due_rings(&self, now: Timestamp, limit: u32) -> Result<Vec<Ring>, Error>;

    /// A ring was delivered, or failed and is tried again at `next`; after too many failures it is dropped.
    async fn rung(&self, key: &str, outcome: RingOutcome) -> Result<(), Error>;

    /// Whether signs of life are kept; else nobody can tell from here that a program is silent.
    fn keeps_beats(&self) -> bool;

    /// A program's newest sign of life.
    async fn beat(&self, program: &str, at: Timestamp) -> Result<(), Error>;

    /// When a program last gave a sign of life. None as well where [they are not kept](Self::keeps_beats).
    async fn last_beat(&self, program: &str) -> Result<Option<Timestamp>, Error>;
}

/// A claim that is about to be tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intent {
    /// Work item and the revision that will be tested.
    pub run: RunId,
    /// Random: tells two processes of one executor apart.
    pub nonce: String,
    /// When.
    pub at: Timestamp,
}

/// Whether a write went in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Saved {
    /// It did; the run has this generation now.
    Saved(Generation),
    /// Somebody saved a newer generation first. Not an error: look again next tick.
    Superseded,
}

/// A line of a run's history.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// The stage after it, in one word.
    pub stage: String,
    /// The decision's sentence.
    pub text: String,
}

/// What became of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RingOutcome {
    /// The receiver took it.
    Delivered,
    /// Try again then.
    RetryAt(Timestamp),
    /// Given up.
    Dropped,
}

/// Why the memory could not be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else holds it; nothing was written.
    #[error("the run store is busy: another roundsman process holds it")]
    Busy,
    /// Written by a newer roundsman.
    #[error(
        "the run store has schema {found}, this roundsman knows {known}: upgrade it, or give it its own file"
    )]
    Newer {
        /// In the file.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// A stage that cannot follow the stored one: a bug, nothing was written.
    #[error("run {run} cannot go from {from} to {to}")]
    IllegalMove {
        /// The run.
        run: RunId,
        /// Stored stage.
        from: String,
        /// Offered stage.
        to: String,
    },
    /// The file cannot be read or written.
    #[error("the run store {path} is not usable: {detail}")]
    Unusable {
        /// The file.
        path: String,
        /// Why.
        detail: String,
    },
    /// Azure DevOps is the memory and cannot be reached, or refuses.
    #[error("the runs' records in the work items cannot be used: {0}")]
    Ado(#[from] ado::Error),
    /// More was changed in one day than this memory looks through.
    #[error(
        "more than {most} commented work items of {project} were changed in a day, and runs without a file are looked for \
         in all of them: set ROUNDSMAN_STORE_KIND to `sqlite`"
    )]
    TooMany {
        /// Where.
        project: String,
        /// So many are looked at.
        most: usize,
    },
    /// A record was written by a newer roundsman.
    #[error("the record of run {run} cannot be used: {detail}")]
    Record {
        /// The run.
        run: RunId,
        /// Why.
        detail: String,
    },
}
