//! Fetches that wait for others.

use std::time::Duration;

use tidegate_contracts::{Call, End, FetchId, NewFetch, Plan};

use super::scene::{NOW, Scene, end, failed, fetch, first, offsets, ok, skipped, unbegun};
use crate::{FetchFilter, FetchRow, JobState, Ledger, PruneFilter, Pruned, RetryFilter, prune};

/// A fetch of `step` below `parent` that waits for `blockers`.
fn after(scene: &Scene<'_>, parent: FetchId, step: &str, blockers: &[&NewFetch]) -> NewFetch {
    let after = blockers.iter().map(|blocker| blocker.fetch).collect();
    NewFetch { after, ..fetch(scene.job, Some(parent), step, 1, vec![first()]) }
}

fn below(scene: &Scene<'_>, parent: FetchId, step: &str) -> NewFetch {
    fetch(scene.job, Some(parent), step, 1, vec![first()])
}

fn with(call: &Call, fetches: &[&NewFetch]) -> Plan {
    Plan { fetches: fetches.iter().map(|fetch| (*fetch).clone()).collect(), ..ok(call) }
}

async fn steps_out(scene: &Scene<'_>, plans: &[Plan]) -> Vec<String> {
    let mut out: Vec<_> = scene.commit(plans).await.released.into_iter().map(|call| call.step).collect();
    out.sort_unstable();
    out
}

async fn row(scene: &Scene<'_>, parent: FetchId, step: &str) -> FetchRow {
    let filter = FetchFilter { parent: Some(parent), step: Some(step.into()), limit: 1, ..FetchFilter::default() };
    scene.ledger.fetches(scene.job, &filter).await.expect("reads").remove(0)
}

/// Held until the other is finished, with all that is below it; then released by the commit that finishes it.
pub async fn what_waits_is_held_until_its_blocker_finishes(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![offsets(0, 2)]).await;
    let blocker = below(&scene, root, "statuses");
    let waiting = NewFetch { pages: vec![offsets(0, 3)], ..after(&scene, root, "digest", &[&blocker]) };
    let out = scene.commit(&[with(&calls[0], &[&waiting, &blocker])]).await.released;
    assert_eq!(out.iter().map(|call| call.step.as_str()).collect::<Vec<_>>(), ["statuses"]);
    assert_eq!((scene.counts().await.calls_held, row(&scene, root, "digest").await.blockers_open), (3, 1));

    let child = below(&scene, blocker.fetch, "likes");
    let likes = scene.commit(&[with(&out[0], &[&child]), ok(&calls[1])]).await.released;
    assert_eq!((likes.len(), scene.counts().await.calls_held), (1, 3));
    // Nobody releases them but its end.
    assert!(ledger.sweep(false, &scene.windows, NOW).await.expect("sweeps").calls.is_empty());
    let digest = scene.commit(&[ok(&likes[0])]).await.released;
    assert_eq!(digest.iter().map(|call| call.ordinal).collect::<Vec<_>>(), [0, 1, 2]);
    assert_eq!((scene.counts().await.calls_held, row(&scene, root, "digest").await.blockers_open), (0, 0));
    assert_eq!(scene.run(digest).await, (3, 1));
    assert_eq!(scene.state().await, JobState::Succeeded);
}

/// A blocker that is finished, is not there, or comes in the same commit and has nothing to do, holds nobody.
pub async fn what_waits_for_nothing_open_goes_out_at_once(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![offsets(0, 3)]).await;
    let unknown = after(&scene, root, "a", &[&fetch(scene.job, None, "nobody", 1, vec![])]);
    let done = below(&scene, root, "done");
    let out = scene.commit(&[with(&calls[0], &[&unknown, &done])]).await.released;
    assert_eq!(out.iter().map(|call| call.step.as_str()).collect::<Vec<_>>(), ["a", "done"]);
    scene.commit(&[skipped(&out[1])]).await;
    let empty = fetch(scene.job, Some(root), "empty", 1, vec![]);
    let (late, beside) = (after(&scene, root, "b", &[&done]), after(&scene, root, "c", &[&empty, &done]));
    assert_eq!(steps_out(&scene, &[with(&calls[1], &[&late, &beside, &empty])]).await, ["b", "c"]);
    assert_eq!(scene.counts().await.calls_held, 0);
}

/// All blockers, of however many commits, and a chain of them.
pub async fn what_waits_for_several_waits_for_the_last(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![first()]).await;
    let (one, two) = (below(&scene, root, "one"), below(&scene, root, "two"));
    let both = after(&scene, root, "both", &[&one, &two]);
    let last = after(&scene, root, "last", &[&both, &one]);
    let out = scene.commit(&[with(&calls[0], &[&last, &both, &one, &two])]).await.released;
    assert_eq!(out.len(), 2);
    assert_eq!(steps_out(&scene, &[ok(&out[0])]).await, [""; 0]);
    let both = scene.commit(&[ok(&out[1])]).await.released;
    assert_eq!((both.len(), both[0].step.as_str()), (1, "both"));
    let last = scene.commit(&[ok(&both[0])]).await.released;
    assert_eq!((last.len(), last[0].step.as_str()), (1, "last"));
    assert_eq!(scene.run(last).await, (1, 1));
}

/// Where something failed below the blocker, what comes after is not made, nor what comes after that; and says why.
pub async fn a_failure_below_a_blocker_gives_up_what_comes_after(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![first()]).await;
    let blocker = below(&scene, root, "statuses");
    let digest = after(&scene, root, "digest", &[&blocker]);
    let last = after(&scene, root, "last", &[&digest]);
    let out = scene.commit(&[with(&calls[0], &[&blocker, &digest, &last])]).await.released;
    let child = below(&scene, blocker.fetch, "likes");
    let likes = scene.commit(&[with(&out[0], &[&child])]).await.released;
    let committed = scene.commit(&[failed(&likes[0], false)]).await;
    assert_eq!((committed.released.len(), committed.finished), (0, vec![scene.job]));
    let counts = scene.counts().await;
    assert_eq!((counts.calls_cancelled, counts.calls_held, scene.state().await), (2, 0, JobState::Failed));
    let groups = ledger.failures(scene.job, 10).await.expect("reads");
    let found: Vec<_> = groups.iter().map(|group| (group.step.as_str(), group.state.as_str())).collect();
    assert_eq!(found, [("likes", "failed"), ("digest", "cancelled"), ("last", "cancelled")]);
    assert!(groups[1].message.contains("step statuses") && groups[2].message.contains("step digest"), "{groups:?}");
}

/// A failure that its own step tolerates is none to those who wait.
pub async fn a_tolerated_failure_holds_nobody(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![first()]).await;
    let (blocker, unread) = (below(&scene, root, "a"), unbegun(fetch(scene.job, Some(root), "b", 1, vec![]), true));
    let digest = after(&scene, root, "digest", &[&blocker, &unread]);
    let out = scene.commit(&[with(&calls[0], &[&blocker, &unread, &digest])]).await.released;
    assert_eq!(steps_out(&scene, &[failed(&out[0], true)]).await, ["digest"]);
}

/// What was given up waits again for what is tried again, and is made when that went well.
pub async fn what_was_given_up_gets_its_chance_after_a_retry(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![first()]).await;
    let blocker = below(&scene, root, "statuses");
    let digest = after(&scene, root, "digest", &[&blocker]);
    let out = scene.commit(&[with(&calls[0], &[&blocker, &digest])]).await.released;
    scene.commit(&[failed(&out[0], false)]).await;
    assert_eq!(ledger.retry_failed(scene.job, &RetryFilter::default(), NOW).await.expect("reopens"), 2);
    scene.balances().await;
    let again = ledger.sweep(false, &scene.windows, NOW).await.expect("sweeps").calls;
    assert_eq!((again.len(), again[0].0.step.as_str(), scene.counts().await.calls_held), (1, "statuses", 1));
    // Word of it from before it was given up, were there any, is from before its turn.
    let digest = scene.commit(&[ok(&again[0].0)]).await.released;
    assert_eq!((digest.len(), digest[0].again), (1, true));
    assert_eq!(scene.run(digest).await, (1, 1));
    assert_eq!(scene.state().await, JobState::Succeeded);
}

/// What can't begin can't be tried again, so what comes after it stays as it is.
pub async fn what_comes_after_what_cannot_begin_is_not_tried_again(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![first()]).await;
    let blocker = unbegun(fetch(scene.job, Some(root), "statuses", 1, vec![]), false);
    let digest = after(&scene, root, "digest", &[&blocker]);
    let committed = scene.commit(&[with(&calls[0], &[&blocker, &digest])]).await;
    assert_eq!((committed.released.len(), committed.finished), (0, vec![scene.job]));
    assert_eq!(scene.counts().await.calls_cancelled, 1);
    assert_eq!(ledger.retry_failed(scene.job, &RetryFilter::default(), NOW).await.expect("looks"), 0);
    scene.balances().await;
    assert_eq!((scene.counts().await.calls_cancelled, scene.state().await), (1, JobState::Failed));
}

/// A stop gives up what is held; tried again, it is held again, whatever is told of it late.
pub async fn what_is_held_is_given_up_by_a_stop_and_held_again(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![first()]).await;
    let blocker = below(&scene, root, "statuses");
    let digest = after(&scene, root, "digest", &[&blocker]);
    let out = scene.commit(&[with(&calls[0], &[&blocker, &digest])]).await.released;
    ledger.cancel(scene.job, "enough", NOW).await.expect("cancels");
    scene.balances().await;
    assert_eq!((scene.counts().await.calls_cancelled, scene.counts().await.calls_held), (1, 0));
    scene.commit(&[failed(&out[0], false)]).await;
    assert_eq!(scene.state().await, JobState::Cancelled);
    assert_eq!(ledger.retry_failed(scene.job, &RetryFilter::default(), NOW).await.expect("reopens"), 2);
    let again = ledger.sweep(false, &scene.windows, NOW).await.expect("sweeps").calls;
    assert_eq!(again.len(), 1);
    let early = Call {
        call: tidegate_contracts::CallId::derive(digest.fetch, &tidegate_contracts::PagePointer::First),
        fetch: digest.fetch,
        ..again[0].0.clone()
    };
    scene.commit(&[failed(&early, false)]).await;
    assert_eq!((scene.counts().await.calls_held, scene.counts().await.calls_failed), (1, 0));
    assert_eq!(steps_out(&scene, &[ok(&again[0].0)]).await, ["digest"]);
}

/// Roots wait for roots, and what is deep below one for another.
pub async fn a_barrier_may_span_the_whole_job(ledger: &dyn Ledger) {
    let scene = Scene::new(ledger, 10).await;
    let root = |step: &str, after: &[&NewFetch]| NewFetch {
        after: after.iter().map(|blocker| blocker.fetch).collect(),
        ..fetch(scene.job, None, step, 0, vec![first()])
    };
    let followers = root("followers", &[]);
    let (tags, report) = (root("tags", &[]), root("report", &[&followers]));
    let out = scene.commit(&[scene.begin(vec![report, followers.clone(), tags.clone()])]).await.released;
    assert_eq!(out.iter().map(|call| call.step.as_str()).collect::<Vec<_>>(), ["followers", "tags"]);
    let trends = after(&scene, tags.fetch, "trends", &[&followers]);
    assert_eq!(steps_out(&scene, &[with(&out[1], &[&trends])]).await, [""; 0]);
    assert_eq!(steps_out(&scene, &[ok(&out[0])]).await, ["report", "trends"]);
}

/// While its job is paused it is held no more when its blocker finishes, and goes out when the job goes on.
pub async fn what_a_paused_job_holds_no_more_goes_out_when_it_goes_on(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![first()]).await;
    let blocker = below(&scene, root, "statuses");
    let waiting = after(&scene, root, "digest", &[&blocker]);
    let out = scene.commit(&[with(&calls[0], &[&blocker, &waiting])]).await.released;
    assert!(ledger.pause(scene.job, NOW).await.expect("pauses"));
    // What comes back is planned, and was not held: nothing holds it now.
    assert!(scene.commit(&[end(&out[0], End::Returned)]).await.released.is_empty());
    assert_eq!(scene.counts().await.calls_held, 1);
    assert!(scene.commit(&[ok(&out[0])]).await.released.is_empty());
    assert_eq!((scene.counts().await.calls_held, scene.counts().await.calls_open), (0, 1));
    ledger.resume(scene.job).await.expect("resumes");
    assert_eq!(scene.sweep_and_run().await, (1, 1));
    assert_eq!(scene.state().await, JobState::Succeeded);
}

/// Who waited for whom is forgotten with the tree, a few at a time.
pub async fn what_waited_for_what_is_pruned_with_the_tree(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![first()]).await;
    let blocker = below(&scene, root, "statuses");
    let steps = ["a", "b", "c"].map(|step| after(&scene, root, step, &[&blocker]));
    let plan = with(&calls[0], &[&blocker, &steps[0], &steps[1], &steps[2]]);
    let out = scene.commit(&[plan]).await.released;
    assert_eq!(scene.run(out).await, (4, 1));
    let filter = PruneFilter { finished_before_ms: NOW + 1, keep_jobs: true, limit: 1 };
    let pruned = prune(ledger, &filter, 2, Duration::ZERO, NOW + 1).await.expect("prunes");
    assert_eq!(pruned, Pruned { jobs: 1, pages: 5, calls: 5, fetches: 5 });
    scene.balances().await;
}
