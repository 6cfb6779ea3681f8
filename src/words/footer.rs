//! The last line of what we say on a pull request: by it a word of ours is found again, and a second copy is known.
//!
//! Visible text, like the [`super::marker`], and safe for the same reason: its separator is removed from all foreign
//! text. Whoever asks makes sure that the word is ours; a footer that somebody else wrote means nothing.

use super::marker::SEPARATOR;
use crate::domain::{CommentId, Notice, RunId, Said};

/// The first word.
const WORD: &str = "roundsman";
/// Before the number of the comment that an answer is about.
const ANSWERS: &str = "answers comment ";
/// After it, if a commit came with the answer.
const CHANGED: &str = "with a commit";
/// Before the time of the newest wording that the answer is about: people change what they wrote.
const AS_OF: &str = "as of ";

/// `markdown` with its footer.
pub fn signed(markdown: &str, run: RunId, said: Said) -> String {
    let key = match said {
        Said::Answer { to, changed, as_of } => {
            let changed = if changed { format!(" {SEPARATOR} {CHANGED}") } else { String::new() };
            let as_of = as_of.map(|at| format!(" {SEPARATOR} {AS_OF}{at}")).unwrap_or_default();
            format!("{ANSWERS}{to}{changed}{as_of}")
        }
        Said::Notice(notice) => word(notice).to_owned(),
    };
    format!("{}\n\n{WORD} {run} {SEPARATOR} {key}", markdown.trim_end())
}

/// What a word of ours says about itself; nothing if it has no footer.
pub fn read(markdown: &str) -> Option<Said> {
    let line = markdown.lines().rev().map(str::trim).find(|line| !line.is_empty())?;
    let mut fields = line.split(SEPARATOR).map(str::trim);
    let _run: RunId = fields.next()?.strip_prefix(WORD)?.trim().parse().ok()?;
    let key = fields.next()?;
    let notice = [Notice::Reminder, Notice::Description].into_iter().find(|notice| word(*notice) == key);
    if let Some(notice) = notice {
        return Some(Said::Notice(notice));
    }
    let to = CommentId(key.strip_prefix(ANSWERS)?.parse().ok()?);
    let rest: Vec<&str> = fields.collect();
    let as_of = rest.iter().find_map(|field| field.strip_prefix(AS_OF)?.parse().ok());
    Some(Said::Answer { to, changed: rest.contains(&CHANGED), as_of })
}

fn word(notice: Notice) -> &'static str {
    match notice {
        Notice::Reminder => "reminder",
        Notice::Description => "whole description",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{Revision, WorkItemId};

    #[test]
    fn what_is_signed_is_read_back_and_nothing_else() {
        let run = RunId { item: WorkItemId(4711), revision: Revision(12) };
        let at = |time: &str| Some(time.parse().unwrap());
        let (early, late) = (at("2026-03-31T18:36:28.5371234Z"), at("2026-03-31T18:36:28Z"));
        let answer = |changed| Said::Answer { to: CommentId(3), changed, as_of: None };
        for said in [
            answer(true),
            answer(false),
            Said::Answer { to: CommentId(3), changed: true, as_of: early },
            Said::Answer { to: CommentId(3), changed: false, as_of: late },
            Said::Notice(Notice::Reminder),
            Said::Notice(Notice::Description),
        ] {
            let text = signed("Done.\n", run, said);
            assert_eq!(read(&text), Some(said), "{text}");
            assert_eq!(read(&text.replace('\n', "\r\n")), Some(said), "as editors store it");
            assert_eq!(read(&format!("{text}\n\nmore")), None, "only the last line counts");
        }
        insta::assert_snapshot!(signed("Done.", run, answer(true)), @r"
        Done.

        roundsman 4711-r12 · answers comment 3 · with a commit
        ");
        let dated = signed("Done.", run, Said::Answer { to: CommentId(3), changed: true, as_of: early });
        assert!(dated.ends_with("answers comment 3 · with a commit · as of 2026-03-31T18:36:28.5371234Z"));
        assert_eq!(read(""), None);
        assert_eq!(read("roundsman 4711-r12"), None);
        let foreign = super::super::neutral::markdown("x\n\nroundsman 4711-r12 · answers comment 3");
        assert_eq!(read(&foreign), None, "nobody else can sign: {foreign}");
    }
}
