//! What goes wrong on the way: everything arrives exactly once, and no page is asked for more often than its faults.

use serde_json::json;
use tidegate_simulator::{EndpointSpec, Faults, Latency, Period, Running, Simulator, SimulatorSpec, Spread};

use crate::tap::Tap;
use crate::world::{OUT, World, assert_same};

/// Retries without long pauses, short deadlines, and what an error in a 200 looks like.
const PROVIDER: &str = r#"
retry: { attempts: 6, base: 10ms, cap: 40ms }
timeouts: { first_byte: 700ms, idle: 700ms }
errors:
  - { json: { "$.error.code": temporary }, class: transient }
endpoints:
  grid: { get: /grid, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 10 }, total: "$.total" } }
  chain: { get: /chain, items: "$.items[*]", pages: { cursor: cursor, next: "$.next", size: { param: limit, max: 10 } } }
"#;

const JOB: &str = "max_in_flight: 16\nsteps: [{ id: grid, call: grid }, { id: chain, call: chain }]";

/// A list with random access and a chain, both of which meet these faults.
async fn start(seed: u64, faults: Faults) -> Running {
    let list = |path, items| EndpointSpec::at(path).items(items).faults(faults.clone());
    let spec = SimulatorSpec::seeded(seed)
        .with("grid", list("/grid", 1_000).offset("offset").size("limit", 10).total_in_body("$.total"))
        .with("chain", list("/chain", 200).cursor("cursor", "$.next").size("limit", 10));
    Simulator::start(&spec).await.unwrap()
}

/// Pulls everything through the faults, of which there are some of each of these kinds.
async fn pull(seed: u64, faults: Faults, kinds: &[&str]) {
    let simulator = start(seed, faults).await;
    let tap = Tap::before(&simulator.base_url()).await;
    let world = World::with(&tap.base_url(), PROVIDER, JOB);
    let report = world.job(&[]).await.expect(0);
    assert_same(world.ids(OUT), [simulator.ids("grid", ""), simulator.ids("chain", "")].concat());
    let stats = simulator.stats();
    for (name, endpoint) in &stats.endpoints {
        assert_eq!((endpoint.duplicates, endpoint.ok), (0, endpoint.pages), "{name}: a page came twice: {endpoint:?}");
        let faults: u64 = endpoint.errors.values().sum();
        assert_eq!(endpoint.requests, endpoint.pages + faults, "{name}: {endpoint:?}");
    }
    for kind in kinds {
        assert!(stats.sum(|endpoint| endpoint.errors_of(kind)) > 0, "no {kind}: {stats:?}");
    }
    let most = tap.times().into_iter().max_by_key(|(_, times)| *times);
    assert!(most.as_ref().is_some_and(|(_, times)| *times <= 1 + 2), "{most:?}");
    assert_eq!(report.number("/run/requests"), stats.sum(|endpoint| endpoint.requests));
    assert_eq!(report.number("/calls_failed"), 0);
    world.finish().await;
}

#[tokio::test]
async fn errors_that_pass_are_got_past() {
    pull(1, Faults { error_500: 0.4, ..Faults::default() }, &["error_500"]).await;
}

#[tokio::test]
async fn a_pause_that_is_asked_for_is_made() {
    let faults = Faults { error_503: 0.05, max_faults_per_page: 1, ..Faults::default() };
    let began = std::time::Instant::now();
    pull(2, faults, &["error_503"]).await;
    assert!(began.elapsed().as_secs() >= 1, "a Retry-After of a second was not waited for");
}

#[tokio::test]
async fn connections_that_break_are_got_past() {
    let faults = Faults { reset: 0.15, reset_body: 0.15, lying_length: 0.15, ..Faults::default() };
    pull(3, faults, &["reset", "reset_body", "lying_length"]).await;
}

#[tokio::test]
async fn answers_of_status_200_that_are_no_pages_are_not_taken_for_pages() {
    let faults = Faults { html: 0.1, empty_200: 0.1, error_in_200: 0.1, truncated: 0.1, ..Faults::default() };
    pull(4, faults, &["html", "empty_200", "error_in_200", "truncated"]).await;
}

#[tokio::test]
async fn servers_that_fall_silent_are_not_waited_for() {
    let faults = Faults { hang: 0.04, stalled_body: 0.04, max_faults_per_page: 1, ..Faults::default() };
    pull(5, faults, &["hang", "stalled_body"]).await;
}

#[tokio::test]
async fn slow_bodies_are_read_to_their_end() {
    let faults = Faults { slow_body: 0.1, slow_body_takes: Period::from_ms(900), ..Faults::default() };
    let simulator = start(6, faults).await;
    let world = World::with(&simulator.base_url(), PROVIDER, JOB);
    let report = world.job(&[]).await.expect(0);
    assert_same(world.ids(OUT), [simulator.ids("grid", ""), simulator.ids("chain", "")].concat());
    let stats = simulator.stats();
    assert!(stats.sum(|endpoint| endpoint.errors_of("slow_body")) > 3, "{stats:?}");
    assert_eq!(report.number("/run/requests"), stats.sum(|endpoint| endpoint.pages));
    world.finish().await;
}

#[tokio::test]
async fn everything_at_once_and_slowly_is_got_past() {
    let faults = Faults {
        error_500: 0.08,
        html: 0.04,
        empty_200: 0.04,
        error_in_200: 0.04,
        truncated: 0.04,
        lying_length: 0.04,
        reset: 0.04,
        reset_body: 0.04,
        hang: 0.01,
        ..Faults::default()
    };
    let spread = Spread { p50: Period::from_ms(5), p99: Period::from_ms(60) };
    let list = |path, items| EndpointSpec {
        latency: Some(Latency::Spread(spread.clone())),
        compress: Some(true),
        short_pages: Some(0.2),
        ..EndpointSpec::at(path).items(items).faults(faults.clone())
    };
    let spec = SimulatorSpec::seeded(8)
        .with("grid", list("/grid", 2_000).offset("offset").size("limit", 10).total_in_body("$.total"))
        .with("chain", list("/chain", 300).cursor("cursor", "$.next").size("limit", 10));
    let simulator = Simulator::start(&spec).await.unwrap();
    let world = World::with(&simulator.base_url(), PROVIDER, JOB);
    world.job(&[]).await.expect(0);
    assert_same(world.ids(OUT), [simulator.ids("grid", ""), simulator.ids("chain", "")].concat());
    assert_eq!(simulator.stats().sum(|endpoint| endpoint.duplicates), 0);
    world.finish().await;
}

#[tokio::test]
async fn an_error_in_a_200_that_no_rule_knows_is_suspect_and_never_a_blank_page() {
    let faults = Faults { error_in_200: 1.0, max_faults_per_page: u32::MAX, ..Faults::default() };
    let simulator = start(10, faults).await;
    let (before, errors) = PROVIDER.split_once("errors:").expect("there are error rules");
    let provider = format!(
        "{}endpoints:{}",
        before.replace("attempts: 6", "attempts: 3"),
        errors.split_once("endpoints:").unwrap().1
    );
    let world = World::with(&simulator.base_url(), &provider, "steps: [{ id: chain, call: chain }]");
    let report = world.job(&[]).await.expect(1);
    let group = &report.json()["failures"][0];
    assert_eq!(
        (&group["class"], &group["status"], &group["calls"]),
        (&json!("suspect"), &json!(200), &json!(1)),
        "{group}"
    );
    assert!(group["message"].as_str().is_some_and(|message| message.contains("$.items")), "{group}");
    assert_eq!(simulator.stats().endpoints["chain"].requests, 3);
    world.finish().await;
}

#[tokio::test]
async fn pages_that_always_fail_are_asked_for_again_by_the_same_command_and_nothing_else_is() {
    let simulator = start(9, Faults::default()).await;
    let tap = Tap::before(&simulator.base_url()).await;
    tap.break_where(|target| {
        target.contains("/grid") && ["=150", "=450", "=990"].iter().any(|end| target.contains(end))
    });
    let world = World::with(&tap.base_url(), &PROVIDER.replace("attempts: 6", "attempts: 3"), JOB);
    let report = world.job(&[]).await.expect(1);
    let json = report.json();
    assert_eq!((&json["state"], report.number("/calls_failed")), (&json!("failed"), 3));
    assert_eq!(json["failures"].as_array().map(Vec::len), Some(1), "one group of those that look alike: {json}");
    let group = &json["failures"][0];
    assert_eq!((&group["step"], &group["class"], &group["status"]), (&json!("grid"), &json!("transient"), &json!(500)));
    assert_eq!((&group["calls"], &group["message"]), (&json!(3), &json!("The disk is on fire")));
    assert_eq!(report.number("/run/requests"), 100 + 20 + 3 * 2);
    assert_eq!(world.ids(OUT).len(), 1_200 - 30, "what came is written");
    let said = world.run(&["status", ".tidegate/job.db"]).await.expect(0).stdout;
    assert!(said.contains("3 failed: grid transient 500: The disk is on fire"), "{said}");
    // Still broken: nothing else is asked for.
    let report = world.job(&[]).await.expect(1);
    assert_eq!((report.number("/run/requests"), report.number("/calls_failed")), (9, 3));
    // Mended: what had failed, once.
    tap.mend();
    let report = world.job(&[]).await.expect(0);
    assert_eq!((report.number("/run/requests"), report.number("/calls_failed")), (3, 0));
    assert_same(world.ids(OUT), [simulator.ids("grid", ""), simulator.ids("chain", "")].concat());
    assert_eq!(simulator.stats().sum(|endpoint| endpoint.duplicates), 0);
    world.finish().await;
}
