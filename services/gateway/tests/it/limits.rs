//! What clients can take.

use std::time::Duration;

use reqwest::Method;
use tidegate_gateway::Config;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::world::{JOB, SOON, World};

#[tokio::test]
async fn a_key_submits_so_many_jobs_a_minute() {
    let world = World::with(Config { jobs_per_minute: 2, ..Config::default() }).await;
    world.put_shop().await;
    let submit = || world.ask(Method::POST, "/v1/jobs").json(JOB).send();
    let first = submit().await;
    assert_eq!(
        (first.header("ratelimit-policy"), first.header("ratelimit")),
        ("\"jobs\";q=2;w=60", "\"jobs\";r=1;t=30")
    );
    assert_eq!(submit().await.status, 202);
    let refused = submit().await;
    assert_eq!((refused.problem(429).as_str(), refused.header("retry-after")), ("too-many-requests", "30"));
    let other = world.key("a", &[tidegate_registry::Scope::Submit], None).await;
    assert_eq!(world.bare(Method::POST, "/v1/jobs").key(&other).json(JOB).send().await.status, 202, "each key");
    world.pass(30_000);
    assert_eq!(submit().await.status, 202);
}

#[tokio::test]
async fn a_tenant_has_so_many_unfinished_jobs() {
    let world = World::with(Config { open_jobs_max: 2, ..Config::default() }).await;
    let (job, _) = (world.submit().await, world.submit().await);
    let submit = || world.ask(Method::POST, "/v1/jobs").json(JOB).send();
    assert_eq!(submit().await.problem(429), "too-many-open");
    world.ask(Method::DELETE, &format!("/v1/jobs/{job}")).send().await;
    assert_eq!(submit().await.status, 202);
}

#[tokio::test]
async fn jobs_of_a_tenant_name_so_many_providers() {
    let world = World::with(Config { provider_names_max: 2, ..Config::default() }).await;
    let job = |name: &str| {
        format!(
            r#"{{"provider":{{"tidegate":1,"provider":"{name}","base_url":"https://api.example",
                "endpoints":{{"list":{{"get":"/list","items":"$[*]"}}}}}},"steps":[{{"id":"all","call":"list"}}]}}"#
        )
    };
    let submit =
        async |key: &str, name: &str| world.bare(Method::POST, "/v1/jobs").key(key).json(job(name)).send().await;
    for name in ["one", "two", "one", "two"] {
        assert_eq!(submit(&world.key, name).await.status, 202, "{name}");
    }
    let refused = submit(&world.key, "three").await;
    assert_eq!((refused.problem(422).as_str(), refused.pointers()), ("invalid", vec!["/provider".to_owned()]));
    let detail = refused.json()["detail"].to_string();
    assert!(detail.contains("three") && detail.contains("2 different ones"), "{detail}");
    assert_eq!(submit(&world.key, "one").await.status, 202);
    let other = world.tenant("b").await;
    assert_eq!(submit(&other, "three").await.status, 202, "each tenant");
}

#[tokio::test]
async fn a_head_that_is_too_large_or_too_slow_is_given_up() {
    let config = Config { head_max_bytes: 8 << 10, head_timeout: Duration::from_millis(300), ..Config::default() };
    let world = World::with(config).await;
    let large = format!("GET /livez HTTP/1.1\r\nhost: x\r\nx-large: {}\r\n\r\n", "x".repeat(16 << 10));
    assert!(raw(&world, large.as_bytes()).await.starts_with("HTTP/1.1 431"));
    assert_eq!(raw(&world, b"GET /livez HTTP/1.1\r\nhost: ").await.find("200"), None, "ended without an answer");
    assert!(raw(&world, b"not http at all\r\n\r\n").await.starts_with("HTTP/1.1 400"));
    assert_eq!(world.get("/livez").await.status, 200, "others are served");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_not_waited_for_forever() {
    let world = World::with(Config { request_timeout: Duration::from_millis(300), ..Config::default() }).await;
    let head = format!(
        "POST /v1/jobs HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{",
        world.key
    );
    let answer = raw(&world, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("problem-timed-out"), "{answer}");
}

#[tokio::test]
async fn connections_above_the_bound_wait_for_one_to_end() {
    let world = World::with(Config { connections_max: 1, ..Config::default() }).await;
    let mut first = TcpStream::connect(&world.address).await.unwrap();
    first.write_all(b"GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let second = raw(&world, b"GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    tokio::pin!(second);
    assert!(futures_util::poll!(&mut second).is_pending());
    drop(first);
    assert!(second.await.starts_with("HTTP/1.1 200"));
}

/// Sends these bytes, and reads until the gateway ends the connection.
async fn raw(world: &World, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(&world.address).await.unwrap();
    // It may end the connection before it has read all.
    _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut buffer = [0; 4_096];
    while let Ok(read @ 1..) = tokio::time::timeout(SOON, stream.read(&mut buffer)).await.expect("an end") {
        answer.extend_from_slice(&buffer[..read]);
        let text = String::from_utf8_lossy(&answer);
        // A problem has come whole when its object has.
        if text.contains("\r\n\r\n{") && text.ends_with('}') {
            break;
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}
