//! Pausing jobs, and going on with them.

use tidegate_contracts::End;

use super::scene::{LEASE, NOW, Scene, deferred, end, first, new_job, offsets, ok};
use crate::{JobState, Ledger};

/// Nothing goes out; what comes back unmade is planned, and goes out again when the job goes on.
pub async fn a_paused_job_sends_out_nothing_until_it_is_resumed(ledger: &dyn Ledger) {
    let scene = Scene::new(ledger, 3).await;
    let out = scene.commit(&[scene.begin(vec![scene.root(vec![offsets(0, 8)])])]).await.released;
    for at_ms in [NOW + 5, NOW + 9] {
        assert!(ledger.pause(scene.job, at_ms).await.expect("pauses"));
    }
    assert_eq!(scene.row().await.paused_at_ms, Some(NOW + 5), "since when it was paused first");
    assert_eq!(ledger.paused(&[scene.job, new_job("another").id]).await.expect("reads"), [scene.job]);
    let spec = ledger.spec(scene.job).await.expect("reads").expect("is there");
    assert!(spec.paused && !spec.stopped);

    // One ends well, one comes back unmade (and says so twice), one stays parked.
    let mut back = end(&out[1], End::Returned);
    back.ended.as_mut().expect("a call").requests = 4;
    let plans = [ok(&out[0]), back.clone(), back.clone(), deferred(&out[2], NOW + LEASE, 1)];
    let committed = scene.commit(&plans).await;
    assert!(committed.released.is_empty() && committed.finished.is_empty());
    let counts = scene.counts().await;
    assert_eq!((counts.calls_succeeded, counts.calls_open, counts.calls_released), (1, 7, 1));
    assert_eq!(counts.requests, 6, "what was sent for it is counted, once");
    assert!(scene.commit(&[back]).await.released.is_empty());
    let swept = ledger.sweep(false, &scene.windows, NOW).await.expect("sweeps");
    assert!(swept.calls.is_empty(), "the sweeper releases nothing of it either");

    for _ in 0..2 {
        ledger.resume(scene.job).await.expect("resumes");
    }
    assert_eq!(scene.row().await.paused_at_ms, None);
    assert!(ledger.paused(&[scene.job]).await.expect("reads").is_empty());
    let released = scene.commit(&[scene.begin(vec![])]).await.released;
    assert_eq!(released.len(), 2, "beside the parked one");
    let (again, new) = (&released[0], &released[1]);
    assert_eq!((again.call, again.again, again.requests), (out[1].call, true, 4), "what came back goes first");
    assert!(!new.again);
    assert_eq!(scene.run(released).await, (6, 0), "all but the parked one");
    assert_eq!(scene.commit(&[ok(&out[2])]).await.finished, [scene.job]);
}

/// Whoever was told late that the job goes on: the call is out again at once.
pub async fn a_call_that_comes_back_to_a_job_that_goes_on_is_released_again(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![first()]).await;
    let released = scene.commit(&[end(&calls[0], End::Returned)]).await.released;
    assert_eq!((released.len(), released[0].call), (1, calls[0].call));
    assert_eq!(scene.run(released).await, (1, 1));
    // Too late.
    assert!(scene.commit(&[end(&calls[0], End::Returned)]).await.released.is_empty());
}

/// What is out may end it.
pub async fn a_paused_job_may_finish_and_is_paused_no_more(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 2)]).await;
    assert!(ledger.pause(scene.job, NOW).await.expect("pauses"));
    assert_eq!(scene.commit(&[ok(&calls[0]), ok(&calls[1])]).await.finished, [scene.job]);
    let row = scene.row().await;
    assert_eq!((row.state, row.paused_at_ms), (JobState::Succeeded, None));
    assert!(!ledger.pause(scene.job, NOW).await.expect("refuses"), "a finished job is not paused");
    assert!(!ledger.pause(new_job("unknown").id, NOW).await.expect("refuses"));
    assert_eq!(scene.row().await.paused_at_ms, None);
}

/// It ends when what is out has come back, told of the pause or of the stop.
pub async fn a_paused_job_is_cancelled(ledger: &dyn Ledger) {
    let scene = Scene::new(ledger, 2).await;
    let out = scene.commit(&[scene.begin(vec![scene.root(vec![offsets(0, 5)])])]).await.released;
    assert!(ledger.pause(scene.job, NOW).await.expect("pauses"));
    ledger.cancel(scene.job, "no longer wanted", NOW).await.expect("cancels");
    assert!(!ledger.pause(scene.job, NOW).await.expect("refuses"), "it is stopped");
    scene.balances().await;
    let ends = [end(&out[0], End::Returned), end(&out[1], End::Cancelled)];
    assert_eq!(scene.commit(&ends).await.finished, [scene.job]);
    let row = scene.row().await;
    assert_eq!((row.state, row.counts.calls_cancelled, row.paused_at_ms), (JobState::Cancelled, 5, None));
}

/// Its first plan begins it, and nothing goes out.
pub async fn a_job_is_paused_before_it_was_planned(ledger: &dyn Ledger) {
    let scene = Scene::new(ledger, 2).await;
    assert!(ledger.pause(scene.job, NOW).await.expect("pauses"));
    assert!(scene.commit(&[scene.begin(vec![scene.root(vec![offsets(0, 3)])])]).await.released.is_empty());
    assert_eq!((scene.state().await, scene.counts().await.calls_open), (JobState::Running, 3));
    ledger.resume(scene.job).await.expect("resumes");
    assert_eq!(scene.sweep_and_run().await, (3, 1));
}
