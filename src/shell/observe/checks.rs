//! What the checks of one pull request say: policies first, builds that no policy names second, statuses of other
//! services third; and where they are red, what failed.

use super::App;
use crate::{
    ado,
    decide::{Checks, Verdict, verdict},
    domain::{
        Build, BuildId, BuildState, CommitId, FailedTask, FailedTest, Identity, IdentityId, PolicyEvaluation,
        PolicyStatus, PostedStatus, PullRequest, Run, StatusState,
    },
};
use std::collections::BTreeSet;

pub(super) async fn checks(app: &App, run: &Run, open: &PullRequest) -> Result<Checks, ado::Error> {
    let repository = &run.repository;
    let evaluations =
        app.ado.policy_evaluations(&repository.project, &repository.project_id, open.id).await?;
    let speaks = evaluations.iter().any(|e| e.gates && !e.kind.is_for_people());
    let is_validated = speaks || app.is_validated(run).await?;
    let mut checks = Checks { evaluations, is_validated, ..Checks::default() };
    let head = run.pushed.as_ref().map(|pushed| &pushed.head);
    checks.builds = app.ado.builds_by_id(&repository.project, &worth_reading(run, &checks, head)).await?;
    if !speaks {
        // Where a policy validates, it names its builds; elsewhere what runs on the branch or on the merge may speak.
        checks.builds.extend(own_builds(app, run, open, head).await?);
        checks.statuses = app.ado.posted_statuses(repository, open.id).await?;
    }
    for build in checks.builds.iter_mut().filter(|b| b.state == BuildState::Running).take(MAX_BUILDS) {
        if app.ado.is_held(&repository.project, build.id).await? {
            build.state = BuildState::AwaitingApproval;
        }
    }
    match head.map(|head| (head, verdict(&checks, head))) {
        Some((head, Verdict::Failing(failing))) => {
            let failed = why(app, &repository.project, &failing.builds).await?;
            (checks.failed_tasks, checks.failed_tests) = failed;
            checks.failed_tasks.extend(posted_red(&checks.statuses, head));
        }
        Some((_, Verdict::Canceled { build, evaluation: _, by: _ })) => {
            if let Some(build) = checks.builds.iter_mut().find(|known| known.id == build) {
                build.canceled_by = stopped_by(app, &repository.project, build).await?;
            }
        }
        Some((
            _,
            Verdict::Broken { .. }
            | Verdict::Partial
            | Verdict::Pending
            | Verdict::Passing { .. }
            | Verdict::NoChecks,
        ))
        | None => {}
    }
    Ok(checks)
}

/// The person who stopped a build. Who changed it last is told with it, and may be the service that ended it after the
/// person; then its timeline still names them. We ourselves stop builds by queueing them again.
async fn stopped_by(app: &App, project: &str, build: &Build) -> Result<Option<Identity>, ado::Error> {
    let me = app.me().await?;
    if let Some(who) = &build.canceled_by {
        return Ok((who.id != me.id).then(|| who.clone()));
    }
    let name = app.ado.canceled_by(project, build.id).await?.filter(|name| *name != me.name);
    Ok(name.map(|name| Identity { id: IdentityId::new("unknown"), name }))
}

/// What other services say is wrong with `head`, in the form of what builds say.
pub(in crate::shell) fn posted_red(statuses: &[PostedStatus], head: &CommitId) -> Vec<FailedTask> {
    let red = |one: &&PostedStatus| one.state == StatusState::Failed && one.head.as_ref() == Some(head);
    let task = |one: &PostedStatus| {
        let messages = Some(one.description.clone()).filter(|text| !text.is_empty());
        FailedTask { name: one.context.clone(), messages: messages.into_iter().collect(), log: None }
    };
    statuses.iter().filter(red).map(task).collect()
}

/// More pipelines than this say nothing new about one change.
const MAX_BUILDS: usize = 3;

/// Builds that evaluations name and that tell more than these: whether one was cancelled, waits for a machine, runs again,
/// or was only partly green.
fn worth_reading(run: &Run, checks: &Checks, head: Option<&CommitId>) -> Vec<BuildId> {
    let is_judged = run.judged.as_ref().is_some_and(|judged| Some(&judged.head) == head);
    let tells_more = |e: &&PolicyEvaluation| match e.status {
        PolicyStatus::Queued | PolicyStatus::Running | PolicyStatus::Rejected | PolicyStatus::Other => true,
        PolicyStatus::Approved => !is_judged || e.is_expired,
        PolicyStatus::NotApplicable | PolicyStatus::Broken => false,
    };
    let named = checks.evaluations.iter().filter(|e| e.gates && !e.kind.is_for_people()).filter(tells_more);
    let ids: BTreeSet<BuildId> = named.filter_map(|e| e.build).collect();
    ids.into_iter().collect()
}

/// Builds of one ref that can matter: a few pipelines, a few reruns each.
const NEWEST_BUILDS: u32 = 20;

/// Builds of our branch, and of the trial merge of our head: these run on the merge commit, and stand for the head.
async fn own_builds(
    app: &App,
    run: &Run,
    open: &PullRequest,
    head: Option<&CommitId>,
) -> Result<Vec<Build>, ado::Error> {
    let of = |source_ref: String| ado::BuildFilter::newest(source_ref, NEWEST_BUILDS);
    let mut builds = app.ado.builds(&run.repository, &of(run.branch().full())).await?;
    if open.head.as_ref() == head && open.merge_commit.is_some() {
        let merged = app.ado.builds(&run.repository, &of(open.merge_ref())).await?;
        let ours = merged.into_iter().filter(|build| build.source_commit == open.merge_commit);
        builds.extend(ours.map(|build| Build { source_commit: head.cloned(), ..build }));
    }
    Ok(builds)
}

/// Runs of tests whose failures are read; more are one cause.
const MAX_RED_RUNS: usize = 5;

/// What failed in builds: tasks, or else what kept them from beginning; and tests, where they published any.
pub(in crate::shell) async fn why(
    app: &App,
    project: &str,
    builds: &[BuildId],
) -> Result<(Vec<FailedTask>, Vec<FailedTest>), ado::Error> {
    let (mut tasks, mut tests) = (Vec::new(), Vec::new());
    for build in builds.iter().take(MAX_BUILDS) {
        let failed = app.ado.failed_tasks(project, *build).await?;
        if failed.is_empty() {
            tasks.extend(validation_errors(app, project, *build).await?);
        }
        tasks.extend(failed);
        let Some(published) = bearable(app.ado.published_tests(project, *build).await)? else { continue };
        for run in published.red_runs.into_iter().take(MAX_RED_RUNS) {
            tests.extend(bearable(app.ado.failed_tests(project, run).await)?.unwrap_or_default());
        }
    }
    tests.sort();
    tests.dedup();
    Ok((tasks, tests))
}

/// A token may lack the scope for test results; then there are none to speak of. An outage is another thing: without the
/// tests a failure would look like a different one.
pub(super) fn bearable<T>(read: Result<T, ado::Error>) -> Result<Option<T>, ado::Error> {
    match read {
        Ok(value) => Ok(Some(value)),
        Err(why) if why.fault() == ado::Fault::Transient => Err(why),
        Err(why) => {
            tracing::warn!("test results could not be read: {why}");
            Ok(None)
        }
    }
}

/// A run that never started has no timeline; its validation errors say why.
async fn validation_errors(app: &App, project: &str, id: BuildId) -> Result<Vec<FailedTask>, ado::Error> {
    let Some(build) = app.ado.build(project, id).await? else { return Ok(Vec::new()) };
    let is_invalid = build.state == BuildState::Failed && !build.validation_errors.is_empty();
    let task = || FailedTask { name: build.pipeline, messages: build.validation_errors, log: None };
    Ok(is_invalid.then(task).into_iter().collect())
}
