//! The discussion of a work item over HTTP. Preview in every version; the continuation token is in the body.

use super::{Answer, Body, Call, Route, Scope, page};
use crate::emulator::{
    state::{comments::ItemComment, work_items::WorkItem},
    wire::{Problem, Reply, encode, word},
};
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) const ROUTES: &[Route] = &[
    Route::get("wit/workItems/{id}/comments", "work item comment: list", list)
        .scope(Scope::Project)
        .preview(4)
        .query(&["$top", "continuationToken", "includeDeleted", "$expand", "order", "ids"]),
    Route::send("POST", "wit/workItems/{id}/comments", "work item comment: add", Body::Json, add)
        .scope(Scope::Project)
        .preview(4)
        .query(&["format"]),
    Route::get("wit/workItems/{id}/comments/{comment}", "work item comment: get", get)
        .scope(Scope::Project)
        .preview(4)
        .query(&["includeDeleted", "$expand"]),
    Route::send(
        "PATCH",
        "wit/workItems/{id}/comments/{comment}",
        "work item comment: edit",
        Body::Json,
        edit,
    )
    .scope(Scope::Project)
    .preview(4)
    .query(&["format"]),
    Route::send(
        "DELETE",
        "wit/workItems/{id}/comments/{comment}",
        "work item comment: delete",
        Body::None,
        delete,
    )
    .scope(Scope::Project)
    .preview(4),
];

fn item(call: &Call<'_>) -> Result<Arc<WorkItem>, Problem> {
    let id = call.id(0)?;
    let item = Arc::clone(call.world.item(id)?);
    if item.project != call.project()?.id {
        return Err(Problem::new(
            404,
            "WorkItemUnauthorizedAccessException",
            format!("TF401232: Work item {id} does not exist, or you do not have permissions to read it."),
        ));
    }
    Ok(item)
}

fn format(call: &Call<'_>) -> Result<Option<&'static str>, Problem> {
    let Some(text) = call.q("format") else { return Ok(None) };
    let known = match text {
        "0" => Some("markdown"),
        "1" => Some("html"),
        text => word(text, &["markdown", "html"]),
    };
    known.map(Some).ok_or_else(|| Problem::model(format!("'{text}' is not a comment format.")))
}

fn rendered(call: &Call<'_>) -> bool {
    call.q("$expand").is_some_and(|text| {
        ["all", "renderedText", "renderedTextOnly"].iter().any(|w| w.eq_ignore_ascii_case(text))
    })
}

fn list(call: &mut Call<'_>) -> Answer {
    let item = item(call)?;
    let deleted = call.flag("includeDeleted");
    let mut comments: Vec<&ItemComment> = item.comments.iter().filter(|c| deleted || !c.deleted).collect();
    let total = comments.len();
    if !call.q("order").is_some_and(|order| order.eq_ignore_ascii_case("asc")) {
        comments.reverse();
    }
    let top = call.number("$top")?.unwrap_or(200).min(200);
    let skip = match call.q("continuationToken") {
        Some(token) => token.parse().map_err(|_| Problem::model("The continuation token is not valid."))?,
        None => 0,
    };
    let shown: Vec<Value> = page(comments, skip, top)
        .into_iter()
        .map(|comment| call.world.comment_json(&item, comment, rendered(call)))
        .collect();
    let mut answer = json!({"totalCount": total, "count": shown.len(), "comments": shown});
    if skip + top < total {
        let token = (skip + top).to_string();
        answer["nextPage"] =
            json!(format!("{}/comments?continuationToken={}", call.world.item_url(&item), encode(&token)));
        answer["continuationToken"] = json!(token);
    }
    Ok(Reply::ok(answer))
}

fn show(call: &Call<'_>, comment: i64) -> Answer {
    let item = item(call)?;
    let deleted = call.flag("includeDeleted");
    let comment = match item.comments.iter().find(|known| known.id == comment && (deleted || !known.deleted))
    {
        Some(comment) => comment,
        None => call.world.item_comment(item.id, comment)?,
    };
    Ok(Reply::ok(call.world.comment_json(&item, comment, rendered(call))))
}

fn get(call: &mut Call<'_>) -> Answer {
    show(call, call.id(1)?)
}

fn add(call: &mut Call<'_>) -> Answer {
    let item = item(call)?;
    let format = format(call)?.unwrap_or("html");
    let text = call.text("text").unwrap_or_default().to_owned();
    let me = call.me.clone();
    let id = call.world.add_comment(item.id, &text, format, &me)?;
    show(call, id)
}

fn edit(call: &mut Call<'_>) -> Answer {
    let (item, comment) = (item(call)?, call.id(1)?);
    let format = format(call)?;
    let text = call.text("text").unwrap_or_default().to_owned();
    mine(call, &item, comment)?;
    let me = call.me.clone();
    call.world.edit_comment(item.id, comment, Some((&text, format)), &me)?;
    show(call, comment)
}

fn delete(call: &mut Call<'_>) -> Answer {
    let (item, comment) = (item(call)?, call.id(1)?);
    mine(call, &item, comment)?;
    let me = call.me.clone();
    call.world.edit_comment(item.id, comment, None, &me)?;
    Ok(Reply::empty(204))
}

fn mine(call: &Call<'_>, item: &WorkItem, comment: i64) -> Result<(), Problem> {
    if call.world.item_comment(item.id, comment)?.by == call.me {
        return Ok(());
    }
    Err(Problem::new(
        403,
        "WorkItemCommentUpdateForbiddenException",
        "VS403640: Only the author of a comment may change it.",
    ))
}
