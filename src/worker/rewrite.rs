//! Re-creates an agent's commits with our name, our date and our trailers: the same work gives the same ids.
//!
//! Commits that are not ours (the base, the target and what they descend from) keep their ids and are only parents.

use super::{
    git::{Git, GitError, Repo},
    secrets::found_in,
};
use crate::{
    domain::{CommitId, RunId, TurnNumber},
    words::neutral,
};
use regex::Regex;
use std::{collections::BTreeMap, sync::LazyLock};

/// More commits than this are not a reviewable turn.
const MOST_COMMITS: usize = 200;
/// Longer messages are cut: nobody reads them, and they are a hiding place.
const MESSAGE_LIMIT: usize = 8_000;

/// Words in a message that make a build server look away.
static SKIP: LazyLock<Regex> = LazyLock::new(|| {
    let who = "(?:ci|azurepipelines|azpipelines|azp|actions|builds?|checks)";
    Regex::new(&format!(
        r"(?i-u)\[[ \t]*(?:skip|no)[ \t_-]*{who}[ \t]*\]|\[[ \t]*{who}[ \t_-]*(?:skip|no)[ \t]*\]|\*\*\*[ \t]*NO_CI[ \t]*\*\*\*|skip-checks:[ \t]*true|##vso\[|##\["
    ))
    .expect("the pattern is a constant and tested")
});

/// Why work cannot be re-created.
pub(super) enum Problem {
    /// git failed.
    Git(GitError),
    /// A rule forbids it.
    Rules(Vec<String>),
}

impl From<GitError> for Problem {
    fn from(error: GitError) -> Self {
        Self::Git(error)
    }
}

/// Re-creates everything that `incoming` adds to `base` and `target`; the new tip.
pub(super) fn recreate(
    git: &Git,
    repo: &Repo,
    [incoming, base, target]: [&CommitId; 3],
    run: RunId,
    turn: TurnNumber,
) -> Result<CommitId, Problem> {
    let not = [format!("^{base}"), format!("^{target}")];
    let list =
        git.local(repo, &["rev-list", "--topo-order", "--reverse", incoming.as_str(), &not[0], &not[1]])?;
    let list = String::from_utf8_lossy(&list).into_owned();
    let own: Vec<&str> = list.lines().collect();
    if own.is_empty() {
        return Err(Problem::Rules(vec!["the work has no commit of its own".into()]));
    }
    if own.len() > MOST_COMMITS {
        return Err(Problem::Rules(vec![format!("{} commits; {MOST_COMMITS} are allowed", own.len())]));
    }
    let mut rules = Vec::new();
    let mut renamed: BTreeMap<String, String> = BTreeMap::new();
    for old in own {
        let object = git.local(repo, &["cat-file", "commit", old])?;
        let object = String::from_utf8_lossy(&object).into_owned();
        let (head, message) = object.split_once("\n\n").unwrap_or((&object, ""));
        let values = |name: &str| -> Vec<String> {
            head.lines()
                .filter_map(|line| Some(line.strip_prefix(name)?.strip_prefix(' ')?.to_owned()))
                .collect()
        };
        let patch = git.local(
            repo,
            &[
                "diff-tree",
                "-r",
                "-p",
                "--cc",
                "--root",
                "--no-ext-diff",
                "--no-textconv",
                "--text",
                "--no-color",
                old,
            ],
        )?;
        for kind in found_in(&added_lines(&patch)) {
            rules.push(format!("commit `{}` adds what looks like {kind}", &old[..8]));
        }
        for kind in found_in(message.as_bytes()) {
            rules.push(format!("the message of commit `{}` contains what looks like {kind}", &old[..8]));
        }
        let tree = values("tree").into_iter().next().unwrap_or_default();
        let parents: Vec<String> = values("parent")
            .into_iter()
            .map(|parent| renamed.get(&parent).cloned().unwrap_or(parent))
            .collect();
        let mut arguments = vec!["commit-tree", tree.as_str()];
        for parent in &parents {
            arguments.extend(["-p", parent.as_str()]);
        }
        arguments.extend(["-F", "-"]);
        let new = git.local_with(repo, &arguments, message_of(message, run, turn).into_bytes())?;
        renamed.insert(old.to_owned(), String::from_utf8_lossy(&new).trim().to_owned());
    }
    if !rules.is_empty() {
        return Err(Problem::Rules(rules));
    }
    renamed
        .get(incoming.as_str())
        .and_then(|id| id.parse().ok())
        .ok_or_else(|| Problem::Rules(vec!["the tip is not a commit of this turn".into()]))
}

/// Lines that a patch adds; a combined patch of a merge has one column per parent.
fn added_lines(patch: &[u8]) -> Vec<u8> {
    let mut columns = 1;
    let mut added = Vec::new();
    for line in patch.split(|byte| *byte == b'\n') {
        if line.starts_with(b"@@") {
            columns = line.iter().take_while(|byte| **byte == b'@').count().saturating_sub(1).max(1);
        } else if line.iter().take(columns).any(|byte| *byte == b'+') && !line.starts_with(b"+++ ") {
            added.extend_from_slice(&line[columns.min(line.len())..]);
            added.push(b'\n');
        }
    }
    added
}

/// The message with our trailers, without forged ones and without words that switch builds off. Applied again, it changes
/// nothing.
pub(super) fn message_of(message: &str, run: RunId, turn: TurnNumber) -> String {
    // First what cannot be seen, or a marker could be put together from what is left.
    let message = neutral::plain(message).replace('\t', " ");
    let message = SKIP.replace_all(&message, "(marker removed)");
    let kept: Vec<&str> = message
        .lines()
        .map(str::trim_end)
        .filter(|line| !["agent-run:", "agent-turn:"].iter().any(|own| line.to_lowercase().starts_with(own)))
        .collect();
    let text: String =
        kept.join("\n").chars().filter(|c| *c == '\n' || !c.is_control()).take(MESSAGE_LIMIT).collect();
    let text = if text.trim().is_empty() { "Work of an agent" } else { text.trim() };
    format!("{text}\n\nAgent-Run: {run}\nAgent-Turn: {turn}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_message_switches_the_build_off() {
        let run: RunId = "7-r2".parse().unwrap();
        for marker in [
            "[skip ci]",
            "[CI Skip]",
            "[no ci]",
            "[skip azurepipelines]",
            "[azp skip]",
            "***NO_CI***",
            "skip-checks: true",
        ] {
            let message = message_of(&format!("Fix it {marker}\n\nAgent-Run: 1-r1\n"), run, TurnNumber(3));
            assert_eq!(message, "Fix it (marker removed)\n\nAgent-Run: 7-r2\nAgent-Turn: 3\n", "{marker}");
        }
        for hidden in ["[sk\u{200b}ip ci]", "[sk\u{7}ip ci]", "***NO\u{ad}_CI***"] {
            let message = message_of(&format!("Fix it {hidden}"), run, TurnNumber(3));
            assert!(message.starts_with("Fix it (marker removed)\n"), "{message}");
        }
        assert!(!message_of("Fix [sk\tip ci]", run, TurnNumber(3)).contains("[skip ci]"));
        let message = message_of("Fixes #12, AB#3, !45, @<d291b0c4>\n\n##vso[x]", run, TurnNumber(3));
        assert!(message.starts_with("Fixes # 12, AB# 3, ! 45, @ <d291b0c4>\n\n\\# #vso[x]\n"), "{message}");
        assert!(message_of("Skip the CI room [x]", run, TurnNumber(1)).starts_with("Skip the CI room [x]\n"));
    }

    #[test]
    fn added_lines_are_those_with_a_plus_in_any_column() {
        let patch = b"+++ b/x\n@@ -1 +1 @@\n-old\n+new\n context\n@@@ -1 -1 +1 @@@\n++both\n+ one\n  none\n";
        assert_eq!(String::from_utf8(added_lines(patch)).unwrap(), "new\nboth\none\n");
    }
}
