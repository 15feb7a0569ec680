//! `tidegate plan` says beforehand what `tidegate run` then takes.

use tidegate_simulator::{EndpointSpec, Running, Simulator, SimulatorSpec};

use crate::world::{JOB, World};

const PLAN: [&str; 4] = ["plan", JOB, "--json", "--allow-private=127.0.0.0/8"];

const PROVIDER: &str = r#"
limits: [{ id: token, window: { calls: 5, per: 1m } }, { id: paging, when: "call.page > 1", window: { calls: 100, per: 1s } }]
endpoints:
  list: { get: /list, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 100 }, total: "$.total" } }
  more: { get: /more, items: "$.items[*]", pages: { page: page, size: { param: limit, max: 50 }, total: "$.total" } }
"#;
const STEPS: &str = "steps: [{ id: list, call: list }, { id: more, call: more }]";

async fn simulator() -> Running {
    let list = |path, items| EndpointSpec::at(path).items(items).total_in_body("$.total");
    let spec = SimulatorSpec::seeded(1)
        .with("list", list("/list", 1_050).offset("offset").size("limit", 100))
        .with("more", list("/more", 120).page_number("page", 1).size("limit", 50));
    Simulator::start(&spec).await.unwrap()
}

fn requests(simulator: &Running) -> u64 {
    simulator.stats().endpoints.values().map(|endpoint| endpoint.requests).sum()
}

#[tokio::test]
async fn a_plan_after_a_look_at_first_pages_names_the_calls_that_the_run_makes() {
    let simulator = simulator().await;
    let unlimited = PROVIDER.replace("calls: 5, per: 1m", "calls: 5000, per: 1m");
    let world = World::with(&simulator.base_url(), &unlimited, STEPS);
    let planned = world.run(&[&PLAN[..], &["--probe"]].concat()).await.expect(0).json();
    assert_eq!(planned["calls"], serde_json::json!({ "n": 14, "trust": "exact" }), "{planned}");
    assert_eq!(planned["probes"], 2);
    assert_eq!(requests(&simulator), 2, "a look is one call for each root step");
    let report = world.job(&[]).await.expect(0);
    assert_eq!(report.number("/calls_planned"), 14);
    assert_eq!(requests(&simulator), 2 + 14);
    world.finish().await;
}

#[tokio::test]
async fn a_plan_makes_no_call_unless_asked_to() {
    let simulator = simulator().await;
    let world = World::with(&simulator.base_url(), PROVIDER, STEPS);
    let assumed = ["--assume", "list=1050", "--assume", "more.pages=3"];
    let planned = world.run(&[&PLAN[..], &assumed].concat()).await.expect(0).json();
    assert_eq!(planned["calls"], serde_json::json!({ "n": 14, "trust": "estimated" }), "{planned}");
    // 14 calls are three windows of five.
    assert_eq!((&planned["time_ms"], &planned["bound_by"]), (&120_000.into(), &"token".into()));
    assert_eq!(planned["steps"][0]["units"]["paging"]["n"], 10);
    let text = world.run(&["plan", JOB]).await.expect(0).stdout;
    assert!(text.contains("length not known; --probe or --assume list=ITEMS"), "{text}");
    assert!(text.contains("no call was made"), "{text}");
    assert_eq!(requests(&simulator), 0);
    let refused = world.run(&["plan", JOB, "--assume", "lost=3"]).await.expect(2).stderr;
    assert!(refused.contains("--assume: the job has no step lost; expected list or more"), "{refused}");
    world.finish().await;
}

#[tokio::test]
async fn a_first_call_that_fails_is_told_and_leaves_the_rest_of_the_plan() {
    let simulator = simulator().await;
    let world = World::with(&simulator.base_url(), &PROVIDER.replace("/more", "/nowhere"), STEPS);
    let failed = world.run(&[&PLAN[..], &["--probe"]].concat()).await.expect(1);
    assert!(failed.stderr.contains("the first call of step more failed: not_found"), "{}", failed.stderr);
    let planned = failed.json();
    assert_eq!((&planned["calls"]["trust"], &planned["steps"][0]["calls"]["n"]), (&"at_least".into(), &11.into()));
    world.finish().await;
}
