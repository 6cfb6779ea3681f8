//! Repositories, branches and pull requests on the wire.

use super::*;
use roundsman::{
    ado::{MAX_DESCRIPTION, NewPullRequest, PullRequestChange, PullRequestFilter},
    domain::{BranchName, CommentId, IdentityId, MergeState, PullRequestStatus, ThreadStatus, Vote},
};

const HEAD: &str = "0123456789abcdef0123456789abcdef01234567";

fn pull_request(id: u32) -> Value {
    json!({
        "pullRequestId": id, "repository": { "id": repository().id.to_uppercase() }, "status": "active",
        "sourceRefName": "refs/heads/agent/1-r2", "targetRefName": "refs/heads/main", "mergeStatus": "queued",
        "lastMergeSourceCommit": { "commitId": HEAD }, "createdBy": { "id": VSID, "displayName": "Robot" },
        "autoCompleteSetBy": { "id": "00000000-0000-0000-0000-000000000000" }, "title": "t",
        "reviewers": [
            { "id": VSID, "vote": -5, "displayName": "Somebody", "isRequired": true },
            { "id": "c0000000-0000-0000-0000-000000000001", "vote": -5, "isContainer": true },
        ],
    })
}

fn new() -> NewPullRequest {
    NewPullRequest {
        source: BranchName::new("agent/1-r2"),
        target: BranchName::new("main"),
        title: "t".repeat(300),
        description: "🦀".repeat(3000),
        is_draft: false,
        work_item: Some(WorkItemId(299)),
        labels: vec!["agent".into()],
        reviewers: Vec::new(),
    }
}

#[tokio::test]
async fn a_repository_is_cloned_without_a_user_and_a_disabled_one_is_none() {
    let found = |disabled: bool| {
        answer(
            200,
            &json!({ "id": "A0", "name": "shop", "project": { "id": "B0", "name": "My Project" }, "isDisabled": disabled,
            "defaultBranch": "refs/heads/main", "remoteUrl": "https://fabrikam@dev.azure.com/fabrikam/My%20Project/_git/shop" }),
        )
    };
    let server = server(vec![
        found(false),
        found(true),
        failure(404, "GitRepositoryNotFoundException", "TF401019: missing"),
        failure(404, "ProjectDoesNotExistWithNameException", "TF200016: no such project"),
    ])
    .await;
    let client = client(&server);
    let repository = client.repository("My Project", "shop").await.expect("readable").expect("there");
    assert_eq!(repository.clone_url, "https://dev.azure.com/fabrikam/My%20Project/_git/shop");
    assert_eq!((repository.id.as_str(), repository.default_branch), ("a0", Some(BranchName::new("main"))));
    assert_eq!(client.repository("My Project", "shop").await, Ok(None));
    assert_eq!(client.repository("My Project", "shop").await, Ok(None));
    assert!(
        client.repository("My Project", "shop").await.is_err(),
        "a missing project is not a missing repository"
    );
}

#[tokio::test]
async fn a_branch_is_matched_exactly() {
    let refs = json!({ "value": [{ "name": "refs/heads/agent/1-r20", "objectId": HEAD }] });
    let longer = server(vec![answer(200, &refs)]).await;
    assert_eq!(client(&longer).branch_head(&repository(), &BranchName::new("agent/1-r2")).await, Ok(None));
    let request = &requests(&longer).await[0];
    assert_eq!(query(request, "filter").as_deref(), Some("heads/agent/1-r2"));

    let two = server(vec![
        answer(200, &refs).insert_header("x-ms-continuationtoken", "next"),
        answer(200, &json!({ "value": [{ "name": "refs/heads/agent/1-r2", "objectId": HEAD }] })),
    ])
    .await;
    let head =
        client(&two).branch_head(&repository(), &BranchName::new("agent/1-r2")).await.expect("readable");
    assert_eq!(head.map(|head| head.to_string()).as_deref(), Some(HEAD));
    assert_eq!(query(&requests(&two).await[1], "continuationToken").as_deref(), Some("next"));
}

#[tokio::test]
async fn a_list_without_its_end_or_its_value_is_no_list() {
    let stuck =
        server(vec![answer(200, &json!({ "value": [] })).insert_header("x-ms-continuationtoken", "same")])
            .await;
    let error = client(&stuck).branches(&repository(), "agent/").await.expect_err("incomplete");
    assert!(matches!(error.kind, ErrorKind::Incomplete { .. }), "{error}");
    let bare = server(vec![answer(200, &json!({ "count": 0 }))]).await;
    let error = client(&bare).branches(&repository(), "agent/").await.expect_err("malformed");
    assert!(matches!(error.kind, ErrorKind::Malformed { .. }), "{error}");
    let empty = server(vec![ResponseTemplate::new(200)]).await;
    assert!(client(&empty).branches(&repository(), "agent/").await.is_err(), "no body is no empty list");
}

#[tokio::test]
async fn a_file_is_read_by_short_branch_name() {
    let server = server(vec![
        answer(200, &json!({ "path": "/a b.md", "content": "text" })),
        failure(404, "GitItemNotFoundException", "TF401174: not found"),
    ])
    .await;
    let client = client(&server);
    let main = BranchName::new("refs/heads/main");
    assert_eq!(client.file(&repository(), "a b.md", &main).await, Ok(Some("text".into())));
    assert_eq!(client.file(&repository(), "a b.md", &main).await, Ok(None));
    let request = &requests(&server).await[0];
    assert!(request.url.query().is_some_and(|query| query.contains("path=%2Fa%20b.md")));
    assert_eq!(query(request, "versionDescriptor.version").as_deref(), Some("main"));
    assert_eq!(query(request, "versionDescriptor.versionType").as_deref(), Some("branch"));
}

#[tokio::test]
async fn lists_of_pull_requests_go_on_until_a_page_is_not_full() {
    let full: Vec<Value> = (1..=200).map(pull_request).collect();
    let mut fork = pull_request(301);
    fork["forkSource"] = json!({ "name": "refs/heads/agent/1-r2" });
    let rest = json!({ "value": [pull_request(200), pull_request(201), fork] });
    let server = server(vec![answer(200, &json!({ "value": full })), answer(200, &rest)]).await;
    let me = IdentityId::new(VSID);
    let found =
        client(&server).pull_requests_of("My Project", &me, PullRequestFilter::Active).await.expect("a list");
    assert_eq!(found.len(), 201, "repeated entries count once, forks never");
    let first = &found[0];
    assert_eq!((first.status, first.merge), (PullRequestStatus::Active, MergeState::Pending));
    assert_eq!((first.auto_complete_by.as_ref(), first.reviewers.len()), (None, 1));
    assert_eq!(first.reviewers[0].vote, Vote::WaitingForAuthor);
    assert!(first.reviewers[0].is_required);
    assert_eq!(first.head.as_ref().map(ToString::to_string).as_deref(), Some(HEAD));

    let requests = requests(&server).await;
    assert_eq!(requests[0].url.path(), "/fabrikam/My%20Project/_apis/git/pullrequests");
    assert_eq!(query(&requests[0], "searchCriteria.creatorId").as_deref(), Some(VSID));
    assert_eq!(query(&requests[0], "searchCriteria.status").as_deref(), Some("active"));
    assert_eq!(query(&requests[1], "$skip").as_deref(), Some("200"));
}

#[tokio::test]
async fn pull_requests_are_found_by_full_source_ref_in_every_state() {
    let server = server(vec![answer(200, &json!({ "value": [pull_request(57)] }))]).await;
    let found = client(&server)
        .find_pull_requests(&repository(), &BranchName::new("agent/1-r2"))
        .await
        .expect("a list");
    assert_eq!((found[0].id, found[0].repository_id.as_str()), (PullRequestId(57), repository().id.as_str()));
    let request = &requests(&server).await[0];
    assert_eq!(query(request, "searchCriteria.sourceRefName").as_deref(), Some("refs/heads/agent/1-r2"));
    assert_eq!(query(request, "searchCriteria.status").as_deref(), Some("all"));
}

#[tokio::test]
async fn a_new_pull_request_stays_within_the_limits() {
    let server = server(vec![answer(201, &pull_request(57))]).await;
    let Written::Done(opened) = client(&server).create_pull_request(&repository(), &new()).await else {
        panic!("not done")
    };
    assert_eq!(opened.id, PullRequestId(57));
    let body = sent(&requests(&server).await[0]);
    assert_eq!(
        (&body["sourceRefName"], &body["targetRefName"]),
        (&json!("refs/heads/agent/1-r2"), &json!("refs/heads/main"))
    );
    assert_eq!(body["workItemRefs"], json!([{ "id": "299" }]));
    assert_eq!(body["labels"], json!([{ "name": "agent" }]));
    let units = body["description"].as_str().map(|text| text.encode_utf16().count());
    assert_eq!((units, body["title"].as_str().map(str::len)), (Some(MAX_DESCRIPTION), Some(250)));
}

#[tokio::test]
async fn an_existing_pull_request_and_a_missing_branch_are_told_apart() {
    let exists =
        server(vec![failure(409, "GitPullRequestExistsException", "TF401179: An active pull request …")])
            .await;
    let written = client(&exists).create_pull_request(&repository(), &new()).await;
    assert!(
        matches!(&written, Written::NotDone(error) if matches!(error.kind, ErrorKind::Exists { .. })),
        "{written:?}"
    );
    let missing =
        server(vec![failure(400, "GitPullRequestException", "TF401398: The source branch does not exist")])
            .await;
    let written = client(&missing).create_pull_request(&repository(), &new()).await;
    assert!(
        matches!(&written, Written::NotDone(error) if matches!(error.kind, ErrorKind::BranchMissing { .. })),
        "{written:?}"
    );
}

#[tokio::test]
async fn a_change_sends_only_what_changes() {
    let server = server(vec![answer(200, &pull_request(57))]).await;
    let client = client(&server);
    let publish = PullRequestChange { is_draft: Some(false), ..PullRequestChange::default() };
    let abandon = PullRequestChange { abandon: true, ..PullRequestChange::default() };
    for change in [&publish, &abandon] {
        assert!(matches!(
            client.update_pull_request(&repository(), PullRequestId(57), change).await,
            Written::Done(_)
        ));
    }
    let requests = requests(&server).await;
    assert_eq!(sent(&requests[0]), json!({ "isDraft": false }));
    assert_eq!(sent(&requests[1]), json!({ "status": "abandoned" }));
}

#[tokio::test]
async fn work_items_and_reviewers_have_calls_of_their_own() {
    let server = server(vec![
        answer(200, &json!({ "value": [{ "id": "299", "url": "x" }] })),
        answer(200, &json!({ "value": pull_request(57)["reviewers"] })),
    ])
    .await;
    let client = client(&server);
    let linked = client.pull_request_work_items(&repository(), PullRequestId(57)).await;
    assert_eq!(linked, Ok(vec![WorkItemId(299)]));
    let votes = client.reviewers(&repository(), PullRequestId(57)).await.expect("reviewers");
    assert_eq!(votes.len(), 1);
}

#[tokio::test]
async fn only_discussions_are_threads() {
    let fixture: Value =
        serde_json::from_str(include_str!("../../../fixtures/ado/threads.json")).expect("a fixture");
    let server = server(vec![answer(200, &fixture)]).await;
    let threads = client(&server).threads(&repository(), PullRequestId(57)).await.expect("threads");
    assert_eq!(
        threads.iter().map(|thread| (thread.id.0, thread.status)).collect::<Vec<_>>(),
        [(148, ThreadStatus::Active), (151, ThreadStatus::Settled)]
    );
    let place = threads[0].place.as_ref().expect("a place");
    assert_eq!((place.path.as_str(), place.line), ("src/a.rs", Some(12)));
    let comments = &threads[0].comments;
    assert_eq!(
        comments.iter().map(|one| one.text.as_str()).collect::<Vec<_>>(),
        ["please rename", "and this"]
    );
    assert_eq!(comments[1].changed_at.to_string(), "2026-03-31T19:00:00.1234567Z");
}

#[tokio::test]
async fn a_word_is_taken_back_by_thread_and_comment() {
    let server = server(vec![
        ResponseTemplate::new(200),
        failure(404, "DiscussionCommentNotFoundException", "TF401372: it does not exist"),
    ])
    .await;
    let client = client(&server);
    let delete =
        async || client.delete_comment(&repository(), PullRequestId(57), ThreadId(148), CommentId(3)).await;
    assert!(matches!(delete().await, Written::Done(())));
    let gone = delete().await;
    assert!(matches!(&gone, Written::NotDone(why) if why.is_not_found()), "{gone:?}");
    let request = &requests(&server).await[0];
    assert_eq!(request.method.as_str(), "DELETE");
    assert!(request.url.path().ends_with("/pullRequests/57/threads/148/comments/3"), "{}", request.url);
    assert!(request.body.is_empty());
}
