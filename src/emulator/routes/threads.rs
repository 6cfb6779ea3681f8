//! Threads and their comments over HTTP.

use super::{Answer, Body, Call, Route, pull_requests::pull};
use crate::emulator::{
    state::{pull_requests::PullRequest, threads::Thread},
    wire::{Problem, Reply},
};
use serde_json::Value;
use std::sync::Arc;

pub(crate) const ROUTES: &[Route] = &[
    Route::get("git/repositories/{repo}/pullRequests/{id}/threads", "thread: list", list)
        .query(&["$iteration", "$baseIteration"]),
    Route::send(
        "POST",
        "git/repositories/{repo}/pullRequests/{id}/threads",
        "thread: create",
        Body::Json,
        create,
    ),
    Route::get("git/repositories/{repo}/pullRequests/{id}/threads/{thread}", "thread: get", get)
        .query(&["$iteration", "$baseIteration"]),
    Route::send(
        "PATCH",
        "git/repositories/{repo}/pullRequests/{id}/threads/{thread}",
        "thread: update",
        Body::Json,
        update,
    ),
    Route::get(
        "git/repositories/{repo}/pullRequests/{id}/threads/{thread}/comments",
        "thread comment: list",
        comments,
    ),
    Route::send(
        "POST",
        "git/repositories/{repo}/pullRequests/{id}/threads/{thread}/comments",
        "thread comment: add",
        Body::Json,
        add,
    ),
    Route::get(
        "git/repositories/{repo}/pullRequests/{id}/threads/{thread}/comments/{comment}",
        "thread comment: get",
        comment,
    ),
    Route::send(
        "PATCH",
        "git/repositories/{repo}/pullRequests/{id}/threads/{thread}/comments/{comment}",
        "thread comment: edit",
        Body::Json,
        edit,
    ),
    Route::send(
        "DELETE",
        "git/repositories/{repo}/pullRequests/{id}/threads/{thread}/comments/{comment}",
        "thread comment: delete",
        Body::None,
        delete,
    ),
];

fn thread(call: &Call<'_>) -> Result<(Arc<PullRequest>, Arc<Thread>), Problem> {
    let (_, pull) = pull(call)?;
    let thread = Arc::clone(call.world.thread(pull.id, call.id(2)?)?);
    Ok((pull, thread))
}

fn list(call: &mut Call<'_>) -> Answer {
    let (_, pull) = pull(call)?;
    Ok(Reply::list(pull.threads.iter().map(|thread| call.world.thread_json(&pull, thread)).collect()))
}

fn get(call: &mut Call<'_>) -> Answer {
    let (pull, thread) = thread(call)?;
    Ok(Reply::ok(call.world.thread_json(&pull, &thread)))
}

/// Enums travel as words or as numbers.
fn status(call: &Call<'_>) -> Option<String> {
    match &call.body["status"] {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

fn create(call: &mut Call<'_>) -> Answer {
    let (_, known) = pull(call)?;
    let comments = call.body["comments"].as_array().cloned().unwrap_or_default();
    if comments.iter().any(|comment| comment["commentType"].as_str() == Some("system")) {
        return Err(Problem::argument("Only the system writes system comments."));
    }
    let texts: Vec<String> =
        comments.iter().map(|comment| comment["content"].as_str().unwrap_or_default().to_owned()).collect();
    let some = |name: &str| call.body.get(name).filter(|value| value.is_object()).cloned();
    let (context, iteration) = (some("threadContext"), some("pullRequestThreadContext"));
    let properties = call.body["properties"].as_object().cloned().unwrap_or_default();
    let me = call.me.clone();
    let id = call.world.create_thread(
        known.id,
        &texts,
        status(call).as_deref(),
        context,
        iteration,
        properties,
        &me,
    )?;
    let pull = Arc::clone(call.world.pull(known.id, None)?);
    let thread = Arc::clone(call.world.thread(known.id, id)?);
    Ok(Reply::ok(call.world.thread_json(&pull, &thread)))
}

fn update(call: &mut Call<'_>) -> Answer {
    let (known, before) = thread(call)?;
    let Some(status) = status(call) else {
        return Err(Problem::argument("A thread's status is the only thing that can be changed."));
    };
    call.world.set_thread_status(known.id, before.id, &status)?;
    get(call)
}

fn comments(call: &mut Call<'_>) -> Answer {
    let (pull, thread) = thread(call)?;
    let shown = call.world.thread_json(&pull, &thread);
    Ok(Reply::list(shown["comments"].as_array().cloned().unwrap_or_default()))
}

fn show(call: &Call<'_>, id: i64) -> Answer {
    let (pull, thread) = thread(call)?;
    let comment = call.world.thread_comment(pull.id, thread.id, id)?;
    let here = call.world.thread_json(&pull, &thread)["_links"]["self"]["href"].clone();
    Ok(Reply::ok(call.world.thread_comment_json(comment, here.as_str().unwrap_or_default())))
}

fn comment(call: &mut Call<'_>) -> Answer {
    show(call, call.id(3)?)
}

fn add(call: &mut Call<'_>) -> Answer {
    let (known, thread) = thread(call)?;
    let content = call.text("content").unwrap_or_default().to_owned();
    let parent = call.body["parentCommentId"].as_i64().unwrap_or(0);
    let me = call.me.clone();
    let id = call.world.reply(known.id, thread.id, &content, parent, &me)?;
    show(call, id)
}

fn edit(call: &mut Call<'_>) -> Answer {
    let (known, thread) = thread(call)?;
    let id = call.id(3)?;
    let content = call.text("content").map(str::to_owned);
    let Some(content) = content else {
        return Err(Problem::argument("Value cannot be null.\r\nParameter name: comment.Content"));
    };
    let me = call.me.clone();
    call.world.change_thread_comment(known.id, thread.id, id, Some(&content), &me)?;
    show(call, id)
}

fn delete(call: &mut Call<'_>) -> Answer {
    let (known, thread) = thread(call)?;
    let id = call.id(3)?;
    let me = call.me.clone();
    call.world.change_thread_comment(known.id, thread.id, id, None, &me)?;
    Ok(Reply::empty(200))
}
