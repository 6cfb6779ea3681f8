//! Builds over HTTP: list, get, timeline, logs, queue, cancel, retry; definitions.

use super::{Answer, Body, Call, Route, Scope, page};
use crate::emulator::{
    state::builds::Build,
    wire::{Content, Problem, Reply, guid, same_guid, stamp7, wrapped},
};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) const ROUTES: &[Route] = &[
    Route::get("build/builds", "build: list", list).scope(Scope::Project).query(&[
        "definitions",
        "queues",
        "buildNumber",
        "minTime",
        "maxTime",
        "requestedFor",
        "reasonFilter",
        "statusFilter",
        "resultFilter",
        "tagFilters",
        "properties",
        "$top",
        "continuationToken",
        "maxBuildsPerDefinition",
        "deletedFilter",
        "queryOrder",
        "branchName",
        "buildIds",
        "repositoryId",
        "repositoryType",
    ]),
    Route::send("POST", "build/builds", "build: queue", Body::Json, queue).scope(Scope::Project).query(&[
        "ignoreWarnings",
        "checkInTicket",
        "sourceBuildId",
        "definitionId",
    ]),
    Route::get("build/builds/{id}", "build: get", get).scope(Scope::Project).query(&["propertyFilters"]),
    Route::send("PATCH", "build/builds/{id}", "build: update", Body::Json, update)
        .scope(Scope::Project)
        .query(&["retry"]),
    Route::send("PATCH", "build/builds/{id}/stages/{stage}", "build: stage", Body::Json, stage)
        .scope(Scope::Project),
    Route::get("build/builds/{id}/timeline", "build: timeline", timeline)
        .scope(Scope::Project)
        .query(&["changeId", "planId"]),
    Route::get("build/builds/{id}/timeline/{timeline}", "build: timeline", timeline)
        .scope(Scope::Project)
        .query(&["changeId", "planId"]),
    Route::get("build/builds/{id}/logs", "build: logs", logs).scope(Scope::Project),
    Route::get("build/builds/{id}/logs/{log}", "build: log", log)
        .scope(Scope::Project)
        .query(&["startLine", "endLine"]),
    Route::get("build/definitions", "build definition: list", definitions).scope(Scope::Project).query(&[
        "name",
        "repositoryId",
        "repositoryType",
        "queryOrder",
        "$top",
        "continuationToken",
        "definitionIds",
        "path",
    ]),
    Route::get("build/definitions/{id}", "build definition: get", definition).scope(Scope::Project),
];

fn words(text: Option<&str>) -> Option<Vec<String>> {
    text.map(|text| text.split(',').map(|word| word.trim().to_ascii_lowercase()).collect())
}

fn within(words: Option<&Vec<String>>, have: Option<&str>) -> bool {
    words.is_none_or(|words| {
        words.iter().any(|word| word == "all" || have.is_some_and(|have| have.eq_ignore_ascii_case(word)))
    })
}

fn list(call: &mut Call<'_>) -> Answer {
    let project = call.project()?.id.clone();
    let repository = call.q("repositoryId");
    if repository.is_some() != call.q("repositoryType").is_some() {
        return Err(Problem::argument("The repositoryId and repositoryType must be given together."));
    }
    let (statuses, results, reasons) =
        (words(call.q("statusFilter")), words(call.q("resultFilter")), words(call.q("reasonFilter")));
    let (definitions, ids) = (words(call.q("definitions")), words(call.q("buildIds")));
    let order = call.q("queryOrder").unwrap_or("startTimeDescending").to_ascii_lowercase();
    let moment = |build: &Build| {
        if order.starts_with("queue") {
            Some(build.queued)
        } else if order.starts_with("finish") {
            build.finished
        } else {
            build.started.or(Some(build.queued))
        }
    };
    let date = |name: &str| -> Result<Option<Timestamp>, Problem> {
        call.q(name)
            .map(|text| text.parse().map_err(|_| Problem::model(format!("'{text}' is not a date."))))
            .transpose()
    };
    let (from, to) = (date("minTime")?, date("maxTime")?);
    let mut found: Vec<Arc<Build>> = call
        .world
        .builds
        .values()
        .filter(|build| build.project == project)
        .filter(|build| repository.is_none_or(|id| same_guid(&build.repository, id)))
        .filter(|build| call.q("branchName").is_none_or(|name| build.branch == name))
        .filter(|build| call.q("buildNumber").is_none_or(|number| build.number == number))
        .filter(|build| within(definitions.as_ref(), Some(&build.pipeline.to_string())))
        .filter(|build| within(ids.as_ref(), Some(&build.id.to_string())))
        .filter(|build| within(statuses.as_ref(), Some(build.status)))
        .filter(|build| within(results.as_ref(), build.result))
        .filter(|build| within(reasons.as_ref(), Some(build.reason)))
        .filter(|build| from.is_none_or(|from| moment(build).is_some_and(|at| at >= from)))
        .filter(|build| to.is_none_or(|to| moment(build).is_some_and(|at| at <= to)))
        .cloned()
        .collect();
    found.sort_by_key(|build| (moment(build), build.id));
    if !order.ends_with("ascending") {
        found.reverse();
    }
    if let Some(cap) = call.number("maxBuildsPerDefinition")? {
        let mut seen = std::collections::BTreeMap::new();
        found.retain(|build| {
            let count = seen.entry(build.pipeline).or_insert(0);
            *count += 1;
            *count <= cap
        });
    }
    let top = call.number("$top")?.unwrap_or(1000);
    let skip = call.number("continuationToken")?.unwrap_or(0);
    let more = found.len() > skip + top;
    let shown = page(found, skip, top).iter().map(|build| call.world.build_json(build)).collect();
    let reply = Reply::ok(wrapped(shown));
    Ok(if more { reply.header("x-ms-continuationtoken", (skip + top).to_string()) } else { reply })
}

fn build(call: &Call<'_>) -> Result<Arc<Build>, Problem> {
    Ok(Arc::clone(call.world.build(&call.project()?.id, call.id(0)?)?))
}

fn get(call: &mut Call<'_>) -> Answer {
    let build = build(call)?;
    Ok(Reply::ok(call.world.build_json(&build)))
}

fn queue(call: &mut Call<'_>) -> Answer {
    let id = call.body["definition"]["id"]
        .as_i64()
        .ok_or_else(|| Problem::argument("Value cannot be null.\r\nParameter name: build.Definition"))?;
    let project = call.project()?.id.clone();
    let pipeline =
        call.world.pipelines.get(&id).filter(|p| p.project == project).cloned().ok_or_else(|| {
            Problem::new(
                404,
                "DefinitionNotFoundException",
                format!("The definition {id} could not be found."),
            )
        })?;
    let branch = call.text("sourceBranch").unwrap_or("refs/heads/main").to_owned();
    let head = call.world.head(&pipeline.repository, &branch);
    let version = call.text("sourceVersion").map(str::to_owned).or(head).ok_or_else(|| {
        Problem::new(
            400,
            "BuildRequestValidationFailedException",
            format!("Could not find the branch {branch}."),
        )
    })?;
    if let Some(parameters) = call.body.get("parameters").filter(|p| !p.is_null())
        && !parameters.is_string()
    {
        return Err(Problem::argument("The parameters of a build are a string of JSON."));
    }
    let pull = branch
        .strip_prefix("refs/pull/")
        .and_then(|rest| rest.strip_suffix("/merge"))
        .and_then(|number| number.parse().ok());
    let me = call.me.clone();
    let id = call.world.queue_build(id, "manual", &branch, &version, pull, &me).ok_or_else(|| {
        Problem::new(404, "DefinitionNotFoundException", format!("The definition {id} could not be found."))
    })?;
    let parameters = call.text("parameters").map(str::to_owned);
    if let Some(build) = call.world.build_mut(id) {
        build.parameters = parameters;
    }
    let build = Arc::clone(call.world.build(&project, id)?);
    Ok(Reply::ok(call.world.build_json(&build)))
}

fn update(call: &mut Call<'_>) -> Answer {
    let known = build(call)?;
    if !call.body.is_object() {
        return Err(Problem::new(
            400,
            "RequestContentException",
            "The request content could not be read: a build is expected in the body.\r\nParameter name: build",
        ));
    }
    if call.flag("retry") {
        call.world.retry_build(known.id)?;
    } else {
        match call.text("status").map(str::to_ascii_lowercase).as_deref() {
            Some("cancelling") => call.world.cancel_build(known.id, &call.me),
            None => {}
            Some(other) => {
                return Err(Problem::new(
                    400,
                    "BuildStatusInvalidChangeException",
                    format!("The status of a build cannot be changed to {other}."),
                ));
            }
        }
    }
    let build = build(call)?;
    Ok(Reply::ok(call.world.build_json(&build)))
}

fn stage(call: &mut Call<'_>) -> Answer {
    let known = build(call)?;
    if !call.arg(1).eq_ignore_ascii_case("__default") {
        return Err(Problem::new(
            404,
            "StageNotFoundException",
            format!("The stage {} does not exist.", call.arg(1)),
        ));
    }
    match call.text("state").map(str::to_ascii_lowercase).as_deref() {
        Some("retry") => call.world.retry_build(known.id)?,
        Some("cancel") => call.world.cancel_build(known.id, &call.me),
        _ => return Err(Problem::argument("The state of a stage can only become retry or cancel.")),
    }
    Ok(Reply::empty(204))
}

fn timeline(call: &mut Call<'_>) -> Answer {
    let build = build(call)?;
    // A run that never started has no timeline: no content, not an empty one.
    let Some(timeline) = call.world.timeline_json(&build) else { return Ok(Reply::empty(204)) };
    if let Some(id) = call.args.get(1)
        && !same_guid(id, timeline["id"].as_str().unwrap_or_default())
    {
        let plan = guid(&format!("plan {}", build.id));
        let old = (1..build.attempt).any(|attempt| same_guid(&guid(&format!("{plan} {attempt}")), id));
        let known = if old { json!({"id": id, "changeId": 1, "records": []}) } else { Value::Null };
        return if old {
            Ok(Reply::ok(known))
        } else {
            Err(Problem::new(
                404,
                "TimelineNotFoundException",
                format!("The timeline {id} could not be found."),
            ))
        };
    }
    Ok(Reply::ok(timeline))
}

/// Retention took the logs; the build is still there.
fn kept(build: &Build) -> Result<(), Problem> {
    if build.logs_gone {
        return Err(Problem::new(
            404,
            "BuildLogNotFoundException",
            format!("The logs of build {} could not be found.", build.id),
        ));
    }
    Ok(())
}

fn logs(call: &mut Call<'_>) -> Answer {
    let build = build(call)?;
    kept(&build)?;
    let url = call.world.build_url(&build);
    let values = build.steps.iter().enumerate().filter(|(_, step)| step.started.is_some()).map(|(number, step)| {
        let lines = step.lines.read().map_or(0, |lines| lines.len());
        json!({
            "id": number + 1, "type": "Container", "lineCount": lines, "createdOn": step.started.map(stamp7),
            "lastChangedOn": step.finished.or(step.started).map(stamp7), "url": format!("{url}/logs/{}", number + 1),
        })
    });
    Ok(Reply::list(values.collect()))
}

fn log(call: &mut Call<'_>) -> Answer {
    let build = build(call)?;
    kept(&build)?;
    let number = usize::try_from(call.id(1)?).unwrap_or(0);
    let step = number.checked_sub(1).and_then(|at| build.steps.get(at)).filter(|step| step.started.is_some());
    let Some(step) = step else {
        return Err(Problem::new(
            404,
            "BuildLogNotFoundException",
            format!("The log {number} of build {} could not be found.", build.id),
        ));
    };
    let lines = step.lines.read().map(|lines| lines.clone()).unwrap_or_default();
    // Both ends count from zero and belong to the answer.
    let from = call.number("startLine")?.unwrap_or(0);
    let to = call.number("endLine")?.unwrap_or(usize::MAX);
    let shown: Vec<String> =
        lines.into_iter().enumerate().filter(|(at, _)| *at >= from && *at <= to).map(|(_, l)| l).collect();
    if call.accept.contains("text/plain") {
        return Ok(Reply::new(200, Content::Text(shown.join("\n"), "text/plain; charset=utf-8")));
    }
    Ok(Reply::list(shown.into_iter().map(Value::from).collect()))
}

fn definitions(call: &mut Call<'_>) -> Answer {
    let project = call.project()?.id.clone();
    let ids = words(call.q("definitionIds"));
    let name = call.q("name").map(str::to_ascii_lowercase);
    let values = call
        .world
        .pipelines
        .values()
        .filter(|pipeline| pipeline.project == project)
        .filter(|pipeline| within(ids.as_ref(), Some(&pipeline.id.to_string())))
        .filter(|pipeline| name.as_ref().is_none_or(|name| pipeline.name.to_ascii_lowercase() == *name))
        .filter(|pipeline| call.q("repositoryId").is_none_or(|id| same_guid(&pipeline.repository, id)))
        .map(|pipeline| call.world.pipeline_json(pipeline));
    Ok(Reply::list(values.collect()))
}

fn definition(call: &mut Call<'_>) -> Answer {
    let (id, project) = (call.id(0)?, call.project()?.id.clone());
    let pipeline =
        call.world.pipelines.get(&id).filter(|pipeline| pipeline.project == project).ok_or_else(|| {
            Problem::new(
                404,
                "DefinitionNotFoundException",
                format!("The definition {id} could not be found."),
            )
        })?;
    Ok(Reply::ok(call.world.pipeline_json(pipeline)))
}
