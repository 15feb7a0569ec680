//! What the store does beyond the model: races, lost data, lost connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tidegate_arbiter::{LimitStore, conformance};
use tidegate_daemon::clock::now_ms;
use tidegate_limits::{Decision, Permit, Rate, Report};

use crate::kit::{all_keys, charge, connect, fresh_prefix, question, redis_url, store, sweep, window};

const HOUR: Duration = Duration::from_hours(1);

fn granted(decisions: &[Decision]) -> Option<&Permit> {
    match &decisions[0] {
        Decision::Granted(permit) => Some(permit),
        Decision::Wait { .. } => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_redis_store_is_a_limit_store() {
    let prefixes = Mutex::new(Vec::new());
    conformance::check(async || {
        let prefix = fresh_prefix();
        prefixes.lock().unwrap().push(prefix.clone());
        Arc::new(store(&prefix).by_caller_s_time()) as Arc<dyn LimitStore>
    })
    .await;
    for prefix in prefixes.into_inner().unwrap() {
        sweep(&prefix).await;
    }
}

/// The race that Limitador's Redis store loses: 1,017 with one instance, up to 1,083 with two.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn two_arbiters_and_many_callers_are_granted_exactly_what_fits() {
    for callers in [100, 1_000] {
        let prefix = fresh_prefix();
        let stores = [Arc::new(store(&prefix)), Arc::new(store(&prefix))];
        let asked = question([charge("tight", window(1_000, HOUR)), charge("wide", window(1_500, HOUR))]);
        let callers = (0..callers).map(|caller| {
            let (store, asked) = (Arc::clone(&stores[caller % 2]), asked.clone());
            tokio::spawn(async move {
                let mut granted_here = 0;
                for _ in 0..(2_000 / callers) {
                    let decisions = store.ask(now_ms(), vec![asked.clone()]).await.unwrap();
                    granted_here += usize::from(granted(&decisions).is_some());
                }
                granted_here
            })
        });
        let mut all = 0;
        for caller in callers.collect::<Vec<_>>() {
            all += caller.await.unwrap();
        }
        assert_eq!(all, 1_000);
        let usage = stores[0].usage(now_ms()).await.unwrap();
        let used: BTreeMap<&str, u64> = usage.iter().map(|usage| (usage.limit.as_str(), usage.used)).collect();
        assert_eq!(used, BTreeMap::from([("tight", 1_000), ("wide", 1_000)]));
        sweep(&prefix).await;
    }
}

#[tokio::test]
async fn every_key_lies_on_its_provider_s_node_and_vanishes_by_itself() {
    let prefix = fresh_prefix();
    let store = store(&prefix);
    let mut costly = charge("bucket", Rate::Bucket { calls: 9, restore_per_s: 1.0 });
    costly.cost = 3;
    store.ask(now_ms(), vec![question([charge("window", window(9, HOUR)), costly])]).await.unwrap();
    let mut connection = connect(&redis_url()).await;
    let keys = all_keys(&mut connection, &prefix).await;
    assert_eq!(keys.len(), 4 + 2 + 3, "{keys:?}");
    for key in &keys {
        let ttl_ms: i64 = redis::cmd("PTTL").arg(key).query_async(&mut connection).await.unwrap();
        assert!(ttl_ms > 0, "{key} has no end");
        assert!(key.ends_with(":families") || key[prefix.len()..].starts_with("limits:1:{acme}:"), "{key}");
    }
    sweep(&prefix).await;
}

#[tokio::test]
async fn the_server_s_time_counts_and_is_told_by_the_caller_s_clock() {
    let prefix = fresh_prefix();
    let (store, minute) = (store(&prefix), question([charge("minute", window(1, Duration::from_mins(1)))]));
    let an_hour_late = || now_ms() - 3_600_000;
    assert!(granted(&store.ask(now_ms(), vec![minute.clone()]).await.unwrap()).is_some());
    let decisions = store.ask(an_hour_late(), vec![minute]).await.unwrap();
    let [Decision::Wait { until_ms, .. }] = decisions[..] else { panic!("{decisions:?}") };
    let wait_ms = until_ms - an_hour_late();
    assert!((30_000..=80_000).contains(&wait_ms), "{wait_ms} ms, whatever the caller's clock says");
    sweep(&prefix).await;
}

#[tokio::test]
async fn a_permit_of_a_life_before_lost_data_is_nobody_s_afterwards() {
    let prefix = fresh_prefix();
    let (first, one_slot) = (
        store(&prefix),
        question([charge("slot", Rate::Concurrency { calls: 1, learn: None, lease: Duration::from_mins(5) })]),
    );
    let before = granted(&first.ask(now_ms(), vec![one_slot.clone()]).await.unwrap()).unwrap().clone();
    sweep(&prefix).await;
    // Ids begin anew with the time of the loss, in ms: losing all takes longer than this.
    let lost_ms = now_ms();
    while now_ms() <= lost_ms {
        tokio::task::yield_now().await;
    }
    let store = store(&prefix); // Of an arbiter that knows nothing of what was.
    let after = granted(&store.ask(now_ms(), vec![one_slot.clone()]).await.unwrap()).unwrap().clone();
    assert!(before.id < after.id);
    store
        .report(now_ms(), vec![Report { permit: before, sent: true, answer: None, health: None, took_us: None }])
        .await
        .unwrap();
    assert!(granted(&store.ask(now_ms(), vec![one_slot.clone()]).await.unwrap()).is_none(), "the slot is still taken");
    store
        .report(now_ms(), vec![Report { permit: after, sent: true, answer: None, health: None, took_us: None }])
        .await
        .unwrap();
    assert!(granted(&store.ask(now_ms(), vec![one_slot]).await.unwrap()).is_some());
    sweep(&prefix).await;
}

#[tokio::test]
async fn a_question_over_two_providers_is_no_question() {
    let mut other = charge("window", window(9, HOUR));
    other.key = "{other}/window/".to_owned();
    let error = store(&fresh_prefix())
        .ask(now_ms(), vec![question([charge("window", window(9, HOUR)), other])])
        .await
        .unwrap_err();
    assert!(error.to_string().contains("must be of one provider"), "{error}");
}
