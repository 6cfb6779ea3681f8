//! Pull requests: finding, creating, changing.

use super::{
    Client, Error, Operation, Written,
    git::{in_repository, is_missing},
    request::{Call, STABLE},
    wire::{
        List,
        git::{ItemReference, NOBODY, WirePullRequest, WireReviewer},
    },
};
use crate::domain::{BranchName, IdentityId, PullRequest, PullRequestId, Repository, Reviewer, WorkItemId};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Pull requests per page: far below the most allowed (1000), above what a project has open.
const PAGE: u32 = 200;
/// Longest title sent, in UTF-16 units. The limit is undocumented and was measured at about 400.
pub const MAX_TITLE: usize = 250;
/// Longest description sent, in UTF-16 units. The limit is 4000 of a unit that nobody documents.
pub const MAX_DESCRIPTION: usize = 3900;

/// Which pull requests a list shall have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullRequestFilter {
    /// Open ones.
    Active,
    /// Open, merged and abandoned ones.
    All,
}

/// What a new pull request consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewPullRequest {
    /// Where the change is.
    pub source: BranchName,
    /// Where it shall go.
    pub target: BranchName,
    /// One line, cut at [`MAX_TITLE`].
    pub title: String,
    /// Markdown, cut at [`MAX_DESCRIPTION`]: what must survive comes first.
    pub description: String,
    /// Drafts get no build validation until published.
    pub is_draft: bool,
    /// Linked at creation; the service can lose the link, so look at it afterwards.
    pub work_item: Option<WorkItemId>,
    /// Labels of the pull request.
    pub labels: Vec<String>,
    /// Optional reviewers by id; one that the service does not know refuses the whole.
    pub reviewers: Vec<IdentityId>,
}

/// What to change; what is absent stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PullRequestChange {
    /// One line, cut at [`MAX_TITLE`].
    pub title: Option<String>,
    /// Markdown, cut at [`MAX_DESCRIPTION`].
    pub description: Option<String>,
    /// Publish or take back.
    pub is_draft: Option<bool>,
    /// Arms auto-complete; only our own identity is accepted.
    pub auto_complete_by: Option<IdentityId>,
    /// How it shall be merged, for auto-complete.
    pub merge_strategy: Option<MergeStrategy>,
    /// Disarms auto-complete; wins over arming it.
    pub cancel_auto_complete: bool,
    /// Gives it up.
    pub abandon: bool,
}

/// How a pull request is merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MergeStrategy {
    /// A merge commit.
    NoFastForward,
    /// One commit.
    Squash,
    /// Rebase, then fast-forward.
    Rebase,
    /// Rebase, then a merge commit.
    RebaseMerge,
}

impl MergeStrategy {
    fn word(self) -> &'static str {
        match self {
            Self::NoFastForward => "noFastForward",
            Self::Squash => "squash",
            Self::Rebase => "rebase",
            Self::RebaseMerge => "rebaseMerge",
        }
    }
}

impl NewPullRequest {
    fn body(&self) -> Value {
        let mut body = json!({
            "sourceRefName": self.source.full(),
            "targetRefName": self.target.full(),
            "title": cut(&self.title, MAX_TITLE),
            "description": cut(&self.description, MAX_DESCRIPTION),
            "isDraft": self.is_draft,
        });
        if let Some(item) = self.work_item {
            body["workItemRefs"] = json!([{ "id": item.to_string() }]);
        }
        if !self.labels.is_empty() {
            body["labels"] = self.labels.iter().map(|name| json!({ "name": name })).collect();
        }
        if !self.reviewers.is_empty() {
            body["reviewers"] = self.reviewers.iter().map(|id| json!({ "id": id })).collect();
        }
        body
    }
}

impl PullRequestChange {
    fn body(&self) -> Value {
        let mut body = Map::new();
        let mut set = |key: &str, value: Value| body.insert(key.to_owned(), value);
        if let Some(title) = &self.title {
            set("title", json!(cut(title, MAX_TITLE)));
        }
        if let Some(description) = &self.description {
            set("description", json!(cut(description, MAX_DESCRIPTION)));
        }
        if let Some(is_draft) = self.is_draft {
            set("isDraft", json!(is_draft));
        }
        if self.cancel_auto_complete {
            set("autoCompleteSetBy", json!({ "id": NOBODY }));
        } else if let Some(by) = &self.auto_complete_by {
            set("autoCompleteSetBy", json!({ "id": by }));
            // The state of the item is ours to change, with a guard; the service would pick "the next" one.
            let mut options = json!({ "deleteSourceBranch": true, "transitionWorkItems": false });
            if let Some(strategy) = self.merge_strategy {
                options["mergeStrategy"] = json!(strategy.word());
            }
            set("completionOptions", options);
        }
        if self.abandon {
            set("status", json!("abandoned"));
        }
        Value::Object(body)
    }
}

/// `text` without what exceeds `units` UTF-16 units, cut between characters.
pub fn cut(text: &str, units: usize) -> &str {
    let mut used = 0;
    for (at, c) in text.char_indices() {
        used += c.len_utf16();
        if used > units {
            return &text[..at];
        }
    }
    text
}

impl Client {
    /// Pull requests of a project that `creator` opened, ordered by number, without those from forks. Descriptions are not
    /// read; the head may be missing.
    ///
    /// REST: Git, Pull Requests, *Get Pull Requests By Project*.
    pub async fn pull_requests_of(
        &self,
        project: &str,
        creator: &IdentityId,
        filter: PullRequestFilter,
    ) -> Result<Vec<PullRequest>, Error> {
        let call = Call::get(Operation::PullRequests, &[project, "_apis", "git", "pullrequests"], STABLE)
            .with("searchCriteria.creatorId", creator)
            .with("searchCriteria.status", filter.word());
        self.listed(&call).await
    }

    /// All pull requests from `source`, whatever their state and creator, ordered by number, without those from forks.
    ///
    /// REST: Git, Pull Requests, *Get Pull Requests*.
    pub async fn find_pull_requests(
        &self,
        repository: &Repository,
        source: &BranchName,
    ) -> Result<Vec<PullRequest>, Error> {
        let call = Call::get(Operation::PullRequests, &in_repository(repository, &["pullrequests"]), STABLE)
            .with("searchCriteria.sourceRefName", source.full())
            .with("searchCriteria.status", PullRequestFilter::All.word());
        self.listed(&call).await
    }

    async fn listed(&self, call: &Call) -> Result<Vec<PullRequest>, Error> {
        let all: Vec<WirePullRequest> = self.skipped(call, PAGE).await?;
        // Offset paging over a list that changes can repeat entries.
        let by_id: BTreeMap<PullRequestId, PullRequest> = all
            .into_iter()
            .filter(|one| !one.is_from_a_fork())
            .map(WirePullRequest::pull_request)
            .map(|one| (one.id, one))
            .collect();
        Ok(by_id.into_values().collect())
    }

    /// One pull request; absent if missing or not readable.
    ///
    /// REST: Git, Pull Requests, *Get Pull Request*.
    pub async fn pull_request(
        &self,
        repository: &Repository,
        id: PullRequestId,
    ) -> Result<Option<PullRequest>, Error> {
        let id = id.to_string();
        let call =
            Call::get(Operation::PullRequest, &in_repository(repository, &["pullrequests", &id]), STABLE);
        match self.json::<WirePullRequest>(&call).await {
            Ok(found) => Ok(Some(found.pull_request())),
            Err(error) if is_missing(&error, &["TF401180", "GitPullRequestNotFoundException"]) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Opens a pull request. `NotDone` with [`ErrorKind::Exists`](super::ErrorKind::Exists) if there is an active one with
    /// the same branches, with [`ErrorKind::BranchMissing`](super::ErrorKind::BranchMissing) if one of them is missing.
    ///
    /// REST: Git, Pull Requests, *Create*.
    pub async fn create_pull_request(
        &self,
        repository: &Repository,
        new: &NewPullRequest,
    ) -> Written<PullRequest> {
        let segments = in_repository(repository, &["pullrequests"]);
        let call = Call::post(Operation::CreatePullRequest, &segments, STABLE, &new.body());
        self.write(&call, |answer| self.parse::<WirePullRequest>(answer))
            .await
            .map(WirePullRequest::pull_request)
    }

    /// Changes a pull request. Never completes it and never bypasses a policy.
    ///
    /// REST: Git, Pull Requests, *Update*.
    pub async fn update_pull_request(
        &self,
        repository: &Repository,
        id: PullRequestId,
        change: &PullRequestChange,
    ) -> Written<PullRequest> {
        let id = id.to_string();
        let segments = in_repository(repository, &["pullrequests", &id]);
        let call = Call::patch(Operation::UpdatePullRequest, &segments, STABLE, &change.body());
        self.write(&call, |answer| self.parse::<WirePullRequest>(answer))
            .await
            .map(WirePullRequest::pull_request)
    }

    /// Work items that the pull request is linked to. May lag behind the link.
    ///
    /// REST: Git, Pull Request Work Items, *List*.
    pub async fn pull_request_work_items(
        &self,
        repository: &Repository,
        id: PullRequestId,
    ) -> Result<Vec<WorkItemId>, Error> {
        let id = id.to_string();
        let segments = in_repository(repository, &["pullRequests", &id, "workitems"]);
        let list: List<ItemReference> =
            self.json(&Call::get(Operation::PullRequestWorkItems, &segments, STABLE)).await?;
        Ok(list.entries().filter_map(|item| item.id).map(WorkItemId).collect())
    }

    /// Reviewers and their votes; groups are left out, because they repeat their members.
    ///
    /// REST: Git, Pull Request Reviewers, *List*.
    pub async fn reviewers(
        &self,
        repository: &Repository,
        id: PullRequestId,
    ) -> Result<Vec<Reviewer>, Error> {
        let id = id.to_string();
        let segments = in_repository(repository, &["pullRequests", &id, "reviewers"]);
        let list: List<WireReviewer> = self.json(&Call::get(Operation::Reviewers, &segments, STABLE)).await?;
        Ok(list.entries().filter_map(WireReviewer::reviewer).collect())
    }
}

impl PullRequestFilter {
    fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::All => "all",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters_and_counted_as_the_service_does() {
        assert_eq!(cut("abc", 3), "abc");
        assert_eq!(cut("abc", 2), "ab");
        assert_eq!(cut("a🦀b", 2), "a");
        assert_eq!(cut("a🦀b", 3), "a🦀");
        assert_eq!(cut(&"🦀".repeat(4000), MAX_DESCRIPTION).chars().count(), MAX_DESCRIPTION / 2);
    }

    #[test]
    fn auto_complete_never_moves_the_item() {
        let me = IdentityId::new("d291b0c4-a05c-4ea6-8df1-4b41d5f39eff");
        let change = PullRequestChange {
            auto_complete_by: Some(me),
            merge_strategy: Some(MergeStrategy::Squash),
            ..Default::default()
        };
        let body = change.body();
        assert_eq!(body["completionOptions"]["transitionWorkItems"], json!(false));
        assert_eq!(body["completionOptions"]["mergeStrategy"], json!("squash"));
        assert_eq!(body.as_object().map(Map::len), Some(2));
    }
}
