//! No secret in any answer or log.

use std::io::Write;
use std::sync::{Arc, Mutex};

use reqwest::Method;
use tracing_subscriber::fmt::MakeWriter;

use crate::world::World;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

const CANARY: &str = "canary-5ecret-0f-al1ce";

#[tokio::test]
async fn secrets_are_in_no_answer_and_no_log() {
    let log = Log::default();
    // The one test of this process that sets it: what all others log is looked through too.
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::DEBUG).with_writer(log.clone()).finish();
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let world = World::start().await;
    let mut answers = String::new();
    let mut keep = |text: &str| answers.push_str(text);
    for (path, body) in [
        ("/v1/credentials/alice", format!(r#"{{"token": "{CANARY}"}}"#)),
        ("/v1/credentials/bob", format!("\"{CANARY}\"")),
        ("/v1/credentials/carl", format!(r#"{{"token": ["{CANARY}"]}}"#)),
        ("/v1/credentials/dora", format!(r#"{{"token": "{CANARY}"#)),
        ("/v1/credentials/BAD", format!("\"{CANARY}\"")),
        ("/v1/keys/x", CANARY.to_owned()),
    ] {
        keep(&world.ask(Method::PUT, path).json(body.clone()).send().await.text);
        keep(&world.ask(Method::PUT, path).body("text/plain", body).send().await.text);
    }
    keep(&world.bare(Method::GET, "/v1/jobs").key(CANARY).send().await.text);
    keep(&world.bare(Method::GET, "/v1/jobs").header("authorization", CANARY).send().await.text);
    let made = world.ask(Method::POST, "/v1/keys").json(r#"{"scopes": ["read"]}"#).send().await;
    let made = made.json()["key"].as_str().unwrap().to_owned();
    keep(&world.bare(Method::GET, "/v1/jobs").key(&made).send().await.text);
    for path in ["/v1/credentials", "/v1/keys", "/readyz", "/v1/jobs"] {
        keep(&world.get(path).await.text);
    }
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(log.contains("credential stored") && log.contains("API key made"), "the log is looked at");
    let secret_of = |key: &str| key.split('_').nth(2).unwrap().to_owned();
    for secret in [CANARY.to_owned(), secret_of(&world.key), secret_of(&made)] {
        assert!(!answers.contains(&secret), "in an answer");
        // Requests that this test itself sends are no log of the gateway's.
        let found =
            log.lines().find(|line| line.contains(&secret) && !line.contains("reqwest") && !line.contains("hyper"));
        assert_eq!(found, None);
    }
    let file = std::fs::read(world.dir.path().join("state.db")).unwrap();
    let wal = std::fs::read(world.dir.path().join("state.db-wal")).unwrap_or_default();
    for bytes in [file, wal] {
        assert!(!bytes.windows(CANARY.len()).any(|part| part == CANARY.as_bytes()), "in the state file");
    }
}
