//! What a job may take: time and calls. And what it leaves out by itself.

use tidegate_contracts::{End, Plan, WaitReason};

use super::scene::{LEASE, NOW, Scene, deferred, end, new_job, offsets, ok};
use crate::{Bounds, JobState, Ledger, NewJob, RetryFilter, Windows};

async fn bounded(ledger: &dyn Ledger, window: u32, bounds: Bounds) -> Scene<'_> {
    let new = NewJob { bounds, ..new_job("a job") };
    ledger.submit(&new, NOW).await.expect("submits");
    Scene { ledger, job: new.id, windows: Windows { calls: [window; 4], lease_ms: LEASE, ..Windows::default() } }
}

/// Never more calls go out than it may make, lost ones apart; when all are back and there is more to do, it fails.
pub async fn a_job_makes_no_more_calls_than_it_may(ledger: &dyn Ledger) {
    let scene = bounded(ledger, 3, Bounds { max_calls: Some(5), ..Bounds::default() }).await;
    let out = scene.commit(&[scene.begin(vec![scene.root(vec![offsets(0, 9)])])]).await.released;
    assert_eq!(out.len(), 3);
    let swept = ledger.sweep(true, &scene.windows, NOW).await.expect("sweeps").calls;
    assert_eq!(swept.len(), 3, "the same three");
    let more = scene.commit(&[ok(&out[0]), ok(&out[1]), ok(&out[2])]).await.released;
    assert_eq!(more.len(), 2);
    assert!(scene.commit(&[deferred(&more[0], NOW + 5, 0)]).await.released.is_empty());
    assert!(scene.commit(&[ok(&more[1])]).await.stopped.is_empty(), "one is still out");
    let committed = scene.commit(&[ok(&more[0])]).await;
    assert_eq!((committed.stopped, committed.finished), (vec![scene.job], vec![scene.job]));
    let row = scene.row().await;
    assert_eq!((row.state, row.counts.calls_succeeded, row.counts.calls_cancelled), (JobState::Failed, 5, 4));
    assert!(row.reason.as_deref().is_some_and(|reason| reason.starts_with("max_calls: the 5 calls")), "{row:?}");

    // Tried again, it may make as many again.
    assert_eq!(ledger.retry_failed(scene.job, &RetryFilter::default(), NOW).await.expect("reopens"), 4);
    assert_eq!(scene.sweep_and_run().await, (4, 1));
    assert_eq!(scene.state().await, JobState::Succeeded);
}

/// As many as it may make, and no more to do: nothing is wrong.
pub async fn a_job_that_needs_all_calls_it_may_make_succeeds(ledger: &dyn Ledger) {
    let scene = bounded(ledger, 10, Bounds { max_calls: Some(4), ..Bounds::default() }).await;
    let out = scene.commit(&[scene.begin(vec![scene.root(vec![offsets(0, 4)])])]).await.released;
    assert_eq!(scene.run(out).await, (4, 1));
    assert_eq!(scene.state().await, JobState::Succeeded);
}

/// When its time is over no call goes out any more; what is parked is given up; what is out comes back.
pub async fn a_job_whose_time_is_over_fails(ledger: &dyn Ledger) {
    let scene = bounded(ledger, 2, Bounds { deadline_ms: Some(10_000), ..Bounds::default() }).await;
    let out = scene.commit(&[scene.begin(vec![scene.root(vec![offsets(0, 5)])])]).await.released;
    scene.commit_at(&[deferred(&out[0], NOW + 3_600_000, 0)], NOW + 1).await;
    let early = ledger.sweep(false, &scene.windows, NOW + 9_999).await.expect("sweeps");
    assert_eq!((early.stopped, early.finished), (vec![], vec![]));
    // No sweep yet: a commit of nothing releases nothing.
    let wide = Windows { calls: [9; 4], ..scene.windows.clone() };
    let nothing = ledger.commit(&[Plan::nothing(scene.job)], &wide, NOW + 10_000).await.expect("commits");
    assert!(nothing.released.is_empty());
    let swept = ledger.sweep(false, &scene.windows, NOW + 10_000).await.expect("sweeps");
    scene.balances().await;
    assert_eq!((swept.stopped, swept.finished, swept.calls.len()), (vec![scene.job], vec![], 0));
    assert_eq!((scene.counts().await.calls_cancelled, scene.counts().await.calls_released), (4, 1));
    assert!(ledger.sweep(false, &scene.windows, NOW + 10_001).await.expect("sweeps").stopped.is_empty());
    let committed = scene.commit_at(&[ok(&out[1])], NOW + 11_000).await;
    assert_eq!(committed.finished, [scene.job]);
    let row = scene.row().await;
    assert_eq!((row.state, row.reason.as_deref()), (JobState::Failed, Some("deadline: not done within 10s")));
    // Word of the parked one comes too late.
    scene.commit_at(&[ok(&out[0])], NOW + 12_000).await;
    assert_eq!(scene.counts().await.calls_cancelled, 4);

    // Tried again, it has as long again.
    assert_eq!(ledger.retry_failed(scene.job, &RetryFilter::default(), NOW + 20_000).await.expect("reopens"), 4);
    assert!(ledger.sweep(false, &scene.windows, NOW + 29_999).await.expect("sweeps").stopped.is_empty());
    assert_eq!(ledger.sweep(false, &scene.windows, NOW + 30_000).await.expect("sweeps").stopped, [scene.job]);
}

/// The next commit sees it as well, and a job that waits for calls alone, or that nobody planned, is done at once.
pub async fn a_job_whose_time_is_over_ends_wherever_it_stands(ledger: &dyn Ledger) {
    let bounds = Bounds { deadline_ms: Some(1_000), ..Bounds::default() };
    let scene = bounded(ledger, 1, bounds).await;
    let out = scene.commit(&[scene.begin(vec![scene.root(vec![offsets(0, 3)])])]).await.released;
    let late = scene.commit_at(&[ok(&out[0])], NOW + 1_000).await;
    assert_eq!((late.stopped, late.finished), (vec![scene.job], vec![scene.job]));

    let parked = bounded(ledger, 9, bounds).await;
    let out = parked.commit(&[parked.begin(vec![parked.root(vec![offsets(0, 2)])])]).await.released;
    parked.commit(&[deferred(&out[0], NOW + 9_000, 0), deferred(&out[1], NOW + 9_000, 0)]).await;
    assert!(matches!(ledger.waiting(parked.job, NOW).await.expect("reads")[0].reason, WaitReason::Limit(_)));
    let unplanned = bounded(ledger, 9, bounds).await;
    let swept = ledger.sweep(false, &parked.windows, NOW + 1_000).await.expect("sweeps");
    let (mut ended, mut expected) = (swept.finished, vec![parked.job, unplanned.job]);
    ended.sort_unstable();
    expected.sort_unstable();
    assert_eq!((ended, swept.unplanned), (expected, vec![]));
    assert_eq!((parked.state().await, unplanned.state().await), (JobState::Failed, JobState::Failed));
    parked.balances().await;
}

/// What a step's `when` leaves out is counted once, though the plan comes twice.
pub async fn what_is_left_out_is_counted_by_step(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 3)]).await;
    let leave = |call: usize, step: &str, fetches| Plan {
        left_out: [(step.to_owned(), fetches)].into_iter().collect(),
        ..ok(&calls[call])
    };
    let plans = [leave(0, "likes", 3), leave(1, "roots", 1), leave(2, "likes", 4)];
    scene.commit(&plans[..2]).await;
    scene.commit(&plans).await;
    let steps = ledger.steps(scene.job).await.expect("reads");
    let found: Vec<_> = steps.iter().map(|step| (step.step.as_str(), step.fetches, step.left_out)).collect();
    assert_eq!(found, [("roots", 1, 1), ("likes", 0, 7)]);
}

/// What a pause brings back unmade is none of the calls that it may make, and no reason to end it.
pub async fn a_call_that_comes_back_unmade_is_none_of_those_a_job_may_make(ledger: &dyn Ledger) {
    let scene = bounded(ledger, 3, Bounds { max_calls: Some(3), ..Bounds::default() }).await;
    let out = scene.commit(&[scene.begin(vec![scene.root(vec![offsets(0, 4)])])]).await.released;
    assert!(ledger.pause(scene.job, NOW).await.expect("pauses"));
    let back: Vec<Plan> = out.iter().map(|call| end(call, End::Returned)).collect();
    let committed = scene.commit(&back).await;
    assert_eq!((out.len(), committed.stopped, committed.finished), (3, vec![], vec![]));
    ledger.resume(scene.job).await.expect("resumes");
    let out = scene.commit(&[Plan::nothing(scene.job)]).await.released;
    assert_eq!(out.len(), 3, "not the fourth");
    assert_eq!(scene.run(out).await, (3, 1));
    assert_eq!((scene.state().await, scene.counts().await.calls_cancelled), (JobState::Failed, 1));
}

/// Its time goes on while it is paused.
pub async fn a_paused_job_stops_when_its_time_is_over(ledger: &dyn Ledger) {
    let scene = bounded(ledger, 1, Bounds { deadline_ms: Some(1_000), ..Bounds::default() }).await;
    let out = scene.commit(&[scene.begin(vec![scene.root(vec![offsets(0, 3)])])]).await.released;
    assert!(ledger.pause(scene.job, NOW).await.expect("pauses"));
    let swept = ledger.sweep(false, &scene.windows, NOW + 1_000).await.expect("sweeps");
    scene.balances().await;
    assert_eq!((swept.stopped, swept.finished), (vec![scene.job], vec![]));
    let committed = scene.commit_at(&[end(&out[0], End::Returned)], NOW + 1_001).await;
    assert_eq!(committed.finished, [scene.job]);
    let row = scene.row().await;
    assert_eq!((row.state, row.paused_at_ms, row.counts.calls_cancelled), (JobState::Failed, None, 3));
}
