//! Providers that are down: their work waits, spends no attempts, and goes on by itself when they are back. Nothing is lost, and
//! nothing comes twice.

use std::time::Duration;

use serde_json::json;
use tidegate_simulator::{EndpointSpec, Running, Simulator, SimulatorSpec};

use crate::door::{Door, Doorway};
use crate::impostor::Certificates;
use crate::names::Names;
use crate::process::{Cli, DEADLINE};
use crate::world::{OUT, World, assert_same};

const ITEMS: u64 = 1_000;
/// Attempts and a time budget that an outage of [`OUTAGE`] would spend many times over, and a breaker in a hurry.
const PROVIDER: &str = r#"
retry: { attempts: 6, base: 20ms, cap: 50ms, budget: 2s }
timeouts: { first_byte: 400ms, idle: 400ms }
limits: [ { id: health, key: [egress], breaker: { failures: 5, first_probe: 100ms, longest_probe: 400ms } } ]
endpoints:
  grid: { get: /grid, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 10 }, total: "$.total" } }
  chain: { get: /chain, items: "$.items[*]", pages: { cursor: cursor, next: "$.next", size: { param: limit, max: 10 } } }
"#;
const JOB: &str = "max_in_flight: 8\nsteps: [{ id: grid, call: grid }, { id: chain, call: chain }]";
/// Longer than attempts last, many times.
const OUTAGE: Duration = Duration::from_secs(3);

async fn third_party() -> Running {
    let list = |path| EndpointSpec::at(path).items(ITEMS);
    let spec = SimulatorSpec::seeded(7)
        .latency_ms(20)
        .with("grid", list("/grid").offset("offset").size("limit", 10).total_in_body("$.total"))
        .with("chain", list("/chain").cursor("cursor", "$.next").size("limit", 10));
    Simulator::start(&spec).await.unwrap()
}

fn requests(simulator: &Running) -> u64 {
    simulator.stats().sum(|endpoint| endpoint.requests)
}

async fn reaches(simulator: &Running, count: u64) {
    let reaching = async {
        while requests(simulator) < count {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, reaching).await.expect("the job goes on");
}

/// Runs the job, during which `trouble` happens at the door, and holds it to having lost nothing.
async fn through(trouble: impl AsyncFnOnce(&Doorway, &Running)) {
    let simulator = third_party().await;
    let doorway = Doorway::before(&simulator.base_url()).await;
    let base_url = doorway.base_url();
    through_door((&doorway, &simulator), &base_url, |_, cli| cli, async || trouble(&doorway, &simulator).await).await;
}

/// The same through a door of the caller's, to which `base_url` leads, by a command line that `prepared` has changed.
async fn through_door(
    (doorway, simulator): (&Doorway, &Running),
    base_url: &str,
    prepared: impl FnOnce(&World, Cli) -> Cli,
    trouble: impl AsyncFnOnce(),
) {
    let world = World::with(base_url, PROVIDER, JOB);
    let (report, ()) = tokio::join!(prepared(&world, world.job_line(&[])).run(), async {
        reaches(simulator, 30).await;
        trouble().await;
        doorway.set(Door::Open);
    });
    let report = report.expect(0);
    assert_same(world.ids(OUT), [simulator.ids("grid", ""), simulator.ids("chain", "")].concat());
    assert_eq!(report.number("/calls_failed"), 0);
    assert_eq!(report.number("/calls_succeeded"), 2 * ITEMS / 10);
    world.finish().await;
}

/// The provider is away in this way for [`OUTAGE`].
async fn away(door: Door) {
    through(async |doorway, simulator| outage(doorway, simulator, door).await).await;
}

async fn outage(doorway: &Doorway, simulator: &Running, door: Door) {
    doorway.set(door);
    let came = doorway.came();
    tokio::time::sleep(OUTAGE / 2).await;
    let before = requests(simulator);
    tokio::time::sleep(OUTAGE / 2).await;
    assert_eq!(requests(simulator), before, "nobody got through");
    // One probe at a time: what an outage costs the provider is bounded by its length.
    assert!(doorway.came() - came < 60, "{door:?}: {} connections in an outage", doorway.came() - came);
}

#[tokio::test]
async fn a_provider_that_refuses_connections_is_waited_for() {
    away(Door::Refused).await;
}

#[tokio::test]
async fn a_provider_that_takes_connections_and_never_answers_is_waited_for() {
    away(Door::Silent).await;
}

#[tokio::test]
async fn a_provider_that_cuts_connections_is_waited_for() {
    away(Door::Cut).await;
}

#[tokio::test]
async fn a_provider_that_is_unavailable_behind_its_gateway_is_waited_for() {
    away(Door::Unavailable).await;
}

#[tokio::test]
async fn a_provider_that_comes_and_goes_is_pulled_from_while_it_is_there() {
    through(async |doorway, _| {
        for door in [Door::Refused, Door::Silent, Door::Cut, Door::Unavailable, Door::Refused, Door::Cut] {
            doorway.set(door);
            tokio::time::sleep(Duration::from_millis(600)).await;
            doorway.set(Door::Open);
            tokio::time::sleep(Duration::from_millis(150)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_provider_that_gets_slower_until_it_is_dead_is_waited_for() {
    through(async |doorway, _| {
        for slow_ms in [50, 200, 390, 1_000, 60_000] {
            doorway.set(Door::Slow(Duration::from_millis(slow_ms)));
            tokio::time::sleep(Duration::from_millis(700)).await;
        }
        doorway.set(Door::Refused);
        tokio::time::sleep(Duration::from_secs(1)).await;
    })
    .await;
}

#[tokio::test]
async fn a_provider_whose_name_is_not_known_for_a_while_is_waited_for() {
    let (simulator, names) = (third_party().await, Names::new());
    let doorway = Doorway::before(&simulator.base_url()).await;
    let base_url = format!("http://{}:{}", Names::HOST, doorway.port());
    through_door(
        (&doorway, &simulator),
        &base_url,
        |_, cli| cli.seeing(&names),
        async || {
            names.set_known(false);
            // Connections that are there would need no name.
            outage(&doorway, &simulator, Door::Open).await;
            names.set_known(true);
        },
    )
    .await;
}

/// TLS that breaks off, then a certificate that is not trusted.
#[tokio::test]
async fn a_provider_that_cannot_prove_that_it_is_itself_for_a_while_is_waited_for() {
    for door in [Door::Babble, Door::Impostor] {
        let (simulator, certificates) = (third_party().await, Certificates::new());
        let doorway = Doorway::before_over_tls(&simulator.base_url(), &certificates).await;
        let base_url = doorway.base_url().replace("http://", "https://");
        let trusting = |world: &World, cli| certificates.trusted_by(world, cli);
        let trouble = async || outage(&doorway, &simulator, door).await;
        through_door((&doorway, &simulator), &base_url, trusting, trouble).await;
    }
}

#[tokio::test]
async fn names_that_do_not_resolve_and_broken_tls_are_outages_too() {
    let simulator = third_party().await;
    let doorway = Doorway::before(&simulator.base_url()).await;
    doorway.set(Door::Babble);
    let tls = doorway.base_url().replace("http://", "https://");
    for (base_url, said) in [("http://no-such-host.invalid", "no-such-host.invalid"), (tls.as_str(), "tls")] {
        let provider = PROVIDER.replace("attempts: 6", "attempts: 1");
        let world = World::with(base_url, &provider, JOB);
        let report = world.job(&[]).await.expect(1).json();
        let group = &report["failures"][0];
        assert_eq!(group["class"], json!("provider_down"), "{group}");
        assert!(group["message"].as_str().is_some_and(|message| message.contains(said)), "{group}");
        world.finish().await;
    }
}

/// Killed in an outage, it goes on waiting for a provider that the job knows.
#[tokio::test]
async fn an_outage_outlives_the_process() {
    let simulator = third_party().await;
    let doorway = Doorway::before(&simulator.base_url()).await;
    let world = World::with(&doorway.base_url(), PROVIDER, JOB);
    let process = world.job_line(&[]).spawn();
    reaches(&simulator, 60).await;
    doorway.set(Door::Refused);
    tokio::time::sleep(Duration::from_millis(500)).await;
    process.kill().await;
    let (report, ()) = tokio::join!(world.job(&[]), async {
        tokio::time::sleep(OUTAGE).await;
        doorway.set(Door::Open);
    });
    assert_eq!(report.expect(0).number("/calls_failed"), 0);
    assert_same(world.ids(OUT), [simulator.ids("grid", ""), simulator.ids("chain", "")].concat());
    world.finish().await;
}
