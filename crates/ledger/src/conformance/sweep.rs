//! Finding what was lost.

use tidegate_contracts::{Call, CallId};

use super::scene::{LEASE, NOW, Scene, deferred, failed, first, new_job, offsets, ok};
use crate::{Ledger, Windows};

/// The bus is empty: whatever was out goes out again, what waits goes back to waiting.
pub async fn a_sweep_of_everything_returns_all_that_is_out(ledger: &dyn Ledger) {
    let scene = Scene::new(ledger, 4).await;
    let out = scene.commit(&[scene.begin(vec![scene.root(vec![offsets(0, 6)])])]).await.released;
    scene.commit(&[deferred(&out[1], NOW + 5_000, 1), deferred(&out[2], NOW - 5_000, 0)]).await;
    let counts = scene.counts().await;
    let swept = ledger.sweep(true, &scene.windows, NOW).await.expect("sweeps");
    scene.balances().await;
    let found: Vec<_> = swept.calls.iter().map(|(call, due_ms)| (call.ordinal, call.again, *due_ms)).collect();
    assert_eq!(found, [(0, true, 0), (1, true, NOW + 5_000), (2, true, 0), (3, true, 0)]);
    assert!(swept.unplanned.is_empty());
    assert_eq!(swept.calls[0].0, Call { again: true, ..out[0].clone() });
    assert_eq!((scene.counts().await, swept.calls[1].0.requests), (counts, 1));
    // Every process that starts may do so, and loses nothing.
    assert_eq!(ledger.sweep(true, &scene.windows, NOW).await.expect("sweeps").calls, swept.calls);
    let (other, _, _) = Scene::with_root(ledger, vec![first()]).await;
    let both = ledger.sweep(true, &scene.windows, NOW).await.expect("sweeps").calls;
    assert_eq!((both.len(), both[4].0.job), (5, other.job));
}

/// What nobody has spoken of for a lease, after its release or after its wait.
pub async fn a_sweep_returns_what_is_past_its_lease(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 3)]).await;
    scene.commit(&[deferred(&calls[1], NOW + 5_000, 0), ok(&calls[2])]).await;
    let lost = async |now_ms| -> Vec<CallId> {
        let swept = ledger.sweep(false, &scene.windows, now_ms).await.expect("sweeps");
        swept.calls.into_iter().map(|(call, _)| call.call).collect()
    };
    assert_eq!(lost(NOW + LEASE - 1).await, []);
    assert_eq!(lost(NOW + LEASE).await, [calls[0].call]);
    assert_eq!(lost(NOW + LEASE + 5_000).await, [calls[1].call]);
}

/// Once found, it is not lost again at once.
pub async fn a_swept_call_has_a_new_lease(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 2)]).await;
    scene.commit(&[deferred(&calls[1], NOW + 500_000, 0)]).await;
    let lost =
        async |everything, now_ms| ledger.sweep(everything, &scene.windows, now_ms).await.expect("sweeps").calls.len();
    assert_eq!(lost(false, NOW + LEASE).await, 1);
    assert_eq!(lost(false, NOW + LEASE).await, 0);
    assert_eq!(lost(false, NOW + 2 * LEASE).await, 1);
    assert_eq!(lost(true, NOW + 3 * LEASE).await, 2);
    // The one that waits has until its wait is over, and a lease.
    assert_eq!(lost(false, NOW + 500_000 + LEASE - 1).await, 1);
    assert_eq!(lost(false, NOW + 500_000 + LEASE).await, 1);
}

/// The planner was never told of them, or died.
pub async fn a_sweep_lists_jobs_that_nobody_planned(ledger: &dyn Ledger) {
    let [one, two] = ["one", "two"].map(new_job);
    for job in [&one, &two] {
        ledger.submit(job, NOW).await.expect("submits");
    }
    let (scene, _, _) = Scene::with_root(ledger, vec![first()]).await;
    let unplanned = async || ledger.sweep(false, &scene.windows, NOW).await.expect("sweeps").unplanned;
    assert_eq!(unplanned().await, [one.id, two.id]);
    ledger.cancel(one.id, "not needed", NOW).await.expect("cancels");
    assert_eq!(unplanned().await, [two.id]);
}

/// Planned calls that no commit released: of a job that is tried again, or whose window has grown.
pub async fn a_sweep_fills_windows(ledger: &dyn Ledger) {
    let scene = Scene::new(ledger, 1).await;
    let out = scene.commit(&[scene.begin(vec![scene.root(vec![offsets(0, 6)])])]).await.released;
    let wide = Windows { calls: [4; 4], ..scene.windows.clone() };
    assert!(ledger.sweep(false, &scene.windows, NOW).await.expect("sweeps").calls.is_empty());
    let swept = ledger.sweep(false, &wide, NOW).await.expect("sweeps").calls;
    scene.balances().await;
    let found: Vec<_> = swept.iter().map(|(call, due_ms)| (call.ordinal, call.again, *due_ms)).collect();
    assert_eq!(found, [(1, false, 0), (2, false, 0), (3, false, 0)]);
    assert_eq!(scene.counts().await.calls_released, 4);
    assert!(ledger.sweep(false, &wide, NOW).await.expect("sweeps").calls.is_empty());
    // What is lost and what is new come once each.
    scene.commit(&[failed(&out[0], true), ok(&swept[0].0)]).await;
    let mut found: Vec<_> =
        ledger.sweep(true, &wide, NOW).await.expect("sweeps").calls.into_iter().map(|(call, _)| call.ordinal).collect();
    found.sort_unstable();
    assert_eq!(found, [2, 3, 4, 5]);

    // Of a stopped job nothing goes out.
    ledger.cancel(scene.job, "enough", NOW).await.expect("cancels");
    assert!(ledger.sweep(false, &wide, NOW).await.expect("sweeps").calls.is_empty());
}
