//! Trial merges, completion, auto-complete: everything that makes commits on behalf of a pull request.
//!
//! Merges are git's own (`merge-tree`, `commit-tree`); this file decides when they happen and when they show.

use super::{
    World,
    pull_requests::{MergeView, PullRequest, numbers},
    repositories::{RefUpdate, internal},
};
use crate::emulator::{
    git::{Git, GitError, Merged, Signature},
    wire::{Problem, ZERO, word},
};
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) const STRATEGIES: [&str; 4] = ["noFastForward", "squash", "rebase", "rebaseMerge"];

impl World {
    /// Merges source into target on the side and moves `refs/pull/N/merge`.
    pub(crate) fn try_merge(&mut self, id: i64) {
        if self.replica {
            return;
        }
        let Some(pull) = self.pulls.get(&id).cloned() else { return };
        let (Some(source), Some(target)) =
            (self.head(&pull.repository, &pull.source_ref), self.head(&pull.repository, &pull.target_ref))
        else {
            return;
        };
        let git = self.git(&pull.repository);
        let who = self.signature(&pull.created_by);
        let name = format!("refs/pull/{id}/merge");
        let message = format!(
            "Merge pull request {id} from {} into {}",
            short(&pull.source_ref),
            short(&pull.target_ref)
        );
        let outcome = git.merge_tree(&target, &source, None).and_then(|merged| match merged {
            Merged::Tree(tree) => {
                let commit = git.commit_tree(&tree, &[&target, &source], &message, &who, &who)?;
                git.update_ref(&name, &commit)?;
                Ok(Some(commit))
            }
            Merged::Conflicts(_) => {
                if self.head(&pull.repository, &name).is_some() {
                    git.delete_ref(&name)?;
                }
                Ok(None)
            }
        });
        self.sync_refs(&pull.repository);
        let (status, commit) = match outcome {
            Ok(Some(commit)) => ("succeeded", Some(commit)),
            Ok(None) => ("conflicts", None),
            Err(_) => ("failure", None),
        };
        let lag = self.knobs.merge_lag;
        if let Some(pull) = self.pull_mut(id) {
            pull.merge = MergeView { status, source, target, commit };
            pull.merge_lag = lag;
            pull.outdated = false;
            if status == "conflicts" {
                pull.auto_complete = None;
            }
        }
    }

    /// One read went by: whatever was waiting comes one step closer.
    pub(crate) fn tick_pull(&mut self, id: i64) {
        let mut finish = false;
        if let Some(pull) = self.pull_mut(id) {
            if let Some((_, left)) = &mut pull.lingering {
                *left -= 1;
                if *left == 0 {
                    pull.lingering = None;
                }
            } else if pull.merge_lag > 0 {
                pull.merge_lag -= 1;
            } else if let Some((left, _)) = &mut pull.completing {
                *left = left.saturating_sub(1);
                finish = *left == 0;
            }
        }
        if finish {
            self.finish_completion(id);
        }
    }

    /// Everything that waits for reads happens now.
    pub(crate) fn settle(&mut self) {
        let ids: Vec<i64> = self.pulls.keys().copied().collect();
        for id in ids {
            if let Some(pull) = self.pull_mut(id) {
                pull.lingering = None;
                pull.merge_lag = 0;
                pull.link_lag = 0;
            }
            if self.pulls.get(&id).is_some_and(|pull| pull.completing.is_some()) {
                self.finish_completion(id);
            }
        }
    }

    /// A queued completion happens at once.
    pub(crate) fn finish_now(&mut self, id: i64) {
        if self.pulls.get(&id).is_some_and(|pull| pull.completing.is_some()) {
            self.finish_completion(id);
        }
    }

    /// The request to complete. Answers nothing yet: the merge is queued.
    pub(crate) fn complete_pull(
        &mut self,
        id: i64,
        head: Option<&str>,
        options: Option<Value>,
        by: &str,
    ) -> Result<(), Problem> {
        self.refresh(id);
        let pull = Arc::clone(self.pull(id, None)?);
        if !pull.active() {
            return Err(Problem::argument(format!(
                "TF401181: The pull request cannot be edited due to its state ({}).",
                pull.status
            )));
        }
        if pull.draft {
            return Err(Problem::argument("TF401183: A draft pull request cannot be completed."));
        }
        let Some(head) = head else {
            return Err(Problem::argument(
                "The lastMergeSourceCommit of the pull request is required.\r\nParameter name: lastMergeSourceCommit",
            ));
        };
        if !head.eq_ignore_ascii_case(&pull.merge.source) {
            return Err(Problem::new(
                409,
                "GitPullRequestStaleException",
                "TF401192: The source branch has been modified since the last time the pull request was merged.",
            ));
        }
        let options = options.or_else(|| pull.completion_options.clone()).unwrap_or_else(|| json!({}));
        if options["bypassPolicy"].as_bool() == Some(true) {
            return Err(Problem::new(
                403,
                "GitNeedsPermissionException",
                format!(
                    "TF401027: You need the Git 'PullRequestBypassPolicy' permission to perform this action. Details: identity '{by}', scope 'branch'."
                ),
            ));
        }
        if let Some(strategy) = options["mergeStrategy"].as_str()
            && word(strategy, &STRATEGIES).is_none()
        {
            return Err(Problem::model(format!("'{strategy}' is not a merge strategy.")));
        }
        if let Some(pull) = self.pull_mut(id) {
            pull.completion_options = Some(options);
        }
        let unmet = self.unmet(id, true);
        if !unmet.is_empty() {
            if let Some(known) = self.pull_mut(id) {
                known.completion_options.clone_from(&pull.completion_options);
            }
            return Err(Problem::new(
                403,
                "GitPullRequestUpdateRejectedByPolicyException",
                format!(
                    "TF401408: The pull request cannot be completed: these policies are not satisfied: {}.",
                    unmet.join(", ")
                ),
            ));
        }
        self.begin_completion(id, by);
        Ok(())
    }

    fn begin_completion(&mut self, id: i64, by: &str) {
        let now = self.now();
        let lag = self.knobs.completion_lag;
        if let Some(pull) = self.pull_mut(id) {
            pull.completing = Some((lag, by.to_owned()));
            pull.merge_lag = 0;
            pull.completion_queued = Some(now);
            pull.closed_by = Some(by.to_owned());
        }
        if lag == 0 {
            self.finish_completion(id);
        }
    }

    /// Only the trial merge; for callers that are about to look at policies themselves.
    fn refresh_quietly(&mut self, id: i64) {
        if self
            .pulls
            .get(&id)
            .is_some_and(|pull| pull.outdated && pull.active() && pull.auto_complete.is_some())
        {
            self.try_merge(id);
        }
    }

    /// Auto-complete looks again whenever a check, vote or thread changed.
    pub(crate) fn consider_completion(&mut self, id: i64) {
        self.refresh_quietly(id);
        let Some(pull) = self.pulls.get(&id) else { return };
        let ready =
            pull.active() && !pull.draft && pull.completing.is_none() && pull.merge.status == "succeeded";
        let Some(by) = pull.auto_complete.clone().filter(|_| ready) else { return };
        if self.unmet(id, false).is_empty() {
            self.begin_completion(id, &by);
        }
    }

    fn finish_completion(&mut self, id: i64) {
        if self.replica {
            return;
        }
        let Some(pull) = self.pulls.get(&id).cloned() else { return };
        let Some((_, by)) = pull.completing.clone().filter(|_| pull.active()) else { return };
        self.try_merge(id);
        let fresh = self.pulls.get(&id).map(|pull| pull.merge.clone()).unwrap_or_default();
        let who = self.signature(&by);
        let git = self.git(&pull.repository);
        let landed = if fresh.source == pull.merge.source && fresh.status == "succeeded" {
            land(&git, &pull, &fresh, &who).map_err(|error| internal(&error)).ok().flatten()
        } else {
            None
        };
        let now = self.now();
        let Some(landed) = landed else {
            if let Some(pull) = self.pull_mut(id) {
                pull.completing = None;
                pull.completion_queued = None;
                pull.closed_by = None;
                pull.merge_lag = 0;
                pull.auto_complete = None;
                if pull.merge.status == "succeeded" {
                    pull.merge.status = "failure";
                }
            }
            return;
        };
        if let Some(pull) = self.pull_mut(id) {
            pull.completing = None;
            pull.merge_lag = 0;
            pull.status = "completed";
            pull.closed = Some(now);
            pull.merge.status = "succeeded";
            pull.merge.commit = Some(landed.clone());
        }
        self.system_thread(id, "StatusUpdate", "The pull request was completed", &by);
        let moved = RefUpdate { name: pull.target_ref.clone(), old: fresh.target, new: landed };
        let mut updates = vec![moved];
        let options = pull.completion_options.clone().unwrap_or_else(|| json!({}));
        if options["deleteSourceBranch"].as_bool() == Some(true) {
            let gone = RefUpdate { name: pull.source_ref.clone(), old: fresh.source, new: ZERO.into() };
            // Without permission the branch stays, and nobody says so.
            if self.may_update(&pull.repository, &gone, &by, false).is_ok()
                && git.delete_ref(&gone.name).is_ok()
            {
                updates.push(gone);
            }
        }
        self.after_push(&pull.repository, &updates, &by);
        if options["transitionWorkItems"].as_bool() == Some(true) {
            for item in self.linked_items(&pull) {
                let next = self.items.get(&item).and_then(|item| {
                    let process = self.projects.get(&item.project)?.process;
                    process
                        .item_type(item.text("System.WorkItemType"))?
                        .after_merge(item.text("System.State"))
                });
                if let Some(state) = next {
                    self.move_item(item, state, &by);
                }
            }
        }
        self.complete_mentioned(&pull, &by);
    }

    /// `Fixes #12` in what reaches the default branch completes the item.
    fn complete_mentioned(&mut self, pull: &PullRequest, by: &str) {
        let Some(repository) = self.repositories.get(&pull.repository) else { return };
        let default = Self::default_branch(repository) == Some(pull.target_ref.as_str());
        if !default || !repository.completes_items {
            return;
        }
        let message = merge_message(pull);
        for id in numbers(&message) {
            let commanded = ["fixes", "fixed", "fix"]
                .iter()
                .any(|verb| message.to_ascii_lowercase().contains(&format!("{verb} #{id}")));
            let state = self.items.get(&id).filter(|item| !item.deleted).and_then(|item| {
                let process = self.projects.get(&item.project)?.process;
                let kind = process.item_type(item.text("System.WorkItemType"))?;
                kind.states.iter().find(|state| state.category == "Completed").map(|state| state.name)
            });
            if let Some(state) = state.filter(|_| commanded) {
                self.move_item(id, state, by);
            }
        }
    }
}

fn short(name: &str) -> &str {
    name.strip_prefix("refs/heads/").unwrap_or(name)
}

fn merge_message(pull: &PullRequest) -> String {
    pull.completion_options.as_ref().and_then(|options| options["mergeCommitMessage"].as_str()).map_or_else(
        || format!("Merged PR {}: {}\n\n{}", pull.id, pull.title, pull.description),
        str::to_owned,
    )
}

/// The commit that the target branch becomes; `None` when it does not apply.
fn land(
    git: &Git,
    pull: &PullRequest,
    view: &MergeView,
    who: &Signature,
) -> Result<Option<String>, GitError> {
    let options = pull.completion_options.clone().unwrap_or_else(|| json!({}));
    let squash = options["squashMerge"].as_bool() == Some(true);
    let strategy = options["mergeStrategy"]
        .as_str()
        .and_then(|text| word(text, &STRATEGIES))
        .unwrap_or(if squash { "squash" } else { "noFastForward" });
    let message = merge_message(pull);
    let Merged::Tree(tree) = git.merge_tree(&view.target, &view.source, None)? else { return Ok(None) };
    let commit = match strategy {
        "squash" => git.commit_tree(&tree, &[&view.target], &message, who, who)?,
        "noFastForward" => git.commit_tree(&tree, &[&view.target, &view.source], &message, who, who)?,
        _ => {
            let range = format!("{}..{}", view.target, view.source);
            let mut tip = view.target.clone();
            for commit in git.log(&["--reverse", "--no-merges", &range])? {
                let base = commit.parents.first().map(String::as_str);
                let Merged::Tree(tree) = git.merge_tree(&tip, &commit.id, base)? else { return Ok(None) };
                let author = Signature {
                    name: commit.author.0,
                    email: commit.author.1,
                    at: commit.author.2.parse().unwrap_or(who.at),
                };
                tip = git.commit_tree(&tree, &[&tip], &commit.message, &author, who)?;
            }
            if strategy == "rebaseMerge" {
                tip =
                    git.commit_tree(&format!("{tip}^{{tree}}"), &[&view.target, &tip], &message, who, who)?;
            }
            tip
        }
    };
    git.update_ref(&pull.target_ref, &commit)?;
    Ok(Some(commit))
}
