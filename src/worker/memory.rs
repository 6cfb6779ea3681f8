//! What we note in `/home` for later turns: the name of the agent's conversation, and which checks failed before it began.
//! How the conversation itself outlives its turn stands in `carry`.
//!
//! Lives beside agent code, so it is a hint and checked like one. What is lost costs tokens, nothing else.

use super::{job::Job, machine::text};
use crate::{
    domain::{TurnNumber, Usage},
    runtime::process::files,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Below `/home`.
const FILE: &str = "roundsman-session.json";
/// Bytes that are read of it.
const LIMIT: u64 = 64 << 10;
/// Characters of a conversation's name; the known ones have at most 36.
const LONGEST: usize = 128;

/// A conversation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Conversation {
    /// Its name.
    pub(super) session: String,
    /// The workspace in which it took place: some agents hang when it goes on elsewhere.
    directory: String,
    /// What it used up so far, as its program counts.
    #[serde(default)]
    pub(super) usage: Usage,
    /// The turn that ended well with it; none while one is under way, and after one that did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<TurnNumber>,
    /// The program's version then.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) version: String,
    /// The model that was asked for then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) model: Option<String>,
}

/// The conversation that this agent can go on with.
pub(super) fn recall(job: &Job, agent: &str) -> Option<Conversation> {
    let known = all(job).remove(agent)?;
    (known.directory == text(&job.spec.places.workspace) && is_name(&known.session)).then_some(known)
}

/// Remembers the conversation, or that there is none.
pub(super) fn remember(job: &Job, agent: &str, conversation: Option<(&str, Usage)>) {
    let mut known = all(job);
    match conversation.filter(|(session, _)| is_name(session)) {
        Some((session, usage)) => {
            let directory = text(&job.spec.places.workspace);
            let session = session.to_owned();
            let (after, version, model) = (None, String::new(), None);
            let known_now = Conversation { session, directory, usage, after, version, model };
            known.insert(agent.to_owned(), known_now);
        }
        None => _ = known.remove(agent),
    }
    write(job, &known);
}

/// The turn ended well: a later one may go on.
pub(super) fn settle(job: &Job, agent: &str, version: &str, model: Option<&str>) {
    let mut known = all(job);
    if let Some(conversation) = known.get_mut(agent) {
        conversation.after = Some(job.spec.turn.number);
        version.clone_into(&mut conversation.version);
        conversation.model = model.map(str::to_owned);
    }
    write(job, &known);
}

fn write(job: &Job, known: &BTreeMap<String, Conversation>) {
    // Whoever cannot remember begins afresh.
    _ = files::write_atomically(
        &job.spec.places.home.join(FILE),
        &serde_json::to_vec_pretty(known).unwrap_or_default(),
    );
}

fn all(job: &Job) -> BTreeMap<String, Conversation> {
    let text = files::read_left(&job.spec.places.home, FILE, LIMIT).ok().flatten();
    text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

/// Below `/home`, too.
const RED_FILE: &str = "roundsman-red-before.json";

/// What fails on a commit of the target, seen before an agent was called.
#[derive(Serialize, Deserialize)]
struct RedBefore {
    commit: String,
    checks: Vec<String>,
}

/// Names of the checks that failed on this commit; none = nobody looked. Whoever wrote something else here excuses checks
/// that the build server does not excuse.
pub(super) fn red_before(job: &Job, commit: &str) -> Option<Vec<String>> {
    let text = files::read_left(&job.spec.places.home, RED_FILE, LIMIT).ok().flatten()?;
    let known: RedBefore = serde_json::from_str(&text).ok()?;
    (known.commit == commit).then_some(known.checks)
}

/// The note as it is: it outlives the home.
pub(super) fn red_note(job: &Job) -> Option<Vec<u8>> {
    files::read_left_bytes(&job.spec.places.home, RED_FILE, LIMIT).ok().flatten()
}

/// Puts the note back.
pub(super) fn keep_red_note(job: &Job, note: &[u8]) {
    _ = files::write_atomically(&job.spec.places.home.join(RED_FILE), note);
}

/// Remembers them for the run's later turns.
pub(super) fn keep_red_before(job: &Job, commit: &str, checks: Vec<String>) {
    let known = RedBefore { commit: commit.to_owned(), checks };
    // Whoever cannot remember looks again.
    let bytes = serde_json::to_vec(&known).unwrap_or_default();
    _ = files::write_atomically(&job.spec.places.home.join(RED_FILE), &bytes);
}

/// The name becomes an argument, and whoever wrote the file could have written an option into it.
fn is_name(session: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    session.len() <= LONGEST
        && session.starts_with(|c: char| c.is_ascii_alphanumeric())
        && session.chars().all(is_plain)
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_option_is_no_name() {
        assert!(super::is_name("ses_e058d9fb8ffewJIE1SUiBwAXn5"));
        assert!(super::is_name("01a1fa83-47a8-7be3-9dfa-51843e3896e7"));
        for bad in ["", "--last", "-c", "a b", "a=b", "../x", "{brief}", &"a".repeat(200)] {
            assert!(!super::is_name(bad), "{bad}");
        }
    }
}
