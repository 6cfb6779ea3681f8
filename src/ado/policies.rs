//! What branch policies say about a pull request, and which ones a branch has.

use super::{
    Client, Error, Operation, Written,
    request::{Call, PREVIEW, STABLE},
    wire::ci::{Configuration, Evaluation},
};
use crate::domain::{BranchName, PolicyEvaluation, PolicyKind, PullRequestId, Repository};
use serde_json::json;
use std::collections::BTreeMap;

/// Evaluations per page; a branch has a handful of policies.
const PAGE: u32 = 100;

/// A branch policy as configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyConfiguration {
    /// What it is about.
    pub kind: PolicyKind,
    /// Blocking, enabled and not deleted.
    pub gates: bool,
    /// As people see it.
    pub name: String,
}

impl Client {
    /// What the policies say about a pull request, ordered by evaluation id. An empty list means "no policies" or "not
    /// evaluated yet"; [`policy_configurations`](Self::policy_configurations) tells which.
    ///
    /// REST: Policy, Evaluations, *List*, 7.1-preview.1.
    pub async fn policy_evaluations(
        &self,
        project: &str,
        project_id: &str,
        id: PullRequestId,
    ) -> Result<Vec<PolicyEvaluation>, Error> {
        // Not the pull request's own artifact id, and by the project's GUID.
        let artifact = format!("vstfs:///CodeReview/CodeReviewId/{project_id}/{id}");
        let call =
            Call::get(Operation::PolicyEvaluations, &[project, "_apis", "policy", "evaluations"], PREVIEW)
                .with("artifactId", artifact);
        let all: Vec<Evaluation> = self.skipped(&call, PAGE).await?;
        let by_id: BTreeMap<String, PolicyEvaluation> =
            all.into_iter().map(Evaluation::evaluation).map(|one| (one.id.clone(), one)).collect();
        Ok(by_id.into_values().collect())
    }

    /// Evaluates a policy again; for build validation that queues a build and cancels a running one.
    ///
    /// REST: Policy, Evaluations, *Requeue Policy Evaluation*, 7.1-preview.1.
    pub async fn requeue_evaluation(&self, project: &str, evaluation: &str) -> Written<()> {
        let segments = [project, "_apis", "policy", "evaluations", evaluation];
        let call = Call::patch(Operation::RequeueEvaluation, &segments, PREVIEW, &json!({}));
        self.write(&call, |_| Ok(())).await
    }

    /// Policies of a branch. Policies that match by prefix were seen to be missing here, so an empty list is a strong hint
    /// and no proof.
    ///
    /// REST: Git, Policy Configurations, *Get*.
    pub async fn policy_configurations(
        &self,
        repository: &Repository,
        branch: &BranchName,
    ) -> Result<Vec<PolicyConfiguration>, Error> {
        let segments = [repository.project_id.as_str(), "_apis", "git", "policy", "configurations"];
        let call = Call::get(Operation::PolicyConfigurations, &segments, STABLE)
            .with("repositoryId", &repository.id)
            .with("refName", branch.full());
        let all: Vec<Configuration> = self.continued(&call).await?;
        let configured = |one: Configuration| PolicyConfiguration {
            kind: one.kind(),
            gates: one.gates(),
            name: one.name(None),
        };
        Ok(all.into_iter().map(configured).collect())
    }
}
