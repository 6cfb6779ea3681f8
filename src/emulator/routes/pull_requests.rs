//! Pull requests over HTTP: create, find, read.

use super::{
    Answer, Body, Call, Route, Scope,
    git::{change_json, commit_json, repository},
    page,
};
use crate::emulator::{
    state::{
        pull_requests::{NewPullRequest, PullRequest, numbers},
        repositories::Repository,
    },
    wire::{Problem, Reply, same_guid, stamp7, word},
};
use serde_json::{Value, json};
use std::sync::Arc;

const SEARCH: &[&str] = &[
    "searchCriteria.creatorId",
    "searchCriteria.includeLinks",
    "searchCriteria.maxTime",
    "searchCriteria.minTime",
    "searchCriteria.queryTimeRangeType",
    "searchCriteria.repositoryId",
    "searchCriteria.reviewerId",
    "searchCriteria.sourceRefName",
    "searchCriteria.sourceRepositoryId",
    "searchCriteria.status",
    "searchCriteria.targetRefName",
    "maxCommentLength",
    "$skip",
    "$top",
];

pub(crate) const ROUTES: &[Route] = &[
    Route::send("POST", "git/repositories/{repo}/pullrequests", "pull request: create", Body::Json, create)
        .query(&["supportsIterations"]),
    Route::get("git/repositories/{repo}/pullrequests", "pull request: list", list).query(SEARCH),
    Route::get("git/pullrequests", "pull request: list in project", list_project)
        .scope(Scope::Project)
        .query(SEARCH),
    Route::get("git/repositories/{repo}/pullrequests/{id}", "pull request: get", get).query(&[
        "maxCommentLength",
        "$skip",
        "$top",
        "includeCommits",
        "includeWorkItemRefs",
    ]),
    Route::get("git/pullrequests/{id}", "pull request: get by id", get_anywhere),
    Route::get("git/repositories/{repo}/pullRequests/{id}/workitems", "pull request: work items", work_items),
    Route::get("git/repositories/{repo}/pullRequests/{id}/commits", "pull request: commits", commits)
        .query(&["$top", "continuationToken"]),
    Route::get(
        "git/repositories/{repo}/pullRequests/{id}/iterations",
        "pull request: iterations",
        iterations,
    )
    .query(&["includeCommits"]),
    Route::get(
        "git/repositories/{repo}/pullRequests/{id}/iterations/{n}",
        "pull request: iteration",
        iteration,
    ),
    Route::get(
        "git/repositories/{repo}/pullRequests/{id}/iterations/{n}/changes",
        "pull request: changes",
        changes,
    )
    .query(&["$top", "$skip", "$compareTo"]),
    Route::send(
        "POST",
        "git/repositories/{repo}/pullrequestquery",
        "pull request: by commit",
        Body::Json,
        by_commit,
    )
    .asks(),
];

/// The pull request of the path, within the repository of the path.
pub(crate) fn pull(call: &Call<'_>) -> Result<(Arc<Repository>, Arc<PullRequest>), Problem> {
    let repository = repository(call)?;
    let pull = Arc::clone(call.world.pull(call.id(1)?, Some(&repository.id))?);
    Ok((repository, pull))
}

fn create(call: &mut Call<'_>) -> Answer {
    let repository = repository(call)?;
    let ids = |name: &str, key: &str| -> Vec<String> {
        let list = call.body[name].as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        list.iter().map(|entry| text(&entry[key])).collect()
    };
    let text = |name: &str| call.text(name).unwrap_or_default().to_owned();
    let new = NewPullRequest {
        source_ref: text("sourceRefName"),
        target_ref: text("targetRefName"),
        title: text("title"),
        description: text("description"),
        draft: call.body["isDraft"].as_bool().unwrap_or(false),
        reviewers: ids("reviewers", "id"),
        labels: ids("labels", "name"),
        items: ids("workItemRefs", "id").iter().filter_map(|id| id.parse().ok()).collect(),
    };
    let me = call.me.clone();
    let id = call.world.create_pull(&repository, new, &me)?;
    let pull = Arc::clone(call.world.pull(id, None)?);
    let mut answer = call.world.render_pull(&pull, false);
    if call.world.knobs.merge_lag > 0 {
        answer["mergeStatus"] = json!("queued");
        answer["lastMergeCommit"] = Value::Null;
    }
    answer["labels"] = super::reviews::labels_json(call.world, &pull);
    Ok(Reply::created(answer))
}

fn search(call: &mut Call<'_>, repository: Option<&str>) -> Answer {
    let status = call.q("searchCriteria.status").unwrap_or("active");
    let known = word(status, &["notSet", "active", "abandoned", "completed", "all"])
        .ok_or_else(|| Problem::model(format!("'{status}' is not a pull request status.")))?;
    let wanted = |name: &str| call.q(&format!("searchCriteria.{name}")).map(str::to_owned);
    let (source, target) = (wanted("sourceRefName"), wanted("targetRefName"));
    let (creator, reviewer, inside) = (wanted("creatorId"), wanted("reviewerId"), wanted("repositoryId"));
    let project = call.project.as_ref().map(|project| project.id.clone());
    let top = call.number("$top")?.unwrap_or(101).min(1000);
    let skip = call.number("$skip")?.unwrap_or(0);
    let ids: Vec<i64> = call
        .world
        .pulls
        .values()
        .rev()
        .filter(|pull| repository.is_none_or(|id| pull.repository == id))
        .filter(|pull| project.as_ref().is_none_or(|id| pull.project == *id))
        .filter(|pull| inside.as_ref().is_none_or(|id| same_guid(&pull.repository, id)))
        .filter(|pull| known == "all" || pull.status == if known == "notSet" { "active" } else { known })
        .filter(|pull| source.as_ref().is_none_or(|name| pull.source_ref == *name))
        .filter(|pull| target.as_ref().is_none_or(|name| pull.target_ref == *name))
        .filter(|pull| creator.as_ref().is_none_or(|id| same_guid(&pull.created_by, id)))
        .filter(|pull| reviewer.as_ref().is_none_or(|id| pull.reviewers.iter().any(|r| same_guid(&r.id, id))))
        .map(|pull| pull.id)
        .collect();
    // A list makes the server catch up with a few of them, not with all.
    let outdated = |id: &&i64| call.world.pulls.get(id).is_some_and(|pull| pull.outdated);
    let behind: Vec<i64> = ids.iter().filter(outdated).take(10).copied().collect();
    for id in behind {
        call.world.refresh(id);
    }
    let shown = page(ids, skip, top);
    Ok(Reply::list(shown.into_iter().map(|id| call.world.pull_json(id, true)).collect()))
}

fn list(call: &mut Call<'_>) -> Answer {
    let repository = repository(call)?;
    search(call, Some(&repository.id))
}

fn list_project(call: &mut Call<'_>) -> Answer {
    search(call, None)
}

fn get(call: &mut Call<'_>) -> Answer {
    let (repository, pull) = pull(call)?;
    let mut answer = call.world.pull_json(pull.id, false);
    if call.flag("includeWorkItemRefs") {
        answer["workItemRefs"] = refs_json(call, &pull);
    }
    if call.flag("includeCommits") {
        answer["commits"] = own_commits(call, &repository, &pull);
    }
    Ok(Reply::ok(answer))
}

fn get_anywhere(call: &mut Call<'_>) -> Answer {
    let id = call.id(0)?;
    let owner = call.world.pull(id, None)?.project.clone();
    if call.project.as_ref().is_some_and(|project| project.id != owner) {
        return Err(Problem::new(
            404,
            "GitPullRequestNotFoundException",
            format!("TF401180: The requested pull request was not found. Parameter name: pullRequestId {id}"),
        ));
    }
    Ok(Reply::ok(call.world.pull_json(id, false)))
}

fn refs_json(call: &Call<'_>, pull: &PullRequest) -> Value {
    let base = call.world.base.to_string();
    // The id is a string here, and only here.
    let one = |id: i64| json!({"id": id.to_string(), "url": format!("{base}/_apis/wit/workItems/{id}")});
    call.world.linked_items(pull).into_iter().map(one).collect()
}

fn work_items(call: &mut Call<'_>) -> Answer {
    let (_, pull) = pull(call)?;
    if pull.link_lag > 0 {
        if let Some(pull) = call.world.pull_mut(pull.id) {
            pull.link_lag -= 1;
        }
        return Ok(Reply::list(Vec::new()));
    }
    let refs = refs_json(call, &pull);
    Ok(Reply::list(refs.as_array().cloned().unwrap_or_default()))
}

fn own_commits(call: &Call<'_>, repository: &Repository, pull: &PullRequest) -> Value {
    let range = format!("{}..{}", pull.merge.target, pull.merge.source);
    let range = if pull.active() {
        range
    } else {
        let last = pull.iterations.last();
        last.map_or(range, |iteration| format!("{}..{}", iteration.base, iteration.source))
    };
    let found = call.world.git(&repository.id).log(&[&range]).unwrap_or_default();
    found.iter().map(|commit| commit_json(call, repository, commit, false)).collect()
}

fn commits(call: &mut Call<'_>) -> Answer {
    let (repository, pull) = pull(call)?;
    let all = own_commits(call, &repository, &pull).as_array().cloned().unwrap_or_default();
    let top = call.number("$top")?.unwrap_or(100);
    let skip = call.number("continuationToken")?.unwrap_or(0);
    let more = all.len() > skip + top;
    let reply = Reply::list(page(all, skip, top));
    Ok(if more { reply.header("x-ms-continuationtoken", (skip + top).to_string()) } else { reply })
}

fn iteration_json(call: &Call<'_>, pull: &PullRequest, number: usize) -> Value {
    let Some(iteration) = number.checked_sub(1).and_then(|at| pull.iterations.get(at)) else {
        return Value::Null;
    };
    let base =
        format!("{}/_apis/git/repositories/{}", call.world.project_url(&pull.project), pull.repository);
    let commit = |id: &str| json!({"commitId": id, "url": format!("{base}/commits/{id}")});
    json!({
        "id": number, "description": "", "author": call.world.identity(&iteration.by),
        "createdDate": stamp7(iteration.at), "updatedDate": stamp7(iteration.at),
        "sourceRefCommit": commit(&iteration.source), "targetRefCommit": commit(&iteration.target),
        "commonRefCommit": commit(&iteration.base), "hasMoreCommits": false, "reason": iteration.reason,
        "push": (iteration.push > 0).then(|| json!({"pushId": iteration.push, "date": stamp7(iteration.at), "pushedBy": call.world.identity(&iteration.by)})),
    })
}

fn iterations(call: &mut Call<'_>) -> Answer {
    let (_, pull) = pull(call)?;
    Ok(Reply::list((1..=pull.iterations.len()).map(|number| iteration_json(call, &pull, number)).collect()))
}

/// The number of the path, if the pull request has come so far.
pub(crate) fn iteration_number(call: &Call<'_>, pull: &PullRequest, at: usize) -> Result<usize, Problem> {
    let number = usize::try_from(call.id(at)?).unwrap_or(0);
    if number == 0 || number > pull.iterations.len() {
        return Err(Problem::new(
            404,
            "GitPullRequestIterationNotFoundException",
            format!("TF401184: The iteration {number} of pull request {} does not exist.", pull.id),
        ));
    }
    Ok(number)
}

fn iteration(call: &mut Call<'_>) -> Answer {
    let (_, pull) = pull(call)?;
    let number = iteration_number(call, &pull, 2)?;
    Ok(Reply::ok(iteration_json(call, &pull, number)))
}

fn changes(call: &mut Call<'_>) -> Answer {
    let (_, pull) = pull(call)?;
    let number = iteration_number(call, &pull, 2)?;
    let iteration = &pull.iterations[number - 1];
    let from = match call.number("$compareTo")? {
        None | Some(0) => iteration.base.clone(),
        Some(other) => {
            pull.iterations.get(other - 1).map_or_else(|| iteration.base.clone(), |i| i.source.clone())
        }
    };
    let all = call.world.git(&pull.repository).changes(&from, &iteration.source);
    let top = call.number("$top")?.unwrap_or(100).min(2000);
    let skip = call.number("$skip")?.unwrap_or(0);
    let more = all.len() > skip + top;
    let entries: Vec<Value> = page(all.iter().enumerate().collect(), skip, top)
        .into_iter()
        .map(|(at, change)| {
            let mut entry = change_json(change);
            entry["changeTrackingId"] = json!(at + 1);
            entry["changeId"] = json!(at + 1);
            entry
        })
        .collect();
    let (next_skip, next_top) = if more { (skip + top, top) } else { (0, 0) };
    Ok(Reply::ok(json!({"changeEntries": entries, "nextSkip": next_skip, "nextTop": next_top})))
}

fn by_commit(call: &mut Call<'_>) -> Answer {
    let repository = repository(call)?;
    let queries = call.body["queries"].as_array().cloned().unwrap_or_default();
    let mut results = Vec::new();
    for query in &queries {
        let own = query["type"].as_str().is_some_and(|kind| kind.eq_ignore_ascii_case("commit"));
        let mut found = serde_json::Map::new();
        for id in query["items"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            let git = call.world.git(&repository.id);
            let hits: Vec<Value> = call
                .world
                .pulls
                .values()
                .filter(|pull| pull.repository == repository.id)
                .filter(|pull| {
                    pull.merge.commit.as_deref() == Some(id)
                        || (own
                            && git.has_commit(id)
                            && git.is_ancestor(id, &pull.merge.source)
                            && !git.is_ancestor(id, &pull.merge.target))
                })
                .map(|pull| call.world.render_pull(pull, true))
                .collect();
            found.insert(id.to_owned(), json!(hits));
        }
        results.push(Value::Object(found));
    }
    Ok(Reply::ok(json!({"queries": queries, "results": results})))
}

/// Numbers behind `#` link work items; used again when texts change.
pub(crate) fn relink(call: &mut Call<'_>, id: i64, text: &str) {
    let me = call.me.clone();
    if numbers(text).is_empty() {
        return;
    }
    for item in call.world.mentioned_items(id) {
        call.world.link_pull(id, item, &me);
    }
}
