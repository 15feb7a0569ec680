//! Runs that take only what is new since the one before: with the fewest calls, each item once, whatever happens.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::client::fixture::Served;
use crate::world::{JOB, OUT, STATE, World, assert_same, until};

/// The newest posts come first, by cursors; events come oldest first, and only those above `since_id` if it is sent.
pub(crate) const PROVIDER: &str = r#"
retry: { attempts: 1 }
endpoints:
  users: { get: /users, items: "$.items[*]" }
  posts:
    get: "/users/{id}/posts"
    items: "$.items[*]"
    pages: { cursor: before, next: "$.next", size: { param: limit, max: 5 } }
    since: { from: "$.id", stop_at_seen: true }
  events:
    get: /events
    items: "$.items[*]"
    params: [since_id]
    pages: { offset: offset, size: { param: limit, max: 5 }, total: "$.total" }
    since: { from: "$.id", param: since_id }
"#;

const POSTS: &str = "steps:\n  - { id: posts, call: posts, with: { id: 1 } }\n";
const EVENTS: &str = "steps:\n  - { id: events, call: events }\n";
pub(crate) const NESTED: &str = r#"
steps:
  - { id: users, call: users }
  - { id: posts, call: posts, for_each: users, with: { id: "{{ item.id }}" } }
"#;

/// A third party whose lists grow.
pub(crate) struct Growing {
    pub(crate) address: String,
    lists: Arc<Mutex<Lists>>,
}

#[derive(Default)]
pub(crate) struct Lists {
    /// How many items there are, by path: those with the numbers from 1 on.
    items: BTreeMap<String, u64>,
    /// What was asked for.
    pub(crate) asked: Vec<String>,
    /// Paths that are refused.
    broken: Vec<String>,
    pub(crate) latency: Duration,
}

impl Growing {
    pub(crate) async fn start(items: &[(&str, u64)]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let items = items.iter().map(|(path, items)| ((*path).to_owned(), *items)).collect();
        let lists = Arc::new(Mutex::new(Lists { items, ..Lists::default() }));
        let all = Arc::clone(&lists);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, Arc::clone(&all)));
            }
        });
        Self { address, lists }
    }

    pub(crate) fn set(&self, path: &str, items: u64) {
        self.lists.lock().unwrap().items.insert(path.to_owned(), items);
    }

    /// What was asked for since this was asked before.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.lists.lock().unwrap().asked)
    }

    pub(crate) fn with<T>(&self, change: impl FnOnce(&mut Lists) -> T) -> T {
        change(&mut self.lists.lock().unwrap())
    }
}

/// One request on each connection.
async fn answer(mut stream: TcpStream, lists: Arc<Mutex<Lists>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte).await {
            Ok(1) => head.push(byte[0]),
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    let latency = lists.lock().unwrap().latency;
    tokio::time::sleep(latency).await;
    let (status, body) = page(&target, &mut lists.lock().unwrap());
    let text = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    // Whoever was killed reads no answer.
    let _ = stream.write_all(text.as_bytes()).await;
}

fn page(target: &str, lists: &mut Lists) -> (&'static str, String) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    lists.asked.push(target.to_owned());
    if lists.broken.iter().any(|broken| broken == path) {
        return ("400 Bad Request", json!({ "error": "broken" }).to_string());
    }
    let number = |name: &str| {
        let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.parse::<u64>().unwrap())
    };
    let items = lists.items.get(path).copied().unwrap_or_default();
    let item = |id: u64| json!({ "id": id.to_string(), "of": path });
    let body = match path {
        "/users" => json!({ "items": (1..=items).map(|id| json!({ "id": id })).collect::<Vec<_>>() }),
        "/events" => {
            let (since, offset) = (number("since_id").unwrap_or(0), number("offset").unwrap_or(0));
            let page = (since + offset + 1..=items).take(number("limit").unwrap() as usize);
            json!({ "items": page.map(item).collect::<Vec<_>>(), "total": items.saturating_sub(since) })
        }
        _ => {
            let top = number("before").map_or(items, |before| before - 1);
            let page: Vec<u64> = (1..=top).rev().take(number("limit").unwrap() as usize).collect();
            let next = page.last().filter(|last| **last > 1).map(ToString::to_string);
            json!({ "items": page.iter().copied().map(item).collect::<Vec<_>>(), "next": next })
        }
    };
    ("200 OK", body.to_string())
}

fn numbers(range: std::ops::RangeInclusive<u64>) -> Vec<String> {
    range.map(|id| id.to_string()).collect()
}

/// Posts 1 to so many, of each user.
pub(crate) fn posts(counts: [u64; 3]) -> Vec<String> {
    let of = |(user, count): (u64, u64)| (1..=count).map(move |id| format!("{user} {id}"));
    (1..).zip(counts).flat_map(of).collect()
}

/// Each post's user and number.
pub(crate) fn names(items: &[serde_json::Value]) -> Vec<String> {
    let of = |item: &serde_json::Value| {
        Some(format!("{} {}", item["of"].as_str()?.split('/').nth(2)?, item["id"].as_str()?))
    };
    items.iter().filter_map(of).collect()
}

async fn marks(world: &World) -> Vec<(String, String)> {
    let listed = world.run(&["since", "list", "--state", STATE, "--json"]).await.expect(0).json();
    let mark = |mark: &serde_json::Value| (mark["params"].to_string(), mark["value"].as_str().unwrap().to_owned());
    listed["marks"].as_array().unwrap().iter().map(mark).collect()
}

#[tokio::test]
async fn a_run_that_extends_stops_where_the_one_before_began_and_appends_what_is_new() {
    let party = Growing::start(&[("/users/1/posts", 98)]).await;
    let world = World::with(&party.address, PROVIDER, POSTS);
    world.job(&[]).await.expect(0);
    assert_eq!(party.asked().len(), 20);
    assert_eq!(marks(&world).await, [(r#"{"id":1}"#.to_owned(), "98".to_owned())]);

    party.set("/users/1/posts", 104);
    let report = world.job(&["--extend"]).await.expect(0).json();
    assert_eq!((party.asked().len(), &report["items"]), (2, &json!(6)));
    assert_same(world.ids(OUT), numbers(1..=104));
    assert_same(world.ids(OUT).split_off(98), numbers(99..=104));

    world.job(&["--extend"]).await.expect(0);
    assert_eq!(party.asked().len(), 1, "a look whether there is anything new");
    assert_same(world.ids(OUT), numbers(1..=104));

    // All runs together are what there is; what is elsewhere gets the new ones alone.
    party.set("/users/1/posts", 105);
    let new = world.run(&["run", JOB, "--extend", "-o", "-", "--quiet", "--allow-private=127.0.0.0/8"]).await.expect(0);
    assert_eq!(crate::world::ids(&crate::world::items(&new.stdout)), ["105"]);
    party.asked();
    world.job(&[]).await.expect(0);
    assert_eq!(party.asked().len(), 0);
    assert_same(world.ids(OUT), numbers(1..=105));
    world.finish().await;
}

#[tokio::test]
async fn a_provider_is_asked_for_what_is_new_where_it_can_be() {
    let party = Growing::start(&[("/events", 23)]).await;
    let world = World::with(&party.address, PROVIDER, EVENTS);
    world.job(&["--extend"]).await.expect(0);
    assert_eq!(party.asked().len(), 5, "a first run takes all");
    party.set("/events", 30);
    world.job(&["--extend"]).await.expect(0);
    let asked = party.asked();
    assert!(asked.len() == 2 && asked.iter().all(|asked| asked.contains("since_id=23")), "{asked:?}");
    assert_same(world.ids(OUT), numbers(1..=30));
    world.finish().await;
}

#[tokio::test]
async fn what_appends_says_what_it_can_append_to() {
    let party = Growing::start(&[("/events", 3)]).await;
    let world = World::with(&party.address, PROVIDER, EVENTS);
    let csv = ["run", JOB, "-o", "out.csv", "--quiet", "--allow-private=127.0.0.0/8", "--extend"];
    world.run(&csv).await.expect(0);
    let before = world.read("out.csv");
    let refused = world.run(&csv).await.expect(4);
    assert!(refused.stderr.contains("can't append to out.csv: expected ndjson, found csv"), "{}", refused.stderr);
    assert_eq!(world.read("out.csv"), before);
    world.finish().await;
}

#[tokio::test]
async fn a_run_that_extends_and_is_killed_goes_on_and_brings_each_item_once() {
    let party = Growing::start(&[("/users/1/posts", 20)]).await;
    let world = World::with(&party.address, PROVIDER, POSTS);
    world.job(&["--extend"]).await.expect(0);
    party.set("/users/1/posts", 80);
    party.with(|lists| lists.latency = Duration::from_millis(20));
    party.asked();
    for pages in [2, 6] {
        let running = world.job_line(&["--extend"]).spawn();
        until("some pages were asked for", || party.with(|lists| lists.asked.len() >= pages)).await;
        running.kill().await;
        assert_eq!(marks(&world).await[0].1, "20", "nothing is seen before all is there");
    }
    // What appears meanwhile is for the run after.
    party.set("/users/1/posts", 81);
    world.job(&["--extend"]).await.expect(0);
    assert_same(world.ids(OUT), numbers(1..=80));
    assert_eq!(marks(&world).await[0].1, "80");
    world.job(&["--extend"]).await.expect(0);
    assert_same(world.ids(OUT), numbers(1..=81));
    world.finish().await;
}

#[tokio::test]
async fn each_fetch_of_a_step_has_a_mark_of_its_own_and_one_that_failed_keeps_it() {
    let party =
        Growing::start(&[("/users", 3), ("/users/1/posts", 7), ("/users/2/posts", 4), ("/users/3/posts", 2)]).await;
    let world = World::with(&party.address, PROVIDER, NESTED);
    let found = |world: &World| names(&world.items(OUT));
    world.job(&["--extend", "--step", "posts"]).await.expect(0);
    assert_same(found(&world), posts([7, 4, 2]));
    for (path, items) in [("/users/1/posts", 9), ("/users/2/posts", 6)] {
        party.set(path, items);
    }
    party.with(|lists| lists.broken.push("/users/2/posts".to_owned()));
    world.job(&["--extend", "--step", "posts"]).await.expect(1);
    assert_same(found(&world), posts([9, 4, 2]));
    let mut seen = marks(&world).await;
    seen.sort();
    assert_eq!(
        seen,
        [("1", "9"), ("2", "4"), ("3", "2")].map(|(id, value)| (format!(r#"{{"id":{id}}}"#), value.to_owned()))
    );

    party.with(|lists| lists.broken.clear());
    party.set("/users/3/posts", 3);
    party.asked();
    world.job(&["--extend", "--step", "posts"]).await.expect(0);
    assert_same(found(&world), posts([9, 6, 3]));
    assert_eq!(party.asked().len(), 4, "the users, and a page of each one's posts");
    world.finish().await;
}

#[tokio::test]
async fn marks_that_are_forgotten_are_read_from_the_beginning_and_other_names_have_their_own() {
    let party = Growing::start(&[("/events", 12)]).await;
    let world = World::with(&party.address, PROVIDER, &format!("name: nightly\n{EVENTS}"));
    world.write("weekly.yaml", &format!("provider: ./sim.yaml\nname: weekly\n{EVENTS}"));
    world.job(&[]).await.expect(0);
    party.asked();
    let weekly = ["run", "weekly.yaml", "--state", STATE, "--extend", "--quiet", "--allow-private=127.0.0.0/8"];
    world.run(&weekly).await.expect(0);
    assert_eq!(party.asked().len(), 3, "another name has seen nothing");
    let shown = world.run(&["since", "list", "--state", STATE, "--job", "nightly"]).await.expect(0).stdout;
    assert!(
        shown.contains("SEEN UP TO") && shown.contains("nightly  events  {}") && !shown.contains("weekly"),
        "{shown}"
    );
    let reset = world.run(&["since", "reset", "nightly", "--state", STATE]).await.expect(0).stdout;
    assert_eq!(reset.trim(), "1 marks are forgotten");
    world.job(&["--extend"]).await.expect(0);
    assert_eq!(party.asked().len(), 3);
    world.run(&weekly).await.expect(0);
    assert_eq!(party.asked().len(), 1);
    world.finish().await;
}

#[tokio::test]
async fn a_gateway_extends_jobs_and_tells_and_forgets_what_they_have_seen() {
    let party = Growing::start(&[("/events", 12)]).await;
    let served = Served::start().await;
    served.world.provider(&party.address, PROVIDER);
    served.world.write(JOB, &format!("provider: ./sim.yaml\n{EVENTS}"));
    for (items, found) in [(12, 1..=12), (20, 13..=20)] {
        party.set("/events", items);
        let job = served.says(&["submit", JOB, "--extend"]).await;
        served.run(&["watch", &job]).await.expect(0);
        assert_same(crate::world::ids(&served.items(&job).await), numbers(found));
        assert_eq!(served.status(&job).await["extend"], json!(true));
    }
    let listed = served.run(&["since", "list", "--json"]).await.expect(0).json();
    assert_eq!((&listed["marks"][0]["job"], &listed["marks"][0]["value"]), (&json!("job"), &json!("20")));
    assert_eq!((&listed["marks"][0]["kind"], &listed["next"]), (&json!("number"), &json!(null)));
    served.run(&["since", "list", "--after", "nothing"]).await.expect(1);
    assert_eq!(served.says(&["since", "reset", "job", "--step", "posts"]).await, "0 marks are forgotten");
    assert_eq!(served.says(&["since", "reset", "job"]).await, "1 marks are forgotten");
    assert_eq!(served.says(&["since", "list"]).await, "no marks");
    served.finish().await;
}
