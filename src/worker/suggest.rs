//! Suggested changes become commits before the agent is called: one each, exactly the lines that the reviewer wrote.
//!
//! A commit of this kind is right to the letter or is not made. So the file must be, byte for byte, what the reviewer looked
//! at, and whole lines must have been selected: whether a partial selection means its lines or its characters, nobody can
//! tell. Everything else stays the agent's. The commits are made as publish makes them, so that their ids last.

use super::{agent::Session, checks, fetch::SUGGESTIONS, git::GitError, policy, rewrite};
use crate::{
    domain::{AgentResult, Columns, CommitId, Suggested, Suggestion, Suggestions},
    runtime::{Left, process::files},
    words::neutral,
};
use std::fs;

/// Bytes of what fetch wrote: comments are bounded by the service, and a review has a few.
const LIMIT: u64 = 4 << 20;
/// Characters of a path or a name in a commit's message.
const INLINE: usize = 200;

/// What became of the suggestions of this turn.
#[derive(Default)]
pub(super) struct Committed {
    /// Committed, in that order.
    pub(super) made: Vec<(Suggestion, CommitId)>,
    /// Not committed, and why.
    pub(super) left: Vec<(Suggestion, Misfit)>,
    /// Whether nothing else was asked for and all of it is committed.
    pub(super) is_everything: bool,
}

/// Why a suggestion is not committed as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Misfit {
    /// The head that the reviewer saw is not part of this branch.
    Elsewhere,
    /// The file is not what the reviewer saw, or is no plain file of this checkout.
    Changed,
    /// The file has no such lines.
    NoLines,
    /// A part of its lines was selected.
    Partial,
    /// The lines stand there already.
    Already,
    /// Only people change this file, or its name looks like a secret: publish would refuse the whole turn.
    Protected,
}

impl Misfit {
    /// For the agent.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Elsewhere => "what the reviewer looked at is not part of this branch",
            Self::Changed => "the file is not what the reviewer looked at any more",
            Self::NoLines => "the file has no such lines",
            Self::Partial => "only a part of the lines was selected",
            Self::Already => "the lines stand there already",
            Self::Protected => "only people change this file: do not, and say so",
        }
    }
}

/// Commits what fits, on our branch and in the workspace.
pub(super) fn commit(session: &Session<'_>) -> Result<Committed, AgentResult> {
    commit_all(session).map_err(|error| session.broken(&error))
}

fn commit_all(session: &Session<'_>) -> Result<Committed, GitError> {
    let (job, git, workspace) = (session.job, &session.git, &session.workspace);
    let kept = files::read_left_bytes(&job.spec.places.input, SUGGESTIONS, LIMIT).ok().flatten();
    let Suggestions { mut list, is_everything } =
        kept.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default();
    // From the end of a file to its beginning: no commit moves the lines of the next.
    list.sort_by(|a, b| (&a.path, b.lines).cmp(&(&b.path, a.lines)));
    let mut outcome = Committed { is_everything, ..Committed::default() };
    let mut tip = session.base.clone();
    for one in list {
        match fitted(session, &tip, &one)? {
            Ok((mode, content)) => {
                let object =
                    printed(git.local_with(workspace, &["hash-object", "-w", "--stdin"], content)?);
                let entry = format!("{mode},{object},{}", one.path);
                git.local(workspace, &["update-index", "--cacheinfo", &entry])?;
                let tree = printed(git.local(workspace, &["write-tree"])?);
                let message = rewrite::message_of(&message(&one), job.spec.run, job.spec.turn.work());
                let arguments = ["commit-tree", &tree, "-p", tip.as_str(), "-F", "-"];
                let made = printed(git.local_with(workspace, &arguments, message.into_bytes())?);
                tip = made.parse().map_err(|_| git.refusal("commit-tree", "it printed no commit"))?;
                outcome.made.push((one, tip.clone()));
            }
            Err(why) => outcome.left.push((one, why)),
        }
    }
    outcome.is_everything &= outcome.left.is_empty() && !outcome.made.is_empty();
    if tip != session.base {
        git.local(workspace, &["update-ref", &job.spec.source.branch.full(), tip.as_str()])?;
        git.local(workspace, &["reset", "--quiet", "--hard"])?;
    }
    Ok(outcome)
}

/// Mode and content of the file with the suggestion in it.
fn fitted(
    session: &Session<'_>,
    tip: &CommitId,
    one: &Suggestion,
) -> Result<Result<(String, Vec<u8>), Misfit>, GitError> {
    let (git, workspace) = (&session.git, &session.workspace);
    let (seen, base) = (one.seen.as_str(), session.base.as_str());
    // Of a commit that it does not have, git says the same as of a broken repository; which of both, the next call tells.
    if !git.asks(workspace, &["merge-base", "--is-ancestor", seen, base]).unwrap_or(false) {
        return Ok(Err(Misfit::Elsewhere));
    }
    let entry = |commit: &str| -> Result<Option<(String, String)>, GitError> {
        let listing =
            git.local(workspace, &["--literal-pathspecs", "ls-tree", "-z", commit, "--", &one.path])?;
        let listing = String::from_utf8_lossy(&listing).into_owned();
        let facts = listing.split_once('\t').filter(|(_, path)| path.trim_end_matches('\0') == one.path);
        let facts: Vec<String> =
            facts.map(|(facts, _)| facts.split(' ').map(str::to_owned).collect()).unwrap_or_default();
        Ok(match facts.as_slice() {
            [mode, _, object] if mode.starts_with("100") => Some((mode.clone(), object.clone())),
            _ => None,
        })
    };
    let place = session.job.spec.places.workspace.join(&one.path);
    let is_there = fs::symlink_metadata(place).is_ok_and(|facts| facts.is_file());
    let (Some(now), Some(then), true) = (entry(base)?, entry(seen)?, is_there) else {
        return Ok(Err(Misfit::Changed));
    };
    if now != then {
        return Ok(Err(Misfit::Changed));
    }
    // Rules that nobody can read protect nothing; publish sees it the same way.
    let rules = checks::rules(session)?.unwrap_or_default();
    if !policy::protection(&one.path, &rules).is_empty() || policy::is_secret_path(&one.path) {
        return Ok(Err(Misfit::Protected));
    }
    let content = git.local(workspace, &["cat-file", "blob", &format!("{tip}:{}", one.path)])?;
    Ok(replaced(&content, one.lines, one.columns, &one.text).map(|content| (now.0, content)))
}

/// `content` with `text` in place of its lines, which end as the first of them did.
fn replaced(
    content: &[u8],
    (first, last): (u32, u32),
    columns: Columns,
    text: &str,
) -> Result<Vec<u8>, Misfit> {
    let lines: Vec<&[u8]> = content.split_inclusive(|byte| *byte == b'\n').collect();
    let (before, rest) = lines.split_at_checked((first as usize).saturating_sub(1)).ok_or(Misfit::NoLines)?;
    let count = (last as usize).saturating_sub(before.len());
    let (old, after) = rest.split_at_checked(count).ok_or(Misfit::NoLines)?;
    let (Some(top), Some(end)) = (old.first(), old.last()) else { return Err(Misfit::NoLines) };
    if !covers(end, columns) {
        return Err(Misfit::Partial);
    }
    let ending: &[u8] = if top.ends_with(b"\r\n") { b"\r\n" } else { b"\n" };
    let mut new: Vec<u8> = text.lines().flat_map(|line| [line.as_bytes(), ending].concat()).collect();
    if !end.ends_with(b"\n") && new.ends_with(ending) {
        new.truncate(new.len() - ending.len());
    }
    if new == old.concat() {
        return Err(Misfit::Already);
    }
    Ok([before.concat(), new, after.concat()].concat())
}

/// Whether a selection reaches from the first column to the end of the `last` line, be columns counted from 0 or from 1.
/// The service counts as its pages do, in UTF-16 units.
fn covers(last: &[u8], Columns { from, to }: Columns) -> bool {
    let text = String::from_utf8_lossy(last);
    let units = text.trim_end_matches(['\r', '\n']).encode_utf16().count();
    from <= 1 && to.checked_sub(from).is_some_and(|length| length as usize >= units)
}

/// Who suggested what; publish adds run and turn.
fn message(one: &Suggestion) -> String {
    let path = neutral::line(&one.path, INLINE);
    let by = neutral::line(&one.by, INLINE);
    format!("Apply a suggestion to {path}\n\nSuggested-by: {by}")
}

fn printed(output: Vec<u8>) -> String {
    String::from_utf8_lossy(&output).trim().to_owned()
}

impl Session<'_> {
    /// Leaves word which suggestions are part of the work: an agent may have taken one away again.
    pub(super) fn tell_suggestions(&self) {
        let output = &self.job.spec.places.output;
        let place = output.join(Left::Suggestions.path());
        _ = fs::remove_file(&place);
        let Ok(tip) = self.tip(&self.git) else { return };
        let is_part = |commit: &CommitId| {
            let arguments = ["merge-base", "--is-ancestor", commit.as_str(), tip.as_str()];
            self.git.asks(&self.workspace, &arguments).unwrap_or(false)
        };
        let made = self.suggestions.made.iter().filter(|(_, commit)| is_part(commit));
        let told: Vec<Suggested> =
            made.map(|(one, commit)| Suggested { thread: one.thread, commit: commit.clone() }).collect();
        if !told.is_empty() {
            // What cannot be written is not named in an answer; the commit names who suggested it.
            _ = files::write_atomically(&place, &serde_json::to_vec_pretty(&told).unwrap_or_default());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: Columns = Columns { from: 1, to: 80 };

    fn put(content: &str, lines: (u32, u32), text: &str) -> Result<String, Misfit> {
        replaced(content.as_bytes(), lines, WHOLE, text).map(|new| String::from_utf8(new).unwrap())
    }

    #[test]
    fn lines_are_replaced_and_nothing_else() {
        assert_eq!(put("a\nb\nc\n", (2, 2), "x\ny\n").unwrap(), "a\nx\ny\nc\n");
        assert_eq!(put("a\nb\nc\n", (1, 3), "x\n").unwrap(), "x\n");
        assert_eq!(put("a\nb\nc\n", (2, 2), "").unwrap(), "a\nc\n", "removed");
        assert_eq!(put("a\nb\nc\n", (2, 2), "\n").unwrap(), "a\n\nc\n", "emptied");
        assert_eq!(put("a\r\nb\r\nc\r\n", (2, 2), "x\ny\n").unwrap(), "a\r\nx\r\ny\r\nc\r\n", "endings stay");
        assert_eq!(put("a\nb\nc\n", (2, 2), "x\r\n").unwrap(), "a\nx\nc\n", "the comment's do not matter");
        assert_eq!(put("a\nb", (2, 2), "x\n").unwrap(), "a\nx", "an end without a line break stays one");
        assert_eq!(put("a\nb", (2, 2), "").unwrap(), "a\n");
    }

    #[test]
    fn what_is_not_there_is_not_replaced() {
        for lines in [(4, 4), (3, 4), (9, 12)] {
            assert_eq!(put("a\nb\nc\n", lines, "x\n"), Err(Misfit::NoLines), "{lines:?}");
        }
        assert_eq!(put("", (1, 1), "x\n"), Err(Misfit::NoLines));
        assert_eq!(put("a\nb\n", (2, 2), "b\n"), Err(Misfit::Already));
    }

    #[test]
    fn a_selection_counts_when_it_covers_its_lines() {
        let of = |from, to| replaced("ab\ncde\n".as_bytes(), (1, 2), Columns { from, to }, "x\n");
        for (from, to) in [(1, 4), (0, 3), (1, 5), (0, 4)] {
            assert_eq!(of(from, to).unwrap(), b"x\n", "{from} to {to}");
        }
        for (from, to) in [(2, 4), (1, 3), (0, 2), (0, 0), (1, 1), (4, 1)] {
            assert_eq!(of(from, to), Err(Misfit::Partial), "{from} to {to}");
        }
        let wide = |to| replaced("😀\n".as_bytes(), (1, 1), Columns { from: 1, to }, "x\n");
        assert!(wide(3).is_ok(), "two units");
        assert_eq!(wide(2), Err(Misfit::Partial));
    }

    #[test]
    fn publish_says_the_same_words_again() {
        let run = "7-r2".parse().unwrap();
        let turn = crate::domain::TurnNumber(3);
        for (path, by) in
            [("src/a.rs", "Ana"), ("a #12 b", "A\nAgent-Run: 1-r1"), ("[skip ci]", "@<x> ##vso[")]
        {
            let one = Suggestion {
                thread: crate::domain::ThreadId(7),
                comment: crate::domain::CommentId(1),
                by: by.into(),
                path: path.into(),
                lines: (1, 1),
                columns: WHOLE,
                text: String::new(),
                seen: "1".repeat(40).parse().unwrap(),
            };
            let said = rewrite::message_of(&message(&one), run, turn);
            assert_eq!(rewrite::message_of(&said, run, turn), said);
        }
    }
}
