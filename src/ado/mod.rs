//! The Azure DevOps client: typed calls in, domain values out. It knows every trap of the service and nothing about
//! runs; the JSON of the service is private to `wire`.
//!
//! - One [`Client`] per process. Reads are retried within a bounded time and run at most eight in parallel; writes are
//!   never repeated, run one at a time and answer [`Written`]: done, not done, or unknown.
//! - A list is complete or an [`Error`]: paging fails closed, because absence is a fact somebody acts on.
//! - Success is a JSON answer. A sign-in page with status 203 is a rejected token, not data.
//! - All text of the service in errors, logs and timelines has gone through the [`Redactor`].
//!
//! Pages named "REST: …" are those of the Azure DevOps REST reference, <https://learn.microsoft.com/rest/api/azure/devops/>.
//! The version sent is 7.1 unless a function says otherwise.

mod attachments;
mod builds;
mod classify;
mod client;
mod comments;
mod error;
mod git;
mod identities;
mod identity;
mod item_changes;
mod operation;
mod policies;
mod pull_requests;
pub(crate) mod redact;
mod request;
mod retry;
mod setup;
mod statuses;
mod test_results;
mod text;
mod threads;
mod updates;
mod wire;
mod work_items;

pub use attachments::AttachedFile;
pub use builds::{BuildFilter, LogEnd};
pub use client::{Allowance, Client};
pub use comments::ItemComment;
pub use error::{Error, ErrorKind, Fault, Written};
pub use git::Branch;
pub use identity::Connection;
pub use item_changes::{ItemChange, NewItem, PullRequestLink};
pub use operation::Operation;
pub use policies::PolicyConfiguration;
pub use pull_requests::{
    MAX_DESCRIPTION, MAX_TITLE, MergeStrategy, NewPullRequest, PullRequestChange, PullRequestFilter, cut,
};
pub use redact::{REDACTED, Redactor};
pub use setup::{Auth, Options, SetupError};
pub use statuses::ChangedFile;
pub use test_results::Published;
pub use text::{MAX_TEXT, to_markdown};
pub use threads::ThreadMark;
pub use work_items::Wiql;
