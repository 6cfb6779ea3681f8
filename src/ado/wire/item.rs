//! Work items, their updates, comments and states as the service sends them.

use super::{WireIdentity, date, is};
use crate::ado::text::to_markdown;
use crate::domain::{Labels, Link, PullRequestId, Revision, StateCategory, WorkItem, WorkItemId};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct QueryResult {
    pub(crate) work_items: Vec<Reference>,
}

#[derive(Deserialize)]
pub(crate) struct Reference {
    pub(crate) id: u32,
}

/// A work item or one revision of it. Without id and rev it is none.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Item {
    pub(crate) id: u32,
    pub(crate) rev: u32,
    #[serde(default)]
    fields: BTreeMap<String, Value>,
    #[serde(default)]
    relations: Option<Vec<Relation>>,
    #[serde(default)]
    multiline_fields_format: Option<BTreeMap<String, Value>>,
}

/// A link that says only that two items have to do with each other.
pub(crate) const RELATED: &str = "System.LinkTypes.Related";

#[derive(Default, Deserialize)]
#[serde(default)]
pub(crate) struct Relation {
    rel: Option<String>,
    url: Option<String>,
    attributes: Option<Attributes>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Attributes {
    name: Option<String>,
}

/// An uploaded file. Without address it is none.
#[derive(Deserialize)]
pub(crate) struct Uploaded {
    pub(crate) url: String,
}

impl Item {
    pub(crate) fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// Whether a long text is stored as Markdown; it is HTML unless told otherwise.
    pub(crate) fn is_markdown(&self, field: &str) -> bool {
        let format = self.multiline_fields_format.as_ref().and_then(|formats| formats.get(field));
        format.is_some_and(|format| is(format.as_str(), "markdown"))
    }

    pub(crate) fn work_item(&self) -> WorkItem {
        let priority = self.fields.get("Microsoft.VSTS.Common.Priority").and_then(Value::as_f64);
        WorkItem {
            id: WorkItemId(self.id),
            revision: Revision(self.rev),
            project: self.text("System.TeamProject").to_owned(),
            kind: self.text("System.WorkItemType").to_owned(),
            title: self.text("System.Title").to_owned(),
            state: self.text("System.State").to_owned(),
            labels: labels(self.text("System.Tags")),
            area: self.text("System.AreaPath").to_owned(),
            assigned_to: self
                .fields
                .get("System.AssignedTo")
                .and_then(identity)
                .and_then(|who| who.somebody()),
            priority: (1..=u8::MAX).find(|whole| priority == Some(f64::from(*whole))),
            changed_at: super::parse_date(self.text("System.ChangedDate")).unwrap_or(Timestamp::UNIX_EPOCH),
            changed_by: self
                .fields
                .get("System.ChangedBy")
                .and_then(identity)
                .and_then(|who| who.known())
                .map(|who| who.id),
            is_described: None,
            links: self.relations.iter().flatten().filter_map(Relation::link).collect(),
        }
    }
}

/// Texts that can say what is wanted, besides the title.
const WANTED: [&str; 3] =
    ["System.Description", "Microsoft.VSTS.Common.AcceptanceCriteria", "Microsoft.VSTS.TCM.ReproSteps"];

impl Item {
    /// As [`work_item`](Self::work_item), of a read with all fields. The service leaves out what is empty.
    pub(crate) fn whole_work_item(&self) -> WorkItem {
        // A picture says something, too.
        let says = |text: &str| text.contains("<img") || !to_markdown(text).trim().is_empty();
        let is_described = WANTED.iter().any(|field| says(self.text(field)));
        WorkItem { is_described: Some(is_described), ..self.work_item() }
    }
}

impl Relation {
    fn link(&self) -> Option<Link> {
        let (rel, url) = (self.rel.as_deref()?, self.url.as_deref()?);
        if rel.eq_ignore_ascii_case("System.LinkTypes.Dependency-Reverse") {
            return Some(Link::Predecessor(WorkItemId(url.rsplit('/').next()?.parse().ok()?)));
        }
        if rel.eq_ignore_ascii_case(RELATED) {
            return Some(Link::Related(WorkItemId(url.rsplit('/').next()?.parse().ok()?)));
        }
        if rel.eq_ignore_ascii_case("AttachedFile") {
            return Some(Link::File { name: self.attributes.as_ref()?.name.clone()? });
        }
        if !rel.eq_ignore_ascii_case("ArtifactLink") {
            return None;
        }
        let (kind, rest) = url.strip_prefix("vstfs:///Git/")?.split_once('/')?;
        let decoded = percent_encoding::percent_decode_str(rest).decode_utf8().ok()?;
        let mut parts = decoded.splitn(3, '/');
        let project_id = parts.next()?.to_ascii_lowercase();
        let (repository_id, target) = (parts.next()?.to_ascii_lowercase(), parts.next()?);
        if kind.eq_ignore_ascii_case("PullRequestId") {
            Some(Link::PullRequest { project_id, repository_id, id: PullRequestId(target.parse().ok()?) })
        } else if kind.eq_ignore_ascii_case("Ref") {
            Some(Link::Branch { project_id, repository_id, branch: target.strip_prefix("GB")?.to_owned() })
        } else {
            None
        }
    }
}

/// `"a; b"` as a set.
pub(crate) fn labels(text: &str) -> Labels {
    Labels::new(text.split(';'))
}

fn identity(value: &Value) -> Option<WireIdentity> {
    WireIdentity::deserialize(value).ok()
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Update {
    pub(crate) id: u32,
    pub(crate) rev: u32,
    pub(crate) revised_by: Option<WireIdentity>,
    /// When the revision was superseded; absent after [`date`] for the current one.
    #[serde(default, deserialize_with = "date")]
    pub(crate) revised_date: Option<Timestamp>,
    #[serde(default)]
    pub(crate) fields: Option<BTreeMap<String, Change>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Change {
    pub(crate) old_value: Value,
    pub(crate) new_value: Value,
}

impl Update {
    pub(crate) fn change(&self, field: &str) -> Option<&Change> {
        self.fields.as_ref()?.get(field)
    }

    /// The authenticated account, where this update changes it.
    pub(crate) fn authorized_as(&self) -> Option<WireIdentity> {
        identity(&self.change("System.AuthorizedAs")?.new_value)
    }

    pub(crate) fn changed_at(&self) -> Option<Timestamp> {
        super::parse_date(self.change("System.ChangedDate")?.new_value.as_str()?)
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CommentPage {
    pub(crate) comments: Vec<Comment>,
    pub(crate) continuation_token: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Comment {
    /// An official example names it `commentId`.
    #[serde(alias = "commentId")]
    pub(crate) id: u32,
    #[serde(default)]
    pub(crate) text: Option<String>,
    #[serde(default)]
    format: Option<Value>,
    #[serde(default)]
    pub(crate) created_by: Option<WireIdentity>,
    #[serde(default)]
    pub(crate) created_on_behalf_of: Option<WireIdentity>,
    #[serde(default, deserialize_with = "date")]
    pub(crate) created_date: Option<Timestamp>,
    #[serde(default, deserialize_with = "date")]
    pub(crate) modified_date: Option<Timestamp>,
    #[serde(default)]
    pub(crate) is_deleted: Option<bool>,
}

impl Comment {
    /// The word or its number: 0 is Markdown, 1 is HTML.
    pub(crate) fn is_markdown(&self) -> bool {
        self.format
            .as_ref()
            .is_some_and(|format| is(format.as_str(), "markdown") || format.as_u64() == Some(0))
    }
}

#[derive(Deserialize)]
pub(crate) struct State {
    pub(crate) name: String,
    category: Option<String>,
}

impl State {
    pub(crate) fn category(&self) -> StateCategory {
        match self.category.as_deref().unwrap_or_default().to_ascii_lowercase().as_str() {
            "proposed" => StateCategory::Proposed,
            "inprogress" => StateCategory::InProgress,
            "resolved" => StateCategory::Resolved,
            "completed" => StateCategory::Completed,
            "removed" => StateCategory::Removed,
            _ => StateCategory::Other,
        }
    }
}
