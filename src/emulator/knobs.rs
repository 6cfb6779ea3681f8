//! Conditions that last until they are changed: lags, refusals, broken things. Counted faults are in `faults`.

use super::{
    Emulator, SignIn,
    faults::Fault,
    people::Refused,
    setup::{Identity, RepositoryHandle},
    state::fields::field,
};
use jiff::SignedDuration;
use std::sync::Arc;

impl Emulator {
    /// Arms a fault.
    pub fn fault(&self, fault: Fault) {
        super::locked(&self.inner.desk).faults.arm(fault);
    }

    /// Disarms all faults and forgets held requests.
    pub fn clear_faults(&self) {
        let mut desk = super::locked(&self.inner.desk);
        desk.faults.clear();
        desk.held.clear();
    }

    /// How many armed faults have not struck (often enough) yet.
    pub fn faults_waiting(&self) -> usize {
        super::locked(&self.inner.desk).faults.waiting()
    }

    /// Moves the emulator's clock forward; everything from now on is dated later.
    pub fn advance(&self, by: SignedDuration) {
        self.inner.change(|world| world.advance(by));
    }

    /// Everything that waits for being read (merges, completions, lingering answers) happens now.
    pub fn settle(&self) {
        self.inner.change(super::state::World::settle);
    }

    /// Reads for which a recomputed merge shows `queued`.
    pub fn set_merge_lag(&self, reads: u32) {
        self.inner.change(|world| world.knobs.merge_lag = reads);
    }

    /// Reads for which a completed pull request still shows `active`.
    pub fn set_completion_lag(&self, reads: u32) {
        self.inner.change(|world| world.knobs.completion_lag = reads);
    }

    /// Reads for which a pull request shows its old head after a push.
    pub fn set_push_lag(&self, reads: u32) {
        self.inner.change(|world| world.knobs.push_lag = reads);
    }

    /// Reads for which evaluations show the old head's outcome after a push.
    pub fn set_evaluation_lag(&self, reads: u32) {
        self.inner.change(|world| world.knobs.evaluation_lag = reads);
    }

    /// Reads for which a new pull request shows no work items.
    pub fn set_work_item_link_lag(&self, reads: u32) {
        self.inner.change(|world| world.knobs.work_item_link_lag = reads);
    }

    /// Queries answer from the world as it was before the last `writes` changes.
    pub fn set_index_lag(&self, writes: usize) {
        self.inner.change(|world| world.knobs.index_lag = writes);
    }

    /// The number of results above which a query fails (20,000 in reality).
    pub fn set_query_limit(&self, results: usize) {
        self.inner.change(|world| world.knobs.query_limit = results);
    }

    /// The most updates or revisions in one answer (200 in reality).
    pub fn set_page_cap(&self, entries: usize) {
        self.inner.change(|world| world.knobs.page_cap = entries);
    }

    /// How wrong credentials are answered.
    pub fn set_sign_in(&self, sign_in: SignIn) {
        self.inner.change(|world| world.knobs.sign_in = sign_in);
    }

    /// Public projects exist: connectionData answers 200 "Anonymous" to a bad credential.
    pub fn set_public_projects(&self, public: bool) {
        self.inner.change(|world| world.knobs.anonymous_connection_data = public);
    }

    /// Work item comments carry `commentId` in place of `id`.
    pub fn set_legacy_comment_ids(&self, legacy: bool) {
        self.inner.change(|world| world.knobs.legacy_comment_ids = legacy);
    }

    /// Whether comments keep what folds text up. No document of the service says so; without it `details` and `summary`
    /// are dropped from what is stored, and their words stay.
    pub fn set_folding(&self, folds: bool) {
        self.inner.change(|world| world.knobs.folds = folds);
    }

    /// The next save of the item that passes its test loses a race against this identity's: 409 TF26071.
    pub fn race_next_save(&self, item: i64, winner: &Identity) {
        self.inner.change(|world| world.knobs.races.insert(item, winner.id.clone()));
    }

    /// The field must not be empty on items of this type.
    pub fn require_field(&self, project: &str, kind: &str, name: &str) -> Result<(), Refused> {
        self.inner.change(|world| {
            let project = world.project(project)?.id.clone();
            let reference = field(name).map_or_else(|| name.to_owned(), |(reference, ..)| reference);
            world.knobs.required_fields.insert((project, kind.to_lowercase(), reference));
            Ok(())
        })
    }

    /// The item answers like a deleted one, or again like itself.
    pub fn set_unreadable(&self, item: i64, unreadable: bool) {
        self.inner.change(|world| {
            if unreadable {
                world.knobs.unreadable_items.insert(item);
            } else {
                world.knobs.unreadable_items.remove(&item);
            }
        });
    }

    /// Disables or enables a repository.
    pub fn set_repository_disabled(&self, repository: &RepositoryHandle, disabled: bool) {
        self.inner.change(|world| {
            if disabled {
                world.knobs.disabled_repositories.insert(repository.id.clone());
            } else {
                world.knobs.disabled_repositories.remove(&repository.id);
            }
        });
    }

    /// The server refuses every push with these words (a secret, a file's size, an author), or takes them again.
    pub fn refuse_pushes(&self, repository: &RepositoryHandle, words: Option<&str>) {
        self.inner.change(|world| match words {
            Some(words) => {
                world.knobs.refused_pushes.insert(repository.id.clone(), words.to_owned());
            }
            None => {
                world.knobs.refused_pushes.remove(&repository.id);
            }
        });
    }

    /// A repository gets another name: its id stays, its addresses do not, and nothing leads from the old one.
    pub fn rename_repository(&self, repository: &RepositoryHandle, name: &str) {
        self.inner.change(|world| {
            if let Some(repository) = world.repository_mut(&repository.id) {
                name.clone_into(&mut repository.name);
            }
        });
    }

    /// The default branch gets another short name: a new branch at the same commit, and the old one is gone.
    pub fn rename_default_branch(&self, repository: &RepositoryHandle, name: &str) {
        self.inner.change(|world| {
            let new = format!("refs/heads/{name}");
            let known = world.repositories.get(&repository.id).cloned();
            let old = known.as_deref().and_then(super::state::World::default_branch).map(str::to_owned);
            let Some((old, commit)) =
                old.and_then(|old| Some((old.clone(), world.head(&repository.id, &old)?)))
            else {
                return;
            };
            let git = world.git(&repository.id);
            if git.update_ref(&new, &commit).is_ok() && git.delete_ref(&old).is_ok() {
                world.sync_refs(&repository.id);
            }
            if let Some(repository) = world.repository_mut(&repository.id) {
                repository.default_branch = Some(new);
            }
        });
    }

    /// Whether `Fixes #12` in a merge completes the item (on by default).
    pub fn set_completes_items(&self, repository: &RepositoryHandle, completes: bool) {
        self.inner.change(|world| {
            if let Some(repository) = world.repository_mut(&repository.id) {
                repository.completes_items = completes;
            }
        });
    }

    /// The permission to force-push and to delete other people's branches.
    pub fn allow_force_push(&self, identity: &Identity, allowed: bool) {
        self.account_change(identity, |account| account.force_push = allowed);
    }

    /// The permission to create tag definitions; without it a new tag fails the whole patch with TF401289.
    pub fn allow_tag_creation(&self, identity: &Identity, allowed: bool) {
        self.account_change(identity, |account| account.create_tags = allowed);
    }

    /// The permission to push and to change pull requests.
    pub fn allow_contribute(&self, identity: &Identity, allowed: bool) {
        self.account_change(identity, |account| account.contribute = allowed);
    }

    /// The permission to bypass work item rules and to suppress notifications.
    pub fn allow_bypass_rules(&self, identity: &Identity, allowed: bool) {
        self.account_change(identity, |account| account.bypass_rules = allowed);
    }

    /// The pipeline's YAML is wrong: its builds fail with `validationResults` and no timeline. `None` repairs it.
    pub fn break_pipeline(&self, pipeline: i64, error: Option<&str>) {
        self.pipeline(pipeline, |pipeline| pipeline.yaml_error = error.map(str::to_owned));
    }

    /// The pipeline's builds stay queued; `false` affects builds queued from then on.
    pub fn stall_pipeline(&self, pipeline: i64, stalled: bool) {
        self.pipeline(pipeline, |pipeline| pipeline.never_starts = stalled);
    }

    /// The pipeline's builds wait at a checkpoint for an approval that never comes.
    pub fn hold_pipeline(&self, pipeline: i64, held: bool) {
        self.pipeline(pipeline, |pipeline| pipeline.checkpoint = held);
    }

    /// The pipeline runs this command from now on.
    pub fn set_pipeline_command(&self, pipeline: i64, command: &[&str]) {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        self.pipeline(pipeline, |pipeline| pipeline.command = command);
    }

    /// The next build of the pipeline ends so without running: `succeeded`, `partiallySucceeded`, `failed`, `canceled`, or
    /// `lost-agent` (failed without a failing task). Calls queue up; unknown words are ignored.
    pub fn force_next_result(&self, pipeline: i64, result: &str) {
        let known = ["succeeded", "partiallySucceeded", "failed", "canceled", "lost-agent"];
        if let Some(result) = super::wire::word(result, &known) {
            self.pipeline(pipeline, |pipeline| pipeline.forced.push_back(result));
        }
    }

    /// A person stops a build that is not over.
    pub fn cancel_build(&self, build: i64, by: &Identity) {
        self.inner.change(|world| world.cancel_build(build, &by.id));
    }

    /// A person approves what a build waits for at its checkpoint: it runs.
    pub fn approve_build(&self, build: i64) {
        self.inner.change(|world| {
            if let Some(known) = world.build_mut(build).filter(|build| build.checkpoint) {
                known.checkpoint = false;
                known.stuck = false;
                known.status = "notStarted";
                known.started = None;
                world.errands.push(super::state::Errand::Start(build));
            }
        });
    }

    /// A person runs a pipeline on a full ref name; answers the build.
    pub fn run_pipeline(&self, pipeline: i64, branch: &str, by: &Identity) -> Option<i64> {
        self.inner.change(|world| {
            let repository = world.pipelines.get(&pipeline)?.repository.clone();
            let version = world.head(&repository, branch)?;
            world.queue_build(pipeline, "manual", branch, &version, None, &by.id)
        })
    }

    /// Retention takes the logs of a build.
    pub fn drop_logs(&self, build: i64) {
        self.inner.change(|world| {
            if let Some(build) = world.build_mut(build) {
                build.logs_gone = true;
            }
        });
    }

    fn pipeline(&self, id: i64, change: impl FnOnce(&mut super::state::builds::Pipeline)) {
        self.inner.change(|world| {
            if let Some(pipeline) = world.pipelines.get_mut(&id) {
                change(Arc::make_mut(pipeline));
            }
        });
    }

    /// The pull request's build results count as too old; `queued` although nothing runs.
    pub fn expire_evaluations(&self, pull: i64) {
        self.inner.change(|world| {
            if let Some(pull) = world.pull_mut(pull) {
                pull.evaluations.values_mut().for_each(|evaluation| evaluation.expired = true);
            }
        });
    }

    /// A person queues the validation of a pull request again; what still runs is cancelled by that.
    pub fn requeue_validation(&self, pull: i64) {
        self.inner.change(|world| {
            let evaluations = world.pulls.get(&pull).map(|pull| pull.evaluations.clone()).unwrap_or_default();
            for evaluation in evaluations.values() {
                // Policies that are no validation refuse it.
                let _ = world.requeue(&evaluation.id);
            }
        });
    }

    /// The policy cannot be evaluated (its pipeline was deleted, say).
    pub fn break_policy(&self, policy: i64, broken: bool) {
        self.inner.change(|world| {
            if let Some(policy) = world.policy_mut(policy) {
                policy.broken = broken;
            }
        });
    }

    /// The policy's builds are only queued by hand.
    pub fn set_manual_queue(&self, policy: i64, manual: bool) {
        self.inner.change(|world| {
            if let Some(policy) = world.policy_mut(policy) {
                policy.settings["manualQueueOnly"] = serde_json::json!(manual);
            }
        });
    }
}
