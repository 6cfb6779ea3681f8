//! Who are we, where are we: connectionData and projects.

use super::{Answer, Body, Call, Route, Scope, page};
use crate::emulator::{
    state::Project,
    wire::{Problem, Reply, Versions, guid, wrapped},
};
use serde_json::{Value, json};

pub(crate) const ROUTES: &[Route] = &[
    Route {
        versions: Versions::Any,
        ..Route::get("connectionData", "connection data", connection).scope(Scope::Organization).query(&[
            "connectOptions",
            "lastChangeId",
            "lastChangeId64",
        ])
    },
    Route::get("projects", "project: list", list).scope(Scope::Organization).query(&[
        "stateFilter",
        "$top",
        "$skip",
        "continuationToken",
        "getDefaultTeamImageUrl",
    ]),
    Route::get("projects/{id}", "project: get", get)
        .scope(Scope::Organization)
        .query(&["includeCapabilities", "includeHistory"]),
    Route {
        body: Body::None,
        ..Route::get("resourceAreas/{id}", "resource area", area).scope(Scope::Organization)
    },
];

/// What a missing or bogus token sees in an organization with public projects.
pub(crate) fn anonymous(world: &crate::emulator::state::World) -> Value {
    const ID: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
    let user = json!({
        "id": ID, "descriptor": format!("System:PublicAccess;{ID}"), "providerDisplayName": "Anonymous",
        "isActive": true, "properties": {},
    });
    data(world, &user)
}

fn data(world: &crate::emulator::state::World, user: &Value) -> Value {
    json!({
        "authenticatedUser": user, "authorizedUser": user, "instanceId": guid(&world.organization),
        "deploymentId": guid("deployment"), "deploymentType": if world.knobs.hosted { "hosted" } else { "onPremises" },
        "locationServiceData": {"serviceOwner": guid("location"), "defaultAccessMappingMoniker": "PublicAccessMapping"},
    })
}

fn connection(call: &mut Call<'_>) -> Answer {
    let Some(account) = call.world.account(&call.me) else { return Ok(Reply::ok(anonymous(call.world))) };
    let user = json!({
        "id": account.id,
        "descriptor": format!("Microsoft.IdentityModel.Claims.ClaimsIdentity;{}\\{}", guid("tenant"), account.unique_name),
        "subjectDescriptor": account.descriptor, "providerDisplayName": account.display_name, "isActive": true,
        "properties": {"Account": {"$type": "System.String", "$value": account.unique_name}},
        "resourceVersion": 2, "metaTypeId": if account.service { 4 } else { 0 },
    });
    Ok(Reply::ok(data(call.world, &user)))
}

fn list(call: &mut Call<'_>) -> Answer {
    let top = call.number("$top")?.unwrap_or(100);
    let skip = call.number("continuationToken")?.or(call.number("$skip")?).unwrap_or(0);
    let all: Vec<Value> = call.world.projects.values().map(|p| call.world.project_reference(&p.id)).collect();
    let more = all.len() > skip + top;
    let reply = Reply::ok(wrapped(page(all, skip, top)));
    Ok(if more { reply.header("x-ms-continuationtoken", (skip + top).to_string()) } else { reply })
}

fn get(call: &mut Call<'_>) -> Answer {
    let project: std::sync::Arc<Project> = call.world.project(call.arg(0))?;
    let mut answer = call.world.project_reference(&project.id);
    answer["_links"] = json!({"self": {"href": answer["url"]}});
    Ok(Reply::ok(answer))
}

/// Every area lives on the one host, as on a server of one's own.
fn area(call: &mut Call<'_>) -> Answer {
    if call.arg(0).is_empty() {
        return Err(Problem::argument("area"));
    }
    Ok(Reply::ok(
        json!({"id": call.arg(0), "name": "emulated", "locationUrl": format!("{}/", call.world.base)}),
    ))
}
