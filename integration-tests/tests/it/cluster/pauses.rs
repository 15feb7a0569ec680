//! Pausing a job of the cluster: nothing goes out until it is resumed, whoever is started anew meanwhile.

use std::time::{Duration, Instant};

use super::fixture::Cluster;
use super::jobs::{requests, third_party, write_job};
use crate::process::DEADLINE;
use crate::world::{JOB, assert_same, ids, until};

/// Users of the third party: 30 pages of them, and three pages of posts for each.
const USERS: u64 = 300;

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_job_asks_for_nothing_until_it_is_resumed_though_services_are_started_anew() {
    let (mut cluster, simulator) = (Cluster::start().await, third_party(USERS, 30).await);
    write_job(&cluster, &simulator);
    let job = cluster.submit(JOB).await;
    until("it runs", || requests(&simulator) >= 40).await;
    cluster.cli(&["pause", &job]).run().await.expect(0);
    // What was out ends, or comes back unmade.
    let asked = Instant::now();
    while cluster.status(&job).await["counts"]["calls_released"] != 0 {
        assert!(asked.elapsed() < DEADLINE, "calls of a paused job stay out");
    }
    let served = requests(&simulator);
    let explained = cluster.cli(&["explain", &job]).run().await.expect(0).stdout;
    assert!(explained.contains("paused"), "{explained}");
    for kind in ["executor", "tracker", "planner"] {
        cluster.kill(kind).await;
    }
    cluster.are_ready().await;

    // Another job is not held by it, and takes time in which the paused one could ask for something.
    let other = cluster.submit(JOB).await;
    cluster.ended(&other).await.expect(0);
    let needed = USERS / 10 + USERS * 3;
    assert_eq!(requests(&simulator), served + needed, "the paused job asked for something");

    cluster.cli(&["resume", &job]).run().await.expect(0);
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!(ended["counts"]["items"], USERS + USERS * 12, "{ended}");
    assert_same(ids(&cluster.items(&job, "users").await), simulator.ids("users", ""));
    assert_eq!(requests(&simulator), 2 * needed, "no page is asked for twice");
    simulator.stop().await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_cancelled_while_it_is_paused_ends() {
    let (cluster, simulator) = (Cluster::start().await, third_party(USERS, 30).await);
    write_job(&cluster, &simulator);
    let job = cluster.submit(JOB).await;
    until("it runs", || requests(&simulator) >= 10).await;
    cluster.cli(&["pause", &job]).run().await.expect(0);
    cluster.cli(&["cancel", &job]).run().await.expect(0);
    let ended = cluster.ended(&job).await.expect(1).json();
    assert_eq!((&ended["state"], &ended["counts"]["calls_open"]), (&"cancelled".into(), &0.into()));
    tokio::time::timeout(Duration::from_secs(20), cluster.cli(&["resume", &job]).run()).await.expect("is answered");
    assert_eq!(cluster.status(&job).await["state"], "cancelled");
    simulator.stop().await;
    cluster.finish().await;
}
