//! Work items on the wire: queries, batches, audit, guarded changes, comments.

use super::*;
use roundsman::{
    ado::{AttachedFile, ItemChange, NewItem, PullRequestLink, Wiql},
    domain::{CommentId, Labels, Link, Revision, StateCategory},
};

const ITEM: &str = include_str!("../../../fixtures/ado/work-item.json");
const UPDATES: &str = include_str!("../../../fixtures/ado/updates.json");

fn fixture(text: &str) -> Value {
    serde_json::from_str(text).expect("a fixture")
}

#[tokio::test]
async fn a_query_encodes_the_project_and_asks_for_time_only_when_it_has_one() {
    let server =
        server(vec![answer(200, &json!({ "queryType": "flat", "workItems": [{ "id": 3 }, { "id": 9 }] }))])
            .await;
    let client = client(&server);
    let found = client.query("My Project", &Wiql::labelled("o'clock"), 50).await.expect("ids");
    assert_eq!(found, [WorkItemId(3), WorkItemId(9)]);
    let since = "2026-03-31T18:36:28Z".parse().expect("a timestamp");
    client.query("My Project", &Wiql::labelled("x").changed_since(since), 50).await.expect("ids");

    let requests = requests(&server).await;
    assert_eq!(requests[0].url.path(), "/fabrikam/My%20Project/_apis/wit/wiql");
    assert_eq!(query(&requests[0], "api-version").as_deref(), Some("7.1"));
    assert_eq!(query(&requests[0], "$top").as_deref(), Some("50"));
    assert_eq!(query(&requests[0], "timePrecision"), None);
    assert!(sent(&requests[0])["query"].as_str().is_some_and(|text| text.contains("CONTAINS 'o''clock'")));
    assert_eq!(query(&requests[1], "timePrecision").as_deref(), Some("true"));
    assert_eq!((client.reads(), client.writes()), (2, 0));
}

#[tokio::test]
async fn all_labelled_ids_are_read_by_id_and_never_in_part() {
    let page = |ids: &[u32]| {
        answer(200, &json!({ "workItems": ids.iter().map(|id| json!({ "id": id })).collect::<Vec<_>>() }))
    };
    let whole = server(vec![page(&[1, 2]), page(&[3])]).await;
    let found = client(&whole).ids_with_label("p", "x", 2).await.expect("ids");
    assert_eq!(found, [WorkItemId(1), WorkItemId(2), WorkItemId(3)]);
    assert!(
        sent(&requests(&whole).await[1])["query"]
            .as_str()
            .is_some_and(|text| text.contains("[System.Id] > 2"))
    );

    let endless = server(vec![page(&[1, 2])]).await;
    let error = client(&endless).ids_with_label("p", "x", 2).await.expect_err("the same page again");
    assert!(matches!(error.kind, ErrorKind::Incomplete { .. }), "{error}");
    let half = server(vec![page(&[1, 2]), ResponseTemplate::new(500)]).await;
    assert!(client(&half).ids_with_label("p", "x", 2).await.is_err());
}

#[tokio::test]
async fn a_batch_omits_what_cannot_be_read_and_is_matched_by_id() {
    let list = json!({ "count": 3, "value": [null, { "id": 2, "rev": 1, "fields": { "System.Tags": "b;  A ;;b" } },
                                             { "id": 777, "rev": 1 }, { "id": 1, "rev": 4 }] });
    let server = server(vec![answer(200, &list), answer(200, &json!({ "value": [] }))]).await;
    let ids: Vec<_> = (1..=201).map(WorkItemId).collect();
    let items = client(&server).work_items(&ids).await.expect("items");
    assert_eq!(items.iter().map(|item| item.id.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(items[1].labels.iter().collect::<Vec<_>>(), ["b", "A"]);

    let requests = requests(&server).await;
    assert_eq!(requests.len(), 2);
    let body = sent(&requests[0]);
    assert_eq!(body["ids"].as_array().map(Vec::len), Some(200));
    assert_eq!((&body["errorPolicy"], body.get("$expand")), (&json!("omit"), None));
    assert!(body["fields"].as_array().is_some_and(|fields| fields.contains(&json!("System.Tags"))));
    assert_eq!(sent(&requests[1])["ids"], json!([201]));
}

#[tokio::test]
async fn an_item_is_read_with_its_links() {
    let server =
        server(vec![answer(200, &json!({ "value": [fixture(ITEM)] })), answer(200, &fixture(ITEM))]).await;
    let client = client(&server);
    let items = client.work_items_with_links(&[WorkItemId(299)]).await.expect("items");
    let body = sent(&requests(&server).await[0]);
    assert_eq!((&body["$expand"], body.get("fields")), (&json!("relations"), None));

    let item = client.work_item(WorkItemId(299)).await.expect("readable").expect("there");
    assert_eq!(items[0], item);
    assert_eq!(
        (item.project.as_str(), item.kind.as_str(), item.priority),
        ("My Project", "User Story", Some(2))
    );
    assert!(item.labels.has("ready-for-agent"));
    assert_eq!(item.assigned_to.map(|who| who.id.to_string()).as_deref(), Some(VSID));
    let project_id = "p1".to_owned();
    let repository_id = "a0000000-0000-0000-0000-000000000001".to_owned();
    assert_eq!(
        item.links,
        [
            Link::Predecessor(WorkItemId(300)),
            Link::PullRequest {
                project_id: project_id.clone(),
                repository_id: repository_id.clone(),
                id: PullRequestId(57)
            },
            Link::Branch { project_id, repository_id, branch: "feature/one".into() },
        ]
    );
}

#[tokio::test]
async fn only_the_documented_absence_is_an_absence() {
    let gone =
        failure(404, "WorkItemUnauthorizedAccessException", "TF401232: Work item 5 does not exist, or …");
    let server_gone = server(vec![gone]).await;
    assert_eq!(client(&server_gone).work_item(WorkItemId(5)).await, Ok(None));
    let other =
        server(vec![ResponseTemplate::new(404).set_body_raw("The controller for path …", "text/plain")])
            .await;
    assert!(
        matches!(client(&other).work_item(WorkItemId(5)).await, Err(error) if matches!(error.kind, ErrorKind::NotFound { .. }))
    );
}

#[tokio::test]
async fn texts_of_a_revision_are_markdown_without_what_nobody_sees() {
    let server = server(vec![answer(200, &fixture(ITEM))]).await;
    let client = client(&server);
    let text = client.work_item_text(WorkItemId(299), Revision(7)).await.expect("texts");
    assert_eq!(text.description, "Say **hello**");
    assert_eq!(text.acceptance_criteria, "It *says* hello.");
    assert_eq!(requests(&server).await[0].url.path(), "/fabrikam/_apis/wit/workItems/299/revisions/7");
    assert!(
        client.work_item_text(WorkItemId(299), Revision(6)).await.is_err(),
        "another revision than asked for"
    );
}

#[tokio::test]
async fn the_label_is_traced_to_who_added_it() {
    let server = server(vec![answer(200, &fixture(UPDATES))]).await;
    let found = client(&server)
        .labelled_by(WorkItemId(299), "ready-for-agent")
        .await
        .expect("readable")
        .expect("found");
    assert_eq!(found.by.id.as_str(), "11111111-1111-1111-1111-111111111111");
    assert_eq!(found.authorized_as.as_ref(), Some(&found.by.id));
    assert_eq!((found.revision, found.at.to_string().as_str()), (Revision(2), "2026-03-31T18:36:28Z"));
    assert!(found.text_changed_since_by.is_empty());
    let request = &requests(&server).await[0];
    assert_eq!((query(request, "$top"), query(request, "$skip")), (Some("200".into()), Some("0".into())));
}

#[tokio::test]
async fn a_short_page_without_the_current_revision_is_not_the_last() {
    let all = fixture(UPDATES);
    let page = |from: usize, to: usize| {
        answer(200, &json!({ "value": all["value"].as_array().expect("a list")[from..to] }))
    };
    let server = server(vec![page(0, 1), page(1, 3)]).await;
    let found = client(&server).labelled_by(WorkItemId(299), "ready-for-agent").await.expect("readable");
    assert!(found.is_some());
    assert_eq!(query(&requests(&server).await[1], "$skip").as_deref(), Some("1"));
}

#[tokio::test]
async fn states_are_read_by_category_and_unknown_ones_are_never_over() {
    let list = json!({ "value": [{ "name": "New", "category": "Proposed" }, { "name": "Done", "category": "completed" },
                                 { "name": "Odd", "category": "Later" }] });
    let server = server(vec![answer(200, &list)]).await;
    let states = client(&server).states("My Project", "User Story").await.expect("states");
    assert_eq!(
        requests(&server).await[0].url.path(),
        "/fabrikam/My%20Project/_apis/wit/workitemtypes/User%20Story/states"
    );
    assert_eq!((states["Done"], states["Odd"]), (StateCategory::Completed, StateCategory::Other));
}

fn claim() -> ItemChange {
    ItemChange {
        labels: Some(Labels::new(["agent-in-progress", "customer-x"])),
        state: Some("Active".into()),
        history: Some("<p>started</p>".into()),
        links: vec![PullRequestLink::new(&repository(), PullRequestId(57))],
        files: vec![AttachedFile {
            url: "https://x.example/_apis/wit/attachments/7?fileName=a.txt".into(),
            name: "a.txt".into(),
            comment: "what was left".into(),
        }],
    }
}

#[tokio::test]
async fn a_change_is_one_patch_under_the_revision_read() {
    let server = server(vec![answer(200, &fixture(ITEM))]).await;
    let client = client(&server);
    let Written::Done(item) = client.change_work_item(WorkItemId(299), Revision(6), &claim()).await else {
        panic!("not done")
    };
    assert_eq!(item.revision, Revision(7));
    assert_eq!(client.writes(), 1);

    let request = &requests(&server).await[0];
    assert_eq!((request.method.as_str(), request.url.path()), ("PATCH", "/fabrikam/_apis/wit/workitems/299"));
    assert_eq!(request.headers["content-type"], "application/json-patch+json");
    let url = "vstfs:///Git/PullRequestId/b0000000-0000-0000-0000-000000000001%2Fa0000000-0000-0000-0000-000000000001%2F57";
    assert_eq!(
        sent(request),
        json!([
            { "op": "test", "path": "/rev", "value": 6 },
            { "op": "replace", "path": "/fields/System.Tags", "value": "agent-in-progress; customer-x" },
            { "op": "add", "path": "/fields/System.State", "value": "Active" },
            { "op": "add", "path": "/fields/System.History", "value": "<p>started</p>" },
            { "op": "add", "path": "/relations/-",
              "value": { "rel": "ArtifactLink", "url": url, "attributes": { "name": "Pull Request" } } },
            { "op": "add", "path": "/relations/-",
              "value": { "rel": "AttachedFile", "url": "https://x.example/_apis/wit/attachments/7?fileName=a.txt",
                         "attributes": { "name": "a.txt", "comment": "what was left" } } },
        ])
    );
}

#[tokio::test]
async fn a_file_is_uploaded_as_it_is_and_never_twice_by_itself() {
    let uploaded = json!({ "id": "6b2266bf-a155-4582-a475-ca4da68193ef", "url": "https://x.example/a/6b2266bf?fileName=a%20b.txt" });
    let upload = server(vec![answer(201, &uploaded)]).await;
    let written = client(&upload).upload_attachment("My Project", "a b.txt", b"\x00{not json".to_vec()).await;
    assert!(
        matches!(&written, Written::Done(url) if url == "https://x.example/a/6b2266bf?fileName=a%20b.txt"),
        "{written:?}"
    );
    let request = &requests(&upload).await[0];
    assert_eq!(
        (request.method.as_str(), request.url.path()),
        ("POST", "/fabrikam/My%20Project/_apis/wit/attachments")
    );
    assert_eq!(request.headers["content-type"], "application/octet-stream");
    assert_eq!(query(request, "fileName").as_deref(), Some("a b.txt"));
    assert_eq!(query(request, "uploadType").as_deref(), Some("simple"));
    assert_eq!(query(request, "api-version").as_deref(), Some("7.1"));
    assert_eq!(request.body, b"\x00{not json");

    let busy = server(vec![failure(503, "VssServiceException", "later")]).await;
    let written = patient(&busy).upload_attachment("p", "a.txt", b"x".to_vec()).await;
    assert!(matches!(written, Written::Unknown(_)), "{written:?}");
    assert_eq!(requests(&busy).await.len(), 1);
}

#[tokio::test]
async fn every_form_of_a_lost_race_is_one_conflict() {
    for template in [
        failure(412, "TestPatchOperationFailedException", "VS403351: Test Operation for path /rev failed"),
        failure(
            409,
            "WorkItemRevisionMismatchException",
            "TF26071: This work item has been changed by someone else",
        ),
        failure(400, "WorkItemRevisionMismatchException", "localised"),
        failure(400, "VssServiceException", "TF26071: changed"),
        failure(409, "VssServiceException", "localised"),
    ] {
        let server = server(vec![template]).await;
        let written = patient(&server).change_work_item(WorkItemId(299), Revision(6), &claim()).await;
        assert!(matches!(&written, Written::NotDone(error) if error.is_conflict()), "{written:?}");
        assert_eq!(requests(&server).await.len(), 1);
    }
    let rule =
        server(vec![failure(400, "RuleValidationException", "TF401320: Rule Error for field Effort.")]).await;
    let written = client(&rule).change_work_item(WorkItemId(299), Revision(6), &claim()).await;
    assert_eq!(written.error().map(roundsman::ado::Error::fault), Some(Fault::Theirs));
}

#[tokio::test]
async fn comments_come_whole_or_not_at_all() {
    let page = |id: u32, token: Option<&str>| {
        let comment = json!({ "commentId": id, "text": "<div>/agent <b>stop</b></div>", "createdBy": { "id": VSID },
                              "createdDate": "2026-03-31T18:00:00Z" });
        answer(200, &json!({ "totalCount": 2, "comments": [comment], "continuationToken": token }))
    };
    let whole = server(vec![page(1, Some("t1")), page(2, None)]).await;
    let comments = client(&whole).comments("My Project", WorkItemId(299)).await.expect("comments");
    assert_eq!(comments.iter().map(|one| one.id.0).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(comments[0].text, "/agent **stop**");
    let requests = requests(&whole).await;
    assert_eq!(requests[0].url.path(), "/fabrikam/My%20Project/_apis/wit/workItems/299/comments");
    assert_eq!(query(&requests[0], "api-version").as_deref(), Some("7.1-preview.4"));
    assert_eq!(query(&requests[0], "order").as_deref(), Some("asc"));
    assert_eq!(query(&requests[1], "continuationToken").as_deref(), Some("t1"));

    let stuck = server(vec![page(1, Some("t1"))]).await;
    let error = client(&stuck).comments("p", WorkItemId(299)).await.expect_err("the same token again");
    assert!(matches!(error.kind, ErrorKind::Incomplete { .. }), "{error}");
}

#[tokio::test]
async fn comments_are_written_as_html_and_tell_what_they_became() {
    let server = server(vec![
        answer(200, &json!({ "id": 5, "text": "**hi**", "format": "markdown", "createdBy": { "id": VSID } })),
        answer(200, &json!({ "id": 5, "text": "**hi**", "format": 1 })),
    ])
    .await;
    let client = client(&server);
    let Written::Done(added) = client.add_comment("p", WorkItemId(299), "**hi**").await else {
        panic!("not done")
    };
    assert!(added.is_markdown && added.id == CommentId(5) && added.author.id.as_str() == VSID);
    let Written::Done(edited) = client.edit_comment("p", WorkItemId(299), CommentId(5), "**hi**").await
    else {
        panic!("not done")
    };
    assert!(!edited.is_markdown);

    let requests = requests(&server).await;
    assert_eq!(sent(&requests[0]), json!({ "text": "**hi**" }));
    assert_eq!(query(&requests[0], "format").as_deref(), Some("html"));
    assert_eq!(
        (requests[1].method.as_str(), requests[1].url.path()),
        ("PATCH", "/fabrikam/p/_apis/wit/workItems/299/comments/5")
    );
}

#[tokio::test]
async fn a_new_item_is_one_patch_on_its_type_with_its_link() {
    let made = json!({ "id": 9, "rev": 1, "fields": { "System.Title": "Later" }, "relations": [
        { "rel": "System.LinkTypes.Related", "url": "https://dev.azure.com/o/p/_apis/wit/workItems/7" } ] });
    let server = server(vec![answer(200, &made)]).await;
    let client = client(&server);
    let new = NewItem {
        kind: "User Story".into(),
        title: "Later".into(),
        description: "<p>x</p>".into(),
        area: "p\\a".into(),
        related: WorkItemId(7),
    };
    let Written::Done(item) = client.create_work_item("My Project", &new).await else { panic!("not made") };
    assert_eq!((item.id, item.links), (WorkItemId(9), vec![Link::Related(WorkItemId(7))]));
    let request = &requests(&server).await[0];
    assert_eq!(request.method.as_str(), "POST");
    assert_eq!(request.url.path(), "/fabrikam/My%20Project/_apis/wit/workitems/$User%20Story");
    assert_eq!(query(request, "api-version").as_deref(), Some("7.1"));
    assert_eq!(request.headers["content-type"], "application/json-patch+json");
    let patch = sent(request);
    assert_eq!(patch[0], json!({ "op": "add", "path": "/fields/System.Title", "value": "Later" }));
    assert_eq!(patch[3]["value"]["rel"], "System.LinkTypes.Related");
    assert!(patch[3]["value"]["url"].as_str().is_some_and(|url| url.ends_with("/_apis/wit/workItems/7")));
}

#[tokio::test]
async fn versions_of_a_file_are_asked_for_by_path_and_branch() {
    let id = "0123456789abcdef0123456789abcdef01234567";
    let one = json!({ "commitId": id, "comment": "x" });
    // A service that ignores how many were asked for.
    let list = json!({ "count": 3, "value": [one, one, one] });
    let server = server(vec![answer(200, &list), answer(200, &json!({ "content": "a = 1" }))]).await;
    let (client, main) = (client(&server), roundsman::domain::BranchName::new("main"));
    let found = client.commits_of(&repository(), &main, ".roundsman.toml", 2).await.expect("commits");
    assert_eq!((found.len(), found[0].as_str()), (2, id));
    let text = client.file_at(&repository(), ".roundsman.toml", &found[0]).await.expect("a file");
    assert_eq!(text.as_deref(), Some("a = 1"));
    let requests = requests(&server).await;
    let asked = |name| query(&requests[0], name);
    assert_eq!(asked("searchCriteria.itemPath").as_deref(), Some("/.roundsman.toml"));
    assert_eq!(asked("searchCriteria.itemVersion.version").as_deref(), Some("main"));
    assert_eq!(asked("searchCriteria.$top").as_deref(), Some("2"));
    assert_eq!(query(&requests[1], "versionDescriptor.version").as_deref(), Some(id));
    assert_eq!(query(&requests[1], "versionDescriptor.versionType").as_deref(), Some("commit"));
}
