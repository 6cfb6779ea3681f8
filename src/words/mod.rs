//! Every sentence that a person or an agent reads: comments, pull requests, briefs, doorbells, markers.
//!
//! Pure text from plain values. Knows what Azure DevOps does with text (which of it is HTML, what becomes a link, how
//! long it may be); does not know when anything is said, nor to whom it is sent. Equal input renders equal text, so that
//! an unchanged comment is never written again. Foreign text goes through [`neutral`] before it stands in ours.

pub mod briefs;
pub mod checklist;
pub mod comments;
pub mod doorbell;
pub mod evidence;
pub mod footer;
pub mod house;
pub mod marker;
pub mod neutral;
pub mod note;
pub mod notices;
pub mod pull_request;
pub mod record;
pub mod refusals;
pub mod talk;

pub use comments::{Checks, Escalation, Evidence, Links, Progress, ProgressNote, Waiting};
pub use marker::{Found, Marker};
pub use record::Record;

#[cfg(test)]
mod relayed;
#[cfg(test)]
pub(crate) mod samples;
