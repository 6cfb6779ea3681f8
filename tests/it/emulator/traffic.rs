//! A walk through every operation, recorded.

use super::{House, JSON, PAT, PATCH, basic};
use reqwest::Method;
use roundsman::emulator::{NewPipeline, Options, SeedFile};
use serde_json::json;
use std::path::Path;

/// A walk through every operation, recorded. The recording is what the wire contract is checked against.
#[tokio::test(flavor = "multi_thread")]
async fn traffic_is_recorded_without_credentials() {
    // Kept after the test, so that it can be held against the published documents.
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("emulator-traffic.jsonl");
    let _ = std::fs::remove_file(&kept);
    let house = House::with(Options { record: Some(kept.clone()), ..Options::default() }).await;
    let (a, b) = (house.story("A", &["ready"]), house.story("B", &[]));
    house.emulator.assign(a, Some(&house.owner), &house.owner).unwrap();
    let repo = format!("{}/_apis/git/repositories/{}", house.repo.project_id, house.repo.id);
    let pipeline =
        house.emulator.create_pipeline(&house.repo, NewPipeline::new("CI", &["sh", "ci/build.sh"]));
    house.emulator.require_build(&house.repo, "refs/heads/main", pipeline, true);
    house.emulator.require_reviewers(&house.repo, "refs/heads/main", 1, false);
    house.emulator.require_comment_resolution(&house.repo, "refs/heads/main", true);
    house.emulator.require_work_item_link(&house.repo, "refs/heads/main", false);
    house.emulator.require_merge_strategy(&house.repo, "refs/heads/main", &["squash"]);

    for path in [
        "_apis/connectionData?api-version=7.1-preview.1",
        "_apis/projects?api-version=7.1",
        "_apis/wit/workitemrelationtypes?api-version=7.1",
    ] {
        assert_eq!(house.get(path).await.status, 200, "{path}");
    }
    house.wiql("SELECT [System.Id], [System.Title] FROM WorkItems WHERE [System.TeamProject] = @project ORDER BY [System.Id] DESC").await;
    house
        .post(
            "_apis/wit/workitemsbatch?api-version=7.1",
            json!({"ids": [a, b, 99], "$expand": "relations", "errorPolicy": "omit"}),
        )
        .await;
    let create = json!([{"op": "add", "path": "/fields/System.Title", "value": "From the API"}, {"op": "add", "path": "/fields/System.Description",
        "value": "# md"}, {"op": "add", "path": "/multilineFieldsFormat/System.Description", "value": "Markdown"}]);
    let made = house
        .send(Method::POST, "Shop%20Floor/_apis/wit/workitems/$Task?api-version=7.1", PATCH, Some(create))
        .await;
    assert_eq!(made.json()["multilineFieldsFormat"]["System.Description"], "markdown");
    house.patch_item(a, json!([{"op": "test", "path": "/rev", "value": 2}, {"op": "add", "path": "/fields/System.State", "value": "Active"},
        {"op": "add", "path": "/fields/System.History", "value": "run"}, {"op": "add", "path": "/relations/-", "value": {"rel": "System.LinkTypes.Dependency-Reverse",
        "url": format!("{}/_apis/wit/workItems/{b}", house.base)}}])).await;
    let item = format!("_apis/wit/workItems/{a}");
    for path in [
        format!("{item}?$expand=all&api-version=7.1"),
        format!("_apis/wit/workitems?ids={a},{b}&fields=System.Id,System.Parent&api-version=7.1"),
        format!("{item}/updates?$top=200&$skip=0&api-version=7.1"),
        format!("{item}/updates/1?api-version=7.1"),
        format!("{item}/revisions?$expand=relations&api-version=7.1"),
        format!("{item}/revisions/1?api-version=7.1"),
        "Shop%20Floor/_apis/wit/workitemtypes?api-version=7.1".into(),
        "Shop%20Floor/_apis/wit/workitemtypes/User%20Story?api-version=7.1".into(),
        "Shop%20Floor/_apis/wit/workitemtypes/User%20Story/states?api-version=7.1".into(),
        "Shop%20Floor/_apis/wit/workitemtypecategories?api-version=7.1".into(),
        "Shop%20Floor/_apis/wit/workitemtypecategories/Microsoft.RequirementCategory?api-version=7.1".into(),
        "Shop%20Floor/_apis/wit/tags?api-version=7.1".into(),
        "Shop%20Floor/_apis/wit/tags/ready?api-version=7.1".into(),
        "Shop%20Floor/_apis/git/repositories?api-version=7.1".into(),
        format!("{repo}?api-version=7.1"),
        format!("{repo}/refs?filter=heads/&api-version=7.1"),
        format!("{repo}/items?path=/README.md&includeContent=true&$format=json&api-version=7.1"),
        format!("{repo}/items?scopePath=/&recursionLevel=full&api-version=7.1"),
        format!("{repo}/commits?searchCriteria.itemVersion.version=main&api-version=7.1"),
        format!("{repo}/pushes?searchCriteria.includeRefUpdates=true&api-version=7.1"),
        format!("{repo}/stats/branches?name=main&api-version=7.1"),
        format!("{repo}/stats/branches?api-version=7.1"),
        format!("_apis/projects/{}?api-version=7.1", house.repo.project_id),
    ] {
        let answer = house.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    let comments = format!("Shop%20Floor/{item}/comments");
    let comment = house
        .post(&format!("{comments}?format=html&api-version=7.1-preview.4"), json!({"text": "<p>hi</p>"}))
        .await
        .json()["id"]
        .clone();
    house.get(&format!("{comments}?$top=1&$expand=renderedText&api-version=7.1-preview.4")).await;
    house.get(&format!("{comments}/{comment}?api-version=7.1-preview.4")).await;
    house
        .patch(
            &format!("{comments}/{comment}?format=html&api-version=7.1-preview.4"),
            json!({"text": "<p>ho</p>"}),
        )
        .await;
    assert_eq!(
        house
            .send(Method::DELETE, &format!("{comments}/{comment}?api-version=7.1-preview.4"), JSON, None)
            .await
            .status,
        204
    );

    house
        .emulator
        .push_as(&house.repo, "refs/heads/agent/1", &[SeedFile::new("a.txt", "a\n")], "Change", &house.bot)
        .unwrap();
    let head = house.emulator.head(&house.repo, "refs/heads/agent/1").unwrap();
    house
        .post(
            &format!("{repo}/refs?api-version=7.1"),
            json!([{"name": "refs/heads/agent/2", "oldObjectId": "0".repeat(40), "newObjectId": head}]),
        )
        .await;
    house.get(&format!("{repo}/commits/{head}?api-version=7.1")).await;
    house.get(&format!("{repo}/diffs/commits?baseVersion=main&targetVersion=agent/1&api-version=7.1")).await;
    let new = json!({"sourceRefName": "refs/heads/agent/1", "targetRefName": "refs/heads/main", "title": "A", "description": "text", "isDraft": false,
        "reviewers": [{"id": house.owner.id}], "workItemRefs": [{"id": a.to_string()}], "labels": [{"name": "agent"}]});
    let id = house.post(&format!("{}?api-version=7.1", house.pulls()), new).await.json()["pullRequestId"]
        .as_i64()
        .unwrap();
    house.emulator.idle().await;
    let pull = format!("{}/{id}", house.pulls());
    let thread = house.post(&format!("{pull}/threads?api-version=7.1"), json!({"comments": [{"parentCommentId": 0, "content": "Note", "commentType": "text"}], "status": "closed",
        "properties": {"roundsman.run": {"$type": "System.String", "$value": "r1"}}})).await.json()["id"].clone();
    house.emulator.comment_pull_request(id, "Why?", Some(("a.txt", 1)), &house.owner).unwrap();
    house
        .post(
            &format!("{pull}/threads/{thread}/comments?api-version=7.1"),
            json!({"content": "More", "parentCommentId": 1, "commentType": "text"}),
        )
        .await;
    house
        .patch(&format!("{pull}/threads/{thread}/comments/2?api-version=7.1"), json!({"content": "Less"}))
        .await;
    house
        .send(Method::DELETE, &format!("{pull}/threads/{thread}/comments/2?api-version=7.1"), JSON, None)
        .await;
    house.patch(&format!("{pull}/threads/{thread}?api-version=7.1"), json!({"status": "fixed"})).await;
    house
        .send(
            Method::PUT,
            &format!("{pull}/reviewers/{}?api-version=7.1", house.bot.id),
            JSON,
            Some(json!({"vote": 0})),
        )
        .await;
    house.post(&format!("{pull}/labels?api-version=7.1"), json!({"name": "seen"})).await;
    house
        .send(
            Method::PATCH,
            &format!("{pull}/properties?api-version=7.1"),
            PATCH,
            Some(json!([{"op": "add", "path": "/roundsman.run", "value": "r1"}])),
        )
        .await;
    let status =
        json!({"state": "succeeded", "description": "ok", "context": {"genre": "agent", "name": "run"}});
    house.post(&format!("{pull}/iterations/1/statuses?api-version=7.1"), status).await;
    house
        .post(
            &format!("{repo}/pullrequestquery?api-version=7.1"),
            json!({"queries": [{"type": "lastMergeCommit", "items": [head]}]}),
        )
        .await;
    let artifact = format!("vstfs:///Git/PullRequestId/{}%2F{}%2F{id}", house.repo.project_id, house.repo.id);
    let items = house
        .post("_apis/wit/artifacturiquery?api-version=7.1", json!({"artifactUris": [artifact]}))
        .await
        .json();
    assert_eq!(items["artifactUrisQueryResult"][&artifact][0]["id"], json!(a));
    for path in [
        "",
        "/threads",
        "/workitems",
        "/commits",
        "/iterations",
        "/iterations/1",
        "/iterations/1/changes",
        "/reviewers",
        "/labels",
        "/properties",
        "/statuses",
    ] {
        let answer = house.get(&format!("{pull}{path}?api-version=7.1")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    house
        .get(&format!(
            "{}?searchCriteria.status=all&searchCriteria.creatorId={}&$top=100&$skip=0&api-version=7.1",
            house.pulls(),
            house.bot.id
        ))
        .await;
    let project = house.repo.project_id.clone();
    house
        .get(&format!("{project}/_apis/git/pullrequests?searchCriteria.status=active&api-version=7.1"))
        .await;
    house.get(&format!("_apis/git/pullrequests/{id}?api-version=7.1")).await;
    let evaluations = house.evaluations(id).await;
    assert_eq!(evaluations.len(), 5);
    let requeue = format!(
        "{project}/_apis/policy/evaluations/{}?api-version=7.1-preview.1",
        evaluations[0]["evaluationId"].as_str().unwrap()
    );
    assert_eq!(house.send(Method::PATCH, &requeue, JSON, None).await.status, 200);
    house.emulator.idle().await;
    house.get(&format!("{project}/_apis/policy/configurations?api-version=7.1")).await;
    house.get(&format!("{project}/_apis/policy/types?api-version=7.1")).await;
    house.get(&format!("{project}/_apis/git/policy/configurations?repositoryId={}&refName=refs/heads/main&api-version=7.1", house.repo.id)).await;
    let build = house.emulator.builds().last().unwrap().id;
    let builds = format!("{project}/_apis/build/builds");
    for path in [
        format!("?branchName=refs/pull/{id}/merge&queryOrder=queueTimeDescending&api-version=7.1"),
        format!("/{build}?api-version=7.1"),
        format!("/{build}/timeline?api-version=7.1"),
        format!("/{build}/logs?api-version=7.1"),
    ] {
        let answer = house.get(&format!("{builds}{path}")).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
    }
    // The documents say that a log is text; asked for JSON the service answers with a list of lines.
    let log = house
        .client
        .get(format!("{}/{builds}/{build}/logs/3?startLine=0&endLine=1&api-version=7.1", house.base));
    let log = log
        .header("Accept", "text/plain")
        .header("Authorization", basic(PAT))
        .send()
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(log.contains("building") && log.lines().count() == 2, "{log}");
    house.get(&format!("{project}/_apis/build/definitions?api-version=7.1")).await;
    house.get(&format!("{project}/_apis/build/definitions/{pipeline}?api-version=7.1")).await;
    house.emulator.force_next_result(pipeline, "failed");
    let queued = house
        .post(
            &format!("{builds}?api-version=7.1"),
            json!({"definition": {"id": pipeline}, "sourceBranch": "refs/heads/main", "parameters": "{}"}),
        )
        .await
        .json()["id"]
        .clone();
    house.emulator.idle().await;
    assert_eq!(
        house
            .patch(
                &format!("{builds}/{queued}/stages/__default?api-version=7.1"),
                json!({"state": "retry", "forceRetryAllJobs": false})
            )
            .await
            .status,
        204
    );
    house.patch(&format!("{builds}/{queued}?api-version=7.1"), json!({"status": "cancelling"})).await;
    house.patch(&format!("{pull}?api-version=7.1"), json!({"description": "new", "title": "A2"})).await;
    house.patch(&format!("{pull}?api-version=7.1"), json!({"autoCompleteSetBy": {"id": house.bot.id}, "completionOptions": {"mergeStrategy": "squash"}})).await;
    house.patch(&format!("{pull}?api-version=7.1"), json!({"status": "abandoned"})).await;
    house.send(Method::DELETE, &format!("_apis/wit/workitems/{b}?api-version=7.1"), JSON, None).await;
    house.emulator.idle().await;
    assert!(house.emulator.unknown_requests().is_empty(), "{:?}", house.emulator.unknown_requests());
    let recorded = std::fs::read_to_string(&kept).unwrap();
    assert!(recorded.lines().count() > 70);
    let secret = basic(PAT);
    assert!(!recorded.contains(PAT) && !recorded.contains(secret.trim_start_matches("Basic ")));
}
