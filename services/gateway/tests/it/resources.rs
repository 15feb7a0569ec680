//! Providers, credentials, keys: put, looked at, deleted.

use reqwest::Method;
use serde_json::json;
use tidegate_provider::file::Name;
use tidegate_registry::Registry as _;

use crate::world::{PROVIDER, World};

#[tokio::test]
async fn a_provider_is_put_changed_shown_and_deleted() {
    let world = World::start().await;
    let path = "/v1/providers/shop";
    let put = async |body: &str| world.ask(Method::PUT, path).json(body.to_owned()).send().await;
    let new = put(PROVIDER).await;
    assert_eq!((new.status.as_u16(), new.header("location"), &new.json()["version"]), (201, path, &json!(1)));
    let same = put(PROVIDER).await;
    assert_eq!((same.status.as_u16(), &same.json()["version"]), (200, &json!(1)));
    let changed = put(&PROVIDER.replace("/orders", "/v2/orders")).await;
    assert_eq!((changed.status.as_u16(), &changed.json()["version"]), (200, &json!(2)));
    let shown = world.get(path).await.json();
    assert_eq!(
        (&shown["file"]["provider"], &shown["file"]["endpoints"]["orders"]["get"]),
        (&json!("shop"), &json!("/v2/orders"))
    );
    let listed = world.get("/v1/providers").await.json();
    assert_eq!((&listed["providers"][0]["name"], listed["providers"][0].get("file")), (&json!("shop"), None));
    let yaml = "tidegate: 1\nprovider: bank\nbase_url: https://bank.example\nendpoints: { all: { get: /all } }\n";
    let got = world.ask(Method::PUT, "/v1/providers/bank").body("application/yaml", yaml).send().await;
    assert_eq!(got.status, 201, "{got:?}");
    assert_eq!(world.ask(Method::DELETE, path).send().await.status, 204);
    assert_eq!(world.ask(Method::DELETE, path).send().await.problem(404), "not-found");
    assert_eq!(world.get(path).await.problem(404), "not-found");
}

#[tokio::test]
async fn a_credential_goes_in_and_only_its_name_comes_out() {
    let world = World::start().await;
    let path = "/v1/credentials/alice";
    let put = async |body: &str| world.ask(Method::PUT, path).json(body.to_owned()).send().await;
    for (body, status, version) in
        [(r#"{"token": "s3cret-1"}"#, 201, 1), (r#""s3cret-2""#, 200, 2), (r#"{"user": "u", "pin": 7}"#, 200, 3)]
    {
        let got = put(body).await;
        assert_eq!((got.status.as_u16(), got.json()), (status, json!({ "name": "alice", "version": version })));
    }
    for body in [
        "{}",
        "[]",
        "7",
        "null",
        r#""""#,
        r#"{"token": ["s3cret"]}"#,
        r#"{"token": null}"#,
        r#"{"a": {"b": "s3cret"}}"#,
    ] {
        let got = put(body).await;
        assert_eq!(got.problem(422), "invalid", "{body}");
        assert!(!got.text.contains("s3cret"));
    }
    let malformed = put("{\"token\": \"s3cret").await;
    assert_eq!(malformed.problem(400), "malformed");
    assert!(!malformed.text.contains("s3cret"));
    assert_eq!(put(&format!("\"{}\"", "x".repeat(70_000))).await.problem(413), "too-large");
    let listed = world.get("/v1/credentials").await;
    assert_eq!(
        (&listed.json()["credentials"][0]["name"], &listed.json()["credentials"][0]["version"]),
        (&json!("alice"), &json!(3))
    );
    assert_eq!(world.get(path).await.problem(405), "method-not-allowed", "nobody can ask for it");
    let sealed =
        world.registry.sealed(&"a".parse().unwrap(), &Name::try_from("alice".to_owned()).unwrap()).await.unwrap();
    assert_eq!(sealed.unwrap().version, 3);
    assert_eq!(world.ask(Method::DELETE, path).send().await.status, 204);
    assert_eq!(world.ask(Method::DELETE, path).send().await.problem(404), "not-found");
}

#[tokio::test]
async fn a_key_is_made_and_shown_once_and_works() {
    let world = World::start().await;
    let body = r#"{"name": "for the nightly run", "scopes": ["submit", "read"]}"#;
    let made = world.ask(Method::POST, "/v1/keys").json(body).send().await;
    let (id, key) = (made.json()["id"].as_str().unwrap().to_owned(), made.json()["key"].as_str().unwrap().to_owned());
    assert_eq!(made.status, 201);
    assert_eq!(world.bare(Method::GET, "/v1/jobs").key(&key).send().await.status, 200);
    assert_eq!(world.bare(Method::GET, "/v1/keys").key(&key).send().await.problem(403), "forbidden");
    let listed = world.get("/v1/keys").await;
    let keys = listed.json()["keys"].as_array().unwrap().clone();
    let of = keys.iter().find(|listed| listed["id"] == json!(id)).unwrap();
    assert_eq!((&of["name"], &of["scopes"]), (&json!("for the nightly run"), &json!("submit read")));
    assert!(of["last_used_at_ms"].is_number() && !listed.text.contains(&key) && !listed.text.contains("digest"));
    assert_eq!(world.ask(Method::DELETE, "/v1/keys/unknown").send().await.problem(404), "not-found");
}
