//! Policies and builds on the wire.

use super::*;
use roundsman::{
    ado::{BuildFilter, LogEnd},
    domain::{BranchName, BuildId, BuildState, PolicyKind, PolicyStatus},
};

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).expect("a fixture")
}

#[tokio::test]
async fn evaluations_are_asked_by_code_review_id_and_read_leniently() {
    let server =
        server(vec![answer(200, &fixture(include_str!("../../../fixtures/ado/evaluations.json")))]).await;
    let found = client(&server)
        .policy_evaluations("My Project", &repository().project_id, PullRequestId(57))
        .await
        .expect("evaluations");
    let request = &requests(&server).await[0];
    assert_eq!(request.url.path(), "/fabrikam/My%20Project/_apis/policy/evaluations");
    assert_eq!(query(request, "api-version").as_deref(), Some("7.1-preview.1"));
    assert_eq!(
        query(request, "artifactId").as_deref(),
        Some("vstfs:///CodeReview/CodeReviewId/b0000000-0000-0000-0000-000000000001/57")
    );
    let told: Vec<_> = found.iter().map(|one| (one.kind, one.status, one.gates, one.name.as_str())).collect();
    assert_eq!(
        told,
        [
            (PolicyKind::Build, PolicyStatus::Approved, true, "CI"),
            (PolicyKind::Build, PolicyStatus::Queued, true, "Slow"),
            (PolicyKind::MergeStrategy, PolicyStatus::Rejected, true, "Require a merge strategy"),
            (PolicyKind::Status, PolicyStatus::Other, false, "scan/deps"),
        ]
    );
    assert_eq!((found[0].build, found[0].is_expired), (Some(BuildId(638)), false));
    assert_eq!((found[1].build, found[1].is_expired), (None, true));
    assert!(found[0].head.is_some() && found[3].head.is_none());
}

#[tokio::test]
async fn requeueing_and_retrying_send_an_object() {
    let server = server(vec![answer(200, &json!({ "evaluationId": "e" })), ResponseTemplate::new(200)]).await;
    let client = client(&server);
    assert_eq!(client.requeue_evaluation("p", "e1").await, Written::Done(()));
    assert_eq!(
        client.retry_build("p", BuildId(638)).await,
        Written::Done(()),
        "an answer without body is fine"
    );
    let requests = requests(&server).await;
    assert_eq!(requests[0].url.path(), "/fabrikam/p/_apis/policy/evaluations/e1");
    assert_eq!(query(&requests[0], "api-version").as_deref(), Some("7.1-preview.1"));
    assert_eq!(
        (requests[1].url.path(), query(&requests[1], "retry")),
        ("/fabrikam/p/_apis/build/builds/638", Some("true".into()))
    );
    for request in &requests {
        assert_eq!((request.method.as_str(), sent(request)), ("PATCH", json!({})));
    }
}

#[tokio::test]
async fn configured_policies_are_asked_by_full_ref() {
    let configured = json!({ "value": [{ "isEnabled": true, "isBlocking": true,
        "type": { "id": "fa4e907d-c16b-4a4c-9dfa-4906e5d171dd", "displayName": "Minimum number of reviewers" } }] });
    let server = server(vec![answer(200, &configured)]).await;
    let found = client(&server)
        .policy_configurations(&repository(), &BranchName::new("main"))
        .await
        .expect("policies");
    assert_eq!((found[0].kind, found[0].gates), (PolicyKind::MinimumReviewers, true));
    let request = &requests(&server).await[0];
    assert!(request.url.path().ends_with("/_apis/git/policy/configurations"));
    assert_eq!(query(request, "refName").as_deref(), Some("refs/heads/main"));
}

#[tokio::test]
async fn builds_come_newest_first_with_their_errors() {
    let list = json!({ "value": [
        { "id": 3, "status": "completed", "result": "failed", "definition": { "name": "CI" }, "sourceBranch": "refs/pull/57/merge",
          "validationResults": [{ "result": "error", "message": "/ci.yml: bad indent" }, { "result": "ok", "message": "x" }] },
        { "id": 2, "status": "inProgress", "_links": { "web": { "href": "https://host/2" } } },
        { "id": 1, "status": "Completed", "result": "Canceled" },
    ] });
    let server = server(vec![answer(200, &list)]).await;
    let since = "2026-03-31T18:00:00Z".parse().expect("a timestamp");
    let filter =
        BuildFilter { queued_since: Some(since), ..BuildFilter::newest("refs/pull/57/merge".into(), 50) };
    let builds = client(&server).builds(&repository(), &filter).await.expect("builds");
    assert_eq!(
        builds.iter().map(|one| one.state).collect::<Vec<_>>(),
        [BuildState::Failed, BuildState::Running, BuildState::Canceled]
    );
    assert_eq!(builds[0].validation_errors, ["/ci.yml: bad indent"]);
    assert!(builds[0].url.ends_with("/_build/results?buildId=3") && builds[1].url == "https://host/2");

    let request = &requests(&server).await[0];
    for (key, value) in [
        ("repositoryId", repository().id.as_str()),
        ("repositoryType", "TfsGit"),
        ("queryOrder", "queueTimeDescending"),
        ("branchName", "refs/pull/57/merge"),
        ("minTime", "2026-03-31T18:00:00Z"),
        ("$top", "50"),
    ] {
        assert_eq!(query(request, key).as_deref(), Some(value), "{key}");
    }
}

/// Only a person whose descriptor says so stopped a build, and of a timeline no account of the service's own.
#[tokio::test]
async fn who_stopped_a_build_is_a_person_or_nobody() {
    let person =
        json!({ "id": "a98fb944-8639-4b73-ad90-b0ca0fe98871", "displayName": "Eva", "descriptor": "aad.x" });
    let tells = async |result: &str, who: &Value| {
        let build = json!({ "id": 1, "status": "completed", "result": result, "lastChangedBy": who });
        let server = server(vec![answer(200, &json!({ "value": [build] }))]).await;
        let builds = client(&server).builds_by_id("p", &[BuildId(1)]).await.expect("builds");
        builds[0].canceled_by.as_ref().map(|who| who.name.clone())
    };
    assert_eq!(tells("canceled", &person).await.as_deref(), Some("Eva"));
    assert_eq!(tells("failed", &person).await, None, "nobody stopped it");
    for descriptor in [json!("s2s.x"), json!("svc.x"), Value::Null] {
        let mut other = person.clone();
        other["descriptor"] = descriptor;
        assert_eq!(tells("canceled", &other).await, None, "{other}");
    }

    let timeline_tells = async |message: &str| {
        let job = json!({ "id": "j", "type": "Job", "result": "canceled", "issues": [{ "type": "error", "message": message }] });
        let server = server(vec![answer(200, &json!({ "records": [job] }))]).await;
        client(&server).canceled_by("p", BuildId(1)).await.expect("a timeline")
    };
    assert_eq!(timeline_tells("The build was canceled by Eva.").await.as_deref(), Some("Eva"));
    for other in [
        "The build was canceled by Microsoft.VisualStudio.Services.TFS",
        "The build was canceled by Fabrikam Build Service (acme)",
        "The build was canceled by ",
        "The job was canceled.",
    ] {
        assert_eq!(timeline_tells(other).await, None, "{other}");
    }
}

#[tokio::test]
async fn failed_tasks_are_named_in_order_without_replaced_attempts() {
    let server =
        server(vec![answer(200, &fixture(include_str!("../../../fixtures/ado/timeline.json")))]).await;
    let failed = client(&server).failed_tasks("p", BuildId(638)).await.expect("tasks");
    let told: Vec<_> = failed.iter().map(|task| (task.name.as_str(), task.log)).collect();
    assert_eq!(told, [("Build › Run checks", Some(8)), ("Build › Run tests", Some(9))]);
    assert_eq!(failed[1].messages, ["2 tests failed, used Bearer [redacted]"]);
}

#[tokio::test]
async fn a_build_that_never_began_has_no_failed_tasks_and_a_lost_agent_is_a_failed_job() {
    for nothing in
        [ResponseTemplate::new(204), answer(200, &Value::Null), answer(200, &json!({ "records": null }))]
    {
        let server = server(vec![nothing]).await;
        assert_eq!(client(&server).failed_tasks("p", BuildId(1)).await, Ok(vec![]));
    }
    let records = json!({ "records": [{ "id": "j", "type": "Job", "name": "Build", "result": "abandoned" },
                                      { "id": "t", "parentId": "j", "type": "Task", "name": "x", "result": "canceled" }] });
    let server = server(vec![answer(200, &records)]).await;
    let failed = client(&server).failed_tasks("p", BuildId(1)).await.expect("tasks");
    assert_eq!(failed.iter().map(|task| task.name.as_str()).collect::<Vec<_>>(), ["Build"]);
}

#[tokio::test]
async fn the_end_of_a_log_is_read_and_redacted() {
    let server = server(vec![
        answer(200, &json!({ "value": [{ "id": 8, "lineCount": 3 }, { "id": 9, "lineCount": 1000 }] })),
        ResponseTemplate::new(200)
            .set_body_raw(format!("one too many\nfirst\ntoken {TOKEN} here\n"), "text/plain; charset=utf-8"),
    ])
    .await;
    let tail = client(&server).log_tail("p", BuildId(638), 9, 2).await.expect("lines");
    assert_eq!(tail, LogEnd::Read(vec!["first".into(), "token [redacted] here".into()]));
    let requests = requests(&server).await;
    assert_eq!(requests[0].url.path(), "/fabrikam/p/_apis/build/builds/638/logs");
    assert_eq!(requests[1].url.path(), "/fabrikam/p/_apis/build/builds/638/logs/9");
    assert_eq!(query(&requests[1], "startLine").as_deref(), Some("998"));
}

#[tokio::test]
async fn a_build_that_is_gone_is_absent() {
    let gone =
        server(vec![failure(404, "BuildNotFoundException", "The requested build 1 could not be found.")])
            .await;
    assert_eq!(client(&gone).build("p", BuildId(1)).await, Ok(None));
}
