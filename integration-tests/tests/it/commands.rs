//! The other commands: what they print, and that they do what they say.

use serde_json::{Value, json};
use tidegate_simulator::{EndpointSpec, LimitSpec, Running, Simulator, SimulatorSpec};

use crate::world::{JOB, OUT, STATE, World, assert_same, ids, items};

const PROVIDER: &str = r#"auth: { bearer: "{{ credential.token }}" }
limits: [{ id: quota, key: [credential], told: {} }]
endpoints:
  users: { get: /users, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 10 }, total: "$.total" } }
  posts: { get: "/users/{id}/posts", items: "$.items[*]", pages: { cursor: cursor, next: "$.next", size: { param: limit, max: 10 } } }
"#;
const STEPS: &str = r#"name: people
credential: alice
steps: [{ id: users, call: users }, { id: posts, call: posts, for_each: users, with: { id: "{{ item.id }}" } }]"#;

fn spec() -> SimulatorSpec {
    let users = EndpointSpec::at("/users").items(25).offset("offset").size("limit", 10).total_in_body("$.total");
    let posts = EndpointSpec::at("/users/{id}/posts").items(12).cursor("cursor", "$.next").size("limit", 10);
    SimulatorSpec::seeded(1).with("users", users.limit(LimitSpec::window(1_000, 60_000))).with("posts", posts)
}

async fn start() -> (Running, World) {
    let simulator = Simulator::start(&spec()).await.unwrap();
    let world = World::with(&simulator.base_url(), PROVIDER, STEPS);
    (simulator, world)
}

const ALICE: (&str, &str) = ("TIDEGATE_CREDENTIAL_ALICE", r#"{"token":"made-up"}"#);

async fn pulled() -> (Running, World) {
    let (simulator, world) = start().await;
    world.job_line(&[]).env(ALICE.0, ALICE.1).run().await.expect(0);
    (simulator, world)
}

#[tokio::test]
async fn items_writes_what_a_state_file_holds() {
    let (simulator, world) = pulled().await;
    let users = simulator.ids("users", "");
    let posts: Vec<_> = users.iter().flat_map(|user| simulator.ids("posts", user)).collect();
    let all = world.run(&["items", STATE]).await.expect(0).stdout;
    assert_same(ids(&items(&all)), [users.clone(), posts.clone()].concat());
    assert_eq!(all, world.read(OUT), "in the same order as the run wrote it");
    let some = world.run(&["items", STATE, "--step", "users"]).await.expect(0).stdout;
    assert_same(ids(&items(&some)), users.clone());
    world.run(&["items", STATE, "-o", "folder/"]).await.expect(0);
    assert_same(world.ids("folder/posts.ndjson"), posts);
    let lines = items(&world.run(&["items", STATE, "--with-origin"]).await.expect(0).stdout);
    assert!(lines.iter().all(|line| line["item"]["id"] != Value::Null && line["step"].is_string()), "{:?}", lines[0]);
    let id = world.run(&["status", STATE, "--json"]).await.expect(0).json()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(world.run(&["items", STATE, "--job", &id]).await.expect(0).stdout, all);
    let none = "job_00000000000000000000000000000000";
    assert!(world.run(&["items", STATE, "--job", none]).await.expect(2).stderr.contains("holds no such job"));
    world.finish().await;
}

#[tokio::test]
async fn status_shows_how_jobs_stand() {
    let (_simulator, world) = pulled().await;
    let said = world.run(&["status", STATE]).await.expect(0).stdout;
    // 3 pages of users, and 2 of posts for each of 25.
    assert!(said.contains("people is done: 325 items by 53 calls"), "{said}");
    let jobs = world.run(&["status", STATE, "--json"]).await.expect(0).json();
    let job = &jobs[0];
    assert_eq!((&job["state"], &job["items"], &job["calls_planned"]), (&json!("succeeded"), &json!(325), &json!(53)));
    assert_eq!((&job["fetches_planned"], &job["fetches_open"]), (&json!(26), &json!(0)));
    let steps = job["steps"].as_array().unwrap();
    assert_eq!(
        (&steps[0]["step"], &steps[1]["step"], &steps[1]["fetches"]),
        (&json!("users"), &json!("posts"), &json!(25))
    );
    world.finish().await;
}

#[tokio::test]
async fn a_provider_file_is_checked() {
    let world = World::with("http://127.0.0.1:1", PROVIDER, STEPS);
    let said = world.run(&["provider", "check", "sim.yaml"]).await.expect(0).stdout;
    assert!(said.contains("sim.yaml is right: provider sim, 2 endpoints, 1 limits, 0 error rules"), "{said}");
    assert!(said.contains("users: GET /users"), "{said}");
    world.provider("http://127.0.0.1:1", &PROVIDER.replace("offset: offset", "ofset: offset"));
    let said = world.run(&["provider", "check", "sim.yaml"]).await.expect(2).stderr;
    assert!(said.contains("sim.yaml:") && said.contains("ofset"), "{said}");
    world.finish().await;
}

#[tokio::test]
async fn one_call_is_tried_and_shown() {
    let (simulator, world) = start().await;
    let tried = ["provider", "try", "sim.yaml", "posts", "--with", "id=7", "--credential", "alice", "--allow-private"];
    let said = world.tidegate(&tried).env(ALICE.0, ALICE.1).run().await.expect(0).stdout;
    for part in ["/users/7/posts?", "limit=10", "200 OK", "10 items", "next page: cursor "] {
        assert!(said.contains(part), "no `{part}` in {said}");
    }
    assert!(!said.contains("made-up"), "{said}");
    let tried = ["provider", "try", "sim.yaml", "users", "--credential", "alice", "--allow-private", "--json"];
    let said = world.tidegate(&tried).env(ALICE.0, ALICE.1).run().await.expect(0).json();
    assert_eq!(
        (&said["answer"]["status"], &said["page"]["items"], &said["page"]["total"]),
        (&json!(200), &json!(10), &json!(25))
    );
    let limit = &said["answer"]["limits"][0];
    assert_eq!((&limit["limit"], limit["said"]["remaining"].as_f64()), (&json!("quota"), Some(999.0)), "{said}");
    assert_eq!(simulator.stats().sum(|endpoint| endpoint.requests), 2);
    assert!(!world.exists(STATE), "trying keeps nothing");
    // Without leave, nothing of this machine is called.
    let tried = world.tidegate(&tried[..6]).env(ALICE.0, ALICE.1).run().await.expect(1);
    assert!(tried.stdout.contains("blocked"), "{}", tried.stdout);
    assert_eq!(simulator.stats().sum(|endpoint| endpoint.requests), 2);
    world.finish().await;
}

#[tokio::test]
async fn schemas_are_printed_as_published() {
    let world = World::new();
    for (command, published) in [
        (&["provider", "schema"][..], include_str!("../../../schemas/provider.schema.json")),
        (&["job-schema"][..], include_str!("../../../schemas/job.schema.json")),
    ] {
        let printed: Value = serde_json::from_str(&world.run(command).await.expect(0).stdout).unwrap();
        let published: Value = serde_json::from_str(published).unwrap();
        assert!(
            printed == published,
            "{command:?} is not what is published in schemas/; write that anew: just schemas"
        );
    }
    world.finish().await;
}

#[tokio::test]
async fn completions_are_printed_for_each_shell() {
    let world = World::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let printed = world.run(&["completions", shell]).await.expect(0).stdout;
        assert!(printed.contains("tidegate") && printed.contains("simulate"), "{shell}: {printed}");
    }
    world.finish().await;
}

#[tokio::test]
async fn a_third_party_is_simulated_and_tells_what_it_served() {
    let world = World::new();
    world.write("simulation.yaml", &serde_json::to_string(&spec()).unwrap());
    let mut simulate = world.tidegate(&["simulate", "simulation.yaml", "--listen", "127.0.0.1:0"]).spawn();
    simulate.says("/_simulator/stats").await;
    let said = simulate.said();
    let base_url =
        said.split(['\n', ' ', ';']).find(|word| word.starts_with("http://")).expect("its address").to_owned();
    world.provider(&base_url, PROVIDER);
    world.write(JOB, &format!("provider: ./sim.yaml\n{STEPS}"));
    world.job_line(&[]).env(ALICE.0, ALICE.1).run().await.expect(0);
    assert_eq!(world.ids(OUT).len(), 325);
    simulate.signal("INT").await;
    let stats: Value = serde_json::from_str(&simulate.wait().await.expect(0).stdout).unwrap();
    assert_eq!((&stats["endpoints"]["users"]["ok"], &stats["endpoints"]["posts"]["ok"]), (&json!(3), &json!(50)));
    world.finish().await;
}

#[tokio::test]
async fn a_provider_file_is_simulated_as_it_is() {
    let world =
        World::with("http://127.0.0.1:1", &PROVIDER.replace(BEARER, ""), &STEPS.replace("credential: alice", ""));
    let mut simulate = world.tidegate(&["simulate", "sim.yaml", "--listen", "127.0.0.1:0"]).spawn();
    simulate.says("/_simulator/stats").await;
    let said = simulate.said();
    let base_url =
        said.split(['\n', ' ', ';']).find(|word| word.starts_with("http://")).expect("its address").to_owned();
    world.provider(&base_url, &PROVIDER.replace(BEARER, ""));
    world.job(&[]).await.expect(0);
    assert!(world.ids(OUT).len() > 100, "{}", world.ids(OUT).len());
    simulate.signal("TERM").await;
    simulate.wait().await.expect(0);
    world.finish().await;
}

const BEARER: &str = r#"auth: { bearer: "{{ credential.token }}" }
"#;
