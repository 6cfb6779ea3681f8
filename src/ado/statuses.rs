//! What other services posted on a pull request, and which iteration of it they meant.

use super::{
    Client, Error, Operation,
    git::in_repository,
    request::{Call, STABLE},
    wire::{
        List,
        git::{Iteration, IterationChanges, WireStatus},
    },
};
use crate::domain::{CommitId, PostedStatus, PullRequestId, Repository};

/// Files of one iteration per page; the service gives 2,000 at most.
const CHANGES: u32 = 1_000;

/// A file that an iteration changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedFile {
    /// Path from the repository's root, without leading slash.
    pub path: String,
    /// Where it was before, if it moved.
    pub from: Option<String>,
    /// It is gone.
    pub is_deleted: bool,
}

impl Client {
    /// Statuses posted on a pull request, oldest first, with the heads of their iterations. One request if there are none,
    /// else two.
    ///
    /// REST: Git, Pull Request Statuses, *List*; Pull Request Iterations, *List*.
    pub async fn posted_statuses(
        &self,
        repository: &Repository,
        id: PullRequestId,
    ) -> Result<Vec<PostedStatus>, Error> {
        let number = id.to_string();
        let segments = in_repository(repository, &["pullRequests", &number, "statuses"]);
        let list: List<WireStatus> = self.json(&Call::get(Operation::Statuses, &segments, STABLE)).await?;
        let mut statuses: Vec<PostedStatus> = list.entries().map(WireStatus::status).collect();
        for status in &mut statuses {
            status.description = self.redactor().redact(&status.description);
        }
        statuses.sort_by_key(|status| status.id);
        if statuses.is_empty() {
            return Ok(statuses);
        }
        let iterations = self.iterations(repository, id).await?;
        for status in &mut statuses {
            let own = iterations.iter().find(|(number, _)| Some(*number) == status.iteration);
            status.head = own.and_then(|(_, head)| head.clone());
        }
        Ok(statuses)
    }

    /// The iterations of a pull request with their heads, oldest first.
    ///
    /// REST: Git, Pull Request Iterations, *List*.
    pub async fn iterations(
        &self,
        repository: &Repository,
        id: PullRequestId,
    ) -> Result<Vec<(u32, Option<CommitId>)>, Error> {
        let number = id.to_string();
        let segments = in_repository(repository, &["pullRequests", &number, "iterations"]);
        let list: List<Iteration> = self.json(&Call::get(Operation::Iterations, &segments, STABLE)).await?;
        let mut all: Vec<(u32, Option<CommitId>)> = list.entries().map(Iteration::head).collect();
        all.sort_by_key(|(number, _)| *number);
        Ok(all)
    }

    /// The files that changed between two iterations; a change of very many files is told by its first pages only.
    ///
    /// REST: Git, Pull Request Iteration Changes, *Get*.
    pub async fn iteration_changes(
        &self,
        repository: &Repository,
        id: PullRequestId,
        iteration: u32,
        since: u32,
    ) -> Result<Vec<ChangedFile>, Error> {
        let (number, iteration) = (id.to_string(), iteration.to_string());
        let segments =
            in_repository(repository, &["pullRequests", &number, "iterations", &iteration, "changes"]);
        let mut all = Vec::new();
        let mut skip = 0;
        for _ in 0..super::client::MAX_PAGES {
            let call = Call::get(Operation::IterationChanges, &segments, STABLE)
                .with("$top", CHANGES)
                .with("$skip", skip)
                .with("$compareTo", since);
            let page: IterationChanges = self.json(&call).await?;
            let next = page.next();
            all.extend(page.files());
            match next {
                Some(next) if next > skip => skip = next,
                Some(_) | None => return Ok(all),
            }
        }
        Ok(all)
    }
}
