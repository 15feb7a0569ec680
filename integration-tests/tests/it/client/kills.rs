//! The gateway is killed in the middle of a job, while others watch and read.

use std::time::Duration;

use super::fixture::{Served, everything, third_party};
use crate::world::{assert_same, ids, items, until};

#[tokio::test]
async fn every_item_comes_once_though_the_gateway_is_killed() {
    let (mut served, simulator) = Served::before(&third_party(300, 20), "").await;
    let job = served.submit().await;
    let watch = served.cli(&["watch", &job]).spawn();
    let follow = served.cli(&["items", &job, "--follow"]).spawn();
    for requests in [60, 250, 450] {
        until("many requests are made", || simulator.stats().sum(|endpoint| endpoint.requests) > requests).await;
        served = served.kill().await;
    }
    let watched = watch.wait().await.expect(0);
    assert!(watched.stdout.contains("succeeded"), "{}", watched.stdout);
    let followed = follow.wait().await.expect(0);
    assert_same(ids(&items(&followed.stdout)), everything(&simulator));
    assert_same(ids(&served.items(&job).await), everything(&simulator));
    // Each kill can only have cost what was on the wire, or not stored yet.
    let twice = simulator.stats().sum(|endpoint| endpoint.duplicates);
    assert!(twice <= 3 * 2 * 64, "{twice} pages were fetched twice");
    assert!(followed.took > Duration::from_millis(500), "it ran through all of it");
    served.finish().await;
}
