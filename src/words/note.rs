//! The last line of a comment of ours that answers somebody or moves a run: what it is about, to be known again.
//!
//! Its own small grammar, next to the marker's, and like it plain visible text; a note is no marker and rebuilds no run. It
//! counts only in text that our own identity wrote, and that is for the caller to check.

use super::marker::{SEPARATOR, visible_text};
use crate::{
    decide::{Note, Place},
    domain::{Awaiting, CommentId, Revision, ThreadId, TurnNumber},
};

/// The first word of a note.
const WORD: &str = "roundsman-note";

/// One line, safe to put into HTML and Markdown as it is.
pub fn render(note: &Note) -> String {
    let Note { run, answers, asks, resumed } = note;
    let mut fields = vec![format!("{WORD} {run}")];
    fields.extend(answers.map(|place| format!("answers {place}")));
    fields.extend(asks.map(|asks| format!("asks {}", if asks { "yes" } else { "no" })));
    fields.extend(resumed.map(|(text, after)| format!("text {text} {SEPARATOR} after {after}")));
    fields.push("end".into());
    fields.join(&format!(" {SEPARATOR} "))
}

/// The last note in `text`, whatever HTML or white space the service put around and into it.
pub fn find(text: &str) -> Option<Note> {
    let text = visible_text(text);
    text.rmatch_indices(WORD).find_map(|(start, word)| parse(&text[start + word.len()..]))
}

/// What a comment in a thread of ours answers.
pub fn answers(text: &str) -> Option<Place> {
    find(text)?.answers
}

fn parse(after_word: &str) -> Option<Note> {
    let mut fields = after_word.split(SEPARATOR).map(str::trim);
    let mut note = Note::of(fields.next()?.parse().ok()?);
    let (mut text, mut after) = (None, None);
    for field in fields {
        let (name, value) = field.split_once(' ').unwrap_or((field, ""));
        match name {
            "answers" => note.answers = Some(place(value)?),
            "asks" => note.asks = Some(value == "yes"),
            "text" => text = Some(Revision(value.parse().ok()?)),
            "after" => after = Some(TurnNumber(value.parse().ok()?)),
            // What follows the end is not ours.
            _ => break,
        }
    }
    note.resumed = text.zip(after);
    Some(note)
}

fn place(value: &str) -> Option<Place> {
    Some(match value.split_once('.') {
        None => Place::Item(CommentId(value.parse().ok()?)),
        Some((thread, comment)) => {
            Place::Thread(Awaiting::of(ThreadId(thread.parse().ok()?), CommentId(comment.parse().ok()?)))
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::{Marker, samples};

    #[test]
    fn a_note_is_read_back_and_is_no_marker() {
        let run = samples::run().id;
        let word = Awaiting::of(ThreadId(3), CommentId(2));
        for note in [
            Note::of(run),
            Note { answers: Some(Place::Item(CommentId(17))), ..Note::of(run) },
            Note { answers: Some(Place::Thread(word)), ..Note::of(run) },
            Note { asks: Some(true), ..Note::of(run) },
            Note {
                resumed: Some((Revision(15), TurnNumber(2))),
                answers: Some(Place::Item(CommentId(9))),
                ..Note::of(run)
            },
        ] {
            let line = render(&note);
            for text in [
                line.clone(),
                format!("<p>words</p><hr><p>{}</p>", line.replace(' ', "&nbsp; ")),
                format!("{line}<br>· after 9 · of others"),
            ] {
                assert_eq!(find(&text), Some(note.clone()), "{text}");
                assert_eq!(Marker::find(&text), None, "{text}");
            }
        }
        insta::assert_snapshot!(
            render(&Note { asks: Some(true), ..Note::of(run) }),
            @"roundsman-note 4711-r12 · asks yes · end"
        );
    }
}
