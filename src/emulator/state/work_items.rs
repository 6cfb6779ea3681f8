//! Work items: fields, revisions, updates and relations, and the one way to save them.
//!
//! It knows what makes a revision (fields, comments, hyperlinks, attachments, artifact links) and what does not (links
//! between work items). It does not know patches or HTTP; `patch` translates those into saves.

use super::{World, comments::ItemComment};
use crate::emulator::wire::{FOREVER, Problem, encode, stamp};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::{collections::BTreeMap, sync::Arc};

pub(crate) type Fields = Map<String, Value>;

/// Fields that only answer when asked for by name or with `$expand`.
const SHY: [&str; 8] = [
    "System.Id",
    "System.Rev",
    "System.AreaId",
    "System.AuthorizedAs",
    "System.AuthorizedDate",
    "System.RevisedDate",
    "System.Watermark",
    "System.History",
];

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Relation {
    pub(crate) rel: String,
    pub(crate) url: String,
    pub(crate) attributes: Map<String, Value>,
}

impl Relation {
    /// Links between work items live beside the revisions: they do not bump `rev`.
    pub(crate) fn between_items(&self) -> bool {
        self.rel.to_ascii_lowercase().starts_with("system.linktypes.")
    }

    pub(crate) fn target(&self) -> Option<i64> {
        if !self.between_items() {
            return None;
        }
        self.url.rsplit('/').next().and_then(|id| id.parse().ok())
    }

    fn json(&self) -> Value {
        json!({"rel": self.rel, "url": self.url, "attributes": self.attributes})
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Revision {
    pub(crate) rev: i64,
    pub(crate) at: Timestamp,
    pub(crate) fields: Fields,
    pub(crate) relations: Vec<Relation>,
}

#[derive(Clone, Debug)]
pub(crate) struct Update {
    pub(crate) rev: i64,
    pub(crate) by: String,
    pub(crate) superseded: Option<Timestamp>,
    pub(crate) fields: Fields,
    pub(crate) added: Vec<Relation>,
    pub(crate) removed: Vec<Relation>,
    pub(crate) updated: Vec<Relation>,
}

#[derive(Clone, Debug)]
pub(crate) struct WorkItem {
    pub(crate) id: i64,
    pub(crate) project: String,
    pub(crate) rev: i64,
    pub(crate) fields: Fields,
    pub(crate) relations: Vec<Relation>,
    pub(crate) formats: BTreeMap<String, String>,
    pub(crate) revisions: Vec<Arc<Revision>>,
    pub(crate) updates: Vec<Arc<Update>>,
    pub(crate) comments: Vec<ItemComment>,
    pub(crate) deleted: bool,
}

impl WorkItem {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    pub(crate) fn tags(&self) -> Vec<String> {
        split_tags(self.text("System.Tags"))
    }
}

pub(crate) fn split_tags(text: &str) -> Vec<String> {
    text.split([';', ',']).map(str::trim).filter(|tag| !tag.is_empty()).map(str::to_owned).collect()
}

/// How much of an item an answer shows.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) fields: Option<Vec<String>>,
    pub(crate) expand: String,
    pub(crate) links: bool,
    pub(crate) as_of: Option<Timestamp>,
}

impl View {
    fn expands(&self, what: &str) -> bool {
        self.expand.eq_ignore_ascii_case("all") || self.expand.eq_ignore_ascii_case(what)
    }
}

/// A save: what shall be true afterwards.
#[derive(Clone, Debug, Default)]
pub(crate) struct Save {
    pub(crate) fields: Fields,
    pub(crate) relations: Vec<Relation>,
    pub(crate) history: Option<String>,
    /// In whose name, if not in that of the account that saves.
    pub(crate) changed_by: Option<Value>,
    /// A change of the discussion that is not a new entry (edit, delete): a revision without other fields.
    pub(crate) touch: bool,
    pub(crate) formats: BTreeMap<String, String>,
}

impl World {
    /// A readable item. Missing, deleted and forbidden look alike, as they do in reality.
    pub(crate) fn item(&self, id: i64) -> Result<&Arc<WorkItem>, Problem> {
        self.items
            .get(&id)
            .filter(|item| !item.deleted && !self.knobs.unreadable_items.contains(&id))
            .ok_or_else(|| {
                Problem::new(
                    404,
                    "WorkItemUnauthorizedAccessException",
                    format!(
                        "TF401232: Work item {id} does not exist, or you do not have permissions to read it."
                    ),
                )
            })
    }

    pub(crate) fn item_mut(&mut self, id: i64) -> Option<&mut WorkItem> {
        self.items.get_mut(&id).map(Arc::make_mut)
    }

    /// A save that begins where the item stands.
    pub(crate) fn edit(&self, id: i64) -> Result<Save, Problem> {
        let item = self.item(id)?;
        Ok(Save {
            fields: item.fields.clone(),
            relations: item.relations.clone(),
            formats: item.formats.clone(),
            ..Save::default()
        })
    }

    pub(crate) fn next_item_id(&self) -> i64 {
        self.items.keys().next_back().map_or(1, |id| id + 1)
    }

    /// The first revision. `save.fields` holds type, title and whatever else was given.
    pub(crate) fn create_item(&mut self, project: &str, save: Save, by: &str) -> Result<i64, Problem> {
        let id = self.next_item_id();
        let now = self.now();
        let Some(owner) = self.projects.get(project) else { return Err(Problem::argument("project")) };
        let name = owner.name.clone();
        let mut fields = save.fields.clone();
        for (field, value) in [
            ("System.Id", json!(id)),
            ("System.TeamProject", json!(name)),
            ("System.CreatedDate", json!(stamp(now))),
            ("System.CreatedBy", self.identity(by)),
            ("System.CommentCount", json!(0)),
        ] {
            fields.insert(field.to_owned(), value);
        }
        for (field, value) in [
            ("System.AreaPath", json!(name)),
            ("System.IterationPath", json!(name)),
            ("System.Reason", json!("New")),
            ("Microsoft.VSTS.Common.StateChangeDate", json!(stamp(now))),
            ("Microsoft.VSTS.Common.Priority", json!(2)),
        ] {
            fields.entry(field.to_owned()).or_insert(value);
        }
        self.items.insert(
            id,
            Arc::new(WorkItem {
                id,
                project: project.to_owned(),
                rev: 0,
                fields: Map::new(),
                relations: Vec::new(),
                formats: BTreeMap::new(),
                revisions: Vec::new(),
                updates: Vec::new(),
                comments: Vec::new(),
                deleted: false,
            }),
        );
        self.save_item(id, Save { fields, ..save }, by);
        Ok(id)
    }

    /// Applies a save whole. Nothing changed means no revision; only work item links changed means an update without one.
    pub(crate) fn save_item(&mut self, id: i64, save: Save, by: &str) {
        let now = self.now();
        let author = self.identity(by);
        let Some(item) = self.items.get(&id) else { return };
        let old = item.fields.clone();
        let (added, removed, updated) = relation_changes(&item.relations, &save.relations);
        let bumping = added.iter().chain(&removed).chain(&updated).any(|relation| !relation.between_items());
        let differs = |field: &String| old.get(field) != save.fields.get(field);
        let fields_changed = old.keys().chain(save.fields.keys()).any(differs);
        let revision = fields_changed || bumping || save.touch || save.history.is_some();
        if !revision && added.is_empty() && removed.is_empty() && updated.is_empty() {
            return;
        }
        for link in added.iter().filter(|link| link.between_items()) {
            self.mirror(id, link, true, by);
        }
        for link in removed.iter().filter(|link| link.between_items()) {
            self.mirror(id, link, false, by);
        }
        if !revision {
            let Some(item) = self.item_mut(id) else { return };
            item.relations = save.relations;
            let rev = item.rev;
            push_update(
                item,
                Update { rev, by: by.into(), superseded: None, fields: Map::new(), added, removed, updated },
                now,
            );
            return;
        }
        self.watermark += 1;
        let watermark = self.watermark;
        // Whoever may bypass rules can save in anybody's name; the account that did so stays on record.
        let shown = save.changed_by.clone().unwrap_or_else(|| author.clone());
        let by = shown["id"].as_str().unwrap_or(by).to_owned();
        let by = by.as_str();
        let comment = save.history.as_ref().map(|text| self.new_comment(id, text, "html", by, now));
        let Some(item) = self.item_mut(id) else { return };
        let mut fields = save.fields;
        item.rev += 1;
        if let Some(comment) = comment {
            item.comments.push(comment);
        }
        let alive = item.comments.iter().filter(|comment| !comment.deleted).count();
        for (field, value) in [
            ("System.Rev", json!(item.rev)),
            ("System.ChangedDate", json!(stamp(now))),
            ("System.ChangedBy", shown),
            ("System.AuthorizedAs", author),
            ("System.AuthorizedDate", json!(stamp(now))),
            ("System.RevisedDate", json!(FOREVER)),
            ("System.Watermark", json!(watermark)),
            ("System.CommentCount", json!(alive)),
        ] {
            fields.insert(field.to_owned(), value);
        }
        let mut changed = Map::new();
        for field in old.keys().chain(fields.keys()) {
            let (before, after) = (old.get(field), fields.get(field));
            if before != after {
                let mut entry = Map::new();
                before.map(|value| entry.insert("oldValue".into(), value.clone()));
                after.map(|value| entry.insert("newValue".into(), value.clone()));
                changed.insert(field.clone(), Value::Object(entry));
            }
        }
        if item.rev > 1 {
            changed.insert("System.RevisedDate".into(), json!({"oldValue": stamp(now), "newValue": FOREVER}));
        }
        if let Some(text) = &save.history {
            changed.insert("System.History".into(), json!({"newValue": text}));
        }
        item.fields = fields;
        item.relations = save.relations;
        item.formats = save.formats;
        item.revisions.push(Arc::new(Revision {
            rev: item.rev,
            at: now,
            fields: item.fields.clone(),
            relations: item.relations.clone(),
        }));
        let rev = item.rev;
        push_update(
            item,
            Update { rev, by: by.into(), superseded: None, fields: changed, added, removed, updated },
            now,
        );
    }

    /// The other end of a link gets its own relation and update, without a revision.
    fn mirror(&mut self, id: i64, link: &Relation, add: bool, by: &str) {
        let now = self.now();
        let Some(target) = link.target() else { return };
        let Some(project) = self.items.get(&id).map(|item| item.project.clone()) else { return };
        let (rel, name) = opposite(&link.rel);
        let back = Relation {
            rel,
            url: format!("{}/_apis/wit/workItems/{id}", self.project_url(&project)),
            attributes: Map::from_iter([
                ("isLocked".to_owned(), json!(false)),
                ("name".to_owned(), json!(name)),
            ]),
        };
        let Some(other) = self.item_mut(target) else { return };
        let at = other
            .relations
            .iter()
            .position(|known| known.rel.eq_ignore_ascii_case(&back.rel) && known.target() == Some(id));
        let (mut added, mut removed) = (Vec::new(), Vec::new());
        match (add, at) {
            (true, None) => {
                other.relations.push(back.clone());
                added.push(back);
            }
            (false, Some(index)) => removed.push(other.relations.remove(index)),
            _ => return,
        }
        let rev = other.rev;
        let update = Update {
            rev,
            by: by.to_owned(),
            superseded: None,
            fields: Map::new(),
            added,
            removed,
            updated: Vec::new(),
        };
        push_update(other, update, now);
    }

    pub(crate) fn item_url(&self, item: &WorkItem) -> String {
        format!("{}/_apis/wit/workItems/{}", self.project_url(&item.project), item.id)
    }

    pub(crate) fn item_json(&self, item: &WorkItem, view: &View) -> Value {
        let (rev, all, relations) = match view.as_of {
            None => (item.rev, &item.fields, &item.relations),
            Some(date) => match item.revisions.iter().rev().find(|revision| revision.at <= date) {
                Some(revision) => (revision.rev, &revision.fields, &revision.relations),
                None => return Value::Null,
            },
        };
        self.render(item, rev, all, relations, view, &self.item_url(item))
    }

    pub(crate) fn revision_json(&self, item: &WorkItem, revision: &Revision, view: &View) -> Value {
        let url = format!("{}/revisions/{}", self.item_url(item), revision.rev);
        self.render(item, revision.rev, &revision.fields, &revision.relations, view, &url)
    }

    fn render(
        &self,
        item: &WorkItem,
        rev: i64,
        all: &Fields,
        relations: &[Relation],
        view: &View,
        url: &str,
    ) -> Value {
        let mut fields = Map::new();
        let parent = relations
            .iter()
            .find(|r| r.rel.eq_ignore_ascii_case("System.LinkTypes.Hierarchy-Reverse"))
            .and_then(Relation::target);
        let full = view.expands("fields");
        for (name, value) in all.iter().filter(|(_, value)| !value.is_null() && value.as_str() != Some("")) {
            let wanted = match &view.fields {
                Some(names) => names.iter().any(|wanted| wanted.eq_ignore_ascii_case(name)),
                None => full || !SHY.contains(&name.as_str()),
            };
            if wanted {
                fields.insert(name.clone(), value.clone());
            }
        }
        let parent_wanted = view
            .fields
            .as_ref()
            .is_none_or(|names| names.iter().any(|n| n.eq_ignore_ascii_case("System.Parent")));
        if let Some(parent) = parent.filter(|_| parent_wanted) {
            fields.insert("System.Parent".into(), json!(parent));
        }
        let mut answer = json!({"id": item.id, "rev": rev, "fields": fields, "url": url});
        if !item.formats.is_empty() && view.fields.is_none() {
            answer["multilineFieldsFormat"] = json!(item.formats);
        }
        if view.expands("relations") && !relations.is_empty() {
            answer["relations"] = relations.iter().map(Relation::json).collect();
        }
        if view.links || view.expands("links") {
            let here = self.item_url(item);
            let kind = encode(item.text("System.WorkItemType"));
            let project = self.project_url(&item.project);
            answer["_links"] = json!({
                "self": {"href": here},
                "workItemUpdates": {"href": format!("{here}/updates")},
                "workItemRevisions": {"href": format!("{here}/revisions")},
                "workItemComments": {"href": format!("{here}/comments")},
                "html": {"href": format!("{project}/_workitems/edit/{}", item.id)},
                "workItemType": {"href": format!("{project}/_apis/wit/workItemTypes/{kind}")},
                "fields": {"href": format!("{project}/_apis/wit/fields")},
            });
        }
        answer
    }

    pub(crate) fn update_json(&self, item: &WorkItem, number: usize) -> Option<Value> {
        let update = item.updates.get(number.checked_sub(1)?)?;
        let mut answer = json!({
            "id": number, "workItemId": item.id, "rev": update.rev,
            "revisedBy": self.identity(&update.by),
            "revisedDate": update.superseded.map_or_else(|| FOREVER.to_owned(), stamp),
            "url": format!("{}/updates/{number}", self.item_url(item)),
        });
        if !update.fields.is_empty() {
            answer["fields"] = json!(update.fields);
        }
        let lists = [("added", &update.added), ("removed", &update.removed), ("updated", &update.updated)];
        let relations: Map<String, Value> = lists
            .iter()
            .filter(|(_, list)| !list.is_empty())
            .map(|(name, list)| ((*name).to_owned(), list.iter().map(Relation::json).collect()))
            .collect();
        if !relations.is_empty() {
            answer["relations"] = json!(relations);
        }
        Some(answer)
    }

    /// The category of an item's state, by its own project and type.
    pub(crate) fn category(&self, item: &WorkItem) -> &'static str {
        self.projects
            .get(&item.project)
            .and_then(|project| project.process.item_type(item.text("System.WorkItemType")))
            .and_then(|kind| kind.state(item.text("System.State")))
            .map_or("", |state| state.category)
    }
}

fn push_update(item: &mut WorkItem, update: Update, now: Timestamp) {
    if let Some(last) = item.updates.last_mut() {
        Arc::make_mut(last).superseded = Some(now);
    }
    item.updates.push(Arc::new(update));
}

type Changes = (Vec<Relation>, Vec<Relation>, Vec<Relation>);

fn relation_changes(old: &[Relation], new: &[Relation]) -> Changes {
    let same = |a: &Relation, b: &Relation| a.rel == b.rel && a.url == b.url;
    let added = new.iter().filter(|n| !old.iter().any(|o| same(o, n))).cloned().collect();
    let removed = old.iter().filter(|o| !new.iter().any(|n| same(o, n))).cloned().collect();
    let updated = new
        .iter()
        .filter(|n| old.iter().any(|o| same(o, n) && o.attributes != n.attributes))
        .cloned()
        .collect();
    (added, removed, updated)
}

/// The relation types between work items: reference name, what its holder calls it.
pub(crate) const LINK_TYPES: [(&str, &str); 7] = [
    ("System.LinkTypes.Dependency-Forward", "Successor"),
    ("System.LinkTypes.Dependency-Reverse", "Predecessor"),
    ("System.LinkTypes.Hierarchy-Forward", "Child"),
    ("System.LinkTypes.Hierarchy-Reverse", "Parent"),
    ("System.LinkTypes.Duplicate-Forward", "Duplicate"),
    ("System.LinkTypes.Duplicate-Reverse", "Duplicate Of"),
    ("System.LinkTypes.Related", "Related"),
];

fn opposite(rel: &str) -> (String, &'static str) {
    let flipped = match rel.rsplit_once('-') {
        Some((stem, end)) if end.eq_ignore_ascii_case("forward") => format!("{stem}-Reverse"),
        Some((stem, _)) => format!("{stem}-Forward"),
        None => rel.to_owned(),
    };
    let known = LINK_TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(&flipped));
    known.map_or((flipped.clone(), "Related"), |(name, label)| ((*name).to_owned(), label))
}
