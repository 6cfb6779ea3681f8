//! The emulator, over real HTTP and with real git: is it as unkind as the service?

use base64::Engine as _;
use reqwest::{Method, StatusCode, header::HeaderMap};
use roundsman::emulator::{
    Emulator, Fault, Identity, IdentityKind, NewItem, NewPipeline, Options, Process, RepositoryHandle,
    SeedFile, SignIn, Token,
};
use serde_json::{Value, json};
use std::{path::Path, process::Command};

const PAT: &str = "bot-secret";
const PATCH: &str = "application/json-patch+json";
const JSON: &str = "application/json";

struct Answer {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    fn key(&self) -> String {
        self.json()["typeKey"].as_str().unwrap_or_default().to_owned()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

struct House {
    emulator: Emulator,
    client: reqwest::Client,
    base: String,
    bot: Identity,
    owner: Identity,
    repo: RepositoryHandle,
}

fn client() -> reqwest::Client {
    // HTTP only, yet the client wants to know its TLS provider when it is built.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap()
}

impl House {
    async fn new() -> Self {
        Self::with(Options::default()).await
    }

    async fn with(options: Options) -> Self {
        let emulator = Emulator::start(options).await.unwrap();
        emulator.create_project("Shop Floor");
        let bot = emulator.create_identity("roundsman bot", "bot@acme.example", IdentityKind::Service);
        let owner = emulator.create_identity("Product owner", "owner@acme.example", IdentityKind::Person);
        emulator.issue_token(&bot, Token::Pat, PAT);
        emulator.issue_token(&owner, Token::Pat, "owner-secret");
        let files = [
            SeedFile::new("README.md", "# Web\n"),
            SeedFile::executable(
                "ci/build.sh",
                "#!/bin/sh\necho building\ngrep -q good answer.txt || { echo '##[error]the answer is not good'; exit 3; }\n",
            ),
            SeedFile::new("answer.txt", "good\n"),
        ];
        let repo = emulator.create_repository("Shop Floor", "web", &files).unwrap();
        let base = emulator.url();
        Self { emulator, client: client(), base, bot, owner, repo }
    }

    async fn raw(
        &self,
        method: Method,
        path: &str,
        kind: &str,
        body: Option<&Value>,
        auth: Option<&str>,
    ) -> reqwest::Result<Answer> {
        let mut request =
            self.client.request(method, format!("{}/{path}", self.base)).header("Accept", "application/json");
        if let Some(auth) = auth {
            request = request.header("Authorization", auth);
        }
        if let Some(body) = body {
            request = request.header("Content-Type", kind).body(body.to_string());
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, text: response.text().await? })
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: Option<Value>) -> Answer {
        self.raw(method, path, kind, body.as_ref(), Some(&basic(PAT))).await.unwrap()
    }

    async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, JSON, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, JSON, Some(body)).await
    }

    async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send(Method::PATCH, path, JSON, Some(body)).await
    }

    async fn patch_item(&self, id: i64, body: Value) -> Answer {
        self.send(Method::PATCH, &format!("_apis/wit/workitems/{id}?api-version=7.1"), PATCH, Some(body))
            .await
    }

    async fn wiql(&self, query: &str) -> Answer {
        self.post("Shop%20Floor/_apis/wit/wiql?timePrecision=true&api-version=7.1", json!({"query": query}))
            .await
    }

    fn story(&self, title: &str, tags: &[&str]) -> i64 {
        self.emulator.file_item("Shop Floor", &NewItem::story(title).tagged(tags), &self.owner).unwrap()
    }

    fn pulls(&self) -> String {
        format!("{}/_apis/git/repositories/{}/pullrequests", self.repo.project_id, self.repo.id)
    }

    /// A branch with one file, and a pull request for it.
    async fn open(&self, branch: &str, file: &str, content: &str) -> i64 {
        let name = format!("refs/heads/{branch}");
        self.emulator
            .push_as(&self.repo, &name, &[SeedFile::new(file, content)], "Change", &self.bot)
            .unwrap();
        let body = json!({"sourceRefName": name, "targetRefName": "refs/heads/main", "title": branch, "description": "text"});
        let answer = self.post(&format!("{}?api-version=7.1", self.pulls()), body).await;
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()["pullRequestId"].as_i64().unwrap()
    }

    async fn pull(&self, id: i64) -> Value {
        self.get(&format!("{}/{id}?api-version=7.1", self.pulls())).await.json()
    }

    async fn evaluations(&self, id: i64) -> Vec<Value> {
        let artifact = format!("vstfs:///CodeReview/CodeReviewId/{}/{id}", self.repo.project_id);
        let path = format!(
            "{}/_apis/policy/evaluations?artifactId={artifact}&api-version=7.1-preview.1",
            self.repo.project_id
        );
        self.get(&path).await.json()["value"].as_array().unwrap().clone()
    }
}

fn basic(secret: &str) -> String {
    format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(format!(":{secret}")))
}

fn git(folder: &Path, secret: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new("git")
        .current_dir(folder)
        .args([
            "-c",
            &format!("http.extraheader=Authorization: {}", basic(secret)),
            "-c",
            "credential.helper=",
        ])
        .args(["-c", "user.name=Agent", "-c", "user.email=agent@acme.example"])
        .args(args)
        .env("GIT_TERMINAL_PROMPT", "0")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .output()
        .unwrap();
    let text =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_fail_in_every_way_of_the_service() {
    let house = House::new().await;
    let path = "_apis/projects?api-version=7.1";
    let wrong = basic("wrong");
    let page = house.raw(Method::GET, path, JSON, None, Some(&wrong)).await.unwrap();
    assert_eq!(page.status, 203);
    assert!(page.header("content-type").starts_with("text/html"));
    let refused = house
        .raw(Method::PATCH, "_apis/wit/workitems/1?api-version=7.1", PATCH, Some(&json!([])), Some(&wrong))
        .await
        .unwrap();
    assert_eq!((refused.status, refused.key().as_str()), (401, "UnauthorizedRequestException"));
    house.emulator.set_sign_in(SignIn::Redirect);
    assert_eq!(house.raw(Method::GET, path, JSON, None, None).await.unwrap().status, 302);
    house.emulator.set_sign_in(SignIn::Empty);
    let empty = house.raw(Method::GET, path, JSON, None, None).await.unwrap();
    assert_eq!((empty.status, empty.text.as_str()), (401, ""));
    // A PAT is no bearer token.
    assert_eq!(
        house.raw(Method::GET, path, JSON, None, Some(&format!("Bearer {PAT}"))).await.unwrap().status,
        401
    );
    house.emulator.issue_token(&house.bot, Token::Bearer, "entra");
    assert_eq!(house.raw(Method::GET, path, JSON, None, Some("Bearer entra")).await.unwrap().status, 200);

    let data = "_apis/connectionData?api-version=7.1-preview.1";
    let me = house.get(data).await.json();
    assert_eq!(me["authenticatedUser"]["id"], json!(house.bot.id));
    house.emulator.set_public_projects(true);
    let anonymous = house.raw(Method::GET, data, JSON, None, Some(&wrong)).await.unwrap();
    assert_eq!(anonymous.status, 200);
    assert_eq!(anonymous.json()["authenticatedUser"]["id"], "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa");

    house.emulator.expire_token(PAT);
    let expired = house.get(path).await;
    assert_eq!((expired.status, expired.key().as_str()), (401, "AccessCheckException"));
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_and_unknown_paths_are_refused() {
    let house = House::new().await;
    let id = house.story("A", &[]);
    let comments = format!("Shop%20Floor/_apis/wit/workItems/{id}/comments");
    let released = house.get(&format!("{comments}?api-version=7.1")).await;
    assert_eq!((released.status, released.key().as_str()), (400, "VssInvalidPreviewVersionException"));
    let fine = house.get(&format!("{comments}?api-version=7.1-preview.4")).await;
    assert_eq!(fine.header("content-type"), "application/json; charset=utf-8; api-version=7.1-preview.4");
    let none = house.send(Method::PATCH, &format!("_apis/wit/workitems/{id}"), PATCH, Some(json!([]))).await;
    assert_eq!(none.key(), "VssVersionNotSpecifiedException");
    assert_eq!(house.get("_apis/projects?api-version=9.0").await.key(), "VssVersionOutOfRangeException");
    assert_eq!(house.get("_apis/projects?api-version=5.0").await.status, 200);
    assert_eq!(
        house.get("Nowhere/_apis/git/repositories?api-version=7.1").await.key(),
        "ProjectDoesNotExistWithNameException"
    );
    let wrong_kind = house
        .send(Method::PATCH, &format!("_apis/wit/workitems/{id}?api-version=7.1"), JSON, Some(json!([])))
        .await;
    assert_eq!(wrong_kind.status, 415);
    assert!(house.emulator.unknown_requests().is_empty());
    let unknown = house.get("_apis/wit/nonsense?api-version=7.1").await;
    assert_eq!(unknown.status, 404);
    assert!(unknown.text.contains("IController"));
    house.get("_apis/projects?api-version=7.1&colour=red").await;
    assert_eq!(house.emulator.unknown_requests().len(), 2);
}

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
        .get(&"Shop%20Floor/_apis/git/repositories/web/refs?filter=heads/agent/&api-version=7.1".to_string())
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
    let list = house
        .get(&format!(
            "{base}?branchName=refs/pull/{id}/merge&queryOrder=queueTimeDescending&$top=2&api-version=7.1"
        ))
        .await;
    assert_eq!(list.json()["value"][0]["status"], "notStarted");
    assert_eq!(list.header("x-ms-continuationtoken"), "2");
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

#[tokio::test(flavor = "multi_thread")]
async fn faults_strike_as_often_as_asked() {
    let house = House::new().await;
    let id = house.story("A", &[]);
    let title = |text: &str| json!([{"op": "add", "path": "/fields/System.Title", "value": text}]);
    let send = async |text: &str| {
        let path = format!("_apis/wit/workitems/{id}?api-version=7.1");
        house.raw(Method::PATCH, &path, PATCH, Some(&title(text)), Some(&basic(PAT))).await
    };
    let now = || house.emulator.item(id).unwrap().title;
    house.emulator.fault(Fault::on("work item: update").lost());
    assert!(send("lost").await.is_err());
    assert_eq!(now(), "A");
    house.emulator.fault(Fault::on_any_write().answer_lost());
    assert!(send("unheard").await.is_err());
    assert_eq!(now(), "unheard");
    house.emulator.fault(Fault::on("work item: update").late(2));
    assert!(send("late").await.is_err());
    let read = || house.get("_apis/projects?api-version=7.1");
    read().await;
    assert_eq!(now(), "unheard");
    read().await;
    assert_eq!(now(), "late");
    house.emulator.fault(Fault::on_path("/_apis/wit/*").throttled(7).times(2));
    let busy = send("busy").await.unwrap();
    assert_eq!((busy.status, busy.header("retry-after")), (429, "7"));
    assert!(busy.text.contains("TF400733"));
    assert_eq!(send("busy").await.unwrap().status, 429);
    house.emulator.fault(Fault::on("project: list").with_headers(&[("Retry-After", "3")]));
    let warned = read().await;
    assert_eq!((warned.status, warned.header("retry-after")), (200, "3"));
    house.emulator.fault(Fault::on("work item: get").stale());
    let path = format!("_apis/wit/workitems/{id}?api-version=7.1");
    assert_eq!(house.get(&path).await.json()["fields"]["System.Title"], "unheard");
    assert_eq!(house.get(&path).await.json()["fields"]["System.Title"], "late");
    house.emulator.fault(Fault::on("project: list").unavailable());
    assert_eq!(read().await.status, StatusCode::SERVICE_UNAVAILABLE.as_u16());
    house.story("B", &[]);
    house.emulator.fault(Fault::on("wiql").partial());
    let half = house.wiql("SELECT [System.Id] FROM WorkItems").await.json();
    assert_eq!(half["workItems"].as_array().unwrap().len(), 1);
    assert_eq!(house.emulator.faults_waiting(), 0);
    assert!(house.emulator.writes() > 0 && house.emulator.reads() > 0);
    house.emulator.reset_calls();
    assert!(house.emulator.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_escapes_what_people_write() {
    let house = House::new().await;
    let id = house.story("<script>alert(1)</script>", &["ready"]);
    house.emulator.comment_item(id, "<b>bold</b><img src=x onerror=alert(1)>", &house.owner).unwrap();
    house.open("agent/1", "a.txt", "a\n").await;
    let origin = house.base.trim_end_matches("/acme").to_owned();
    let page = house.client.get(format!("{origin}/")).send().await.unwrap().text().await.unwrap();
    assert!(page.contains("<b>bold</b>"));
    assert!(!page.contains("<script") && !page.contains("<img"));
    assert!(page.contains("!1 ·"));
}

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
