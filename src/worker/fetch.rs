//! The fetch step: a pristine bare clone, a clean checkout and the texts for the agent. No agent code runs here.
//!
//! Decides only one thing: whether our branch is where the turn expects it.

use super::{
    git::{BASE, Git, GitError, Repo, TARGET},
    job::Job,
    machine::{self, text},
};
use crate::domain::{BranchName, CommitId, FetchResult};
use std::path::Path;

/// A template or instruction file beyond this is no text for a prompt.
const TEXT_LIMIT: usize = 256 << 10;
/// Folders in which Azure DevOps looks for a pull request template, in its order.
const TEMPLATE_FOLDERS: [&str; 4] = [".azuredevops/", ".vsts/", "docs/", ""];
/// What people write for agents; handed over as texts of what people landed, never obeyed from the checkout.
const INSTRUCTIONS: [&str; 3] = ["AGENTS.md", "CLAUDE.md", ".github/copilot-instructions.md"];
/// Below `/in`: the documents that the repository wants read before a task, as people landed them.
const CONTEXT: &str = "context";
/// Below `/in`: what to tell an agent that goes on with its conversation.
pub(super) const GOES_ON: &str = "goes-on.json";
/// Below `/in`: what reviewers suggested to the letter.
pub(super) const SUGGESTIONS: &str = "suggestions.json";
/// Our branch as fetched.
const OWN: &str = "refs/roundsman/own";

/// Runs the step.
pub(super) fn run(job: &Job) -> FetchResult {
    fetch(job).unwrap_or_else(|detail| FetchResult::Failed { detail })
}

fn fetch(job: &Job) -> Result<FetchResult, String> {
    let git = Git::new(job, job.handover.credential.as_ref()).map_err(|e| e.to_string())?;
    let source = &job.spec.source;
    let places = &job.spec.places;
    let repo = Repo::bare(&places.repository);
    // Not there yet, or left half-made by a worker that was killed.
    if !places.repository.join("HEAD").exists() || git.local(&repo, &["rev-parse", "--git-dir"]).is_err() {
        initialise(&git, &places.repository)?;
    }

    let found = git.remote_head(&repo, &source.branch.full()).map_err(|e| e.to_string())?;
    if found != source.expected {
        return Ok(FetchResult::Moved { found });
    }
    let there = git.remote_head(&repo, &source.target.full()).map_err(|e| e.to_string())?;
    if there.is_none() {
        return Err(format!(
            "the repository has no branch `{}`; it may be empty: push a first commit",
            source.target
        ));
    }
    if download(&git, &repo, job).is_err() {
        // A worker that was killed here may have left locks or half a pack; the server has everything.
        initialise(&git, &places.repository)?;
        download(&git, &repo, job).map_err(|e| e.to_string())?;
    }
    let target = required(&git, &repo, TARGET)?;
    let base = match &source.expected {
        None => target.clone(),
        Some(expected) => {
            let own = required(&git, &repo, OWN)?;
            if own != *expected {
                return Ok(FetchResult::Moved { found: Some(own) });
            }
            own
        }
    };
    git.local(&repo, &["update-ref", BASE, base.as_str()]).map_err(|e| e.to_string())?;

    check_out(&git, job, &source.branch).map_err(|e| e.to_string())?;
    let ground = git.ground(&repo, &target, &base).map_err(|e| e.to_string())?;
    hand_over(&git, &repo, job, &ground, &target)?;
    Ok(FetchResult::Ready { base, target })
}

fn initialise(git: &Git, directory: &Path) -> Result<(), String> {
    machine::empty(directory).map_err(|e| format!("{}: {e}", directory.display()))?;
    // A head that is never born: nothing of the repository's content may configure this clone.
    let arguments =
        ["init", "--quiet", "--bare", "--template=", "-b", "roundsman-none", "--", &text(directory)];
    git.bare_call(&arguments).map(drop).map_err(|e| e.to_string())
}

fn download(git: &Git, repo: &Repo, job: &Job) -> Result<(), GitError> {
    let source = &job.spec.source;
    let target = format!("+{}:{TARGET}", source.target.full());
    let own = format!("+{}:{OWN}", source.branch.full());
    let mut arguments = vec![
        "fetch",
        "--quiet",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        "--",
        git.url(),
        &target,
    ];
    if source.expected.is_some() {
        arguments.push(&own);
    }
    git.remote(repo, &arguments).map(drop)
}

fn required(git: &Git, repo: &Repo, name: &str) -> Result<CommitId, String> {
    git.commit(repo, name).map_err(|e| e.to_string())?.ok_or_else(|| format!("{name} was not fetched"))
}

/// A fresh checkout with objects of its own, no remote, no hooks and no credential.
fn check_out(git: &Git, job: &Job, branch: &BranchName) -> Result<(), Box<dyn std::error::Error>> {
    let workspace = &job.spec.places.workspace;
    machine::empty(workspace)?;
    git.bare_call(&["init", "--quiet", "--template=", "-b", branch.as_str(), "--", &text(workspace)])?;
    let checkout = Repo::checkout(workspace);
    let own = format!("+{BASE}:{}", branch.full());
    let target = format!("+{TARGET}:{TARGET}");
    let from = text(&job.spec.places.repository);
    let options = ["fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--update-head-ok", "--"];
    // The objects were checked on their way in; old histories would be refused without the tolerated list.
    let arguments: Vec<&str> = std::iter::once("-c")
        .chain(["transfer.fsckObjects=false"])
        .chain(options)
        .chain([from.as_str(), &own, &target])
        .collect();
    git.local(&checkout, &arguments)?;
    git.local(&checkout, &["reset", "--quiet", "--hard"])?;
    for (key, value) in [("user.name", &job.spec.commit.name), ("user.email", &job.spec.commit.email)] {
        git.local(&checkout, &["config", "--local", key, value])?;
    }
    Ok(())
}

/// Writes brief, template and instructions below `/in`. What instructs is taken from `ground`: what earlier turns made of
/// it on our branch is work to be reviewed.
fn hand_over(git: &Git, repo: &Repo, job: &Job, ground: &CommitId, target: &CommitId) -> Result<(), String> {
    let input = &job.spec.places.input;
    let failed = |e: std::io::Error| format!("{}: {e}", input.display());
    machine::empty(input).map_err(failed)?;
    machine::write(input.join("brief.md"), job.spec.brief.as_bytes()).map_err(failed)?;

    if let Some(goes_on) = &job.spec.goes_on {
        let text = serde_json::to_vec_pretty(goes_on).map_err(|e| e.to_string())?;
        machine::write(input.join(GOES_ON), &text).map_err(failed)?;
    }

    if !job.spec.suggestions.is_nothing() {
        let text = serde_json::to_vec_pretty(&job.spec.suggestions).map_err(|e| e.to_string())?;
        machine::write(input.join(SUGGESTIONS), &text).map_err(failed)?;
    }

    let files = files_of(git, repo, target)?;
    if let Some(path) = template_of(&files, &job.spec.source.target)
        && let Some(content) = content_of(git, repo, target, path)?
    {
        machine::write(input.join("pull_request_template.md"), &content).map_err(failed)?;
    }
    let files = files_of(git, repo, ground)?;
    for path in INSTRUCTIONS.into_iter().filter(|path| files.iter().any(|file| file == path)) {
        if let Some(content) = content_of(git, repo, ground, path)? {
            machine::write(input.join("instructions").join(path), &content).map_err(failed)?;
        }
    }
    let documents = job.spec.rules.iter().flat_map(|rules| &rules.brief.context);
    for path in documents.filter(|path| files.contains(path)) {
        if let Some(content) = content_of(git, repo, ground, path)? {
            machine::write(input.join(CONTEXT).join(path), &content).map_err(failed)?;
        }
    }
    Ok(())
}

/// Regular files of a commit.
fn files_of(git: &Git, repo: &Repo, commit: &CommitId) -> Result<Vec<String>, String> {
    let listing = git.local(repo, &["ls-tree", "-r", "-z", commit.as_str()]).map_err(|e| e.to_string())?;
    Ok(listing
        .split(|byte| *byte == 0)
        .filter_map(|row| std::str::from_utf8(row).ok()?.split_once('\t'))
        .filter(|(facts, _)| facts.starts_with("100"))
        .map(|(_, path)| path.to_owned())
        .collect())
}

fn content_of(git: &Git, repo: &Repo, commit: &CommitId, path: &str) -> Result<Option<Vec<u8>>, String> {
    let content =
        git.local(repo, &["cat-file", "blob", &format!("{commit}:{path}")]).map_err(|e| e.to_string())?;
    Ok((content.len() <= TEXT_LIMIT).then_some(content))
}

/// The template that Azure DevOps would offer: branch-specific ones first, in any case of letters.
fn template_of<'a>(files: &'a [String], target: &BranchName) -> Option<&'a str> {
    let first = target.as_str().split('/').next().unwrap_or_default().to_lowercase();
    let named = |wanted: String| files.iter().find(|file| file.to_lowercase() == wanted).map(String::as_str);
    let lookup = |stem: &str| {
        TEMPLATE_FOLDERS.iter().find_map(|folder| {
            ["md", "txt"].iter().find_map(|ending| named(format!("{folder}{stem}.{ending}")))
        })
    };
    lookup(&format!("pull_request_template/branches/{first}")).or_else(|| lookup("pull_request_template"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_the_one_that_the_service_would_offer() {
        let files = |list: &[&str]| list.iter().map(|f| (*f).to_owned()).collect::<Vec<_>>();
        let target = BranchName::new("release/2.0");
        let all = files(&[
            "docs/pull_request_template.md",
            ".azuredevops/PULL_REQUEST_TEMPLATE.txt",
            "docs/pull_request_template/branches/Release.md",
        ]);
        assert_eq!(template_of(&all, &target), Some("docs/pull_request_template/branches/Release.md"));
        assert_eq!(
            template_of(&all, &BranchName::new("main")),
            Some(".azuredevops/PULL_REQUEST_TEMPLATE.txt")
        );
        assert_eq!(template_of(&files(&["README.md"]), &target), None);
    }
}
