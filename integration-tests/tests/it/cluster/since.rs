//! Runs that take only what is new, through the cluster: services are killed, and still each item comes once.

use std::time::Duration;

use serde_json::json;

use super::fixture::Cluster;
use crate::since::{Growing, NESTED, PROVIDER, names, posts};
use crate::world::{JOB, assert_same, until};

const USERS: [&str; 3] = ["/users/1/posts", "/users/2/posts", "/users/3/posts"];

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_extends_another_brings_what_is_new_once_though_services_are_killed() {
    let mut cluster = Cluster::start().await;
    let party = Growing::start(&[("/users", 3), (USERS[0], 20), (USERS[1], 10), (USERS[2], 5)]).await;
    cluster.world.provider(&party.address, PROVIDER);
    cluster.world.write(JOB, &format!("provider: ./sim.yaml\n{NESTED}"));
    let extend = async |cluster: &Cluster| {
        cluster.cli(&["submit", JOB, "--extend"]).run().await.expect(0).stdout.trim().to_owned()
    };
    let job = extend(&cluster).await;
    cluster.ended(&job).await.expect(0);
    let mut all = names(&cluster.items(&job, "posts").await);
    assert_same(all.clone(), posts([20, 10, 5]));

    for (path, items) in USERS.iter().zip([90, 60, 5]) {
        party.set(path, items);
    }
    party.with(|lists| lists.latency = Duration::from_millis(20));
    party.asked();
    let job = extend(&cluster).await;
    for (kind, pages) in [("executor", 4), ("tracker", 8), ("planner", 12)] {
        until("pages were asked for", || party.with(|lists| lists.asked.len() >= pages)).await;
        cluster.kill(kind).await;
    }
    cluster.are_ready().await;
    cluster.ended(&job).await.expect(0);
    let new = names(&cluster.items(&job, "posts").await);
    assert_eq!(new.len(), 70 + 50, "only what is new: {new:?}");
    all.extend(new);
    assert_same(all.clone(), posts([90, 60, 5]));

    party.asked();
    let job = extend(&cluster).await;
    cluster.ended(&job).await.expect(0);
    assert_eq!(cluster.items(&job, "posts").await, Vec::<serde_json::Value>::new());
    assert_eq!(party.asked().len(), 1 + 3, "the users, and a look at each one's posts");
    let listed = cluster.cli(&["since", "list", "--json"]).run().await.expect(0).json();
    let mut seen: Vec<_> = listed["marks"].as_array().unwrap().iter().map(|mark| mark["value"].clone()).collect();
    seen.sort_by_key(ToString::to_string);
    assert_eq!(seen, [json!("5"), json!("60"), json!("90")]);
    cluster.finish().await;
}
