//! Repositories, branches, pull requests and threads as the service sends them.

use super::{WireIdentity, date, nobody, number};
use crate::domain::{
    self, BranchName, Columns, CommentId, MergeState, Place, PullRequest, PullRequestId, PullRequestStatus,
    Reviewer, Thread, ThreadId, ThreadStatus, Vote,
};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;
use url::Url;

/// `GitBranchStats`; a zero may be left out.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BranchStatistics {
    pub(crate) ahead_count: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Repository {
    id: String,
    name: String,
    project: Project,
    default_branch: Option<String>,
    remote_url: Option<String>,
    is_disabled: Option<bool>,
}

#[derive(Deserialize)]
struct Project {
    id: String,
    name: String,
}

impl Repository {
    /// Nothing if it is disabled: no call on it would work. `base` replaces a missing clone address.
    pub(crate) fn usable(self, base: &str) -> Option<domain::Repository> {
        if self.is_disabled == Some(true) {
            return None;
        }
        let clone_url = self
            .remote_url
            .as_deref()
            .and_then(without_user)
            .unwrap_or_else(|| format!("{base}/{}/_git/{}", self.project.id, self.id));
        Some(domain::Repository {
            id: self.id.to_ascii_lowercase(),
            name: self.name,
            project_id: self.project.id.to_ascii_lowercase(),
            project: self.project.name,
            clone_url,
            default_branch: self.default_branch.as_deref().map(BranchName::new),
        })
    }
}

/// `https://org@host/…` without `org@`; nothing if it is no web address.
fn without_user(text: &str) -> Option<String> {
    let mut url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "https" | "http"))?;
    url.set_username("").ok()?;
    url.set_password(None).ok()?;
    Some(url.to_string())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Ref {
    pub(crate) name: String,
    pub(crate) object_id: String,
    pub(crate) creator: Option<WireIdentity>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Push {
    pub(crate) pushed_by: Option<WireIdentity>,
}

#[derive(Deserialize)]
pub(crate) struct File {
    pub(crate) content: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WirePullRequest {
    pull_request_id: u32,
    repository: Option<RepositoryReference>,
    status: Option<String>,
    source_ref_name: Option<String>,
    target_ref_name: Option<String>,
    last_merge_source_commit: Option<CommitReference>,
    last_merge_commit: Option<CommitReference>,
    merge_status: Option<String>,
    is_draft: Option<bool>,
    created_by: Option<WireIdentity>,
    reviewers: Option<Vec<WireReviewer>>,
    auto_complete_set_by: Option<WireIdentity>,
    title: Option<String>,
    fork_source: Option<Value>,
}

#[derive(Deserialize)]
struct RepositoryReference {
    id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommitReference {
    pub(crate) commit_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireReviewer {
    id: Option<String>,
    display_name: Option<String>,
    vote: Option<i32>,
    is_container: Option<bool>,
    is_required: Option<bool>,
}

/// Cancels auto-complete, so it also means that nobody has set it.
pub(crate) const NOBODY: &str = "00000000-0000-0000-0000-000000000000";

impl WirePullRequest {
    /// From a fork: its source branch is in another repository, whatever its name says.
    pub(crate) fn is_from_a_fork(&self) -> bool {
        self.fork_source.as_ref().is_some_and(|source| !source.is_null())
    }

    pub(crate) fn pull_request(self) -> PullRequest {
        let branch = |name: Option<String>| BranchName::new(name.as_deref().unwrap_or_default());
        let word = |word: Option<String>| word.unwrap_or_default().to_ascii_lowercase();
        PullRequest {
            id: PullRequestId(self.pull_request_id),
            repository_id: self.repository.and_then(|one| one.id).unwrap_or_default().to_ascii_lowercase(),
            status: match word(self.status).as_str() {
                "active" => PullRequestStatus::Active,
                "completed" => PullRequestStatus::Completed,
                "abandoned" => PullRequestStatus::Abandoned,
                _ => PullRequestStatus::Other,
            },
            source: branch(self.source_ref_name),
            target: branch(self.target_ref_name),
            head: self.last_merge_source_commit.and_then(|one| one.commit_id?.parse().ok()),
            merge_commit: self.last_merge_commit.and_then(|one| one.commit_id?.parse().ok()),
            merge: match word(self.merge_status).as_str() {
                // Absent on a new and on an abandoned pull request: nothing is known either way.
                "" | "notset" | "queued" => MergeState::Pending,
                "succeeded" => MergeState::Clean,
                "conflicts" => MergeState::Conflicts,
                "failure" | "rejectedbypolicy" => MergeState::Failed,
                _ => MergeState::Other,
            },
            is_draft: self.is_draft.unwrap_or_default(),
            created_by: self.created_by.and_then(|who| who.known()).unwrap_or_else(|| nobody("")),
            reviewers: self.reviewers.into_iter().flatten().filter_map(WireReviewer::reviewer).collect(),
            auto_complete_by: self
                .auto_complete_set_by
                .and_then(|who| who.known())
                .map(|who| who.id)
                .filter(|id| id.as_str() != NOBODY),
            title: self.title.unwrap_or_default(),
        }
    }
}

impl WireReviewer {
    /// Nothing for a group: it repeats its members' votes.
    pub(crate) fn reviewer(self) -> Option<Reviewer> {
        if self.is_container == Some(true) {
            return None;
        }
        Some(Reviewer {
            who: domain::Identity {
                id: domain::IdentityId::new(&self.id?),
                name: self.display_name.unwrap_or_default(),
            },
            vote: match self.vote.unwrap_or_default() {
                10 => Vote::Approved,
                5 => Vote::ApprovedWithSuggestions,
                -5 => Vote::WaitingForAuthor,
                -10 => Vote::Rejected,
                _ => Vote::None,
            },
            is_required: self.is_required.unwrap_or_default(),
        })
    }
}

/// A work item of a pull request: its id is a string here.
#[derive(Deserialize)]
pub(crate) struct ItemReference {
    #[serde(deserialize_with = "number")]
    pub(crate) id: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireThread {
    pub(crate) id: u32,
    status: Option<String>,
    is_deleted: Option<bool>,
    properties: Option<BTreeMap<String, Value>>,
    comments: Option<Vec<WireComment>>,
    thread_context: Option<Context>,
    pull_request_thread_context: Option<Iterations>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Iterations {
    iteration_context: Option<Compared>,
    tracking_criteria: Option<Compared>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Compared {
    second_comparing_iteration: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Context {
    file_path: Option<String>,
    right_file_start: Option<Position>,
    right_file_end: Option<Position>,
}

#[derive(Deserialize)]
struct Position {
    line: Option<u32>,
    offset: Option<u32>,
}

impl Context {
    fn place(self, iteration: Option<u32>) -> Option<Place> {
        let offset = |position: &Option<Position>| position.as_ref().and_then(|one| one.offset);
        let line = |position: &Option<Position>| position.as_ref().and_then(|one| one.line);
        let (start, end) = (&self.right_file_start, &self.right_file_end);
        Some(Place {
            line: line(start),
            last_line: line(end),
            columns: offset(start).zip(offset(end)).map(|(from, to)| Columns { from, to }),
            iteration,
            path: self.file_path?.trim_start_matches('/').to_owned(),
        })
    }
}

impl Iterations {
    /// The iteration in which the lines are counted: where the server moved them, the one that it moved them to.
    fn counted_in(self) -> Option<u32> {
        let second = |one: Option<Compared>| one.and_then(|one| one.second_comparing_iteration);
        let moved_to = second(self.tracking_criteria).filter(|number| *number > 0);
        moved_to.or_else(|| second(self.iteration_context))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireComment {
    pub(crate) id: u32,
    author: Option<WireIdentity>,
    content: Option<String>,
    comment_type: Option<String>,
    is_deleted: Option<bool>,
    #[serde(default, deserialize_with = "date")]
    published_date: Option<Timestamp>,
    #[serde(default, deserialize_with = "date")]
    last_content_updated_date: Option<Timestamp>,
}

impl WireThread {
    /// Nothing if no person or robot says anything in it: deleted, system, emptied.
    pub(crate) fn discussion(self) -> Option<Thread> {
        let is_system = self
            .properties
            .is_some_and(|all| all.keys().any(|key| key.eq_ignore_ascii_case("CodeReviewThreadType")));
        if is_system || self.is_deleted == Some(true) {
            return None;
        }
        let mut comments: Vec<_> =
            self.comments.into_iter().flatten().filter_map(WireComment::spoken).collect();
        if comments.is_empty() {
            return None;
        }
        comments.sort_by_key(|comment| comment.id);
        let iteration = self.pull_request_thread_context.and_then(Iterations::counted_in);
        Some(Thread {
            id: ThreadId(self.id),
            status: match self.status.unwrap_or_default().to_ascii_lowercase().as_str() {
                "active" => ThreadStatus::Active,
                "pending" => ThreadStatus::Pending,
                "fixed" => ThreadStatus::Fixed,
                "wontfix" | "closed" | "bydesign" => ThreadStatus::Settled,
                _ => ThreadStatus::Other,
            },
            place: self.thread_context.and_then(|context| context.place(iteration)),
            comments,
        })
    }
}

impl WireComment {
    fn spoken(self) -> Option<domain::Comment> {
        let is_system = super::is(self.comment_type.as_deref(), "system");
        if is_system || self.is_deleted == Some(true) {
            return None;
        }
        Some(domain::Comment {
            id: CommentId(self.id),
            author: self.author.and_then(|who| who.known()).unwrap_or_else(|| nobody("")),
            text: self.content.unwrap_or_default(),
            changed_at: self
                .last_content_updated_date
                .or(self.published_date)
                .unwrap_or(Timestamp::UNIX_EPOCH),
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireStatus {
    id: Option<u32>,
    state: Option<String>,
    description: Option<String>,
    context: Option<StatusContext>,
    iteration_id: Option<u32>,
}

#[derive(Deserialize)]
struct StatusContext {
    name: Option<String>,
    genre: Option<String>,
}

impl WireStatus {
    pub(crate) fn status(self) -> domain::PostedStatus {
        let context = self.context.map_or_else(String::new, |context| {
            match (context.genre.filter(|genre| !genre.is_empty()), context.name) {
                (Some(genre), Some(name)) => format!("{genre}/{name}"),
                (genre, name) => name.or(genre).unwrap_or_default(),
            }
        });
        domain::PostedStatus {
            id: self.id.unwrap_or_default(),
            context,
            state: match self.state.unwrap_or_default().to_ascii_lowercase().as_str() {
                "pending" => domain::StatusState::Pending,
                "succeeded" => domain::StatusState::Succeeded,
                "failed" | "error" => domain::StatusState::Failed,
                "notapplicable" => domain::StatusState::NotApplicable,
                _ => domain::StatusState::Other,
            },
            description: self.description.unwrap_or_default(),
            iteration: self.iteration_id.filter(|id| *id > 0),
            head: None,
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Iteration {
    id: Option<u32>,
    source_ref_commit: Option<CommitReference>,
}

impl Iteration {
    pub(crate) fn head(self) -> (u32, Option<domain::CommitId>) {
        let head = self.source_ref_commit.and_then(|one| one.commit_id?.parse().ok());
        (self.id.unwrap_or_default(), head)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct IterationChanges {
    change_entries: Option<Vec<Change>>,
    next_skip: Option<u32>,
}

#[expect(clippy::struct_field_names, reason = "as the service spells it")]
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Change {
    change_type: Option<String>,
    item: Option<ChangedItem>,
    original_path: Option<String>,
    source_server_item: Option<String>,
}

#[derive(Deserialize)]
struct ChangedItem {
    path: Option<String>,
}

impl IterationChanges {
    /// Where the next page begins; 0 or nothing is the end.
    pub(crate) fn next(&self) -> Option<u32> {
        self.next_skip.filter(|next| *next > 0)
    }

    pub(crate) fn files(self) -> impl Iterator<Item = crate::ado::statuses::ChangedFile> {
        let plain = |path: String| path.trim_start_matches('/').to_owned();
        self.change_entries.into_iter().flatten().filter_map(move |change| {
            // A flag list: `edit, rename`.
            let kind = change.change_type.unwrap_or_default().to_ascii_lowercase();
            let from = change.original_path.or(change.source_server_item).map(plain);
            let is_deleted = kind.split(',').any(|word| word.trim() == "delete");
            // A deletion was seen without an item path.
            let path = change.item.and_then(|item| item.path).map(plain).or_else(|| from.clone())?;
            let from = from.filter(|from| *from != path);
            Some(crate::ado::statuses::ChangedFile { path, from, is_deleted })
        })
    }
}
