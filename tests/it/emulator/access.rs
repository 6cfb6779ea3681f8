//! Credentials, versions, unknown paths.

use super::{House, JSON, PAT, PATCH, basic};
use reqwest::Method;
use roundsman::emulator::{SignIn, Token};
use serde_json::json;

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
