//! The wire contract of `ado`: what is sent, and what each unfriendly answer means. This file: transport, errors,
//! retries, redaction.

mod checks;
mod items;
mod pulls;

use roundsman::{
    ado::{Auth, Client, ErrorKind, Fault, Operation, Options, ThreadMark, Written},
    domain::{PullRequestId, Repository, ThreadId, WorkItemId},
};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use wiremock::{Mock, MockServer, Request, ResponseTemplate, matchers::any};

const TOKEN: &str = "canary7f3k9x2m5q8w1z4y6t0v3b8n";
const VSID: &str = "d291b0c4-a05c-4ea6-8df1-4b41d5f39eff";

fn client_of(base: &str, options: Options) -> Client {
    Client::new(&format!("{base}/fabrikam/"), &Auth::Pat(TOKEN.into()), options).expect("a client")
}

/// Gives up at once, so that a test of an error takes no time.
fn client(server: &MockServer) -> Client {
    client_of(&server.uri(), Options { retry_budget: Duration::ZERO, ..Options::default() })
}

fn patient(server: &MockServer) -> Client {
    client_of(&server.uri(), Options { retry_budget: Duration::from_secs(6), ..Options::default() })
}

fn answer(status: u16, body: &Value) -> ResponseTemplate {
    ResponseTemplate::new(status)
        .set_body_raw(body.to_string(), "application/json; charset=utf-8; api-version=7.1")
}

fn failure(status: u16, key: &str, message: &str) -> ResponseTemplate {
    answer(
        status,
        &json!({ "$id": "1", "message": message, "typeKey": key, "errorCode": 0, "eventId": 3000 }),
    )
}

/// A server that gives `answers` in turn, then the last one for ever.
async fn server(answers: Vec<ResponseTemplate>) -> MockServer {
    let server = MockServer::start().await;
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let respond = move |_: &Request| {
        let at = turn.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        answers[at.min(answers.len() - 1)].clone()
    };
    Mock::given(any()).respond_with(respond).mount(&server).await;
    server
}

async fn requests(server: &MockServer) -> Vec<Request> {
    server.received_requests().await.expect("requests are recorded")
}

fn sent(request: &Request) -> Value {
    serde_json::from_slice(&request.body).expect("a JSON body")
}

fn query(request: &Request, key: &str) -> Option<String> {
    request.url.query_pairs().find(|(name, _)| name == key).map(|(_, value)| value.into_owned())
}

fn repository() -> Repository {
    Repository {
        id: "a0000000-0000-0000-0000-000000000001".into(),
        name: "shop".into(),
        project_id: "b0000000-0000-0000-0000-000000000001".into(),
        project: "My Project".into(),
        clone_url: "https://host/_git/shop".into(),
        default_branch: None,
    }
}

async fn reply(client: &Client) -> Written<roundsman::domain::CommentId> {
    client.reply(&repository(), PullRequestId(57), ThreadId(148), "done").await
}

fn me() -> Value {
    json!({ "authenticatedUser": { "id": VSID.to_uppercase(), "providerDisplayName": "Robot", "descriptor": "x" } })
}

#[tokio::test]
async fn every_request_says_who_we_are_and_asks_not_to_be_redirected() {
    let server = server(vec![answer(200, &me())]).await;
    let client = client(&server);
    let identity = client.who_am_i().await.expect("an identity");
    assert_eq!((identity.id.as_str(), identity.name.as_str()), (VSID, "Robot"));

    let request = &requests(&server).await[0];
    assert_eq!(request.url.path(), "/fabrikam/_apis/connectionData");
    assert_eq!(query(request, "api-version").as_deref(), Some("7.1-preview.1"));
    let header = |name: &str| {
        request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    assert!(header("authorization").starts_with("Basic "));
    assert!(header("user-agent").starts_with("roundsman/"));
    assert_eq!(header("accept"), "application/json");
    assert_eq!(header("x-tfs-fedauthredirect"), "Suppress");
    assert_eq!(client.calls().get(&Operation::WhoAmI), Some(&1));
    assert_eq!((client.reads(), client.writes()), (1, 0));
}

#[tokio::test]
async fn a_sign_in_page_in_any_disguise_is_a_rejected_token() {
    let page = |status| {
        ResponseTemplate::new(status).set_body_raw("<html>Sign In</html>", "text/html; charset=utf-8")
    };
    for template in [
        page(203),
        page(200),
        page(302).insert_header("location", "https://spsprod.example/_signin?realm=x"),
        ResponseTemplate::new(401),
        failure(401, "UnauthorizedRequestException", "TF400813: The user is not authorized."),
        failure(401, "AccessCheckException", "Access Denied: The Personal Access Token used has expired."),
    ] {
        let server = server(vec![template]).await;
        let error = client(&server).work_item(WorkItemId(1)).await.expect_err("unauthorized");
        assert!(matches!(error.kind, ErrorKind::Unauthorized { .. }), "{error}");
        assert_eq!((error.fault(), error.attempts), (Fault::Theirs, 1));
        assert!(matches!(reply(&client(&server)).await, Written::NotDone(_)));
    }
}

#[tokio::test]
async fn the_anonymous_identity_is_a_rejected_token() {
    for user in [
        json!({ "id": "AAAAAAAA-aaaa-aaaa-aaaa-aaaaaaaaaaaa", "providerDisplayName": "Anonymous" }),
        json!({ "id": VSID, "descriptor": "System:PublicAccess;aaaaaaaa" }),
        Value::Null,
    ] {
        let server = server(vec![answer(200, &json!({ "authenticatedUser": user }))]).await;
        let error = client(&server).who_am_i().await.expect_err("unauthorized");
        assert!(matches!(error.kind, ErrorKind::Unauthorized { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_read_survives_an_outage_that_is_short() {
    let server = server(vec![
        ResponseTemplate::new(503).set_body_raw("<html>Services Unavailable</html>", "text/html"),
        answer(200, &me()),
    ])
    .await;
    let client = patient(&server);
    assert!(client.who_am_i().await.is_ok());
    assert_eq!(client.reads(), 2);
}

#[tokio::test]
async fn a_write_is_sent_once_and_unknown_after_an_outage() {
    let server = server(vec![ResponseTemplate::new(502), answer(200, &json!({ "id": 2 }))]).await;
    let client = patient(&server);
    let Written::Unknown(error) = reply(&client).await else { panic!("should be unknown") };
    assert_eq!((error.attempts, client.writes()), (1, 1));
    assert_eq!(error.fault(), Fault::Transient);
}

#[tokio::test]
async fn a_write_whose_connection_is_cut_is_unknown_and_one_never_sent_is_not_done() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let accepted = tokio::spawn(async move {
        let mut accepted = 0;
        while let Ok(Ok((mut socket, _))) =
            tokio::time::timeout(Duration::from_secs(1), listener.accept()).await
        {
            accepted += 1;
            let mut received = [0; 4096];
            let _ = socket.read(&mut received).await;
            let _ = socket.shutdown().await;
        }
        accepted
    });
    let cut = client_of(&base, Options { retry_budget: Duration::from_secs(3), ..Options::default() });
    assert!(
        matches!(reply(&cut).await, Written::Unknown(error) if matches!(error.kind, ErrorKind::Unreachable { status: None, .. }))
    );
    assert_eq!(accepted.await.expect("the server"), 1, "a write must not be repeated");

    // Nobody listens there any more.
    let Written::NotDone(error) = reply(&cut).await else { panic!("was never sent") };
    assert!(matches!(error.kind, ErrorKind::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_write_that_was_confirmed_unreadably_is_unknown() {
    let server = server(vec![answer(201, &json!({ "unexpected": true }))]).await;
    let Written::Unknown(error) = reply(&client(&server)).await else { panic!("should be unknown") };
    assert!(matches!(error.kind, ErrorKind::Malformed { .. }), "{error}");
}

#[tokio::test]
async fn a_short_wait_asked_for_with_a_good_answer_is_kept() {
    let server = server(vec![answer(200, &me()).insert_header("retry-after", "1"), answer(200, &me())]).await;
    let client = client(&server);
    client.who_am_i().await.expect("the answer is good");
    assert!(client.throttled_for().is_some());
    let started = Instant::now();
    client.who_am_i().await.expect("after a pause");
    assert!(started.elapsed() > Duration::from_millis(900), "{:?}", started.elapsed());
}

#[tokio::test]
async fn a_long_wait_asked_for_ends_the_tick_instead_of_sleeping() {
    let server = server(vec![answer(200, &me()).insert_header("retry-after", "60")]).await;
    let client = patient(&server);
    client.who_am_i().await.expect("the answer is good");
    let error = client.who_am_i().await.expect_err("throttled");
    assert!(error.retry_after().is_some_and(|wait| wait > Duration::from_secs(50)), "{error}");
    assert_eq!(error.attempts, 0);
    assert!(
        matches!(reply(&client).await, Written::NotDone(error) if matches!(error.kind, ErrorKind::Throttled { .. }))
    );
    assert_eq!(requests(&server).await.len(), 1);
}

#[tokio::test]
async fn refusals_for_load_are_waited_out_if_they_fit() {
    for status in [429, 503] {
        let refused = failure(status, "RequestBlockedException", "TF400733: The request has been canceled");
        let short = server(vec![refused.clone().insert_header("retry-after", "1"), answer(200, &me())]).await;
        assert!(patient(&short).who_am_i().await.is_ok(), "{status}");

        let long = server(vec![refused.insert_header("retry-after", "30")]).await;
        let error = patient(&long).who_am_i().await.expect_err("throttled");
        assert_eq!(error.kind, ErrorKind::Throttled { retry_after: Some(Duration::from_secs(30)) });
        assert_eq!(requests(&long).await.len(), 1);
    }
}

#[tokio::test]
async fn at_most_eight_reads_and_one_write_are_under_way() {
    const PAUSE: Duration = Duration::from_millis(150);
    let server = server(vec![answer(200, &me()).set_delay(PAUSE)]).await;
    let client = client(&server);
    let started = Instant::now();
    futures_util::future::join_all((0..9).map(|_| client.who_am_i())).await;
    assert!(started.elapsed() >= 2 * PAUSE, "nine reads went at once");
    let started = Instant::now();
    futures_util::future::join_all((0..3).map(|_| client.requeue_evaluation("p", "e"))).await;
    assert!(started.elapsed() >= 3 * PAUSE, "writes overlapped");
}

#[tokio::test]
async fn the_remaining_allowance_is_known_when_it_is_told() {
    let told = answer(200, &me())
        .insert_header("x-ratelimit-limit", "200")
        .insert_header("x-ratelimit-remaining", "12.5");
    let server = server(vec![answer(200, &me()), told]).await;
    let client = client(&server);
    client.who_am_i().await.expect("an identity");
    assert_eq!(client.allowance(), None);
    client.who_am_i().await.expect("an identity");
    assert_eq!(client.allowance().map(|told| (told.remaining, told.limit)), Some((12, 200)));
}

#[tokio::test]
async fn a_nonsense_wait_is_a_long_wait() {
    let server = server(vec![answer(200, &me()).insert_header("retry-after", "18446744073709551615")]).await;
    let client = client(&server);
    client.who_am_i().await.expect("the answer is good");
    assert!(client.who_am_i().await.expect_err("throttled").retry_after().is_some());
}

#[tokio::test]
async fn a_refused_write_was_not_done_and_the_permission_is_named() {
    let message = "TF401027: You need the Git 'PullRequestContribute' permission to perform this action.";
    let server = server(vec![failure(403, "GitNeedsPermissionException", message)]).await;
    let Written::NotDone(error) = reply(&client(&server)).await else { panic!("was refused") };
    let ErrorKind::Forbidden { permission, .. } = &error.kind else { panic!("{error}") };
    assert_eq!(permission.as_deref(), Some("PullRequestContribute"));
    assert!(!error.path.contains('?') && !error.hint().is_empty());
}

#[tokio::test]
async fn an_unknown_form_names_its_place() {
    let server =
        server(vec![answer(200, &json!({ "value": [{ "id": 1, "rev": 1 }, { "id": "x", "rev": 1 }] }))])
            .await;
    let error = client(&server).work_items(&[WorkItemId(1)]).await.expect_err("malformed");
    let ErrorKind::Malformed { at, .. } = &error.kind else { panic!("{error}") };
    assert_eq!(at, "value[1].id");
    assert_eq!(error.fault(), Fault::Ours);
}

#[tokio::test]
async fn no_error_ever_shows_a_credential() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let basic = STANDARD.encode(format!(":{TOKEN}"));
    let leaks = [
        TOKEN.to_owned(),
        basic.clone(),
        STANDARD.encode(format!("user:{TOKEN}")),
        format!("https://u:{TOKEN}@host/x"),
    ];
    for leak in &leaks {
        let text = format!("It failed: {leak} was sent with Authorization: Basic {basic} to us");
        for template in [
            failure(400, "SomeException", &text),
            failure(403, leak, &format!("You need the '{leak}' permission")),
            failure(404, leak, &text),
            failure(409, "WorkItemRevisionMismatchException", &text),
            failure(500, "x", &text),
            ResponseTemplate::new(404).set_body_raw(text.clone(), "text/plain"),
            ResponseTemplate::new(401).insert_header("x-tfs-serviceerror", text.replace(' ', "%20")),
            ResponseTemplate::new(302)
                .insert_header("location", format!("https://u:{TOKEN}@host/{leak}?x={leak}")),
            answer(200, &json!({ "value": [{ "id": leak, "rev": 1 }] })),
            ResponseTemplate::new(200).set_body_raw("x", leak.as_str()),
        ] {
            let server = server(vec![template]).await;
            let client = client(&server);
            let read = client.states(leak, leak).await.err();
            let batch = client.work_items(&[WorkItemId(1)]).await.err();
            let written = client.requeue_evaluation("p", leak).await;
            let shown = format!("{read:?} {batch:?} {written:?} {client:?}");
            assert!(!shown.contains(&TOKEN[8..20]) && !shown.contains(&basic[8..24]), "{shown}");
            assert!(batch.is_some_and(|error| !error.to_string().contains(&TOKEN[8..20])));
        }
    }
}

#[tokio::test]
async fn notices_are_closed_and_answers_hang_below_the_first_comment() {
    let server = server(vec![answer(200, &json!({ "id": 7 }))]).await;
    let client = client(&server);
    assert!(matches!(reply(&client).await, Written::Done(id) if id.0 == 7));
    let opened = client.open_thread(&repository(), PullRequestId(57), "hello", ThreadMark::Closed).await;
    assert!(matches!(opened, Written::Done(ThreadId(7))));
    let marked =
        client.set_thread_status(&repository(), PullRequestId(57), ThreadId(148), ThreadMark::Fixed).await;
    assert_eq!(marked, Written::Done(()));

    let requests = requests(&server).await;
    let threads = "/fabrikam/b0000000-0000-0000-0000-000000000001/_apis/git/repositories/\
                   a0000000-0000-0000-0000-000000000001/pullRequests/57/threads";
    assert_eq!(requests[0].url.path(), format!("{threads}/148/comments"));
    assert_eq!(sent(&requests[0]), json!({ "content": "done", "parentCommentId": 1, "commentType": "text" }));
    assert_eq!(requests[1].url.path(), threads);
    assert_eq!(sent(&requests[1])["status"], "closed");
    assert_eq!((requests[2].method.as_str(), sent(&requests[2])), ("PATCH", json!({ "status": "fixed" })));
}
