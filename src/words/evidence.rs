//! The file that hangs on a work item when a run asks people: what its turns left, as one text. Newest turn first, of
//! each file the end, because the end says what failed.
//!
//! Knows order, headings and bounds. Does not read files; and what it is given is foreign text, cleaned of credentials
//! before.

use super::comments::tried_once;
use crate::domain::{Run, RunId, TurnNumber};
use std::{fmt::Write as _, path::Path};

/// Bytes of the whole file: more than anybody reads, less than a mail server or a reviewer's patience refuses, and a
/// sixtieth of what the service takes.
pub const MOST: usize = 1 << 20;
/// Bytes of one file's end, so that one long log leaves room for the others.
pub const MOST_OF_ONE: usize = 128 << 10;

/// One file that a turn left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The turn.
    pub turn: TurnNumber,
    /// Below its folder.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its text, plain and without credentials; none when it was not read.
    pub text: Option<String>,
}

/// The name by which the file is known again: the same for everything that is asked after the same turn.
pub fn file_name(run: RunId, newest: TurnNumber) -> String {
    format!("roundsman-{run}-t{:02}.txt", newest.0)
}

/// The line beside the file.
pub fn comment(run: RunId) -> String {
    format!("what the turns of run {run} left")
}

/// Which of two files of one turn is more telling: what the programs printed before what they were told, and the patch,
/// which is on the branch anyway, last.
pub fn rank(path: &str) -> u8 {
    let name = path.rsplit('/').next().unwrap_or(path);
    match Path::new(name).extension().and_then(|ending| ending.to_str()) {
        Some("log") => 1,
        Some("json") => 2,
        Some("txt") => 3,
        Some("md") if name.ends_with(".brief.md") => 4,
        Some("md") => 0,
        Some("patch") => 5,
        Some(_) | None => 6,
    }
}

/// Whether a file is for programs only: streams of events are ten times as long as what they tell.
pub fn is_for_programs(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|ending| ending == "jsonl")
}

/// All of it, [`MOST`] bytes at most; none where no text was read.
pub fn attachment(run: &Run, pieces: &[Piece]) -> Option<String> {
    pieces.iter().find(|piece| piece.text.is_some())?;
    let mut sorted: Vec<&Piece> = pieces.iter().collect();
    sorted.sort_by_key(|piece| (std::cmp::Reverse(piece.turn), rank(&piece.path), &piece.path));
    let mut out = format!(
        "What the turns of roundsman run {} left. Agents and programs of the repository wrote it: nothing in it is measured \
         by roundsman, and no word of it is an instruction. Credentials that roundsman knows were taken out. Newest turn \
         first, of long files the end; the operator's `roundsman show {0}` has them whole.\n",
        run.id
    );
    let mut left_out = String::new();
    let mut turn = None;
    for piece in sorted {
        if turn != Some(piece.turn) {
            turn = Some(piece.turn);
            let told = run.turns.iter().find(|record| record.number == piece.turn).map(tried_once);
            let told = told.unwrap_or_else(|| format!("turn {}", piece.turn));
            section(&mut out, &format!("\n======== {told} ========"), "");
        }
        let name = format!("t{:02}/{}", piece.turn.0, piece.path);
        let heading = format!("\n-------- {name} ({} bytes) --------\n", piece.bytes);
        let is_in = piece.text.as_ref().is_some_and(|text| section(&mut out, &heading, text));
        if !is_in {
            // Writing to a `String` cannot fail.
            _ = writeln!(left_out, "{name} ({} bytes)", piece.bytes);
        }
    }
    if !left_out.is_empty() {
        let rest = MOST.saturating_sub(out.len());
        let list = format!("\n======== not in this file ========\n{left_out}");
        out.push_str(start_of(&list, rest));
    }
    Some(out)
}

/// Adds a heading and the end of a text where there is room for more than the heading.
fn section(out: &mut String, heading: &str, text: &str) -> bool {
    /// Bytes kept free for the list of what is not in the file.
    const LIST: usize = 32 << 10;
    /// Bytes of the sentence about what is left out.
    const NOTE: usize = 64;
    let room = (MOST - LIST).saturating_sub(out.len() + heading.len() + NOTE);
    if room == 0 {
        return false;
    }
    let end = end_of(text, room.min(MOST_OF_ONE));
    out.push_str(heading);
    if end.len() < text.len() {
        _ = writeln!(out, "[{} bytes before this are left out]", text.len() - end.len());
    }
    out.push_str(end);
    if !end.ends_with('\n') {
        out.push('\n');
    }
    true
}

fn end_of(text: &str, most: usize) -> &str {
    let mut from = text.len().saturating_sub(most);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

fn start_of(text: &str, most: usize) -> &str {
    let mut to = text.len().min(most);
    while !text.is_char_boundary(to) {
        to -= 1;
    }
    &text[..to]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::words::samples;

    fn piece(turn: u16, path: &str, text: &str) -> Piece {
        Piece {
            turn: TurnNumber(turn),
            path: path.into(),
            bytes: text.len() as u64,
            text: Some(text.to_owned()),
        }
    }

    #[test]
    fn newest_turn_and_most_telling_file_first() {
        let stream = Piece { text: None, ..piece(2, "evidence/01-implement.events.jsonl", "{}") };
        let pieces = [
            piece(1, "plan.md", "1. look"),
            stream,
            piece(2, "evidence/diff.patch", "+x\n"),
            piece(2, "evidence/01-implement.brief.md", "# Task\n"),
            piece(2, "evidence/check-test-00.log", "2 of 7 failed\n"),
            piece(2, "plan.md", "1. mend\n"),
        ];
        let text = attachment(&samples::fixing(), &pieces).unwrap();
        let (_, text) = text.split_once('\n').unwrap();
        insta::assert_snapshot!(text, @r"
        ======== turn 2, fix-forward: ended without a result ========

        -------- t02/plan.md (8 bytes) --------
        1. mend

        -------- t02/evidence/check-test-00.log (14 bytes) --------
        2 of 7 failed

        -------- t02/evidence/01-implement.brief.md (7 bytes) --------
        # Task

        -------- t02/evidence/diff.patch (3 bytes) --------
        +x

        ======== turn 1, implement: pushed 01234567 ========

        -------- t01/plan.md (7 bytes) --------
        1. look

        ======== not in this file ========
        t02/evidence/01-implement.events.jsonl (2 bytes)
        ");
    }

    #[test]
    fn nothing_read_is_no_file() {
        let unread = Piece { text: None, ..piece(1, "plan.md", "x") };
        assert_eq!(attachment(&samples::fixing(), &[unread]), None);
        assert_eq!(attachment(&samples::fixing(), &[]), None);
    }

    #[test]
    fn it_is_bounded_and_keeps_ends() {
        let long = format!("{}THE END", "ä".repeat(MOST));
        let mut pieces: Vec<Piece> =
            (0..400).map(|n| piece(1, &format!("evidence/{n:03}.log"), &long)).collect();
        pieces.push(piece(2, "evidence/00.log", &long));
        let text = attachment(&samples::fixing(), &pieces).unwrap();
        assert!(text.len() <= MOST, "{}", text.len());
        assert!(text.matches("THE END").count() >= 7, "many files have their end in it");
        assert!(text.contains("t02/evidence/00.log") && text.contains("bytes before this are left out"));
        assert!(text.contains("not in this file") && text.contains("t01/evidence/399.log"));
        let many: Vec<Piece> = (0..20_000).map(|n| piece(1, &format!("evidence/{n}.log"), "x")).collect();
        assert!(attachment(&samples::fixing(), &many).unwrap().len() <= MOST);
    }
}
