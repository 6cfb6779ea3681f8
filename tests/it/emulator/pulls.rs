//! Git and pull requests.

use super::{House, JSON, PAT, git};
use reqwest::Method;
use roundsman::emulator::{Fault, SeedFile};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn git_clones_and_pushes_through_http() {
    let house = House::new().await;
    let folder = tempfile::tempdir().unwrap();
    let (cloned, text) = git(folder.path(), PAT, &["clone", "--quiet", &house.repo.clone_url, "work"]);
    assert!(cloned, "{text}");
    let work = folder.path().join("work");
    assert!(work.join("ci/build.sh").exists());
    std::fs::write(work.join("new.txt"), "new\n").unwrap();
    for args in
        [&["checkout", "--quiet", "-b", "agent/1"][..], &["add", "."], &["commit", "--quiet", "-m", "New"]]
    {
        assert!(git(&work, PAT, args).0);
    }
    let (pushed, text) = git(&work, PAT, &["push", "origin", "agent/1"]);
    assert!(pushed, "{text}");
    let head = git(&work, PAT, &["rev-parse", "HEAD"]).1.trim().to_owned();
    assert_eq!(house.emulator.head(&house.repo, "refs/heads/agent/1"), Some(head));
    let refs = house
        .get("Shop%20Floor/_apis/git/repositories/web/refs?filter=heads/agent/&api-version=7.1")
        .await
        .json();
    assert_eq!(refs["value"][0]["creator"]["id"], json!(house.bot.id));

    assert!(git(&work, PAT, &["commit", "--quiet", "--amend", "-m", "Other"]).0);
    let (forced, text) = git(&work, PAT, &["push", "--force", "origin", "agent/1"]);
    assert!(!forced && text.contains("rejected"), "{text}");

    house.emulator.require_reviewers(&house.repo, "refs/heads/main", 1, false);
    let (direct, text) = git(&work, PAT, &["push", "origin", "HEAD:main"]);
    assert!(!direct && text.contains("TF402455"), "{text}");

    let (stranger, text) = git(folder.path(), "wrong", &["clone", &house.repo.clone_url, "other"]);
    assert!(!stranger && text.contains("could not read Username"), "{text}");
    house.emulator.fault(Fault::on("git: push").answer_lost());
    assert!(git(&work, PAT, &["checkout", "--quiet", "-b", "agent/2"]).0);
    assert!(!git(&work, PAT, &["push", "origin", "agent/2"]).0, "the answer was lost");
    assert!(house.emulator.head(&house.repo, "refs/heads/agent/2").is_some(), "and yet it was applied");
}

#[tokio::test(flavor = "multi_thread")]
async fn refs_answer_200_even_when_they_refuse() {
    let house = House::new().await;
    let head = house.emulator.head(&house.repo, "refs/heads/main").unwrap();
    let zero = "0".repeat(40);
    let path = format!("Shop%20Floor/_apis/git/repositories/{}/refs?api-version=7.1", house.repo.id);
    let entry =
        |name: &str, old: &str, new: &str| json!([{"name": name, "oldObjectId": old, "newObjectId": new}]);
    let made = house.post(&path, entry("refs/heads/agent/1", &zero, &head)).await;
    assert_eq!((made.status, made.json()["value"][0]["success"].as_bool()), (200, Some(true)));
    let checks = [
        (entry("refs/heads/agent/1", &zero, &head), "staleOldObjectId"),
        (entry("refs/heads/agent/1/x", &zero, &head), "refNameConflict"),
        (entry("refs/heads/a..b", &zero, &head), "invalidRefName"),
        (entry("refs/heads/x", &zero, &"1".repeat(40)), "unresolvableToCommit"),
        (entry("refs/heads/main", &head, &zero), "forcePushRequired"),
    ];
    for (body, status) in checks {
        let answer = house.post(&path, body).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["value"][0]["updateStatus"], status);
        assert_eq!(answer.json()["value"][0]["success"], false);
    }
    let items = format!("Shop%20Floor/_apis/git/repositories/{}/items", house.repo.id);
    let file = house.get(&format!("{items}?path=/README.md&versionDescriptor.version=main&versionDescriptor.versionType=branch&includeContent=true&$format=json&api-version=7.1")).await;
    assert_eq!(file.json()["content"], "# Web\n");
    assert_eq!(
        house.get(&format!("{items}?path=/nope.md&api-version=7.1")).await.key(),
        "GitItemNotFoundException"
    );
    let full = house
        .get(&format!("{items}?path=/README.md&versionDescriptor.version=refs/heads/main&api-version=7.1"))
        .await;
    assert_eq!(full.status, 404, "only the short name is a branch");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_request_lives_with_lags_and_conflicts() {
    let house = House::new().await;
    let item = house.story("A", &[]);
    let id = house.open("agent/1", "answer.txt", "good work\n").await;
    let again =
        json!({"sourceRefName": "refs/heads/agent/1", "targetRefName": "refs/heads/main", "title": "again"});
    let twin = house.post(&format!("{}?api-version=7.1", house.pulls()), again).await;
    assert_eq!((twin.status, twin.key().as_str()), (409, "GitPullRequestExistsException"));
    let missing =
        json!({"sourceRefName": "refs/heads/none", "targetRefName": "refs/heads/main", "title": "x"});
    assert!(
        house.post(&format!("{}?api-version=7.1", house.pulls()), missing).await.text.contains("TF401398")
    );

    let busy = house.pull(id).await;
    assert_eq!(busy["mergeStatus"], "queued");
    assert!(busy.get("lastMergeCommit").is_none());
    assert_eq!(house.pull(id).await["mergeStatus"], "succeeded", "one read later");
    let link = format!("vstfs:///Git/PullRequestId/{}%2F{}%2F{id}", house.repo.project_id, house.repo.id);
    let body = json!([{"op": "add", "path": "/relations/-", "value": {"rel": "ArtifactLink", "url": link, "attributes": {"name": "Pull Request"}}}]);
    assert_eq!(house.patch_item(item, body).await.json()["rev"], 2, "artifact links do make a revision");
    let linked = house.get(&format!("{}/{id}/workitems?api-version=7.1", house.pulls())).await.json();
    assert_eq!(linked["value"][0]["id"], json!(item.to_string()));

    // The target moves under it: conflict, no merge ref.
    house
        .emulator
        .land(
            &house.repo,
            "refs/heads/main",
            &[SeedFile::new("answer.txt", "good news\n")],
            "Other",
            &house.owner,
        )
        .unwrap();
    house.pull(id).await;
    let torn = house.pull(id).await;
    assert_eq!(torn["mergeStatus"], "conflicts");
    assert!(torn.get("lastMergeCommit").is_none());
    assert!(house.emulator.head(&house.repo, &format!("refs/pull/{id}/merge")).is_none());

    let path = format!("{}/{id}?api-version=7.1", house.pulls());
    let long = "x".repeat(4001);
    assert_eq!(house.patch(&path, json!({"description": long})).await.status, 400);
    let shown = "y".repeat(500);
    house.patch(&path, json!({"description": shown})).await;
    let list = house
        .get(&format!("{}?searchCriteria.sourceRefName=refs/heads/agent/1&api-version=7.1", house.pulls()))
        .await
        .json();
    assert_eq!(list["value"][0]["description"].as_str().unwrap().len(), 400);
    let closed = house.patch(&path, json!({"status": "abandoned"})).await.json();
    assert_eq!(closed["status"], "abandoned");
    assert!(closed.get("mergeStatus").is_none());
    assert_eq!(
        house.get(&format!("{}?api-version=7.1", house.pulls())).await.json()["count"],
        0,
        "active only"
    );
    assert_eq!(house.patch(&path, json!({"status": "active"})).await.json()["mergeStatus"], "queued");
}

#[tokio::test(flavor = "multi_thread")]
async fn completion_is_pinned_gated_and_late() {
    let house = House::new().await;
    house.emulator.require_reviewers(&house.repo, "refs/heads/main", 1, true);
    let id = house.open("agent/1", "answer.txt", "good work\n").await;
    let path = format!("{}/{id}?api-version=7.1", house.pulls());
    let head = house.emulator.pull_request(id).unwrap().head;
    let complete = |head: &str| {
        json!({"status": "completed", "lastMergeSourceCommit": {"commitId": head},
            "completionOptions": {"mergeStrategy": "squash", "deleteSourceBranch": true}})
    };
    let gated = house.patch(&path, complete(&head)).await;
    assert_eq!((gated.status, gated.key().as_str()), (403, "GitPullRequestUpdateRejectedByPolicyException"));
    house.emulator.vote(id, 10, &house.owner).unwrap();
    let own = house
        .post(&format!("{}/{id}/reviewers?api-version=7.1", house.pulls()), json!([{"id": house.bot.id}]))
        .await;
    assert_eq!(own.status, 200);
    let other = house
        .send(
            Method::PUT,
            &format!("{}/{id}/reviewers/{}?api-version=7.1", house.pulls(), house.owner.id),
            JSON,
            Some(json!({"vote": -10})),
        )
        .await;
    assert_eq!(other.status, 400, "nobody votes for others");
    // A push resets the votes and moves the head.
    house
        .emulator
        .push_as(&house.repo, "refs/heads/agent/1", &[SeedFile::new("b.txt", "b\n")], "More", &house.bot)
        .unwrap();
    assert_eq!(house.patch(&path, complete(&head)).await.key(), "GitPullRequestStaleException");
    let head = house.emulator.pull_request(id).unwrap().head;
    assert_eq!(house.patch(&path, complete(&head)).await.status, 403, "the vote was reset");
    house.emulator.vote(id, 5, &house.owner).unwrap();
    let asked = house.patch(&path, complete(&head)).await.json();
    assert_eq!((asked["status"].as_str(), asked["mergeStatus"].as_str()), (Some("active"), Some("queued")));
    assert!(asked.get("completionQueueTime").is_some());
    assert_eq!(house.pull(id).await["status"], "active");
    let done = house.pull(id).await;
    assert_eq!(done["status"], "completed");
    assert_eq!(
        house.emulator.head(&house.repo, "refs/heads/main").as_deref(),
        done["lastMergeCommit"]["commitId"].as_str()
    );
    assert!(house.emulator.head(&house.repo, "refs/heads/agent/1").is_none());
    assert_eq!(house.emulator.file(&house.repo, "refs/heads/main", "b.txt").unwrap(), b"b\n");
    assert!(house.emulator.threads(id).iter().any(roundsman::emulator::ThreadSnapshot::is_system));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_pull_request_shows_the_old_head_and_changes_nothing() {
    let house = House::new().await;
    let id = house.open("agent/1", "a.txt", "a\n").await;
    let before = house.emulator.pull_request(id).unwrap().head;
    house
        .emulator
        .push_as(&house.repo, "refs/heads/agent/1", &[SeedFile::new("a.txt", "b\n")], "More", &house.bot)
        .unwrap();
    let refs = house.emulator.refs(&house.repo);
    house.emulator.fault(Fault::on("pull request: get").stale());
    let stale = house.pull(id).await;
    assert_eq!(stale["lastMergeSourceCommit"]["commitId"], json!(before));
    let fresh = house.pull(id).await;
    assert_ne!(fresh["lastMergeSourceCommit"]["commitId"], json!(before));
    assert_eq!(house.emulator.refs(&house.repo), refs);
    // Another kind of lag: the push itself takes a while to show.
    house.emulator.set_push_lag(1);
    house
        .emulator
        .push_as(&house.repo, "refs/heads/agent/1", &[SeedFile::new("a.txt", "c\n")], "More", &house.bot)
        .unwrap();
    let head = house.emulator.pull_request(id).unwrap().head;
    assert_ne!(house.pull(id).await["lastMergeSourceCommit"]["commitId"], json!(head));
    assert_eq!(house.pull(id).await["lastMergeSourceCommit"]["commitId"], json!(head));
}
