//! JSON patches on work items: `test`, `add`, `replace`, `remove` on `/rev`, `/fields/…` and `/relations/…`.
//!
//! A patch is atomic: it is played on a copy and saved at the end. The traps of `System.Tags` live here.

use super::{
    World,
    fields::{Kind, field, label},
    process::Process,
    work_items::{LINK_TYPES, Relation, Save, WorkItem, split_tags},
};
use crate::emulator::wire::{Problem, stamp};
use serde_json::{Map, Value, json};
use std::sync::Arc;

/// Beyond this many revisions the service refuses further saves by programs.
const REVISIONS: i64 = 10_000;

/// The query switches of a save.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Flags {
    pub(crate) validate_only: bool,
    pub(crate) bypass_rules: bool,
    pub(crate) suppress_notifications: bool,
}

struct Target<'a> {
    project: &'a str,
    process: Process,
    kind: &'a str,
    item: Option<Arc<WorkItem>>,
}

impl World {
    /// Plays a patch on an item and saves it.
    pub(crate) fn patch_item(
        &mut self,
        id: i64,
        document: &Value,
        flags: Flags,
        by: &str,
    ) -> Result<(), Problem> {
        let item = Arc::clone(self.item(id)?);
        if item.rev >= REVISIONS {
            return Err(Problem::argument(format!(
                "VS403420: Work item {id} has reached the limit of {REVISIONS} revisions through the REST interface."
            )));
        }
        let mut save = self.edit(id)?;
        let project = self.moved_to(document)?.unwrap_or_else(|| item.project.clone());
        let process = self.projects.get(&project).map(|project| project.process).unwrap_or_default();
        let kind = item.text("System.WorkItemType").to_owned();
        let target = Target { project: &project, process, kind: &kind, item: Some(Arc::clone(&item)) };
        self.play(&target, document, &mut save, flags, by)?;
        let spelled = self.projects.get(&project).map(|project| project.name.clone());
        save.fields.insert("System.TeamProject".into(), json!(spelled));
        if flags.validate_only {
            return Ok(());
        }
        if let Some(winner) = self.knobs.races.remove(&id) {
            let other = Save { touch: true, ..self.edit(id)? };
            self.save_item(id, other, &winner);
            return Err(conflict());
        }
        self.save_item(id, save, by);
        if let Some(item) = self.item_mut(id) {
            item.project = project;
        }
        Ok(())
    }

    /// The id of the project that a patch moves an item to. The id of the item, its discussion and its links stay; area
    /// and iteration are paths of the new project and have to come in the same patch.
    fn moved_to(&self, document: &Value) -> Result<Option<String>, Problem> {
        let operations = document.as_array().map_or(&[][..], Vec::as_slice);
        let moves = operations.iter().rev().find(|operation| {
            let path = operation["path"].as_str().unwrap_or_default();
            let is_write = operation["op"].as_str().is_some_and(|op| !op.eq_ignore_ascii_case("test"));
            is_write && path.eq_ignore_ascii_case("/fields/System.TeamProject")
        });
        let Some(moves) = moves else { return Ok(None) };
        let name = moves["value"].as_str().unwrap_or_default();
        Ok(Some(self.project(name)?.id.clone()))
    }

    /// Plays a patch on nothing and saves the first revision. `None` when only validated.
    pub(crate) fn patch_new(
        &mut self,
        project: &str,
        kind: &str,
        document: &Value,
        flags: Flags,
        by: &str,
    ) -> Result<Option<i64>, Problem> {
        let process = self.projects.get(project).map(|project| project.process).unwrap_or_default();
        let Some(item_type) = process.item_type(kind) else {
            return Err(Problem::new(
                404,
                "WorkItemTypeNotFoundException",
                format!(
                    "VS402323: Work item type {kind} does not exist in project {project} or you do not have permission to \
                     access it."
                ),
            ));
        };
        let mut save = Save::default();
        save.fields.insert("System.WorkItemType".into(), json!(item_type.name));
        save.fields.insert("System.State".into(), json!(item_type.states.first().map(|state| state.name)));
        let target = Target { project, process, kind: item_type.name, item: None };
        self.play(&target, document, &mut save, flags, by)?;
        if flags.validate_only {
            return Ok(None);
        }
        let history = save.history.take();
        let links = std::mem::take(&mut save.relations);
        let id = self.create_item(project, Save { history, ..save }, by)?;
        if !links.is_empty() {
            // Links given at birth belong to the first revision in reality; the mirror ends need the id first.
            let mut with_links = self.edit(id)?;
            with_links.relations = links;
            self.attach_at_birth(id, with_links, by);
        }
        Ok(Some(id))
    }

    fn attach_at_birth(&mut self, id: i64, save: Save, by: &str) {
        let (between, own): (Vec<_>, Vec<_>) = save.relations.into_iter().partition(Relation::between_items);
        if let Some(item) = self.item_mut(id) {
            item.relations.clone_from(&own);
            if let Some(first) = item.revisions.first_mut() {
                Arc::make_mut(first).relations.clone_from(&own);
            }
            if let Some(first) = item.updates.first_mut() {
                Arc::make_mut(first).added.clone_from(&own);
            }
        }
        if let Ok(mut next) = self.edit(id) {
            next.relations.extend(between);
            self.save_item(id, next, by);
        }
    }

    fn play(
        &mut self,
        target: &Target<'_>,
        document: &Value,
        save: &mut Save,
        flags: Flags,
        by: &str,
    ) -> Result<(), Problem> {
        let permitted = self.accounts.get(by).is_some_and(|account| account.bypass_rules);
        if (flags.bypass_rules || flags.suppress_notifications) && !permitted {
            return Err(Problem::new(
                403,
                "AccessCheckException",
                "TF237111: The current user does not have permissions to bypass rules or suppress notifications on work item \
                 updates.",
            ));
        }
        let Some(operations) = document.as_array().filter(|operations| !operations.is_empty()) else {
            return Err(Problem::new(
                400,
                "VssPropertyValidationException",
                "You must pass a valid patch document in the body of the request.",
            ));
        };
        for operation in operations {
            let op = operation["op"].as_str().unwrap_or_default().to_ascii_lowercase();
            let path = operation["path"].as_str().unwrap_or_default();
            let value = &operation["value"];
            if !matches!(op.as_str(), "add" | "replace" | "remove" | "test") {
                return Err(Problem::new(
                    400,
                    "PatchOperationFailedException",
                    format!("VS403350: The patch operation '{op}' is not supported for path {path}."),
                ));
            }
            if path.eq_ignore_ascii_case("/rev") {
                let current = target.item.as_ref().map(|item| json!(item.rev));
                // A server of one's own was seen to answer the plain mismatch as a conflict of revisions.
                test(&op, path, current, value)
                    .map_err(|problem| if self.knobs.hosted { problem } else { conflict() })?;
            } else if let Some(name) = strip(path, "/fields/") {
                self.field_operation(target, &op, path, name, value, save, flags, by)?;
            } else if let Some(place) = strip(path, "/relations/") {
                self.relation_operation(&op, place, value, save)?;
            } else if let Some(name) = strip(path, "/multilineFieldsFormat/") {
                if !self.knobs.hosted {
                    return Err(Problem::argument(
                        "The multilineFieldsFormat path is not known on this server.",
                    ));
                }
                let Some((reference, Kind::Html, _)) = field(name) else {
                    return Err(Problem::argument(format!("Field {name} is not a multiline field.")));
                };
                let touched = operations.iter().any(|other| {
                    other["path"].as_str().is_some_and(|p| p.eq_ignore_ascii_case(&format!("/fields/{name}")))
                });
                if !touched {
                    return Err(Problem::argument(format!(
                        "The format of {name} cannot be changed without its text."
                    )));
                }
                save.formats.insert(reference, value.as_str().unwrap_or_default().to_ascii_lowercase());
            } else {
                return Err(Problem::new(
                    400,
                    "PatchOperationFailedException",
                    format!("VS403350: Unable to evaluate path {path}."),
                ));
            }
        }
        self.rules(target, save, flags, by)
    }

    #[expect(clippy::too_many_arguments, reason = "one operation of a patch needs its whole surroundings")]
    fn field_operation(
        &mut self,
        target: &Target<'_>,
        op: &str,
        path: &str,
        name: &str,
        value: &Value,
        save: &mut Save,
        flags: Flags,
        by: &str,
    ) -> Result<(), Problem> {
        let Some((reference, kind, read_only)) = field(name) else {
            return Err(Problem::new(
                400,
                "WorkItemTrackingFieldDefinitionNotFoundException",
                format!("TF51535: Cannot find field {name}."),
            ));
        };
        if op == "test" {
            let current = save.fields.get(&reference).map(|current| match kind {
                Kind::Identity => json!(format!(
                    "{} <{}>",
                    current["displayName"].as_str().unwrap_or_default(),
                    current["uniqueName"].as_str().unwrap_or_default()
                )),
                _ => current.clone(),
            });
            return test(op, path, current, value);
        }
        if op == "remove" && !value.is_null() {
            return Err(Problem::new(
                400,
                "PatchOperationFailedException",
                format!("VS403352: Remove requires Value to be null. Path: {path}."),
            ));
        }
        if read_only && !flags.bypass_rules {
            let message = format!("TF401326: Invalid field status 'ReadOnly' for field '{reference}'.");
            return Err(Problem::rule(&reference, "readOnly", &message));
        }
        if reference == "System.WorkItemType" && target.item.is_some() {
            return Err(Problem::argument("The emulator does not change the type of a work item."));
        }
        if op == "remove" || value.is_null() || value.as_str() == Some("") {
            save.fields.remove(&reference);
            return Ok(());
        }
        let wrong = || {
            let field = label(&reference);
            Problem::rule(
                &reference,
                "invalidType",
                &format!("TF401320: Rule Error for field {field}. Error code: InvalidType."),
            )
        };
        let stored = match kind {
            Kind::Tags => {
                let text = value.as_str().ok_or_else(wrong)?;
                let mut tags = if op == "add" {
                    split_tags(save.fields.get(&reference).and_then(Value::as_str).unwrap_or_default())
                } else {
                    Vec::new()
                };
                for tag in split_tags(text) {
                    let spelled = self.tag(target.project, &tag, by)?;
                    if !tags.iter().any(|known| known.to_lowercase() == spelled.to_lowercase()) {
                        tags.push(spelled);
                    }
                }
                if tags.len() > 100 {
                    return Err(Problem::argument("TF401288: A work item cannot have more than 100 tags."));
                }
                tags.sort_by_key(|tag| tag.to_lowercase());
                if tags.is_empty() {
                    save.fields.remove(&reference);
                    return Ok(());
                }
                json!(tags.join("; "))
            }
            Kind::Identity => self.identity_value(value).ok_or_else(|| {
                let shown = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                Problem::rule(
                    &reference,
                    "invalidListValue",
                    &format!(
                        "The identity value '{shown}' for field '{}' is an unknown identity.",
                        label(&reference)
                    ),
                )
            })?,
            Kind::Integer => {
                let number = value.as_i64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
                json!(number.ok_or_else(wrong)?)
            }
            Kind::Double => {
                let number = value.as_f64().or_else(|| value.as_str().and_then(|text| text.parse().ok()));
                json!(number.ok_or_else(wrong)?)
            }
            Kind::Text | Kind::Html | Kind::Date | Kind::Tree => match value {
                Value::String(text) => json!(text),
                Value::Number(number) => json!(number.to_string()),
                Value::Bool(flag) => json!(flag.to_string()),
                _ => return Err(wrong()),
            },
        };
        if reference == "System.History" {
            save.history = stored.as_str().map(str::to_owned);
            return Ok(());
        }
        if reference == "System.ChangedBy" {
            save.changed_by = Some(stored);
            return Ok(());
        }
        save.fields.insert(reference, stored);
        Ok(())
    }

    fn identity_value(&self, value: &Value) -> Option<Value> {
        let wanted = match value {
            Value::String(text) => match text.rsplit_once('<') {
                Some((_, rest)) => rest.trim_end_matches('>').to_owned(),
                None => text.clone(),
            },
            Value::Object(members) => ["id", "uniqueName", "descriptor"]
                .iter()
                .find_map(|name| members.get(*name).and_then(Value::as_str))?
                .to_owned(),
            _ => return None,
        };
        let mut matching = self.accounts.values().filter(|account| {
            [&account.unique_name, &account.descriptor, &account.id, &account.display_name]
                .iter()
                .any(|name| name.eq_ignore_ascii_case(&wanted))
        });
        let found = matching.next()?;
        // Two people of one name: the service refuses to guess.
        matching.next().is_none().then(|| self.identity(&found.id))
    }

    fn relation_operation(
        &mut self,
        op: &str,
        place: &str,
        value: &Value,
        save: &mut Save,
    ) -> Result<(), Problem> {
        if op == "add" && place == "-" {
            let relation = self.new_relation(value, &save.relations)?;
            let duplicate = save.relations.iter().any(|known| {
                known.rel.eq_ignore_ascii_case(&relation.rel)
                    && (known.url.eq_ignore_ascii_case(&relation.url)
                        || (known.target().is_some() && known.target() == relation.target()))
            });
            if duplicate {
                return Err(Problem::new(
                    400,
                    "RelationAlreadyExistsException",
                    "VS402371: Relation already exists.",
                ));
            }
            if save.relations.len() >= 1000 {
                return Err(Problem::argument("VS403313: A work item cannot have more than 1000 links."));
            }
            save.relations.push(relation);
            return Ok(());
        }
        let index = place.split('/').next().and_then(|text| text.parse::<usize>().ok());
        let missing = || {
            Problem::new(
                400,
                "PatchOperationFailedException",
                format!("VS403350: No relation at index {place}."),
            )
        };
        let index = index.filter(|index| *index < save.relations.len()).ok_or_else(missing)?;
        match op {
            "remove" => {
                save.relations.remove(index);
            }
            "replace" | "add" => {
                let name = place.rsplit('/').next().unwrap_or_default();
                if !place.contains("/attributes/") {
                    return Err(Problem::argument("Only the attributes of a relation can be replaced."));
                }
                save.relations[index].attributes.insert(name.to_owned(), value.clone());
            }
            _ => {
                let known = &save.relations[index];
                let current = match place.rsplit('/').next() {
                    Some("rel") => json!(known.rel),
                    Some("url") => json!(known.url),
                    _ => json!({"rel": known.rel, "url": known.url}),
                };
                test(op, place, Some(current), value)?;
            }
        }
        Ok(())
    }

    fn new_relation(&mut self, value: &Value, others: &[Relation]) -> Result<Relation, Problem> {
        let rel = value["rel"].as_str().unwrap_or_default();
        let url = value["url"].as_str().unwrap_or_default();
        let mut attributes = value["attributes"].as_object().cloned().unwrap_or_default();
        if rel.is_empty() || url.is_empty() {
            return Err(Problem::argument("A relation needs 'rel' and 'url'."));
        }
        let now = stamp(self.now());
        if let Some((known, label)) = LINK_TYPES.iter().find(|(name, _)| name.eq_ignore_ascii_case(rel)) {
            let id: i64 =
                url.rsplit('/').next().and_then(|id| id.parse().ok()).ok_or_else(|| {
                    Problem::argument(format!("The link target '{url}' is not a work item."))
                })?;
            let target = Arc::clone(self.item(id)?);
            attributes.insert("isLocked".into(), json!(false));
            attributes.insert("name".into(), json!(label));
            return Ok(Relation { rel: (*known).to_owned(), url: self.item_url(&target), attributes });
        }
        let known =
            ["ArtifactLink", "Hyperlink", "AttachedFile"].iter().find(|name| name.eq_ignore_ascii_case(rel));
        let Some(known) = known else {
            return Err(Problem::argument(format!("VS402372: The relation type '{rel}' is not recognized.")));
        };
        if *known == "ArtifactLink" {
            if attributes.get("name").and_then(Value::as_str).is_none_or(str::is_empty) {
                return Err(Problem::argument("Artifact links must have a valid name specified."));
            }
            if !url.to_ascii_lowercase().starts_with("vstfs:///") {
                return Err(Problem::argument(format!(
                    "VS402373: '{url}' is not the address of an artifact."
                )));
            }
        }
        let mut url = url.to_owned();
        if *known == "AttachedFile" {
            (url, attributes) = self.file_relation(&url, attributes, others)?;
        }
        self.watermark += 1;
        for name in ["authorizedDate", "resourceCreatedDate", "resourceModifiedDate"] {
            attributes.insert(name.into(), json!(now));
        }
        attributes.insert("id".into(), json!(self.watermark));
        attributes.insert("revisedDate".into(), json!(crate::emulator::wire::FOREVER));
        Ok(Relation { rel: (*known).to_owned(), url, attributes })
    }

    /// What the process demands of the outcome.
    fn rules(&mut self, target: &Target<'_>, save: &mut Save, flags: Flags, by: &str) -> Result<(), Problem> {
        let now = stamp(self.now());
        let me = self.identity(by);
        let empty = |fields: &Map<String, Value>, name: &str| {
            fields.get(name).is_none_or(|value| value.is_null() || value.as_str() == Some(""))
        };
        let title = save.fields.get("System.Title").and_then(Value::as_str).unwrap_or_default();
        if title.trim().is_empty() {
            let message = "TF401320: Rule Error for field Title. Error code: Required, InvalidEmpty.";
            return Err(Problem::rule("System.Title", "required, invalidEmpty", message));
        }
        if title.chars().count() > 255 {
            let message = "TF401324: The value of field 'Title' is longer than 255 characters.";
            return Err(Problem::rule("System.Title", "invalidTooLong", message));
        }
        if let Some(project) = self.projects.get(target.project) {
            for (name, known) in
                [("System.AreaPath", &project.areas), ("System.IterationPath", &project.iterations)]
            {
                let path = save.fields.get(name).and_then(Value::as_str);
                if let Some(path) =
                    path.filter(|path| !known.iter().any(|k| k.to_lowercase() == path.to_lowercase()))
                {
                    let message =
                        format!("TF401347: Invalid tree name given for work item, field '{name}': {path}.");
                    return Err(Problem::rule(name, "invalidPath", &message));
                }
            }
        }
        let old = target.item.as_ref().map(|item| item.text("System.State").to_owned());
        let new = save.fields.get("System.State").and_then(Value::as_str).unwrap_or_default().to_owned();
        if let Some(kind) = target.process.item_type(target.kind) {
            let refused = match (&old, kind.state(&new)) {
                (_, None) => true,
                (Some(old), Some(state)) => !kind.allows(old, state.name),
                (None, Some(_)) => false,
            };
            if refused && !flags.bypass_rules {
                let message = format!(
                    "The field 'State' contains the value '{new}' that is not in the list of supported values"
                );
                return Err(Problem::rule(
                    "System.State",
                    "hasValues, limitedToValues, invalidListValue",
                    &message,
                ));
            }
            if let Some(state) = kind.state(&new) {
                save.fields.insert("System.State".into(), json!(state.name));
                if old.as_deref().is_some_and(|old| !old.eq_ignore_ascii_case(state.name)) {
                    save.fields
                        .insert("System.Reason".into(), json!(format!("Moved to state {}", state.name)));
                    save.fields.insert("Microsoft.VSTS.Common.StateChangeDate".into(), json!(now));
                    let stem = match state.category {
                        "InProgress" => Some("Activated"),
                        "Resolved" => Some("Resolved"),
                        "Completed" => Some("Closed"),
                        _ => None,
                    };
                    if let Some(stem) = stem {
                        save.fields.insert(format!("Microsoft.VSTS.Common.{stem}Date"), json!(now));
                        save.fields.insert(format!("Microsoft.VSTS.Common.{stem}By"), me);
                    }
                }
            }
        }
        let required = (target.project.to_owned(), target.kind.to_lowercase());
        for (project, kind, name) in &self.knobs.required_fields {
            if !flags.bypass_rules
                && *project == required.0
                && *kind == required.1
                && empty(&save.fields, name)
            {
                let message = format!(
                    "TF401320: Rule Error for field {}. Error code: Required, InvalidEmpty.",
                    label(name)
                );
                return Err(Problem::rule(name, "required, invalidEmpty", &message));
            }
        }
        Ok(())
    }
}

fn conflict() -> Problem {
    Problem::new(
        409,
        "WorkItemRevisionMismatchException",
        "TF26071: This work item has been changed by someone else since you opened it. You will need to refresh it and discard \
         your changes.",
    )
}

fn strip<'a>(path: &'a str, prefix: &str) -> Option<&'a str> {
    let head = path.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then(|| &path[prefix.len()..])
}

/// The recorded answer, word for word: clients match on it.
fn test(op: &str, path: &str, current: Option<Value>, wanted: &Value) -> Result<(), Problem> {
    let shown = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let current = current.unwrap_or(Value::Null);
    if op != "test" {
        return Err(Problem::new(
            400,
            "PatchOperationFailedException",
            format!("VS403350: The operation '{op}' is not supported for path {path}."),
        ));
    }
    if shown(&current) == shown(wanted) {
        return Ok(());
    }
    let current = if current.is_null() { String::new() } else { shown(&current) };
    Err(Problem::new(
        412,
        "TestPatchOperationFailedException",
        format!(
            "VS403351: Test Operation for path {path} failed, value {current} was not equal to test value {}.",
            shown(wanted)
        ),
    ))
}
