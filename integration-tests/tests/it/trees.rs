//! Steps below steps: a fetch for each item of the step above, and what a failure of one means for the others.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use tidegate_simulator::{EndpointSpec, Faults, Lies, Running, Simulator, SimulatorSpec, TotalLie};

use crate::process::Finished;
use crate::world::{OUT, World, assert_same, ids};

/// Retries that end soon.
const PROVIDER: &str = r#"
retry: { attempts: 2, base: 5ms, cap: 10ms }
endpoints:
  users: { get: /users, items: "$.items[*]", key: "$.id", pages: { offset: offset, size: { param: limit, max: 10 }, total: "$.total" } }
  posts: { get: "/users/{id}/posts", items: "$.items[*]", key: "$.id", pages: { cursor: cursor, next: "$.next", size: { param: limit, max: 5 } } }
  comments: { get: "/posts/{id}/comments", items: "$.items[*]", key: "$.id", pages: { page: page, size: { param: limit, max: 5 }, total: "$.total" } }
  owner: { get: "/owners/{id}" }
"#;

const USERS: &str = "{ id: users, call: users }";
const POSTS: &str = r#"{ id: posts, call: posts, for_each: users, with: { id: "{{ item.id }}" } }"#;
const COMMENTS: &str = r#"{ id: comments, call: comments, for_each: posts, with: { id: "{{ item.id }}" } }"#;

fn users() -> EndpointSpec {
    EndpointSpec::at("/users").items(25).offset("offset").size("limit", 10).total_in_body("$.total")
}

fn posts() -> EndpointSpec {
    EndpointSpec::at("/users/{id}/posts").items_between(0, 12).cursor("cursor", "$.next").size("limit", 5)
}

fn comments() -> EndpointSpec {
    let comments = EndpointSpec::at("/posts/{id}/comments").items_between(0, 7).page_number("page", 1);
    comments.size("limit", 5).total_in_body("$.total")
}

/// A server of users, their posts and the comments on these.
async fn start(posts: EndpointSpec, comments: EndpointSpec) -> Running {
    let spec = SimulatorSpec::seeded(7).with("users", users()).with("posts", posts).with("comments", comments);
    Simulator::start(&spec).await.unwrap()
}

fn world(simulator: &Running, steps: &[&str]) -> World {
    World::with(&simulator.base_url(), PROVIDER, &format!("max_in_flight: 8\nsteps: [{}]", steps.join(", ")))
}

/// Ids of what an endpoint holds for each of these parents.
fn below(simulator: &Running, endpoint: &str, parents: &[String]) -> Vec<String> {
    parents.iter().flat_map(|parent| simulator.ids(endpoint, parent)).collect()
}

/// A step with `on_failure`.
fn on_failure(step: &str, what: &str) -> String {
    step.replace("for_each", &format!("on_failure: {what}, for_each"))
}

/// Number of a step's report.
fn of_step(report: &Finished, step: &str, number: &str) -> u64 {
    let json = report.json();
    let steps = json["steps"].as_array().expect("steps");
    let found = steps.iter().find(|found| found["step"] == step).unwrap_or_else(|| panic!("no step {step} in {json}"));
    found[number].as_u64().unwrap_or_else(|| panic!("no {number} in {found}"))
}

#[tokio::test]
async fn a_tree_of_three_levels_comes_whole_with_a_fetch_for_each_item() {
    let simulator = start(posts(), comments()).await;
    let world = world(&simulator, &[USERS, POSTS, COMMENTS]);
    let report = world.job(&[]).await.expect(0);
    let users = simulator.ids("users", "");
    let posts = below(&simulator, "posts", &users);
    let comments = below(&simulator, "comments", &posts);
    assert!(posts.len() > 100 && comments.len() > 300, "{} posts, {} comments", posts.len(), comments.len());
    assert_eq!(of_step(&report, "posts", "fetches"), users.len() as u64);
    assert_eq!(of_step(&report, "comments", "fetches"), posts.len() as u64);
    assert_eq!(of_step(&report, "comments", "items"), comments.len() as u64);
    assert_eq!(simulator.stats().sum(|endpoint| endpoint.duplicates), 0);
    assert_same(world.ids(OUT), [users, posts, comments].concat());
    world.finish().await;
}

#[tokio::test]
async fn a_folder_as_output_gets_a_file_for_each_step() {
    let simulator = start(posts(), comments()).await;
    let world = world(&simulator, &[USERS, POSTS]);
    let args = ["run", "job.yaml", "-o", "pulled/", "--quiet", "--allow-private"];
    world.run(&args).await.expect(0);
    let users = simulator.ids("users", "");
    assert_same(world.ids("pulled/users.ndjson"), users.clone());
    assert_same(world.ids("pulled/posts.ndjson"), below(&simulator, "posts", &users));
    assert_eq!(world.files(".ndjson").len(), 2, "{:?}", world.files(""));
    assert_eq!(world.files(".part").len(), 0);
    world.finish().await;
}

#[tokio::test]
async fn only_the_items_of_wanted_steps_are_written_and_each_tells_its_origin() {
    let simulator = start(posts(), comments()).await;
    let world = world(&simulator, &[USERS, POSTS]);
    let report = world.job(&["--step", "posts", "--with-origin"]).await.expect(0);
    let users = simulator.ids("users", "");
    let mut of_user: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for line in world.items(OUT) {
        assert_eq!(line["step"], "posts");
        let id = line["params"]["id"].as_u64().unwrap_or_else(|| panic!("{line}"));
        of_user.entry(id.to_string()).or_default().extend(ids(&[line["item"].clone()]));
    }
    for user in &users {
        assert_same(of_user.remove(user).unwrap_or_default(), simulator.ids("posts", user));
    }
    assert_eq!(of_user, BTreeMap::new());
    assert_eq!(report.number("/run/written"), below(&simulator, "posts", &users).len() as u64);
    world.finish().await;
}

#[tokio::test]
async fn items_go_to_standard_output_and_the_report_elsewhere() {
    let simulator = start(posts(), comments()).await;
    let world = world(&simulator, &[USERS, POSTS]);
    let args = ["run", "job.yaml", "-o", "-", "--json", "--quiet", "--allow-private"];
    let report = world.run(&args).await.expect(0);
    let users = simulator.ids("users", "");
    let all = [users.clone(), below(&simulator, "posts", &users)].concat();
    assert_eq!(report.number("/run/written"), all.len() as u64);
    assert_same(ids(&crate::world::items(&report.stdout)), all);
    world.finish().await;
}

#[tokio::test]
async fn one_child_that_many_items_name_is_fetched_once() {
    let users = users().item(json!({ "id": "{{id}}", "owner": 7 }));
    let owner = EndpointSpec::at("/owners/{id}").items(1).items_at("$");
    let simulator =
        Simulator::start(&SimulatorSpec::seeded(7).with("users", users).with("owner", owner)).await.unwrap();
    let owners = r#"{ id: owners, call: owner, for_each: users, with: { id: "{{ item.owner }}" } }"#;
    let world = world(&simulator, &[USERS, owners]);
    let report = world.job(&["--step", "owners"]).await.expect(0);
    assert_eq!(world.ids(OUT), ["7"]);
    assert_eq!(simulator.stats().endpoints["owner"].requests, 1);
    assert_eq!(of_step(&report, "owners", "fetches"), 1);
    world.finish().await;
}

/// Each attempt at a page fails with this chance, however many were made.
fn failing(share: f64) -> Faults {
    Faults { error_500: share, max_faults_per_page: u32::MAX, ..Faults::default() }
}

/// Users that posts came from, by the origin of each.
fn users_of(lines: &[Value]) -> BTreeSet<String> {
    lines.iter().filter(|line| line["step"] == "posts").map(|line| line["params"]["id"].to_string()).collect()
}

#[tokio::test]
async fn failures_that_are_to_be_continued_after_leave_the_job_successful() {
    let posts = EndpointSpec { paging: None, ..posts() }.faults(failing(0.6));
    let simulator = start(posts, comments()).await;
    let world = world(&simulator, &[USERS, &on_failure(POSTS, "continue")]);
    let single =
        PROVIDER.replacen(r#", pages: { cursor: cursor, next: "$.next", size: { param: limit, max: 5 } }"#, "", 1);
    world.provider(&simulator.base_url(), &single);
    let report = world.job(&["--with-origin"]).await.expect(0);
    let failed = report.number("/calls_failed");
    assert!(failed > 2 && report.number("/calls_tolerated") == failed, "{}", report.json());
    assert_eq!(report.json()["state"], "succeeded");
    let lines = world.items(OUT);
    let had: BTreeSet<_> = users_of(&lines);
    let lacking = simulator.ids("users", "").into_iter().filter(|user| !had.contains(user));
    let lacking = lacking.filter(|user| !simulator.ids("posts", user).is_empty()).count() as u64;
    assert!(lacking <= failed && had.len() > 3, "{lacking} users without posts, {failed} failed");
    let posts: Vec<_> = lines.iter().filter(|line| line["step"] == "posts").map(|line| line["item"].clone()).collect();
    let whole = had.iter().flat_map(|user| simulator.ids("posts", user)).collect();
    assert_same(ids(&posts), whole);
    world.finish().await;
}

#[tokio::test]
async fn what_would_follow_from_a_failure_is_left_out_and_the_rest_goes_on() {
    let simulator = start(posts().faults(failing(0.5)), comments()).await;
    let world = world(&simulator, &[USERS, POSTS, COMMENTS]);
    let report = world.job(&[]).await.expect(1);
    assert_eq!(report.json()["state"], "failed");
    let failed = report.number("/calls_failed");
    assert!(failed > 2 && report.number("/calls_tolerated") == 0, "{}", report.json());
    assert_eq!(of_step(&report, "users", "items"), 25);
    // All comments on the posts that came, and on no others.
    let lines = world.held("posts").await;
    let posts = ids(&lines);
    assert_same(ids(&world.held("comments").await), below(&simulator, "comments", &posts));
    let group = &report.json()["failures"][0];
    assert_eq!(
        (&group["step"], &group["class"], &group["status"]),
        (&json!("posts"), &json!("transient"), &json!(500))
    );
    assert_eq!((group["calls"].as_u64(), &group["message"]), (Some(failed), &json!("Something went wrong.")));
    world.finish().await;
}

#[tokio::test]
async fn a_failure_that_fails_the_job_ends_it_at_once() {
    let posts = posts().faults(failing(1.0));
    let simulator = start(posts, comments()).await;
    let world = world(&simulator, &[USERS, &on_failure(POSTS, "fail_job")]);
    let report = world.job(&["--max-in-flight", "2"]).await.expect(1);
    let json = report.json();
    assert_eq!(json["state"], "failed");
    assert!(json["reason"].as_str().is_some_and(|reason| reason.starts_with("step posts: ")), "{json}");
    assert!(report.number("/calls_cancelled") > 10, "{json}");
    world.finish().await;
}

#[tokio::test]
async fn items_that_lack_a_parameter_of_the_next_step_fail_by_themselves() {
    // Each of the three pages holds a user without an id beside the others, and the total counts those.
    let shape = json!({ "guests": [{ "name": "nobody" }] });
    let lies = Lies { total: Some(TotalLie::By(3)), ..Lies::default() };
    let mut users = users().faults(Faults { lies, ..Faults::default() });
    users.shape.get_or_insert_default().body = shape.as_object().cloned();
    let spec = SimulatorSpec::seeded(7).with("users", users).with("posts", posts());
    let simulator = Simulator::start(&spec).await.unwrap();
    let world = world(&simulator, &[USERS, &on_failure(POSTS, "continue")]);
    let whole = PROVIDER.replacen("$.items[*]", "$['items','guests'][*]", 1).replacen(r#", key: "$.id""#, "", 1);
    world.provider(&simulator.base_url(), &whole);
    let report = world.job(&["--step", "posts"]).await.expect(0);
    assert_same(world.ids(OUT), below(&simulator, "posts", &simulator.ids("users", "")));
    assert_eq!((report.number("/calls_failed"), report.number("/calls_tolerated")), (3, 3), "{}", report.json());
    let group = &report.json()["failures"][0];
    assert_eq!((&group["step"], &group["class"], &group["calls"]), (&json!("posts"), &json!("invalid"), &json!(3)));
    assert!(group["message"].as_str().is_some_and(|message| message.contains("id")), "{group}");
    assert_eq!(simulator.stats().unmatched, 0);
    world.finish().await;
}

#[tokio::test]
async fn children_that_are_not_there_are_skipped() {
    let simulator = start(posts().faults(Faults { not_found: 0.4, ..Faults::default() }), comments()).await;
    let world = world(&simulator, &[USERS, POSTS]);
    let report = world.job(&[]).await.expect(0);
    let users = simulator.ids("users", "");
    assert_same(world.ids(OUT), [users.clone(), below(&simulator, "posts", &users)].concat());
    let missing = simulator.stats().endpoints["posts"].errors_of("not_found");
    assert!(missing > 3 && report.number("/calls_skipped") == missing, "{}", report.json());
    assert_eq!(report.number("/calls_failed"), 0);
    world.finish().await;
}
