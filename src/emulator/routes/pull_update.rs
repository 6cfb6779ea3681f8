//! The one PATCH of a pull request, with everything it refuses.

use super::{
    Answer, Body, Call, Route,
    pull_requests::{pull, relink},
};
use crate::emulator::{
    state::pull_requests::check_description,
    wire::{Problem, Reply, word},
};
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) const ROUTES: &[Route] = &[Route::send(
    "PATCH",
    "git/repositories/{repo}/pullrequests/{id}",
    "pull request: update",
    Body::Json,
    update,
)];

fn not_valid(why: &str) -> Problem {
    Problem::argument(format!(
        "The pull request to update was not valid. {why}\r\nParameter name: pullRequestToUpdate"
    ))
}

fn update(call: &mut Call<'_>) -> Answer {
    let (_, known) = pull(call)?;
    let id = known.id;
    let me = call.me.clone();
    let body = call.body.as_object().cloned().unwrap_or_default();
    let given = |name: &str| body.get(name).filter(|value| !value.is_null());
    let changes = [
        "status",
        "title",
        "description",
        "isDraft",
        "targetRefName",
        "completionOptions",
        "mergeOptions",
        "autoCompleteSetBy",
    ];
    if !changes.iter().any(|name| given(name).is_some()) {
        return Err(not_valid("It changes nothing that can be changed."));
    }
    if given("targetRefName").is_some() && changes.iter().filter(|name| given(name).is_some()).count() > 1 {
        return Err(not_valid("The target branch is changed alone."));
    }
    let status = match given("status").map(|status| status.as_str().unwrap_or_default()) {
        None => None,
        Some(text) => Some(
            word(text, &["active", "abandoned", "completed"])
                .ok_or_else(|| Problem::model(format!("'{text}' is not a status to change to.")))?,
        ),
    };
    if !known.active() && status != Some("active") {
        let texts = given("title").is_some() || given("description").is_some();
        if known.status == "completed" || !texts {
            return Err(Problem::argument(format!(
                "TF401181: The pull request cannot be edited due to its state ({}).",
                known.status
            )));
        }
    }
    if given("lastMergeSourceCommit").is_some() && given("autoCompleteSetBy").is_some() && status.is_none() {
        return Err(not_valid("Auto-complete cannot be bound to a commit."));
    }
    let title = given("title").and_then(Value::as_str).map(str::to_owned);
    let description = given("description").and_then(Value::as_str).map(str::to_owned);
    if title.as_ref().is_some_and(|title| title.trim().is_empty() || title.chars().count() > 400) {
        return Err(Problem::argument("A title for a pull request must have between 1 and 400 characters."));
    }
    if let Some(text) = &description {
        check_description(text)?;
    }
    let may = call.world.account(&me).is_some_and(|account| account.contribute);
    if !may {
        return Err(Problem::new(
            403,
            "GitNeedsPermissionException",
            format!(
                "TF401027: You need the Git 'PullRequestContribute' permission to perform this action. Details: identity '{me}', scope 'repository'."
            ),
        ));
    }
    let mut options = given("completionOptions").cloned();
    if let (Some(new), Some(Value::Object(old))) =
        (options.as_mut().and_then(Value::as_object_mut), &known.completion_options)
    {
        for (name, value) in old {
            new.entry(name.clone()).or_insert_with(|| value.clone());
        }
    }
    let commit = call.body["lastMergeSourceCommit"]["commitId"].as_str().map(str::to_owned);
    let auto = call.body["autoCompleteSetBy"]["id"].as_str().map(str::to_owned);
    if let Some(auto) = &auto
        && *auto != crate::emulator::wire::NOBODY
        && !crate::emulator::wire::same_guid(auto, &me)
    {
        return Err(Problem::argument(
            "TF401182: Auto-complete can only be set by the identity that is authenticated.",
        ));
    }
    // From here on nothing refuses any more but the change of status itself.
    match status {
        Some("completed") => call.world.complete_pull(id, commit.as_deref(), options.take(), &me)?,
        Some(status) => call.world.set_pull_status(id, status, &me)?,
        None => {}
    }
    if let Some(target) = given("targetRefName").and_then(Value::as_str) {
        call.world.retarget(id, target, &me)?;
    }
    if let Some(draft) = given("isDraft").and_then(Value::as_bool) {
        call.world.set_draft(id, draft, &me)?;
    }
    if let Some(pull) = call.world.pull_mut(id) {
        if let Some(title) = title.clone() {
            pull.title = title;
        }
        if let Some(description) = description.clone() {
            pull.description = description;
        }
        if options.is_some() {
            pull.completion_options = options;
        }
    }
    if title.is_some() || description.is_some() {
        relink(call, id, &format!("{} {}", title.unwrap_or_default(), description.unwrap_or_default()));
    }
    if let Some(auto) = auto {
        call.world.set_auto_complete(id, &auto, &me)?;
    }
    let pull = Arc::clone(call.world.pull(id, None)?);
    let mut answer = call.world.render_pull(&pull, false);
    if status == Some("completed") && pull.status == "completed" {
        // Even without lag the answer of the request itself still says "active, queued".
        answer["status"] = json!("active");
        answer["mergeStatus"] = json!("queued");
        answer["closedDate"] = Value::Null;
    }
    Ok(Reply::ok(answer))
}
