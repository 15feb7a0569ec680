//! Ends and deferrals of calls.

use tidegate_contracts::{Class, End, Plan};

use super::scene::{ITEMS, LEASE, NOW, Scene, deferred, end, failed, failure, first, offsets, ok, skipped};
use crate::{JobCounts, JobState, Ledger};

/// Each way to end has its counter, in the job and in its steps.
pub async fn every_end_is_counted(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 6)]).await;
    let plans =
        [ok(&calls[0]), end(&calls[1], End::Succeeded { items: 0 }), skipped(&calls[2]), failed(&calls[3], true)];
    scene.commit(&plans).await;
    scene.commit(&[failed(&calls[4], false)]).await;
    let expected = JobCounts {
        calls_planned: 6,
        calls_open: 1,
        calls_held: 0,
        calls_released: 1,
        calls_succeeded: 2,
        calls_skipped: 1,
        calls_failed: 2,
        calls_tolerated: 1,
        calls_cancelled: 0,
        fetches_planned: 1,
        fetches_open: 1,
        items: u64::from(ITEMS),
        requests: 5,
    };
    let counts = scene.counts().await;
    assert_eq!(counts, expected);
    assert!(counts.balances());
}

/// Redelivered plans, in the same batch and later, with all that they plan.
pub async fn a_plan_that_comes_twice_changes_nothing(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![first()]).await;
    let child = super::scene::fetch(scene.job, Some(root), "children", 1, vec![first()]);
    let plan = Plan { pages: vec![offsets(1, 3)], fetches: vec![child], total: Some(30), ..ok(&calls[0]) };
    let once = scene.commit(&[plan.clone(), plan.clone()]).await;
    assert_eq!(once.released.len(), 3);
    let counts = scene.counts().await;
    assert_eq!((counts.calls_planned, counts.calls_succeeded, counts.fetches_planned), (4, 1, 2));

    let twice = scene.commit_at(std::slice::from_ref(&plan), NOW + 1).await;
    assert_eq!((twice.released.len(), twice.progressed), (0, vec![scene.job]));
    assert_eq!(scene.counts().await, counts);
    // Not even another end takes its place.
    scene.commit(&[failed(&calls[0], false), skipped(&calls[0])]).await;
    assert_eq!(scene.counts().await, counts);

    assert_eq!(scene.run(once.released).await, (3, 1));
    let done = scene.row().await;
    assert!(scene.commit_at(&[plan], NOW + 2).await.finished.is_empty());
    assert_eq!((scene.counts().await, scene.row().await.finished_at_ms), (done.counts, done.finished_at_ms));
}

/// A batch in one order comes to the same as in the other.
pub async fn plans_take_effect_in_any_order(ledger: &dyn Ledger) {
    let mut ends = Vec::new();
    for reverse in [false, true] {
        let (scene, root, calls) = Scene::with_root(ledger, vec![offsets(0, 4)]).await;
        let child = super::scene::fetch(scene.job, Some(root), "children", 1, vec![first()]);
        let mut plans = vec![
            Plan { fetches: vec![child.clone()], pages: vec![offsets(3, 6)], ..ok(&calls[0]) },
            Plan { fetches: vec![child], pages: vec![offsets(4, 7)], ..ok(&calls[1]) },
            skipped(&calls[2]),
            failed(&calls[3], true),
            deferred(&calls[3], NOW + 1_000, 1),
        ];
        if reverse {
            plans.reverse();
        }
        let open = scene.commit(&plans).await.released;
        ends.push((scene.run(open).await, scene.counts().await, scene.state().await));
    }
    assert_eq!(ends[0], ends[1]);
    assert_eq!((ends[0].0, ends[0].2), ((4, 1), JobState::Succeeded));
}

/// A call that waits is open and out; what is known of it goes with it when it is released again.
pub async fn a_deferred_call_stays_open(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![first()]).await;
    let mut plan = deferred(&calls[0], NOW + 500_000, 2);
    plan.ended.as_mut().expect("ends").attempt = 1;
    let committed = scene.commit(&[plan.clone(), plan]).await;
    assert!(committed.released.is_empty() && committed.finished.is_empty());
    let counts = scene.counts().await;
    assert_eq!((counts.calls_open, counts.calls_released, counts.requests), (1, 1, 2));

    // Nobody misses it before its wait and another lease are over.
    let lost = async |now_ms| ledger.sweep(false, &scene.windows, now_ms).await.expect("sweeps").calls;
    assert!(lost(NOW + 500_000 + LEASE - 1).await.is_empty());
    let again = lost(NOW + 500_000 + LEASE).await;
    assert_eq!((again[0].0.attempt, again[0].0.requests, again[0].0.again, again[0].1), (1, 2, true, 0));
    assert_eq!(scene.run(vec![again[0].0.clone()]).await, (1, 1));
    assert_eq!(scene.counts().await.requests, 3);
}

/// An end is the end, whatever is told of the call beside or after it.
pub async fn a_deferral_after_the_end_is_ignored(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 3)]).await;
    let late = |n: usize| deferred(&calls[n], NOW + 1_000, 9);
    scene.commit(&[late(0), ok(&calls[0]), ok(&calls[1]), late(1)]).await;
    let counts = scene.counts().await;
    assert_eq!((counts.calls_open, counts.calls_succeeded, counts.requests), (1, 2, 2));
    scene.commit(&[late(0), late(1)]).await;
    assert_eq!(scene.counts().await, counts);
    assert!(ledger.waiting(scene.job, NOW).await.expect("reads").is_empty());
}

/// Deferrals of one call may come in any order.
pub async fn an_earlier_deferral_never_replaces_a_later_one(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 2)]).await;
    let (early, late) = (NOW + 10_000, NOW + 90_000);
    scene.commit(&[deferred(&calls[0], late, 1), deferred(&calls[0], early, 1)]).await;
    scene.commit(&[deferred(&calls[1], early, 2)]).await;
    scene.commit(&[deferred(&calls[1], late, 1), deferred(&calls[0], early, 1)]).await;
    let swept = ledger.sweep(true, &scene.windows, NOW).await.expect("sweeps").calls;
    let known: Vec<_> = swept.iter().map(|(call, due_ms)| (call.call, call.requests, *due_ms)).collect();
    assert_eq!(known, [(calls[0].call, 1, late), (calls[1].call, 2, early)]);
    assert_eq!(scene.counts().await.requests, 3);
}

/// An end tells of all requests of its call; a deferral before it has told of some.
pub async fn requests_are_counted_once(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 3)]).await;
    let told = |mut plan: Plan, requests| {
        plan.ended.as_mut().expect("ends").requests = requests;
        plan
    };
    scene.commit(&[deferred(&calls[0], NOW, 2), deferred(&calls[1], NOW, 5)]).await;
    assert_eq!(scene.counts().await.requests, 7);
    // The last one is from an executor that knew nothing of the others' requests.
    scene.commit(&[told(ok(&calls[0]), 3), told(failed(&calls[1], true), 1), told(skipped(&calls[2]), 4)]).await;
    assert_eq!(scene.counts().await.requests, 3 + 5 + 4);
}

/// One message too long must not hold up all other plans.
pub async fn a_message_of_any_length_is_kept_in_part(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 2)]).await;
    let mut long = failure(Class::Invalid, None);
    long.message = "\u{e4}".repeat(5_000);
    scene.commit(&[end(&calls[0], End::Failed { failure: long.clone(), tolerated: false })]).await;
    scene.commit(&[end(&calls[1], End::Skipped { failure: long })]).await;
    let groups = ledger.failures(scene.job, 10).await.expect("reads");
    assert_eq!(groups.len(), 2);
    assert!(groups.iter().all(|group| group.message.starts_with("\u{e4}\u{e4}\u{e4}")));
}
