//! Test results over HTTP: runs of tests, their results, the history of a test.
//!
//! Attempts of old stay listed beside the newest one, as the service keeps them.

use super::{Answer, Body, Call, Route, Scope, page};
use crate::emulator::{
    state::builds::{Build, TestResult, TestRun},
    wire::{Problem, Reply, stamp7},
};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::Arc;

pub(crate) const ROUTES: &[Route] = &[
    Route::get("test/runs", "test run: list", runs).scope(Scope::Project).query(&[
        "buildUri",
        "owner",
        "tmiRunId",
        "planId",
        "includeRunDetails",
        "automated",
        "$skip",
        "$top",
    ]),
    Route::get("test/Runs/{id}/results", "test result: list", results).scope(Scope::Project).query(&[
        "detailsToInclude",
        "$skip",
        "$top",
        "outcomes",
    ]),
    Route::send("POST", "test/Results/testhistory", "test history: query", Body::Json, history)
        .scope(Scope::Project)
        .asks(),
];

/// The service looks back no further.
const MOST_DAYS: i64 = 7;

fn count(run: &TestRun, outcome: &str) -> usize {
    run.results.iter().filter(|result| result.outcome == outcome).count()
}

fn run_json(call: &Call<'_>, build: &Build, run: &TestRun, details: bool) -> Value {
    let url = format!("{}/_apis/test/Runs/{}", call.world.project_url(&build.project), run.id);
    let mut shown = json!({
        "id": run.id, "name": "Published results", "url": url, "isAutomated": true, "state": "Completed",
        "totalTests": run.results.len(), "passedTests": count(run, "Passed"), "incompleteTests": 0,
        "notApplicableTests": count(run, "NotExecuted"), "unanalyzedTests": count(run, "Failed"), "revision": 3,
        "build": {"id": build.id.to_string(), "name": build.number, "url": call.world.build_url(build)},
        "startedDate": stamp7(run.at), "completedDate": stamp7(run.at),
        "pipelineReference": {
            "pipelineId": build.id, "stageReference": {"attempt": run.attempt, "stageName": "__default"},
            "phaseReference": {"attempt": run.attempt, "phaseName": "Job"},
            "jobReference": {"attempt": run.attempt, "jobName": "__default"},
        },
    });
    if details {
        let statistics: Vec<Value> = ["Passed", "Failed", "NotExecuted"]
            .into_iter()
            .filter(|outcome| count(run, outcome) > 0)
            .map(|outcome| json!({"state": "Completed", "outcome": outcome, "count": count(run, outcome)}))
            .collect();
        shown["runStatistics"] = json!(statistics);
    }
    shown
}

fn runs(call: &mut Call<'_>) -> Answer {
    let project = call.project()?.id.clone();
    let wanted = match call.q("buildUri") {
        None => None,
        Some(uri) => match uri.strip_prefix("vstfs:///Build/Build/").and_then(|id| id.parse::<i64>().ok()) {
            Some(id) => Some(id),
            None => return Err(Problem::argument(format!("'{uri}' is not the address of a build."))),
        },
    };
    let details = call.flag("includeRunDetails");
    let builds: Vec<Arc<Build>> = call
        .world
        .builds
        .values()
        .filter(|build| build.project == project && wanted.is_none_or(|id| id == build.id))
        .cloned()
        .collect();
    let all = builds.iter().flat_map(|build| build.tests.iter().map(move |run| (build, run)));
    let shown: Vec<Value> = all.map(|(build, run)| run_json(call, build, run, details)).collect();
    let (skip, top) = (call.number("$skip")?.unwrap_or(0), call.number("$top")?.unwrap_or(100));
    Ok(Reply::list(page(shown, skip, top)))
}

fn result_json(number: usize, run: &TestRun, result: &TestResult) -> Value {
    let failed = result.outcome == "Failed";
    json!({
        "id": 100_000 + number, "outcome": result.outcome, "automatedTestName": result.name, "state": "Completed",
        "testCaseTitle": result.name.rsplit('.').next(), "completedDate": stamp7(run.at), "durationInMs": 3.0,
        "errorMessage": failed.then(|| result.message.clone()),
        "stackTrace": failed.then(|| format!("   at {}", result.name)),
        "testRun": {"id": run.id.to_string(), "name": "Published results"}, "revision": 1,
    })
}

fn results(call: &mut Call<'_>) -> Answer {
    let (project, id) = (call.project()?.id.clone(), call.id(0)?);
    let builds = call.world.builds.values().filter(|build| build.project == project);
    let run = builds.flat_map(|build| &build.tests).find(|run| run.id == id).cloned().ok_or_else(|| {
        Problem::new(404, "TestObjectNotFoundException", format!("Test run {id} not found."))
    })?;
    let wanted = call.q("outcomes").map(str::to_ascii_lowercase);
    let fits = |result: &TestResult| {
        wanted
            .as_ref()
            .is_none_or(|words| words.split(',').any(|w| w.trim().eq_ignore_ascii_case(result.outcome)))
    };
    let shown: Vec<Value> = (1..)
        .zip(&run.results)
        .filter(|(_, result)| fits(result))
        .map(|(number, result)| result_json(number, &run, result))
        .collect();
    let (skip, top) = (call.number("$skip")?.unwrap_or(0), call.number("$top")?.unwrap_or(1000));
    Ok(Reply::list(page(shown, skip, top)))
}

fn history(call: &mut Call<'_>) -> Answer {
    let project = call.project()?.id.clone();
    let Some(name) = call.text("automatedTestName").map(str::to_owned) else {
        return Err(Problem::argument("Value cannot be null.\r\nParameter name: automatedTestName"));
    };
    let days = call.body["trendDays"].as_i64().unwrap_or(MOST_DAYS);
    if !(1..=MOST_DAYS).contains(&days) {
        return Err(Problem::argument(format!("{days} is out of range.\r\nParameter name: trendDays")));
    }
    let since = call.world.now() - jiff::SignedDuration::from_hours(24 * days);
    let branch = call.text("branch").map(str::to_owned);
    let mut groups: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for build in call.world.builds.values().filter(|build| build.project == project) {
        if branch.as_ref().is_some_and(|branch| *branch != build.branch) {
            continue;
        }
        for run in build.tests.iter().filter(|run| run.at >= since) {
            for (number, result) in (1..).zip(&run.results).filter(|(_, result)| result.name == name) {
                groups.entry(build.branch.clone()).or_default().push(result_json(number, run, result));
            }
        }
    }
    let groups: Vec<Value> = groups
        .into_iter()
        .map(|(branch, results)| json!({"groupByValue": branch, "displayName": branch, "results": results}))
        .collect();
    Ok(Reply::ok(json!({"automatedTestName": name, "groupBy": "branch", "resultsForGroup": groups})))
}
