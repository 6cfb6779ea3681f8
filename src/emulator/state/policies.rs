//! Branch policies and their evaluations.
//!
//! It knows what each policy wants of a pull request and how its evaluation looks, expiry and near misses included. Builds
//! themselves are in `builds`.

use super::{World, pull_requests::PullRequest};
use crate::emulator::wire::{Problem, same_guid, stamp7};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) const BUILD: &str = "0609b952-1397-4640-95ec-e00a01b2c241";
pub(crate) const STATUS: &str = "cbdc66da-9728-4af8-aada-9a5a32e4a226";
pub(crate) const MINIMUM_REVIEWERS: &str = "fa4e907d-c16b-4a4c-9dfa-4906e5d171dd";
pub(crate) const REQUIRED_REVIEWERS: &str = "fd2167ab-b0be-447a-8ec8-39368250530e";
pub(crate) const COMMENTS: &str = "c6a1889d-b943-4856-b76f-9e46bb6b0df2";
pub(crate) const WORK_ITEM: &str = "40e92b44-2fe1-4dd6-b3d8-74a9c21d0c6e";
/// Differs from the minimum reviewers' only in the last group: whoever compares prefixes waits for the wrong thing.
pub(crate) const MERGE_STRATEGY: &str = "fa4e907d-c16b-4a4c-9dfa-4916e5d171ab";

pub(crate) const KINDS: [(&str, &str); 7] = [
    (BUILD, "Build"),
    (STATUS, "Status"),
    (MINIMUM_REVIEWERS, "Minimum number of reviewers"),
    (REQUIRED_REVIEWERS, "Required reviewers"),
    (COMMENTS, "Comment requirements"),
    (WORK_ITEM, "Work item linking"),
    (MERGE_STRATEGY, "Require a merge strategy"),
];

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own on the service's form")]
pub(crate) struct Policy {
    pub(crate) id: i64,
    pub(crate) project: String,
    pub(crate) repository: Option<String>,
    pub(crate) ref_name: String,
    pub(crate) prefix: bool,
    pub(crate) kind: &'static str,
    pub(crate) blocking: bool,
    pub(crate) enabled: bool,
    pub(crate) deleted: bool,
    pub(crate) broken: bool,
    pub(crate) settings: Value,
    pub(crate) created_by: String,
    pub(crate) created: Timestamp,
}

impl Policy {
    fn covers(&self, repository: &str, name: &str) -> bool {
        let mine = self.repository.as_deref().is_none_or(|mine| mine == repository);
        mine && if self.prefix { name.starts_with(&self.ref_name) } else { name == self.ref_name }
    }

    fn live(&self) -> bool {
        self.enabled && !self.deleted
    }

    pub(crate) fn name(&self) -> &'static str {
        KINDS.iter().find(|(id, _)| *id == self.kind).map_or("", |(_, name)| name)
    }
}

/// One policy's opinion of one pull request.
#[derive(Clone, Debug)]
pub(crate) struct Evaluation {
    pub(crate) id: String,
    pub(crate) started: Timestamp,
    pub(crate) build: Option<i64>,
    pub(crate) expired: bool,
    pub(crate) requeued: bool,
    /// What the last head's evaluation looked like, and for how many reads it lingers.
    pub(crate) lingering: Option<(Value, u32)>,
}

impl World {
    pub(crate) fn add_policy(&mut self, mut policy: Policy) -> i64 {
        policy.id = self.policies.keys().next_back().map_or(11, |id| id + 1);
        policy.created = self.now();
        let mut scope = json!({"refName": policy.ref_name, "matchKind": if policy.prefix { "Prefix" } else { "Exact" },
            "repositoryId": policy.repository});
        scope = crate::emulator::wire::without_nulls(scope);
        policy.settings["scope"] = json!([scope]);
        let id = policy.id;
        self.policies.insert(id, Arc::new(policy));
        let open: Vec<i64> = self.pulls.values().filter(|pull| pull.active()).map(|pull| pull.id).collect();
        for pull in open {
            self.start_policies(pull, false);
        }
        id
    }

    pub(crate) fn policy_mut(&mut self, id: i64) -> Option<&mut Policy> {
        self.policies.get_mut(&id).map(Arc::make_mut)
    }

    /// Any enabled blocking policy makes a ref writable through pull requests only.
    pub(crate) fn pull_request_only(&self, repository: &str, name: &str) -> bool {
        self.policies
            .values()
            .any(|policy| policy.live() && policy.blocking && policy.covers(repository, name))
    }

    pub(crate) fn prefix_protected(&self, repository: &str, name: &str) -> bool {
        self.policies.values().any(|policy| {
            policy.live() && policy.blocking && policy.prefix && policy.covers(repository, name)
        })
    }

    pub(crate) fn policies_of(&self, pull: &PullRequest) -> Vec<Arc<Policy>> {
        self.policies
            .values()
            .filter(|p| p.live() && p.project == pull.project && p.covers(&pull.repository, &pull.target_ref))
            .cloned()
            .collect()
    }

    pub(crate) fn resets_votes(&self, pull: i64) -> bool {
        let Some(pull) = self.pulls.get(&pull) else { return false };
        self.policies_of(pull).iter().any(|policy| {
            policy.kind == MINIMUM_REVIEWERS && policy.settings["resetOnSourcePush"].as_bool() == Some(true)
        })
    }

    /// Evaluations begin or begin again. A moved target alone queues no build when the policy says so.
    pub(crate) fn start_policies(&mut self, id: i64, source_changed: bool) {
        let Some(pull) = self.pulls.get(&id).cloned() else { return };
        if !pull.active() {
            return;
        }
        for policy in self.policies_of(&pull) {
            let now = self.now();
            let known = pull.evaluations.get(&policy.id).cloned();
            let lag = self.knobs.evaluation_lag;
            let lingering = known
                .as_ref()
                .filter(|_| lag > 0 && source_changed)
                .map(|known| (self.evaluation_json(&pull, &policy, known), lag));
            let fresh = match known {
                Some(known) => known,
                None => Evaluation {
                    id: self.fresh_guid("evaluation"),
                    started: now,
                    build: None,
                    expired: false,
                    requeued: false,
                    lingering: None,
                },
            };
            let only_source = policy.settings["queueOnSourceUpdateOnly"].as_bool() != Some(false);
            let renew = source_changed || fresh.build.is_none() || !only_source;
            let mut next = Evaluation { lingering: lingering.or(fresh.lingering.clone()), ..fresh };
            if renew {
                next.started = now;
                next.requeued = false;
                if policy.kind == BUILD {
                    self.cancel_builds(id, Some(&policy));
                    next.build = None;
                    next.expired = false;
                }
            }
            if let Some(pull) = self.pull_mut(id) {
                pull.evaluations.insert(policy.id, next);
                if policy.kind == REQUIRED_REVIEWERS && !pull.draft {
                    for wanted in policy.settings["requiredReviewerIds"].as_array().into_iter().flatten() {
                        let wanted = wanted.as_str().unwrap_or_default();
                        match pull.reviewers.iter_mut().find(|reviewer| same_guid(&reviewer.id, wanted)) {
                            Some(reviewer) => reviewer.required = true,
                            None => pull.reviewers.push(super::pull_requests::Reviewer {
                                id: wanted.to_owned(),
                                vote: 0,
                                required: true,
                                declined: false,
                            }),
                        }
                    }
                }
            }
            let manual = policy.settings["manualQueueOnly"].as_bool() == Some(true);
            if renew && policy.kind == BUILD && !manual && !pull.draft && !policy.broken {
                self.validate(id, policy.id);
            }
        }
        self.consider_completion(id);
    }

    /// Queues the build of a build-validation policy on the merge commit. Conflicts leave nothing to build.
    pub(crate) fn validate(&mut self, id: i64, policy: i64) {
        let (Some(pull), Some(policy)) = (self.pulls.get(&id).cloned(), self.policies.get(&policy).cloned())
        else {
            return;
        };
        let Some(commit) = pull.merge.commit.clone() else { return };
        let pipeline = policy.settings["buildDefinitionId"].as_i64().unwrap_or_default();
        let branch = format!("refs/pull/{id}/merge");
        let build = self.queue_build(pipeline, "pullRequest", &branch, &commit, Some(id), &pull.created_by);
        if let Some(evaluation) = self.pull_mut(id).and_then(|pull| pull.evaluations.get_mut(&policy.id)) {
            evaluation.build = build;
            evaluation.expired = false;
        }
    }

    pub(crate) fn requeue(&mut self, evaluation: &str) -> Result<Value, Problem> {
        let (pull, policy) = self.find_evaluation(evaluation)?;
        if policy.kind != BUILD || policy.broken {
            return Err(Problem::argument(format!(
                "TF402462: The policy '{}' cannot be queued by hand.",
                policy.name()
            )));
        }
        self.cancel_builds(pull.id, Some(&policy));
        let now = self.now();
        if let Some(known) = self.pull_mut(pull.id).and_then(|pull| pull.evaluations.get_mut(&policy.id)) {
            known.requeued = true;
            known.build = None;
            known.started = now;
            known.lingering = None;
        }
        self.validate(pull.id, policy.id);
        let (pull, policy) = self.find_evaluation(evaluation)?;
        Ok(pull
            .evaluations
            .get(&policy.id)
            .map_or(Value::Null, |known| self.evaluation_json(&pull, &policy, known)))
    }

    pub(crate) fn find_evaluation(&self, id: &str) -> Result<(Arc<PullRequest>, Arc<Policy>), Problem> {
        for pull in self.pulls.values() {
            for (policy, evaluation) in &pull.evaluations {
                if same_guid(&evaluation.id, id)
                    && let Some(policy) = self.policies.get(policy)
                {
                    return Ok((Arc::clone(pull), Arc::clone(policy)));
                }
            }
        }
        Err(Problem::new(
            404,
            "PolicyEvaluationNotFoundException",
            format!("TF402460: No policy evaluation with id {id} exists."),
        ))
    }

    /// The policies that still stand in the way of completing.
    pub(crate) fn unmet(&self, id: i64, by_hand: bool) -> Vec<String> {
        let Some(pull) = self.pulls.get(&id) else { return Vec::new() };
        let ignored =
            pull.completion_options.as_ref().map(|options| options["autoCompleteIgnoreConfigIds"].clone());
        self.policies_of(pull)
            .iter()
            .filter(|policy| {
                let ignored = ignored.as_ref().and_then(Value::as_array);
                let waived = ignored.is_some_and(|ids| ids.iter().any(|id| id.as_i64() == Some(policy.id)));
                policy.blocking || (!by_hand && !waived)
            })
            .filter(|policy| self.opinion(pull, policy, pull.evaluations.get(&policy.id)) != "approved")
            .map(|policy| policy.name().to_owned())
            .collect()
    }

    pub(crate) fn opinion(
        &self,
        pull: &PullRequest,
        policy: &Policy,
        known: Option<&Evaluation>,
    ) -> &'static str {
        let Some(known) = known else { return "queued" };
        if policy.broken {
            return "broken";
        }
        let setting = |name: &str| policy.settings[name].as_i64().unwrap_or_default();
        match policy.kind {
            BUILD => match known.build.and_then(|id| self.builds.get(&id)) {
                None => "queued",
                Some(_) if known.expired => "queued",
                Some(build) => match (build.status, build.result) {
                    ("notStarted", _) => "queued",
                    ("completed", Some("succeeded" | "partiallySucceeded")) => "approved",
                    ("completed", _) => "rejected",
                    _ => "running",
                },
            },
            MINIMUM_REVIEWERS => {
                let own = policy.settings["creatorVoteCounts"].as_bool() == Some(true);
                let votes = pull.reviewers.iter().filter(|reviewer| own || reviewer.id != pull.created_by);
                if pull.reviewers.iter().any(|reviewer| reviewer.vote == -10) {
                    "rejected"
                } else if i64::try_from(votes.filter(|r| r.vote >= 5).count())
                    .is_ok_and(|n| n >= setting("minimumApproverCount"))
                {
                    "approved"
                } else {
                    "queued"
                }
            }
            REQUIRED_REVIEWERS => {
                let required = pull.reviewers.iter().filter(|reviewer| reviewer.required);
                if required.clone().any(|reviewer| reviewer.vote == -10) {
                    "rejected"
                } else if required.clone().count() > 0 && required.clone().all(|reviewer| reviewer.vote >= 5)
                {
                    "approved"
                } else {
                    "queued"
                }
            }
            COMMENTS if pull.threads.iter().any(|thread| thread.open()) => "rejected",
            WORK_ITEM if self.linked_items(pull).is_empty() => "rejected",
            MERGE_STRATEGY => {
                let chosen =
                    pull.completion_options.as_ref().and_then(|options| options["mergeStrategy"].as_str());
                let allowed = match chosen.map(str::to_ascii_lowercase).as_deref() {
                    Some("nofastforward") => "allowNoFastForward",
                    Some("squash") => "allowSquash",
                    Some("rebase") => "allowRebase",
                    Some("rebasemerge") => "allowRebaseMerge",
                    _ => return "rejected",
                };
                if policy.settings[allowed].as_bool() == Some(true) { "approved" } else { "rejected" }
            }
            STATUS => {
                let genre = policy.settings["statusGenre"].as_str().unwrap_or_default();
                let name = policy.settings["statusName"].as_str().unwrap_or_default();
                let newest = pull.iterations.len();
                let last = pull.statuses.iter().rev().find(|status| {
                    status.genre == genre
                        && status.name == name
                        && status.iteration.is_none_or(|i| i == newest)
                });
                match last.map(|status| status.state.as_str()) {
                    Some("succeeded") => "approved",
                    Some("failed" | "error") => "rejected",
                    Some("notApplicable") => "notApplicable",
                    Some(_) => "running",
                    None => "queued",
                }
            }
            _ => "approved",
        }
    }

    /// Reads count lingering answers down.
    pub(crate) fn evaluations(&mut self, id: i64) -> Vec<Value> {
        self.refresh(id);
        let Some(pull) = self.pulls.get(&id).cloned() else { return Vec::new() };
        let mut answers = Vec::new();
        for policy in self.policies_of(&pull) {
            let Some(known) = self.pull_mut(id).and_then(|pull| pull.evaluations.get_mut(&policy.id)) else {
                continue;
            };
            if let Some((old, left)) = known.lingering.take() {
                if left > 1 {
                    known.lingering = Some((old.clone(), left - 1));
                }
                answers.push(old);
                continue;
            }
            let known = known.clone();
            answers.push(self.evaluation_json(&pull, &policy, &known));
        }
        answers
    }

    pub(crate) fn evaluation_json(&self, pull: &PullRequest, policy: &Policy, known: &Evaluation) -> Value {
        let status = self.opinion(pull, policy, Some(known));
        let build = known.build.and_then(|id| self.builds.get(&id));
        let completed = match (policy.kind, status) {
            (_, "queued" | "running") => None,
            (BUILD, _) => build.and_then(|build| build.finished),
            _ => Some(known.started),
        };
        let mut answer = json!({
            "configuration": self.policy_json(policy), "evaluationId": known.id, "status": status,
            // Upper case here, lower case elsewhere: identifiers must be compared without regard to it.
            "artifactId": format!("vstfs:///CodeReview/CodeReviewId/{}%2f{}", pull.project.to_uppercase(), pull.id),
            "startedDate": stamp7(known.started), "completedDate": completed.map(stamp7),
        });
        if policy.kind == BUILD {
            let pipeline = policy.settings["buildDefinitionId"].as_i64().unwrap_or_default();
            let stale = build.is_some_and(|build| Some(&build.version) != pull.merge.commit.as_ref());
            answer["context"] = json!({
                "buildDefinitionId": pipeline,
                "buildDefinitionName": self.pipelines.get(&pipeline).map(|pipeline| pipeline.name.clone()),
                "buildId": build.map(|build| build.id), "buildIsNotCurrent": stale, "isExpired": known.expired,
                "lastMergeCommitId": build.map(|build| build.version.clone()),
                "lastMergeSourceCommitId": build.map(|build| build.pull_head.clone()),
                "lastMergeTargetCommitId": build.map(|build| build.pull_target.clone()),
                "buildStartedUtc": build.and_then(|build| build.started).map(stamp7), "buildAfterMerge": false,
                "wasAutoRequeued": false, "wasManuallyRequeued": known.requeued,
            });
        }
        answer
    }

    pub(crate) fn policy_json(&self, policy: &Policy) -> Value {
        let url = self.project_url(&policy.project);
        let mut settings = policy.settings.clone();
        if policy.kind == BUILD {
            let name = settings["buildDefinitionId"].as_i64().and_then(|id| self.pipelines.get(&id));
            settings["displayName"] = json!(name.map(|pipeline| pipeline.name.clone()));
        }
        json!({
            "createdBy": self.identity(&policy.created_by), "createdDate": stamp7(policy.created),
            "isEnabled": policy.enabled, "isBlocking": policy.blocking, "isDeleted": policy.deleted,
            "isEnterpriseManaged": false, "settings": settings, "revision": 1, "id": policy.id,
            "url": format!("{url}/_apis/policy/configurations/{}", policy.id),
            "type": {"id": policy.kind, "displayName": policy.name(), "url": format!("{url}/_apis/policy/types/{}", policy.kind)},
        })
    }

    /// The configurations that bear on a ref.
    pub(crate) fn policies_for(
        &self,
        project: &str,
        repository: Option<&str>,
        name: Option<&str>,
    ) -> Vec<Value> {
        self.policies
            .values()
            .filter(|policy| policy.project == project && !policy.deleted)
            .filter(|policy| {
                repository.is_none_or(|r| policy.repository.as_deref().is_none_or(|mine| same_guid(mine, r)))
            })
            // With a ref the live call was seen to answer Exact scopes only.
            .filter(|policy| name.is_none_or(|name| !policy.prefix && policy.ref_name == name))
            .map(|policy| self.policy_json(policy))
            .collect()
    }
}
