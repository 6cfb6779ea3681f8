//! Faults, and the page of the spectator.

use super::{House, PAT, PATCH, basic};
use reqwest::{Method, StatusCode};
use roundsman::emulator::Fault;
use serde_json::json;

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
