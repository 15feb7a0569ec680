//! What people are told.

use tidegate_contracts::{Class, End, FetchEnd, Plan, Wait, WaitReason};

use super::scene::{ITEMS, NOW, Scene, deferred, end, failed, failure, fetch, first, offsets, ok, skipped};
use crate::{FailureGroup, Ledger, StepRow, Waiting};

/// By step, state, class, status and message; failed before skipped, then the largest first.
pub async fn failures_are_grouped(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![offsets(0, 8)]).await;
    let with =
        |n: usize, class, status| end(&calls[n], End::Failed { failure: failure(class, status), tolerated: true });
    let child = |n| super::scene::unbegun(fetch(scene.job, Some(root), "children", n, vec![]), true);
    let plans = [
        Plan { fetches: vec![child(1), child(2), child(3)], ..ok(&calls[0]) },
        with(1, Class::Timeout, None),
        with(2, Class::Transient, Some(503)),
        with(3, Class::Transient, Some(500)),
        with(4, Class::Transient, Some(503)),
        skipped(&calls[5]),
        skipped(&calls[6]),
        skipped(&calls[7]),
    ];
    scene.commit(&plans).await;
    let groups = ledger.failures(scene.job, 10).await.expect("reads");
    let told = |group: &FailureGroup| {
        (group.step.clone(), group.state.clone(), group.class.clone(), group.status, group.calls)
    };
    let told: Vec<_> = groups.iter().map(told).collect();
    let row =
        |step: &str, state: &str, class: &str, status, calls| (step.into(), state.into(), class.into(), status, calls);
    assert_eq!(told[0], row("children", "failed", "invalid", None, 3));
    assert_eq!(told[1], row("roots", "failed", "transient", Some(503), 2));
    assert_eq!(told[4], row("roots", "skipped", "not_found", Some(404), 3));
    assert_eq!(told.len(), 5);
    assert!(told[2..4].contains(&row("roots", "failed", "timeout", None, 1)));
    assert!(told[2..4].contains(&row("roots", "failed", "transient", Some(500), 1)));
    assert_eq!((groups[1].message.as_str(), groups[1].example.as_str()), ("it is transient", r#"{"n":0}"#));
    assert_eq!(ledger.failures(scene.job, 2).await.expect("reads"), groups[..2]);
}

/// Whatever the list's other pages end with, in the same transaction or another: it may not be whole.
pub async fn a_guard_that_stopped_a_fetch_is_remembered(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 4)]).await;
    let ended = |call, how| Plan { fetch_end: Some(how), ..ok(call) };
    scene.commit(&[ended(&calls[0], FetchEnd::PageCap), ended(&calls[1], FetchEnd::BlankPage)]).await;
    scene.commit(&[ended(&calls[2], FetchEnd::LastPage)]).await;
    let steps = ledger.steps(scene.job).await.expect("reads");
    assert_eq!(steps[0].guards, [("page_cap".to_owned(), 1)]);
}

/// Over all fetches of a step, in the order in which the steps came up.
pub async fn steps_are_counted(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![offsets(0, 4)]).await;
    let child = |n| fetch(scene.job, Some(root), "children", n, vec![first()]);
    let plan = Plan { fetches: vec![child(1), child(2), child(3)], ..ok(&calls[0]) };
    let children = scene.commit(&[plan, skipped(&calls[1]), failed(&calls[2], true)]).await.released;
    let capped = Plan { fetch_end: Some(FetchEnd::PageCap), ..ok(&children[0]) };
    let repeated = Plan { fetch_end: Some(FetchEnd::RepeatedPage), ..ok(&children[1]) };
    let blank = Plan { fetch_end: Some(FetchEnd::BlankPage), ..end(&children[2], End::Succeeded { items: 0 }) };
    scene.commit(&[capped, repeated, blank]).await;
    let mut steps = ledger.steps(scene.job).await.expect("reads");
    steps[1].guards.sort();
    let items = u64::from(ITEMS);
    let zero = StepRow {
        step: String::new(),
        fetches: 0,
        fetches_done: 0,
        fetches_paged: 0,
        calls_planned: 0,
        calls_open: 0,
        calls_failed: 0,
        calls_skipped: 0,
        calls_paged: 0,
        items: 0,
        left_out: 0,
        guards: vec![],
    };
    let roots = StepRow {
        step: "roots".into(),
        fetches: 1,
        calls_planned: 4,
        calls_open: 1,
        calls_failed: 1,
        calls_skipped: 1,
        items,
        ..zero.clone()
    };
    let guards = vec![("page_cap".into(), 1), ("repeated_page".into(), 1)];
    let children = StepRow {
        step: "children".into(),
        fetches: 3,
        fetches_done: 3,
        fetches_paged: 3,
        calls_planned: 3,
        calls_paged: 3,
        items: 2 * items,
        guards,
        ..zero
    };
    assert_eq!(steps, [roots, children]);
}

/// How many calls wait for what, and when the first is due; what is due waits no more.
pub async fn waits_are_told_by_reason(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 5)]).await;
    let backoff = WaitReason::Backoff(Class::Timeout);
    let wait = Wait { until_ms: NOW + 50, reason: backoff.clone() };
    let plans = [
        deferred(&calls[0], NOW + 300, 0),
        deferred(&calls[1], NOW + 200, 0),
        deferred(&calls[2], NOW + 100, 0),
        end(&calls[3], End::Deferred { wait }),
    ];
    scene.commit(&plans).await;
    let limit = WaitReason::Limit("token".into());
    let rows = |reason: &WaitReason, calls, until_ms, last_until_ms| Waiting {
        reason: reason.clone(),
        calls,
        until_ms,
        last_until_ms,
    };
    let row = |reason: &WaitReason, calls, until_ms| rows(reason, calls, until_ms, until_ms);
    let waiting = async |now_ms| ledger.waiting(scene.job, now_ms).await.expect("reads");
    assert_eq!(waiting(NOW).await, [rows(&limit, 3, NOW + 100, NOW + 300), row(&backoff, 1, NOW + 50)]);
    assert_eq!(waiting(NOW + 100).await, [rows(&limit, 2, NOW + 200, NOW + 300)]);
    scene.commit(&[ok(&calls[1]), skipped(&calls[0])]).await;
    assert_eq!(waiting(NOW).await, [row(&limit, 1, NOW + 100), row(&backoff, 1, NOW + 50)]);
    assert_eq!(waiting(NOW + 300).await, []);
}
