//! Sealing keys are rotated while jobs go on: the old one may go afterwards.

use crate::client::fixture::{Served, third_party};
use crate::cluster::fixture::Cluster;
use crate::parked::put;
use crate::world::JOB;

const TOKEN: &str = "canary-sealed-3f60";
const AUTH: &str = "auth: { bearer: '{{ credential.token }}' }";
const STEPS: &str = "provider: ./sim.yaml\ncredential: alice\nsteps: [{ id: users, call: users }]\n";
const ROTATED: &str = "1 credentials were sealed anew; all are sealed by key new\n";
const NOTHING_LEFT: &str = "0 credentials were sealed anew; all are sealed by key new\n";

#[tokio::test]
async fn an_old_key_may_go_after_credentials_were_sealed_anew_in_a_state_file() {
    let (served, _simulator) = Served::before(&third_party(5, 0).token(TOKEN), AUTH).await;
    served.world.write(JOB, STEPS);
    put(&served, "alice", TOKEN).await;
    let old = served.world.read("serve.sealing-key");
    let new = served.says(&["keys", "new-sealing-key", "--id", "new"]).await;
    served.world.write("serve.sealing-key", &format!("{new}\n{old}"));
    let served = served.kill().await;
    let rotate = ["credentials", "rotate", "--state", "serve.db"];
    for said in [ROTATED, NOTHING_LEFT] {
        assert_eq!(served.run(&rotate).await.expect(0).stdout, said);
    }
    served.world.write("serve.sealing-key", &new);
    let served = served.kill().await;
    served.run(&["submit", JOB, "--wait"]).await.expect(0);
    served.world.write("serve.sealing-key", &old);
    let lost = served.run(&rotate).await.expect(70).stderr;
    assert!(lost.contains("the sealing key new is not among those set"), "{lost}");
    served.world.write("serve.sealing-key", &new);
    served.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_key_may_go_after_credentials_were_sealed_anew_in_a_cluster() {
    let mut cluster = Cluster::start().await;
    let simulator = tidegate_simulator::Simulator::start(&third_party(5, 0).token(TOKEN)).await.unwrap();
    let users = "endpoints: { users: { get: /users, items: '$.items[*]' } }";
    cluster.world.provider(&simulator.base_url(), &format!("{AUTH}\n{users}\n"));
    cluster.world.write(JOB, STEPS);
    put(&cluster, "alice", TOKEN).await;
    let old = cluster.secrets()[0].to_owned();
    let new = cluster.cli(&["keys", "new-sealing-key", "--id", "new"]).run().await.expect(0).stdout.trim().to_owned();
    for said in [ROTATED, NOTHING_LEFT] {
        let rotated = cluster.cli(&["credentials", "rotate"]).env("TIDEGATE_SEALING_KEY", &format!("{new},{old}"));
        assert_eq!(rotated.run().await.expect(0).stdout, said);
    }
    cluster = cluster.set("TIDEGATE_SEALING_KEY", &new);
    for kind in ["executor", "gateway"] {
        cluster.restart(kind).await;
    }
    cluster.are_ready().await;
    let job = cluster.submit(JOB).await;
    assert_eq!(cluster.ended(&job).await.json()["state"], "succeeded");
    cluster.finish().await;
}
