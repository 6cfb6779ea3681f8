//! The one way to change a work item: a single patch under the revision that was read.

use super::{
    AttachedFile, Client, Operation, Written,
    request::{Call, STABLE},
    wire::item::{Item, RELATED},
};
use crate::domain::{Labels, PullRequestId, Repository, Revision, WorkItem, WorkItemId};
use serde_json::{Value, json};

/// What to change, together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ItemChange {
    /// The whole new list. There is no way to remove a single label.
    pub labels: Option<Labels>,
    /// Name of the new state.
    pub state: Option<String>,
    /// An entry of the discussion, as HTML. In the same revision, so that it cannot break the guard.
    pub history: Option<String>,
    /// Pull requests to link.
    pub links: Vec<PullRequestLink>,
    /// Uploaded files to attach.
    pub files: Vec<AttachedFile>,
}

/// A pull request as an artifact link names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PullRequestLink {
    /// GUID of the repository's project.
    pub project_id: String,
    /// GUID of the repository.
    pub repository_id: String,
    /// Its number.
    pub pull_request: PullRequestId,
}

impl PullRequestLink {
    /// The link to `pull_request` of `repository`.
    pub fn new(repository: &Repository, pull_request: PullRequestId) -> Self {
        Self { project_id: repository.project_id.clone(), repository_id: repository.id.clone(), pull_request }
    }

    /// `vstfs:///Git/PullRequestId/{project}%2F{repository}%2F{id}`.
    pub fn url(&self) -> String {
        format!(
            "vstfs:///Git/PullRequestId/{}%2F{}%2F{}",
            self.project_id, self.repository_id, self.pull_request
        )
    }
}

/// A new work item beside another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewItem {
    /// Name of its type.
    pub kind: String,
    /// One line.
    pub title: String,
    /// HTML.
    pub description: String,
    /// Where it belongs.
    pub area: String,
    /// The item that it has to do with.
    pub related: WorkItemId,
}

impl ItemChange {
    fn patch(&self, revision: Revision) -> Value {
        let mut operations = vec![json!({ "op": "test", "path": "/rev", "value": revision })];
        let mut set = |op: &str, field: &str, value: &str| {
            operations.push(json!({ "op": op, "path": format!("/fields/{field}"), "value": value }));
        };
        if let Some(labels) = &self.labels {
            // `add` would merge with the stored list on newer servers.
            set("replace", "System.Tags", &labels.iter().collect::<Vec<_>>().join("; "));
        }
        if let Some(state) = &self.state {
            set("add", "System.State", state);
        }
        if let Some(history) = &self.history {
            set("add", "System.History", history);
        }
        for link in &self.links {
            let value = json!({
                "rel": "ArtifactLink", "url": link.url(), "attributes": { "name": "Pull Request" },
            });
            operations.push(json!({ "op": "add", "path": "/relations/-", "value": value }));
        }
        for AttachedFile { url, name, comment } in &self.files {
            let value = json!({
                "rel": "AttachedFile", "url": url, "attributes": { "name": name, "comment": comment },
            });
            operations.push(json!({ "op": "add", "path": "/relations/-", "value": value }));
        }
        Value::Array(operations)
    }
}

impl Client {
    /// Changes the item if it is still at `revision`, and answers with the new one and its links. A lost race is
    /// `NotDone` with [`ErrorKind::Conflict`](super::ErrorKind::Conflict); a link that is there already is `NotDone` with
    /// [`ErrorKind::Exists`](super::ErrorKind::Exists). After `Unknown` the same call with the same revision may be repeated:
    /// it can only succeed if the first did not.
    ///
    /// REST: Work Item Tracking, Work Items, *Update*.
    pub async fn change_work_item(
        &self,
        id: WorkItemId,
        revision: Revision,
        change: &ItemChange,
    ) -> Written<WorkItem> {
        let segments = ["_apis", "wit", "workitems", &id.to_string()];
        let call = Call::json_patch(Operation::ChangeWorkItem, &segments, STABLE, &change.patch(revision))
            .with("$expand", "relations");
        self.write(&call, |answer| self.parse::<Item>(answer)).await.map(|item| item.work_item())
    }

    /// Makes a work item that is related to another one. There is no guard against a second copy: look at the other item's
    /// links before, and after an `Unknown`.
    ///
    /// REST: Work Item Tracking, Work Items, *Create*.
    pub async fn create_work_item(&self, project: &str, new: &NewItem) -> Written<WorkItem> {
        let set = |field: &str, value: &str| json!({ "op": "add", "path": format!("/fields/{field}"), "value": value });
        let url = format!("{}/_apis/wit/workItems/{}", self.base(), new.related);
        let relation = json!({ "rel": RELATED, "url": url, "attributes": { "comment": "proposed while working on it" } });
        let patch = json!([
            set("System.Title", &new.title),
            set("System.Description", &new.description),
            set("System.AreaPath", &new.area),
            json!({ "op": "add", "path": "/relations/-", "value": relation }),
        ]);
        let kind = format!("${}", new.kind);
        let segments = [project, "_apis", "wit", "workitems", kind.as_str()];
        let call = Call::json_patch_new(Operation::CreateWorkItem, &segments, STABLE, &patch);
        self.write(&call, |answer| self.parse::<Item>(answer)).await.map(|item| item.work_item())
    }
}
