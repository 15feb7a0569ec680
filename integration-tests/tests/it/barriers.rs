//! Steps that wait for others (`after`), that are done for some items only (`when`), and jobs within bounds.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use tidegate_simulator::{EndpointSpec, Faults, Latency, Period, Running, Simulator, SimulatorSpec};

use crate::world::{OUT, World, ids};

const PROVIDER: &str = r#"
retry: { attempts: 2, base: 5ms, cap: 10ms }
endpoints:
  users: { get: /users, items: "$.items[*]", key: "$.id", pages: { offset: offset, size: { param: limit, max: 10 }, total: "$.total" } }
  posts: { get: "/users/{id}/posts", items: "$.items[*]", key: "$.id", pages: { cursor: cursor, next: "$.next", size: { param: limit, max: 5 } } }
  comments: { get: "/posts/{id}/comments", items: "$.items[*]", key: "$.id", pages: { page: page, size: { param: limit, max: 5 }, total: "$.total" } }
  digest: { get: "/digests/{id}" }
"#;

const USERS: &str = "{ id: users, call: users }";
const POSTS: &str = r#"{ id: posts, call: posts, for_each: users, with: { id: "{{ item.id }}" } }"#;
const COMMENTS: &str = r#"{ id: comments, call: comments, for_each: posts, with: { id: "{{ item.id }}" } }"#;
const DIGEST: &str =
    r#"{ id: digest, call: digest, for_each: users, with: { id: "{{ item.id }}" }, after: [comments] }"#;

/// Users, their posts and the comments on these; and a digest of each user.
async fn start(faults: Faults) -> Running {
    let users = EndpointSpec::at("/users").items(25).offset("offset").size("limit", 10).total_in_body("$.total");
    let posts = EndpointSpec::at("/users/{id}/posts").items_between(0, 12).cursor("cursor", "$.next").size("limit", 5);
    let comments = EndpointSpec::at("/posts/{id}/comments").items_between(0, 7).page_number("page", 1);
    let comments = comments.size("limit", 5).total_in_body("$.total");
    let digest = EndpointSpec::at("/digests/{id}").items(1).items_at("$");
    let spec = SimulatorSpec::seeded(7).with("users", users).with("posts", posts.faults(faults));
    Simulator::start(&spec.with("comments", comments).with("digest", digest)).await.unwrap()
}

fn world(simulator: &Running, steps: &[&str]) -> World {
    World::with(&simulator.base_url(), PROVIDER, &format!("max_in_flight: 8\nsteps: [{}]", steps.join(", ")))
}

/// Each attempt fails with this chance.
fn failing(share: f64) -> Faults {
    Faults { error_500: share, max_faults_per_page: u32::MAX, ..Faults::default() }
}

/// Parameters `id` and items' ids of a step's lines, with the places of the lines: they come in the order of storing.
fn lines(world: &World, step: &str) -> Vec<(usize, String, String)> {
    let id = |of: &Value| ids(std::slice::from_ref(of)).remove(0);
    let of = |(at, line): (usize, Value)| (at, id(&line["params"]), id(&line["item"]));
    world.items(OUT).into_iter().enumerate().filter(|(_, line)| line["step"] == step).map(of).collect()
}

#[tokio::test]
async fn what_comes_after_begins_once_all_of_its_own_item_is_in() {
    let simulator = start(Faults::default()).await;
    // In any order in the file; the last one waits for everybody's digest, and with it for all there is.
    let last = "{ id: last, call: users, after: [digest] }";
    let world = world(&simulator, &[last, USERS, DIGEST, POSTS, COMMENTS]);
    world.job(&["--with-origin"]).await.expect(0);
    let (posts, comments, digests) = (lines(&world, "posts"), lines(&world, "comments"), lines(&world, "digest"));
    assert_eq!(digests.len(), 25);
    let author: BTreeMap<&String, &String> = posts.iter().map(|(_, user, post)| (post, user)).collect();
    let mut last_of: BTreeMap<&String, usize> = BTreeMap::new();
    for (at, user) in
        posts.iter().map(|(at, user, _)| (at, user)).chain(comments.iter().map(|(at, post, _)| (at, author[post])))
    {
        last_of.entry(user).and_modify(|last| *last = (*last).max(*at)).or_insert(*at);
    }
    assert!(last_of.len() > 20 && comments.len() > 300, "{} users, {} comments", last_of.len(), comments.len());
    for (at, user, _) in &digests {
        assert!(last_of.get(user).is_none_or(|last| last < at), "the digest of {user} came before all else of it");
    }
    // Not one after the other: some digest came before somebody else's comments.
    assert!(digests[0].0 < comments[comments.len() - 1].0);
    let first_of_last = lines_of_roots(&world, "last")[0];
    assert!(digests.iter().all(|(at, ..)| *at < first_of_last));
    world.finish().await;
}

fn lines_of_roots(world: &World, step: &str) -> Vec<usize> {
    world.items(OUT).iter().enumerate().filter(|(_, line)| line["step"] == step).map(|(at, _)| at).collect()
}

/// Users whose digest came, users whose posts failed, and the report.
async fn with_failures(on_failure: &str) -> (BTreeSet<String>, Value, World) {
    let simulator = start(failing(0.4)).await;
    let posts = POSTS.replace("for_each", &format!("on_failure: {on_failure}, for_each"));
    let world = world(&simulator, &[USERS, &posts, COMMENTS, DIGEST]);
    let report = world.job(&["--with-origin"]).await;
    let json = report.json();
    let came = if world.exists(OUT) {
        lines(&world, "digest").into_iter().map(|(_, user, _)| user).collect()
    } else {
        BTreeSet::new()
    };
    (came, json, world)
}

/// Calls of a group of failures.
fn calls(report: &Value, step: &str, state: &str) -> u64 {
    let groups = report["failures"].as_array().expect("failures");
    let of = groups.iter().filter(|group| group["step"] == step && group["state"] == state);
    of.map(|group| group["calls"].as_u64().expect("a number")).sum()
}

#[tokio::test]
async fn what_comes_after_a_failure_is_not_done_and_says_so() {
    let (_, report, world) = with_failures("skip_children").await;
    let (failed, not_made) = (calls(&report, "posts", "failed"), calls(&report, "digest", "cancelled"));
    // One call fails for each of these users: a chain that fails goes no further.
    assert!(failed > 2 && failed == not_made && report["state"] == "failed", "{report}");
    let group = report["failures"].as_array().expect("failures").iter().find(|group| group["step"] == "digest");
    let message = group.expect("the digests")["message"].as_str().expect("a text");
    assert_eq!(message, "not made: it comes after step posts, where something failed");
    assert_eq!(world.held("digest").await.len() as u64, 25 - not_made);
    world.finish().await;
}

#[tokio::test]
async fn what_comes_after_a_failure_that_is_tolerated_is_done() {
    let (came, report, world) = with_failures("continue").await;
    assert!(calls(&report, "posts", "failed") > 2 && report["state"] == "succeeded", "{report}");
    assert_eq!(came.len(), 25);
    world.finish().await;
}

#[tokio::test]
async fn a_failure_that_fails_the_job_gives_up_what_waits() {
    let (_, report, world) = with_failures("fail_job").await;
    assert_eq!(report["state"], "failed");
    assert!(report["reason"].as_str().is_some_and(|reason| reason.starts_with("step posts: ")), "{report}");
    assert!(report["calls_cancelled"].as_u64() > Some(0), "{report}");
    assert_eq!((&report["calls_held"], &report["calls_open"]), (&0.into(), &0.into()));
    world.finish().await;
}

#[tokio::test]
async fn the_same_command_makes_what_was_given_up_once_its_blocker_is_mended() {
    let simulator = start(Faults { error_500: 1.0, max_faults_per_page: 2, ..Faults::default() }).await;
    let world = world(&simulator, &[USERS, POSTS, COMMENTS, DIGEST]);
    world.job(&[]).await.expect(1);
    assert_eq!(world.held("digest").await.len(), 0);
    // Each page fails twice, and each run makes two attempts: every run gets one page further along each chain.
    for _ in 0..4 {
        world.job(&[]).await;
    }
    assert_eq!(world.held("digest").await.len(), 25);
    assert_eq!(simulator.stats().endpoints["digest"].requests, 25);
    world.finish().await;
}

#[tokio::test]
async fn a_condition_leaves_items_out_and_the_report_says_how_many() {
    let simulator = start(Faults::default()).await;
    let some = POSTS.replace("for_each", "when: \"item.id % 2 == 0\", for_each");
    let none =
        r#"{ id: none, call: digest, for_each: users, with: { id: "{{ item.id }}" }, when: item.nothing.like_it }"#;
    let world = world(&simulator, &[USERS, &some, none, DIGEST, COMMENTS]);
    let report = world.job(&[]).await.expect(0).json();
    let step = |id: &str| report["steps"].as_array().expect("steps").iter().find(|step| step["step"] == id).cloned();
    let of = |id: &str, number: &str| step(id).expect("the step")[number].as_u64().expect("a number");
    let even = simulator.ids("users", "").iter().filter(|id| id.parse::<u64>().expect("a number") % 2 == 0).count();
    assert_eq!((of("posts", "fetches"), of("posts", "left_out")), (even as u64, 25 - even as u64));
    assert_eq!((of("none", "fetches"), of("none", "left_out"), of("users", "left_out")), (0, 25, 0));
    // What is left out holds nobody up.
    assert_eq!(of("digest", "items"), 25);
    world.finish().await;
}

/// A list of 100 pages, each of which takes `latency_ms`, and a job within these bounds.
async fn bounded(latency_ms: u64, bounds: &str) -> (Running, World) {
    let list = EndpointSpec::at("/list").items(1_000).offset("offset").size("limit", 10).total_in_body("$.total");
    let list = EndpointSpec { latency: Some(Latency::Fixed(Period::from_ms(latency_ms))), ..list };
    let simulator = Simulator::start(&SimulatorSpec::seeded(1).with("list", list)).await.unwrap();
    let provider = r#"endpoints:
  list: { get: /list, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 10 }, total: "$.total" } }
"#;
    let job = format!("{bounds}\nmax_in_flight: 4\nsteps: [{{ id: list, call: list }}]");
    let world = World::with(&simulator.base_url(), provider, &job);
    (simulator, world)
}

#[tokio::test]
async fn a_job_makes_no_more_calls_than_its_file_allows() {
    let (simulator, world) = bounded(0, "max_calls: 40").await;
    for (run, total) in [(1, 40), (2, 80)] {
        let report = world.job(&[]).await.expect(1);
        assert_eq!(simulator.stats().endpoints["list"].requests, total, "run {run}");
        let reason = report.json()["reason"].as_str().unwrap_or_default().to_owned();
        assert!(reason.starts_with("max_calls: the 40 calls that it may make are made"), "{reason}");
    }
    world.job(&[]).await.expect(0);
    assert_eq!(simulator.stats().endpoints["list"].requests, 100);
    world.finish().await;
}

#[tokio::test]
async fn a_job_ends_when_its_time_is_over() {
    let (simulator, world) = bounded(400, "deadline: 3s").await;
    let report = world.job(&[]).await.expect(1);
    assert_eq!(report.json()["reason"], "deadline: not done within 3s");
    let made = simulator.stats().endpoints["list"].requests;
    assert!(made > 0 && made < 100, "{made} calls");
    assert_eq!(report.number("/calls_succeeded") + report.number("/calls_cancelled"), 100);
    world.finish().await;
}
