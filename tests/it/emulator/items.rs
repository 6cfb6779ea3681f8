//! Work items, their discussion, states and queries.

use super::{Answer, House, PAT, PATCH};
use reqwest::Method;
use roundsman::emulator::{IdentityKind, NewItem, Process};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_claim_is_won_once() {
    let house = House::new().await;
    let id = house.story("A", &["ready"]);
    let claim = |rev: i64| {
        json!([{"op": "test", "path": "/rev", "value": rev}, {"op": "replace", "path": "/fields/System.Tags", "value": "running"},
            {"op": "add", "path": "/fields/System.State", "value": "Active"}, {"op": "add", "path": "/fields/System.History", "value": "run 1"}])
    };
    let won = house.patch_item(id, claim(1)).await;
    assert_eq!(won.status, 200);
    assert_eq!(won.json()["rev"], 2);
    let lost = house.patch_item(id, claim(1)).await;
    assert_eq!((lost.status, lost.key().as_str()), (412, "TestPatchOperationFailedException"));
    assert_eq!(
        lost.json()["message"],
        "VS403351: Test Operation for path /rev failed, value 2 was not equal to test value 1."
    );
    let item = house.emulator.item(id).unwrap();
    assert_eq!(
        (item.rev, item.state.as_str(), item.tags.as_slice()),
        (2, "Active", ["running".to_owned()].as_slice())
    );
    assert_eq!(item.comments.len(), 1);
    house.emulator.race_next_save(id, &house.owner);
    let raced = house.patch_item(id, claim(2)).await;
    assert_eq!((raced.status, raced.key().as_str()), (409, "WorkItemRevisionMismatchException"));
    assert_eq!(house.emulator.item(id).unwrap().rev, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn tags_merge_split_and_keep_their_first_spelling() {
    let house = House::new().await;
    let id = house.story("A", &["Ready-For-Agent"]);
    let tags = |op: &str, value: Value| json!([{"op": op, "path": "/fields/System.Tags", "value": value}]);
    let merged = house.patch_item(id, tags("add", json!("zeta, alpha; READY-for-agent"))).await.json();
    assert_eq!(merged["fields"]["System.Tags"], "alpha; Ready-For-Agent; zeta");
    let other = house.story("B", &["ready-for-AGENT"]);
    assert_eq!(house.emulator.item(other).unwrap().tags, ["Ready-For-Agent"]);
    assert_eq!(house.patch_item(id, tags("remove", json!("alpha"))).await.status, 400);
    let unchanged = house.patch_item(id, tags("add", json!("zeta"))).await.json();
    assert_eq!(unchanged["rev"], merged["rev"], "nothing changed, nothing saved");
    let cleared = house.patch_item(id, tags("replace", json!(""))).await.json();
    assert!(cleared["fields"].get("System.Tags").is_none());
    house.emulator.allow_tag_creation(&house.bot, false);
    let refused = house
        .patch_item(
            id,
            json!([{"op": "add", "path": "/fields/System.Title", "value": "new"},
        {"op": "add", "path": "/fields/System.Tags", "value": "brand-new"}]),
        )
        .await;
    assert_eq!(refused.status, 403);
    assert_eq!(house.emulator.item(id).unwrap().title, "A", "the whole patch failed");
}

#[tokio::test(flavor = "multi_thread")]
async fn comments_make_revisions_and_links_between_items_do_not() {
    let house = House::new().await;
    let (a, b) = (house.story("A", &[]), house.story("B", &[]));
    let comments = format!("Shop%20Floor/_apis/wit/workItems/{a}/comments");
    let added = house
        .post(&format!("{comments}?format=markdown&api-version=7.1-preview.4"), json!({"text": "**hi**"}))
        .await;
    assert_eq!((added.status, added.json()["format"].as_str()), (200, Some("markdown")));
    let comment = added.json()["id"].as_i64().unwrap();
    assert_eq!(house.emulator.item(a).unwrap().rev, 2);
    house.patch(&format!("{comments}/{comment}?api-version=7.1-preview.4"), json!({"text": "edited"})).await;
    assert_eq!(house.emulator.item(a).unwrap().rev, 3);
    house.emulator.link_predecessor(a, b, &house.owner).unwrap();
    let (one, two) = (house.emulator.item(a).unwrap(), house.emulator.item(b).unwrap());
    assert_eq!((one.rev, two.rev), (3, 1));
    assert_eq!((one.updates, two.updates), (4, 2));
    assert_eq!(two.relations[0].0, "System.LinkTypes.Dependency-Forward");
    let again = json!([{"op": "add", "path": "/relations/-", "value": {"rel": "System.LinkTypes.Dependency-Reverse",
        "url": format!("{}/_apis/wit/workItems/{b}", house.base)}}]);
    assert_eq!(house.patch_item(a, again).await.status, 400, "the relation exists");
    let web = json!([{"op": "add", "path": "/relations/-", "value": {"rel": "Hyperlink", "url": "https://example.org"}}]);
    assert_eq!(house.patch_item(a, web).await.json()["rev"], 4);
    for n in 0..3 {
        house.emulator.comment_item(a, &format!("note {n}"), &house.owner).unwrap();
    }
    let page = house.get(&format!("{comments}?$top=3&order=asc&api-version=7.1-preview.4")).await.json();
    assert_eq!((page["count"].as_i64(), page["totalCount"].as_i64()), (Some(3), Some(4)));
    let token = page["continuationToken"].as_str().unwrap();
    let rest = house
        .get(&format!("{comments}?$top=3&order=asc&continuationToken={token}&api-version=7.1-preview.4"))
        .await
        .json();
    assert_eq!(rest["comments"].as_array().unwrap().len(), 1);
    assert!(rest.get("continuationToken").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn updates_tell_who_tagged_and_come_in_pages() {
    let house = House::new().await;
    let id = house.story("A", &[]);
    house.emulator.tag(id, "ready", &house.owner).unwrap();
    let stranger = house.emulator.create_identity("Stranger", "stranger@acme.example", IdentityKind::Person);
    house.emulator.edit_title(id, "B", &stranger).unwrap();
    house.emulator.set_page_cap(2);
    let path = format!("_apis/wit/workItems/{id}/updates");
    let first = house.get(&format!("{path}?$top=200&api-version=7.1")).await.json();
    assert_eq!(first["value"].as_array().unwrap().len(), 2, "the cap is the server's");
    let tagged = &first["value"][1];
    assert_eq!(tagged["fields"]["System.Tags"], json!({"newValue": "ready"}));
    assert!(tagged["fields"].get("System.ChangedBy").is_none(), "the same person saved before");
    assert_ne!(tagged["revisedDate"], "9999-01-01T00:00:00Z");
    let rest = house.get(&format!("{path}?$top=200&$skip=2&api-version=7.1")).await.json();
    assert_eq!(rest["value"][0]["revisedBy"]["id"], json!(stranger.id));
    assert_eq!(rest["value"][0]["revisedDate"], "9999-01-01T00:00:00Z");
    let old = house.get(&format!("_apis/wit/workItems/{id}/revisions/2?api-version=7.1")).await.json();
    assert_eq!(old["fields"]["System.Title"], "A");
}

#[tokio::test(flavor = "multi_thread")]
async fn states_follow_the_process() {
    let house = House::new().await;
    house.emulator.create_project_with("Inherited", Process::Inherited);
    let states =
        house.get("Inherited/_apis/wit/workitemtypes/User%20Story/states?api-version=7.1").await.json();
    assert_eq!(states["value"][0]["name"], "Backlog");
    assert_eq!(states["value"][3]["category"], "Completed");
    let id = house.emulator.file_item("Inherited", &NewItem::story("A"), &house.owner).unwrap();
    let jump =
        house.patch_item(id, json!([{"op": "add", "path": "/fields/System.State", "value": "Done"}])).await;
    assert_eq!((jump.status, jump.key().as_str()), (400, "RuleValidationException"));
    assert!(jump.json()["message"].as_str().unwrap().contains("not in the list of supported values"));
    for state in ["Doing", "Done"] {
        house.emulator.set_state(id, state, &house.owner).unwrap();
    }
    house.emulator.require_field("Shop Floor", "Bug", "Severity").unwrap();
    let bug = json!([{"op": "add", "path": "/fields/System.Title", "value": "broken"}]);
    let refused = house
        .send(Method::POST, "Shop%20Floor/_apis/wit/workitems/$Bug?api-version=7.1", PATCH, Some(bug))
        .await;
    assert_eq!(refused.status, 400);
    let errors = &refused.json()["customProperties"]["RuleValidationErrors"];
    assert_eq!(errors[0]["fieldReferenceName"], "Microsoft.VSTS.Common.Severity");
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_find_whole_tags_and_refuse_what_they_cannot() {
    let house = House::new().await;
    let a = house.story("A's", &["ready-for-agent"]);
    let b = house.story("B", &["ready"]);
    house.emulator.set_field(b, "Microsoft.VSTS.Common.Priority", json!(1), &house.owner).unwrap();
    let ids = |answer: &Answer| -> Vec<i64> {
        answer.json()["workItems"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["id"].as_i64().unwrap())
            .collect()
    };
    let tagged = house.wiql("SELECT [System.Id] FROM WorkItems WHERE [System.TeamProject] = @project AND [System.Tags] CONTAINS 'READY'").await;
    assert_eq!(ids(&tagged), [b], "{}", tagged.text);
    let sorted = house.wiql("SELECT [System.Id] FROM workitems WHERE [System.State] IN ('New', 'Active') AND NOT ([System.Tags] CONTAINS 'none') AND [System.AreaPath] UNDER 'Shop Floor' ORDER BY [Microsoft.VSTS.Common.Priority] ASC, [System.Id] DESC").await;
    assert_eq!(ids(&sorted), [b, a]);
    let quoted = house.wiql("SELECT [System.Id] FROM WorkItems WHERE [System.Title] = 'A''s' AND [System.ChangedDate] >= '2020-01-01T10:00:00Z'").await;
    assert_eq!(ids(&quoted), [a]);
    let dated = house.post("Shop%20Floor/_apis/wit/wiql?api-version=7.1", json!({"query": "SELECT [System.Id] FROM WorkItems WHERE [System.ChangedDate] > '2020-01-01T10:00:00Z'"})).await;
    assert!(dated.json()["message"].as_str().unwrap().contains("date precision"));
    assert_eq!(
        house
            .wiql("SELECT [System.Id] FROM WorkItems WHERE [System.AreaPath] UNDER 'Elsewhere'")
            .await
            .status,
        400
    );
    assert_eq!(house.wiql("SELECT [System.Id] FROM WorkItems WHERE [System.Tags] = 'x'").await.status, 400);
    assert!(house.emulator.unknown_requests().is_empty());
    let links = house.wiql("SELECT [System.Id] FROM WorkItemLinks WHERE [Source].[System.Id] = 1").await;
    assert!(links.text.contains("does not support FROM WorkItemLinks"));
    assert_eq!(house.emulator.unknown_requests().len(), 1);
    house.emulator.set_query_limit(1);
    let all = "SELECT [System.Id] FROM WorkItems";
    assert_eq!(house.wiql(all).await.key(), "WorkItemTrackingQueryResultSizeLimitExceededException");
    let one = house.post("_apis/wit/wiql?$top=1&api-version=7.1", json!({"query": all})).await;
    assert_eq!(ids(&one), [a]);
    house.emulator.set_query_limit(20_000);
    house.emulator.set_index_lag(1);
    house.emulator.tag(a, "fresh", &house.owner).unwrap();
    let fresh = "SELECT [System.Id] FROM WorkItems WHERE [System.Tags] CONTAINS 'fresh'";
    assert!(ids(&house.wiql(fresh).await).is_empty(), "the index lags behind");
    house.emulator.set_index_lag(0);
    assert_eq!(ids(&house.wiql(fresh).await), [a]);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_fail_whole_or_omit() {
    let house = House::new().await;
    let a = house.story("A", &[]);
    let read = |extra: Value| {
        let mut body = json!({"ids": [a, 4711]});
        body.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        body
    };
    let path = "_apis/wit/workitemsbatch?api-version=7.1";
    assert_eq!(house.post(path, read(json!({}))).await.key(), "WorkItemUnauthorizedAccessException");
    let omitted = house
        .post(path, read(json!({"errorPolicy": "omit", "fields": ["System.Id", "System.Title"]})))
        .await
        .json();
    assert_eq!(omitted["value"][0]["fields"], json!({"System.Id": a, "System.Title": "A"}));
    assert!(omitted["value"][1].is_null());
    let both = read(json!({"fields": ["System.Id"], "$expand": "relations"}));
    assert_eq!(house.post(path, both).await.key(), "ConflictingParametersException");
    let many: Vec<i64> = (1..=201).collect();
    assert!(house.post(path, json!({"ids": many})).await.text.contains("VS403474"));
}

#[tokio::test(flavor = "multi_thread")]
async fn files_hang_on_items_by_a_link_of_their_own() {
    let house = House::new().await;
    let id = house.story("A", &[]);
    let upload = |bytes: &'static [u8], kind: &'static str| {
        let url = format!(
            "{}/Shop%20Floor/_apis/wit/attachments?fileName=a%20b.txt&uploadType=simple&api-version=7.1",
            house.base
        );
        house.client.post(url).basic_auth("", Some(PAT)).header("Content-Type", kind).body(bytes).send()
    };
    assert_eq!(upload(b"x", "application/json").await.unwrap().status().as_u16(), 415);
    let made: Value = {
        let answer = upload(b"\x00bytes", "application/octet-stream").await.unwrap();
        assert_eq!(answer.status().as_u16(), 201);
        serde_json::from_str(&answer.text().await.unwrap()).unwrap()
    };
    let url = made["url"].as_str().unwrap().to_owned();
    assert!(url.ends_with("?fileName=a%20b.txt"), "{url}");
    assert_eq!(house.emulator.item(id).unwrap().files, [], "nobody sees it yet");
    let link = |url: &str, attributes: Value| {
        json!([{"op": "add", "path": "/relations/-",
            "value": {"rel": "AttachedFile", "url": url, "attributes": attributes}}])
    };
    let elsewhere = url.replace(made["id"].as_str().unwrap(), "00000000-0000-0000-0000-000000000009");
    for unknown in [elsewhere.as_str(), "https://x.example/a.txt"] {
        assert_eq!(house.patch_item(id, link(unknown, json!({}))).await.status, 400);
    }
    let linked = house.patch_item(id, link(&url, json!({"comment": "what was left"}))).await;
    assert_eq!((linked.status, linked.json()["rev"].as_i64()), (200, Some(2)), "a file is a revision");
    let relation = &house
        .get(&format!("_apis/wit/workitems/{id}?$expand=relations&api-version=7.1"))
        .await
        .json()["relations"][0];
    assert_eq!(
        (relation["rel"].as_str(), relation["attributes"]["name"].as_str()),
        (Some("AttachedFile"), Some("a b.txt"))
    );
    assert_eq!(relation["attributes"]["resourceSize"], 6);
    let shown = relation["url"].as_str().unwrap();
    assert!(url.starts_with(shown) && !shown.contains('?'), "{shown}");
    let again = house.patch_item(id, link(&url, json!({}))).await;
    assert_eq!((again.status, again.key().as_str()), (400, "RelationAlreadyExistsException"));
    let read =
        house.client.get(format!("{shown}?api-version=7.1")).basic_auth("", Some(PAT)).send().await.unwrap();
    assert_eq!(read.bytes().await.unwrap().as_ref(), b"\x00bytes");
    // Another upload is another file, whatever its name.
    let other: Value = serde_json::from_str(
        &upload(b"more", "application/octet-stream").await.unwrap().text().await.unwrap(),
    )
    .unwrap();
    assert_eq!(
        house.patch_item(id, link(other["url"].as_str().unwrap(), json!({"name": "a b.txt"}))).await.status,
        200
    );
    assert_eq!(house.emulator.item(id).unwrap().files.len(), 2);
    assert!(house.emulator.unknown_requests().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_as_large_as_the_server_takes() {
    let house = House::with(roundsman::emulator::Options { hosted: false, ..Default::default() }).await;
    let url = format!("{}/_apis/wit/attachments?fileName=a.txt&api-version=7.1", house.base);
    for (bytes, status) in [(4 << 20, 201), ((4 << 20) + 1, 400), (0, 400)] {
        let request = house.client.post(&url).basic_auth("", Some(PAT));
        let request = request.header("Content-Type", "application/octet-stream").body(vec![b'x'; bytes]);
        assert_eq!(request.send().await.unwrap().status().as_u16(), status, "{bytes}");
    }
}
