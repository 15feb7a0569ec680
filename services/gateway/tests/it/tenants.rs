//! What belongs to one tenant is not there for another: for every route of the document.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{JOB, PROVIDER, World};

#[tokio::test]
async fn no_route_shows_or_changes_what_is_anothers() {
    let world = World::start().await;
    let job = world.submit().await;
    let calls = world.begin(job, 2).await;
    world.succeed(&calls[0], "{\"canary\":\"of a\"}\n").await;
    world.fail(&calls[1], "canary of a").await;
    let secret = r#"{"token": "canary-secret-of-a"}"#;
    assert_eq!(world.ask(Method::PUT, "/v1/credentials/alice").json(secret).send().await.status, 201);
    let key_of_a = world.key.split('_').nth(1).unwrap().to_owned();
    let before = everything(&world).await;
    let stranger = world.tenant("b").await;
    let document: Value = world.bare(Method::GET, "/openapi.json").send().await.json();
    let (mut not_found, mut lists) = (0, 0);
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if operation.get("security").is_none() {
                continue;
            }
            let name = if path.contains("credentials") { "alice" } else { "shop" };
            let address = path.replace("{id}", &job.to_string()).replace("{name}", name).replace("{key}", &key_of_a);
            let address = address.replace("{fetch}", &calls[0].fetch.to_string());
            let method: Method = method.to_uppercase().parse().unwrap();
            let body = match path.as_str() {
                "/v1/jobs" => JOB,
                "/v1/keys" => r#"{"scopes": ["read"]}"#,
                "/v1/credentials/{name}" => r#"{"token": "of b"}"#,
                _ => PROVIDER,
            };
            let ask = world.bare(method.clone(), &address).key(&stranger);
            let ask = if operation.get("requestBody").is_some() { ask.json(body) } else { ask };
            let got = ask.send().await;
            assert!(!got.text.contains("canary") && !got.text.contains(&job.to_string()), "{method} {path}: {got:?}");
            if path.contains('{') && method != Method::PUT {
                // What B put under the same name just before is B's own.
                let is_own = path.contains("{name}");
                assert!(got.status == 404 || is_own, "{method} {path}: {got:?}");
                not_found += usize::from(got.status == 404);
            } else {
                lists += 1;
            }
        }
    }
    assert!(not_found >= 8 && lists >= 6, "{not_found} {lists}");
    assert_eq!(everything(&world).await, before, "and nothing of A has changed");
}

/// All that tenant A sees.
async fn everything(world: &World) -> Value {
    let mut all = Vec::new();
    for path in ["/v1/jobs", "/v1/providers", "/v1/providers/shop", "/v1/credentials"] {
        all.push(world.get(path).await.json());
    }
    let keys = world.get("/v1/keys").await.json();
    all.push(json!(keys["keys"].as_array().unwrap().len()));
    all.push(keys["keys"][0]["revoked_at_ms"].clone());
    all.into()
}

#[tokio::test]
async fn a_name_belongs_to_each_tenant() {
    let world = World::start().await;
    world.put_shop().await;
    let stranger = world.tenant("b").await;
    let missing = world.bare(Method::POST, "/v1/jobs").key(&stranger).json(JOB).send().await;
    assert_eq!((missing.problem(422).as_str(), missing.pointers()), ("invalid", vec!["/provider".to_owned()]));
    let got = world.bare(Method::GET, "/v1/providers/shop").key(&stranger).send().await;
    assert_eq!(got.problem(404), "not-found");
    // An idempotency key is a tenant's own too.
    let put = world.bare(Method::PUT, "/v1/providers/shop").key(&stranger).json(PROVIDER).send().await;
    assert_eq!(put.status, 201);
    let submit =
        |key: &str| world.bare(Method::POST, "/v1/jobs").key(key).header("idempotency-key", "one").json(JOB).send();
    let (of_a, of_b) = (submit(&world.key).await, submit(&stranger).await);
    assert_eq!((of_a.status.as_u16(), of_b.status.as_u16()), (202, 202));
    assert_ne!(of_a.json()["id"], of_b.json()["id"]);
    assert_eq!(of_b.header("idempotency-replayed"), "");
}
