//! A notification: what is told to the doorbell, once per run and transition.

use super::{Outcome, RunId, WorkItemId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A notification on its way: one per run and transition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// Unique: run and transition. Receivers may fold on it.
    pub key: String,
    /// What it is about.
    pub kind: RingKind,
    /// The run.
    pub run: RunId,
    /// The work item.
    pub item: WorkItemId,
    /// One line.
    pub title: String,
    /// A few sentences, plain text.
    pub text: String,
    /// Where to look.
    pub link: Option<String>,
    /// What several runs are told together: equal for rings with one cause.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// How often delivery was tried.
    pub attempts: u32,
    /// When it was noted.
    pub at: Timestamp,
}

/// Kinds of notification: a closed vocabulary, so that receivers can filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RingKind {
    /// A run closed as people wanted.
    Done,
    /// A run needs a person.
    NeedsHuman,
    /// A run is frozen with red work in place.
    Frozen,
}

impl RingKind {
    /// For a run that closed.
    pub fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Merged | Outcome::Green => Some(Self::Done),
            // People did this themselves; nobody needs to be told.
            Outcome::Declined | Outcome::HandedBack | Outcome::Superseded => None,
        }
    }
}
