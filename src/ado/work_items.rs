//! Reading work items: queries, batches, texts, states.

use super::{
    Client, Error, ErrorKind, Operation,
    client::MAX_PAGES,
    request::{Call, STABLE},
    text::{clean, to_markdown},
    wire::{
        List,
        item::{Item, QueryResult, State},
    },
};
use crate::domain::{Labels, Revision, StateCategory, WorkItem, WorkItemId, WorkItemText};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// More ids in one batch are refused (VS403474).
const BATCH: usize = 200;
/// All that [`WorkItem`] needs.
const FIELDS: [&str; 12] = [
    "System.Id",
    "System.Rev",
    "System.TeamProject",
    "System.WorkItemType",
    "System.Title",
    "System.State",
    "System.Tags",
    "System.AreaPath",
    "System.AssignedTo",
    "System.ChangedDate",
    "System.ChangedBy",
    "Microsoft.VSTS.Common.Priority",
];

/// A work item query of one project, as text. All values are escaped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wiql {
    conditions: Vec<String>,
    has_time: bool,
    newest_first: bool,
}

impl Wiql {
    /// Items of the project with `label`, in any spelling of its case. A label that begins with `@` cannot be queried.
    pub fn labelled(label: &str) -> Self {
        // The project in the address only gives `@project` a value; it does not filter.
        let conditions = vec![
            "[System.TeamProject] = @project".to_owned(),
            format!("[System.Tags] CONTAINS {}", quoted(label)),
        ];
        Self { conditions, has_time: false, newest_first: false }
    }

    /// Items of the project with at least one of `labels`.
    pub fn labelled_with_any(labels: &[&str]) -> Self {
        let any: Vec<String> =
            labels.iter().map(|label| format!("[System.Tags] CONTAINS {}", quoted(label))).collect();
        let conditions =
            vec!["[System.TeamProject] = @project".to_owned(), format!("({})", any.join(" OR "))];
        Self { conditions, has_time: false, newest_first: false }
    }

    /// Items of the project that somebody commented on, the last saved first.
    pub fn discussed() -> Self {
        let conditions =
            vec!["[System.TeamProject] = @project".to_owned(), "[System.CommentCount] > 0".to_owned()];
        Self { conditions, has_time: false, newest_first: true }
    }

    /// Lowest number first, so that it can be read page by page.
    #[must_use]
    pub fn oldest_first(mut self) -> Self {
        self.newest_first = false;
        self
    }

    /// Without those that also have `label`.
    #[must_use]
    pub fn not_labelled(mut self, label: &str) -> Self {
        self.conditions.push(format!("[System.Tags] NOT CONTAINS {}", quoted(label)));
        self
    }

    /// Without those in one of `states`.
    #[must_use]
    pub fn not_in_states<'a>(mut self, states: impl IntoIterator<Item = &'a str>) -> Self {
        let states: Vec<String> = states.into_iter().map(quoted).collect();
        if !states.is_empty() {
            self.conditions.push(format!("[System.State] NOT IN ({})", states.join(", ")));
        }
        self
    }

    /// Only those below `area`. An area that does not exist is an error of the query.
    #[must_use]
    pub fn under(mut self, area: &str) -> Self {
        self.conditions.push(format!("[System.AreaPath] UNDER {}", quoted(area)));
        self
    }

    /// Only those saved at or after `since`.
    #[must_use]
    pub fn changed_since(mut self, since: Timestamp) -> Self {
        self.conditions.push(format!("[System.ChangedDate] >= {}", quoted(&format!("{since:.3}"))));
        self.has_time = true;
        self
    }

    /// Only those with a higher id.
    #[must_use]
    pub fn after(mut self, id: WorkItemId) -> Self {
        self.conditions.push(format!("[System.Id] > {id}"));
        self
    }

    /// The query, oldest item first unless said otherwise.
    pub fn text(&self) -> String {
        let order = if self.newest_first { "[System.ChangedDate] DESC" } else { "[System.Id] ASC" };
        format!("SELECT [System.Id] FROM WorkItems WHERE {} ORDER BY {order}", self.conditions.join(" AND "))
    }
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

impl Client {
    /// Ids that match, lowest first, at most `top`. A snapshot of an index that may lag: look at each item again before
    /// acting on it.
    ///
    /// REST: Work Item Tracking, Wiql, *Query By Wiql*.
    pub async fn query(&self, project: &str, wiql: &Wiql, top: u32) -> Result<Vec<WorkItemId>, Error> {
        let body = json!({ "query": wiql.text() });
        let mut call =
            Call::post(Operation::Query, &[project, "_apis", "wit", "wiql"], STABLE, &body).with("$top", top);
        if wiql.has_time {
            call = call.with("timePrecision", true);
        }
        let result: QueryResult = self.json(&call).await?;
        Ok(result.work_items.into_iter().map(|item| WorkItemId(item.id)).collect())
    }

    /// All ids with `label` in `project`, in whatever state; see [`all_ids`](Self::all_ids).
    pub async fn ids_with_label(
        &self,
        project: &str,
        label: &str,
        page: u32,
    ) -> Result<Vec<WorkItemId>, Error> {
        self.all_ids(project, &Wiql::labelled(label), page).await
    }

    /// All ids that match, lowest first; read `page` at a time, so one call when there are fewer.
    /// [`ErrorKind::Incomplete`] rather than a part.
    ///
    /// REST: Work Item Tracking, Wiql, *Query By Wiql*.
    pub async fn all_ids(&self, project: &str, wiql: &Wiql, page: u32) -> Result<Vec<WorkItemId>, Error> {
        let page = page.max(1);
        let mut all: Vec<WorkItemId> = Vec::new();
        for _ in 0..MAX_PAGES {
            let rest = match all.last() {
                Some(last) => wiql.clone().after(*last),
                None => wiql.clone(),
            };
            let ids = self.query(project, &rest, page).await?;
            let is_full = ids.len() >= page as usize;
            let last = all.last().copied();
            all.extend(ids.into_iter().filter(|id| last.is_none_or(|last| *id > last)));
            if !is_full {
                return Ok(all);
            }
            if all.last().copied() == last {
                break;
            }
        }
        let call = Call::get(Operation::Query, &[project, "_apis", "wit", "wiql"], STABLE);
        Err(self.incomplete(&call, "the query has no end"))
    }

    /// The items that can be read, ordered by id, without links. One that is missing here is deleted, moved out of sight
    /// or forbidden; which of them is not told.
    ///
    /// REST: Work Item Tracking, Work Items, *Get Work Items Batch*; 200 per request.
    pub async fn work_items(&self, ids: &[WorkItemId]) -> Result<Vec<WorkItem>, Error> {
        self.batches(ids, ("fields", json!(FIELDS)), Item::work_item).await
    }

    /// As [`work_items`](Self::work_items), with links and more bytes.
    ///
    /// REST: Work Item Tracking, Work Items, *Get Work Items Batch*; 200 per request.
    pub async fn work_items_with_links(&self, ids: &[WorkItemId]) -> Result<Vec<WorkItem>, Error> {
        // Fields and expansion exclude each other.
        self.batches(ids, ("$expand", json!("relations")), Item::whole_work_item).await
    }

    async fn batches(
        &self,
        ids: &[WorkItemId],
        (key, value): (&str, Value),
        read: fn(&Item) -> WorkItem,
    ) -> Result<Vec<WorkItem>, Error> {
        let mut found = BTreeMap::new();
        for ids in ids.chunks(BATCH) {
            let body = json!({ "ids": ids, key: value, "errorPolicy": "omit" });
            let call = Call::post(Operation::WorkItems, &["_apis", "wit", "workitemsbatch"], STABLE, &body);
            let list: List<Item> = self.json(&call).await?;
            found.extend(
                list.entries()
                    .map(|item| (WorkItemId(item.id), read(&item)))
                    .filter(|(id, _)| ids.contains(id)),
            );
        }
        Ok(found.into_values().collect())
    }

    /// One item with its links; absent if missing, deleted or not readable (TF401232).
    ///
    /// REST: Work Item Tracking, Work Items, *Get Work Item*.
    pub async fn work_item(&self, id: WorkItemId) -> Result<Option<WorkItem>, Error> {
        let segments = ["_apis", "wit", "workitems", &id.to_string()];
        let call = Call::get(Operation::WorkItem, &segments, STABLE).with("$expand", "relations");
        match self.json::<Item>(&call).await {
            Ok(item) => Ok(Some(item.whole_work_item())),
            Err(error) if error.is_missing_item() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The texts at one revision, as Markdown of at most [`MAX_TEXT`](super::MAX_TEXT) characters each. Untrusted.
    ///
    /// REST: Work Item Tracking, Revisions, *Get*.
    pub async fn work_item_text(&self, id: WorkItemId, revision: Revision) -> Result<WorkItemText, Error> {
        let segments = ["_apis", "wit", "workItems", &id.to_string(), "revisions", &revision.to_string()];
        let call = Call::get(Operation::WorkItemText, &segments, STABLE).with("$expand", "all");
        let item: Item = self.json(&call).await?;
        if item.rev != revision.0 {
            let message = format!("revision {} instead of {revision}", item.rev);
            return Err(self.after_answer(&call, ErrorKind::Malformed { at: "rev".into(), message }));
        }
        let text = |field: &str| {
            let stored = item.text(field);
            if item.is_markdown(field) { clean(stored) } else { to_markdown(stored) }
        };
        Ok(WorkItemText {
            title: clean(item.text("System.Title")),
            description: text("System.Description"),
            acceptance_criteria: text("Microsoft.VSTS.Common.AcceptanceCriteria"),
            repro_steps: text("Microsoft.VSTS.TCM.ReproSteps"),
            system_info: text("Microsoft.VSTS.TCM.SystemInfo"),
        })
    }

    /// When a revision was saved, by the service's clock; none when there is no such revision.
    ///
    /// REST: Work Item Tracking, Revisions, *Get*.
    pub async fn changed_at(&self, id: WorkItemId, revision: Revision) -> Result<Option<Timestamp>, Error> {
        let segments = ["_apis", "wit", "workItems", &id.to_string(), "revisions", &revision.to_string()];
        match self.json::<Item>(&Call::get(Operation::WorkItemText, &segments, STABLE)).await {
            Ok(item) => Ok(Some(item.work_item().changed_at)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The labels of one revision; none when there is no such revision.
    ///
    /// REST: Work Item Tracking, Revisions, *Get*.
    pub async fn labels_at(&self, id: WorkItemId, revision: Revision) -> Result<Option<Labels>, Error> {
        let segments = ["_apis", "wit", "workItems", &id.to_string(), "revisions", &revision.to_string()];
        match self.json::<Item>(&Call::get(Operation::WorkItemText, &segments, STABLE)).await {
            Ok(item) => Ok(Some(item.work_item().labels)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What the states of a work item type mean, by name. Differs by project and type, also for the same name.
    ///
    /// REST: Work Item Tracking, Work Item Type States, *List*.
    pub async fn states(&self, project: &str, kind: &str) -> Result<BTreeMap<String, StateCategory>, Error> {
        let segments = [project, "_apis", "wit", "workitemtypes", kind, "states"];
        let list: List<State> = self.json(&Call::get(Operation::States, &segments, STABLE)).await?;
        Ok(list.entries().map(|state| (state.name.clone(), state.category())).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_cannot_leave_their_quotes() {
        let text = Wiql::labelled("x' OR '1'='1").not_in_states(["Won't do"]).text();
        assert!(
            text.contains("CONTAINS 'x'' OR ''1''=''1'") && text.contains("NOT IN ('Won''t do')"),
            "{text}"
        );
        assert!(text.contains("[System.TeamProject] = @project"));
    }

    #[test]
    fn a_time_asks_for_time_precision() {
        let since = "2026-03-31T18:36:28.5Z".parse().expect("a timestamp");
        let wiql = Wiql::labelled("x").changed_since(since).after(WorkItemId(7));
        assert!(wiql.has_time && !Wiql::labelled("x").has_time);
        assert!(
            wiql.text().contains("[System.ChangedDate] >= '2026-03-31T18:36:28.500Z' AND [System.Id] > 7")
        );
    }
}
