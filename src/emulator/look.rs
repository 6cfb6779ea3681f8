//! Looking at the world without being counted: snapshots for tests and for the page.

use super::{
    Emulator,
    record::{Calls, Logged},
    setup::RepositoryHandle,
    state::{
        World, builds::Build, pull_requests::PullRequest, threads::Thread, work_items::Relation,
        work_items::WorkItem,
    },
};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::BTreeMap;

/// One entry of a discussion.
#[derive(Clone, Debug, PartialEq)]
pub struct CommentSnapshot {
    /// The comment's id (unique in the organization for items, in the thread for pull requests).
    pub id: i64,
    /// The identity id of the author.
    pub author: String,
    /// The text; empty when deleted.
    pub text: String,
    /// `html` or `markdown` for work items; `text` or `system` for threads.
    pub kind: String,
    /// Whether it was removed.
    pub deleted: bool,
    /// How often it was written (1: never edited). Always 1 for threads.
    pub version: i64,
}

/// A file that hangs on a work item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSnapshot {
    /// Its name, as people see it.
    pub name: String,
    /// Its address.
    pub url: String,
    /// What is in it.
    pub bytes: Vec<u8>,
}

/// A work item.
#[derive(Clone, Debug, PartialEq)]
pub struct ItemSnapshot {
    /// The id.
    pub id: i64,
    /// The revision.
    pub rev: i64,
    /// The title.
    pub title: String,
    /// The type's name.
    pub kind: String,
    /// The state's name.
    pub state: String,
    /// The state's category.
    pub category: String,
    /// The tags, as sorted by the server.
    pub tags: Vec<String>,
    /// The sign-in name of the assignee.
    pub assigned_to: Option<String>,
    /// Every field, by reference name.
    pub fields: BTreeMap<String, Value>,
    /// (relation type, address).
    pub relations: Vec<(String, String)>,
    /// Files that hang on it.
    pub files: Vec<FileSnapshot>,
    /// The discussion, oldest first.
    pub comments: Vec<CommentSnapshot>,
    /// The number of updates, link edits included.
    pub updates: usize,
    /// Whether it is in the recycle bin.
    pub deleted: bool,
}

/// A thread of a pull request.
#[derive(Clone, Debug, PartialEq)]
pub struct ThreadSnapshot {
    /// The id.
    pub id: i64,
    /// The status; none for the system's threads.
    pub status: Option<String>,
    /// The file it is about.
    pub file: Option<String>,
    /// The comments, oldest first.
    pub comments: Vec<CommentSnapshot>,
}

impl ThreadSnapshot {
    /// Whether the system wrote it.
    pub fn is_system(&self) -> bool {
        self.comments.first().is_some_and(|comment| comment.kind == "system")
    }
}

/// A pull request.
#[derive(Clone, Debug, PartialEq)]
pub struct PullSnapshot {
    /// The id.
    pub id: i64,
    /// The repository's id.
    pub repository: String,
    /// `active`, `abandoned` or `completed`.
    pub status: String,
    /// Whether it is a draft.
    pub draft: bool,
    /// The title.
    pub title: String,
    /// The whole description.
    pub description: String,
    /// The source branch, as a full ref name.
    pub source: String,
    /// The target branch, as a full ref name.
    pub target: String,
    /// The head that the last merge used.
    pub head: String,
    /// The true state of the merge, whatever reads show: `succeeded`, `conflicts`, `failure`.
    pub merge_status: String,
    /// The merge commit.
    pub merge_commit: Option<String>,
    /// The identity id of the creator.
    pub created_by: String,
    /// Identity id to vote.
    pub votes: BTreeMap<String, i64>,
    /// Label names.
    pub labels: Vec<String>,
    /// Property values.
    pub properties: BTreeMap<String, Value>,
    /// The identity id that set auto-complete.
    pub auto_complete: Option<String>,
    /// Linked work items.
    pub work_items: Vec<i64>,
    /// How many iterations there are.
    pub iterations: usize,
    /// (policy name, status) of every policy on the target.
    pub checks: Vec<(String, String)>,
    /// Threads, oldest first.
    pub threads: Vec<ThreadSnapshot>,
}

/// A task of a build's timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimelineEntry {
    /// The task's name.
    pub name: String,
    /// Its result, when it ended.
    pub result: Option<String>,
    /// Error messages.
    pub errors: Vec<String>,
    /// The log, by lines.
    pub lines: Vec<String>,
}

/// A build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildSnapshot {
    /// The id.
    pub id: i64,
    /// The pipeline's id.
    pub pipeline: i64,
    /// `notStarted`, `inProgress`, `cancelling`, `completed`.
    pub status: String,
    /// The result of a completed build.
    pub result: Option<String>,
    /// Why it runs: `pullRequest`, `individualCI`, `manual`.
    pub reason: String,
    /// The ref.
    pub branch: String,
    /// The commit.
    pub version: String,
    /// The pull request.
    pub pull_request: Option<i64>,
    /// The attempt, from 1.
    pub attempt: i64,
    /// When it was queued.
    pub queued: Timestamp,
    /// Its tasks.
    pub tasks: Vec<TimelineEntry>,
}

fn file(world: &World, relation: &Relation) -> Option<FileSnapshot> {
    let (_, id) = relation.url.rsplit_once("/_apis/wit/attachments/")?;
    let bytes = world.attachment(id).ok()?.bytes.clone();
    let name = relation.attributes.get("name").and_then(|name| name.as_str()).unwrap_or_default().to_owned();
    Some(FileSnapshot { name, url: relation.url.clone(), bytes })
}

fn item(world: &World, item: &WorkItem) -> ItemSnapshot {
    ItemSnapshot {
        id: item.id,
        rev: item.rev,
        title: item.text("System.Title").to_owned(),
        kind: item.text("System.WorkItemType").to_owned(),
        state: item.text("System.State").to_owned(),
        category: world.category(item).to_owned(),
        tags: item.tags(),
        assigned_to: item
            .fields
            .get("System.AssignedTo")
            .and_then(|who| who["uniqueName"].as_str())
            .map(str::to_owned),
        fields: item.fields.clone().into_iter().collect(),
        relations: item.relations.iter().map(|r| (r.rel.clone(), r.url.clone())).collect(),
        files: item.relations.iter().filter_map(|relation| file(world, relation)).collect(),
        comments: item
            .comments
            .iter()
            .map(|comment| CommentSnapshot {
                id: comment.id,
                author: comment.by.clone(),
                text: if comment.deleted { String::new() } else { comment.text.clone() },
                kind: comment.format.clone(),
                deleted: comment.deleted,
                version: comment.version,
            })
            .collect(),
        updates: item.updates.len(),
        deleted: item.deleted,
    }
}

fn thread(thread: &Thread) -> ThreadSnapshot {
    ThreadSnapshot {
        id: thread.id,
        status: thread.status.map(str::to_owned),
        file: thread.context.as_ref().and_then(|context| context["filePath"].as_str()).map(str::to_owned),
        comments: thread
            .comments
            .iter()
            .map(|comment| CommentSnapshot {
                id: comment.id,
                author: comment.by.clone(),
                text: if comment.deleted { String::new() } else { comment.content.clone() },
                kind: comment.kind.to_owned(),
                deleted: comment.deleted,
                version: 1,
            })
            .collect(),
    }
}

fn pull(world: &World, pull: &PullRequest) -> PullSnapshot {
    PullSnapshot {
        id: pull.id,
        repository: pull.repository.clone(),
        status: pull.status.to_owned(),
        draft: pull.draft,
        title: pull.title.clone(),
        description: pull.description.clone(),
        source: pull.source_ref.clone(),
        target: pull.target_ref.clone(),
        head: pull.merge.source.clone(),
        merge_status: pull.merge.status.to_owned(),
        merge_commit: pull.merge.commit.clone(),
        created_by: pull.created_by.clone(),
        votes: pull.reviewers.iter().map(|reviewer| (reviewer.id.clone(), reviewer.vote)).collect(),
        labels: pull.labels.iter().map(|(_, name)| name.clone()).collect(),
        properties: pull.properties.clone(),
        auto_complete: pull.auto_complete.clone(),
        work_items: world.linked_items(pull),
        iterations: pull.iterations.len(),
        checks: world
            .policies_of(pull)
            .iter()
            .map(|policy| {
                let opinion = world.opinion(pull, policy, pull.evaluations.get(&policy.id));
                (policy.name().to_owned(), opinion.to_owned())
            })
            .collect(),
        threads: pull.threads.iter().map(|known| thread(known)).collect(),
    }
}

fn build(build: &Build) -> BuildSnapshot {
    BuildSnapshot {
        id: build.id,
        pipeline: build.pipeline,
        status: build.status.to_owned(),
        result: build.result.map(str::to_owned),
        reason: build.reason.to_owned(),
        branch: build.branch.clone(),
        version: build.version.clone(),
        pull_request: build.pull,
        attempt: build.attempt,
        queued: build.queued,
        tasks: build
            .steps
            .iter()
            .map(|step| TimelineEntry {
                name: step.name.clone(),
                result: step.result.map(str::to_owned),
                errors: step.errors.clone(),
                lines: step.lines.read().map(|lines| lines.clone()).unwrap_or_default(),
            })
            .collect(),
    }
}

pub(crate) fn everything(world: &World) -> (Vec<ItemSnapshot>, Vec<PullSnapshot>, Vec<BuildSnapshot>) {
    (
        world.items.values().map(|known| item(world, known)).collect(),
        world.pulls.values().map(|known| pull(world, known)).collect(),
        world.builds.values().map(|known| build(known)).collect(),
    )
}

impl Emulator {
    /// A work item, deleted ones included.
    pub fn item(&self, id: i64) -> Option<ItemSnapshot> {
        self.inner.look(|world| world.items.get(&id).map(|known| item(world, known)))
    }

    /// All work items, by id.
    pub fn items(&self) -> Vec<ItemSnapshot> {
        self.inner.look(|world| everything(world).0)
    }

    /// A pull request.
    pub fn pull_request(&self, id: i64) -> Option<PullSnapshot> {
        self.inner.change(|world| {
            world.refresh(id);
            world.pulls.get(&id).map(|known| pull(world, known))
        })
    }

    /// All pull requests, by id. Merges that a moved target left behind stay so; [`Self::pull_request`] catches up.
    pub fn pull_requests(&self) -> Vec<PullSnapshot> {
        self.inner.look(|world| everything(world).1)
    }

    /// The threads of a pull request, the system's included.
    pub fn threads(&self, pull: i64) -> Vec<ThreadSnapshot> {
        self.pull_request(pull).map(|pull| pull.threads).unwrap_or_default()
    }

    /// Ids of the policies that are not removed, oldest first.
    pub fn policies(&self) -> Vec<i64> {
        let live = |world: &super::state::World| {
            world.policies.values().filter(|policy| !policy.deleted).map(|policy| policy.id).collect()
        };
        self.inner.look(live)
    }

    /// All builds, by id.
    pub fn builds(&self) -> Vec<BuildSnapshot> {
        self.inner.look(|world| everything(world).2)
    }

    /// Where a ref stands.
    pub fn head(&self, repository: &RepositoryHandle, name: &str) -> Option<String> {
        self.inner.look(|world| world.head(&repository.id, name))
    }

    /// All refs of a repository.
    pub fn refs(&self, repository: &RepositoryHandle) -> BTreeMap<String, String> {
        self.inner
            .look(|world| world.repositories.get(&repository.id).map(|known| known.refs.clone()))
            .unwrap_or_default()
    }

    /// A file's content at a ref.
    pub fn file(&self, repository: &RepositoryHandle, name: &str, path: &str) -> Option<Vec<u8>> {
        self.inner.look(|world| {
            let commit = world.head(&repository.id, name)?;
            let git = world.git(&repository.id);
            let (id, kind, _) = git.entry(&commit, path)?;
            if kind == "blob" { git.blob(&id).ok() } else { None }
        })
    }

    /// The page for spectators, as served at the root.
    pub fn page(&self) -> String {
        super::page::render(&self.inner)
    }

    /// The emulator's clock.
    pub fn now(&self) -> Timestamp {
        self.inner.look_mut(World::now)
    }

    /// Every request since the start.
    pub fn request_log(&self) -> Vec<Logged> {
        super::locked(&self.inner.desk).record.entries().to_vec()
    }

    /// Requests, query names and query-language parts that the emulator does not play. Stories end with none.
    pub fn unknown_requests(&self) -> Vec<String> {
        let mut all = super::locked(&self.inner.desk).unknown.clone();
        all.extend(self.inner.look(|world| world.unsupported.clone()));
        all
    }

    /// How often each operation was called: (method, operation name) to count.
    pub fn calls(&self) -> BTreeMap<(String, String), Calls> {
        super::locked(&self.inner.desk).record.calls()
    }

    /// Starts counting calls from zero.
    pub fn reset_calls(&self) {
        super::locked(&self.inner.desk).record.reset();
    }

    /// The number of calls since the last reset that may have changed something.
    pub fn writes(&self) -> usize {
        self.calls().values().filter(|calls| calls.write).map(|calls| calls.count).sum()
    }

    /// The number of calls since the last reset that only read.
    pub fn reads(&self) -> usize {
        self.calls().values().filter(|calls| !calls.write).map(|calls| calls.count).sum()
    }
}
