//! What a piece of work changes, from git's plumbing: paths, modes, blobs and counts.
//!
//! Merging the target is not a change of ours, undoing the target's changes in a merge is one: a path counts when the
//! pull request shows it and this turn is why.

use super::git::{Git, GitError, Repo};
use crate::domain::DiffStat;
use std::collections::BTreeSet;

/// A changed path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Change {
    /// Git's mode before, 0 = was not there.
    pub(super) old_mode: u32,
    /// Git's mode after, 0 = is not there.
    pub(super) new_mode: u32,
    /// The new object.
    pub(super) object: String,
    /// The path.
    pub(super) path: String,
}

/// A symbolic link's mode.
pub(super) const LINK: u32 = 0o120_000;
/// A submodule's mode.
pub(super) const SUBMODULE: u32 = 0o160_000;
/// An executable file's mode.
pub(super) const EXECUTABLE: u32 = 0o100_755;

/// What work from `base` to `tip` changes, and how much.
pub(super) fn measure(
    git: &Git,
    repo: &Repo,
    base: &str,
    target: &str,
    tip: &str,
) -> Result<(Vec<Change>, DiffStat), GitError> {
    let fork_of = |tip: &str| match git.local(repo, &["merge-base", target, tip]) {
        Ok(answer) => Ok(String::from_utf8_lossy(&answer).trim().to_owned()),
        Err(GitError { code: Some(1), .. }) => Ok(base.to_owned()),
        Err(error) => Err(error),
    };
    let paths = |from: &str, to: &str| -> Result<BTreeSet<String>, GitError> {
        Ok(between(git, repo, from, to)?.into_iter().map(|change| change.path).collect())
    };
    let (fork, old_fork) = (fork_of(tip)?, fork_of(base)?);
    let touched = paths(base, tip)?;
    // A merge can undo what the target changed by keeping our old file: untouched by this turn, new in the pull request.
    let undone =
        if fork == old_fork { BTreeSet::new() } else { &paths(&fork, tip)? - &paths(&old_fork, base)? };
    let mut changes = between(git, repo, &fork, tip)?;
    changes.retain(|change| touched.contains(&change.path) || undone.contains(&change.path));
    let counts = git.local(repo, &["diff-tree", "-r", "-z", "--no-renames", "--numstat", base, tip])?;
    let mut stat = DiffStat::default();
    for row in counts.split(|byte| *byte == 0) {
        let row = String::from_utf8_lossy(row);
        let mut parts = row.splitn(3, '\t');
        if let (Some(plus), Some(minus), Some(path)) = (parts.next(), parts.next(), parts.next())
            // A file that this turn takes away again is a change of the turn, though not of the pull request.
            && (changes.iter().any(|change| change.path == path) || fork == old_fork && touched.contains(path))
        {
            stat.files += 1;
            // Binary files have dashes.
            stat.insertions = stat.insertions.saturating_add(plus.parse().unwrap_or(0));
            stat.deletions = stat.deletions.saturating_add(minus.parse().unwrap_or(0));
        }
    }
    Ok((changes, stat))
}

/// Changed paths between two trees.
pub(super) fn between(git: &Git, repo: &Repo, from: &str, to: &str) -> Result<Vec<Change>, GitError> {
    let raw =
        git.local(repo, &["diff-tree", "-r", "-z", "--no-renames", "--raw", "--no-abbrev", from, to])?;
    Ok(parse(&raw))
}

fn parse(raw: &[u8]) -> Vec<Change> {
    let text = String::from_utf8_lossy(raw);
    let mut fields = text.split('\0');
    let mut changes = Vec::new();
    while let (Some(facts), Some(path)) = (fields.next(), fields.next()) {
        let facts: Vec<&str> = facts.trim_start_matches(':').split(' ').collect();
        if let [old, new, _, object, _] = facts.as_slice() {
            let mode = |text: &str| u32::from_str_radix(text, 8).unwrap_or(0);
            changes.push(Change {
                old_mode: mode(old),
                new_mode: mode(new),
                object: (*object).to_owned(),
                path: path.to_owned(),
            });
        }
    }
    changes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn raw_rows_become_changes() {
        let raw = b":100644 120000 aaaa bbbb T\0a b\0:000000 100755 0000 cccc A\0x\0";
        let changes = parse(raw);
        assert_eq!(changes.len(), 2);
        assert_eq!((changes[0].new_mode, changes[0].path.as_str()), (LINK, "a b"));
        assert_eq!((changes[1].old_mode, changes[1].object.as_str()), (0, "cccc"));
    }
}
