//! What the checks of one pull request say, and where they are red, why.

use super::App;
use crate::{
    ado,
    decide::{Checks, Verdict, verdict},
    domain::{Build, BuildId, BuildState, FailedTask, PullRequest, Run},
};

pub(super) async fn checks(app: &App, run: &Run, open: &PullRequest) -> Result<Checks, ado::Error> {
    let repository = &run.repository;
    let evaluations =
        app.ado.policy_evaluations(&repository.project, &repository.project_id, open.id).await?;
    let speaks = evaluations.iter().any(|e| e.gates && !e.kind.is_for_people());
    let is_validated = speaks || app.is_validated(run).await?;
    // Where a policy validates, it names its builds; elsewhere a build of the branch itself may speak.
    let builds = if speaks { Vec::new() } else { branch_builds(app, run).await? };
    let mut checks = Checks { evaluations, builds, is_validated, failed_tasks: Vec::new() };
    if let Some(pushed) = &run.pushed
        && let Verdict::Failing(failing) = verdict(&checks, &pushed.head)
    {
        for build in failing.builds.iter().take(MAX_FAILING_BUILDS) {
            checks.failed_tasks.extend(app.ado.failed_tasks(&repository.project, *build).await?);
        }
        if checks.failed_tasks.is_empty() {
            checks.failed_tasks.extend(validation_errors(app, run, &failing.builds).await?);
        }
    }
    Ok(checks)
}

/// More failing pipelines than this say nothing new about one change.
const MAX_FAILING_BUILDS: usize = 3;

/// A run that never started has no timeline; its validation errors say why.
async fn validation_errors(app: &App, run: &Run, builds: &[BuildId]) -> Result<Vec<FailedTask>, ado::Error> {
    let mut tasks = Vec::new();
    for id in builds.iter().take(MAX_FAILING_BUILDS) {
        let Some(build) = app.ado.build(&run.repository.project, *id).await? else { continue };
        if build.state == BuildState::Failed && !build.validation_errors.is_empty() {
            tasks.push(FailedTask { name: build.pipeline, messages: build.validation_errors, log: None });
        }
    }
    Ok(tasks)
}

/// Builds of one branch that can matter: a few pipelines, a few reruns each.
const NEWEST_BUILDS: u32 = 20;

async fn branch_builds(app: &App, run: &Run) -> Result<Vec<Build>, ado::Error> {
    let filter =
        ado::BuildFilter { source_ref: Some(run.branch().full()), queued_since: None, top: NEWEST_BUILDS };
    app.ado.builds(&run.repository, &filter).await
}
