//! Jobs through the cluster, as a client sees them.

use tidegate_simulator::{EndpointSpec, Running, Simulator, SimulatorSpec};

use super::fixture::Cluster;
use crate::world::{JOB, assert_same, ids};

pub(super) const ENDPOINTS: &str = r#"
retry: { attempts: 8, base: 5ms, cap: 20ms }
endpoints:
  users: { get: /users, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 10 }, total: "$.total" } }
  posts: { get: "/users/{id}/posts", items: "$.items[*]", pages: { cursor: cursor, next: "$.next", size: { param: limit, max: 5 } } }
"#;

pub(super) const STEPS: &str = r#"
steps:
  - { id: users, call: users }
  - { id: posts, call: posts, for_each: users, with: { id: "{{ item.id }}" } }
"#;

/// A third party with users and their posts, whose answers take `latency_ms`.
pub(super) async fn third_party(users: u64, latency_ms: u64) -> Running {
    let spec = SimulatorSpec::seeded(7)
        .latency_ms(latency_ms)
        .with(
            "users",
            EndpointSpec::at("/users").items(users).offset("offset").size("limit", 10).total_in_body("$.total"),
        )
        .with("posts", EndpointSpec::at("/users/{id}/posts").items(12).cursor("cursor", "$.next").size("limit", 5));
    Simulator::start(&spec).await.expect("a simulator")
}

/// Requests that a third party has got.
pub(super) fn requests(simulator: &Running) -> u64 {
    simulator.stats().sum(|endpoint| endpoint.requests)
}

/// Writes the files of a job that pulls users and their posts.
pub(super) fn write_job(cluster: &Cluster, simulator: &Running) {
    cluster.world.provider(&simulator.base_url(), ENDPOINTS);
    cluster.world.write(JOB, &format!("provider: ./sim.yaml\n{STEPS}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_goes_through_the_cluster_and_every_item_comes_out_once() {
    let (cluster, simulator) = (Cluster::start().await, third_party(100, 0).await);
    write_job(&cluster, &simulator);
    let job = cluster.submit(JOB).await;
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!(ended["state"], "succeeded", "{ended}");
    assert_eq!(ended["counts"]["items"], 100 + 1_200, "{ended}");
    assert_same(ids(&cluster.items(&job, "users").await), simulator.ids("users", ""));
    let posts = cluster.items(&job, "posts").await;
    assert_eq!(posts.len(), 1_200);
    // Ten pages of users and three pages of posts for each: no call was made twice.
    assert_eq!(requests(&simulator), 10 + 300);
    simulator.stop().await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_of_a_cancelled_job_goes_out() {
    let (cluster, simulator) = (Cluster::start().await, third_party(1_000, 50).await);
    write_job(&cluster, &simulator);
    let job = cluster.submit(JOB).await;
    while requests(&simulator) < 50 {
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    cluster.cli(&["cancel", &job]).run().await.expect(0);
    let ended = cluster.ended(&job).await.expect(1).json();
    assert_eq!(ended["state"], "cancelled", "{ended}");
    // What was on the wire has come back by then; nothing follows.
    let served = requests(&simulator);
    let other = cluster.submit(JOB).await;
    assert_ne!(other, job);
    cluster.cli(&["cancel", &other]).run().await.expect(0);
    cluster.ended(&other).await.expect(1);
    assert_eq!(cluster.status(&job).await["counts"]["calls_open"], 0);
    assert!(served < 1_000, "a cancelled job went on for {served} requests");
    simulator.stop().await;
    cluster.finish().await;
}
