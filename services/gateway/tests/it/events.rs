//! Watching jobs.

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::Value;
use tidegate_gateway::Config;

use crate::world::{SOON, World};

/// Server-sent events, one after the other.
struct Events {
    stream: std::pin::Pin<Box<dyn futures_util::Stream<Item = reqwest::Result<bytes::Bytes>> + Send>>,
    text: String,
}

#[derive(Debug)]
struct Told {
    id: String,
    data: Value,
}

impl Events {
    async fn open(world: &World, path: &str, seen: &str) -> Self {
        let ask = world.ask(Method::GET, path);
        let ask = if seen.is_empty() { ask } else { ask.header("last-event-id", seen) };
        let response = ask.open().await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { stream: Box::pin(response.bytes_stream()), text: String::new() }
    }

    /// The next block of lines; `None` at the end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let piece = tokio::time::timeout(SOON, self.stream.next()).await.expect("in time")?;
            self.text.push_str(std::str::from_utf8(&piece.expect("a piece")).unwrap());
        }
    }

    async fn next(&mut self) -> Option<Told> {
        loop {
            let block = self.block().await?;
            let field = |name: &str| {
                let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
                line.map(|line| line.trim().to_owned())
            };
            if let Some(data) = field("data") {
                assert_eq!(field("event").as_deref(), Some("job"));
                return Some(Told { id: field("id").unwrap(), data: serde_json::from_str(&data).unwrap() });
            }
        }
    }
}

#[tokio::test]
async fn a_watcher_is_told_the_present_then_what_changes_then_the_end() {
    let world = World::start().await;
    let job = world.submit().await;
    let path = format!("/v1/jobs/{job}/events");
    let calls = world.begin(job, 2).await;
    world.succeed(&calls[0], "1\n").await;
    let mut events = Events::open(&world, &path, "").await;
    let late = events.next().await.unwrap();
    assert_eq!((&late.data["state"], &late.data["counts"]["items"]), (&"running".into(), &1.into()), "who comes late");
    world.succeed(&calls[1], "2\n3\n").await;
    let end = events.next().await.unwrap();
    assert_eq!((&end.data["state"], &end.data["counts"]["items"]), (&"succeeded".into(), &3.into()));
    assert_ne!(late.id, end.id);
    assert!(events.next().await.is_none());
    // Who lost the stream before its end is told it now; who saw it need not come back.
    let mut events = Events::open(&world, &path, &late.id).await;
    assert_eq!(events.next().await.unwrap().id, end.id);
    assert!(events.next().await.is_none());
    let seen = world.ask(Method::GET, &path).header("last-event-id", &end.id).send().await;
    assert_eq!(seen.status, 204);
}

#[tokio::test]
async fn who_has_seen_the_present_hears_nothing_before_it_changes() {
    let world = World::with(Config { keep_alive: std::time::Duration::from_millis(200), ..Config::default() }).await;
    let job = world.submit().await;
    let path = format!("/v1/jobs/{job}/events");
    let seen = Events::open(&world, &path, "").await.next().await.unwrap();
    let mut events = Events::open(&world, &path, &seen.id).await;
    assert_eq!(events.block().await.unwrap(), ":", "a sign of life comes first");
    world.begin(job, 1).await;
    assert_eq!(events.next().await.unwrap().data["state"], "running");
}

#[tokio::test]
async fn what_happens_without_a_message_is_found_all_the_same() {
    let world = World::with(Config { keep_alive: std::time::Duration::from_millis(200), ..Config::default() }).await;
    let job = world.submit().await;
    let mut events = Events::open(&world, &format!("/v1/jobs/{job}/events"), "").await;
    events.next().await.unwrap();
    tidegate_ledger::Ledger::cancel(&*world.ledger, job, "by nobody", crate::world::NOW).await.unwrap();
    assert_eq!(events.next().await.unwrap().data["state"], "cancelled");
}

#[tokio::test]
async fn a_tenant_has_so_many_watchers_and_no_more() {
    let world = World::with(Config { watchers_max: 2, ..Config::default() }).await;
    let job = world.submit().await;
    let path = format!("/v1/jobs/{job}/events");
    let (mut one, _two) = (Events::open(&world, &path, "").await, Events::open(&world, &path, "").await);
    one.next().await.unwrap();
    assert_eq!(world.get(&path).await.problem(429), "too-many-open");
    drop(one);
    let open = async { while world.ask(Method::GET, &path).open().await.status() != 200 {} };
    tokio::time::timeout(SOON, open).await.expect("a place is given back");
}

#[tokio::test]
async fn streams_end_when_the_gateway_stops() {
    let mut world = World::start().await;
    let job = world.submit().await;
    let mut events = Events::open(&world, &format!("/v1/jobs/{job}/events"), "").await;
    events.next().await.unwrap();
    world.stop().await;
    assert!(events.next().await.is_none());
}
