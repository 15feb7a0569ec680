//! Providers that are down, in the cluster: their work waits, and that of others takes no longer than it does anyway.

use std::time::{Duration, Instant};

use tidegate_simulator::Running;

use super::fixture::Cluster;
use super::jobs::{ENDPOINTS, STEPS, requests, third_party, write_job};
use crate::door::{Door, Doorway};
use crate::process::DEADLINE;
use crate::world::{JOB, assert_same, ids};

const USERS: u64 = 200;
const ITEMS: u64 = USERS + USERS * 12;
/// How much longer than before a job may take beside an outage: twice, and a second.
const SLACK: Duration = Duration::from_secs(1);

/// A provider file `ill.yaml` for what stands behind the door, and a job of it.
fn write_ill(cluster: &Cluster, doorway: &Doorway) {
    let retry = "retry: { base: 20ms, cap: 50ms, budget: 3s }\ntimeouts: { first_byte: 500ms }\n\
        limits: [ { id: health, key: [egress], breaker: { first_probe: 200ms, longest_probe: 1s } } ]\n";
    let (_, endpoints) = ENDPOINTS.split_once("endpoints:").expect("endpoints");
    let base_url = doorway.base_url();
    let provider = format!("tidegate: 1\nprovider: ill\nbase_url: \"{base_url}\"\n{retry}endpoints:{endpoints}");
    cluster.world.write("ill.yaml", &provider);
    cluster.world.write("ill-job.yaml", &format!("provider: ./ill.yaml\n{STEPS}"));
}

/// How long a job of the healthy provider takes.
async fn healthy(cluster: &Cluster, simulator: &Running) -> Duration {
    let began = Instant::now();
    let job = cluster.submit(JOB).await;
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!(ended["counts"]["items"], ITEMS, "{ended}");
    assert_same(ids(&cluster.items(&job, "users").await), simulator.ids("users", ""));
    began.elapsed()
}

#[expect(clippy::print_stderr, reason = "what was measured, for who runs it with --nocapture")]
async fn outage(door: Door) {
    let (cluster, well, ill) = (Cluster::start().await, third_party(USERS, 10).await, third_party(USERS, 10).await);
    let doorway = Doorway::before(&ill.base_url()).await;
    write_job(&cluster, &well);
    write_ill(&cluster, &doorway);
    let usual = healthy(&cluster, &well).await;
    let waiting = cluster.submit("ill-job.yaml").await;
    let reaching = async {
        while requests(&ill) < 100 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(DEADLINE, reaching).await.expect("the job goes on");
    doorway.set(door);
    // Long enough for attempts to be spent many times over.
    tokio::time::sleep(Duration::from_secs(4)).await;
    let beside = healthy(&cluster, &well).await;
    eprintln!("{door:?}: a job of another provider took {usual:?} before the outage, {beside:?} during it");
    assert!(beside < 2 * usual + SLACK, "{door:?}: {usual:?} before, {beside:?} beside an outage");
    let status = cluster.status(&waiting).await;
    assert_eq!(status["state"], "running", "{status}");
    assert_eq!(status["counts"]["calls_failed"], 0, "{status}");
    doorway.set(Door::Open);
    let ended = cluster.ended(&waiting).await.expect(0).json();
    assert_eq!((&ended["counts"]["items"], &ended["counts"]["calls_failed"]), (&ITEMS.into(), &0.into()), "{ended}");
    assert_same(ids(&cluster.items(&waiting, "users").await), ill.ids("users", ""));
    assert_eq!(cluster.items(&waiting, "posts").await.len() as u64, USERS * 12);
    well.stop().await;
    ill.stop().await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_waits_for_a_provider_that_refuses_connections_and_others_go_on() {
    outage(Door::Refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_waits_for_a_provider_that_never_answers_and_others_go_on() {
    outage(Door::Silent).await;
}
