//! Stopping a job by a signal, and going on with it: by the same command, anew, or not at all.

use std::time::{Duration, Instant};

use tidegate_ledger::{JobFilter, Ledger as _};
use tidegate_simulator::{EndpointSpec, Latency, Period, Running, Simulator, SimulatorSpec};

use crate::process::Process;
use crate::world::{OUT, STATE, World, assert_same, until};

/// A clean stop takes no longer where calls end soon.
const SOON: Duration = Duration::from_secs(5);

const PROVIDER: &str = r#"endpoints:
  list: { get: /list, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 10 }, total: "$.total" } }
"#;
const JOB: &str = "max_in_flight: 4\nsteps: [{ id: list, call: list }]";

/// A list of 200 pages, each of which takes `latency_ms`.
async fn start(latency_ms: u64) -> (Running, World) {
    let list = EndpointSpec::at("/list").items(2_000).offset("offset").size("limit", 10).total_in_body("$.total");
    let list = EndpointSpec { latency: Some(Latency::Fixed(Period::from_ms(latency_ms))), ..list };
    let simulator = Simulator::start(&SimulatorSpec::seeded(1).with("list", list)).await.unwrap();
    let world = World::with(&simulator.base_url(), PROVIDER, JOB);
    (simulator, world)
}

/// Pages served so far.
fn served(simulator: &Running) -> u64 {
    simulator.stats().endpoints["list"].ok
}

/// Runs the job until some pages were served, then sends it a signal. How it ended, and how long after the signal.
async fn stop(simulator: &Running, world: &World, signal: &str) -> (Option<i32>, Duration) {
    let process = world.job_line(&[]).spawn();
    let before = served(simulator);
    until("some pages are served", || served(simulator) >= before + 20).await;
    let asked = Instant::now();
    process.signal(signal).await;
    let ended = process.wait().await;
    assert!(!world.exists(OUT), "an output that is not whole");
    assert_eq!(world.files(".part"), Vec::<std::path::PathBuf>::new());
    (ended.code, asked.elapsed())
}

#[tokio::test]
async fn signals_stop_a_job_cleanly_and_the_same_command_goes_on() {
    let (simulator, world) = start(15).await;
    for (signal, code) in [("INT", 130), ("TERM", 143), ("INT", 130)] {
        let (ended, took) = stop(&simulator, &world, signal).await;
        assert_eq!(ended, Some(code), "SIG{signal}");
        assert!(took < SOON, "{took:?} after SIG{signal}");
        world.recount().await;
    }
    let stored = served(&simulator);
    let report = world.job(&[]).await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    // What was on the wire was waited for and stored, so nothing at all is asked for again.
    assert_eq!(simulator.stats().endpoints["list"].duplicates, 0);
    assert_eq!(report.number("/run/requests"), 200 - stored);
    world.finish().await;
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once() {
    let (simulator, world) = start(60_000).await;
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let before = simulator.stats().endpoints["list"].requests;
        let mut process = world.job_line(&["--log", "info"]).spawn();
        until("a call is on the wire", || simulator.stats().endpoints["list"].requests > before).await;
        process.signal(signal).await;
        process.says("a second signal ends the process at once").await;
        let asked = Instant::now();
        process.signal(signal).await;
        process.wait().await.expect(code);
        assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
        assert!(!world.exists(OUT));
    }
    world.finish().await;
}

#[tokio::test]
async fn calls_that_hang_hold_a_stop_up_for_a_bounded_time() {
    let (simulator, world) = start(60_000).await;
    let process = world.job_line(&[]).spawn();
    until("a call is on the wire", || simulator.stats().in_flight > 0).await;
    let asked = Instant::now();
    process.signal("INT").await;
    process.wait().await.expect(130);
    assert!(asked.elapsed() < Duration::from_secs(25), "{:?}", asked.elapsed());
    world.finish().await;
}

#[tokio::test]
async fn a_finished_job_asks_for_nothing_and_writes_its_items_again() {
    let (simulator, world) = start(0).await;
    world.job(&[]).await.expect(0);
    let whole = world.read(OUT);
    std::fs::remove_file(world.path(OUT)).unwrap();
    let report = world.job(&[]).await.expect(0);
    assert_eq!(report.number("/run/requests"), 0);
    assert_eq!(simulator.stats().endpoints["list"].requests, 200);
    assert_eq!(world.read(OUT), whole);
    let said = world.run(&["run", "job.yaml", "--allow-private"]).await.expect(0).stderr;
    assert!(said.contains("is done already, and nothing is asked for"), "{said}");
    world.finish().await;
}

#[tokio::test]
async fn a_job_starts_anew_when_told_to() {
    let (simulator, world) = start(0).await;
    let first = world.job(&[]).await.expect(0).json();
    let report = world.job(&["--fresh"]).await.expect(0);
    assert_ne!(report.json()["id"], first["id"]);
    assert_eq!(report.number("/run/requests"), 200);
    assert_eq!(simulator.stats().endpoints["list"].duplicates, 200);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    assert_eq!(jobs(&world).await, 2);
    world.finish().await;
}

/// Jobs in the state file.
async fn jobs(world: &World) -> usize {
    let ledger = world.ledger().await;
    let jobs = ledger.jobs(&JobFilter::newest(10)).await.unwrap().len();
    ledger.close().await;
    jobs
}

#[tokio::test]
async fn a_changed_job_is_another_job_in_the_same_file() {
    let (simulator, world) = start(0).await;
    world.job(&[]).await.expect(0);
    world.write("job.yaml", "provider: ./sim.yaml\nsteps: [{ id: list, call: list, max_pages: 5 }]");
    let report = world.job(&[]).await.expect(0);
    assert_eq!(report.number("/run/requests"), 5);
    assert_eq!(world.ids(OUT).len(), 50, "the items of the changed job alone");
    assert_eq!(jobs(&world).await, 2);
    // The one before is still known by its file.
    world.write("job.yaml", &format!("provider: ./sim.yaml\n{JOB}"));
    assert_eq!(world.job(&[]).await.expect(0).number("/run/requests"), 0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    assert_eq!(jobs(&world).await, 2);
    world.finish().await;
}

#[tokio::test]
async fn a_state_file_that_another_process_works_on_is_refused() {
    let (simulator, world) = start(30).await;
    let process: Process = world.job_line(&[]).spawn();
    until("a page is served", || served(&simulator) > 0).await;
    let refused = world.run(&["run", "job.yaml", "-o", "other.ndjson", "--allow-private"]).await.expect(3);
    assert!(refused.stderr.contains("is in use by another tidegate"), "{}", refused.stderr);
    assert!(world.files("other.ndjson").is_empty() && world.files("other.ndjson.part").is_empty());
    // Looking is allowed.
    world.run(&["status", STATE]).await.expect(0);
    process.wait().await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    assert_eq!(simulator.stats().endpoints["list"].duplicates, 0);
    world.finish().await;
}
