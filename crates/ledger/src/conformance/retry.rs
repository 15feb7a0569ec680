//! Trying failed and cancelled calls again.

use tidegate_contracts::{Class, End, Plan};

use super::scene::{NOW, Scene, cursor, end, failed, failure, fetch, first, offsets, ok, skipped, unbegun};
use crate::{FetchFilter, JobState, Ledger, RetryFilter};

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

    assert_eq!(ledger.retry_failed(scene.job, &RetryFilter::default(), NOW).await.expect("reopens"), 1);
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
    assert_eq!(ledger.retry_failed(scene.job, &RetryFilter::default(), NOW).await.expect("reopens"), 1);
    assert_eq!(scene.sweep_and_run().await, (1, 1));
    assert_eq!((scene.state().await, scene.counts().await.requests), (JobState::Succeeded, 7));
}

/// The others stay failed, in the account of their fetches and of the job; what was cancelled gets its chance.
pub async fn those_that_failed_alike_are_tried_again_alone(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![offsets(0, 4)]).await;
    let denied = end(&calls[1], End::Failed { failure: failure(Class::Permission, Some(403)), tolerated: false });
    let child = fetch(scene.job, Some(root), "children", 1, vec![offsets(0, 2)]);
    let plan = Plan { fetches: vec![child], ..ok(&calls[0]) };
    let children = scene.commit(&[plan, denied, failed(&calls[2], false), ok(&calls[3])]).await.released;
    scene.commit(&[failed(&children[0], false), failed(&children[1], true)]).await;
    assert_eq!((scene.state().await, scene.counts().await.calls_failed), (JobState::Failed, 4));

    let like = |step: &str, class: &str| RetryFilter {
        step: Some(step.into()),
        class: Some(class.into()),
        ..RetryFilter::default()
    };
    let other = |which: RetryFilter| {
        [
            RetryFilter { status: Some(500), ..which.clone() },
            RetryFilter { message: Some("it is something else".into()), ..which.clone() },
            RetryFilter { fetch: Some(root), ..which },
        ]
    };
    for nothing in other(like("children", "invalid")).into_iter().chain([like("children", "permission")]) {
        assert_eq!(ledger.retry_failed(scene.job, &nothing, NOW).await.expect("looks"), 0, "{nothing:?}");
        assert_eq!(scene.state().await, JobState::Failed);
    }

    let exactly = RetryFilter {
        fetch: Some(root),
        status: Some(403),
        message: Some("it is permission".into()),
        ..like("roots", "permission")
    };
    assert_eq!(ledger.retry_failed(scene.job, &exactly, NOW).await.expect("reopens"), 1);
    scene.balances().await;
    let roots = ledger.fetches(scene.job, &FetchFilter { limit: 10, ..FetchFilter::default() }).await.expect("reads");
    assert_eq!((roots[0].calls_open, roots[0].calls_failed), (1, 1));
    assert_eq!(scene.sweep_and_run().await, (1, 1));
    let counts = scene.counts().await;
    assert_eq!((scene.state().await, counts.calls_failed, counts.calls_tolerated), (JobState::Failed, 3, 1));

    assert_eq!(ledger.retry_failed(scene.job, &like("children", "invalid"), NOW).await.expect("reopens"), 2);
    assert_eq!(scene.sweep_and_run().await, (2, 1));
    assert_eq!((scene.state().await, scene.counts().await.calls_failed), (JobState::Failed, 1));
    assert_eq!(ledger.retry_failed(scene.job, &like("roots", "invalid"), NOW).await.expect("reopens"), 1);
    assert_eq!(scene.sweep_and_run().await, (1, 1));
    assert_eq!((scene.state().await, scene.counts().await.calls_failed), (JobState::Succeeded, 0));
}

/// A failure that stops the job leaves others unmade: they are made with it.
pub async fn what_was_cancelled_is_made_with_what_failed(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 3)]).await;
    let stops = Plan { fail_job: Some("stop".into()), ..failed(&calls[0], false) };
    scene.commit(&[stops]).await;
    scene.commit(&[end(&calls[1], End::Cancelled), end(&calls[2], End::Cancelled)]).await;
    let class = |class: &str| RetryFilter { class: Some(class.into()), ..RetryFilter::default() };
    assert_eq!(ledger.retry_failed(scene.job, &class("permission"), NOW).await.expect("looks"), 0);
    assert_eq!(scene.counts().await.calls_cancelled, 2);
    assert_eq!(ledger.retry_failed(scene.job, &class("invalid"), NOW).await.expect("reopens"), 3);
    assert_eq!(scene.sweep_and_run().await, (3, 1));
    assert_eq!(scene.state().await, JobState::Succeeded);
}

/// Its owner asks for them, though the job would do without.
pub async fn tolerated_failures_are_tried_again(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 3)]).await;
    scene.commit(&[ok(&calls[0]), failed(&calls[1], true), failed(&calls[2], true)]).await;
    assert_eq!(scene.state().await, JobState::Succeeded);
    assert_eq!(ledger.retry_failed(scene.job, &RetryFilter::default(), NOW).await.expect("reopens"), 2);
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

    assert_eq!(ledger.retry_failed(scene.job, &RetryFilter::default(), NOW).await.expect("reopens"), 3 + 1 + 3);
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
    assert_eq!(ledger.retry_failed(scene.job, &RetryFilter::default(), NOW).await.expect("reopens"), 1);
    scene.balances().await;
    assert_eq!(scene.counts().await.calls_failed, 1);
    assert_eq!(scene.sweep_and_run().await, (1, 1));
    assert_eq!((scene.state().await, scene.counts().await.calls_failed), (JobState::Failed, 1));
    assert_eq!(ledger.retry_failed(scene.job, &RetryFilter::default(), NOW).await.expect("finds nothing"), 0);
    assert_eq!(scene.state().await, JobState::Failed);
}

/// A job that goes on, or has nothing that failed, is left alone.
pub async fn only_finished_jobs_are_tried_again(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 2)]).await;
    scene.commit(&[failed(&calls[0], false)]).await;
    assert_eq!(ledger.retry_failed(scene.job, &RetryFilter::default(), NOW).await.expect("looks"), 0);
    assert_eq!(scene.counts().await.calls_failed, 1);

    let (whole, _, calls) = Scene::with_root(ledger, vec![first()]).await;
    whole.commit(&[ok(&calls[0])]).await;
    assert_eq!(ledger.retry_failed(whole.job, &RetryFilter::default(), NOW).await.expect("looks"), 0);
    assert_eq!(whole.state().await, JobState::Succeeded);
    assert_eq!(scene.state().await, JobState::Running);
}
