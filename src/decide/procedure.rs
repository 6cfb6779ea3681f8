//! Procedure: what brings the checks forward without an agent, and so without tokens. Each is due by what is seen, and
//! tried once for each head.

use super::{Failing, observation::Checks};
use crate::domain::{BuildId, CommitId, PolicyEvaluation, PolicyKind, PolicyStatus, PullRequest, Run};

/// Procedure that brings the checks forward without an agent (no tokens).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Procedure {
    /// A build validation has expired or never started: queue it.
    Requeue {
        /// The evaluation.
        evaluation: String,
    },
    /// A policy wants the work item linked.
    LinkWorkItem,
    /// The pull request leaves draft by rule.
    Publish,
    /// Auto-complete is to be armed.
    ArmAutoComplete,
    /// Failed jobs of a build are run once more: an infrastructure failure or a known flake.
    RetryBuild {
        /// The build.
        build: BuildId,
    },
}

/// Of the keys of [`Procedure::Requeue`].
pub(super) const REQUEUE_PREFIX: &str = "requeue:";
/// Of the keys of [`Procedure::RetryBuild`].
pub(super) const RETRY_PREFIX: &str = "retry:";
/// Of the keys of [`Procedure::Publish`].
pub(crate) const PUBLISH_PREFIX: &str = "publish@";

impl Procedure {
    /// Equal for the same procedure on the same head; each is carried out once.
    pub fn key(&self, head: &CommitId) -> String {
        let head = head.short();
        match self {
            Self::Requeue { evaluation } => format!("{REQUEUE_PREFIX}{evaluation}@{head}"),
            Self::LinkWorkItem => format!("link@{head}"),
            Self::Publish => format!("{PUBLISH_PREFIX}{head}"),
            Self::ArmAutoComplete => format!("auto-complete@{head}"),
            Self::RetryBuild { build } => format!("{RETRY_PREFIX}{build}@{head}"),
        }
    }
}

/// What a run that waited for its target branch does once that is mended: its red builds are made anew, against the
/// target as it is now. The first that was not done yet.
pub(super) fn rebuild(run: &Run, failing: &Failing, head: &CommitId) -> Option<Procedure> {
    let again = failing.evaluations.iter().map(|id| Procedure::Requeue { evaluation: id.clone() });
    let retries = failing.unnamed.iter().map(|build| Procedure::RetryBuild { build: *build });
    again.chain(retries).find(|procedure| !run.procedures.contains(&procedure.key(head)))
}

/// Whether we published its draft: once in the life of a run. Whoever makes a draft of it again means it.
pub(super) fn was_published(run: &Run) -> bool {
    run.procedures.iter().any(|key| key.starts_with(PUBLISH_PREFIX))
}

/// The first procedure that is due and was not tried on this head yet.
pub fn procedure(
    run: &Run,
    checks: &Checks,
    pull_request: &PullRequest,
    head: &CommitId,
    rule: Rule,
) -> Option<Procedure> {
    let mut due = Vec::new();
    if pull_request.is_draft && rule.publish_drafts && !was_published(run) {
        due.push(Procedure::Publish);
    }
    // Requeueing cancels a build that runs: never while one does, whatever the evaluation says of it.
    let runs = |evaluation: &PolicyEvaluation| {
        let own = checks.builds.iter().find(|build| Some(build.id) == evaluation.build);
        own.is_some_and(|build| build.state.is_pending())
    };
    for evaluation in checks.evaluations.iter().filter(|e| e.gates) {
        match (evaluation.kind, evaluation.status) {
            (PolicyKind::WorkItemLink, PolicyStatus::Rejected | PolicyStatus::Queued) => {
                due.push(Procedure::LinkWorkItem);
            }
            (PolicyKind::Build, PolicyStatus::Queued)
                if evaluation.build.is_none() || evaluation.is_expired =>
            {
                // A fresh push gets time to start by itself; nothing starts by itself on a draft.
                let is_due = evaluation.is_expired || rule.checks_are_late || pull_request.is_draft;
                if is_due && !runs(evaluation) {
                    due.push(Procedure::Requeue { evaluation: evaluation.id.clone() });
                }
            }
            // Too old to count either way.
            (PolicyKind::Build, PolicyStatus::Approved | PolicyStatus::Rejected)
                if evaluation.is_expired && !runs(evaluation) =>
            {
                due.push(Procedure::Requeue { evaluation: evaluation.id.clone() });
            }
            // It could not be evaluated; a pipeline that was only being moved can be by now.
            (PolicyKind::Build, PolicyStatus::Broken) => {
                due.push(Procedure::Requeue { evaluation: evaluation.id.clone() });
            }
            (
                PolicyKind::Build
                | PolicyKind::Status
                | PolicyKind::MinimumReviewers
                | PolicyKind::RequiredReviewers
                | PolicyKind::CommentResolution
                | PolicyKind::WorkItemLink
                | PolicyKind::MergeStrategy
                | PolicyKind::Other,
                PolicyStatus::Queued
                | PolicyStatus::Running
                | PolicyStatus::Approved
                | PolicyStatus::Rejected
                | PolicyStatus::NotApplicable
                | PolicyStatus::Broken
                | PolicyStatus::Other,
            ) => {}
        }
    }
    due.into_iter().find(|p| !run.procedures.contains(&p.key(head)))
}

/// What procedures may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// A draft of ours is published: the rule says so, and nothing is red or open.
    pub publish_drafts: bool,
    /// The time in which checks start by themselves is over.
    pub checks_are_late: bool,
}
