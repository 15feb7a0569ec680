//! The servers below a cluster fail, and the cluster goes on by itself: nothing is lost, nothing is twice.

use std::time::Duration;

use tidegate_simulator::{EndpointSpec, LimitHeaders, LimitSpec, Running, Simulator, SimulatorSpec};

use super::fixture::Cluster;
use super::jobs::{requests, third_party, write_job};
use super::servers::{Addresses, Postgres, Rabbit, Redis};
use crate::world::{JOB, assert_same, ids};

/// Users of the third party: 60 pages of them, and three pages of posts for each.
const USERS: u64 = 600;
const ITEMS: u64 = USERS + USERS * 12;
/// Requests that are needed when nothing goes wrong.
const NEEDED: u64 = USERS / 10 + USERS * 3;
/// Requests after which a job is in its middle: its executors, planner and tracker all have their hands full.
const MIDDLE: u64 = 300;
/// Most that a lost connection to the broker may make twice: what an executor has in hand.
const IN_HAND: u64 = 64;

/// Waits until the third party has had so many requests.
async fn has_had(simulator: &Running, calls: u64) {
    let reaching = async {
        while requests(simulator) < calls {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(crate::process::DEADLINE, reaching).await.expect("the job goes on");
}

/// Calls in a window of two seconds.
const LIMITED: u64 = 50;

/// One attempt only: a call for which one is spent fails.
const LIMITED_LIST: &str = r#"
retry: { attempts: 1 }
limits:
  - { id: quota, key: [provider], window: { calls: 50, per: 2s } }
endpoints:
  list: { get: /list, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 1 }, total: "$.total" } }
"#;

/// A job of `LIMITED_LIST` on its way through a cluster whose Redis is about to fail.
struct Limited {
    cluster: Cluster,
    simulator: Running,
    job: String,
}

impl Limited {
    /// Submits a job of `items` calls.
    async fn begin(mut cluster: Cluster, items: u64) -> Self {
        cluster.may_fail_requests();
        let limit = LimitSpec::window(LIMITED, 2_000).headers(LimitHeaders::NONE);
        let list = EndpointSpec::at("/list").items(items).offset("offset").size("limit", 1).total_in_body("$.total");
        let simulator = Simulator::start(&SimulatorSpec::seeded(7).latency_ms(5).with("list", list.limit(limit))).await;
        let simulator = simulator.expect("a simulator");
        cluster.world.provider(&simulator.base_url(), LIMITED_LIST);
        cluster.world.write(JOB, "provider: ./sim.yaml\nsteps: [{ id: list, call: list }]");
        let job = cluster.submit(JOB).await;
        Self { cluster, simulator, job }
    }

    /// The job ends with all of its items, once each, and no window of the third party took more than it allows: the bound
    /// that `docs/limits-store.md` states, for the arbiter that granted lives on, and tells what Redis forgot.
    async fn ends_whole(self) {
        let Self { cluster, simulator, job } = self;
        let ended = cluster.ended(&job).await.expect(0).json();
        let all = simulator.ids("list", "");
        assert_eq!(ended["counts"]["items"], all.len(), "{ended}");
        assert_same(ids(&cluster.items(&job, "list").await), all);
        let limit = simulator.stats().limits["list.0"].clone();
        assert!(limit.most_arrived <= LIMITED, "{limit:?}");
        simulator.stop().await;
        cluster.finish().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_calls_wait_and_a_redis_that_forgot_all_costs_one_burst() {
    let mut redis = Redis::start(None);
    let limited = Limited::begin(Cluster::over(Addresses::usual().redis(&redis)).await.started().await, 400).await;
    let Limited { cluster, simulator, .. } = &limited;
    // It forgets in the middle of a window, and is back at once.
    has_had(simulator, LIMITED + LIMITED / 2).await;
    redis.kill().await;
    redis.run();
    // It is away for long.
    has_had(simulator, 4 * LIMITED).await;
    redis.kill().await;
    // What had leave to go has gone by then.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let before = requests(simulator);
    cluster.is_ready("arbiter", false).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(requests(simulator), before, "calls went out unasked");
    redis.run();
    cluster.is_ready("arbiter", true).await;
    limited.ends_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_shares_are_granted_a_job_goes_on_without_redis_and_spends_no_attempt() {
    let mut redis = Redis::start(None);
    let cluster = Cluster::over(Addresses::usual().redis(&redis)).await;
    // There is one arbiter.
    let cluster = cluster.set("TIDEGATE_REDIS_AWAY", "share").set("TIDEGATE_REDIS_AWAY_SHARE", "100");
    let limited = Limited::begin(cluster.started().await, 500).await;
    has_had(&limited.simulator, 2 * LIMITED).await;
    redis.kill().await;
    // What it had granted is less than a window's calls.
    has_had(&limited.simulator, requests(&limited.simulator) + 2 * LIMITED).await;
    redis.run();
    limited.ends_whole().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_crashes_and_comes_back_loses_nothing_and_costs_no_request() {
    let mut postgres = Postgres::start("secret").await;
    let mut cluster = Cluster::over(Addresses::usual().postgres(&postgres)).await.started().await;
    cluster.may_fail_requests();
    let simulator = third_party(USERS, 10).await;
    write_job(&cluster, &simulator);
    let job = cluster.submit(JOB).await;
    has_had(&simulator, MIDDLE).await;
    postgres.kill().await;
    for kind in ["gateway", "tracker", "executor"] {
        cluster.is_ready(kind, false).await;
    }
    let answer = cluster.ask("gateway", "GET", &format!("/v1/jobs/{job}"), "").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert!(answer.head.contains("content-type: application/problem+json"), "{answer:?}");
    assert_eq!(cluster.ask("gateway", "GET", "/livez", "").await.status, 200);
    tokio::time::sleep(Duration::from_secs(3)).await;
    postgres.run();
    cluster.are_ready().await;
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!(ended["counts"]["items"], ITEMS, "{ended}");
    assert_same(ids(&cluster.items(&job, "users").await), simulator.ids("users", ""));
    assert_eq!(requests(&simulator), NEEDED);
    simulator.stop().await;
    cluster.finish().await;
}

/// Queues of the delay ladder that hold something, with how much.
async fn parked(cluster: &Cluster) -> Vec<(String, usize)> {
    let listed = cluster.ctl(&["list_queues", "-p", cluster.vhost(), "name", "messages", "--no-table-headers"]).await;
    let queue = |line: &str| {
        let (name, count) = line.split_once('\t')?;
        let count = count.trim().parse().ok().filter(|count| *count > 0)?;
        name.contains(".delay.").then(|| (name.to_owned(), count))
    };
    listed.lines().filter_map(queue).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_ladder_keeps_for_itself_is_released_again() {
    let cluster = Cluster::over(Addresses::usual()).await.set("TIDEGATE_LEASE_S", "5").started().await;
    let limit = LimitSpec::window(20, 10_000).headers(LimitHeaders::NONE);
    let list = EndpointSpec::at("/list").items(60).offset("offset").size("limit", 1).total_in_body("$.total");
    let simulator = Simulator::start(&SimulatorSpec::seeded(7).with("list", list.limit(limit))).await;
    let simulator = simulator.expect("a simulator");
    cluster.world.provider(&simulator.base_url(), &LIMITED_LIST.replace("calls: 50, per: 2s", "calls: 20, per: 10s"));
    cluster.world.write(JOB, "provider: ./sim.yaml\nsteps: [{ id: list, call: list }]");
    let job = cluster.submit(JOB).await;
    let parking = async {
        loop {
            let parked = parked(&cluster).await;
            if parked.iter().map(|(_, count)| count).sum::<usize>() >= 20 {
                return parked;
            }
        }
    };
    let kept = tokio::time::timeout(crate::process::DEADLINE, parking).await.expect("calls are parked");
    for (queue, _) in &kept {
        cluster.ctl(&["delete_queue", "-p", cluster.vhost(), queue]).await;
    }
    cluster.says("tracker", "released again").await;
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!((&ended["counts"]["items"], &ended["counts"]["calls_failed"]), (&60.into(), &0.into()), "{ended}");
    assert_same(ids(&cluster.items(&job, "list").await), simulator.ids("list", ""));
    simulator.stop().await;
    cluster.finish().await;
}

/// Runs a job over a broker that is killed in its middle and comes back after three seconds, with or without its data.
/// Returns the requests that it took.
async fn with_a_broker_that_crashes(is_wiped: bool) -> u64 {
    let mut rabbit = Rabbit::start();
    let cluster = Cluster::over(Addresses::usual().rabbitmq(&rabbit)).await.set("TIDEGATE_LEASE_S", "15");
    let mut cluster = cluster.started().await;
    cluster.may_fail_requests();
    let simulator = third_party(USERS, 10).await;
    write_job(&cluster, &simulator);
    let job = cluster.submit(JOB).await;
    has_had(&simulator, MIDDLE).await;
    rabbit.kill().await;
    for kind in ["gateway", "planner", "tracker", "executor"] {
        cluster.is_ready(kind, false).await;
    }
    // What needs no broker is answered.
    assert_eq!(cluster.ask("gateway", "GET", &format!("/v1/jobs/{job}"), "").await.status, 200);
    tokio::time::sleep(Duration::from_secs(3)).await;
    if is_wiped {
        rabbit.wipe();
    }
    rabbit.run();
    cluster.are_ready().await;
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!(ended["counts"]["items"], ITEMS, "{ended}");
    assert_same(ids(&cluster.items(&job, "users").await), simulator.ids("users", ""));
    let served = requests(&simulator);
    simulator.stop().await;
    cluster.finish().await;
    served
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_crashes_and_comes_back_loses_nothing() {
    let served = with_a_broker_that_crashes(false).await;
    assert!(served <= NEEDED + 2 * IN_HAND, "{served} requests for {NEEDED} pages");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_broker_lost_with_its_disk_is_released_again() {
    let served = with_a_broker_that_crashes(true).await;
    // All that was out goes out again; what was stored by then is not asked for.
    assert!(served <= NEEDED + 2 * 256, "{served} requests for {NEEDED} pages");
}
