//! The commit gate: everything that an agent left becomes a commit, or the agent is asked to tidy up, or the turn ends.
//!
//! Paths are staged by name. Ignored files and files that look like secrets never are.

use super::{
    agent::{Session, Why},
    changes,
    git::{Git, GitError},
    policy, prompts,
};
use crate::domain::{AgentFailure, AgentResult};
use std::{collections::BTreeSet, fs, os::unix::fs::MetadataExt};

/// At most so many problems are told.
const PROBLEMS_TOLD: usize = 20;
/// States of a path, as `git status` writes them, that mean a conflict.
const UNMERGED: [&str; 7] = ["DD", "AU", "UD", "UA", "DU", "AA", "UU"];
/// What git leaves in its directory while something is unfinished that a commit would not finish.
const UNFINISHED: [&str; 3] = ["rebase-merge", "rebase-apply", "BISECT_START"];
/// Characters of a commit's subject when the worker writes it.
const SUBJECT: usize = 72;

/// A path that differs from the last commit, with its state.
pub(super) struct Entry {
    state: String,
    path: String,
}

/// What is in the way of a commit.
#[derive(Default)]
pub(super) struct Problems {
    conflicts: Vec<String>,
    untidy: Vec<String>,
}

impl Problems {
    /// Nothing is.
    pub(super) fn is_empty(&self) -> bool {
        self.conflicts.is_empty() && self.untidy.is_empty()
    }
}

impl Session<'_> {
    /// Commits what is there; asks for tidying as often as allowed.
    pub(super) fn gate(&mut self) -> Result<(), AgentResult> {
        loop {
            let problems = self.problems().map_err(|e| self.broken(&e))?;
            let mut told = problems.conflicts.clone();
            told.extend(problems.untidy);
            told.truncate(PROBLEMS_TOLD);
            if told.is_empty() {
                return self.commit_what_is_safe(&self.git).map_err(|e| self.broken(&e));
            }
            if self.tidy_left == 0 {
                let class = if problems.conflicts.is_empty() {
                    AgentFailure::Untidy
                } else {
                    AgentFailure::LeftConflict
                };
                return Err(self.fail(class, &told.join("\n")));
            }
            self.tidy_left -= 1;
            self.ask_about(Why::Tidy, prompts::tidy(&told))?;
        }
    }

    /// Paths that differ from the last commit; ignored ones are not among them.
    pub(super) fn status(&self, git: &Git) -> Result<Vec<Entry>, GitError> {
        let arguments = ["status", "--porcelain=v1", "-z", "--untracked-files=all", "--no-renames"];
        let rows = git.local(&self.workspace, &arguments)?;
        Ok(String::from_utf8_lossy(&rows)
            .split('\0')
            .filter_map(|row| Some(Entry { state: row.get(..2)?.to_owned(), path: row.get(3..)?.to_owned() }))
            .collect())
    }

    /// What is in the way of a commit now.
    pub(super) fn problems(&self) -> Result<Problems, GitError> {
        let mut problems = Problems::default();
        let status = self.status(&self.git)?;
        let tip = self.tip(&self.git)?;
        let committed = changes::between(&self.git, &self.workspace, self.base.as_str(), tip.as_str())?;
        let mut paths: BTreeSet<&str> = status.iter().map(|entry| entry.path.as_str()).collect();
        paths.extend(
            committed.iter().filter(|change| change.new_mode != 0).map(|change| change.path.as_str()),
        );

        for entry in status.iter().filter(|entry| UNMERGED.contains(&entry.state.as_str())) {
            problems.conflicts.push(format!("`{}` has an unresolved conflict", entry.path));
        }
        let git_dir = self.job.spec.places.workspace.join(".git");
        for name in UNFINISHED.into_iter().filter(|name| git_dir.join(name).exists()) {
            problems.conflicts.push(format!("`{name}`: an operation of git is not finished"));
        }
        let ignored = self.git.local(&self.workspace, &["ls-files", "-ci", "--exclude-standard", "-z"])?;
        let ignored = String::from_utf8_lossy(&ignored).into_owned();
        let ignored: BTreeSet<&str> = ignored.split('\0').collect();
        for path in paths {
            let place = self.job.spec.places.workspace.join(path);
            let facts = fs::symlink_metadata(&place).ok();
            if path.ends_with('/') {
                problems.untidy.push(format!("`{path}` is a repository of its own"));
            } else if facts.is_some() && policy::is_secret_path(path) {
                problems.untidy.push(format!("`{path}` looks like a secret and must not be committed"));
            } else if ignored.contains(path) {
                problems.untidy.push(format!("`{path}` is ignored and must not be committed"));
            } else if facts.is_some_and(|f| f.is_file() && f.size() <= self.job.spec.limits.max_file_bytes)
                && let Ok(content) = fs::read(&place)
            {
                if has_markers(&content) {
                    problems.conflicts.push(format!("`{path}` contains conflict markers"));
                }
                // Publish knows no key of a model; here is the last place that does.
                if self.job.redactor.knows(&content) {
                    problems.untidy.push(format!("`{path}` contains a credential of this step"));
                }
            }
        }
        Ok(problems)
    }

    fn on_paths(&self, git: &Git, verb: &[&str], entries: &[&Entry]) -> Result<(), GitError> {
        if entries.is_empty() {
            return Ok(());
        }
        let names = entries.iter().flat_map(|entry| entry.path.bytes().chain([0])).collect();
        let arguments: Vec<&str> = std::iter::once("--literal-pathspecs")
            .chain(verb.iter().copied())
            .chain(["--pathspec-from-file=-", "--pathspec-file-nul"])
            .collect();
        git.local_with(&self.workspace, &arguments, names).map(drop)
    }

    /// Stages by name whatever may be committed, and commits it. Finishes a merge whose conflicts are resolved.
    pub(super) fn commit_what_is_safe(&self, git: &Git) -> Result<(), GitError> {
        // Every process of the agent is dead; a lock of its git would be in the way for ever.
        _ = fs::remove_file(self.job.spec.places.workspace.join(".git/index.lock"));
        let status = self.status(git)?;
        let is_safe = |entry: &&Entry| !policy::is_secret_path(&entry.path) && !entry.path.ends_with('/');
        // A path that is staged and equal in the tree may be gone from both: git would not find it.
        let changed: Vec<&Entry> =
            status.iter().filter(is_safe).filter(|entry| !entry.state.ends_with(' ')).collect();
        self.on_paths(git, &["add", "-A"], &changed)?;
        let is_staged = |entry: &&Entry| !entry.state.starts_with([' ', '?']);
        let secret: Vec<&Entry> = status.iter().filter(|entry| !is_safe(entry)).filter(is_staged).collect();
        self.on_paths(git, &["reset", "--quiet"], &secret)?;
        let is_merging = self.job.spec.places.workspace.join(".git/MERGE_HEAD").exists();
        if is_merging || !git.asks(&self.workspace, &["diff", "--cached", "--quiet", "--no-ext-diff"])? {
            let subject: String =
                self.summary().lines().next().unwrap_or_default().chars().take(SUBJECT).collect();
            let kind = self.job.spec.turn.kind;
            let subject = if subject.trim().is_empty() || is_merging {
                let what = if is_merging { "Merge the target branch" } else { "Work of the agent" };
                format!("{what} ({kind}, turn {})", self.job.spec.turn.number)
            } else {
                subject
            };
            let commit = ["commit", "--quiet", "--no-verify", "--no-gpg-sign", "--allow-empty", "-F", "-"];
            git.local_with(&self.workspace, &commit, subject.into_bytes())?;
        }
        Ok(())
    }
}

/// Whether a text has the three markers of a conflict, in their order. One alone is a heading or an example.
fn has_markers(content: &[u8]) -> bool {
    let mut expected = [&b"<<<<<<< "[..], b"=======", b">>>>>>> "].into_iter();
    let mut next = expected.next();
    for line in content.split(|byte| *byte == b'\n') {
        if next.is_some_and(|marker| line.starts_with(marker)) {
            next = expected.next();
            if next.is_none() {
                return true;
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_complete_conflicts_count_as_conflicts() {
        assert!(has_markers(b"a\n<<<<<<< HEAD\nb\n=======\nc\n>>>>>>> x\n"));
        assert!(!has_markers(b"Title\n=======\n\n>>>>>>> quoted\n"));
        assert!(!has_markers(b"<<<<<<< HEAD\n"));
    }
}
