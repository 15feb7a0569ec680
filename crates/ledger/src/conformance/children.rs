//! Fetches below fetches.

use tidegate_contracts::{FetchId, NewFetch, Plan};

use super::scene::{Scene, failed, fetch, first, offsets, ok, unbegun};
use crate::{JobState, Ledger};

/// Three levels; a fetch is done when its calls and all below it are.
pub async fn a_parent_finishes_after_its_children(ledger: &dyn Ledger) {
    let (scene, root, roots) = Scene::with_root(ledger, vec![first()]).await;
    let below = |parent: FetchId, step: &str, n| fetch(scene.job, Some(parent), step, n, vec![first()]);
    let plan = Plan { fetches: vec![below(root, "middle", 1), below(root, "middle", 2)], ..ok(&roots[0]) };
    let middle = scene.commit(&[plan]).await.released;
    assert_eq!(scene.counts().await.fetches_open, 3);

    let plan = Plan { fetches: vec![below(middle[0].fetch, "leaves", 3)], ..ok(&middle[0]) };
    let leaves = scene.commit(&[plan, ok(&middle[1])]).await.released;
    // The second of the middle is done; the first waits for its leaf, the root for the first.
    assert_eq!(scene.counts().await.fetches_open, 3);
    let done = async || {
        let steps = ledger.steps(scene.job).await.expect("reads");
        steps.into_iter().map(|step| (step.step, step.fetches, step.fetches_done)).collect::<Vec<_>>()
    };
    let rows = |root, middle, leaves| {
        vec![("roots".to_owned(), 1, root), ("middle".to_owned(), 2, middle), ("leaves".to_owned(), 1, leaves)]
    };
    assert_eq!(done().await, rows(0, 1, 0));
    assert_eq!(scene.commit(&[failed(&leaves[0], true)]).await.finished, [scene.job]);
    assert_eq!(done().await, rows(1, 2, 1));
    assert_eq!((scene.counts().await.fetches_open, scene.state().await), (0, JobState::Succeeded));
}

/// The same follower on two pages is fetched once, in one batch or in two.
pub async fn a_child_met_on_two_pages_is_one(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![offsets(0, 4)]).await;
    let child = |n| fetch(scene.job, Some(root), "children", n, vec![first()]);
    let meet = |call: usize, children: Vec<NewFetch>| Plan { fetches: children, ..ok(&calls[call]) };
    let plans = [meet(0, vec![child(1), child(2), child(1)]), meet(1, vec![child(2), child(3)])];
    let mut open = scene.commit(&plans).await.released;
    assert_eq!(open.iter().map(|call| call.fetch).collect::<Vec<_>>(), [1, 2, 3].map(|n| child(n).fetch));
    assert_eq!(scene.counts().await.fetches_planned, 4);

    // One of them is done when it is met again.
    scene.commit(&[ok(&open.remove(0))]).await;
    open.extend(scene.commit(&[meet(2, vec![child(1), child(3), child(4)])]).await.released);
    assert_eq!((open.len(), scene.counts().await.fetches_planned), (3, 5));
    open.push(calls[3].clone());
    assert_eq!(scene.run(open).await, (4, 1));
}

/// An item that lacks what the step needs is a failure, and holds nobody up, alone or among others.
pub async fn a_child_that_cannot_begin_is_a_failed_call(ledger: &dyn Ledger) {
    for others in [0, 2] {
        let (scene, root, calls) = Scene::with_root(ledger, vec![first()]).await;
        let child = |n| fetch(scene.job, Some(root), "children", n, vec![first()]);
        let mut fetches = vec![unbegun(child(0), false)];
        fetches.extend((1..=others).map(child));
        let plan = Plan { fetches, ..ok(&calls[0]) };
        let committed = scene.commit(&[plan.clone(), plan]).await;
        assert_eq!(committed.released.len() as i64, others);
        let counts = scene.counts().await;
        assert_eq!((counts.calls_failed, counts.calls_tolerated, counts.requests), (1, 0, 1));
        if others == 0 {
            assert_eq!(committed.finished, [scene.job]);
        } else {
            assert_eq!(scene.run(committed.released).await, (2, 1));
        }
        assert_eq!((scene.state().await, scene.counts().await.fetches_open), (JobState::Failed, 0));
    }
}

/// The same where the step says `on_failure: continue`.
pub async fn a_tolerated_child_that_cannot_begin_fails_nothing(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![first()]).await;
    let child = |n| fetch(scene.job, Some(root), "children", n, vec![first()]);
    let plan = Plan { fetches: vec![child(1), unbegun(child(2), true), unbegun(child(3), true)], ..ok(&calls[0]) };
    let open = scene.commit(&[plan]).await.released;
    assert_eq!(scene.run(open).await, (1, 1));
    let counts = scene.counts().await;
    assert_eq!((counts.calls_failed, counts.calls_tolerated), (2, 2));
    assert_eq!(scene.state().await, JobState::Succeeded);
    let groups = ledger.failures(scene.job, 10).await.expect("reads");
    assert_eq!((groups.len(), groups[0].calls, groups[0].class.as_str()), (1, 2, "invalid"));
}

/// The first plan may be all there is to a job.
pub async fn a_root_that_cannot_begin_fails_the_job(ledger: &dyn Ledger) {
    for (tolerated, state) in [(false, JobState::Failed), (true, JobState::Succeeded)] {
        let scene = Scene::new(ledger, 10).await;
        let begun = scene.commit(&[scene.begin(vec![unbegun(scene.root(vec![]), tolerated)])]).await;
        assert_eq!((begun.released.len(), begun.finished), (0, vec![scene.job]));
        let counts = scene.counts().await;
        assert_eq!((counts.calls_planned, counts.calls_failed, counts.fetches_planned), (1, 1, 1));
        assert_eq!(scene.state().await, state);
    }
}

/// An empty range leaves nothing to do.
pub async fn a_fetch_without_pages_holds_nobody_up(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![first()]).await;
    let child = |n, pages| fetch(scene.job, Some(root), "children", n, pages);
    let plan = Plan { fetches: vec![child(1, vec![offsets(3, 3)]), child(2, vec![])], ..ok(&calls[0]) };
    assert_eq!(scene.commit(&[plan]).await.finished, [scene.job]);
    let counts = scene.counts().await;
    assert_eq!((counts.fetches_planned, counts.fetches_open, counts.calls_planned), (3, 0, 1));
    assert_eq!(scene.state().await, JobState::Succeeded);
}
