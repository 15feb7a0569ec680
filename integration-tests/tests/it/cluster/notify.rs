//! Webhooks from the cluster: told by an executor, and by another if that one dies.

use std::collections::HashSet;
use std::sync::atomic::Ordering::SeqCst;

use super::fixture::Cluster;
use super::jobs::{ENDPOINTS, third_party};
use crate::notify::{Receiver, SECRET};
use crate::world::{JOB, until};

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_job_is_told_under_one_id_though_executors_die() {
    let (receiver, simulator) = (Receiver::start(503, 503).await, third_party(20, 0).await);
    let mut cluster = Cluster::start().await;
    cluster.world.provider(&simulator.base_url(), ENDPOINTS);
    cluster.world.write(JOB, &receiver.job(", on: [succeeded], secret: hook"));
    cluster.cli(&["credentials", "put", "hook"]).input(&cluster.world.write("secret", SECRET)).run().await.expect(0);
    cluster.add("executor").await;
    let job = cluster.submit(JOB).await;
    cluster.ended(&job).await.expect(0);
    while cluster.status(&job).await["notifications"][0]["last"] != "503" {}
    cluster.kill("executor").await;
    receiver.status.store(200, SeqCst);
    until("it is taken", || receiver.told().iter().any(|one| one.status == 200)).await;
    while cluster.status(&job).await["notifications"][0]["state"] != "delivered" {}
    let told = receiver.told();
    assert_eq!(told.iter().map(|one| &one.id).collect::<HashSet<_>>().len(), 1, "{told:?}");
    assert_eq!(told.iter().filter(|one| one.status == 200).count(), 1, "{told:?}");
    assert!(told.iter().all(|one| one.signed), "{told:?}");
    let last = &told.last().expect("one").body;
    assert_eq!((&last["type"], &last["data"]["counts"]["items"]), (&"job.succeeded".into(), &20.into()));
    for kind in ["executor", "gateway"] {
        let said = cluster.said_by(kind);
        assert!(!said.contains("CANARY") && !said.contains(SECRET), "{kind} says a secret");
    }
    simulator.stop().await;
    cluster.finish().await;
}
