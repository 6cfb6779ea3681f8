//! Work item types, their states and categories, relation types, and tags.

use super::{Answer, Body, Call, Route, Scope};
use crate::emulator::{
    state::{process::ItemType, work_items::LINK_TYPES},
    wire::{Problem, Reply, encode, same_guid, stamp},
};
use serde_json::{Value, json};

pub(crate) const ROUTES: &[Route] = &[
    Route::get("wit/workitemtypes", "work item type: list", list).scope(Scope::Project),
    Route::get("wit/workitemtypes/{type}", "work item type: get", get).scope(Scope::Project),
    Route::get("wit/workitemtypes/{type}/states", "work item type: states", states).scope(Scope::Project),
    Route::get("wit/workitemtypecategories", "work item type: categories", categories).scope(Scope::Project),
    Route::get("wit/workitemtypecategories/{name}", "work item type: category", category)
        .scope(Scope::Project),
    Route::get("wit/workitemrelationtypes", "work item relation type: list", relations)
        .scope(Scope::Organization),
    Route::get("wit/tags", "tag: list", tags).scope(Scope::Project),
    Route::get("wit/tags/{tag}", "tag: get", tag).scope(Scope::Project),
    Route::send("DELETE", "wit/tags/{tag}", "tag: delete", Body::None, delete_tag).scope(Scope::Project),
];

fn kind(call: &Call<'_>) -> Result<&'static ItemType, Problem> {
    let project = call.project()?;
    project.process.item_type(call.arg(0)).ok_or_else(|| {
        Problem::new(
            404,
            "WorkItemTypeNotFoundException",
            format!(
                "VS402323: Work item type {} does not exist in project {} or you do not have permission to access it.",
                call.arg(0),
                project.name
            ),
        )
    })
}

fn list(call: &mut Call<'_>) -> Answer {
    let project = call.project()?;
    let url = call.world.project_url(&project.id);
    Ok(Reply::list(project.process.types().iter().map(|kind| kind.json(&url)).collect()))
}

fn get(call: &mut Call<'_>) -> Answer {
    let url = call.world.project_url(&call.project()?.id);
    Ok(Reply::ok(kind(call)?.json(&url)))
}

fn states(call: &mut Call<'_>) -> Answer {
    Ok(Reply::list(kind(call)?.states_json()))
}

fn all_categories(call: &Call<'_>) -> Result<Vec<Value>, Problem> {
    let project = call.project()?;
    let url = call.world.project_url(&project.id);
    let reference = |kind: &ItemType| json!({"name": kind.name, "url": format!("{url}/_apis/wit/workItemTypes/{}", encode(kind.name))});
    Ok(project
        .process
        .categories()
        .into_iter()
        .map(|(name, types)| {
            json!({
                "name": name.trim_start_matches("Microsoft.").replace("Category", " Category"), "referenceName": name,
                "defaultWorkItemType": types.first().map(|kind| reference(kind)),
                "workItemTypes": types.iter().map(|kind| reference(kind)).collect::<Vec<_>>(),
                "url": format!("{url}/_apis/wit/workItemTypeCategories/{name}"),
            })
        })
        .collect())
}

fn categories(call: &mut Call<'_>) -> Answer {
    Ok(Reply::list(all_categories(call)?))
}

fn category(call: &mut Call<'_>) -> Answer {
    let wanted = call.arg(0).to_owned();
    all_categories(call)?
        .into_iter()
        .find(|known| known["referenceName"].as_str().is_some_and(|name| name.eq_ignore_ascii_case(&wanted)))
        .map(Reply::ok)
        .ok_or_else(|| {
            Problem::new(
                404,
                "WorkItemTypeCategoryNotFoundException",
                format!("VS402325: Category {wanted} does not exist."),
            )
        })
}

fn relations(call: &mut Call<'_>) -> Answer {
    let base = call.world.base.to_string();
    let names = LINK_TYPES.iter().copied().chain([
        ("ArtifactLink", "Artifact Link"),
        ("Hyperlink", "Hyperlink"),
        ("AttachedFile", "Attached File"),
    ]);
    let values = names.map(|(reference, name)| {
        json!({"referenceName": reference, "name": name, "attributes": {"enabled": true},
            "url": format!("{base}/_apis/wit/workItemRelationTypes/{reference}")})
    });
    Ok(Reply::list(values.collect()))
}

fn all_tags(call: &Call<'_>) -> Result<Vec<Value>, Problem> {
    let project = call.project()?;
    let url = call.world.project_url(&project.id);
    let tag = |tag: &crate::emulator::state::TagDefinition| {
        json!({"id": tag.id, "name": tag.name, "lastUpdated": stamp(tag.used),
            "url": format!("{url}/_apis/wit/tags/{}", tag.id)})
    };
    Ok(project.tags.values().map(tag).collect())
}

fn tags(call: &mut Call<'_>) -> Answer {
    Ok(Reply::list(all_tags(call)?))
}

fn tag(call: &mut Call<'_>) -> Answer {
    let wanted = call.arg(0).to_owned();
    let fits = |tag: &Value| {
        tag["name"].as_str().is_some_and(|name| name.to_lowercase() == wanted.to_lowercase())
            || tag["id"].as_str().is_some_and(|id| same_guid(id, &wanted))
    };
    all_tags(call)?.into_iter().find(fits).map(Reply::ok).ok_or_else(|| {
        Problem::new(404, "TagNotFoundException", format!("TF401290: The tag {wanted} does not exist."))
    })
}

fn delete_tag(call: &mut Call<'_>) -> Answer {
    tag(call)?;
    Err(Problem::new(
        403,
        "AccessCheckException",
        "TF401291: The current user does not have permissions to delete tag definitions.",
    ))
}
