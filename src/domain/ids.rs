//! Identifiers: who and what we talk about. All are plain values; a wrong mix is a type error.
//!
//! Numbers come from Azure DevOps; [`RunId`] and [`BranchName::of_run`] are the only names we mint, and both can be
//! computed before the first write, so that every effect has its key in advance.

use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// A run: the work item and the revision that the claim tested. Only one writer can win a revision, and later claims
/// have higher ones, so the id is unique and ordered without a counter of ours. Written `4711-r12`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId {
    /// The claimed work item.
    pub item: WorkItemId,
    /// The revision tested by the claim.
    pub revision: Revision,
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-r{}", self.item, self.revision)
    }
}

impl FromStr for RunId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let bad = || BadId { what: "run", text: text.chars().take(40).collect() };
        let (item, revision) = text.split_once("-r").ok_or_else(bad)?;
        Ok(Self { item: item.parse().map_err(|_| bad())?, revision: revision.parse().map_err(|_| bad())? })
    }
}

impl Serialize for RunId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RunId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Text that is not the identifier it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what} id")]
pub struct BadId {
    what: &'static str,
    text: String,
}

macro_rules! number {
    ($($(#[$doc:meta])* $name:ident($inner:ty) = $what:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.0)
            }
        }

        impl FromStr for $name {
            type Err = BadId;

            fn from_str(text: &str) -> Result<Self, BadId> {
                let bad = || BadId { what: $what, text: text.chars().take(40).collect() };
                text.parse().map(Self).map_err(|_| bad())
            }
        }
    )*};
}

number! {
    /// A work item, unique in the organization.
    WorkItemId(u32) = "work item";
    /// A work item's `rev`: grows by one with each saved change of a field, comment or artifact link.
    Revision(u32) = "revision";
    /// A pull request, unique in the organization.
    PullRequestId(u32) = "pull request";
    /// A thread of a pull request, unique in that pull request.
    ThreadId(u32) = "thread";
    /// A comment: unique in its thread (pull requests) or in its work item.
    CommentId(u32) = "comment";
    /// A build.
    BuildId(u32) = "build";
    /// A turn of a run, from 1.
    TurnNumber(u16) = "turn";
    /// How often a stored run was saved; a save names the generation it read.
    Generation(u64) = "generation";
}

impl TurnNumber {
    /// The first turn of a run.
    pub const FIRST: Self = Self(1);

    /// The turn after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl Generation {
    /// Of a run that was never saved.
    pub const NEW: Self = Self(0);

    /// The generation after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A git object id: 40 (or 64) lower-case hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(transparent)]
pub struct CommitId(String);

impl CommitId {
    /// The whole id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first eight digits, for sentences.
    pub fn short(&self) -> &str {
        &self.0[..8]
    }
}

impl FromStr for CommitId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let is_id = matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
        if is_id {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(BadId { what: "commit", text: text.chars().take(40).collect() })
        }
    }
}

impl fmt::Display for CommitId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for CommitId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// A branch by its short name, without `refs/heads/`. Case-sensitive, as in git.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BranchName(String);

/// All branches of ours start with this; nothing else is ever written (promise *own-branch*).
pub const OWN_BRANCH_PREFIX: &str = "agent/";

impl BranchName {
    /// From `main` or `refs/heads/main`.
    pub fn new(name: &str) -> Self {
        Self(name.strip_prefix("refs/heads/").unwrap_or(name).to_owned())
    }

    /// The branch of a run: `agent/4711-r12`. A new claim has a new branch, so an old one can never collide.
    pub fn of_run(run: RunId) -> Self {
        Self(format!("{OWN_BRANCH_PREFIX}{run}"))
    }

    /// `main`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// `refs/heads/main`.
    pub fn full(&self) -> String {
        format!("refs/heads/{}", self.0)
    }

    /// Whether the name is one that we gave: the only kind we may write to.
    pub fn is_ours(&self) -> bool {
        self.0.strip_prefix(OWN_BRANCH_PREFIX).is_some_and(|rest| rest.parse::<RunId>().is_ok())
    }
}

impl fmt::Display for BranchName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An identity's own id in the organization (VSID), lower-case GUID with dashes. Never a display name or a mail
/// address: those can be chosen by whoever wants to be somebody else.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdentityId(String);

impl IdentityId {
    /// Normalises case and dashes; the text itself is whatever the service sent.
    pub fn new(text: &str) -> Self {
        let digits: String =
            text.trim().chars().filter(|c| *c != '-').collect::<String>().to_ascii_lowercase();
        if digits.len() == 32 && digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            let part = |from: usize, to: usize| &digits[from..to];
            Self([part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-"))
        } else {
            Self(text.trim().to_ascii_lowercase())
        }
    }

    /// The normalised id.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it has the form of a GUID.
    pub fn is_guid(&self) -> bool {
        self.0.len() == 36 && self.0.split('-').map(str::len).eq([8, 4, 4, 4, 12])
    }
}

impl fmt::Display for IdentityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Somebody: the id decides, the name is only for sentences.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// The identity's id in the organization.
    pub id: IdentityId,
    /// As people see it. Not unique, never decides anything.
    pub name: String,
}

/// The host or cluster that owns a run's containers. Only its owner dispatches steps of a run.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ExecutorId(pub String);

impl fmt::Display for ExecutorId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A repository by its ids; the names are for people and for the clone address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Repository {
    /// GUID of the repository.
    pub id: String,
    /// Its name.
    pub name: String,
    /// GUID of the project it belongs to.
    pub project_id: String,
    /// That project's name.
    pub project: String,
    /// `https://…/_git/…`, without user part.
    pub clone_url: String,
    /// The branch that pull requests target unless told otherwise; absent in an empty repository.
    pub default_branch: Option<BranchName>,
}

impl Repository {
    /// `project/repository`, as the allow-list writes it.
    pub fn path(&self) -> String {
        format!("{}/{}", self.project, self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_reads_back_what_it_writes() {
        let id = RunId { item: WorkItemId(4711), revision: Revision(12) };
        assert_eq!(id.to_string(), "4711-r12");
        assert_eq!("4711-r12".parse(), Ok(id));
        for bad in ["", "4711", "4711-12", "x-r1", "1-r", "1-r2-r3", "-r1"] {
            assert!(bad.parse::<RunId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn only_branches_named_after_a_run_are_ours() {
        assert!(BranchName::new("refs/heads/agent/4711-r12").is_ours());
        for foreign in ["main", "agent/", "agent/experiment", "agent/4711", "release/agent/4711-r12"] {
            assert!(!BranchName::new(foreign).is_ours(), "{foreign}");
        }
    }

    #[test]
    fn identities_compare_across_spellings() {
        let a = IdentityId::new("D291B0C4A05C4EA68DF14B41D5F39EFF");
        assert_eq!(a, IdentityId::new("d291b0c4-a05c-4ea6-8df1-4b41d5f39eff"));
        assert!(a.is_guid());
        assert!(!IdentityId::new("Reviewer").is_guid());
    }

    #[test]
    fn a_commit_id_is_nothing_but_hex() {
        assert!("0123456789abcdef0123456789ABCDEF01234567".parse::<CommitId>().is_ok());
        for bad in ["", "0123", "g123456789abcdef0123456789abcdef01234567", "--upload-pack=x"] {
            assert!(bad.parse::<CommitId>().is_err(), "{bad}");
        }
    }
}
