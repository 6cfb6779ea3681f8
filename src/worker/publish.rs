//! The publish step: take one reference from the bundle, check it, re-create it, push it, look again.
//!
//! Works in the pristine bare clone only; no file of an agent ever becomes a file or a configuration of ours. What git
//! says in words is kept for people; only exit codes, object ids and references decide.

use super::{
    changes::{self, Change, LINK},
    checks, claims,
    git::{BASE, Git, GitError, Repo, TARGET, WORK},
    job::Job,
    machine::text,
    policy,
    rewrite::{self, Problem},
};
use crate::{
    domain::{CommitId, DiffStat, Doubt, PublishResult, Rules},
    runtime::process::files,
};
use std::{collections::BTreeMap, thread, time::Duration};

/// The reference under which the bundle's commit is examined.
const INCOMING: &str = "refs/roundsman/incoming";
/// A bundle carries the history of one turn: room for several versions of the largest change that a policy allows.
const BUNDLE_LIMIT: u64 = 32 << 20;
/// What git only warns of because old histories have it. New work has no reason to: these are names that mean another
/// place on some machine (`..`, `.git`, `git~1`), or none.
const NO_WARNING: [&str; 7] =
    ["hasDot", "hasDotdot", "hasDotgit", "fullPathname", "emptyName", "nullSha1", "zeroPaddedFilemode"];
/// Reads after a push whose answer was lost.
const READ_TRIES: u32 = 3;
/// Between two of them: longer than a connection reset, shorter than a lease.
const READ_PAUSE: Duration = Duration::from_secs(2);

/// Runs the step.
pub(super) fn run(job: &Job) -> PublishResult {
    match publish(job) {
        Ok(result) => result,
        Err(Problem::Rules(rules)) => PublishResult::Refused { rules },
        Err(Problem::Git(error)) => PublishResult::Failed { detail: error.to_string() },
    }
}

fn refused(rule: impl Into<String>) -> Problem {
    Problem::Rules(vec![rule.into()])
}

fn publish(job: &Job) -> Result<PublishResult, Problem> {
    let failed = |detail: &str| Ok(PublishResult::Failed { detail: detail.to_owned() });
    let source = &job.spec.source;
    if !source.branch.is_ours() {
        return Err(refused(format!("`{}` is not a branch of ours", source.branch)));
    }
    let git = Git::new(job, job.handover.credential.as_ref())?;
    let repo = Repo::bare(&job.spec.places.repository);
    let (Some(base), Some(target)) = (git.commit(&repo, BASE)?, git.commit(&repo, TARGET)?) else {
        return failed("the clone of the fetch step is not there");
    };
    if source.expected.as_ref().is_some_and(|expected| *expected != base) {
        return failed("the clone belongs to another head than this turn");
    }

    let incoming = import(job, &git, &repo)?;
    if !git.asks(&repo, &["merge-base", "--is-ancestor", base.as_str(), incoming.as_str()])? {
        return Err(refused(
            "the work does not descend from the commit that it was given: history was rewritten",
        ));
    }
    vet(&git, &repo, [&incoming, &base, &target])?;
    let (changes, stat) = changes::measure(&git, &repo, base.as_str(), target.as_str(), incoming.as_str())?;
    let own = match &job.spec.rules {
        Some(rules) => rules.clone(),
        // Nobody could read them before the step; rules that nobody can read protect nothing.
        None => {
            checks::of_ground(&git, &repo, git.ground(&repo, &target, &base)?.as_str())?.unwrap_or_default()
        }
    };
    let rules = judge(job, &git, &repo, &changes, &own)?;
    if !rules.is_empty() {
        return Err(Problem::Rules(rules));
    }
    let (run, turn) = (job.spec.run, job.spec.turn.work());
    let head = rewrite::recreate(&git, &repo, [&incoming, &base, &target], run, turn)?;
    let doubts = doubts(job, &changes);
    Ok(push(job, &git, &repo, (head, stat, doubts))?)
}

/// The bundle's one commit, with its objects checked.
fn import(job: &Job, git: &Git, repo: &Repo) -> Result<CommitId, Problem> {
    let bundle = job.spec.places.output.join("work.bundle");
    match std::fs::symlink_metadata(&bundle) {
        Ok(facts) if !facts.is_file() => return Err(refused("the bundle is not a file")),
        Ok(facts) if facts.len() > BUNDLE_LIMIT => return Err(refused("the bundle is too large")),
        Ok(_) => {}
        Err(_) => return Err(refused("the agent step left no bundle")),
    }
    let bundle = text(&bundle);
    let heads = match git.local(repo, &["bundle", "list-heads", &bundle]) {
        Ok(heads) => String::from_utf8_lossy(&heads).into_owned(),
        Err(GitError { code: Some(_), .. }) => return Err(refused("the bundle cannot be read")),
        Err(error) => return Err(error.into()),
    };
    let names: Vec<&str> = heads.lines().filter_map(|line| Some(line.split_once(' ')?.1)).collect();
    if names != [WORK] {
        return Err(refused(format!(
            "the bundle carries {} references instead of the one of the work",
            names.len()
        )));
    }
    let reference = format!("+{WORK}:{INCOMING}");
    let arguments = [
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        "--",
        &bundle,
        &reference,
    ];
    match git.local(repo, &arguments) {
        Ok(_) => {}
        Err(error @ GitError { code: Some(_), .. }) => {
            return Err(refused(format!("the work does not pass git's own checks: {error}")));
        }
        Err(error) => return Err(error.into()),
    }
    git.commit(repo, INCOMING)?.ok_or_else(|| refused("the work is not a commit"))
}

/// git's own checks of every object that the work brings. A fetch makes them for what comes from a server, but before
/// git 2.46 not for what comes from a bundle, whatever is configured.
fn vet(git: &Git, repo: &Repo, [incoming, base, target]: [&CommitId; 3]) -> Result<(), Problem> {
    let wanted = format!("{incoming}\n^{base}\n^{target}\n").into_bytes();
    let pack = git.local_with(repo, &["pack-objects", "--quiet", "--revs", "--stdout"], wanted)?;
    let strict = format!("--strict={}", NO_WARNING.map(|name| format!("{name}=error")).join(","));
    match git.local_with(repo, &["index-pack", "--stdin", &strict], pack) {
        Ok(_) => Ok(()),
        Err(error @ GitError { code: Some(_), .. }) => {
            Err(refused(format!("the work does not pass git's own checks: {error}")))
        }
        Err(error) => Err(error.into()),
    }
}

/// Bytes that are read of a text of the agent's.
const SAID: u64 = 64 << 10;
/// Characters of a path that is told.
const PATH: usize = 200;

/// What the agent says about its change and the change does not show.
fn doubts(job: &Job, changes: &[Change]) -> Vec<Doubt> {
    let output = &job.spec.places.output;
    let said = |name: &str| files::read_left(output, name, SAID).ok().flatten().unwrap_or_default();
    let outcome: serde_json::Value = serde_json::from_str(&said("outcome.json")).unwrap_or_default();
    let summary = outcome["summary"].as_str().unwrap_or_default();
    let changed: Vec<String> = changes.iter().map(|change| change.path.clone()).collect();
    let mut doubts = claims::removed_tests(changes);
    doubts.extend(claims::doubts(&[&said("pr.md"), summary], &changed));
    for doubt in &mut doubts {
        match doubt {
            Doubt::NotChanged { path } | Doubt::TestRemoved { path } => *path = job.clean(path, PATH),
            Doubt::NoTest => {}
        }
    }
    doubts
}

fn judge(
    job: &Job,
    git: &Git,
    repo: &Repo,
    changes: &[Change],
    own: &Rules,
) -> Result<Vec<String>, GitError> {
    let is_blob = |change: &&Change| matches!(change.new_mode & 0o170_000, 0o100_000 | 0o120_000);
    let objects: Vec<&str> = changes.iter().filter(is_blob).map(|change| change.object.as_str()).collect();
    let asked = objects.join("\n").into_bytes();
    let answer = git.local_with(repo, &["cat-file", "--batch-check=%(objectname) %(objectsize)"], asked)?;
    let sizes: BTreeMap<String, u64> = String::from_utf8_lossy(&answer)
        .lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(object, size)| Some((object.to_owned(), size.parse().ok()?)))
        .collect();
    let mut links = BTreeMap::new();
    for change in changes.iter().filter(|change| change.new_mode == LINK) {
        // A link longer than any path is no link; without an entry it is refused.
        if sizes.get(&change.object).is_some_and(|size| *size < 4096) {
            let link = git.local(repo, &["cat-file", "blob", &change.object])?;
            links.insert(change.object.clone(), String::from_utf8_lossy(&link).into_owned());
        }
    }
    Ok(policy::broken_rules(changes, &sizes, &links, &job.spec.limits, own))
}

/// Pushes with the expected old head, which makes the server the arbiter, and believes only what it reads back.
fn push(
    job: &Job,
    git: &Git,
    repo: &Repo,
    (head, changed, doubts): (CommitId, DiffStat, Vec<Doubt>),
) -> Result<PublishResult, GitError> {
    let name = job.spec.source.branch.full();
    let expected = job.spec.source.expected.as_ref();
    let before = git.remote_head(repo, &name)?;
    if before.as_ref() == Some(&head) {
        return Ok(PublishResult::Pushed { head, changed, doubts });
    }
    if before.as_ref() != expected {
        return Ok(PublishResult::Diverged { found: before });
    }
    let lease = format!("--force-with-lease={name}:{}", expected.map_or("", CommitId::as_str));
    let what = format!("{head}:{name}");
    let arguments = [
        "push",
        "--porcelain",
        "--quiet",
        "--no-verify",
        "--no-follow-tags",
        "--recurse-submodules=no",
        &lease,
        "--",
        git.url(),
        &what,
    ];
    let said = git.remote(repo, &arguments);

    let mut tries = 1;
    let after = loop {
        match git.remote_head(repo, &name) {
            Ok(after) => break after,
            Err(_) if tries < READ_TRIES => thread::sleep(READ_PAUSE),
            Err(error) => return Err(error),
        }
        tries += 1;
    };
    Ok(if after.as_ref() == Some(&head) {
        PublishResult::Pushed { head, changed, doubts }
    } else if after.as_ref() == expected {
        let refusal = said.as_ref().err().and_then(|error| refusal(&error.output, &name));
        if let Some(why) = &refusal
            && job.spec.turn.work_of.is_some()
        {
            // Twice the same answer of the server to the same work: no cluster's failure, and no turn helps.
            return Ok(PublishResult::Refused { rules: vec![format!("the server refuses the push: {why}")] });
        }
        let said = match (refusal, said) {
            (Some(why), Err(_)) => Err(why),
            (_, said) => said.map_err(|error| error.to_string()),
        };
        let detail = said.err().unwrap_or_else(|| "the server took the push and did not move".to_owned());
        PublishResult::Failed { detail }
    } else {
        PublishResult::Diverged { found: after }
    })
}

/// Why the server refused to move `name`, in its own words, by the report that git prints for programs: a flag, the
/// references, and the kind of end. Only the flag and the kind decide; the words are for people.
fn refusal(report: &str, name: &str) -> Option<String> {
    report.lines().find_map(|line| {
        let mut fields = line.split('\t');
        let (flag, references, end) = (fields.next()?, fields.next()?, fields.next()?);
        let is_ours = flag == "!" && references.ends_with(&format!(":{name}"));
        let why = end.strip_prefix("[remote rejected]").filter(|_| is_ours)?;
        let why = why.trim();
        Some(why.strip_prefix('(').and_then(|why| why.strip_suffix(')')).unwrap_or(why).to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_of_the_server_is_told_from_all_other_ends() {
        let name = "refs/heads/agent/7-r1";
        let of = |line: &str| refusal(&format!("To https://example.invalid/r\n{line}\nDone"), name);
        let words = "VS403654: it contains a secret (line 3)";
        assert_eq!(of(&format!("!\ta1:{name}\t[remote rejected] ({words})")).as_deref(), Some(words));
        assert_eq!(of(&format!("!\ta1:{name}\t[rejected] (stale info)")), None, "git's own");
        assert_eq!(of(&format!("!\ta1:{name}0\t[remote rejected] (no)")), None, "another branch");
        assert_eq!(of(&format!("*\ta1:{name}\t[new branch]")), None);
        assert_eq!(refusal("", name), None);
    }
}
