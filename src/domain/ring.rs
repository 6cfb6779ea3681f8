//! A notification: what is told to the doorbells, once per run, transition and receiver.

use super::{Outcome, RunId, WorkItemId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A notification on its way: one per run, transition and receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ring {
    /// Unique: run and transition, and the receiver where that is not the webhook. Receivers may fold on it.
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
    /// How often delivery was tried.
    pub attempts: u32,
    /// When it was noted.
    pub at: Timestamp,
    /// Who is to hear it: a receiver that is down holds up nobody else's.
    #[serde(default, skip_serializing_if = "Receiver::is_webhook")]
    pub receiver: Receiver,
    /// Why, where others may ring for the very same cause: a storm of them is told as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
}

impl Ring {
    /// The same news for this receiver, with a key of its own.
    #[must_use]
    pub fn for_receiver(self, receiver: Receiver) -> Self {
        let key = match receiver {
            Receiver::Webhook => self.key,
            Receiver::Teams | Receiver::Slack | Receiver::Ntfy => format!("{}/{receiver}", self.key),
        };
        Self { key, receiver, ..self }
    }
}

/// Kinds of notification: a closed vocabulary, so that receivers can filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::Done, Self::NeedsHuman, Self::Frozen];

    /// For a run that closed.
    pub fn of(outcome: Outcome) -> Option<Self> {
        match outcome {
            Outcome::Merged | Outcome::Green => Some(Self::Done),
            // People did this themselves; nobody needs to be told.
            Outcome::Declined | Outcome::HandedBack | Outcome::Superseded => None,
        }
    }

    /// As it stands in settings, keys and payloads.
    pub fn word(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::NeedsHuman => "needs-human",
            Self::Frozen => "frozen",
        }
    }

    /// How urgently a person should look.
    pub fn priority(self) -> Priority {
        match self {
            Self::Done => Priority::Normal,
            Self::NeedsHuman | Self::Frozen => Priority::High,
        }
    }
}

/// How urgently a person should look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Priority {
    /// News.
    Normal,
    /// Something waits for them.
    High,
}

/// Kinds of receiver: what they are sent, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Receiver {
    /// Anything that takes our own JSON.
    #[default]
    Webhook,
    /// A workflow of Microsoft Teams.
    Teams,
    /// An incoming webhook of Slack.
    Slack,
    /// A topic of ntfy.
    Ntfy,
}

impl Receiver {
    /// All kinds.
    pub const ALL: [Self; 4] = [Self::Webhook, Self::Teams, Self::Slack, Self::Ntfy];

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde calls it with a reference")]
    fn is_webhook(&self) -> bool {
        *self == Self::Webhook
    }
}

impl fmt::Display for Receiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Webhook => "webhook",
            Self::Teams => "teams",
            Self::Slack => "slack",
            Self::Ntfy => "ntfy",
        })
    }
}

/// Why something rings, as far as many runs may share it. What is equal is one trouble and not many.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "cause")]
pub enum Cause {
    /// The model provider does not answer.
    Provider,
    /// The executor loses or cannot start workers, or is away.
    Executor,
    /// Azure DevOps does not show what is needed.
    Service,
    /// The target branch itself is red in the same way.
    TargetRed {
        /// `project/repository`.
        repository: String,
        /// The branch.
        branch: String,
        /// What fails.
        signature: String,
    },
    /// The same reason, by its one word.
    Reason {
        /// The word.
        reason: String,
    },
}
