//! Queries over HTTP: ids only, an error above the limit, and an index that may lag behind the items.

use super::{Answer, Body, Call, Route};
use crate::emulator::{
    state::fields::label,
    wiql::{Context, is_unsupported, parse},
    wire::{Problem, Reply, stamp},
};
use serde_json::{Value, json};

pub(crate) const ROUTES: &[Route] =
    &[Route::send("POST", "wit/wiql", "wiql", Body::Json, query).asks().query(&["timePrecision", "$top"])];

fn query(call: &mut Call<'_>) -> Answer {
    let Some(text) = call.text("query").filter(|text| !text.trim().is_empty()).map(str::to_owned) else {
        return Err(Problem::argument("Value cannot be null.\r\nParameter name: wiql"));
    };
    let now = call.world.now();
    let me = call.world.account(&call.me).map(|account| account.unique_name.clone()).unwrap_or_default();
    let project = call.project.clone();
    let context = Context {
        project: project.as_ref().map(|project| project.name.as_str()),
        me: &me,
        now,
        time_precision: call.flag("timePrecision"),
    };
    let query = match parse(&text, &context) {
        Ok(query) => query,
        Err(problem) => {
            if is_unsupported(&problem) {
                call.world.unsupported.push(problem.message.clone());
            }
            return Err(problem);
        }
    };
    let world = call.past.before(call.world.knobs.index_lag).unwrap_or(call.world);
    let mut ids = query.run(world)?;
    let limit = call.world.knobs.query_limit;
    match call.number("$top")? {
        Some(top) => ids.truncate(top.min(limit)),
        None if ids.len() > limit => {
            return Err(Problem::new(
                400,
                "WorkItemTrackingQueryResultSizeLimitExceededException",
                format!(
                    "VS402337: The number of work items returned exceeds the size limit of {limit}. Change the query to return \
                     fewer items."
                ),
            ));
        }
        None => {}
    }
    let base = call.world.base.to_string();
    let column = |name: &String| json!({"referenceName": name, "name": label(name), "url": format!("{base}/_apis/wit/fields/{name}")});
    let sorts: Vec<Value> =
        query.order.iter().map(|(name, down)| json!({"field": column(name), "descending": down})).collect();
    let items: Vec<Value> =
        ids.iter().map(|id| json!({"id": id, "url": format!("{base}/_apis/wit/workItems/{id}")})).collect();
    Ok(Reply::ok(json!({
        "queryType": "flat", "queryResultType": "workItem", "asOf": stamp(now),
        "columns": query.columns.iter().map(column).collect::<Vec<_>>(),
        "sortColumns": (!sorts.is_empty()).then_some(sorts), "workItems": items,
    })))
}
