//! Policy configurations and evaluations over HTTP.

use super::{Answer, Body, Call, Route, Scope, page};
use crate::emulator::{
    state::policies::KINDS,
    wire::{Problem, Reply, same_guid, wrapped},
};
use serde_json::{Value, json};

pub(crate) const ROUTES: &[Route] = &[
    Route::get("policy/evaluations", "policy evaluation: list", evaluations)
        .scope(Scope::Project)
        .preview(1)
        .query(&["artifactId", "includeNotApplicable", "$top", "$skip"]),
    Route::get("policy/evaluations/{id}", "policy evaluation: get", evaluation)
        .scope(Scope::Project)
        .preview(1),
    Route::send("PATCH", "policy/evaluations/{id}", "policy evaluation: requeue", Body::None, requeue)
        .scope(Scope::Project)
        .preview(1),
    Route::get("policy/configurations", "policy configuration: list", configurations)
        .scope(Scope::Project)
        .query(&["scope", "$top", "continuationToken", "policyType"]),
    Route::get("policy/configurations/{id}", "policy configuration: get", configuration)
        .scope(Scope::Project),
    Route::get("git/policy/configurations", "policy configuration: by ref", by_ref)
        .scope(Scope::Project)
        .query(&["repositoryId", "refName", "policyType", "$top", "continuationToken"]),
    Route::get("policy/types", "policy type: list", types).scope(Scope::Project),
];

fn evaluations(call: &mut Call<'_>) -> Answer {
    let project = call.project()?.id.clone();
    let Some(artifact) = call.q("artifactId").map(str::to_owned) else {
        return Err(Problem::argument("Value cannot be null.\r\nParameter name: artifactId"));
    };
    let plain = artifact.replace("%2f", "/").replace("%2F", "/");
    let Some(rest) = plain.strip_prefix("vstfs:///") else {
        return Err(Problem::argument(format!("'{artifact}' is not the address of an artifact.")));
    };
    let parts: Vec<&str> = rest.split('/').collect();
    // The pull request's own artifact id is well formed, and has no evaluations: an empty list, not an error.
    let pull = match parts.as_slice() {
        ["CodeReview", "CodeReviewId", owner, id] if same_guid(owner, &project) => id.parse::<i64>().ok(),
        _ => None,
    };
    let known = pull.filter(|id| call.world.pulls.get(id).is_some_and(|pull| pull.project == project));
    let all = known.map(|id| call.world.evaluations(id)).unwrap_or_default();
    let hidden = !call.flag("includeNotApplicable");
    let shown = all.into_iter().filter(|value| !(hidden && value["status"] == "notApplicable")).collect();
    let (skip, top) = (call.number("$skip")?.unwrap_or(0), call.number("$top")?.unwrap_or(1000));
    Ok(Reply::list(page(shown, skip, top)))
}

fn evaluation(call: &mut Call<'_>) -> Answer {
    let (pull, policy) = call.world.find_evaluation(call.arg(0))?;
    let known = pull.evaluations.get(&policy.id);
    Ok(Reply::ok(known.map_or(Value::Null, |known| call.world.evaluation_json(&pull, &policy, known))))
}

fn requeue(call: &mut Call<'_>) -> Answer {
    let id = call.arg(0).to_owned();
    call.world.requeue(&id).map(Reply::ok)
}

fn paged(call: &Call<'_>, all: Vec<Value>) -> Answer {
    let top = call.number("$top")?.unwrap_or(1000);
    let skip = call.number("continuationToken")?.unwrap_or(0);
    let wanted = call.q("policyType").map(str::to_owned);
    let fits = |value: &Value| {
        wanted.as_ref().is_none_or(|id| value["type"]["id"].as_str().is_some_and(|have| same_guid(have, id)))
    };
    let all: Vec<Value> = all.into_iter().filter(fits).collect();
    let more = all.len() > skip + top;
    let reply = Reply::ok(wrapped(page(all, skip, top)));
    Ok(if more { reply.header("x-ms-continuationtoken", (skip + top).to_string()) } else { reply })
}

fn configurations(call: &mut Call<'_>) -> Answer {
    let all = call.world.policies_for(&call.project()?.id, None, None);
    paged(call, all)
}

fn configuration(call: &mut Call<'_>) -> Answer {
    let id = call.id(0)?;
    let policy = call.world.policies.get(&id).filter(|policy| !policy.deleted).ok_or_else(|| {
        Problem::new(
            404,
            "PolicyConfigurationNotFoundException",
            format!("TF402461: No policy configuration {id}."),
        )
    })?;
    Ok(Reply::ok(call.world.policy_json(policy)))
}

fn by_ref(call: &mut Call<'_>) -> Answer {
    let (repository, name) = (call.q("repositoryId"), call.q("refName"));
    let all = call.world.policies_for(&call.project()?.id, repository, name);
    paged(call, all)
}

fn types(call: &mut Call<'_>) -> Answer {
    let url = call.world.project_url(&call.project()?.id);
    let values = KINDS.iter().map(|(id, name)| {
        json!({"id": id, "displayName": name, "description": name, "url": format!("{url}/_apis/policy/types/{id}")})
    });
    Ok(Reply::list(values.collect()))
}
