//! Discussions on a pull request.

use super::{
    Client, Error, Operation, Written,
    git::in_repository,
    pull_requests::cut,
    request::{Call, STABLE},
    wire::{
        List,
        git::{WireComment, WireThread},
    },
};
use crate::domain::{CommentId, PullRequestId, Repository, Thread, ThreadId};
use serde_json::json;

/// Longest comment sent, in UTF-16 units: 150 000 are allowed, and a reader has given up long before.
const MAX_COMMENT: usize = 100_000;

/// The status we give a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadMark {
    /// Waits for an answer, and blocks completion under a comment policy.
    Active,
    /// What was asked for was done.
    Fixed,
    /// A notice that asks nothing of anybody.
    Closed,
}

impl ThreadMark {
    fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Fixed => "fixed",
            Self::Closed => "closed",
        }
    }
}

impl Client {
    /// Threads in which somebody says something, ordered by id; system threads, deleted threads and deleted comments are
    /// left out. Our own words and other robots' are not: filter by author.
    ///
    /// REST: Git, Pull Request Threads, *List*.
    pub async fn threads(&self, repository: &Repository, id: PullRequestId) -> Result<Vec<Thread>, Error> {
        let id = id.to_string();
        let segments = in_repository(repository, &["pullRequests", &id, "threads"]);
        let list: List<WireThread> = self.json(&Call::get(Operation::Threads, &segments, STABLE)).await?;
        let mut threads: Vec<Thread> = list.entries().filter_map(WireThread::discussion).collect();
        threads.sort_by_key(|thread| thread.id);
        Ok(threads)
    }

    /// Answers in a thread, below its first comment.
    ///
    /// REST: Git, Pull Request Thread Comments, *Create*.
    pub async fn reply(
        &self,
        repository: &Repository,
        id: PullRequestId,
        thread: ThreadId,
        markdown: &str,
    ) -> Written<CommentId> {
        let (id, thread) = (id.to_string(), thread.to_string());
        let segments = in_repository(repository, &["pullRequests", &id, "threads", &thread, "comments"]);
        let body =
            json!({ "content": cut(markdown, MAX_COMMENT), "parentCommentId": 1, "commentType": "text" });
        let call = Call::post(Operation::Reply, &segments, STABLE, &body);
        self.write(&call, |answer| self.parse::<WireComment>(answer))
            .await
            .map(|comment| CommentId(comment.id))
    }

    /// Opens a thread about the whole pull request. Notices are [`ThreadMark::Closed`]: an active thread blocks completion.
    ///
    /// REST: Git, Pull Request Threads, *Create*.
    pub async fn open_thread(
        &self,
        repository: &Repository,
        id: PullRequestId,
        markdown: &str,
        mark: ThreadMark,
    ) -> Written<ThreadId> {
        let id = id.to_string();
        let segments = in_repository(repository, &["pullRequests", &id, "threads"]);
        let comment =
            json!({ "parentCommentId": 0, "content": cut(markdown, MAX_COMMENT), "commentType": "text" });
        let body = json!({ "comments": [comment], "status": mark.word() });
        let call = Call::post(Operation::OpenThread, &segments, STABLE, &body);
        self.write(&call, |answer| self.parse::<WireThread>(answer)).await.map(|thread| ThreadId(thread.id))
    }

    /// Takes a comment of ours out of its thread; a thread without any is gone. Repeating it is harmless: what is not
    /// there any more is `NotDone` with [`ErrorKind::NotFound`](super::ErrorKind::NotFound).
    ///
    /// REST: Git, Pull Request Thread Comments, *Delete*, 7.1.
    pub async fn delete_comment(
        &self,
        repository: &Repository,
        id: PullRequestId,
        thread: ThreadId,
        comment: CommentId,
    ) -> Written<()> {
        let (id, thread, comment) = (id.to_string(), thread.to_string(), comment.to_string());
        let segments =
            in_repository(repository, &["pullRequests", &id, "threads", &thread, "comments", &comment]);
        self.write(&Call::delete(Operation::Unsay, &segments, STABLE), |_| Ok(())).await
    }

    /// Marks a thread. Repeating it is harmless.
    ///
    /// REST: Git, Pull Request Threads, *Update*.
    pub async fn set_thread_status(
        &self,
        repository: &Repository,
        id: PullRequestId,
        thread: ThreadId,
        mark: ThreadMark,
    ) -> Written<()> {
        let (id, thread) = (id.to_string(), thread.to_string());
        let segments = in_repository(repository, &["pullRequests", &id, "threads", &thread]);
        let call =
            Call::patch(Operation::SetThreadStatus, &segments, STABLE, &json!({ "status": mark.word() }));
        self.write(&call, |_| Ok(())).await
    }
}
