//! Services are killed, or asked to end, in the middle of a job, and started again: nothing is lost, nothing is twice.

use std::time::Duration;

use super::fixture::Cluster;
use super::jobs::{requests, third_party, write_job};
use crate::world::{JOB, assert_same, ids};

const KINDS: [&str; 5] = ["executor", "planner", "tracker", "arbiter", "gateway"];
/// Users of the third party: 100 pages of them, and three pages of posts for each.
const USERS: u64 = 1_000;

/// Requests that are needed when nothing goes wrong.
const NEEDED: u64 = USERS / 10 + USERS * 3;

#[tokio::test(flavor = "multi_thread")]
async fn services_that_are_killed_lose_nothing() {
    let (mut cluster, simulator) = (Cluster::start().await, third_party(USERS, 10).await);
    write_job(&cluster, &simulator);
    let job = cluster.submit(JOB).await;
    for kind in KINDS.iter().cycle().take(10) {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.kill(kind).await;
    }
    cluster.are_ready().await;
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!(ended["counts"]["items"], USERS + USERS * 12, "{ended}");
    assert_same(ids(&cluster.items(&job, "users").await), simulator.ids("users", ""));
    let served = requests(&simulator);
    // Each kill may cost what an executor had in hand (64 calls); only two of them hit one.
    assert!(served <= NEEDED + 4 * 64, "{served} requests for {NEEDED} pages");
    simulator.stop().await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_are_asked_to_end_lose_nothing_and_ask_nothing_twice() {
    let (mut cluster, simulator) = (Cluster::start().await, third_party(USERS, 10).await);
    write_job(&cluster, &simulator);
    let job = cluster.submit(JOB).await;
    for kind in KINDS {
        tokio::time::sleep(Duration::from_millis(300)).await;
        cluster.restart(kind).await;
    }
    cluster.are_ready().await;
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!(ended["counts"]["items"], USERS + USERS * 12, "{ended}");
    assert_eq!(requests(&simulator), NEEDED);
    simulator.stop().await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn services_scale_out_while_a_job_runs() {
    let (mut cluster, simulator) = (Cluster::start().await, third_party(USERS, 10).await);
    write_job(&cluster, &simulator);
    let job = cluster.submit(JOB).await;
    for kind in ["executor", "executor", "planner", "tracker", "arbiter"] {
        cluster.add(kind).await;
    }
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!(ended["counts"]["items"], USERS + USERS * 12, "{ended}");
    assert_eq!(requests(&simulator), NEEDED);
    simulator.stop().await;
    cluster.finish().await;
}
