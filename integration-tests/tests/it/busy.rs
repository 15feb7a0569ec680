//! A provider that slows down instead of refusing: kept busy, and not made to wait for.

use std::time::Duration;

use tidegate_simulator::{Busy, EndpointSpec, Period, Quirks, Simulator, SimulatorSpec};

use crate::world::{OUT, World, assert_same};

const CALLS: u64 = 400;
const BUSY: Busy = Busy { workers: 8, takes: Period(Duration::from_millis(200)) };

#[tokio::test]
async fn a_provider_that_slows_down_is_kept_busy_and_not_pushed_over() {
    let list = EndpointSpec::at("/list").items(CALLS).offset("offset").size("limit", 1).total_in_body("$.total");
    let quirks = Quirks { slow_when_busy: Some(BUSY), ..Quirks::default() };
    let spec = SimulatorSpec { quirks, ..SimulatorSpec::seeded(1).with("list", list) };
    let simulator = Simulator::start(&spec).await.unwrap();
    let provider = r#"
limits: [{ id: slots, key: [provider], concurrency: { learn: {} } }]
endpoints:
  list: { get: /list, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 1 }, total: "$.total" } }
"#;
    let job = "max_in_flight: 64\nsteps: [{ id: list, call: list }]";
    let world = World::with(&simulator.base_url(), provider, job);
    world.job(&[]).await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    world.finish().await;
    let stats = simulator.stats().endpoints["list"].clone();
    assert_eq!((stats.ok, stats.duplicates), (CALLS, 0));
    // It begins at two. Without a limit all 64 are there at once. What this machine adds to the time of calls looks like a few
    // workers more.
    assert!((8..=24).contains(&stats.max_in_flight), "{stats:?}");
    let took_ms = stats.last_call_ms.unwrap() - stats.first_call_ms.unwrap();
    let ideal_ms = CALLS * 200 / u64::from(BUSY.workers);
    assert!(took_ms <= 2 * ideal_ms, "{took_ms} ms where {ideal_ms} ms are ideal, {stats:?}");
}
