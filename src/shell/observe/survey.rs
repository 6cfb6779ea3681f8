//! What all runs need, read in batches: the number of calls grows with projects and repositories, hardly with runs.

use super::App;
use crate::{
    ado,
    domain::{
        BranchName, IdentityId, OWN_BRANCH_PREFIX, PullRequest, Repository, Run, RunId, Stage, WorkItem,
        WorkItemId, Worker,
    },
    runtime,
};
use std::collections::{BTreeMap, BTreeSet};

/// What one invocation read for all runs together.
pub(in crate::shell) struct Fleet {
    pub(super) items: Result<BTreeMap<WorkItemId, WorkItem>, String>,
    /// None of it is known while the executor is away; the operator hears of that as well.
    pub(in crate::shell) workers: Result<BTreeMap<RunId, Vec<Worker>>, runtime::Error>,
    pub(super) branches: BTreeMap<String, Result<BTreeMap<BranchName, ado::Branch>, String>>,
    pub(super) active: BTreeMap<String, Result<Vec<PullRequest>, String>>,
}

/// Reads what the whole fleet needs: items by 200, workers once, our branches once per repository, our open pull
/// requests once per project.
pub(in crate::shell) async fn survey(app: &App, runs: &[Run], me: &IdentityId) -> Fleet {
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
    Fleet { items, workers, branches: branches.into_iter().collect(), active: active.into_iter().collect() }
}

/// Whether where our branch is can matter.
pub(super) fn needs_branch(run: &Run) -> bool {
    match &run.stage {
        Stage::Claimed | Stage::Working { .. } | Stage::Pushed { .. } | Stage::InReview { .. } => true,
        Stage::Escalated { .. } | Stage::Closed { .. } => run.pushed.is_some(),
    }
}
