//! What we said on a pull request, as our own footers tell: the keys by which a word of ours is found again.
//!
//! The server refuses no second copy of a comment. So each word of ours carries its key, and where two carry the same
//! one, the younger is taken back. Knows keys; how they are written stands in `words`.

use super::{CommentId, ThreadId};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The key of a word of ours. Equal keys are the same word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Said {
    /// The answer to a comment in the same thread.
    Answer {
        /// The comment that it answers.
        to: CommentId,
        /// Whether a commit came with it.
        changed: bool,
        /// When the newest wording that it answers is from; none in words of an older version.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        as_of: Option<Timestamp>,
    },
    /// A notice on the whole pull request.
    Notice(Notice),
}

/// What we say on a pull request without being asked; each once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Notice {
    /// It waits for people.
    Reminder,
    /// The rest of a description that was too long.
    Description,
}

/// A word of ours, and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OwnWord {
    /// The thread.
    pub thread: ThreadId,
    /// The comment.
    pub comment: CommentId,
    /// Its key.
    pub said: Said,
}

impl OwnWord {
    /// Whether this word, said at `at`, answers that wording of that comment or a newer one. Where it does not tell which, it
    /// answers whatever it could have seen.
    pub fn has_seen(&self, at: Timestamp, wording: Option<Timestamp>) -> bool {
        let seen = match self.said {
            Said::Answer { as_of, to: _, changed: _ } => as_of.unwrap_or(at),
            Said::Notice(_) => at,
        };
        wording.is_none_or(|wording| seen >= wording)
    }

    /// Whether both say the same thing in the same place: an answer belongs to its thread, a notice to the whole.
    pub fn repeats(&self, other: &Self) -> bool {
        match (self.said, other.said) {
            (
                Said::Answer { to, as_of, changed: _ },
                Said::Answer { to: same, as_of: wording, changed: _ },
            ) => (self.thread, to, as_of) == (other.thread, same, wording),
            (Said::Notice(one), Said::Notice(two)) => one == two,
            (Said::Answer { .. }, Said::Notice(_)) | (Said::Notice(_), Said::Answer { .. }) => false,
        }
    }
}
