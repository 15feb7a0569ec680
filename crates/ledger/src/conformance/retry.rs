//! Trying failed and cancelled calls again.

use tidegate_contracts::Plan;

use super::scene::{NOW, Scene, cursor, failed, fetch, first, offsets, ok, skipped, unbegun};
use crate::{JobState, Ledger};

/// The calls, their fetches, all above them, and the job are open again; what succeeded stays.
pub async fn failed_calls_are_tried_again(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![first()]).await;
    let below = |parent, step: &str, n| fetch(scene.job, Some(parent), step, n, vec![first()]);
    let plan = Plan { fetches: vec![below(root, "middle", 1), below(root, "middle", 2)], ..ok(&calls[0]) };
    let middle = scene.commit(&[plan]).await.released;
    let plan = Plan {
        fetches: vec![below(middle[0].fetch, "leaves", 3), below(middle[0].fetch, "leaves", 4)],
        ..ok(&middle[0])
    };
    let leaves = scene.commit(&[plan, skipped(&middle[1])]).await.released;
    assert_eq!(scene.commit(&[failed(&leaves[0], false), ok(&leaves[1])]).await.finished, [scene.job]);
    assert_eq!((scene.state().await, scene.counts().await.requests), (JobState::Failed, 5));

    assert_eq!(ledger.retry_failed(scene.job, NOW).await.expect("reopens"), 1);
    scene.balances().await;
    let row = scene.row().await;
    assert_eq!((row.state, row.finished_at_ms, row.reason), (JobState::Running, None, None));
    assert_eq!((row.counts.calls_open, row.counts.calls_failed, row.counts.calls_succeeded), (1, 0, 3));
    assert_eq!((row.counts.fetches_open, row.counts.calls_skipped), (3, 1));
    assert!(ledger.failures(scene.job, 10).await.expect("reads").iter().all(|group| group.state == "skipped"));

    let swept = ledger.sweep(false, &scene.windows, NOW).await.expect("sweeps").calls;
    let (again, due_ms) = &swept[0];
    assert_eq!((swept.len(), again.call, *due_ms), (1, leaves[0].call, 0));
    assert_eq!((again.again, again.attempt, again.requests), (true, 0, 1));
    // It fails once more, and is tried once more.
    assert_eq!(scene.commit(&[failed(again, false)]).await.finished, [scene.job]);
    assert_eq!(ledger.retry_failed(scene.job, NOW).await.expect("reopens"), 1);
    assert_eq!(scene.sweep_and_run().await, (1, 1));
    assert_eq!((scene.state().await, scene.counts().await.requests), (JobState::Succeeded, 7));
}

/// Its owner asks for them, though the job would do without.
pub async fn tolerated_failures_are_tried_again(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 3)]).await;
    scene.commit(&[ok(&calls[0]), failed(&calls[1], true), failed(&calls[2], true)]).await;
    assert_eq!(scene.state().await, JobState::Succeeded);
    assert_eq!(ledger.retry_failed(scene.job, NOW).await.expect("reopens"), 2);
    scene.balances().await;
    assert_eq!(scene.sweep_and_run().await, (2, 1));
    let counts = scene.counts().await;
    assert_eq!((counts.calls_succeeded, counts.calls_failed, counts.calls_tolerated), (3, 0, 0));
}

/// Nothing is missing in the end, not even what a call led to that came back after the stop.
pub async fn a_cancelled_job_is_taken_up_where_it_was(ledger: &dyn Ledger) {
    let scene = Scene::new(ledger, 1).await;
    let out = scene.commit(&[scene.begin(vec![scene.root(vec![first(), offsets(1, 4)])])]).await.released;
    ledger.cancel(scene.job, "for now", NOW).await.expect("cancels");
    let child = fetch(scene.job, Some(out[0].fetch), "children", 1, vec![first(), offsets(1, 3)]);
    let last = Plan { pages: vec![cursor("next", 1)], fetches: vec![child], ..ok(&out[0]) };
    assert_eq!(scene.commit(&[last]).await.finished, [scene.job]);

    assert_eq!(ledger.retry_failed(scene.job, NOW).await.expect("reopens"), 3 + 1 + 3);
    scene.balances().await;
    let row = scene.row().await;
    assert_eq!((row.state, row.reason, row.counts.fetches_open), (JobState::Running, None, 2));
    assert_eq!(scene.sweep_and_run().await, (7, 1));
    let counts = scene.counts().await;
    assert_eq!((scene.state().await, counts.calls_succeeded, counts.calls_cancelled), (JobState::Succeeded, 8, 0));
}

/// It has no parameters to call anybody with.
pub async fn what_cannot_begin_is_not_tried_again(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![offsets(0, 2)]).await;
    let child = unbegun(fetch(scene.job, Some(root), "children", 1, vec![]), false);
    let plan = Plan { fetches: vec![child], ..ok(&calls[0]) };
    assert_eq!(scene.commit(&[plan, failed(&calls[1], false)]).await.finished, [scene.job]);
    assert_eq!(ledger.retry_failed(scene.job, NOW).await.expect("reopens"), 1);
    scene.balances().await;
    assert_eq!(scene.counts().await.calls_failed, 1);
    assert_eq!(scene.sweep_and_run().await, (1, 1));
    assert_eq!((scene.state().await, scene.counts().await.calls_failed), (JobState::Failed, 1));
    assert_eq!(ledger.retry_failed(scene.job, NOW).await.expect("finds nothing"), 0);
    assert_eq!(scene.state().await, JobState::Failed);
}

/// A job that goes on, or has nothing that failed, is left alone.
pub async fn only_finished_jobs_are_tried_again(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 2)]).await;
    scene.commit(&[failed(&calls[0], false)]).await;
    assert_eq!(ledger.retry_failed(scene.job, NOW).await.expect("looks"), 0);
    assert_eq!(scene.counts().await.calls_failed, 1);

    let (whole, _, calls) = Scene::with_root(ledger, vec![first()]).await;
    whole.commit(&[ok(&calls[0])]).await;
    assert_eq!(ledger.retry_failed(whole.job, NOW).await.expect("looks"), 0);
    assert_eq!(whole.state().await, JobState::Succeeded);
    assert_eq!(scene.state().await, JobState::Running);
}
