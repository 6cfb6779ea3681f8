//! Discussion threads of pull requests.
//!
//! It knows threads of people and of the system, their comments, and the limits. Comment ids start at 1 in every thread.

use super::{World, pull_requests::PullRequest};
use crate::emulator::wire::{Problem, stamp7, word};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;

pub(crate) const THREAD_STATES: [&str; 7] =
    ["unknown", "active", "fixed", "wontFix", "closed", "byDesign", "pending"];

#[derive(Clone, Debug)]
pub(crate) struct ThreadComment {
    pub(crate) id: i64,
    pub(crate) parent: i64,
    pub(crate) by: String,
    pub(crate) content: String,
    pub(crate) kind: &'static str,
    pub(crate) published: Timestamp,
    pub(crate) updated: Timestamp,
    pub(crate) content_updated: Timestamp,
    pub(crate) deleted: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Thread {
    pub(crate) id: i64,
    pub(crate) status: Option<&'static str>,
    pub(crate) context: Option<Value>,
    pub(crate) iteration_context: Option<Value>,
    pub(crate) properties: Map<String, Value>,
    pub(crate) comments: Vec<ThreadComment>,
    pub(crate) published: Timestamp,
    pub(crate) updated: Timestamp,
}

impl Thread {
    pub(crate) fn deleted(&self) -> bool {
        self.comments.iter().all(|comment| comment.deleted)
    }

    pub(crate) fn open(&self) -> bool {
        !self.deleted() && matches!(self.status, Some("active" | "pending"))
    }
}

fn limit(content: &str) -> Result<(), Problem> {
    if content.is_empty() {
        return Err(Problem::argument("Value cannot be null.\r\nParameter name: comment.Content"));
    }
    if content.chars().count() > 150_000 {
        return Err(Problem::argument("A discussion comment cannot be longer than 150000 characters."));
    }
    Ok(())
}

impl World {
    fn next_thread_id(&self) -> i64 {
        self.pulls
            .values()
            .flat_map(|pull| &pull.threads)
            .map(|thread| thread.id)
            .max()
            .map_or(101, |id| id + 1)
    }

    pub(crate) fn system_thread(&mut self, pull: i64, kind: &str, text: &str, by: &str) {
        let now = self.now();
        let id = self.next_thread_id();
        let thread = Thread {
            id,
            status: None,
            context: None,
            iteration_context: None,
            properties: Map::from_iter([(
                "CodeReviewThreadType".to_owned(),
                json!({"$type": "System.String", "$value": kind}),
            )]),
            comments: vec![comment(1, 0, by, text, "system", now)],
            published: now,
            updated: now,
        };
        if let Some(pull) = self.pull_mut(pull) {
            pull.threads.push(Arc::new(thread));
        }
    }

    #[expect(clippy::too_many_arguments, reason = "a thread is exactly these parts")]
    pub(crate) fn create_thread(
        &mut self,
        pull: i64,
        contents: &[String],
        status: Option<&str>,
        context: Option<Value>,
        iteration_context: Option<Value>,
        properties: Map<String, Value>,
        by: &str,
    ) -> Result<i64, Problem> {
        self.pull(pull, None)?;
        if contents.is_empty() {
            return Err(Problem::argument(
                "A thread needs at least one comment.\r\nParameter name: comments",
            ));
        }
        for content in contents {
            limit(content)?;
        }
        let status = status.map(thread_state).transpose()?.unwrap_or("unknown");
        let now = self.now();
        let id = self.next_thread_id();
        let comments = contents
            .iter()
            .zip(1..)
            .map(|(content, number)| comment(number, i64::from(number > 1), by, content, "text", now))
            .collect();
        let properties = properties.into_iter().map(|(name, value)| (name, typed(value))).collect();
        let thread = Thread {
            id,
            status: Some(status),
            context,
            iteration_context,
            properties,
            comments,
            published: now,
            updated: now,
        };
        if let Some(pull) = self.pull_mut(pull) {
            pull.threads.push(Arc::new(thread));
        }
        Ok(id)
    }

    pub(crate) fn thread(&self, pull: i64, id: i64) -> Result<&Arc<Thread>, Problem> {
        self.pull(pull, None)?.threads.iter().find(|thread| thread.id == id).ok_or_else(|| {
            Problem::new(
                404,
                "DiscussionThreadNotFoundException",
                format!("TF401370: The thread {id} does not exist on pull request {pull}."),
            )
        })
    }

    fn thread_mut(&mut self, pull: i64, id: i64) -> Option<&mut Thread> {
        self.pull_mut(pull)?.threads.iter_mut().find(|thread| thread.id == id).map(Arc::make_mut)
    }

    pub(crate) fn reply(
        &mut self,
        pull: i64,
        thread: i64,
        content: &str,
        parent: i64,
        by: &str,
    ) -> Result<i64, Problem> {
        limit(content)?;
        let known = self.thread(pull, thread)?;
        if known.comments.len() >= 500 {
            return Err(Problem::argument("A thread cannot have more than 500 comments."));
        }
        if parent != 0 && !known.comments.iter().any(|comment| comment.id == parent) {
            return Err(Problem::argument(format!(
                "The parent comment {parent} does not exist in thread {thread}."
            )));
        }
        let now = self.now();
        let Some(known) = self.thread_mut(pull, thread) else { return Ok(0) };
        let id = known.comments.last().map_or(1, |comment| comment.id + 1);
        known.comments.push(comment(id, parent, by, content, "text", now));
        known.updated = now;
        Ok(id)
    }

    pub(crate) fn set_thread_status(&mut self, pull: i64, thread: i64, status: &str) -> Result<(), Problem> {
        self.thread(pull, thread)?;
        let status = thread_state(status)?;
        let now = self.now();
        if let Some(known) = self.thread_mut(pull, thread) {
            known.status = Some(status);
            known.updated = now;
        }
        self.consider_completion(pull);
        Ok(())
    }

    /// An edit, or a removal when there is no content. Only authors may.
    pub(crate) fn change_thread_comment(
        &mut self,
        pull: i64,
        thread: i64,
        id: i64,
        content: Option<&str>,
        by: &str,
    ) -> Result<(), Problem> {
        let known = self.thread_comment(pull, thread, id)?;
        if known.by != by {
            return Err(Problem::new(
                403,
                "DiscussionCommentEditForbiddenException",
                "TF401371: Only the author of a comment may change it.",
            ));
        }
        if let Some(content) = content {
            limit(content)?;
        }
        let now = self.now();
        let Some(known) = self.thread_mut(pull, thread) else { return Ok(()) };
        known.updated = now;
        if let Some(comment) = known.comments.iter_mut().find(|comment| comment.id == id) {
            comment.updated = now;
            match content {
                Some(content) => {
                    content.clone_into(&mut comment.content);
                    comment.content_updated = now;
                }
                None => comment.deleted = true,
            }
        }
        self.consider_completion(pull);
        Ok(())
    }

    pub(crate) fn thread_comment(&self, pull: i64, thread: i64, id: i64) -> Result<&ThreadComment, Problem> {
        self.thread(pull, thread)?.comments.iter().find(|comment| comment.id == id).ok_or_else(|| {
            Problem::new(
                404,
                "DiscussionCommentNotFoundException",
                format!("TF401372: The comment {id} does not exist in thread {thread}."),
            )
        })
    }

    pub(crate) fn thread_json(&self, pull: &PullRequest, thread: &Thread) -> Value {
        let base = format!("{}/_apis/git/repositories/{}", self.project_url(&pull.project), pull.repository);
        let here = format!("{base}/pullRequests/{}/threads/{}", pull.id, thread.id);
        json!({
            "id": thread.id, "publishedDate": stamp7(thread.published), "lastUpdatedDate": stamp7(thread.updated),
            "status": thread.status, "threadContext": thread.context,
            "pullRequestThreadContext": thread.iteration_context,
            "properties": thread.properties, "isDeleted": thread.deleted(),
            "comments": thread.comments.iter().map(|c| self.thread_comment_json(c, &here)).collect::<Vec<_>>(),
            "_links": {"self": {"href": here}},
        })
    }

    pub(crate) fn thread_comment_json(&self, comment: &ThreadComment, thread: &str) -> Value {
        json!({
            "id": comment.id, "parentCommentId": comment.parent, "author": self.identity(&comment.by),
            // The words of a deleted comment are gone; its place stays.
            "content": (!comment.deleted).then_some(&comment.content),
            "publishedDate": stamp7(comment.published), "lastUpdatedDate": stamp7(comment.updated),
            "lastContentUpdatedDate": stamp7(comment.content_updated), "commentType": comment.kind,
            "isDeleted": comment.deleted.then_some(true), "usersLiked": [],
            "_links": {"self": {"href": format!("{thread}/comments/{}", comment.id)}},
        })
    }
}

fn thread_state(status: &str) -> Result<&'static str, Problem> {
    let by_number = status.parse::<usize>().ok().and_then(|n| THREAD_STATES.get(n).copied());
    word(status, &THREAD_STATES)
        .or(by_number)
        .ok_or_else(|| Problem::model(format!("'{status}' is not a thread status.")))
}

/// Property bags answer with the type beside the value.
pub(crate) fn typed(value: Value) -> Value {
    match value {
        Value::Object(_) => value,
        Value::Number(number) => json!({"$type": "System.Int32", "$value": number}),
        other => {
            json!({"$type": "System.String", "$value": other.as_str().map_or_else(|| other.to_string(), str::to_owned)})
        }
    }
}

fn comment(
    id: i64,
    parent: i64,
    by: &str,
    content: &str,
    kind: &'static str,
    now: Timestamp,
) -> ThreadComment {
    ThreadComment {
        id,
        parent,
        by: by.to_owned(),
        content: content.to_owned(),
        kind,
        published: now,
        updated: now,
        content_updated: now,
        deleted: false,
    }
}
