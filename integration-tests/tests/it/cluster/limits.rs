//! Limits that several executors share over Redis, as a third party sees them, and as people do while jobs run.

use std::time::Duration;

use serde_json::Value;
use tidegate_simulator::{Busy, By, EndpointSpec, LimitHeaders, LimitSpec, Period, Quirks, Simulator, SimulatorSpec};

use super::fixture::Cluster;
use super::jobs::requests;
use crate::world::{JOB, assert_same, ids, until};

const LIST: &str = r#"
endpoints:
  list: { get: /list, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 1 }, total: "$.total" } }
"#;

fn list(calls: u64) -> EndpointSpec {
    EndpointSpec::at("/list").items(calls).offset("offset").size("limit", 1).total_in_body("$.total")
}

/// Two executors, each with an address of its own.
async fn two_executors() -> Cluster {
    let one = [("TIDEGATE_EGRESS", "one"), ("TIDEGATE_EGRESS_VIA_ONE", "127.0.0.2")];
    let mut cluster = Cluster::start_with(&one).await;
    cluster = cluster.set("TIDEGATE_EGRESS", "two").set("TIDEGATE_EGRESS_VIA_TWO", "127.0.0.3");
    cluster.add("executor").await;
    cluster.are_ready().await;
    cluster
}

/// What the gateway shows of budgets, and of what people want of them.
async fn shown(cluster: &Cluster, query: &str) -> Value {
    let answer = cluster.ask("gateway", "GET", &format!("/v1/limits{query}"), "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    serde_json::from_str(&answer.body).expect("JSON")
}

#[tokio::test(flavor = "multi_thread")]
async fn executors_share_what_is_learnt_of_a_provider_that_slows_down() {
    const CALLS: u64 = 400;
    const BUSY: Busy = Busy { workers: 8, takes: Period(Duration::from_millis(200)) };
    let cluster = two_executors().await;
    // Never full: it only tells callers apart.
    let callers = LimitSpec::window(1_000_000, 3_600_000).by(&[By::Ip]).headers(LimitHeaders::NONE);
    let quirks = Quirks { slow_when_busy: Some(BUSY), ..Quirks::default() };
    let spec = SimulatorSpec { quirks, ..SimulatorSpec::seeded(1).with("list", list(CALLS).limit(callers)) };
    let simulator = Simulator::start(&spec).await.expect("a simulator");
    let limits = format!("limits: [{{ id: slots, key: [provider], concurrency: {{ learn: {{}} }} }}]\n{LIST}");
    cluster.world.provider(&simulator.base_url(), &limits);
    cluster.world.write(JOB, "provider: ./sim.yaml\nmax_in_flight: 64\nsteps: [{ id: list, call: list }]");
    let job = cluster.submit(JOB).await;
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!(ended["counts"]["calls_failed"], 0, "{ended}");
    assert_same(ids(&cluster.items(&job, "list").await), simulator.ids("list", ""));

    let (stats, learnt) = (simulator.stats(), shown(&cluster, "?provider=sim&id=slots").await);
    let (list, callers) = (&stats.endpoints["list"], &stats.limits["list.0"]);
    assert_eq!((list.ok, list.duplicates, callers.callers), (CALLS, 0, 2), "{stats:?}");
    // Together, not each. Without a limit all 64 are there at once.
    assert!((8..=24).contains(&list.max_in_flight), "{stats:?}");
    let took_ms = list.last_call_ms.expect("calls") - list.first_call_ms.expect("calls");
    let ideal_ms = CALLS * 200 / u64::from(BUSY.workers);
    // What this machine takes besides, with all that runs on it, holds slots, too.
    assert!(took_ms <= 6 * ideal_ms, "{took_ms} ms where {ideal_ms} ms are ideal, {stats:?}");
    assert!(callers.most_taken <= 3 * CALLS / 4, "one executor had nearly all slots: {callers:?}");
    assert_eq!(learnt["budgets"].as_array().map(Vec::len), Some(1), "{learnt}");
    let slots = learnt["budgets"][0]["learnt_slots"]["slots"].as_u64();
    assert!(slots.is_some_and(|slots| (4..=24).contains(&slots)), "{learnt}");
    simulator.stop().await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_shown_while_they_are_used_and_what_is_shown_is_within_them() {
    const CALLS: u64 = 600;
    let cluster = two_executors().await;
    let limit = LimitSpec::window(100, 1_000).headers(LimitHeaders::NONE);
    let simulator =
        Simulator::start(&SimulatorSpec::seeded(1).latency_ms(5).with("list", list(CALLS).limit(limit))).await;
    let simulator = simulator.expect("a simulator");
    let limits = format!("limits: [{{ id: second, key: [provider], window: {{ calls: 100, per: 1s }} }}]\n{LIST}");
    cluster.world.provider(&simulator.base_url(), &limits);
    cluster.world.write(JOB, "provider: ./sim.yaml\nmax_in_flight: 64\nsteps: [{ id: list, call: list }]");
    let job = cluster.submit(JOB).await;
    until("it runs", || requests(&simulator) >= 10).await;
    // One after the other, from four clients, all the while.
    let looking = async || {
        let (mut looks, mut most) = (0, 0);
        while requests(&simulator) < CALLS {
            let shown = shown(&cluster, "?id=second").await;
            let used = shown["budgets"][0]["used"].as_u64().unwrap_or_default();
            assert!(used <= 100, "{shown}");
            (looks, most) = (looks + 1, most.max(used));
        }
        (looks, most)
    };
    let (one, two, three, four) = tokio::join!(looking(), looking(), looking(), looking());
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!(ended["counts"]["items"], CALLS, "{ended}");
    let looks = [one, two, three, four];
    assert!(looks.iter().all(|(looks, _)| *looks >= 2) && looks.iter().any(|(_, most)| *most > 10), "{looks:?}");
    let limit = simulator.stats().limits["list.0"].clone();
    assert!(limit.refused == 0 && limit.most_arrived <= 100, "{limit:?}");
    simulator.stop().await;
    cluster.finish().await;
}
