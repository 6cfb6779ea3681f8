//! What a call came to, from what its output said and how its process ended. Pure, total, and never from an exit code
//! alone where the output can tell.

use super::{Dialect, Event, Failure, Finish, ToolEnd};
use crate::domain::Usage;
use regex::Regex;
use std::{fmt, sync::LazyLock};

/// About so many bytes are kept of the model's last words.
const TEXT_LIMIT: usize = 16_000;
/// HTTP statuses that another try may change.
const TRANSIENT: [u16; 4] = [408, 409, 425, 429];

/// How a process ended, as far as a verdict cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By a signal.
    Signal,
}

/// What a call came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The agent answered to the end.
    Answered,
    /// A tool was not allowed, and nothing worked after that.
    Refused,
    /// The answer broke off between the provider and us: no tokens, a cut stream, an end without a finish.
    Transport,
    /// The provider failed, and may answer another time.
    ProviderTransient,
    /// The provider will not answer this: key, model or request are wrong.
    ProviderPermanent,
    /// The session to resume does not exist.
    UnknownSession,
    /// The program failed in a way of its own.
    Crashed,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Answered => "answered",
            Self::Refused => "was refused a permission",
            Self::Transport => "was cut off",
            Self::ProviderTransient => "got no answer from its provider",
            Self::ProviderPermanent => "was rejected by its provider",
            Self::UnknownSession => "did not know its session",
            Self::Crashed => "crashed",
        })
    }
}

/// Kinds of error that an agent reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The provider, for now.
    Transient,
    /// The provider, for good.
    Permanent,
    /// The stream broke off.
    Cut,
    /// The session is unknown.
    UnknownSession,
    /// Anything else.
    Other,
}

impl Fault {
    pub(super) fn of(status: Option<u16>, message: &str) -> Self {
        static STATUS: LazyLock<Regex> = LazyLock::new(|| {
            // `unexpected status 401`, `last status: 429`, `"code": "400"`, `API Error: 500`.
            Regex::new(r#"(?i)(?:status:?|api error:|"code":\s*"?)\s*([45]\d\d)\b"#)
                .expect("a constant, tested")
        });
        let told = || STATUS.captures(message).and_then(|found| found[1].parse::<u16>().ok());
        if let Some(status) = status.or_else(told) {
            return if status >= 500 || TRANSIENT.contains(&status) {
                Self::Transient
            } else {
                Self::Permanent
            };
        }
        let message = message.to_lowercase();
        let has = |parts: &[&str]| parts.iter().any(|part| message.contains(part));
        if has(&["session not found", "no conversation found", "no rollout found"]) {
            Self::UnknownSession
        } else if has(&[
            "stream disconnected",
            "stream closed",
            "json parsing failed",
            "terminated",
            "socket",
        ]) {
            Self::Cut
        } else if has(&[
            "timed out",
            "timeout",
            "high demand",
            "overloaded",
            "rate limit",
            "unable to connect",
            "econnrefused",
            "connection refused",
            "connection error",
            "connection reset",
            "network error",
            "fetch failed",
            "temporarily",
            "error sending request",
        ]) {
            Self::Transient
        } else if has(&[
            "unauthorized",
            "authentication",
            "invalid_request",
            "model not found",
            "credit balance",
        ]) {
            Self::Permanent
        } else {
            Self::Other
        }
    }
}

/// Everything that the output of one call said, folded.
#[derive(Clone, Debug)]
pub struct Summary {
    dialect: Dialect,
    /// The name by which the conversation can be resumed.
    pub session: Option<String>,
    /// The model's last words: what it said after its last tool call.
    pub text: String,
    /// What was used up, as this output counts it; calls are not counted here.
    pub usage: Usage,
    /// Answers of the model.
    pub steps: u32,
    /// Tool calls that ended.
    pub tools: u32,
    /// The last error, unless an answer followed it.
    pub failure: Option<Failure>,
    /// How the last answer ended.
    pub finish: Option<Finish>,
    /// Whether a tool was refused and nothing worked after it.
    pub is_refused: bool,
}

impl Summary {
    /// Nothing was said yet.
    pub fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            session: None,
            text: String::new(),
            usage: Usage::default(),
            steps: 0,
            tools: 0,
            failure: None,
            finish: None,
            is_refused: false,
        }
    }

    /// Adds events in their order.
    pub fn note_all(&mut self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            self.note(event);
        }
    }

    /// Adds one event.
    pub fn note(&mut self, event: Event) {
        match event {
            Event::Session(session) => self.session = Some(session),
            Event::Text(text) => {
                let room = TEXT_LIMIT.saturating_sub(self.text.len());
                if room > 0 {
                    self.text.extend(text.chars().take(room));
                    self.text.push('\n');
                }
            }
            Event::Step => {
                self.steps = self.steps.saturating_add(1);
                self.usage.steps = self.steps;
                // It goes on: an earlier end was none.
                self.finish = None;
            }
            Event::Tool { name: _, end } => {
                self.tools = self.tools.saturating_add(1);
                self.text.clear();
                match end {
                    ToolEnd::Done => self.is_refused = false,
                    ToolEnd::Failed => {}
                    ToolEnd::Refused => self.is_refused = true,
                }
            }
            Event::Usage(usage) => self.usage = Usage { steps: self.steps, ..usage },
            Event::Error(failure) => self.failure = Some(failure),
            Event::Finished(finish) => {
                self.finish = Some(finish);
                match finish {
                    Finish::Done => self.failure = None,
                    Finish::Cut | Finish::TooLong => {}
                }
            }
        }
    }

    /// What the call came to. `errors` is the end of standard error, where some programs tell what is nowhere else.
    pub fn verdict(&self, exit: Exit, errors: &str) -> Verdict {
        let knows_no_session = self.failure.as_ref().is_some_and(|f| f.class == Fault::UnknownSession)
            || self.dialect.says_unknown_session(errors);
        if knows_no_session && self.steps == 0 {
            return Verdict::UnknownSession;
        }
        if let Some(failure) = &self.failure {
            return match failure.class {
                Fault::Transient => Verdict::ProviderTransient,
                Fault::Permanent => Verdict::ProviderPermanent,
                Fault::Cut => Verdict::Transport,
                Fault::UnknownSession => Verdict::UnknownSession,
                // An error that is no error of the process is a stream that we do not understand.
                Fault::Other if exit == Exit::Code(0) => Verdict::Transport,
                Fault::Other => Verdict::Crashed,
            };
        }
        if self.is_refused {
            return Verdict::Refused;
        }
        match self.dialect {
            Dialect::Plain => {
                if exit == Exit::Code(0) {
                    Verdict::Answered
                } else {
                    Verdict::Crashed
                }
            }
            Dialect::Opencode | Dialect::Claude | Dialect::Codex => match self.finish {
                Some(Finish::Done) if self.usage.has_tokens() => Verdict::Answered,
                Some(Finish::Done | Finish::Cut) => Verdict::Transport,
                Some(Finish::TooLong) => Verdict::Crashed,
                None if exit == Exit::Code(0) => Verdict::Transport,
                None => Verdict::Crashed,
            },
        }
    }
}
