//! What people write to us with a slash: `/agent status` and its siblings. Knows the grammar; does not know who may say it.

use serde::{Deserialize, Serialize};
use std::fmt;

/// A word to us, on the first line of a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Command {
    /// Where does it stand?
    Status,
    /// Why does it stand there?
    Explain,
    /// End the run and hand the item back.
    Stop,
    /// Hold the run where it is.
    Pause,
    /// Let it go on: off with the pause, or out of an escalation.
    Resume,
    /// As resume, for a run that gave up: attempts are counted afresh.
    Retry,
    /// A slash and a word that we do not know.
    Unknown,
}

impl Command {
    /// All that do something.
    pub const KNOWN: [Self; 6] =
        [Self::Status, Self::Explain, Self::Stop, Self::Pause, Self::Resume, Self::Retry];

    /// As people write it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Explain => "explain",
            Self::Stop => "stop",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Retry => "retry",
            Self::Unknown => "…",
        }
    }

    /// The command on the first line of `text` (plain or Markdown) that is neither empty nor a quotation. A sentence that
    /// merely begins with a command is none, because nobody should be stopped by half of what was said.
    pub fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines().map(str::trim);
        let first = lines.find(|line| !line.is_empty() && !line.starts_with('>'))?;
        // An editor may have escaped what looks like markup.
        let first = first.trim_start_matches('\\').to_lowercase();
        let mut words = first.split_whitespace();
        if words.next() != Some("/agent") {
            return None;
        }
        let word = words.next().unwrap_or_default().trim_end_matches(['.', '!', '?', ',']);
        let known = Self::KNOWN.into_iter().find(|known| known.word() == word);
        Some(known.filter(|_| words.next().is_none()).unwrap_or(Self::Unknown))
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/agent {}", self.word())
    }
}

/// What an operator does to a run, without a comment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hand {
    /// As the stop label: the run ends and the item is handed back.
    Stop,
    /// Puts the pause label on.
    Pause,
    /// Takes the pause label off, or lets an escalated run go on.
    Resume,
    /// Lets an escalated run go on; attempts are counted afresh.
    Retry,
    /// Lets go of the item: as handed back, all work stays where it is.
    Release,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_a_whole_first_line() {
        for (text, expected) in [
            ("/agent status", Some(Command::Status)),
            ("  /AGENT   Stop!  \nand thanks", Some(Command::Stop)),
            ("> /agent stop\n\n/agent pause", Some(Command::Pause)),
            ("\\/agent resume", Some(Command::Resume)),
            ("/agent retry", Some(Command::Retry)),
            ("/agent explain?", Some(Command::Explain)),
            ("/agent", Some(Command::Unknown)),
            ("/agent dance", Some(Command::Unknown)),
            ("/agent stop using globals", Some(Command::Unknown)),
            ("> /agent stop", None),
            ("please\n/agent stop", None),
            ("/agents stop", None),
            ("write /agent stop to end it", None),
            ("", None),
        ] {
            assert_eq!(Command::parse(text), expected, "{text:?}");
        }
    }
}
