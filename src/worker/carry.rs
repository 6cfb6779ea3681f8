//! How a conversation outlives its turn, and nothing else of an agent's home does.
//!
//! An agent that was led astray can leave settings, hooks, plug-ins and credentials in its home; the next turn would obey
//! them. So every agent step begins with an empty home, and of the last turn's home only the transcript is put back: files
//! that the agent's file names, or what its own program exported when the turn ended. A transcript is text. It was written
//! beside agent code and can say anything, as everything that an agent reads can; what it may do is fenced elsewhere.
//!
//! Knows nothing about when going on is wise: the shell decided that, and fetch wrote it where no agent writes.

use super::{
    agent::Session,
    child::End,
    fetch::GOES_ON,
    job::Job,
    machine::{self, text},
    memory::{self, Conversation},
};
use crate::{
    agents::{
        stream::Verdict,
        template::{self, Value},
    },
    domain::AgentResult,
    runtime::{
        process::files,
        spec::{AgentCall, GoesOn},
    },
};
use std::{fs, io, path::Path, time::Duration};

/// Bytes of a conversation: long turns have a few million; more than this is no text that a model would be given again.
const LIMIT: u64 = 32 << 20;
/// Bytes of what fetch wrote: a brief.
const NEWS_LIMIT: u64 = 1 << 20;
/// Files of one conversation.
const MOST_FILES: usize = 8;
/// Names of one folder that are looked at.
const MOST_NAMES: usize = 1_000;
/// What a program exported, below the home.
const EXPORTED: &str = "roundsman-conversation";
/// How long a program may take to export or import: a second was measured for a short conversation.
const PATIENCE: Duration = Duration::from_mins(1);

/// A conversation out of the last turn's home.
pub(super) struct Carried {
    conversation: Conversation,
    news: GoesOn,
    /// Below the home, with what they hold.
    files: Vec<(String, Vec<u8>)>,
}

/// Takes the conversation out of the home and empties it. Why there is none is for people.
pub(super) fn open(job: &Job, call: &AgentCall) -> io::Result<Result<Carried, String>> {
    let carried = gather(job, call);
    let red = memory::red_note(job);
    machine::empty(&job.spec.places.home)?;
    if let Some(note) = red {
        memory::keep_red_note(job, &note);
    }
    Ok(carried)
}

fn gather(job: &Job, call: &AgentCall) -> Result<Carried, String> {
    let places = &job.spec.places;
    let news = files::read_left_bytes(&places.input, GOES_ON, NEWS_LIMIT).ok().flatten();
    let news: GoesOn = news
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or("this turn has a conversation of its own")?;
    if call.keep.is_nothing() || call.resume.is_empty() {
        return Err(format!("conversations of {} end with their turn", call.name));
    }
    let conversation = memory::recall(job, &call.name)
        .filter(|known| known.after == Some(news.after))
        .ok_or_else(|| format!("turn {} left no conversation of {}", news.after, call.name))?;
    if conversation.model != call.model {
        return Err("another model was asked for".into());
    }
    let mut paths: Vec<String> = Vec::new();
    if call.keep.export.is_empty() {
        for pattern in &call.keep.files {
            paths.extend(found(&places.home, &pattern.replace("{session}", &conversation.session)));
        }
    } else {
        paths.push(EXPORTED.to_owned());
    }
    let mut left = LIMIT;
    let mut kept = Vec::new();
    for path in paths.into_iter().take(MOST_FILES) {
        let Ok(Some(bytes)) = files::read_left_bytes(&places.home, &path, left + 1) else { continue };
        left = left.checked_sub(bytes.len() as u64).ok_or("the conversation has become too long")?;
        kept.push((path, bytes));
    }
    if kept.is_empty() {
        return Err("the conversation is not there any more".into());
    }
    Ok(Carried { conversation, news, files: kept })
}

/// Paths below `home` that fit. Never through a link.
fn found(home: &Path, pattern: &str) -> Vec<String> {
    let mut paths = vec![String::new()];
    for part in pattern.split('/') {
        let mut longer = Vec::new();
        for path in paths {
            let place = home.join(&path);
            if !fs::symlink_metadata(&place).is_ok_and(|facts| facts.is_dir()) {
                continue;
            }
            let names = fs::read_dir(&place).into_iter().flatten().flatten().take(MOST_NAMES);
            let names = names.filter_map(|entry| entry.file_name().into_string().ok());
            let join = |name: String| if path.is_empty() { name } else { format!("{path}/{name}") };
            longer.extend(names.filter(|name| fits(part, name)).map(join));
        }
        longer.sort();
        paths = longer;
    }
    paths
}

fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((before, after)) => {
            name.strip_prefix(before).is_some_and(|rest| {
                // A later star takes the rest of the name.
                (0..=rest.len()).filter(|at| rest.is_char_boundary(*at)).any(|at| fits(after, &rest[at..]))
            })
        }
    }
}

impl Session<'_> {
    /// Goes on with the conversation, if it can be put back; says which of both it is.
    pub(super) fn go_on(&mut self, carried: Result<Carried, String>) {
        match carried.and_then(|carried| self.put_conversation_back(&carried).map(|()| carried)) {
            Ok(Carried { conversation, news, .. }) => {
                self.began = format!("goes on with that of turn {}", news.after);
                (self.conversation, self.news, self.is_told) = (Some(conversation), Some(news.news), true);
            }
            Err(why) => self.began = format!("begins afresh: {why}"),
        }
        self.job.say(&format!("the conversation {}", self.began));
    }

    fn put_conversation_back(&self, carried: &Carried) -> Result<(), String> {
        if carried.conversation.version != self.version {
            return Err("the agent's program has another version".into());
        }
        if self.call.keep.export.is_empty() {
            for (path, bytes) in &carried.files {
                machine::write(self.job.spec.places.home.join(path), bytes)
                    .map_err(|why| format!("the conversation cannot be put back: {why}"))?;
            }
            return Ok(());
        }
        let place = self.job.directory.join(EXPORTED);
        let bytes = carried.files.first().map_or(&[][..], |(_, bytes)| bytes);
        machine::write(place.clone(), bytes)
            .map_err(|why| format!("the conversation cannot be put back: {why}"))?;
        self.move_conversation(&self.call.keep.import, &carried.conversation.session, &text(&place))
            .map(drop)
            .ok_or_else(|| "the agent's program did not take the conversation back".into())
    }

    /// After a turn that ended well its conversation can be gone on with; after any other it is better forgotten: whoever
    /// lost the way begins afresh.
    pub(super) fn settle(&mut self, result: &AgentResult) {
        let ended_well = match result {
            AgentResult::Worked { cut, .. } => cut.is_none(),
            AgentResult::NothingChanged { .. } | AgentResult::Question { .. } => true,
            AgentResult::Failed { .. } => false,
        };
        let (job, call) = (self.job, self.call);
        let known = self.conversation.as_ref().filter(|_| ended_well && self.last == Verdict::Answered);
        let Some(session) = known.map(|known| known.session.clone()).filter(|_| !call.resume.is_empty())
        else {
            return memory::remember(job, &call.name, None);
        };
        if !call.keep.export.is_empty() {
            let exported = self.move_conversation(&call.keep.export, &session, "").unwrap_or_default();
            let place = job.spec.places.home.join(EXPORTED);
            if exported.is_empty() || files::write_atomically(&place, &exported).is_err() {
                return memory::remember(job, &call.name, None);
            }
        }
        memory::settle(job, &call.name, &self.version, call.model.as_deref());
    }

    /// Lets the agent's program print a conversation, or take one.
    fn move_conversation(&self, command: &[String], session: &str, file: &str) -> Option<Vec<u8>> {
        let command = template::fill_all(command, |slot| match slot {
            "{session}" => Some(Value::Text(session)),
            "{session_file}" => Some(Value::Text(file)),
            _ => None,
        });
        let ended = self.let_print(&command, &self.job.spec.places.workspace, PATIENCE, Some(LIMIT))?;
        (ended.end == End::Exited(0)).then_some(ended.stdout)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_the_conversation_are_found_and_none_through_a_link() {
        let home = tempfile::tempdir().unwrap();
        let put = |path: &str| machine::write(home.path().join(path), b"x").unwrap();
        for path in
            ["a/p1/s.jsonl", "a/p1/other.jsonl", "a/p2/s.jsonl", "a/settings.json", "b/x-2026-s.jsonl"]
        {
            put(path);
        }
        put("elsewhere/p/s.jsonl");
        std::os::unix::fs::symlink(home.path().join("elsewhere"), home.path().join("a/link")).unwrap();
        std::os::unix::fs::symlink(home.path().join("elsewhere"), home.path().join("c")).unwrap();
        assert_eq!(found(home.path(), "a/*/s.jsonl"), ["a/p1/s.jsonl", "a/p2/s.jsonl"]);
        assert_eq!(found(home.path(), "b/x-*-s.jsonl"), ["b/x-2026-s.jsonl"]);
        assert_eq!(found(home.path(), "c/*/s.jsonl"), Vec::<String>::new());
    }

    #[test]
    fn a_star_stands_for_any_part_of_one_name() {
        for (pattern, name, is_one) in [
            ("a", "a", true),
            ("*", "", true),
            ("r-*-s.j", "r-1-2-s.j", true),
            ("r-*-s.j", "r-s.j", false),
            ("*a*", "bab", true),
            ("*.j", "é.j", true),
            ("a", "ab", false),
        ] {
            assert_eq!(fits(pattern, name), is_one, "{pattern} {name}");
        }
    }
}
