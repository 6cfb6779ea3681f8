//! How a program of ours ends: one number per kind of person who should look. The numbers are those of `sysexits.h`
//! where it has one; schedulers and scripts depend on them, so a number never changes its meaning.

use crate::{ado, runtime, store};
use std::process::ExitCode;

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// All is well.
    Ok,
    /// The tick is done, some runs failed; or an operator's word was not done.
    SomeFailed,
    /// The command line is wrong.
    Usage,
    /// Azure DevOps cannot be reached.
    Unreachable,
    /// A bug of ours.
    Bug,
    /// Steps cannot be run here.
    RuntimeUnavailable,
    /// The run store cannot be used.
    StoreUnavailable,
    /// Somebody else is at it.
    Busy,
    /// Azure DevOps refused us.
    Refused,
    /// The settings are wrong.
    Settings,
}

impl Exit {
    /// All of them, by number.
    pub const ALL: [Self; 10] = [
        Self::Ok,
        Self::SomeFailed,
        Self::Usage,
        Self::Unreachable,
        Self::Bug,
        Self::RuntimeUnavailable,
        Self::StoreUnavailable,
        Self::Busy,
        Self::Refused,
        Self::Settings,
    ];

    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::SomeFailed => 1,
            // What clap ends with.
            Self::Usage => 2,
            // EX_UNAVAILABLE
            Self::Unreachable => 69,
            // EX_SOFTWARE
            Self::Bug => 70,
            // EX_OSERR
            Self::RuntimeUnavailable => 71,
            // EX_IOERR
            Self::StoreUnavailable => 74,
            // EX_TEMPFAIL
            Self::Busy => 75,
            // EX_NOPERM
            Self::Refused => 77,
            // EX_CONFIG
            Self::Settings => 78,
        }
    }

    /// What happened and who should look.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Ok => "done",
            Self::SomeFailed => {
                "done, but some runs failed: the log names them, the next tick tries again; or what was asked for was not done"
            }
            Self::Usage => "the command line is wrong; see `--help`",
            Self::Unreachable => {
                "Azure DevOps cannot be reached; the next tick tries again, look if it lasts"
            }
            Self::Bug => "a bug in roundsman; please report it with the log",
            Self::RuntimeUnavailable => "steps cannot be run here; look at the executor and its disk",
            Self::StoreUnavailable => "the run store cannot be used; look at its disk",
            Self::Busy => "another roundsman process holds the run store; the next tick tries again",
            Self::Refused => "Azure DevOps refused us; look at the token, its scopes and its expiry",
            Self::Settings => "the settings or the version do not fit; nothing was done",
        }
    }

    /// All numbers as a Markdown table.
    pub fn table() -> String {
        let rows = Self::ALL.map(|exit| format!("| {} | {} |\n", exit.code(), exit.sentence()));
        format!("| Code | Meaning |\n|---:|---|\n{}", rows.concat())
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

impl From<&store::Error> for Exit {
    fn from(error: &store::Error) -> Self {
        match error {
            store::Error::Busy => Self::Busy,
            // Nothing is wrong with the disk: another version is installed here than there.
            store::Error::Newer { .. } => Self::Settings,
            store::Error::IllegalMove { .. } => Self::Bug,
            store::Error::Unusable { .. } => Self::StoreUnavailable,
            store::Error::Ado(error) => match error.fault() {
                ado::Fault::Transient => Self::Unreachable,
                ado::Fault::Ours | ado::Fault::Theirs => Self::Refused,
            },
            // Another version is installed here than there.
            store::Error::TooMany { .. } | store::Error::Record { .. } => Self::Settings,
        }
    }
}

impl From<&runtime::Error> for Exit {
    fn from(error: &runtime::Error) -> Self {
        match error {
            runtime::Error::Unusable(_)
            | runtime::Error::Differs { .. }
            | runtime::Error::Weakened { .. }
            | runtime::Error::WillNotEnd { .. }
            | runtime::Error::StillAlive(_) => Self::RuntimeUnavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_differ_and_are_in_order() {
        let codes = Exit::ALL.map(Exit::code);
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        assert_eq!(Exit::table().lines().count(), 2 + Exit::ALL.len());
    }
}
