//! Keys: who is let in, and for what.

use reqwest::Method;
use serde_json::Value;
use tidegate_registry::{ApiKey, Scope};

use crate::world::{NOW, World};

#[tokio::test]
async fn who_has_no_valid_key_is_not_let_in() {
    let world = World::start().await;
    let stranger = secrecy::ExposeSecret::expose_secret(&ApiKey::generate().text()).to_owned();
    let slip = world.key.replacen("tg_", "tg-", 1);
    for (header, why) in [
        ("Bearer", "expected"),
        ("Basic YTpi", "expected"),
        (&*format!("Bearer {stranger}"), "not known"),
        (&*format!("Bearer {slip}"), "not an API key"),
        ("Bearer ключ", "expected"),
    ] {
        let got = world.bare(Method::GET, "/v1/jobs").header("authorization", header).send().await;
        assert_eq!(got.problem(401), "unauthorized");
        assert!(got.json()["detail"].as_str().unwrap().contains(why), "{header}: {}", got.text);
        assert!(got.header("www-authenticate").starts_with("Bearer"));
    }
    assert_eq!(world.bare(Method::GET, "/v1/jobs").send().await.problem(401), "unauthorized");
    let twice = world.ask(Method::GET, "/v1/jobs").header("authorization", "Bearer x").send().await;
    twice.problem(401);
    assert_eq!(world.get("/v1/jobs").await.status, 200);
}

#[tokio::test]
async fn a_revoked_key_and_an_expired_one_are_told_from_an_unknown_one() {
    let world = World::start().await;
    let made = world
        .ask(Method::POST, "/v1/keys")
        .json(format!(r#"{{"name": "short", "scopes": ["read"], "expires_at_ms": {}}}"#, NOW + 5_000))
        .send()
        .await;
    assert_eq!((made.status.as_u16(), made.header("cache-control")), (201, "no-store"));
    let key = made.json()["key"].as_str().unwrap().to_owned();
    let ask = || world.bare(Method::GET, "/v1/jobs").key(&key).send();
    assert_eq!(ask().await.status, 200);
    world.pass(5_000);
    assert!(ask().await.json()["detail"].as_str().unwrap().contains("expired"));
    let key = world.key("a", &[Scope::Read], None).await;
    let ask = || world.bare(Method::GET, "/v1/jobs").key(&key).send();
    assert_eq!(ask().await.status, 200);
    let id = key.split('_').nth(1).unwrap();
    for _ in 0..2 {
        assert_eq!(world.ask(Method::DELETE, &format!("/v1/keys/{id}")).send().await.status, 204, "twice is once");
    }
    let refused = ask().await;
    refused.problem(401);
    assert!(refused.json()["detail"].as_str().unwrap().contains("revoked"), "at once, though it was remembered");
}

/// Out of the document, so that a route that is added is asked too.
#[tokio::test]
async fn each_route_asks_for_the_scope_that_the_document_names() {
    let world = World::start().await;
    let keys = [
        ("submit", world.key("a", &[Scope::Submit], None).await),
        ("read", world.key("a", &[Scope::Read], None).await),
    ];
    let document: Value = world.bare(Method::GET, "/openapi.json").send().await.json();
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let Some(scope) = operation["security"][0]["key"][0].as_str() else { continue };
            let method: Method = method.to_uppercase().parse().unwrap();
            let path = path.replace("{id}", "job_00000000000000000000000000000000").replace("{name}", "x");
            let path = path.replace("{key}", "x");
            world.bare(method.clone(), &path).send().await.problem(401);
            for (has, key) in &keys {
                let got = world.bare(method.clone(), &path).key(key).send().await;
                assert_eq!(got.status == 403, *has != scope, "{method} {path} with {has}: {got:?}");
                asked += 1;
            }
        }
    }
    assert!(asked >= 30, "{asked}");
}
