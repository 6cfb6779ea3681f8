//! Suggested changes: a fenced block in a reviewer's comment that replaces the lines which the comment is about.
//!
//! Knows Azure DevOps' form of it (a fence whose info string is `suggestion`, the thread's lines in the new version). Does
//! not apply anything: whether it still fits is for whoever sees the file.

use super::{MAX_INLINE, neutral};
use crate::domain::{Awaiting, Comment, CommentId, IdentityId, Place, Thread};
use std::collections::BTreeSet;

/// What opens a suggestion.
const INFO: &str = "suggestion";

/// Suggestions that trusted people made in an awaiting thread since somebody else spoke last, with their comment.
pub(super) fn pending<'a>(
    thread: &'a Thread,
    awaiting: &[Awaiting],
    trusted: &BTreeSet<IdentityId>,
) -> Vec<(CommentId, &'a str)> {
    let Some(asked) = awaiting.iter().find(|asked| asked.thread == thread.id) else { return Vec::new() };
    if thread.place.as_ref().is_none_or(|place| place.line.is_none()) {
        return Vec::new();
    }
    let may_ask = |comment: &&Comment| trusted.contains(&comment.author.id);
    let before: Vec<&Comment> = thread.comments.iter().filter(|one| one.id <= asked.comment).collect();
    let new = before.into_iter().rev().take_while(may_ask).collect::<Vec<_>>().into_iter().rev();
    new.filter_map(|comment| Some((comment.id, block(&comment.text)?))).collect()
}

/// What the agent is to do with one.
pub(super) fn task(comment: CommentId, place: &Place, replacement: &str) -> String {
    let path = neutral::line(&place.path, MAX_INLINE).replace('`', "'");
    let first = place.line.unwrap_or(1);
    let lines = match place.last_line.filter(|last| *last > first) {
        Some(last) => format!("lines {first} to {last}"),
        None => format!("line {first}"),
    };
    let what = if replacement.trim().is_empty() {
        format!("Remove {lines} of `{path}`")
    } else {
        format!("Replace {lines} of `{path}` by the following, to the letter")
    };
    format!(
        "**Comment {comment} is a suggested change.** {what}, as a commit of its own. If those lines have changed since, or \
         the change breaks something, do what it means and say so in your answer."
    )
}

/// The text inside the first suggestion of a comment.
fn block(markdown: &str) -> Option<&str> {
    let mut at = 0;
    let mut open: Option<(usize, usize)> = None;
    for line in markdown.split_inclusive('\n') {
        let bare = line.trim();
        let ticks = bare.bytes().take_while(|byte| *byte == b'`').count();
        match open {
            None if ticks >= 3 && bare[ticks..].trim().eq_ignore_ascii_case(INFO) => {
                open = Some((ticks, at + line.len()));
            }
            Some((fence, start)) if ticks >= fence && bare.len() == ticks => {
                return Some(markdown[start..at].trim_end_matches(['\r', '\n']));
            }
            None | Some(_) => {}
        }
        at += line.len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Identity, ThreadId, ThreadStatus};

    #[test]
    fn a_block_is_found_as_reviewers_write_it() {
        assert_eq!(
            block("Better:\r\n```suggestion\r\nlet a = 1;\r\n  b();\r\n```\r\nok?"),
            Some("let a = 1;\r\n  b();")
        );
        assert_eq!(block("````suggestion\n```\nx\n````"), Some("```\nx"));
        assert_eq!(block("``` suggestion\n```"), Some(""), "lines to remove");
        assert_eq!(block("```rust\nsuggestion\n```"), None);
        assert_eq!(block("```suggestion\nnever closed"), None);
        assert_eq!(block("a suggestion"), None);
    }

    #[test]
    fn only_new_words_of_trusted_people_on_lines_are_suggestions() {
        let comment = |id: u32, author: &str| Comment {
            id: CommentId(id),
            author: Identity { id: IdentityId::new(author), name: author.to_owned() },
            text: format!("```suggestion\n{id}\n```"),
            changed_at: jiff::Timestamp::UNIX_EPOCH,
        };
        let place = Some(Place { path: "src/a.rs".into(), line: Some(3), last_line: Some(5) });
        let mut thread = Thread {
            id: ThreadId(7),
            status: ThreadStatus::Active,
            place,
            comments: vec![comment(1, "ana"), comment(2, "bot"), comment(3, "ana"), comment(4, "ben")],
        };
        let trusted: BTreeSet<_> = ["ana", "ben"].map(IdentityId::new).into();
        let asked = [Awaiting { thread: ThreadId(7), comment: CommentId(4) }];
        let found: Vec<u32> = pending(&thread, &asked, &trusted).into_iter().map(|(id, _)| id.0).collect();
        assert_eq!(found, [3, 4], "the first was answered");
        let only_ana: BTreeSet<_> = [IdentityId::new("ana")].into();
        let asked_ana = [Awaiting { thread: ThreadId(7), comment: CommentId(3) }];
        assert_eq!(pending(&thread, &asked_ana, &only_ana), [(CommentId(3), "3")]);
        assert_eq!(pending(&thread, &[], &trusted), [], "it does not await us");
        thread.place = None;
        assert_eq!(pending(&thread, &asked, &trusted), [], "on no line");
    }

    #[test]
    fn the_task_names_file_and_lines() {
        let place = Place { path: "src/`a`.rs".into(), line: Some(3), last_line: Some(5) };
        insta::assert_snapshot!(task(CommentId(4), &place, "x"), @"**Comment 4 is a suggested change.** Replace lines 3 to 5 of `src/'a'.rs` by the following, to the letter, as a commit of its own. If those lines have changed since, or the change breaks something, do what it means and say so in your answer.");
        insta::assert_snapshot!(task(CommentId(4), &Place { last_line: Some(3), ..place }, " "), @"**Comment 4 is a suggested change.** Remove line 3 of `src/'a'.rs`, as a commit of its own. If those lines have changed since, or the change breaks something, do what it means and say so in your answer.");
    }
}
