//! A job of very many pages: a bounded part of it is out at any time.

use serde_json::json;
use tidegate_simulator::{EndpointSpec, Simulator, SimulatorSpec};

use crate::world::{OUT, World, assert_same};

const PAGES: u64 = 20_000;
const IN_FLIGHT: u64 = 12;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_of_many_pages_never_has_more_requests_on_the_wire_than_it_may() {
    let list = EndpointSpec::at("/list").items(PAGES).item(json!({ "id": "{{id}}" }));
    let list = list.offset("offset").size("limit", 1).total_in_body("$.total");
    let spec = SimulatorSpec::seeded(1).with("list", list).latency_ms(5);
    let simulator = Simulator::start(&spec).await.unwrap();
    let provider = r#"endpoints:
  list: { get: /list, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 1 }, total: "$.total" } }"#;
    let world = World::with(&simulator.base_url(), provider, "max_in_flight: 12\nsteps: [{ id: list, call: list }]");
    let report = world.job(&["--sync", "normal"]).await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    let stats = simulator.stats();
    assert!((IN_FLIGHT / 2..=IN_FLIGHT).contains(&stats.max_in_flight), "{} in flight", stats.max_in_flight);
    assert_eq!((stats.endpoints["list"].requests, report.number("/run/requests")), (PAGES, PAGES));
    world.finish().await;
}
