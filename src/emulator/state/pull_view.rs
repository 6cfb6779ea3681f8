//! How a pull request looks from outside, while the server is busy and after.
//!
//! Lags live here: the truth is in `pull_requests`, and reads see it late.

use super::{
    World,
    pull_requests::{PullRequest, Reviewer},
};
use crate::emulator::wire::stamp7;
use serde_json::{Value, json};

impl World {
    /// What a read shows; lags count down by being seen.
    pub(crate) fn pull_json(&mut self, id: i64, listed: bool) -> Value {
        if !listed {
            self.refresh(id);
        }
        let Some(pull) = self.pulls.get(&id) else { return Value::Null };
        let shown = self.render_pull(pull, listed);
        self.tick_pull(id);
        shown
    }

    /// Without counting as a read: for answers of writes.
    pub(crate) fn render_pull(&self, pull: &PullRequest, listed: bool) -> Value {
        let Some(repository) = self.repositories.get(&pull.repository) else { return Value::Null };
        let base = format!("{}/_apis/git/repositories/{}", self.project_url(&pull.project), pull.repository);
        let commit = |id: &str| json!({"commitId": id, "url": format!("{base}/commits/{id}")});
        let busy = pull.merge_lag > 0 || pull.completing.is_some();
        let view = pull.lingering.as_ref().map_or(&pull.merge, |(old, _)| old);
        let merge_status = match pull.status {
            "abandoned" => None,
            _ if busy && pull.lingering.is_none() => Some("queued"),
            _ => Some(view.status),
        };
        let merge_commit = view.commit.as_deref().filter(|_| !busy || pull.lingering.is_some());
        let description = if listed {
            pull.description.chars().take(400).collect::<String>()
        } else {
            pull.description.clone()
        };
        let mut answer = json!({
            "repository": self.repository_json(repository), "pullRequestId": pull.id, "codeReviewId": pull.id,
            "status": pull.status, "createdBy": self.identity(&pull.created_by), "creationDate": stamp7(pull.created),
            "title": pull.title, "sourceRefName": pull.source_ref, "targetRefName": pull.target_ref,
            "mergeStatus": merge_status, "isDraft": pull.draft, "mergeId": pull.merge_id,
            "lastMergeSourceCommit": commit(&view.source), "lastMergeTargetCommit": commit(&view.target),
            "lastMergeCommit": merge_commit.map(commit),
            "reviewers": pull.reviewers.iter().map(|r| self.reviewer_json(pull, r)).collect::<Vec<_>>(),
            "url": format!("{base}/pullRequests/{}", pull.id), "supportsIterations": true,
            "completionOptions": pull.completion_options,
            "completionQueueTime": pull.completion_queued.map(stamp7),
            "autoCompleteSetBy": pull.auto_complete.as_ref().map(|id| self.identity(id)),
            "closedBy": pull.closed_by.as_ref().map(|id| self.identity(id)),
            "closedDate": pull.closed.map(stamp7),
        });
        if !description.is_empty() {
            answer["description"] = json!(description);
        }
        if listed {
            if !pull.labels.is_empty() {
                answer["labels"] =
                    pull.labels.iter().map(|label| label_json(&base, pull.id, label)).collect();
            }
        } else {
            answer["artifactId"] = json!(pull.artifact());
            answer["_links"] = json!({"self": {"href": answer["url"]}, "repository": {"href": base}});
        }
        answer
    }

    pub(crate) fn reviewer_json(&self, pull: &PullRequest, reviewer: &Reviewer) -> Value {
        let mut answer = self.identity(&reviewer.id);
        let base = format!("{}/_apis/git/repositories/{}", self.project_url(&pull.project), pull.repository);
        answer["reviewerUrl"] = json!(format!("{base}/pullRequests/{}/reviewers/{}", pull.id, reviewer.id));
        answer["vote"] = json!(reviewer.vote);
        answer["hasDeclined"] = json!(reviewer.declined);
        answer["isFlagged"] = json!(false);
        if reviewer.required {
            answer["isRequired"] = json!(true);
        }
        answer
    }
}

pub(crate) fn label_json(base: &str, pull: i64, (id, name): &(String, String)) -> Value {
    json!({"id": id, "name": name, "active": true, "url": format!("{base}/pullRequests/{pull}/labels/{id}")})
}
