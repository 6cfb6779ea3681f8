//! What an agent's output says: bytes become lines, lines become [`Event`]s of one closed kind, events become a
//! [`Summary`], and the summary with the way the process ended becomes a [`Verdict`].
//!
//! Nothing here trusts what it reads: lines are bounded, what is no line of the dialect is counted and skipped, and an
//! exit code alone never makes an answer. Knows no process, no file and no clock.

mod claude;
mod codex;
mod opencode;
mod plain;
mod verdict;

pub use verdict::{Exit, Fault, Summary, Verdict};

pub use crate::runtime::spec::Dialect;

use crate::domain::Usage;
use serde_json::Value;

/// Bytes of one line. A tool call may carry a whole file; more than this is a flood, and is skipped to its end.
const LINE_LIMIT: usize = 8 << 20;

impl Dialect {
    /// All dialects.
    pub const ALL: [Self; 4] = [Self::Opencode, Self::Claude, Self::Codex, Self::Plain];

    /// Whether a finished answer comes with its token counts, so that none at all means a cut stream.
    pub fn counts_tokens(self) -> bool {
        match self {
            Self::Opencode | Self::Claude | Self::Codex => true,
            Self::Plain => false,
        }
    }

    /// Whether a resumed call reports what its whole session used up, earlier calls included.
    pub fn counts_sessions(self) -> bool {
        match self {
            Self::Codex => true,
            Self::Opencode | Self::Claude | Self::Plain => false,
        }
    }

    fn says_unknown_session(self, text: &str) -> bool {
        let words = match self {
            Self::Opencode => "Session not found",
            Self::Claude => "No conversation found with session ID",
            Self::Codex => "no rollout found for thread id",
            Self::Plain => return false,
        };
        text.contains(words)
    }
}

/// One thing that an agent's output says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The name by which this conversation can be resumed.
    Session(String),
    /// Words of the model.
    Text(String),
    /// The model answered once.
    Step,
    /// A tool call ended.
    Tool {
        /// Its name.
        name: String,
        /// How.
        end: ToolEnd,
    },
    /// What was used up so far, all of it.
    Usage(Usage),
    /// Something failed; healed when an answer follows.
    Error(Failure),
    /// The agent says that it is done, and how.
    Finished(Finish),
}

/// How a tool call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToolEnd {
    /// As the model wanted.
    Done,
    /// With an error of its own, which the model gets to see.
    Failed,
    /// It was not allowed.
    Refused,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// Properly.
    Done,
    /// Not properly, or nobody knows: the stream was cut.
    Cut,
    /// The answer was longer than the model may write.
    TooLong,
}

/// An error that an agent reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What kind.
    pub class: Fault,
    /// Its words.
    pub message: String,
}

impl Failure {
    /// Of an HTTP status where one is told, and of the words where not.
    fn new(status: Option<u16>, message: &str) -> Self {
        Self { class: Fault::of(status, message), message: message.to_owned() }
    }
}

/// Reads one agent's standard output.
#[derive(Debug)]
pub struct Reader {
    grammar: Grammar,
    line: Vec<u8>,
    is_skipping: bool,
    garbage: u32,
}

#[derive(Debug)]
enum Grammar {
    Opencode(opencode::State),
    Claude(claude::State),
    Codex,
    Plain,
}

impl Reader {
    /// For one call.
    pub fn new(dialect: Dialect) -> Self {
        let grammar = match dialect {
            Dialect::Opencode => Grammar::Opencode(opencode::State::default()),
            Dialect::Claude => Grammar::Claude(claude::State::default()),
            Dialect::Codex => Grammar::Codex,
            Dialect::Plain => Grammar::Plain,
        };
        Self { grammar, line: Vec::new(), is_skipping: false, garbage: 0 }
    }

    /// The next bytes, wherever they were cut.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.keep(&bytes[..end]);
            self.finish_line(&mut events);
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
        events
    }

    /// There are no more bytes: half a line is read like a whole one.
    pub fn end(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        self.finish_line(&mut events);
        events
    }

    /// Lines that were not of this dialect.
    pub fn garbage(&self) -> u32 {
        self.garbage
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.line.len() + bytes.len() > LINE_LIMIT {
            self.is_skipping = true;
            self.line.clear();
        }
        if !self.is_skipping {
            self.line.extend_from_slice(bytes);
        }
    }

    fn finish_line(&mut self, events: &mut Vec<Event>) {
        let line = std::mem::take(&mut self.line);
        if std::mem::take(&mut self.is_skipping) {
            self.garbage = self.garbage.saturating_add(1);
            return;
        }
        if line.iter().all(u8::is_ascii_whitespace) {
            return;
        }
        if matches!(self.grammar, Grammar::Plain) {
            return plain::read(&String::from_utf8_lossy(&line), events);
        }
        let Some(value) = serde_json::from_slice::<Value>(&line).ok().filter(Value::is_object) else {
            self.garbage = self.garbage.saturating_add(1);
            return;
        };
        match &mut self.grammar {
            Grammar::Opencode(state) => state.read(&value, events),
            Grammar::Claude(state) => state.read(&value, events),
            Grammar::Codex => codex::read(&value, events),
            Grammar::Plain => {}
        }
    }
}

/// A whole recording at once.
pub fn read_all(dialect: Dialect, bytes: &[u8]) -> Summary {
    let mut reader = Reader::new(dialect);
    let mut summary = Summary::new(dialect);
    summary.note_all(reader.feed(bytes));
    summary.note_all(reader.end());
    summary
}

// --- reading JSON that somebody else wrote -------------------------------------------------------------------------

fn words<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

fn count(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or(0)
}

fn status(value: &Value, pointer: &str) -> Option<u16> {
    value.pointer(pointer).and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok())
}

/// US dollars as a number become micro dollars; none for what is no price.
fn micro_usd(value: &Value, pointer: &str) -> Option<u64> {
    let dollars = value.pointer(pointer).and_then(Value::as_f64)?;
    let micro = (dollars * 1e6).round();
    // Nobody pays a trillion; the check also keeps the conversion exact.
    if !(0.0..1e18).contains(&micro) {
        return None;
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the range was checked above"
    )]
    let micro = micro as u64;
    Some(micro)
}

#[cfg(test)]
mod tests;
