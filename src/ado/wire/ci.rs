//! Policies, builds and timelines as the service sends them.

use super::{WireIdentity, is};
use crate::domain::{self, BuildId, BuildState, FailedTask, PolicyKind, PolicyStatus};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Evaluation {
    #[serde(rename = "evaluationId")]
    id: String,
    status: Option<String>,
    configuration: Option<Configuration>,
    /// Internal to the service, so read without any expectation.
    context: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Configuration {
    is_enabled: Option<bool>,
    is_blocking: Option<bool>,
    is_deleted: Option<bool>,
    r#type: Option<PolicyType>,
    settings: Option<Value>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PolicyType {
    id: Option<String>,
    display_name: Option<String>,
}

impl Configuration {
    pub(crate) fn kind(&self) -> PolicyKind {
        let id = self.r#type.as_ref().and_then(|kind| kind.id.as_deref()).unwrap_or_default();
        // Whole ids: merge strategy and minimum reviewers differ in three digits.
        match id.to_ascii_lowercase().as_str() {
            "0609b952-1397-4640-95ec-e00a01b2c241" => PolicyKind::Build,
            "cbdc66da-9728-4af8-aada-9a5a32e4a226" => PolicyKind::Status,
            "fa4e907d-c16b-4a4c-9dfa-4906e5d171dd" => PolicyKind::MinimumReviewers,
            "fd2167ab-b0be-447a-8ec8-39368250530e" => PolicyKind::RequiredReviewers,
            "c6a1889d-b943-4856-b76f-9e46bb6b0df2" => PolicyKind::CommentResolution,
            "40e92b44-2fe1-4dd6-b3d8-74a9c21d0c6e" => PolicyKind::WorkItemLink,
            "fa4e907d-c16b-4a4c-9dfa-4916e5d171ab" => PolicyKind::MergeStrategy,
            _ => PolicyKind::Other,
        }
    }

    /// Blocking has to be said; enabled is the normal case.
    pub(crate) fn gates(&self) -> bool {
        self.is_blocking == Some(true) && self.is_enabled != Some(false) && self.is_deleted != Some(true)
    }

    /// Name given by people, else what it is about.
    pub(crate) fn name(&self, context: Option<&Value>) -> String {
        let setting = |key: &str| text(self.settings.as_ref(), key);
        setting("displayName")
            .or_else(|| setting("defaultDisplayName"))
            .or_else(|| text(context, "buildDefinitionName"))
            .or_else(|| match (setting("statusGenre"), setting("statusName")) {
                (Some(genre), Some(name)) => Some(format!("{genre}/{name}")),
                (None, name) => name,
                (genre, None) => genre,
            })
            .or_else(|| self.r#type.as_ref()?.display_name.clone())
            .unwrap_or_default()
    }
}

impl Evaluation {
    pub(crate) fn evaluation(self) -> domain::PolicyEvaluation {
        let configuration = self.configuration.unwrap_or_default();
        let context = self.context.as_ref();
        domain::PolicyEvaluation {
            id: self.id.to_ascii_lowercase(),
            kind: configuration.kind(),
            name: configuration.name(context),
            status: match self.status.unwrap_or_default().to_ascii_lowercase().as_str() {
                "queued" => PolicyStatus::Queued,
                "running" => PolicyStatus::Running,
                "approved" => PolicyStatus::Approved,
                "rejected" => PolicyStatus::Rejected,
                "notapplicable" => PolicyStatus::NotApplicable,
                "broken" => PolicyStatus::Broken,
                _ => PolicyStatus::Other,
            },
            gates: configuration.gates(),
            build: context
                .and_then(|context| u32::try_from(context.get("buildId")?.as_u64()?).ok())
                .filter(|id| *id > 0)
                .map(BuildId),
            is_expired: context.and_then(|context| context.get("isExpired")?.as_bool()).unwrap_or_default(),
            head: text(context, "lastMergeSourceCommitId").and_then(|id| id.parse().ok()),
        }
    }
}

fn text(object: Option<&Value>, key: &str) -> Option<String> {
    object?.get(key)?.as_str().filter(|text| !text.trim().is_empty()).map(str::to_owned)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct WireBuild {
    id: u32,
    status: Option<String>,
    result: Option<String>,
    definition: Option<Named>,
    source_branch: Option<String>,
    source_version: Option<String>,
    validation_results: Option<Vec<Validation>>,
    last_changed_by: Option<WireIdentity>,
    #[serde(rename = "_links")]
    links: Option<Value>,
}

#[derive(Deserialize)]
struct Named {
    id: Option<u32>,
    name: Option<String>,
}

#[derive(Deserialize)]
struct Validation {
    result: Option<String>,
    message: Option<String>,
}

impl WireBuild {
    /// `page` is the address to show when the service names none.
    pub(crate) fn build(self, page: impl FnOnce(u32) -> String) -> domain::Build {
        let link = self.links.as_ref().and_then(|links| text(links.get("web"), "href"));
        let word = |word: &Option<String>| word.as_deref().unwrap_or_default().to_ascii_lowercase();
        let is_canceled = is(self.result.as_deref(), "canceled");
        domain::Build {
            id: BuildId(self.id),
            pipeline_id: self.definition.as_ref().and_then(|one| one.id).unwrap_or_default(),
            pipeline: self.definition.and_then(|one| one.name).unwrap_or_default(),
            state: match (word(&self.status).as_str(), word(&self.result).as_str()) {
                ("notstarted" | "postponed", _) => BuildState::Queued,
                ("inprogress" | "cancelling", _) => BuildState::Running,
                ("completed", "succeeded") => BuildState::Succeeded,
                ("completed", "partiallysucceeded") => BuildState::PartiallySucceeded,
                ("completed", "failed") => BuildState::Failed,
                ("completed", "canceled") => BuildState::Canceled,
                _ => BuildState::Other,
            },
            source_ref: self.source_branch.unwrap_or_default(),
            source_commit: self.source_version.and_then(|id| id.parse().ok()),
            validation_errors: self
                .validation_results
                .into_iter()
                .flatten()
                .filter(|one| is(one.result.as_deref(), "error"))
                .filter_map(|one| one.message)
                .collect(),
            canceled_by: self.last_changed_by.filter(|_| is_canceled).and_then(|who| who.certain_person()),
            url: link.filter(|url| url.starts_with("http")).unwrap_or_else(|| page(self.id)),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Timeline {
    records: Option<Vec<Record>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Record {
    id: Option<String>,
    parent_id: Option<String>,
    r#type: Option<String>,
    name: Option<String>,
    identifier: Option<String>,
    state: Option<String>,
    result: Option<String>,
    attempt: Option<u32>,
    order: Option<i64>,
    issues: Option<Vec<Issue>>,
    log: Option<Log>,
}

#[derive(Deserialize)]
struct Issue {
    r#type: Option<String>,
    message: Option<String>,
}

/// A log of a build, alone or in the list of logs.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Log {
    pub(crate) id: Option<u32>,
    pub(crate) line_count: Option<u64>,
}

/// How the sentence about a stopped job begins.
const CANCELED_BY: &str = "The build was canceled by ";
/// What the names of the service's own accounts contain: itself, and those that builds run as.
const SERVICES: [&str; 2] = ["Microsoft.VisualStudio.Services", "Build Service ("];

/// Climbing further than a timeline is deep means that its parents form a ring.
const MAX_CLIMB: usize = 8;

impl Timeline {
    /// Failed tasks of the newest attempt; without any, failed or abandoned jobs, then stages.
    pub(crate) fn failed(&self) -> Vec<FailedTask> {
        let records: Vec<&Record> = self.newest();
        let by_id: BTreeMap<&str, &Record> =
            records.iter().filter_map(|record| Some((record.id.as_deref()?, *record))).collect();
        ["Task", "Job", "Phase", "Stage"]
            .iter()
            .map(|kind| {
                let mut failed: Vec<&&Record> = records.iter().filter(|record| record.is_red(kind)).collect();
                failed.sort_by_key(|record| record.order);
                failed.into_iter().map(|record| record.task(&by_id)).collect::<Vec<_>>()
            })
            .find(|failed| !failed.is_empty())
            .unwrap_or_default()
    }

    /// Whether the newest attempt stands still before a person or a gate says yes: a checkpoint that is not over.
    pub(crate) fn is_held(&self) -> bool {
        let held = |record: &&&Record| {
            is(record.r#type.as_deref(), "Checkpoint") && is(record.state.as_deref(), "inProgress")
        };
        self.newest().iter().any(|record| held(&record))
    }

    /// The name of whoever stopped it, from the sentence that the service leaves at its jobs; no service, as far as names
    /// tell.
    pub(crate) fn canceled_by(&self) -> Option<String> {
        let records = self.newest();
        let messages = records.iter().flat_map(|record| record.issues.iter().flatten());
        messages
            .filter_map(|issue| issue.message.as_deref()?.trim().strip_prefix(CANCELED_BY))
            .map(|name| name.trim_end_matches('.').trim())
            .find(|name| !name.is_empty() && !SERVICES.iter().any(|service| name.contains(service)))
            .map(str::to_owned)
    }

    /// Without the records that a later attempt of the same part replaced.
    fn newest(&self) -> Vec<&Record> {
        let all = || self.records.iter().flatten();
        let key = |record: &Record| {
            record
                .identifier
                .clone()
                .map(|identifier| (record.r#type.clone(), record.parent_id.clone(), identifier))
        };
        let mut newest = BTreeMap::new();
        for record in all() {
            let attempt = newest.entry(key(record)).or_insert(0);
            *attempt = record.attempt.unwrap_or(1).max(*attempt);
        }
        all()
            .filter(|record| {
                let key = key(record);
                key.is_none() || newest.get(&key) == Some(&record.attempt.unwrap_or(1))
            })
            .collect()
    }
}

impl Record {
    fn is_red(&self, kind: &str) -> bool {
        is(self.r#type.as_deref(), kind)
            && (is(self.result.as_deref(), "failed")
                || (kind != "Task" && is(self.result.as_deref(), "abandoned")))
    }

    /// Named with the stage (if people named it) and the job around it.
    fn task(&self, by_id: &BTreeMap<&str, &Self>) -> FailedTask {
        let mut names = vec![self.name.clone().unwrap_or_default()];
        let mut parent = self.parent_id.as_deref();
        for _ in 0..MAX_CLIMB {
            let Some(record) = parent.and_then(|id| by_id.get(id)) else { break };
            let name = record.name.as_deref().unwrap_or_default();
            let is_named = !name.is_empty() && !name.starts_with("__default");
            if is_named && (is(record.r#type.as_deref(), "Job") || is(record.r#type.as_deref(), "Stage")) {
                names.push(name.to_owned());
            }
            parent = record.parent_id.as_deref();
        }
        names.reverse();
        let errors = self.issues.iter().flatten().filter(|issue| is(issue.r#type.as_deref(), "error"));
        FailedTask {
            name: names.join(" › "),
            messages: errors.filter_map(|issue| issue.message.clone()).collect(),
            log: self.log.as_ref().and_then(|log| log.id),
        }
    }
}
