//! Changes that reviewers wrote down to the letter, and what became of them.

use super::{Columns, CommentId, CommitId, ThreadId};
use serde::{Deserialize, Serialize};

/// Lines of a file and the text that a reviewer wants in their place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suggestion {
    /// The thread.
    pub thread: ThreadId,
    /// The comment in it.
    pub comment: CommentId,
    /// Who suggests it, by name.
    pub by: String,
    /// Path from the repository's root, without leading slash.
    pub path: String,
    /// First and last line, from 1.
    pub lines: (u32, u32),
    /// What of these lines was selected.
    pub columns: Columns,
    /// Whole lines; nothing at all = the lines go.
    pub text: String,
    /// The head that the reviewer looked at: the lines are counted in its version of the file.
    pub seen: CommitId,
}

/// The suggestions of one review that can be committed without an agent's judgement.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suggestions {
    /// In the order of their threads; no two of them touch the same line.
    pub list: Vec<Suggestion>,
    /// Whether the review consists of them and nothing else: once they are committed, nobody waits for a word.
    pub is_everything: bool,
}

impl Suggestions {
    /// Whether there are none.
    pub fn is_nothing(&self) -> bool {
        self.list.is_empty()
    }
}

/// A suggestion that became a commit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Suggested {
    /// The thread that it answers.
    pub thread: ThreadId,
    /// The commit.
    pub commit: CommitId,
}
