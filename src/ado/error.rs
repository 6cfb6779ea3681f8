//! What can go wrong with a call, in the words a decision needs: what kind, whose fault, what to do.
//!
//! Built only inside `ado`, from text that has been redacted already; so an error may be logged, stored and shown.

use super::Operation;
use std::{fmt, time::Duration};

/// A call that did not give what was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation} {path}: {kind}")]
pub struct Error {
    /// Which call.
    pub operation: Operation,
    /// Path below the organization's address, without query. Redacted.
    pub path: String,
    /// What went wrong.
    pub kind: ErrorKind,
    /// Requests that were sent; 0 if we held back.
    pub attempts: u32,
    /// From the call to the failure, waits included; zero if the fault was found in an answer that had come well.
    pub elapsed: Duration,
}

/// What went wrong. Every text is redacted and shortened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// No answer, or one from an outage (5xx, "Services Unavailable").
    Unreachable {
        /// Status, if there was an answer.
        status: Option<u16>,
        /// What happened.
        cause: String,
    },
    /// The token was not accepted: 401, but also the sign-in page with 203 or 302, and the anonymous identity.
    Unauthorized {
        /// What the service said.
        message: String,
    },
    /// The token is good, a permission is missing.
    Forbidden {
        /// The permission as the service names it, for example `PullRequestContribute`.
        permission: Option<String>,
        /// What the service said.
        message: String,
    },
    /// Absent, or not readable for us: the service does not tell the difference. No proof of absence.
    NotFound {
        /// The service's name for it.
        type_key: Option<String>,
        /// What the service said.
        message: String,
    },
    /// Somebody else was first; read again, decide again.
    Conflict {
        /// What the service said.
        message: String,
    },
    /// What was to be created exists already: find and adopt it.
    Exists {
        /// What the service said.
        message: String,
    },
    /// Source or target branch of a pull request is missing: push first.
    BranchMissing {
        /// What the service said.
        message: String,
    },
    /// We are asked to slow down.
    Throttled {
        /// How long to stay away, if told.
        retry_after: Option<Duration>,
    },
    /// Understood and refused.
    Rejected {
        /// Status.
        status: u16,
        /// The service's name for it, for example `RuleValidationException`.
        type_key: Option<String>,
        /// What the service said.
        message: String,
    },
    /// Not the answer we know how to read.
    Malformed {
        /// Place in the JSON, for example `value[3].id`.
        at: String,
        /// What was wrong there.
        message: String,
    },
    /// A list of which a part is missing. Never treated as the whole.
    Incomplete {
        /// What was missing.
        message: String,
    },
}

/// Who can do something about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// It may heal by itself, or by reading again.
    Transient,
    /// A mistake of this program, or a change of the service that it does not know.
    Ours,
    /// The operator or the organization must change something: token, permission, name, rule.
    Theirs,
}

/// Outcome of a write. Only a read can turn `Unknown` into one of the others; no write is ever repeated blindly. The
/// one exception is [`Client::change_work_item`](super::Client::change_work_item): its revision guard lets the caller
/// repeat it with the same revision.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written<T> {
    /// The service confirmed it.
    Done(T),
    /// The service refused it, or it was never sent.
    NotDone(Error),
    /// It may or may not have happened: time-out, cut connection, outage, unreadable answer.
    Unknown(Error),
}

impl<T> Written<T> {
    /// Changes the value of `Done`.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Written<U> {
        match self {
            Self::Done(value) => Written::Done(change(value)),
            Self::NotDone(error) => Written::NotDone(error),
            Self::Unknown(error) => Written::Unknown(error),
        }
    }

    /// The error of the two other outcomes.
    pub fn error(&self) -> Option<&Error> {
        match self {
            Self::Done(_) => None,
            Self::NotDone(error) | Self::Unknown(error) => Some(error),
        }
    }

    /// For callers to whom "not done" and "unknown" are the same.
    pub fn into_result(self) -> Result<T, Error> {
        match self {
            Self::Done(value) => Ok(value),
            Self::NotDone(error) | Self::Unknown(error) => Err(error),
        }
    }
}

impl Error {
    /// Who can do something about it.
    pub fn fault(&self) -> Fault {
        self.kind.fault()
    }

    /// What to do about it, as a sentence for the operator.
    pub fn hint(&self) -> &'static str {
        self.kind.hint()
    }

    /// Whether it is a lost race or a moved revision.
    pub fn is_conflict(&self) -> bool {
        matches!(self.kind, ErrorKind::Conflict { .. })
    }

    /// Whether what was to be created exists already.
    pub fn is_exists(&self) -> bool {
        matches!(self.kind, ErrorKind::Exists { .. })
    }

    /// Whether what was named is absent, or not readable for us.
    pub fn is_not_found(&self) -> bool {
        matches!(self.kind, ErrorKind::NotFound { .. })
    }

    /// Whether a work item is absent, or not readable for us, or not shown yet: right after its creation a part of the
    /// service may not know it.
    pub fn is_missing_item(&self) -> bool {
        matches!(&self.kind, ErrorKind::NotFound { type_key, message } if message.contains("TF401232")
            || type_key.as_deref() == Some("WorkItemUnauthorizedAccessException"))
    }

    /// Whether it is about what was named (a project, a repository, an item) and not about token, network or service:
    /// the next thing may go well.
    pub fn is_about_one_thing(&self) -> bool {
        matches!(
            self.kind,
            ErrorKind::NotFound { .. } | ErrorKind::Forbidden { .. } | ErrorKind::Rejected { .. }
        )
    }

    /// Whether reading the same again gives the same, until somebody changes what is read: not so for an outage, nor for a
    /// token that opens nothing at all.
    pub fn is_lasting(&self) -> bool {
        let is_token = matches!(self.kind, ErrorKind::Unauthorized { .. });
        !is_token && self.kind.fault() != Fault::Transient
    }

    /// Whether a rule of the work item type forbids the change.
    pub fn is_rule(&self) -> bool {
        matches!(&self.kind, ErrorKind::Rejected { type_key, .. } if type_key.as_deref() == Some(RULE_BROKEN))
    }

    /// Whether something in the request itself was refused.
    pub fn is_rejected(&self) -> bool {
        matches!(self.kind, ErrorKind::Rejected { .. })
    }

    /// How long to stay away, if the service said so.
    pub fn retry_after(&self) -> Option<Duration> {
        match self.kind {
            ErrorKind::Throttled { retry_after } => retry_after,
            _ => None,
        }
    }
}

/// The type key of a work item rule that was broken (TF401320).
pub(super) const RULE_BROKEN: &str = "RuleValidationException";

impl ErrorKind {
    /// Who can do something about it.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Unreachable { .. }
            | Self::Throttled { .. }
            | Self::Incomplete { .. }
            | Self::Conflict { .. }
            | Self::Exists { .. }
            | Self::BranchMissing { .. } => Fault::Transient,
            Self::Unauthorized { .. } | Self::Forbidden { .. } | Self::NotFound { .. } => Fault::Theirs,
            Self::Rejected { type_key, .. } if type_key.as_deref() == Some(RULE_BROKEN) => Fault::Theirs,
            Self::Rejected { .. } | Self::Malformed { .. } => Fault::Ours,
        }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self {
            Self::Unreachable { .. } => {
                "check the address, the network and status.dev.azure.com; the next tick tries again"
            }
            Self::Unauthorized { .. } => {
                "check that the token is valid, belongs to this organization and has its scopes"
            }
            Self::Forbidden { .. } => "grant the named permission to the identity of the token",
            Self::NotFound { .. } => {
                "check the name, the read permission and the licence: they look alike from here"
            }
            Self::Conflict { .. } => "somebody saved in between; it is read again",
            Self::Exists { .. } => "it is looked up and adopted",
            Self::BranchMissing { .. } => "push the branch first",
            Self::Throttled { .. } => "wait; give agents and other tools another identity",
            Self::Rejected { type_key, .. } if type_key.as_deref() == Some(RULE_BROKEN) => {
                "a rule of the work item type forbids this change; change the rule or the item"
            }
            Self::Rejected { .. } => "report this with the whole message",
            Self::Malformed { .. } => {
                "the answer has an unknown form; report this, and check that no proxy answers instead"
            }
            Self::Incomplete { .. } => "part of a list could not be read; the next tick tries again",
        }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable { status: Some(status), cause } => write!(f, "unavailable ({status}): {cause}"),
            Self::Unreachable { status: None, cause } => write!(f, "unreachable: {cause}"),
            Self::Unauthorized { message } => write!(f, "token not accepted: {message}"),
            Self::Forbidden { permission: Some(permission), message } => {
                write!(f, "permission {permission} is missing: {message}")
            }
            Self::Forbidden { permission: None, message } => write!(f, "forbidden: {message}"),
            Self::NotFound { message, .. } => write!(f, "not found or not readable: {message}"),
            Self::Conflict { message } => write!(f, "conflict: {message}"),
            Self::Exists { message } => write!(f, "exists already: {message}"),
            Self::BranchMissing { message } => write!(f, "branch missing: {message}"),
            Self::Throttled { retry_after: Some(wait) } => write!(f, "throttled for {} s", wait.as_secs()),
            Self::Throttled { retry_after: None } => f.write_str("throttled"),
            Self::Rejected { status, type_key, message } => {
                write!(f, "rejected ({status} {}): {message}", type_key.as_deref().unwrap_or("without type"))
            }
            Self::Malformed { at, message } => write!(f, "unreadable answer at {at}: {message}"),
            Self::Incomplete { message } => write!(f, "incomplete: {message}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_broken_rule_is_theirs_and_other_refusals_are_ours() {
        let refused = |key: &str| ErrorKind::Rejected {
            status: 400,
            type_key: Some(key.into()),
            message: String::new(),
        };
        assert_eq!(refused(RULE_BROKEN).fault(), Fault::Theirs);
        assert_eq!(refused("VssVersionNotSpecifiedException").fault(), Fault::Ours);
        assert_eq!(ErrorKind::Throttled { retry_after: None }.fault(), Fault::Transient);
    }

    #[test]
    fn an_error_stays_small_enough_to_return_by_value() {
        assert!(size_of::<Error>() <= 128, "{}", size_of::<Error>());
    }
}
