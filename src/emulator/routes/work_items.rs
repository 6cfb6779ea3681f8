//! Work items over HTTP: read one, read many, patch, create, delete, history, artifact links.

use super::{Answer, Body, Call, Route, Scope, page};
use crate::emulator::{
    state::{
        fields::field,
        patch::Flags,
        work_items::{View, WorkItem},
    },
    wire::{Problem, Reply, word},
};
use jiff::Timestamp;
use serde_json::{Map, Value, json};
use std::sync::Arc;

const SAVE: &[&str] = &["validateOnly", "bypassRules", "suppressNotifications", "$expand"];

pub(crate) const ROUTES: &[Route] = &[
    Route::get("wit/workitems", "work item: list", list).query(&[
        "ids",
        "fields",
        "asOf",
        "$expand",
        "errorPolicy",
    ]),
    Route::get("wit/workitems/{id}", "work item: get", get).query(&["fields", "asOf", "$expand"]),
    Route::send("POST", "wit/workitemsbatch", "work item: batch", Body::Json, batch).asks(),
    Route::send("PATCH", "wit/workitems/{id}", "work item: update", Body::Patch, update).query(SAVE),
    Route::send("POST", "wit/workitems/${type}", "work item: create", Body::Patch, create)
        .scope(Scope::Project)
        .query(SAVE),
    Route::send("DELETE", "wit/workitems/{id}", "work item: delete", Body::None, delete).query(&["destroy"]),
    Route::get("wit/workItems/{id}/updates", "work item: updates", updates).query(&["$top", "$skip"]),
    Route::get("wit/workItems/{id}/updates/{n}", "work item: update by number", one_update),
    Route::get("wit/workItems/{id}/revisions", "work item: revisions", revisions)
        .query(&["$top", "$skip", "$expand"]),
    Route::get("wit/workItems/{id}/revisions/{rev}", "work item: revision", revision).query(&["$expand"]),
    Route::send("POST", "wit/artifacturiquery", "work item: by artifact", Body::Json, by_artifact).asks(),
];

fn expand(text: Option<&str>) -> Result<String, Problem> {
    let text = text.unwrap_or("none");
    word(text, &["none", "relations", "fields", "links", "all"])
        .map(str::to_owned)
        .ok_or_else(|| Problem::model(format!("The value '{text}' is not valid for $expand.")))
}

fn view(
    fields: Vec<String>,
    expanding: Option<&str>,
    as_of: Option<&str>,
    links: bool,
) -> Result<View, Problem> {
    let expand = expand(expanding)?;
    if !fields.is_empty() && expand != "none" {
        return Err(Problem::new(
            400,
            "ConflictingParametersException",
            "The expand parameter can not be used with the fields parameter.",
        ));
    }
    for name in &fields {
        if field(name).is_none() {
            return Err(Problem::new(
                400,
                "WorkItemTrackingFieldDefinitionNotFoundException",
                format!("TF51535: Cannot find field {name}."),
            ));
        }
    }
    let as_of = as_of
        .map(|text| {
            let date = text.parse::<Timestamp>().ok();
            date.or_else(|| format!("{text}T00:00:00Z").parse().ok())
                .ok_or_else(|| Problem::model(format!("The value '{text}' is not a date.")))
        })
        .transpose()?;
    let links = links && fields.is_empty();
    Ok(View { fields: (!fields.is_empty()).then_some(fields), expand, links, as_of })
}

fn names(text: Option<&str>) -> Vec<String> {
    text.unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The item, unless the path names another project than the item's.
fn own(call: &Call<'_>, id: i64) -> Result<Arc<WorkItem>, Problem> {
    let item = Arc::clone(call.world.item(id)?);
    if call.project.as_ref().is_some_and(|project| project.id != item.project) {
        return Err(Problem::new(
            404,
            "WorkItemUnauthorizedAccessException",
            format!("TF401232: Work item {id} does not exist, or you do not have permissions to read it."),
        ));
    }
    Ok(item)
}

fn get(call: &mut Call<'_>) -> Answer {
    let view = view(names(call.q("fields")), call.q("$expand"), call.q("asOf"), true)?;
    let item = own(call, call.id(0)?)?;
    match call.world.item_json(&item, &view) {
        Value::Null => Err(Problem::new(
            404,
            "WorkItemUnauthorizedAccessException",
            format!(
                "TF401232: Work item {} does not exist, or you do not have permissions to read it.",
                item.id
            ),
        )),
        shown => Ok(Reply::ok(shown)),
    }
}

fn many(call: &Call<'_>, ids: &[i64], view: &View, omit: bool) -> Answer {
    if ids.is_empty() {
        return Err(Problem::argument("TF51004: No work item ids were given.\r\nParameter name: ids"));
    }
    if ids.len() > 200 {
        return Err(Problem::new(
            400,
            "VssPropertyValidationException",
            "VS403474: You requested data for more than 200 work items. The limit is 200.",
        ));
    }
    let mut values = Vec::new();
    for id in ids {
        match own(call, *id) {
            Ok(item) => values.push(call.world.item_json(&item, view)),
            Err(_) if omit => values.push(Value::Null),
            Err(problem) => return Err(problem),
        }
    }
    Ok(Reply::list(values))
}

fn list(call: &mut Call<'_>) -> Answer {
    let view = view(names(call.q("fields")), call.q("$expand"), call.q("asOf"), false)?;
    let ids = names(call.q("ids"))
        .iter()
        .map(|id| id.parse().map_err(|_| Problem::model(format!("'{id}' is not a work item id."))))
        .collect::<Result<Vec<i64>, _>>()?;
    let omit = call.q("errorPolicy").is_some_and(|policy| policy.eq_ignore_ascii_case("omit"));
    many(call, &ids, &view, omit)
}

fn batch(call: &mut Call<'_>) -> Answer {
    let fields =
        call.body["fields"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let view = view(fields.collect(), call.text("$expand"), call.text("asOf"), false)?;
    let ids: Vec<i64> = call.body["ids"].as_array().into_iter().flatten().filter_map(Value::as_i64).collect();
    let omit = call.text("errorPolicy").is_some_and(|policy| policy.eq_ignore_ascii_case("omit"));
    many(call, &ids, &view, omit)
}

fn flags(call: &Call<'_>) -> Flags {
    Flags {
        validate_only: call.flag("validateOnly"),
        bypass_rules: call.flag("bypassRules"),
        suppress_notifications: call.flag("suppressNotifications"),
    }
}

fn update(call: &mut Call<'_>) -> Answer {
    let id = call.id(0)?;
    own(call, id)?;
    let view = view(Vec::new(), call.q("$expand"), None, true)?;
    let (flags, me, body) = (flags(call), call.me.clone(), std::mem::take(&mut call.body));
    call.world.patch_item(id, &body, flags, &me)?;
    let item = Arc::clone(call.world.item(id)?);
    Ok(Reply::ok(call.world.item_json(&item, &view)))
}

fn create(call: &mut Call<'_>) -> Answer {
    let project = call.project()?.id.clone();
    let view = view(Vec::new(), call.q("$expand"), None, true)?;
    let (flags, me, body) = (flags(call), call.me.clone(), std::mem::take(&mut call.body));
    let kind = call.arg(0).to_owned();
    let Some(id) = call.world.patch_new(&project, &kind, &body, flags, &me)? else {
        return Ok(Reply::ok(json!({"rev": 1, "fields": {"System.WorkItemType": kind}})));
    };
    let item = Arc::clone(call.world.item(id)?);
    Ok(Reply::ok(call.world.item_json(&item, &view)))
}

fn delete(call: &mut Call<'_>) -> Answer {
    let item = own(call, call.id(0)?)?;
    if call.flag("destroy") {
        return Err(Problem::new(
            403,
            "AccessCheckException",
            "TF237121: The current user may not delete work items permanently.",
        ));
    }
    if let Some(item) = call.world.item_mut(item.id) {
        item.deleted = true;
    }
    let now = crate::emulator::wire::stamp(call.world.now());
    Ok(Reply::ok(json!({
        "id": item.id, "code": 200, "deletedDate": now, "name": item.text("System.Title"),
        "project": item.text("System.TeamProject"), "type": item.text("System.WorkItemType"),
        "url": call.world.item_url(&item),
    })))
}

/// At most 200 updates or revisions travel at a time.
fn window(call: &Call<'_>) -> Result<(usize, usize), Problem> {
    let cap = call.world.knobs.page_cap;
    Ok((call.number("$skip")?.unwrap_or(0), call.number("$top")?.unwrap_or(cap).min(cap)))
}

fn updates(call: &mut Call<'_>) -> Answer {
    let item = own(call, call.id(0)?)?;
    let (skip, top) = window(call)?;
    let numbers = page((1..=item.updates.len()).collect(), skip, top);
    Ok(Reply::list(numbers.into_iter().filter_map(|number| call.world.update_json(&item, number)).collect()))
}

fn one_update(call: &mut Call<'_>) -> Answer {
    let item = own(call, call.id(0)?)?;
    let number = usize::try_from(call.id(1)?).unwrap_or(0);
    let update = call.world.update_json(&item, number).ok_or_else(|| {
        Problem::new(
            404,
            "WorkItemUpdateNotFoundException",
            format!("VS403326: Work item update {number} does not exist."),
        )
    })?;
    Ok(Reply::ok(update))
}

fn revisions(call: &mut Call<'_>) -> Answer {
    let item = own(call, call.id(0)?)?;
    let (skip, top) = window(call)?;
    let view = view(Vec::new(), call.q("$expand"), None, false)?;
    let shown = page(item.revisions.clone(), skip, top);
    Ok(Reply::list(shown.iter().map(|revision| call.world.revision_json(&item, revision, &view)).collect()))
}

fn revision(call: &mut Call<'_>) -> Answer {
    let item = own(call, call.id(0)?)?;
    let rev = call.id(1)?;
    let view = view(Vec::new(), call.q("$expand"), None, true)?;
    let revision = item.revisions.iter().find(|revision| revision.rev == rev).ok_or_else(|| {
        Problem::new(
            404,
            "WorkItemRevisionNotFoundException",
            format!("VS403325: Work item revision {rev} of work item {} does not exist.", item.id),
        )
    })?;
    Ok(Reply::ok(call.world.revision_json(&item, revision, &view)))
}

fn by_artifact(call: &mut Call<'_>) -> Answer {
    let mut found = Map::new();
    for uri in call.body["artifactUris"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        let items: Vec<Value> = call
            .world
            .items
            .values()
            .filter(|item| !item.deleted && item.relations.iter().any(|r| r.url.eq_ignore_ascii_case(uri)))
            .map(|item| json!({"id": item.id, "url": call.world.item_url(item)}))
            .collect();
        found.insert(uri.to_owned(), json!(items));
    }
    Ok(Reply::ok(json!({"artifactUrisQueryResult": found})))
}
