//! How jobs end.

use tidegate_contracts::{End, Plan};

use super::scene::{NOW, Scene, cursor, end, failed, fetch, first, offsets, ok, skipped};
use crate::{JobState, Ledger};

/// With the last call, once.
pub async fn a_job_succeeds_when_all_is_done(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 2)]).await;
    assert!(scene.commit(&[ok(&calls[0])]).await.finished.is_empty());
    assert_eq!(scene.commit_at(&[skipped(&calls[1])], NOW + 5).await.finished, [scene.job]);
    let row = scene.row().await;
    assert_eq!((row.state, row.finished_at_ms, row.reason), (JobState::Succeeded, Some(NOW + 5), None));
    assert!(row.counts.balances());
    let later = scene.commit_at(&[ok(&calls[0]), skipped(&calls[1])], NOW + 6).await;
    assert!(later.finished.is_empty() && later.released.is_empty());
    assert_eq!(scene.row().await.finished_at_ms, Some(NOW + 5));
}

/// No root, no call: done with the first plan.
pub async fn a_job_with_nothing_to_do_succeeds(ledger: &dyn Ledger) {
    let scene = Scene::new(ledger, 1).await;
    assert_eq!(scene.commit(&[scene.begin(vec![]), scene.begin(vec![])]).await.finished, [scene.job]);
    assert_eq!(scene.state().await, JobState::Succeeded);
    assert!(scene.commit(&[scene.begin(vec![])]).await.finished.is_empty());
}

/// What the job does not tolerate; the other calls are made all the same.
pub async fn a_job_fails_by_one_call(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 3)]).await;
    let committed = scene.commit(&[failed(&calls[0], false), failed(&calls[1], true)]).await;
    assert!(committed.finished.is_empty() && committed.stopped.is_empty());
    assert_eq!(scene.state().await, JobState::Running);
    assert_eq!(scene.commit(&[ok(&calls[2])]).await.finished, [scene.job]);
    assert_eq!(scene.state().await, JobState::Failed);
}

/// `on_failure: continue`.
pub async fn a_job_succeeds_with_failures_it_tolerates(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 3)]).await;
    scene.commit(&[failed(&calls[0], true), failed(&calls[1], true)]).await;
    assert_eq!(scene.commit(&[skipped(&calls[2])]).await.finished, [scene.job]);
    assert_eq!(scene.state().await, JobState::Succeeded);
}

/// `on_failure: fail_job`: nothing new goes out, what is out comes back, and what that leads to is given up.
pub async fn a_stopped_job_fails_when_its_calls_are_back(ledger: &dyn Ledger) {
    let scene = Scene::new(ledger, 3).await;
    let out = scene.commit(&[scene.begin(vec![scene.root(vec![offsets(0, 5)])])]).await.released;
    let root = out[0].fetch;
    let stop = |n: usize, why: &str| Plan { fail_job: Some(why.into()), ..failed(&out[n], false) };
    let beside = Plan { pages: vec![offsets(5, 7)], ..ok(&out[1]) };
    let committed = scene.commit(&[stop(0, "the token is dead"), beside]).await;
    assert_eq!((committed.released.len(), committed.stopped), (0, vec![scene.job]));
    let row = scene.row().await;
    assert_eq!((row.state, row.finished_at_ms), (JobState::Running, None));
    assert_eq!((row.counts.calls_open, row.counts.calls_released, row.counts.calls_cancelled), (1, 1, 4));

    let child = fetch(scene.job, Some(root), "children", 1, vec![first()]);
    let last = Plan { pages: vec![cursor("next", 7)], fetches: vec![child], ..stop(2, "it is still dead") };
    let committed = scene.commit(&[last.clone(), last]).await;
    assert_eq!((committed.released.len(), committed.stopped.len(), committed.finished), (0, 0, vec![scene.job]));
    let row = scene.row().await;
    assert_eq!((row.state, row.reason.as_deref()), (JobState::Failed, Some("the token is dead")));
    assert_eq!((row.counts.calls_failed, row.counts.calls_cancelled, row.counts.fetches_open), (2, 6, 0));
}

/// A first plan that says only why there is none.
pub async fn a_job_that_cannot_be_planned_fails(ledger: &dyn Ledger) {
    let scene = Scene::new(ledger, 1).await;
    let plan = Plan { fail_job: Some("x".repeat(5_000)), ..scene.begin(vec![]) };
    let committed = scene.commit(&[plan.clone(), plan]).await;
    assert_eq!((committed.stopped, committed.finished), (vec![scene.job], vec![scene.job]));
    let row = scene.row().await;
    assert_eq!(row.state, JobState::Failed);
    assert!(row.reason.is_some_and(|reason| reason.starts_with("xxx")));
}

/// By its owner; the calls that are out come back first.
pub async fn a_cancelled_job_ends_when_its_calls_are_back(ledger: &dyn Ledger) {
    let scene = Scene::new(ledger, 2).await;
    let out = scene.commit(&[scene.begin(vec![scene.root(vec![offsets(0, 5)])])]).await.released;
    ledger.cancel(scene.job, "no longer wanted", NOW).await.expect("cancels");
    scene.balances().await;
    ledger.cancel(scene.job, "asked twice", NOW).await.expect("cancels again");
    let counts = scene.counts().await;
    assert_eq!((counts.calls_open, counts.calls_released, counts.calls_cancelled), (2, 2, 3));
    assert_eq!(scene.state().await, JobState::Running);
    // Lost ones are brought back too, or the job would never end.
    let swept = ledger.sweep(true, &scene.windows, NOW).await.expect("sweeps").calls;
    assert_eq!(swept.len(), 2);

    let committed = scene.commit(&[Plan { pages: vec![offsets(5, 9)], ..ok(&out[0]) }]).await;
    assert!(committed.released.is_empty() && committed.finished.is_empty() && committed.stopped.is_empty());
    assert_eq!(scene.commit(&[ok(&out[1])]).await.finished, [scene.job]);
    let row = scene.row().await;
    assert_eq!((row.state, row.reason.as_deref()), (JobState::Cancelled, Some("no longer wanted")));
    assert_eq!((row.counts.calls_succeeded, row.counts.calls_cancelled), (2, 7));
}

/// An executor that hears of the stop gives its calls back. Of a job that goes on, a call can't end so: it is lost, and
/// found.
pub async fn calls_of_a_stopped_job_come_back_unmade(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 2)]).await;
    let unmade = |n: usize| end(&calls[n], End::Cancelled);
    scene.commit(&[unmade(0)]).await;
    let counts = scene.counts().await;
    assert_eq!((counts.calls_released, counts.calls_cancelled), (2, 0));

    ledger.cancel(scene.job, "no longer wanted", NOW).await.expect("cancels");
    assert_eq!(scene.commit(&[unmade(0), unmade(1), unmade(0)]).await.finished, [scene.job]);
    assert_eq!((scene.state().await, scene.counts().await.calls_cancelled), (JobState::Cancelled, 2));
}

/// Nothing of it ever goes out, though its first plan is on its way.
pub async fn a_job_is_cancelled_before_it_was_planned(ledger: &dyn Ledger) {
    let scene = Scene::new(ledger, 2).await;
    ledger.cancel(scene.job, "a slip", NOW + 1).await.expect("cancels");
    scene.balances().await;
    let row = scene.row().await;
    assert_eq!(
        (row.state, row.finished_at_ms, row.reason.as_deref()),
        (JobState::Cancelled, Some(NOW + 1), Some("a slip"))
    );
    let begun = scene.commit(&[scene.begin(vec![scene.root(vec![first()])])]).await;
    assert!(begun.released.is_empty() && begun.finished.is_empty());
    let swept = ledger.sweep(true, &scene.windows, NOW).await.expect("sweeps");
    assert!(swept.calls.is_empty() && swept.unplanned.is_empty());
    assert_eq!(scene.counts().await.calls_planned, 0);
}

/// It stays what it is.
pub async fn a_finished_job_is_not_cancelled(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![first()]).await;
    assert_eq!(scene.run(calls).await, (1, 1));
    ledger.cancel(scene.job, "too late", NOW + 9).await.expect("is done");
    let row = scene.row().await;
    assert_eq!((row.state, row.finished_at_ms, row.reason), (JobState::Succeeded, Some(NOW), None));
}

/// Plans of several jobs in one batch.
pub async fn jobs_finish_apart_from_each_other(ledger: &dyn Ledger) {
    let (one, _, of_one) = Scene::with_root(ledger, vec![offsets(0, 2)]).await;
    let (two, _, of_two) = Scene::with_root(ledger, vec![first()]).await;
    let stop = Plan { fail_job: Some("stop".into()), ..failed(&of_two[0], false) };
    let committed = one.commit(&[ok(&of_one[0]), stop]).await;
    assert_eq!((committed.finished, committed.stopped), (vec![two.job], vec![two.job]));
    assert_eq!((one.state().await, two.state().await), (JobState::Running, JobState::Failed));
    let committed = one.commit(&[ok(&of_two[0]), ok(&of_one[1])]).await;
    assert_eq!(committed.finished, [one.job]);
    assert_eq!((one.state().await, two.state().await), (JobState::Succeeded, JobState::Failed));
}
