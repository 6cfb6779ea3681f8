//! Builds, policies, drafts and auto-complete.

use super::{House, JSON};
use reqwest::Method;
use roundsman::emulator::{NewPipeline, Options, SeedFile};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn builds_fail_and_pass_for_real() {
    let house = House::new().await;
    let pipeline =
        house.emulator.create_pipeline(&house.repo, NewPipeline::new("CI", &["sh", "ci/build.sh"]));
    house.emulator.require_build(&house.repo, "refs/heads/main", pipeline, true);
    let id = house.open("agent/1", "answer.txt", "bad\n").await;
    house.emulator.idle().await;
    let red = house.evaluations(id).await;
    assert_eq!(red[0]["status"], "rejected");
    let build = red[0]["context"]["buildId"].as_i64().unwrap();
    let base = format!("{}/_apis/build/builds", house.repo.project_id);
    let shown = house.get(&format!("{base}/{build}?api-version=7.1")).await.json();
    assert_eq!(shown["sourceBranch"], json!(format!("refs/pull/{id}/merge")));
    assert_eq!(shown["sourceVersion"], json!(house.emulator.pull_request(id).unwrap().merge_commit.unwrap()));
    let timeline = house.get(&format!("{base}/{build}/timeline?api-version=7.1")).await.json();
    let records = timeline["records"].as_array().unwrap();
    let task = records.iter().find(|r| r["type"] == "Task" && r["result"] == "failed").unwrap();
    assert_eq!(task["issues"][0]["message"], "the answer is not good");
    let log = task["log"]["id"].as_i64().unwrap();
    let tail = house.get(&format!("{base}/{build}/logs/{log}?startLine=1&api-version=7.1")).await.json();
    assert!(tail["value"].to_string().contains("building"));
    let kinds: Vec<&str> = records.iter().map(|r| r["type"].as_str().unwrap()).collect();
    assert!(["Stage", "Phase", "Job", "Task"].iter().all(|kind| kinds.contains(kind)));

    house.emulator.set_evaluation_lag(1);
    house
        .emulator
        .push_as(
            &house.repo,
            "refs/heads/agent/1",
            &[SeedFile::new("answer.txt", "good again\n")],
            "Fix",
            &house.bot,
        )
        .unwrap();
    assert_eq!(house.evaluations(id).await[0]["context"]["buildId"], json!(build), "the old outcome lingers");
    house.emulator.idle().await;
    let green = house.evaluations(id).await;
    assert_eq!(green[0]["status"], "approved");
    assert_ne!(green[0]["context"]["buildId"], json!(build));

    house.emulator.expire_evaluations(id);
    let expired = house.evaluations(id).await;
    assert_eq!(
        (expired[0]["status"].as_str(), expired[0]["context"]["isExpired"].as_bool()),
        (Some("queued"), Some(true))
    );
    let requeue = format!(
        "{}/_apis/policy/evaluations/{}?api-version=7.1-preview.1",
        house.repo.project_id,
        expired[0]["evaluationId"].as_str().unwrap()
    );
    assert_eq!(house.patch(&requeue, json!({})).await.status, 200);
    house.emulator.idle().await;
    assert_eq!(house.evaluations(id).await[0]["status"], "approved");
    assert_eq!(house.emulator.builds().len(), 3);
    let own = format!(
        "{}/_apis/policy/evaluations?artifactId=vstfs:///Git/PullRequestId/{}%252f{}%252f{id}&api-version=7.1-preview.1",
        house.repo.project_id, house.repo.project_id, house.repo.id
    );
    assert_eq!(house.get(&own).await.json()["count"], 0, "the other artifact id finds nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_are_superseded_stuck_retried_and_invalid() {
    let house = House::new().await;
    let pipeline = house.emulator.create_pipeline(&house.repo, NewPipeline::new("CI", &["sleep", "600"]));
    house.emulator.require_build(&house.repo, "refs/heads/main", pipeline, true);
    let id = house.open("agent/1", "a.txt", "a\n").await;
    house.emulator.set_pipeline_command(pipeline, &["sh", "ci/build.sh"]);
    house
        .emulator
        .push_as(&house.repo, "refs/heads/agent/1", &[SeedFile::new("b.txt", "b\n")], "More", &house.bot)
        .unwrap();
    house.emulator.idle().await;
    let builds = house.emulator.builds();
    assert_eq!(builds[0].result.as_deref(), Some("canceled"), "a push supersedes");
    assert_eq!(builds[1].result.as_deref(), Some("succeeded"));
    let base = format!("{}/_apis/build/builds", house.repo.project_id);
    let retry = format!("{base}/{}?retry=true&api-version=7.1", builds[0].id);
    assert_eq!(house.send(Method::PATCH, &retry, JSON, None).await.key(), "RequestContentException");
    house.emulator.force_next_result(pipeline, "lost-agent");
    assert_eq!(house.patch(&retry, json!({})).await.status, 200);
    house.emulator.idle().await;
    let lost = &house.emulator.builds()[0];
    assert_eq!((lost.attempt, lost.result.as_deref()), (2, Some("failed")));
    assert!(lost.tasks.iter().all(|task| task.result.as_deref() != Some("failed")));

    house.emulator.break_pipeline(pipeline, Some("/ci.yml (Line: 3, Col: 1): Unexpected value 'step'"));
    house
        .emulator
        .push_as(&house.repo, "refs/heads/agent/1", &[SeedFile::new("c.txt", "c\n")], "More", &house.bot)
        .unwrap();
    let invalid = house.emulator.builds().last().unwrap().id;
    let shown = house.get(&format!("{base}/{invalid}?api-version=7.1")).await.json();
    assert_eq!(
        (shown["result"].as_str(), shown["validationResults"][0]["result"].as_str()),
        (Some("failed"), Some("error"))
    );
    assert_eq!(house.get(&format!("{base}/{invalid}/timeline?api-version=7.1")).await.status, 204);

    house.emulator.break_pipeline(pipeline, None);
    house.emulator.stall_pipeline(pipeline, true);
    house
        .emulator
        .push_as(&house.repo, "refs/heads/agent/1", &[SeedFile::new("d.txt", "d\n")], "More", &house.bot)
        .unwrap();
    house.emulator.idle().await;
    assert_eq!(house.emulator.builds().last().unwrap().status, "notStarted");
    let newest = house
        .get(&format!(
            "{base}?branchName=refs/pull/{id}/merge&queryOrder=queueTimeDescending&$top=2&api-version=7.1"
        ))
        .await;
    assert_eq!(newest.json()["value"][0]["status"], "notStarted");
    assert_eq!(newest.header("x-ms-continuationtoken"), "2");
}

#[tokio::test(flavor = "multi_thread")]
async fn drafts_wait_and_auto_complete_completes() {
    let house = House::with(Options { completion_lag: 0, merge_lag: 0, ..Options::default() }).await;
    let pipeline =
        house.emulator.create_pipeline(&house.repo, NewPipeline::new("CI", &["sh", "ci/build.sh"]));
    house.emulator.require_build(&house.repo, "refs/heads/main", pipeline, true);
    house.emulator.require_comment_resolution(&house.repo, "refs/heads/main", true);
    house
        .emulator
        .push_as(&house.repo, "refs/heads/agent/1", &[SeedFile::new("a.txt", "a\n")], "Change", &house.bot)
        .unwrap();
    let body = json!({"sourceRefName": "refs/heads/agent/1", "targetRefName": "refs/heads/main", "title": "x", "isDraft": true});
    let id = house.post(&format!("{}?api-version=7.1", house.pulls()), body).await.json()["pullRequestId"]
        .as_i64()
        .unwrap();
    assert!(house.emulator.builds().is_empty(), "drafts are not validated");
    let path = format!("{}/{id}?api-version=7.1", house.pulls());
    let foreign = json!({"autoCompleteSetBy": {"id": house.owner.id}});
    assert_eq!(house.patch(&path, foreign).await.status, 400);
    let thread = house.emulator.comment_pull_request(id, "Why?", Some(("a.txt", 1)), &house.owner).unwrap();
    assert_eq!(house.patch(&path, json!({"isDraft": false})).await.status, 200);
    let auto = json!({"autoCompleteSetBy": {"id": house.bot.id}, "completionOptions": {"mergeStrategy": "noFastForward"}});
    assert_eq!(house.patch(&path, auto).await.json()["autoCompleteSetBy"]["id"], json!(house.bot.id));
    house.emulator.idle().await;
    assert_eq!(house.pull(id).await["status"], "active", "a thread is open");
    let threads = format!("{}/{id}/threads/{thread}", house.pulls());
    let reply = house
        .post(
            &format!("{threads}/comments?api-version=7.1"),
            json!({"content": "Because.", "parentCommentId": 1, "commentType": "text"}),
        )
        .await;
    assert_eq!(reply.json()["id"], 2);
    assert_eq!(
        house.patch(&format!("{threads}?api-version=7.1"), json!({"status": "fixed"})).await.json()["status"],
        "fixed"
    );
    assert_eq!(house.pull(id).await["status"], "completed");
}
