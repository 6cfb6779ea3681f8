//! Reviewers and votes, labels, properties and statuses of a pull request.

use super::{
    Answer, Body, Call, Route,
    pull_requests::{iteration_number, pull},
};
use crate::emulator::{
    state::{
        World,
        policies::STATUS,
        pull_requests::{PostedStatus, PullRequest, Reviewer},
        pull_view::label_json,
        threads::typed,
    },
    wire::{Problem, Reply, is_guid, same_guid, stamp7, word},
};
use serde_json::{Value, json};
use std::sync::Arc;

const PULL: &str = "git/repositories/{repo}/pullRequests/{id}/reviewers";

pub(crate) const ROUTES: &[Route] = &[
    Route::get(PULL, "reviewer: list", reviewers),
    Route::send("POST", PULL, "reviewer: add", Body::Json, add_reviewers),
    Route::get("git/repositories/{repo}/pullRequests/{id}/reviewers/{who}", "reviewer: get", reviewer),
    Route::send(
        "PUT",
        "git/repositories/{repo}/pullRequests/{id}/reviewers/{who}",
        "reviewer: vote",
        Body::Json,
        vote,
    ),
    Route::send(
        "DELETE",
        "git/repositories/{repo}/pullRequests/{id}/reviewers/{who}",
        "reviewer: remove",
        Body::None,
        remove_reviewer,
    ),
    Route::get("git/repositories/{repo}/pullRequests/{id}/labels", "label: list", labels)
        .query(&["projectId"]),
    Route::send(
        "POST",
        "git/repositories/{repo}/pullRequests/{id}/labels",
        "label: add",
        Body::Json,
        add_label,
    )
    .query(&["projectId"]),
    Route::send(
        "DELETE",
        "git/repositories/{repo}/pullRequests/{id}/labels/{label}",
        "label: remove",
        Body::None,
        remove_label,
    )
    .query(&["projectId"]),
    Route::get(
        "git/repositories/{repo}/pullRequests/{id}/properties",
        "pull request: properties",
        properties,
    ),
    Route::send(
        "PATCH",
        "git/repositories/{repo}/pullRequests/{id}/properties",
        "pull request: set properties",
        Body::Patch,
        set_properties,
    ),
    Route::get("git/repositories/{repo}/pullRequests/{id}/statuses", "pull request status: list", statuses),
    Route::send(
        "POST",
        "git/repositories/{repo}/pullRequests/{id}/statuses",
        "pull request status: post",
        Body::Json,
        post_status,
    ),
    Route::get(
        "git/repositories/{repo}/pullRequests/{id}/iterations/{n}/statuses",
        "pull request status: list",
        statuses,
    ),
    Route::send(
        "POST",
        "git/repositories/{repo}/pullRequests/{id}/iterations/{n}/statuses",
        "pull request status: post",
        Body::Json,
        post_status,
    ),
];

fn reviewers(call: &mut Call<'_>) -> Answer {
    let (_, pull) = pull(call)?;
    Ok(Reply::list(pull.reviewers.iter().map(|reviewer| call.world.reviewer_json(&pull, reviewer)).collect()))
}

fn one(world: &World, pull: &PullRequest, who: &str) -> Answer {
    let reviewer = pull.reviewers.iter().find(|reviewer| same_guid(&reviewer.id, who)).ok_or_else(|| {
        Problem::new(
            404,
            "GitPullRequestReviewerNotFoundException",
            format!("TF401188: {who} is no reviewer of pull request {}.", pull.id),
        )
    })?;
    Ok(Reply::ok(world.reviewer_json(pull, reviewer)))
}

fn reviewer(call: &mut Call<'_>) -> Answer {
    let (_, pull) = pull(call)?;
    one(call.world, &pull, call.arg(2))
}

fn add_reviewers(call: &mut Call<'_>) -> Answer {
    let (_, known) = pull(call)?;
    let wanted = call.body.as_array().cloned().unwrap_or_default();
    let mut added = Vec::new();
    for entry in &wanted {
        added.push(call.world.known_reviewer(entry["id"].as_str().unwrap_or_default())?);
    }
    let me = call.me.clone();
    for id in &added {
        call.world.vote_zero(known.id, id, false, &me);
    }
    reviewers(call)
}

fn vote(call: &mut Call<'_>) -> Answer {
    let (_, known) = pull(call)?;
    let who = call.arg(2).to_owned();
    if !is_guid(&who) {
        return Err(Problem::model(format!("The value '{who}' is not the identifier of an identity.")));
    }
    let me = call.me.clone();
    if let Some(vote) = call.body["vote"].as_i64() {
        call.world.vote(known.id, &who, vote, &me)?;
    } else {
        let who = call.world.known_reviewer(&who)?;
        let required = call.body["isRequired"].as_bool() == Some(true);
        call.world.vote_zero(known.id, &who, required, &me);
    }
    let (_, fresh) = pull(call)?;
    one(call.world, &fresh, &who)
}

fn remove_reviewer(call: &mut Call<'_>) -> Answer {
    let (_, known) = pull(call)?;
    let who = call.arg(2).to_owned();
    one(call.world, &known, &who)?;
    if let Some(pull) = call.world.pull_mut(known.id) {
        pull.reviewers.retain(|reviewer| !same_guid(&reviewer.id, &who));
    }
    Ok(Reply::empty(200))
}

impl World {
    /// Makes somebody a reviewer without an opinion.
    pub(crate) fn vote_zero(&mut self, pull: i64, who: &str, required: bool, by: &str) {
        let name = self.account(who).map_or_else(String::new, |account| account.display_name.clone());
        let Some(known) = self.pull_mut(pull) else { return };
        if let Some(reviewer) = known.reviewers.iter_mut().find(|reviewer| reviewer.id == who) {
            reviewer.required = reviewer.required || required;
            return;
        }
        known.reviewers.push(Reviewer { id: who.to_owned(), vote: 0, required, declined: false });
        self.system_thread(pull, "ReviewersUpdate", &format!("{name} joined as a reviewer"), by);
    }
}

fn base(world: &World, pull: &PullRequest) -> String {
    format!("{}/_apis/git/repositories/{}", world.project_url(&pull.project), pull.repository)
}

pub(crate) fn labels_json(world: &World, pull: &PullRequest) -> Value {
    pull.labels.iter().map(|label| label_json(&base(world, pull), pull.id, label)).collect()
}

fn labels(call: &mut Call<'_>) -> Answer {
    let (_, pull) = pull(call)?;
    Ok(Reply::list(labels_json(call.world, &pull).as_array().cloned().unwrap_or_default()))
}

fn add_label(call: &mut Call<'_>) -> Answer {
    let (_, known) = pull(call)?;
    let name = call.text("name").unwrap_or_default().trim().to_owned();
    if name.is_empty() || name.contains([',', ';']) {
        return Err(Problem::argument(format!("'{name}' is not a label.")));
    }
    let me = call.me.clone();
    let label = call.world.label(&known.project, &name, &me)?;
    if let Some(pull) = call.world.pull_mut(known.id)
        && !pull.labels.contains(&label)
    {
        pull.labels.push(label.clone());
    }
    Ok(Reply::ok(label_json(&base(call.world, &known), known.id, &label)))
}

fn remove_label(call: &mut Call<'_>) -> Answer {
    let (_, known) = pull(call)?;
    let wanted = call.arg(2).to_owned();
    if wanted.contains(':') {
        return Err(Problem::model(
            "A potentially dangerous Request.Path value was detected from the client (:).",
        ));
    }
    let fits = |(id, name): &(String, String)| {
        same_guid(id, &wanted) || name.to_lowercase() == wanted.to_lowercase()
    };
    if !known.labels.iter().any(fits) {
        return Err(Problem::new(
            404,
            "TagNotFoundException",
            format!("TF401290: The label {wanted} does not exist on pull request {}.", known.id),
        ));
    }
    if let Some(pull) = call.world.pull_mut(known.id) {
        pull.labels.retain(|label| !fits(label));
    }
    Ok(Reply::empty(200))
}

fn properties(call: &mut Call<'_>) -> Answer {
    let (_, pull) = pull(call)?;
    Ok(Reply::ok(json!({"count": pull.properties.len(), "value": pull.properties})))
}

fn set_properties(call: &mut Call<'_>) -> Answer {
    let (_, known) = pull(call)?;
    let mut fresh = known.properties.clone();
    for operation in call.body.as_array().cloned().unwrap_or_default() {
        let name = operation["path"].as_str().unwrap_or_default().trim_start_matches('/').to_owned();
        if name.is_empty() {
            return Err(Problem::argument("A property needs a name in its path."));
        }
        match operation["op"].as_str() {
            Some("add" | "replace") => {
                fresh.insert(name, typed(operation["value"].clone()));
            }
            Some("remove") => {
                fresh.remove(&name);
            }
            other => {
                return Err(Problem::argument(format!(
                    "The operation {other:?} is not supported on properties."
                )));
            }
        }
    }
    if let Some(pull) = call.world.pull_mut(known.id) {
        pull.properties = fresh;
    }
    properties(call)
}

const STATES: [&str; 6] = ["notSet", "pending", "succeeded", "failed", "error", "notApplicable"];

fn status_json(world: &World, pull: &PullRequest, status: &PostedStatus) -> Value {
    json!({
        "id": status.id, "state": status.state, "description": status.description, "targetUrl": status.target_url,
        "context": {"genre": status.genre, "name": status.name}, "creationDate": stamp7(status.at),
        "updatedDate": stamp7(status.at), "createdBy": world.identity(&status.by), "iterationId": status.iteration,
        "_links": {"self": {"href": format!("{}/pullRequests/{}/statuses/{}", base(world, pull), pull.id, status.id)}},
    })
}

fn statuses(call: &mut Call<'_>) -> Answer {
    let (_, pull) = pull(call)?;
    let number = if call.args.len() > 2 { Some(iteration_number(call, &pull, 2)?) } else { None };
    let shown = pull.statuses.iter().filter(|status| number.is_none() || status.iteration == number);
    Ok(Reply::list(shown.map(|status| status_json(call.world, &pull, status)).collect()))
}

fn post_status(call: &mut Call<'_>) -> Answer {
    let (_, known) = pull(call)?;
    let iteration = if call.args.len() > 2 {
        Some(iteration_number(call, &known, 2)?)
    } else {
        call.body["iterationId"].as_u64().and_then(|number| usize::try_from(number).ok())
    };
    let name = call.body["context"]["name"].as_str().unwrap_or_default().to_owned();
    if name.is_empty() {
        return Err(Problem::argument("Value cannot be null.\r\nParameter name: status.Context.Name"));
    }
    let genre = call.body["context"]["genre"].as_str().unwrap_or_default().to_owned();
    let state = call.text("state").unwrap_or("notSet");
    let state = word(state, &STATES)
        .ok_or_else(|| Problem::model(format!("'{state}' is not a status.")))
        .map(str::to_owned)?;
    let strict = call.world.policies_of(&known).iter().any(|policy| {
        policy.kind == STATUS
            && policy.settings["invalidateOnSourceUpdate"].as_bool() == Some(true)
            && policy.settings["statusName"].as_str() == Some(name.as_str())
    });
    if strict && iteration.is_none() {
        return Err(Problem::new(
            403,
            "GitPullRequestStatusRejectedByPolicyException",
            "TF402462: The status was rejected: a policy that resets on new changes wants it on an iteration.",
        ));
    }
    let at = call.world.now();
    let status = PostedStatus {
        id: known.statuses.last().map_or(1, |status| status.id + 1),
        iteration,
        state,
        genre,
        name,
        description: call.text("description").unwrap_or_default().to_owned(),
        target_url: call.text("targetUrl").map(str::to_owned),
        by: call.me.clone(),
        at,
    };
    if let Some(pull) = call.world.pull_mut(known.id) {
        pull.statuses.push(status.clone());
    }
    call.world.consider_completion(known.id);
    let fresh = Arc::clone(call.world.pull(known.id, None)?);
    Ok(Reply::ok(status_json(call.world, &fresh, &status)))
}
