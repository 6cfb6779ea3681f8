//! Why: every decision carries one of these, and every one of these is one sentence. What was *not* done this tick
//! can always be said (promise *explained*).

mod escalate;
mod refuse;
mod wait;

pub use escalate::{EscalateReason, failure};
pub use refuse::RefuseReason;
pub use wait::{Missing, Pause, WaitReason};

use crate::domain::{AgentFailure, ThreadId};
use std::fmt;

/// Why the agent is called again without new input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RedispatchCause {
    /// The cluster lost the turn; costs no attempt of the agent.
    Lost {
        /// Whose fault it was.
        class: AgentFailure,
        /// What happened.
        detail: String,
    },
    /// The agent failed.
    Failed {
        /// How.
        class: AgentFailure,
    },
}

impl fmt::Display for RedispatchCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost { class: AgentFailure::Provider | AgentFailure::Rejected, detail } => {
                write!(f, "the model provider did not answer ({detail})")
            }
            Self::Lost { class: _, detail } => write!(f, "the executor lost the turn ({detail})"),
            Self::Failed { class } => write!(f, "the agent failed ({class:?})"),
        }
    }
}

/// Says which threads a turn answers.
pub(super) fn thread_list(threads: &[ThreadId]) -> String {
    let list: Vec<String> = threads.iter().map(ToString::to_string).collect();
    list.join(", ")
}
