//! Beginning, and calls going out into the windows.

use tidegate_contracts::{Call, CallId, FetchId, Lane, PagePointer, Params, Plan};

use super::scene::{LEASE, NOW, Scene, empty, fetch, first, new_job, offsets, ok};
use crate::{JobState, Ledger, NewJob, Windows};

/// A submitted job that is planned again has begun already.
pub async fn a_first_plan_begins_once(ledger: &dyn Ledger) {
    let scene = Scene::new(ledger, 100).await;
    let plan = scene.begin(vec![scene.root(vec![first()]), fetch(scene.job, None, "others", 1, vec![first()])]);
    let beside = scene.begin(vec![fetch(scene.job, None, "beside", 2, vec![first()])]);
    let begun = scene.commit(&[plan.clone(), plan.clone(), beside]).await;
    assert_eq!((begun.released.len(), begun.progressed), (2, vec![scene.job]));
    assert_eq!((begun.stopped, begun.finished), (vec![], vec![]));
    let row = scene.row().await;
    assert_eq!((row.state, row.started_at_ms, row.finished_at_ms), (JobState::Running, Some(NOW), None));
    assert_eq!((row.counts.calls_planned, row.counts.calls_open, row.counts.calls_released), (2, 2, 2));
    assert_eq!((row.counts.fetches_planned, row.counts.fetches_open), (2, 2));

    // It comes again, and another that says something else comes too late.
    let late = scene.begin(vec![fetch(scene.job, None, "late", 2, vec![first()])]);
    for plans in [vec![plan], vec![late]] {
        let again = scene.commit_at(&plans, NOW + 1).await;
        assert!(again.released.is_empty() && again.finished.is_empty());
        assert_eq!(scene.counts().await, row.counts);
    }
    assert_eq!(scene.row().await.started_at_ms, Some(NOW));
}

/// Plans of jobs, fetches and calls that the ledger has never heard of.
pub async fn a_plan_of_nothing_known_changes_nothing(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![first()]).await;
    let before = scene.counts().await;
    let stranger = Scene { job: new_job("never submitted").id, ledger, windows: scene.windows.clone() };
    let begun = scene.commit(&[stranger.begin(vec![stranger.root(vec![first()])])]).await;
    assert!(begun.released.is_empty() && begun.progressed.is_empty() && begun.finished.is_empty());

    let unknown =
        Call { call: CallId::derive(calls[0].fetch, &PagePointer::Number { page: 9, size: 1 }), ..calls[0].clone() };
    let ended = Plan { pages: vec![offsets(0, 3)], ..super::scene::skipped(&unknown) };
    let committed = scene.commit(&[ended]).await;
    assert!(committed.released.is_empty() && committed.finished.is_empty());
    assert_eq!(scene.counts().await, before);
    let nothing = scene.commit(&[]).await;
    assert!(nothing.released.is_empty() && nothing.progressed.is_empty() && nothing.finished.is_empty());
}

/// No more calls are out than the window takes, the next ones in the order of planning.
pub async fn calls_go_out_in_order_and_only_into_the_window(ledger: &dyn Ledger) {
    let scene = Scene::new(ledger, 3).await;
    let other = fetch(scene.job, None, "others", 1, vec![first()]);
    let begun = scene.commit(&[scene.begin(vec![scene.root(vec![offsets(0, 6)]), other])]).await;
    let mut seen: Vec<u32> = begun.released.iter().map(|call| call.ordinal).collect();
    assert_eq!(seen, [0, 1, 2]);
    assert_eq!(scene.counts().await.calls_released, 3);

    let two = scene.commit(&[ok(&begun.released[1]), ok(&begun.released[0])]).await.released;
    seen.extend(two.iter().map(|call| call.ordinal));
    assert_eq!(seen, [0, 1, 2, 3, 4]);
    assert_eq!(scene.counts().await.calls_released, 3);
    // What was planned first goes out first, though younger calls are in the same fetch.
    let more = Plan { pages: vec![offsets(6, 7)], ..ok(&begun.released[2]) };
    assert_eq!(scene.commit(&[more]).await.released[0].ordinal, 5);
    let root = scene.commit(&[ok(&two[0])]).await.released;
    assert_eq!((root.len(), root[0].step.as_str()), (1, "others"));

    // A window that has shrunk holds back what it must.
    let small = Scene { windows: Windows { calls: [1; 4], ..scene.windows.clone() }, ..scene };
    assert!(small.commit(&[ok(&two[1])]).await.released.is_empty());
    assert_eq!(small.counts().await.calls_released, 2);
}

/// Everything in a released call comes from what was planned.
pub async fn a_released_call_says_all_that_an_executor_needs(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![offsets(4, 5)]).await;
    let pointer = PagePointer::Offset { offset: 40, size: 10 };
    let params: Params = [("n", 0)].into_iter().collect();
    assert_eq!(root, FetchId::derive(scene.job, None, "roots", &params));
    let expected = Call { ordinal: 4, provider: "mastodon".into(), ..Call::root(scene.job, "roots", params, pointer) };
    assert_eq!(calls, [expected]);
}

/// Of many jobs of a provider and lane each has a part of what they share.
pub async fn many_jobs_share_what_may_be_out(ledger: &dyn Ledger) {
    let windows = Windows { calls: [100; 4], shared: 40, ..Windows::default() };
    let mut released = Vec::new();
    for name in ["one", "two", "three", "four"] {
        let new = new_job(name);
        ledger.submit(&new, NOW).await.expect("submits");
        let plan = Plan { fetches: vec![fetch(new.id, None, "roots", 0, vec![offsets(0, 99)])], ..empty(new.id) };
        let windows = windows.shared_by(ledger.lanes_open().await.expect("reads"));
        released.push(ledger.commit(&[plan], &windows, NOW).await.expect("commits").released.len());
    }
    assert_eq!(released, [40, 20, 13, 10]);
}

/// A job's lane chooses its window; jobs don't share it.
pub async fn each_lane_has_its_own_window(ledger: &dyn Ledger) {
    let windows = Windows { calls: [4, 3, 2, 1], lease_ms: LEASE, ..Windows::default() };
    for (lane, window) in Lane::ALL.into_iter().zip(windows.calls) {
        let mut plans = Vec::new();
        for name in ["one", "two"] {
            let new = NewJob { lane, ..new_job(name) };
            ledger.submit(&new, NOW).await.expect("submits");
            plans.push(Plan { fetches: vec![fetch(new.id, None, "roots", 0, vec![offsets(0, 9)])], ..empty(new.id) });
        }
        let released = ledger.commit(&plans, &windows, NOW).await.expect("commits").released;
        for plan in plans {
            assert_eq!(released.iter().filter(|call| call.job == plan.job).count(), window as usize, "{lane}");
        }
    }
}

/// A job of the normal lane with very many open calls goes on in `bulk` until it has few; others stay where they asked to be.
pub async fn a_whale_is_moved_to_bulk_and_back(ledger: &dyn Ledger) {
    let windows = Windows { calls: [10; 4], whale_calls: 6, lease_ms: LEASE, ..Windows::default() };
    let begin = async |lane, calls| {
        let new = NewJob { lane, ..new_job(&format!("{lane} {calls}")) };
        ledger.submit(&new, NOW).await.expect("submits");
        let fetches = vec![fetch(new.id, None, "roots", 0, vec![offsets(0, calls)])];
        let plan = Plan { fetches, ..empty(new.id) };
        (new.id, ledger.commit(&[plan], &windows, NOW).await.expect("commits").released)
    };
    let (whale, out) = begin(Lane::Normal, 20).await;
    let (small, _) = begin(Lane::Normal, 5).await;
    let (urgent, _) = begin(Lane::Interactive, 20).await;
    let lanes = async |windows: &Windows| {
        ledger.sweep(false, windows, NOW).await.expect("sweeps");
        let mut lanes = Vec::new();
        for id in [whale, small, urgent] {
            let row = ledger.job(id).await.expect("reads").expect("is there");
            lanes.push((row.lane, row.lane_asked));
        }
        lanes
    };
    let (bulk, normal) = ((Lane::Bulk, Some(Lane::Normal)), (Lane::Normal, None));
    assert!(out.iter().all(|call| call.lane == Lane::Normal));
    assert_eq!(lanes(&windows).await, [bulk, normal, (Lane::Interactive, None)]);
    assert_eq!(lanes(&windows).await[0], bulk, "it stays there");
    let next = ledger.commit(&[ok(&out[0])], &windows, NOW).await.expect("commits").released;
    assert_eq!(next.iter().map(|call| call.lane).collect::<Vec<_>>(), [Lane::Bulk]);
    let open = ledger.lanes_open().await.expect("reads");
    assert_eq!(open.iter().map(|open| open.lane).collect::<Vec<_>>(), [Lane::Interactive, Lane::Normal, Lane::Bulk]);

    assert_eq!(lanes(&Windows { whale_calls: 38, ..windows.clone() }).await[0], bulk, "19 is half of 38");
    assert_eq!(lanes(&Windows { whale_calls: 39, ..windows.clone() }).await[0], normal);
    assert_eq!(lanes(&windows).await[0], bulk, "it has as many as before");
    assert_eq!(lanes(&Windows { whale_calls: 0, ..windows.clone() }).await[0], normal, "there are no whales any more");
}
