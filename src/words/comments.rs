//! What we say on the work item (HTML) and in the threads of the pull request (Markdown).
//!
//! Knows where a run stands and renders it; equal state renders equal text, nothing in it changes with the clock. Does not
//! know when to speak: `decide` says so, and `shell` compares with what was written before. Whatever is not our own
//! sentence is neutralised here.

mod handover;
mod progress;
mod replies;

pub(super) use handover::tried_once;
pub use handover::{Escalation, Evidence, closed, closing_history, escalated, handed_back, tried};
pub use progress::{
    Checks, Mark, Progress, ProgressNote, ProgressStep, Waiting, claim_history, progress, used, waiting,
};
pub use replies::{nothing_changed_reply, reminder, replaced_by, reply_to_suggestion, reply_to_thread};

use super::neutral;
use crate::domain::{Identity, Outcome, Run};

/// The part of an agent's text that goes into a comment: a page, not a flood.
const MAX_AGENT_TEXT: usize = 4_000;
/// Titles and names stand inside sentences of ours.
const MAX_INLINE: usize = 200;
/// A reason is a sentence or two.
const MAX_SENTENCE: usize = 1_000;

/// Where people can look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Links {
    /// The pull request's page.
    pub pull_request: Option<String>,
    /// The branch's page.
    pub branch: Option<String>,
    /// The failing build's page.
    pub build: Option<String>,
}

fn outcome_sentence(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Merged => "The pull request was merged; this run is done.",
        Outcome::Green => "All checks passed; this run is done, the pull request is for people to complete.",
        Outcome::Declined => "The pull request was abandoned or its branch deleted; this run is closed.",
        Outcome::HandedBack => "A person took this work item back; this run is closed.",
        Outcome::Superseded => "A later run of this work item replaced this one.",
    }
}

fn foreign(text: &str, max: usize) -> String {
    neutral::html(&neutral::cap(neutral::plain(text).trim(), max))
}

/// A person by name, mailed by the service.
pub(super) fn mention(who: &Identity) -> String {
    let name = foreign(&who.name, MAX_INLINE);
    if who.id.is_guid() {
        format!("<a href=\"#\" data-vss-mention=\"version:2.0,{}\">@{name}</a>", who.id)
    } else {
        name
    }
}

/// Only web addresses become links; anything else stays text.
fn anchor(link: &str, text: &str) -> String {
    let text = neutral::html(text);
    if link.starts_with("https://") || link.starts_with("http://") {
        format!("<a href=\"{}\">{text}</a>", neutral::html(&neutral::visible(link).replace('\n', "")))
    } else {
        text
    }
}

fn branch(run: &Run, links: &Links) -> String {
    let name = run.branch().to_string();
    links.branch.as_ref().map_or_else(|| neutral::html(&name), |link| anchor(link, &name))
}

fn pull_request_sentence(run: &Run, links: &Links) -> String {
    let link = links.pull_request.as_deref().unwrap_or_default();
    run.pull_request
        .map(|id| format!(" See {}.", anchor(link, &format!("pull request !{id}"))))
        .unwrap_or_default()
}

/// How people take the change back, on one line; nothing where there is no pull request. What a revert does not undo
/// (data, whatever was deployed) nobody here can know, and nothing is said of it.
fn take_back(run: &Run, links: &Links, is_merged: bool) -> Option<String> {
    let page = anchor(
        links.pull_request.as_deref().unwrap_or_default(),
        &format!("pull request !{}", run.pull_request?),
    );
    let when = if is_merged { "" } else { " after the merge" };
    let target = foreign(&run.target.to_string(), MAX_INLINE);
    Some(format!(
        "To take the change back{when}, choose Revert on the page of {page}: it prepares a branch that undoes it, for a pull \
         request into {target}."
    ))
}

#[cfg(test)]
mod tests;
