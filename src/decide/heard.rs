//! What was said to us and by us: commands of trusted people that await an answer, and their answers to a question.
//!
//! Knows who said it, when, and which of our own comments carries which note; texts were turned into [`What`] before. Only
//! what was said after the claim counts, and only by people who are trusted. An answer of ours is known by the note in it,
//! never by its words.

use super::{
    command::Command,
    conversation::conversation,
    observation::{Observation, Seen},
};
use crate::domain::{
    Awaiting, Comment, CommentId, Identity, IdentityId, Policy, Revision, Run, RunId, Thread, TurnNumber,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::fmt;

/// A comment in the discussion of the work item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Remark {
    /// The comment.
    pub id: CommentId,
    /// Who wrote it.
    pub by: Identity,
    /// When.
    pub at: Timestamp,
    /// What it is to us.
    pub what: What,
}

/// What a comment is to us.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum What {
    /// Words.
    Words,
    /// A command.
    Command(Command),
    /// One of ours that carries a run's marker: a claim.
    Claim(RunId),
    /// One of ours that carries a note.
    Note(Note),
}

/// What a comment of ours is about, for our own eyes: its last line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The run.
    pub run: RunId,
    /// It answers that.
    pub answers: Option<Place>,
    /// It hands the run to people: whether it asks them something that they can answer in words.
    pub asks: Option<bool>,
    /// It lets the run go on with the text of that revision, after that turn.
    pub resumed: Option<(Revision, TurnNumber)>,
}

impl Note {
    /// Says nothing yet.
    pub fn of(run: RunId) -> Self {
        Self { run, answers: None, asks: None, resumed: None }
    }
}

/// Where something was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Place {
    /// In the discussion of the work item.
    Item(CommentId),
    /// In a thread of the pull request.
    Thread(Awaiting),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Item(comment) => write!(f, "{comment}"),
            Self::Thread(word) => write!(f, "{}.{}", word.thread, word.comment),
        }
    }
}

/// A command that awaits our answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Where.
    pub place: Place,
    /// Who.
    pub by: Identity,
    /// When.
    pub at: Timestamp,
    /// What.
    pub command: Command,
}

/// Commands in threads, apart from the discussions that they stand in. `answered` tells what an answer of ours answers.
pub fn apart(
    threads: Vec<Thread>,
    me: &IdentityId,
    policy: &Policy,
    answered: impl Fn(&str) -> Option<Place>,
) -> (Vec<Thread>, Vec<Asked>) {
    let mut asked = Vec::new();
    let mut spoken = Vec::new();
    for mut thread in threads {
        let place = |comment: &Comment| Place::Thread(Awaiting::of(thread.id, comment.id));
        let own = |comment: &Comment| if comment.author.id == *me { answered(&comment.text) } else { None };
        let done: Vec<Place> = thread.comments.iter().filter_map(own).collect();
        let to_us =
            |comment: &Comment| (comment.author.id != *me).then(|| Command::parse(&comment.text)).flatten();
        for comment in &thread.comments {
            let Some(command) = to_us(comment) else { continue };
            if policy.trusted.contains(&comment.author.id) && !done.contains(&place(comment)) {
                let (by, at) = (comment.author.clone(), comment.changed_at);
                asked.push(Asked { place: place(comment), by, at, command });
            }
        }
        let is_talk: Vec<bool> = thread
            .comments
            .iter()
            .map(|comment| to_us(comment).is_none() && own(comment).is_none())
            .collect();
        let mut keep = is_talk.into_iter();
        thread.comments.retain(|_| keep.next().unwrap_or(true));
        if !thread.comments.is_empty() {
            spoken.push(thread);
        }
    }
    (spoken, asked)
}

/// What was said in the discussion, if it was read.
fn said(seen: &Observation) -> &[Remark] {
    seen.discussion.known().map_or(&[], Vec::as_slice)
}

fn own_notes<'a>(run: &'a Run, seen: &'a Observation) -> impl Iterator<Item = (&'a Remark, &'a Note)> {
    said(seen).iter().filter_map(|said| match &said.what {
        What::Note(note) if note.run == run.id && said.by.id == seen.me => Some((said, note)),
        What::Note(_) | What::Words | What::Command(_) | What::Claim(_) => None,
    })
}

/// The oldest command that a trusted person gave since the claim and that we have not answered.
pub fn pending<'a>(run: &'a Run, seen: &'a Observation, policy: &'a Policy) -> Vec<Asked> {
    let is_answered = |place: Place| own_notes(run, seen).any(|(_, note)| note.answers == Some(place));
    let mut all: Vec<Asked> = said(seen)
        .iter()
        .filter(|said| said.at > run.claimed_at && said.by.id != seen.me)
        .filter(|said| policy.trusted.contains(&said.by.id))
        .filter_map(|said| match said.what {
            What::Command(command) => {
                let place = Place::Item(said.id);
                Some(Asked { place, by: said.by.clone(), at: said.at, command })
            }
            What::Words | What::Claim(_) | What::Note(_) => None,
        })
        .filter(|asked| !is_answered(asked.place))
        .collect();
    all.extend(seen.commands.known().into_iter().flatten().cloned());
    all.sort_by_key(|asked| (asked.at, asked.place));
    all
}

/// Whether a trusted person asked us to stop.
pub fn stop_asked(run: &Run, seen: &Observation, policy: &Policy) -> bool {
    pending(run, seen, policy).iter().any(|asked| asked.command == Command::Stop)
}

/// Our newest question, if our newest hand-over asks one.
fn question<'a>(run: &'a Run, seen: &'a Observation) -> Option<&'a Remark> {
    let newest =
        own_notes(run, seen).filter(|(_, note)| note.asks.is_some() || note.resumed.is_some()).last();
    newest.filter(|(_, note)| note.asks == Some(true)).map(|(asked, _)| asked)
}

/// Trusted people's words in the discussion after our newest question.
pub(super) fn answer<'a>(run: &'a Run, seen: &'a Observation, policy: &'a Policy) -> Vec<&'a Remark> {
    let Some(asked) = question(run, seen) else { return Vec::new() };
    said(seen)
        .iter()
        .filter(|said| said.id > asked.id && said.what == What::Words && said.by.id != seen.me)
        .filter(|said| policy.trusted.contains(&said.by.id))
        .collect()
}

/// Trusted people's words on the pull request after our newest question: threads that await us, and who spoke first.
///
/// Nobody can tell an answer from a review without reading it, so both let the run go on, and both are answered as a review:
/// where they stand. The brief says what was asked.
pub(super) fn answer_on_pull_request(
    run: &Run,
    seen: &Observation,
    policy: &Policy,
) -> Option<(Identity, Vec<Awaiting>)> {
    let asked = question(run, seen)?;
    let (threads, own) = (seen.threads.known()?, seen.said.known().map_or(&[][..], Vec::as_slice));
    // Whoever wrote or changed the newest wording speaks.
    let comment = |word: &Awaiting| -> Option<&Comment> {
        let thread = threads.iter().find(|thread| thread.id == word.thread)?;
        let is_newest =
            |one: &&Comment| Some(one.changed_at) == word.as_of && policy.trusted.contains(&one.author.id);
        let newest = thread.comments.iter().rev().find(is_newest);
        newest.or_else(|| thread.comments.iter().find(|one| one.id == word.comment))
    };
    let mut words: Vec<(Timestamp, &Identity, Awaiting)> = conversation(threads, own, &seen.me, policy)
        .awaiting
        .into_iter()
        .filter_map(|word| comment(&word).map(|said| (said.changed_at, &said.author, word)))
        .filter(|(at, _, _)| *at > asked.at)
        .collect();
    words.sort_by_key(|(at, _, word)| (*at, *word));
    let by = words.first().map(|(_, by, _)| (*by).clone())?;
    Some((by, words.into_iter().map(|(_, _, word)| word).collect()))
}

/// How we let the run go on last, if that is the last that we said about it: memory may not know it yet.
pub(super) fn resumed(run: &Run, seen: &Observation) -> Option<(Revision, TurnNumber)> {
    let newest =
        own_notes(run, seen).filter(|(_, note)| note.asks.is_some() || note.resumed.is_some()).last();
    newest.and_then(|(_, note)| note.resumed)
}

/// Whether the discussion tells of a later claim than ours. Unread, nothing tells.
pub(super) fn claimed_anew(run: &Run, seen: &Observation) -> Option<bool> {
    match &seen.discussion {
        Seen::Known(said) => Some(said.iter().any(|said| match &said.what {
            What::Claim(claim) => said.by.id == seen.me && claim.revision > run.id.revision,
            What::Words | What::Command(_) | What::Note(_) => false,
        })),
        Seen::Unknown(_) => None,
        // Nothing was said since we looked last.
        Seen::NotAsked => Some(true),
    }
}
