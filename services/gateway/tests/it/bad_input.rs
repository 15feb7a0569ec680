//! What can't be taken is refused in words, with the place.

use reqwest::Method;
use tidegate_registry::Scope;

use crate::world::{JOB, PROVIDER, World};

/// Media type, body, status, kind, and pointers.
type Case = (&'static str, Vec<u8>, u16, &'static str, &'static [&'static str]);

#[tokio::test]
async fn what_is_wrong_with_a_job_is_told_with_its_place() {
    let world = World::start().await;
    world.put_shop().await;
    let (json, yaml) = ("application/json", "application/yaml");
    let inline = format!(
        "{{\"provider\": {}, \"steps\": [{{\"id\": \"o\", \"call\": \"orders\"}}]}}",
        PROVIDER.replace("\"items\"", "\"itemz\"")
    );
    let deep = format!("{{\"provider\": \"shop\", \"steps\": {}{}}}", "[".repeat(100_000), "]".repeat(100_000));
    let cases: Vec<Case> = vec![
        (json, b"{".to_vec(), 400, "malformed", &[""]),
        (json, b"provider: shop".to_vec(), 400, "malformed", &[""]),
        (json, b"".to_vec(), 400, "malformed", &[""]),
        (json, b"\xff\xfe{}".to_vec(), 400, "malformed", &[]),
        (yaml, b"provider: \xff".to_vec(), 400, "malformed", &[]),
        (json, b"[]".to_vec(), 422, "invalid", &[""]),
        (json, b"null".to_vec(), 422, "invalid", &[""]),
        (json, br#"{"provider": "shop", "stepz": []}"#.to_vec(), 422, "invalid", &["", "/stepz"]),
        (
            yaml,
            b"provider: shop\nsteps:\n  - id: orders\n    call: orders\n    wiht: {}\n".to_vec(),
            422,
            "invalid",
            &["/steps/0/wiht"],
        ),
        (yaml, b"provider: shop\nsteps: [{id: o, call: nothing}]\n".to_vec(), 422, "invalid", &["/steps/0/call"]),
        (yaml, b"provider: shop\nsteps: 7\n".to_vec(), 422, "invalid", &["/steps"]),
        (yaml, b"provider: shop\nlane: fast\nsteps: [{id: o, call: orders}]\n".to_vec(), 422, "invalid", &["/lane"]),
        (yaml, b"provider: [\n".to_vec(), 422, "invalid", &[""]),
        (yaml, b"provider: shop\npush: true\nsteps: [{id: o, call: orders}]\n".to_vec(), 422, "invalid", &["/push"]),
        (json, inline.into_bytes(), 422, "invalid", &["/provider/endpoints/orders/itemz"]),
        (json, deep.into_bytes(), 422, "invalid", &[""]),
        (yaml, b"provider: ../shop.yaml\nsteps: [{id: o, call: orders}]\n".to_vec(), 422, "invalid", &["/provider"]),
        (yaml, b"provider: /etc/passwd\nsteps: [{id: o, call: orders}]\n".to_vec(), 422, "invalid", &["/provider"]),
        (yaml, b"provider: nobody\nsteps: [{id: o, call: orders}]\n".to_vec(), 422, "invalid", &["/provider"]),
        (
            yaml,
            b"provider: shop\ncredential: none\nsteps: [{id: o, call: orders}]\n".to_vec(),
            422,
            "invalid",
            &["/credential"],
        ),
    ];
    for (media, body, status, kind, pointers) in cases {
        let shown = String::from_utf8_lossy(&body[..body.len().min(80)]).into_owned();
        let got = world.ask(Method::POST, "/v1/jobs").body(media, body).send().await;
        assert_eq!(got.problem(status), kind, "{shown}: {}", got.text);
        assert_eq!(got.pointers(), pointers, "{shown}: {}", got.text);
    }
    assert_eq!(world.get("/v1/jobs").await.json()["jobs"], serde_json::json!([]), "and nothing was stored");
}

#[tokio::test]
async fn errors_have_the_line_and_column_of_the_body() {
    let world = World::start().await;
    world.put_shop().await;
    let body = "provider: shop\nsteps:\n  - id: orders\n    cal: orders\n";
    let got = world.ask(Method::POST, "/v1/jobs").body("text/yaml; charset=utf-8", body).send().await;
    let errors = got.json()["errors"].clone();
    let slip = errors.as_array().unwrap().iter().find(|error| error["pointer"] == "/steps/0/cal").unwrap().clone();
    assert_eq!((slip["line"].as_u64(), slip["column"].as_u64()), (Some(4), Some(5)), "{errors}");
    assert!(slip["detail"].as_str().unwrap().contains("call"), "{slip}");
}

#[tokio::test]
async fn other_media_types_are_refused() {
    let world = World::start().await;
    for media in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", "multipart/form-data", ""] {
        let got = world.ask(Method::POST, "/v1/jobs").body(media, JOB).send().await;
        assert_eq!(got.problem(415), "unsupported-media-type", "{media}");
    }
    let yaml = world.ask(Method::POST, "/v1/keys").body("application/yaml", "scopes: [read]").send().await;
    assert_eq!(yaml.problem(415), "unsupported-media-type", "a key is JSON");
}

#[tokio::test]
async fn a_body_that_is_too_large_is_refused_with_and_without_a_length() {
    let world = World::start().await;
    let large = "x".repeat(tidegate_provider::FILE_MAX_BYTES + 1);
    let got = world.ask(Method::POST, "/v1/jobs").json(large.clone()).send().await;
    assert_eq!(got.problem(413), "too-large");
    let pieces =
        large.into_bytes().chunks(65_536).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect::<Vec<_>>();
    let stream = reqwest::Body::wrap_stream(futures_util::stream::iter(pieces));
    let got = world.ask(Method::POST, "/v1/jobs").json(stream).send().await;
    assert_eq!(got.problem(413), "too-large", "in pieces");
}

#[tokio::test]
async fn what_is_wrong_with_a_key_is_told_with_its_place() {
    let world = World::start().await;
    for (body, pointer) in [
        (r#"{"scopes": []}"#, "/scopes"),
        (r#"{"scopes": ["root"]}"#, "/scopes/0"),
        (r#"{"scopes": "read"}"#, "/scopes"),
        (r#"{"scopes": ["read"], "expires_at_ms": 1}"#, "/expires_at_ms"),
        (r#"{"scopes": ["read"], "expires_at_ms": "soon"}"#, "/expires_at_ms"),
        (r#"{"name": "x"}"#, ""),
        ("[]", ""),
    ] {
        let got = world.ask(Method::POST, "/v1/keys").json(body).send().await;
        assert_eq!((got.problem(422).as_str(), got.pointers()), ("invalid", vec![pointer.to_owned()]), "{body}");
    }
    let unknown = world.ask(Method::POST, "/v1/keys").json(r#"{"scopes": ["read"], "tenant": "b"}"#).send().await;
    assert_eq!(unknown.problem(422), "invalid");
    let long = format!(r#"{{"scopes": ["read"], "name": "{}"}}"#, "x".repeat(201));
    assert_eq!(world.ask(Method::POST, "/v1/keys").json(long).send().await.pointers(), ["/name"]);
}

#[tokio::test]
async fn a_wrong_provider_file_is_refused_with_its_place() {
    let world = World::start().await;
    for (body, pointer) in [
        (PROVIDER.replace("\"shop\"", "\"bank\""), "/provider"),
        (PROVIDER.replace("\"get\"", "\"gett\""), "/endpoints/orders/gett"),
        (PROVIDER.replace("\"base_url\"", "\"extends\": \"../other.yaml\", \"base_url\""), "/extends"),
        (PROVIDER.replace("\"base_url\"", "\"extends\": \"nobody\", \"base_url\""), "/extends"),
        (PROVIDER.replace("\"base_url\"", "\"extends\": \"shop\", \"base_url\""), "/extends"),
    ] {
        let got = world.ask(Method::PUT, "/v1/providers/shop").json(body.clone()).send().await;
        assert_eq!(got.problem(422), "invalid");
        assert!(got.pointers().contains(&pointer.to_owned()), "{body}: {}", got.text);
    }
    let named = world.ask(Method::PUT, "/v1/providers/Not%20a%20name").json(PROVIDER).send().await;
    assert_eq!(named.problem(422), "invalid");
    assert_eq!(world.get("/v1/providers").await.json()["providers"], serde_json::json!([]));
}

#[tokio::test]
async fn parameters_that_are_none_are_refused() {
    let world = World::start().await;
    let job = world.submit().await;
    for query in ["limit=0", "limit=201", "state=done", "after=x", "after=job_1"] {
        assert_eq!(world.get(&format!("/v1/jobs?{query}")).await.problem(422), "invalid", "{query}");
    }
    for query in ["limit=x", "limit=-1", "unknown=1"] {
        assert_eq!(world.get(&format!("/v1/jobs?{query}")).await.problem(400), "malformed", "{query}");
    }
    for path in [
        "tree?parent=x",
        "tree?after=job_0",
        "failures?after=x",
        "failures?fetch=call_0",
        "items?after=x",
        "items?pages=0",
        "items?pages=101",
    ] {
        assert_eq!(world.get(&format!("/v1/jobs/{job}/{path}")).await.problem(422), "invalid", "{path}");
    }
    for id in ["x", "job_", "job_00000000000000000000000000000000", "%ff", &"j".repeat(3_000)] {
        assert_eq!(world.get(&format!("/v1/jobs/{id}")).await.problem(404), "not-found", "{id}");
    }
}

#[tokio::test]
async fn a_job_with_its_own_provider_names_credentials_only_for_an_admin() {
    let world = World::start().await;
    world.ask(Method::PUT, "/v1/credentials/alice").json(r#""secret""#).send().await;
    let job =
        format!(r#"{{"provider": {PROVIDER}, "credential": "alice", "steps": [{{"id": "o", "call": "orders"}}]}}"#);
    let submitter = world.key("a", &[Scope::Submit], None).await;
    let got = world.bare(Method::POST, "/v1/jobs").key(&submitter).json(job.clone()).send().await;
    assert_eq!(got.problem(403), "forbidden");
    let without = job.replace("\"credential\": \"alice\", ", "");
    assert_eq!(world.bare(Method::POST, "/v1/jobs").key(&submitter).json(without).send().await.status, 202);
    assert_eq!(world.ask(Method::POST, "/v1/jobs").json(job).send().await.status, 202);
}
