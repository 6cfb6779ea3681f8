//! Reads the world: once for the whole fleet in batches, then for single runs what only they need. Cannot fail: what
//! could not be read is a gap.
//!
//! Hot runs get reads of their own (threads, policy evaluations); cold ones are looked at every few ticks, spread by
//! run id, so that a thousand runs in review cost a handful of calls.

use super::{App, poll::category};
use crate::{
    ado,
    decide::{Checks, Gap, ItemSeen, Observation, Seen, Source, Verdict, verdict},
    domain::{
        BranchName, Build, BuildState, CommitId, FailedTask, IdentityId, OWN_BRANCH_PREFIX, PullRequest,
        PullRequestStatus, Repository, Run, RunId, Stage, WorkItem, WorkItemId, Worker,
    },
};
use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// What one invocation read for all runs together.
pub(super) struct Fleet {
    items: Result<BTreeMap<WorkItemId, WorkItem>, String>,
    workers: Result<BTreeMap<RunId, Vec<Worker>>, String>,
    branches: BTreeMap<String, Result<BTreeMap<BranchName, CommitId>, String>>,
    active: BTreeMap<String, Result<Vec<PullRequest>, String>>,
}

/// Reads what the whole fleet needs: items by 200, workers once, our branches once per repository, our open pull
/// requests once per project.
pub(super) async fn survey(app: &App, runs: &[Run], me: &IdentityId) -> Fleet {
    let ids: Vec<WorkItemId> = runs.iter().map(|run| run.id.item).collect();
    let repositories: BTreeMap<&str, &Repository> = runs
        .iter()
        .filter(|run| needs_branch(run))
        .map(|run| (run.repository.id.as_str(), &run.repository))
        .collect();
    let projects: BTreeSet<&str> =
        runs.iter().filter(|run| run.pushed.is_some()).map(|run| run.repository.project.as_str()).collect();

    let items = async {
        match app.ado.work_items(&ids).await {
            Ok(items) => Ok(items.into_iter().map(|item| (item.id, item)).collect()),
            Err(why) => Err(why.to_string()),
        }
    };
    let branches =
        futures_util::future::join_all(repositories.into_iter().map(|(id, repository)| async move {
            let found = app.ado.branches(repository, OWN_BRANCH_PREFIX).await;
            (id.to_owned(), found.map_err(|why| why.to_string()))
        }));
    let active = futures_util::future::join_all(projects.into_iter().map(|project| async move {
        let found = app.ado.pull_requests_of(project, me, ado::PullRequestFilter::Active).await;
        (project.to_owned(), found.map_err(|why| why.to_string()))
    }));
    // Workers first: one that is seen to have ended has done to the branch whatever it could, so the branch is read
    // after it. The other way round, a push in between would look like a person's.
    let workers = app.runtime.workers().await;
    let (items, branches, active) = tokio::join!(items, branches, active);
    Fleet {
        items,
        workers: workers.map_err(|why| why.to_string()),
        branches: branches.into_iter().collect(),
        active: active.into_iter().collect(),
    }
}

/// Gathers everything about one run: from the survey where it is fresh, else by its own reads.
pub(super) async fn observe(app: &App, fleet: Option<&Fleet>, run: &Run, me: &IdentityId) -> Observation {
    let item = item(app, fleet, run).await;
    let workers = match fleet {
        Some(fleet) => known(
            fleet.workers.as_ref().map(|all| all.get(&run.id).cloned().unwrap_or_default()),
            Source::Workers,
        ),
        None => known(app.runtime.workers_of(run.id).await, Source::Workers),
    };
    let branch = branch(app, fleet, run).await;
    let pull_request = pull_request(app, fleet, run).await;
    let open = match pull_request.known() {
        Some(Some(found)) if found.status == PullRequestStatus::Active => Some(found),
        Some(_) | None => None,
    };
    let (checks, threads) = match open {
        Some(open) if is_hot(app, run, open) => {
            let checks = async { known(checks(app, run, open).await, Source::Checks) };
            let threads = async { known(app.ado.threads(&run.repository, open.id).await, Source::Threads) };
            tokio::join!(checks, threads)
        }
        Some(_) | None => (Seen::NotAsked, Seen::NotAsked),
    };
    Observation {
        me: me.clone(),
        item,
        workers,
        branch,
        pull_request,
        checks,
        threads,
        target_failures: Seen::NotAsked,
        known_flakes: Seen::NotAsked,
        tests_weakened: Seen::NotAsked,
    }
}

fn known<T, E: ToString>(read: Result<T, E>, source: Source) -> Seen<T> {
    match read {
        Ok(value) => Seen::Known(value),
        Err(why) => Seen::Unknown(Gap { source, why: why.to_string() }),
    }
}

async fn item(app: &App, fleet: Option<&Fleet>, run: &Run) -> Seen<ItemSeen> {
    let from_survey = match fleet.map(|fleet| &fleet.items) {
        Some(Err(why)) => return Seen::Unknown(Gap { source: Source::Item, why: why.clone() }),
        Some(Ok(items)) => items.get(&run.id.item).cloned(),
        None => None,
    };
    // A batch leaves out what it may not show; only the read by id tells whether it is gone.
    let found = match from_survey {
        Some(item) => Some(item),
        None => match app.ado.work_item(run.id.item).await {
            Ok(found) => found,
            Err(why) => return Seen::Unknown(Gap { source: Source::Item, why: why.to_string() }),
        },
    };
    let Some(item) = found else { return Seen::Known(ItemSeen::Gone) };
    match app.states(&item.project, &item.kind).await {
        Ok(states) => {
            let is_over = category(&states, &item.state).is_over();
            Seen::Known(ItemSeen::Here { item: Box::new(item), is_over, stop_asked: false })
        }
        Err(why) => Seen::Unknown(Gap { source: Source::Item, why: why.to_string() }),
    }
}

/// Whether where our branch is can matter.
fn needs_branch(run: &Run) -> bool {
    match &run.stage {
        Stage::Claimed | Stage::Working { .. } | Stage::Pushed { .. } | Stage::InReview { .. } => true,
        Stage::Escalated { .. } | Stage::Closed { .. } => run.pushed.is_some(),
    }
}

async fn branch(app: &App, fleet: Option<&Fleet>, run: &Run) -> Seen<Option<CommitId>> {
    if !needs_branch(run) {
        return Seen::NotAsked;
    }
    match fleet.and_then(|fleet| fleet.branches.get(&run.repository.id)) {
        Some(Ok(branches)) => Seen::Known(branches.get(&run.branch()).cloned()),
        Some(Err(why)) => Seen::Unknown(Gap { source: Source::Branch, why: why.clone() }),
        None => known(app.ado.branch_head(&run.repository, &run.branch()).await, Source::Branch),
    }
}

async fn pull_request(app: &App, fleet: Option<&Fleet>, run: &Run) -> Seen<Option<PullRequest>> {
    if run.pushed.is_none() && run.pull_request.is_none() && !matches!(run.stage, Stage::Claimed) {
        return Seen::Known(None);
    }
    match fleet.and_then(|fleet| fleet.active.get(&run.repository.project)) {
        Some(Ok(active)) => {
            let own = |pr: &&PullRequest| pr.source == run.branch() && pr.repository_id == run.repository.id;
            if let Some(found) = active.iter().find(own) {
                return Seen::Known(Some(found.clone()));
            }
        }
        Some(Err(why)) => return Seen::Unknown(Gap { source: Source::PullRequest, why: why.clone() }),
        None => {}
    }
    // Not among the open ones: merged, given up, or not shown yet.
    let found = match run.pull_request {
        Some(id) => app.ado.pull_request(&run.repository, id).await,
        None => app.ado.find_pull_requests(&run.repository, &run.branch()).await.map(newest),
    };
    known(found, Source::PullRequest)
}

/// Of several with our source, the open one, else the newest.
fn newest(mut found: Vec<PullRequest>) -> Option<PullRequest> {
    found.sort_by_key(|pr| (pr.status == PullRequestStatus::Active, pr.id));
    found.pop()
}

/// How long after a push or a change of stage a run is looked at in every tick: builds and first reviews come now.
const HOT_FOR: Duration = Duration::from_mins(30);
/// A cold run is looked at closely once in this many minutes.
const COLD_MINUTES: i64 = 10;

fn is_hot(app: &App, run: &Run, open: &PullRequest) -> bool {
    let since = match &run.stage {
        Stage::InReview { since } | Stage::Pushed { since } => *since,
        // A step decides; its own reads are not needed.
        Stage::Claimed | Stage::Working { .. } | Stage::Escalated { .. } | Stage::Closed { .. } => {
            return false;
        }
    };
    let moved = run.pushed.as_ref().is_none_or(|pushed| open.head.as_ref() != Some(&pushed.head));
    let is_recent = crate::decide::deadline::later(since, HOT_FOR) > app.now;
    let minute = app.now.as_second() / 60;
    let turn = (minute + i64::from(run.id.item.0)).rem_euclid(COLD_MINUTES) == 0;
    moved || is_recent || turn
}

async fn checks(app: &App, run: &Run, open: &PullRequest) -> Result<Checks, ado::Error> {
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
async fn validation_errors(
    app: &App,
    run: &Run,
    builds: &[crate::domain::BuildId],
) -> Result<Vec<FailedTask>, ado::Error> {
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
