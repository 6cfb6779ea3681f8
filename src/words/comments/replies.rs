//! What we say in the threads of a pull request, Markdown.

use super::{super::neutral, MAX_AGENT_TEXT, MAX_INLINE};
use crate::domain::{CommitId, Identity};

/// Answer to a reviewer after a push, Markdown. Our header names the commit; the rest is the agent's, cut and
/// neutralised.
pub fn reply_to_thread(agent_text: &str, commit: &CommitId) -> String {
    match quoted_agent_text(agent_text) {
        Some(text) => format!("Commit {} answers this. The agent writes:\n\n{text}", commit.short()),
        None => reply_without_agent_text(commit),
    }
}

/// Answer to a reviewer whose suggestion was committed as it stands, Markdown.
pub fn reply_to_suggestion(agent_text: &str, commit: &CommitId) -> String {
    let done = format!("Your suggestion is commit {}, to the letter.", commit.short());
    match quoted_agent_text(agent_text) {
        Some(text) => format!("{done} The agent writes:\n\n{text}"),
        None => done,
    }
}

fn reply_without_agent_text(commit: &CommitId) -> String {
    format!(
        "Commit {} was made with this thread in view, but the agent left no answer of its own. Please check whether it \
         settles the point.",
        commit.short()
    )
}

/// Answer to a reviewer when no commit was made, Markdown.
pub fn nothing_changed_reply(agent_text: &str) -> String {
    match quoted_agent_text(agent_text) {
        Some(text) => format!("No change was made for this. The agent writes:\n\n{text}"),
        None => "No change was made for this, and the agent left no reason. Please say what should be different, or \
                 settle the thread."
            .into(),
    }
}

/// The one reminder to the people whose approval is missing, Markdown.
pub fn reminder(people: &[Identity]) -> String {
    let names: Vec<String> = people
        .iter()
        .map(|who| {
            if who.id.is_guid() {
                format!("@<{}>", who.id)
            } else {
                neutral::markdown(&neutral::line(&who.name, MAX_INLINE))
            }
        })
        .collect();
    let to = if names.is_empty() { String::new() } else { format!("{}: ", names.join(", ")) };
    format!("{to}this pull request waits for a review. This is the only reminder.")
}

fn quoted_agent_text(text: &str) -> Option<String> {
    let text = neutral::cap(neutral::markdown(text).trim(), MAX_AGENT_TEXT);
    (!text.is_empty())
        .then(|| text.lines().map(|line| format!("> {line}").trim_end().to_owned() + "\n").collect())
}

/// An earlier run's pull request is given up for a new one, Markdown. `branch` of the new run is the key by which the
/// sentence is known again.
pub fn replaced_by(branch: &str, link: &str) -> String {
    let link = neutral::visible(link).replace('\n', "");
    format!("A later run of this work item replaces this pull request. It works on `{branch}`: {link}")
}
