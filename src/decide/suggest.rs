//! Suggested changes: a fenced block in a reviewer's comment that replaces the lines which the comment is about.
//!
//! Knows Azure DevOps' form of it (a fence whose info string is `suggestion`), which of them are asked for, and which can be
//! committed without judgement. Whether the lines are still what the reviewer saw is for whoever sees the file.

use crate::domain::{Awaiting, Comment, CommitId, IdentityId, Suggestion, Suggestions, Thread};
use std::collections::BTreeSet;

/// What opens a suggestion.
const INFO: &str = "suggestion";

/// A suggestion as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block<'a> {
    /// The comment.
    pub comment: &'a Comment,
    /// Whole lines.
    pub text: &'a str,
}

/// The suggestions of a review that can be committed as they stand. `heads` are the pull request's iterations with their
/// heads. Whatever leaves room for judgement is left to the agent: several suggestions on one thread or on the same lines,
/// words that came after, lines that nobody can place.
pub fn suggestions(
    threads: &[Thread],
    awaiting: &[Awaiting],
    trusted: &BTreeSet<IdentityId>,
    heads: &[(u32, Option<CommitId>)],
) -> Suggestions {
    let thread_of = |asked: &Awaiting| threads.iter().find(|thread| thread.id == asked.thread);
    let placed = |asked: &Awaiting| {
        let thread = thread_of(asked)?;
        let [Block { comment, text }] = blocks(thread, *asked, trusted)[..] else { return None };
        let place = thread.place.as_ref()?;
        let lines = (place.line?, place.last_line.or(place.line)?);
        let (_, seen) = heads.iter().find(|(number, _)| Some(*number) == place.iteration)?;
        let is_plain = place.path.split('/').all(|part| !matches!(part, "" | "." | ".."));
        (comment.id == asked.comment && is_plain && lines.0 >= 1 && lines.0 <= lines.1).then_some(())?;
        Some(Suggestion {
            thread: thread.id,
            comment: comment.id,
            by: comment.author.name.clone(),
            path: place.path.clone(),
            lines,
            columns: place.columns?,
            text: text.to_owned(),
            seen: seen.clone()?,
        })
    };
    let all: Vec<Suggestion> = awaiting.iter().filter_map(placed).collect();
    let mut list = all.clone();
    list.retain(|one| !all.iter().any(|other| other.thread != one.thread && overlap(one, other)));
    let says_only_that = |asked: &Awaiting| {
        let is_listed = list.iter().any(|one| one.thread == asked.thread);
        let words = thread_of(asked).map(|thread| new_words(thread, *asked, trusted));
        is_listed && matches!(words.as_deref(), Some([only]) if is_bare(&only.text))
    };
    let is_everything = !awaiting.is_empty() && awaiting.iter().all(says_only_that);
    Suggestions { list, is_everything }
}

/// Suggestions that trusted people made since somebody else spoke last, in a thread that is about lines.
pub fn blocks<'a>(thread: &'a Thread, asked: Awaiting, trusted: &BTreeSet<IdentityId>) -> Vec<Block<'a>> {
    if thread.place.as_ref().is_none_or(|place| place.line.is_none()) {
        return Vec::new();
    }
    let words = new_words(thread, asked, trusted).into_iter();
    words
        .flat_map(|comment| fences(&comment.text).0.into_iter().map(move |text| Block { comment, text }))
        .collect()
}

/// What trusted people said up to the comment that is asked about, since somebody else spoke last.
fn new_words<'a>(thread: &'a Thread, asked: Awaiting, trusted: &BTreeSet<IdentityId>) -> Vec<&'a Comment> {
    let may_ask = |comment: &&Comment| trusted.contains(&comment.author.id);
    let before = thread.comments.iter().filter(|one| one.id <= asked.comment);
    let mut new: Vec<&Comment> = before.rev().take_while(may_ask).collect();
    new.reverse();
    new
}

fn overlap(one: &Suggestion, other: &Suggestion) -> bool {
    one.path == other.path && one.lines.0 <= other.lines.1 && other.lines.0 <= one.lines.1
}

/// Whether a comment says nothing beside its suggestion.
fn is_bare(markdown: &str) -> bool {
    fences(markdown).1
}

/// The texts inside the suggestions of a comment, and whether nothing stands around them.
fn fences(markdown: &str) -> (Vec<&str>, bool) {
    let (mut found, mut is_bare) = (Vec::new(), true);
    let mut open: Option<(usize, usize)> = None;
    let mut at = 0;
    for line in markdown.split_inclusive('\n') {
        let bare = line.trim();
        let ticks = bare.bytes().take_while(|byte| *byte == b'`').count();
        match open {
            None if ticks >= 3 && bare[ticks..].trim().eq_ignore_ascii_case(INFO) => {
                open = Some((ticks, at + line.len()));
            }
            None => is_bare &= bare.is_empty(),
            Some((fence, start)) if ticks >= fence && bare.len() == ticks => {
                found.push(&markdown[start..at]);
                open = None;
            }
            Some(_) => {}
        }
        at += line.len();
    }
    (found, is_bare && open.is_none())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Columns, CommentId, Identity, Place, ThreadId, ThreadStatus};

    #[test]
    fn a_block_is_found_as_reviewers_write_it() {
        let all = |text: &'static str| fences(text).0;
        assert_eq!(
            all("Better:\r\n```suggestion\r\nlet a = 1;\r\n  b();\r\n```\r\nok?"),
            ["let a = 1;\r\n  b();\r\n"]
        );
        assert_eq!(all("````suggestion\n```\nx\n````"), ["```\nx\n"]);
        assert_eq!(all("``` suggestion\n```"), [""], "lines to remove");
        assert_eq!(all("```suggestion\n\n```"), ["\n"], "an empty line");
        assert_eq!(all("```suggestion\na\n```\nor\n```suggestion\nb\n```"), ["a\n", "b\n"]);
        for none in ["```rust\nsuggestion\n```", "```suggestion\nnever closed", "a suggestion"] {
            assert_eq!(all(none), [""; 0], "{none}");
        }
    }

    #[test]
    fn words_around_a_block_are_words() {
        assert!(is_bare("```suggestion\nx\n```\n \n"));
        for words in
            ["So?\n```suggestion\nx\n```", "```suggestion\nx\n```\nok?", "```suggestion\nnever closed"]
        {
            assert!(!is_bare(words), "{words}");
        }
    }

    const TEXT: &str = "```suggestion\nx\n```";

    fn comment(id: u32, author: &str, text: &str) -> Comment {
        let author = Identity { id: IdentityId::new(author), name: author.to_owned() };
        Comment { id: CommentId(id), author, text: text.to_owned(), changed_at: jiff::Timestamp::UNIX_EPOCH }
    }

    fn on(id: u32, lines: (u32, u32), comments: Vec<Comment>) -> Thread {
        let place = Place {
            path: "src/a.rs".into(),
            line: Some(lines.0),
            last_line: Some(lines.1),
            columns: Some(Columns { from: 1, to: 9 }),
            iteration: Some(2),
        };
        Thread { id: ThreadId(id), status: ThreadStatus::Active, place: Some(place), comments }
    }

    fn trusted() -> BTreeSet<IdentityId> {
        ["ana", "ben"].map(IdentityId::new).into()
    }

    /// What comes of a review in which each thread awaits an answer to its newest comment.
    fn review(threads: &[Thread]) -> (Vec<u32>, bool) {
        let newest = |thread: &Thread| thread.comments.last().unwrap().id;
        let awaiting: Vec<Awaiting> =
            threads.iter().map(|thread| Awaiting::of(thread.id, newest(thread))).collect();
        let heads = [(1, Some("1".repeat(40).parse().unwrap())), (2, Some("2".repeat(40).parse().unwrap()))];
        let found = suggestions(threads, &awaiting, &trusted(), &heads);
        assert!(found.list.iter().all(|one| one.seen == heads[1].1.clone().unwrap()));
        (found.list.iter().map(|one| one.thread.0).collect(), found.is_everything)
    }

    #[test]
    fn only_new_words_of_trusted_people_on_lines_are_suggestions() {
        let bot = comment(2, "bot", TEXT);
        let mut thread = on(
            7,
            (3, 5),
            vec![comment(1, "ana", TEXT), bot, comment(3, "ana", TEXT), comment(4, "ben", TEXT)],
        );
        let asked = |comment: u32| Awaiting::of(ThreadId(7), CommentId(comment));
        let found = |thread: &Thread, comment: u32, trusted: &BTreeSet<IdentityId>| -> Vec<u32> {
            blocks(thread, asked(comment), trusted).iter().map(|block| block.comment.id.0).collect()
        };
        assert_eq!(found(&thread, 4, &trusted()), [3, 4], "the first was answered");
        assert_eq!(found(&thread, 3, &[IdentityId::new("ana")].into()), [3]);
        thread.place = None;
        assert_eq!(found(&thread, 4, &trusted()), [0; 0], "on no line");
    }

    #[test]
    fn a_suggestion_alone_is_committed_and_is_everything() {
        let thread = on(7, (3, 5), vec![comment(1, "ana", TEXT)]);
        assert_eq!(review(&[thread]), (vec![7], true));
        let worded = on(7, (3, 5), vec![comment(1, "ana", &format!("Better:\n{TEXT}"))]);
        assert_eq!(review(&[worded]), (vec![7], false), "words want an answer");
        let also = on(8, (9, 9), vec![comment(1, "ana", "Why?")]);
        assert_eq!(review(&[on(7, (3, 5), vec![comment(1, "ana", TEXT)]), also]), (vec![7], false));
    }

    #[test]
    fn what_leaves_room_for_judgement_is_the_agents() {
        let twice = comment(1, "ana", &format!("{TEXT}\n{TEXT}"));
        assert_eq!(review(&[on(7, (3, 5), vec![twice])]), (vec![], false));
        let then = vec![comment(1, "ana", TEXT), comment(2, "ben", "Rather not.")];
        assert_eq!(review(&[on(7, (3, 5), then)]), (vec![], false), "words came after");
        let both = vec![comment(1, "ana", TEXT), comment(2, "ben", TEXT)];
        assert_eq!(review(&[on(7, (3, 5), both)]), (vec![], false));
        let ana = || on(7, (3, 5), vec![comment(1, "ana", TEXT)]);
        let ben = |lines| on(8, lines, vec![comment(1, "ben", TEXT)]);
        assert_eq!(review(&[ana(), ben((5, 6))]), (vec![], false), "on the same line");
        assert_eq!(review(&[ana(), ben((6, 6))]), (vec![7, 8], true), "on the next one");
    }

    #[test]
    fn lines_that_nobody_can_place_are_the_agents() {
        let change = |change: &dyn Fn(&mut Place)| {
            let mut thread = on(7, (3, 5), vec![comment(1, "ana", TEXT)]);
            change(thread.place.as_mut().unwrap());
            review(&[thread]).0
        };
        assert_eq!(change(&|place| place.last_line = None), [7], "one line");
        assert_eq!(change(&|place| place.columns = None), [0; 0]);
        assert_eq!(change(&|place| place.iteration = None), [0; 0]);
        assert_eq!(change(&|place| place.iteration = Some(3)), [0; 0], "not listed");
        assert_eq!(change(&|place| place.line = Some(0)), [0; 0]);
        for path in ["../src/a.rs", "src//a.rs", "", "/src/a.rs"] {
            assert_eq!(change(&|place| place.path = path.into()), [0; 0], "{path}");
        }
        assert_eq!(change(&|place| place.last_line = Some(2)), [0; 0], "ends before it begins");
    }
}
