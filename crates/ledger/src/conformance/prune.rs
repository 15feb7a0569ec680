//! Deleting what finished long ago.

use std::time::Duration;

use super::scene::{NOW, Scene, failed, fetch, first, new_job, offsets, ok};
use crate::{FetchFilter, Idempotency, Ledger, NewJob, PruneFilter, PrunePart, Pruned, RetryFilter, Submitted, prune};

const BEFORE: i64 = NOW + 1_000;
/// Small, so that everything takes several transactions.
const ROWS: u32 = 2;

fn filter(keep_jobs: bool) -> PruneFilter {
    PruneFilter { finished_before_ms: BEFORE, keep_jobs, limit: 100 }
}

async fn pruned(ledger: &dyn Ledger, keep_jobs: bool) -> Pruned {
    prune(ledger, &filter(keep_jobs), ROWS, Duration::ZERO, BEFORE).await.expect("prunes")
}

/// A job of a root of five pages and a child, of which one call failed.
async fn finished(ledger: &dyn Ledger) -> Scene<'_> {
    let (scene, root, calls) = Scene::with_root(ledger, vec![offsets(0, 5)]).await;
    let child = fetch(scene.job, Some(root), "children", 1, vec![first()]);
    let plan = tidegate_contracts::Plan { fetches: vec![child], ..ok(&calls[0]) };
    let below = scene.commit(&[plan, ok(&calls[1]), ok(&calls[2]), ok(&calls[3]), failed(&calls[4], true)]).await;
    assert_eq!(scene.commit(&[ok(&below.released[0])]).await.finished, [scene.job]);
    scene
}

/// Its counters stay, and it says since when the rest is gone; nothing of others is touched.
pub async fn the_tree_of_a_job_that_finished_long_ago_is_pruned(ledger: &dyn Ledger) {
    let (scene, other) = (finished(ledger).await, Scene::with_root(ledger, vec![offsets(0, 3)]).await);
    let (counts, steps) = (scene.counts().await, ledger.steps(scene.job).await.expect("reads"));
    let listed = ledger.prunable(&filter(true)).await.expect("reads");
    assert_eq!((listed.len(), listed[0].id, listed[0].calls), (1, scene.job, 6));
    assert_eq!(pruned(ledger, true).await, Pruned { jobs: 1, pages: 5, calls: 6, fetches: 2 });
    scene.balances().await;
    let row = scene.row().await;
    assert_eq!((row.pruned_at_ms, row.counts), (Some(BEFORE), counts));
    assert_eq!(ledger.steps(scene.job).await.expect("reads"), steps);
    let roots = FetchFilter { limit: 10, ..FetchFilter::default() };
    assert!(ledger.fetches(scene.job, &roots).await.expect("reads").is_empty());
    assert!(ledger.pages_after(scene.job, 0, 10).await.expect("reads").is_empty());
    assert_eq!(
        ledger.retry_failed(scene.job, &RetryFilter::default(), NOW).await.expect("refuses"),
        0,
        "there is nothing to make again"
    );
    assert_eq!(pruned(ledger, true).await, Pruned::default(), "there is nothing left to do");
    let (running, _, calls) = other;
    assert_eq!(running.run(calls).await, (3, 1));
}

/// The same submission is a new job then.
pub async fn a_job_is_pruned_whole_with_its_key(ledger: &dyn Ledger) {
    let idempotency = Some(Idempotency { key: "nightly".into(), body_hash: "0".repeat(64) });
    let keyed = |name: &str| NewJob { idempotency: idempotency.clone(), ..new_job(name) };
    let (first, second) = (keyed("first"), keyed("second"));
    ledger.submit(&first, NOW).await.expect("submits");
    ledger.cancel(first.id, "no longer wanted", NOW).await.expect("cancels");
    let scene = finished(ledger).await;
    assert_eq!(pruned(ledger, true).await.jobs, 2);
    assert_eq!(
        ledger.submit(&second, NOW).await.expect("answers"),
        Submitted::Same(first.id),
        "a kept job keeps its key"
    );
    assert_eq!(pruned(ledger, false).await.jobs, 2);
    assert!(
        ledger.job(first.id).await.expect("reads").is_none() && ledger.job(scene.job).await.expect("reads").is_none()
    );
    assert!(ledger.steps(scene.job).await.expect("reads").is_empty());
    assert_eq!(ledger.submit(&second, NOW).await.expect("submits"), Submitted::New);
    scene.balances().await;
}

/// Nor those that finished later than that.
pub async fn only_finished_jobs_are_pruned(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 2)]).await;
    scene.commit(&[ok(&calls[0])]).await;
    assert!(ledger.prunable(&filter(false)).await.expect("reads").is_empty());
    assert!(ledger.prune_mark(&[scene.job], NOW).await.expect("refuses").is_empty());
    for part in [PrunePart::Pages, PrunePart::Calls { from: 0 }, PrunePart::Fetches, PrunePart::Jobs] {
        assert_eq!(ledger.prune_rows(&[scene.job], part, 100).await.expect("refuses").rows, 0);
    }
    scene.balances().await;
    assert_eq!(scene.commit_at(&[ok(&calls[1])], BEFORE).await.finished, [scene.job]);
    assert_eq!(pruned(ledger, false).await, Pruned::default());
    assert_eq!(scene.counts().await.calls_succeeded, 2);
}

/// By the next run, whether it keeps the job or not.
pub async fn a_prune_that_was_interrupted_goes_on(ledger: &dyn Ledger) {
    let scene = finished(ledger).await;
    assert_eq!(ledger.prune_mark(&[scene.job], NOW).await.expect("marks"), [scene.job]);
    assert!(ledger.prune_rows(&[scene.job], PrunePart::Pages, 2).await.expect("deletes").next.is_some());
    assert_eq!(ledger.prunable(&filter(true)).await.expect("reads").len(), 1);
    assert_eq!(pruned(ledger, true).await, Pruned { jobs: 1, pages: 3, calls: 6, fetches: 2 });
    assert_eq!(scene.row().await.pruned_at_ms, Some(NOW), "since it began");
    scene.balances().await;
}
