//! The doorbell against receivers that work, are slow, refuse, send elsewhere or are not there.

use jiff::{Timestamp, ToSpan};
use roundsman::{
    domain::Run,
    doorbell::{self, Doorbell, Report, SIGNATURE_HEADER},
    settings::Settings,
    store::{Ring, RingKind, RunStore, Saved, sqlite::Sqlite},
};
use std::time::{Duration, Instant};
use wiremock::{Mock, MockServer, ResponseTemplate, matchers::method};

const BUDGET: Duration = Duration::from_secs(10);

fn now() -> Timestamp {
    "2026-11-20T20:00:00Z".parse().expect("a time")
}

fn bell(url: &str, secret: Option<&str>) -> Doorbell {
    let mut vars = vec![
        ("ROUNDSMAN_ADO_URL", "https://dev.azure.com/acme"),
        ("ROUNDSMAN_ADO_TOKEN", "t"),
        ("ROUNDSMAN_DOORBELL_WEBHOOK", url),
    ];
    vars.extend(secret.map(|secret| ("ROUNDSMAN_DOORBELL_SECRET", secret)));
    let vars = vars.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned()));
    let settings = Settings::from_vars(vars).expect("good settings").doorbell.expect("a doorbell");
    Doorbell::new(&settings).expect("a client")
}

/// A memory with rings of these keys, all due.
async fn outbox(keys: &[&str]) -> (tempfile::TempDir, Sqlite) {
    let dir = tempfile::tempdir().expect("a directory");
    let store = Sqlite::open(&dir.path().join("runs.sqlite")).await.expect("it opens").store;
    let run: Run = serde_json::from_str(include_str!("../../fixtures/runs/v1-claimed.json")).expect("a run");
    let Ok(Saved::Saved(generation)) = store.open(&run).await else { panic!("a new run") };
    let rings: Vec<Ring> = keys
        .iter()
        .map(|key| Ring {
            key: (*key).into(),
            kind: RingKind::Frozen,
            run: run.id,
            item: run.id.item,
            title: "frozen".into(),
            text: "still red".into(),
            link: None,
            cause: None,
            attempts: 0,
            at: now(),
        })
        .collect();
    let saved = store.save(&Run { generation, ..run }, &rings, None).await;
    assert!(matches!(saved, Ok(Saved::Saved(_))));
    (dir, store)
}

async fn receiver(answer: ResponseTemplate) -> MockServer {
    let server = MockServer::start().await;
    Mock::given(method("POST")).respond_with(answer).mount(&server).await;
    server
}

#[tokio::test]
async fn a_ring_is_posted_once_and_signed() {
    let server = receiver(ResponseTemplate::new(204)).await;
    let (_dir, store) = outbox(&["4711-r12/frozen"]).await;
    let bell = bell(&server.uri(), Some("Jefe"));
    let report = doorbell::deliver(&store, &bell, now(), BUDGET).await.unwrap();
    assert_eq!(report, Report { delivered: 1, ..Report::default() });
    assert_eq!(doorbell::deliver(&store, &bell, now(), BUDGET).await.unwrap(), Report::default());

    let posts = server.received_requests().await.unwrap();
    assert_eq!(posts.len(), 1);
    let body: serde_json::Value = posts[0].body_json().unwrap();
    assert_eq!(body["key"], "4711-r12/frozen");
    assert_eq!((body["kind"].as_str(), body["run"].as_str()), (Some("frozen"), Some("4711-r12")));
    let signature = posts[0].headers[SIGNATURE_HEADER].to_str().unwrap();
    let digits = signature.strip_prefix("sha256=").unwrap();
    assert!(digits.len() == 64 && digits.bytes().all(|b| b.is_ascii_hexdigit()), "{signature}");
}

#[tokio::test]
async fn without_a_key_nothing_is_signed() {
    let server = receiver(ResponseTemplate::new(200)).await;
    let (_dir, store) = outbox(&["a"]).await;
    doorbell::deliver(&store, &bell(&server.uri(), None), now(), BUDGET).await.unwrap();
    assert!(!server.received_requests().await.unwrap()[0].headers.contains_key(SIGNATURE_HEADER));
}

#[tokio::test]
async fn a_refusal_is_tried_again_later_with_the_same_key() {
    let server = receiver(ResponseTemplate::new(500)).await;
    let (_dir, store) = outbox(&["a", "b"]).await;
    let bell = bell(&server.uri(), None);
    let report = doorbell::deliver(&store, &bell, now(), BUDGET).await.unwrap();
    assert_eq!(report, Report { failed: 2, ..Report::default() }, "each may be taken or not");
    assert_eq!(
        doorbell::deliver(&store, &bell, now(), BUDGET).await.unwrap(),
        Report::default(),
        "not at once"
    );
    server.reset().await;
    Mock::given(method("POST")).respond_with(ResponseTemplate::new(200)).mount(&server).await;
    let later = now() + 1.minute();
    assert_eq!(doorbell::deliver(&store, &bell, later, BUDGET).await.unwrap().delivered, 2);
    let posts = server.received_requests().await.unwrap();
    let keys: Vec<String> = posts
        .iter()
        .map(|post| post.body_json::<Ring>().unwrap())
        .map(|ring| format!("{}{}", ring.key, ring.attempts))
        .collect();
    assert_eq!(keys, ["a1", "b1"]);
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = receiver(ResponseTemplate::new(200)).await;
    let server = receiver(ResponseTemplate::new(307).insert_header("location", elsewhere.uri())).await;
    let (_dir, store) = outbox(&["a"]).await;
    let report = doorbell::deliver(&store, &bell(&server.uri(), None), now(), BUDGET).await.unwrap();
    assert_eq!(report.failed, 1);
    assert!(elsewhere.received_requests().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_receiver_that_is_down_costs_one_attempt_of_one_ring() {
    // A port that was just free: nobody listens there.
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (_dir, store) = outbox(&["a", "b", "c"]).await;
    let bell = bell(&format!("http://{address}/"), None);
    let report = doorbell::deliver(&store, &bell, now(), BUDGET).await.unwrap();
    assert_eq!(report, Report { failed: 1, ..Report::default() });
    let left = store.due_rings(now(), 9).await.unwrap();
    assert_eq!(
        left.iter().map(|ring| (ring.key.as_str(), ring.attempts)).collect::<Vec<_>>(),
        [("b", 0), ("c", 0)]
    );
}

#[tokio::test]
async fn a_slow_receiver_costs_the_budget_and_no_more() {
    let server = receiver(ResponseTemplate::new(200).set_delay(Duration::from_secs(30))).await;
    let (_dir, store) = outbox(&["a", "b"]).await;
    let bell = bell(&server.uri(), None);
    let began = Instant::now();
    let report = doorbell::deliver(&store, &bell, now(), Duration::from_millis(300)).await.unwrap();
    assert_eq!(report, Report { failed: 1, ..Report::default() });
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}

#[tokio::test]
async fn old_news_are_dropped() {
    let server = receiver(ResponseTemplate::new(503)).await;
    let (_dir, store) = outbox(&["a"]).await;
    let bell = bell(&server.uri(), None);
    let late = now() + 73.hours();
    assert_eq!(doorbell::deliver(&store, &bell, late, BUDGET).await.unwrap().dropped, 1);
    assert_eq!(doorbell::deliver(&store, &bell, late + 99.hours(), BUDGET).await.unwrap(), Report::default());
}
