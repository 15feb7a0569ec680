//! Limits of a third party: none of its refusals where the limits are known, and no time wasted.
//!
//! Times are bounded from above by half as much again as the ideal, and a second.

use std::time::{Duration, Instant};

use tidegate_simulator::{
    By, EndpointSpec, EndpointStats, HeaderNames, Latency, LimitHeaders, LimitSpec, LimitStats, Period, Preset,
    ResetAs, Simulator, SimulatorSpec,
};

use crate::world::{OUT, World, assert_same};

/// What a run came to.
struct Ran {
    endpoint: EndpointStats,
    limit: LimitStats,
    took: Duration,
}

impl Ran {
    /// Nothing was refused, and the run took little more than it had to.
    #[track_caller]
    fn assert_ideal(&self, ideal: Duration) {
        assert_eq!(self.limit.refused, 0, "{:?}", self.limit);
        assert!(self.limit.most_arrived <= self.limit.allowed, "{:?}", self.limit);
        self.assert_took(ideal);
    }

    #[track_caller]
    fn assert_took(&self, ideal: Duration) {
        let longest = ideal.mul_f64(1.5) + Duration::from_secs(1);
        assert!(self.took <= longest, "{:?} where {ideal:?} are ideal, {:?}", self.took, self.limit);
    }
}

const LIST: &str = r#"
endpoints:
  list: { get: /list, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 1 }, total: "$.total" } }
"#;

/// Makes `calls` calls under `limit`, which the provider file knows as `declared`.
async fn run(calls: u64, limit: LimitSpec, declared: &str) -> Ran {
    let list = EndpointSpec {
        latency: Some(Latency::Fixed(Period::from_ms(20))),
        ..EndpointSpec::at("/list").items(calls).offset("offset").size("limit", 1).total_in_body("$.total")
    };
    let simulator = Simulator::start(&SimulatorSpec::seeded(1).with("list", list.limit(limit))).await.unwrap();
    let provider = format!("{declared}\n{LIST}");
    let job = "max_in_flight: 16\nsteps: [{ id: list, call: list }]";
    let world = World::with(&simulator.base_url(), &provider, job);
    let report = world.job(&[]).await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    let stats = simulator.stats();
    let (endpoint, limit) = (stats.endpoints["list"].clone(), stats.limits["list.0"].clone());
    assert_eq!((endpoint.ok, endpoint.duplicates), (calls, 0));
    assert_eq!((report.number("/run/requests"), report.number("/run/refused")), (endpoint.requests, endpoint.limited));
    world.finish().await;
    // From the first call to the last: what the program takes to start is no matter of limits.
    let took = endpoint.last_call_ms.unwrap_or(0) - endpoint.first_call_ms.unwrap_or(0);
    Ran { endpoint, limit, took: Duration::from_millis(took) }
}

fn declare(limit: &str) -> String {
    format!("limits:\n  - {{ id: quota, key: [provider], {limit} }}")
}

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_window_from_the_first_call_that_is_declared_is_kept_and_used_up() {
    let limit = LimitSpec::window(40, 1_000).headers(LimitHeaders::NONE);
    // The fourth window begins after three.
    run(150, limit, &declare("window: { calls: 40, per: 1s }")).await.assert_ideal(3 * SECOND);
}

#[tokio::test]
async fn a_sliding_window_that_is_declared_is_kept_and_used_up() {
    let limit = LimitSpec::sliding(40, 1_000).headers(LimitHeaders::NONE);
    run(150, limit, &declare("sliding: { calls: 40, per: 1s }")).await.assert_ideal(3 * SECOND);
}

#[tokio::test]
async fn a_limit_that_nobody_tells_is_learnt_with_few_refusals() {
    let limit = LimitSpec { retry_after: false, ..LimitSpec::bucket(20, 40.0).headers(LimitHeaders::NONE) };
    let ran = run(400, limit, &declare("learn: { start_per_s: 20 }")).await;
    ran.assert_took(SECOND * 380 / 40);
    assert!((1..=40).contains(&ran.limit.refused), "{:?}", ran.limit);
}

#[tokio::test]
async fn a_window_aligned_to_the_clock_that_is_declared_is_kept_and_used_up() {
    let limit = LimitSpec::window(40, 1_000).aligned_to_epoch().headers(LimitHeaders::NONE);
    run(150, limit, &declare("window: { calls: 40, per: 1s, aligned: epoch }")).await.assert_ideal(3 * SECOND);
}

#[tokio::test]
async fn a_bucket_that_is_declared_is_kept_and_used_up() {
    let limit = LimitSpec::bucket(20, 40.0).headers(LimitHeaders::NONE);
    run(120, limit, &declare("bucket: { calls: 20, restore_per_s: 40 }")).await.assert_ideal(SECOND * 100 / 40);
}

#[tokio::test]
async fn calls_at_once_that_are_declared_are_kept_and_used_up() {
    let limit = LimitSpec::concurrency(3);
    let ran = run(120, limit, &declare("concurrency: { calls: 3 }")).await;
    ran.assert_ideal(SECOND * 120 * 20 / 3 / 1_000);
    assert_eq!(ran.endpoint.max_in_flight, 3);
}

/// The ideal for 100 calls under a window of 40 in a second by the clock: the third window ends them.
const TOLD: Duration = SECOND.saturating_mul(2);

/// Whole seconds from now end up to a second later than the window, here two windows.
const ROUNDED: Duration = SECOND.saturating_mul(2);

fn window(headers: LimitHeaders) -> LimitSpec {
    LimitSpec::window(40, 1_000).aligned_to_epoch().headers(headers)
}

#[tokio::test]
async fn a_limit_that_the_usual_headers_tell_is_kept_without_being_declared() {
    let told = |preset| run(100, window(LimitHeaders::Preset(preset)), "");
    let (x_ratelimit, ratelimit) = tokio::join!(told(Preset::XRatelimit), told(Preset::Ratelimit));
    x_ratelimit.assert_ideal(TOLD);
    ratelimit.assert_ideal(TOLD + ROUNDED);
}

#[tokio::test]
async fn a_limit_that_headers_of_its_own_tell_is_kept() {
    let told = async |reset_as: ResetAs, declared: &str| {
        let names = HeaderNames {
            limit: Some("X-Quota".into()),
            remaining: Some("X-Quota-Left".into()),
            reset: Some("X-Quota-Until".into()),
            reset_as,
            ..HeaderNames::default()
        };
        let headers = format!("limit: X-Quota, remaining: X-Quota-Left, reset: X-Quota-Until, reset_as: {declared}");
        let declared = declare(&format!("told: {{}}, headers: {{ {headers} }}"));
        run(100, window(LimitHeaders::Names(names)), &declared).await
    };
    let (epoch_ms, iso8601, delta_s, epoch_s) = tokio::join!(
        told(ResetAs::EpochMs, "epoch_ms"),
        told(ResetAs::Iso8601, "iso8601"),
        told(ResetAs::DeltaS, "delta_s"),
        told(ResetAs::EpochS, "auto"),
    );
    for ran in [epoch_ms, iso8601, epoch_s] {
        ran.assert_ideal(TOLD);
    }
    delta_s.assert_ideal(TOLD + ROUNDED);
}

#[tokio::test]
async fn a_limit_that_is_told_as_used_of_all_is_kept() {
    let names = HeaderNames { used_of_limit: Some("X-Calls".into()), ..HeaderNames::default() };
    let limit = LimitSpec::bucket(40, 40.0).headers(LimitHeaders::Names(names));
    let declared = declare("bucket: { calls: 40, restore_per_s: 40 }, headers: { used: X-Calls }");
    run(120, limit, &declared).await.assert_ideal(2 * SECOND);
}

#[tokio::test]
async fn a_limit_that_is_smaller_than_declared_is_believed_once_it_is_told() {
    let ran = run(
        100,
        window(LimitHeaders::default()),
        &declare("window: { calls: 1000, per: 1s, aligned: epoch }, headers: {}"),
    )
    .await;
    ran.assert_ideal(TOLD);
}

#[tokio::test]
async fn each_of_several_limits_is_kept() {
    let list = EndpointSpec::at("/list").items(90).offset("offset").size("limit", 1).total_in_body("$.total");
    let spec = SimulatorSpec::seeded(1)
        .with("list", list)
        .latency_ms(20)
        .limit(LimitSpec::window(50, 1_000).aligned_to_epoch().headers(LimitHeaders::NONE).named("window"))
        .limit(LimitSpec::bucket(10, 30.0).headers(LimitHeaders::NONE).named("bucket").by(&[By::Ip]))
        .limit(LimitSpec::concurrency(2).named("at_once"));
    let simulator = Simulator::start(&spec).await.unwrap();
    let declared = "limits:
  - { id: window, key: [credential], window: { calls: 50, per: 1s, aligned: epoch } }
  - { id: bucket, key: [egress], bucket: { calls: 10, restore_per_s: 30 } }
  - { id: at_once, key: [provider], concurrency: { calls: 2 } }";
    let world = World::with(&simulator.base_url(), &format!("{declared}\n{LIST}"), "steps: [{ id: list, call: list }]");
    world.job(&[]).await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    let stats = simulator.stats();
    for (id, limit) in &stats.limits {
        assert!(limit.refused == 0 && limit.most_arrived <= limit.allowed, "{id}: {limit:?}");
    }
    let list = &stats.endpoints["list"];
    let took = Duration::from_millis(list.last_call_ms.unwrap() - list.first_call_ms.unwrap());
    let ideal = SECOND * 80 / 30;
    assert!(took <= ideal.mul_f64(1.5) + SECOND, "{took:?} where {ideal:?} are ideal");
    world.finish().await;
}

#[tokio::test]
async fn a_limit_that_nobody_told_of_is_obeyed_once_it_refuses() {
    let limit = LimitSpec::sliding(30, 1_000).headers(LimitHeaders::NONE);
    let ran = run(100, limit, "").await;
    // All that was under way when the limit struck, each time it struck.
    assert!(ran.limit.refused > 0 && ran.limit.refused <= 4 * 16, "{:?}", ran.limit);
    // Retry-After is in whole seconds: up to one more than it takes, for each of three spans.
    ran.assert_took(6 * SECOND);
}

#[tokio::test]
async fn a_wait_that_is_long_is_parked_and_interrupted_at_once() {
    let list = EndpointSpec::at("/list").items(100).offset("offset").size("limit", 1).total_in_body("$.total");
    let limit = LimitSpec::window(10, 600_000).aligned_to_epoch().headers(LimitHeaders::default());
    let simulator = Simulator::start(&SimulatorSpec::seeded(1).with("list", list.limit(limit))).await.unwrap();
    let world = World::with(&simulator.base_url(), LIST, "steps: [{ id: list, call: list }]");
    let process = world.job_line(&[]).spawn();
    crate::world::until("ten calls are made", || simulator.stats().endpoints["list"].ok == 10).await;
    let asked = Instant::now();
    process.signal("INT").await;
    process.wait().await.expect(130);
    assert!(asked.elapsed() < Duration::from_secs(5), "{:?} after the signal", asked.elapsed());
    assert_eq!(simulator.stats().endpoints["list"].limited, 0);
    // The next process knows that nothing is left.
    let process = world.job_line(&[]).spawn();
    tokio::time::sleep(Duration::from_millis(700)).await;
    process.signal("INT").await;
    process.wait().await.expect(130);
    assert_eq!(simulator.stats().endpoints["list"].requests, 10);
    world.finish().await;
}
