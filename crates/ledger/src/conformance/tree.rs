//! The tree, shown page by page.

use tidegate_contracts::{CallId, End, FetchEnd, FetchId, Params, Plan};

use super::scene::{ITEMS, NOW, Scene, deferred, end, failed, fetch, first, offsets, ok, skipped, unbegun};
use crate::{FailedCall, FailedFilter, FetchFilter, FetchRow, Ledger};

/// A level of the tree in the order of planning, as far as one asks.
pub async fn fetches_are_shown_level_by_level(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![offsets(0, 3)]).await;
    let children: Vec<_> = (0..5)
        .map(|n| fetch(scene.job, Some(root), if n == 2 { "others" } else { "children" }, n, vec![first()]))
        .collect();
    let ids: Vec<FetchId> = children.iter().map(|child| child.fetch).collect();
    let plan = Plan { fetches: children, total: Some(30), fetch_end: Some(FetchEnd::LastPage), ..ok(&calls[0]) };
    let out = scene.commit_at(&[plan, failed(&calls[1], true)], NOW + 1).await.released;
    scene.commit_at(&[skipped(out.iter().find(|call| call.fetch == ids[0]).expect("is out"))], NOW + 2).await;
    let (_, elsewhere, _) = Scene::with_root(ledger, vec![first()]).await;

    let shown = async |filter: FetchFilter| ledger.fetches(scene.job, &filter).await.expect("reads");
    let all = FetchFilter { limit: 10, ..FetchFilter::default() };
    let row = FetchRow {
        id: root,
        parent: None,
        step: "roots".into(),
        params: r#"{"n":0}"#.into(),
        total: Some(30),
        fetch_end: Some("last_page".into()),
        calls_planned: 3,
        calls_open: 1,
        calls_succeeded: 1,
        calls_skipped: 0,
        calls_failed: 1,
        calls_cancelled: 0,
        children_open: 4,
        blockers_open: 0,
        items: u64::from(ITEMS),
        created_at_ms: NOW,
        finished_at_ms: None,
    };
    assert_eq!(shown(all.clone()).await, [row]);
    let below = FetchFilter { parent: Some(root), ..all.clone() };
    let first = &shown(FetchFilter { limit: 1, ..below.clone() }).await[0];
    assert_eq!((first.id, first.parent, first.total, &first.fetch_end), (ids[0], Some(root), None, &None));
    assert_eq!((first.calls_skipped, first.created_at_ms, first.finished_at_ms), (1, NOW + 1, Some(NOW + 2)));

    let found = async |filter| shown(filter).await.iter().map(|row| row.id).collect::<Vec<_>>();
    assert_eq!(found(below.clone()).await, ids);
    assert_eq!(found(FetchFilter { after: Some(ids[1]), limit: 2, ..below.clone() }).await, ids[2..4]);
    let of_step = FetchFilter { step: Some("children".into()), ..below.clone() };
    assert_eq!(found(FetchFilter { after: Some(ids[0]), limit: 2, ..of_step }).await, [ids[1], ids[3]]);
    let unknown = FetchId::derive(scene.job, None, "nobody", &Params::default());
    assert_eq!(found(FetchFilter { after: Some(unknown), ..below }).await, []);
    // Another job's fetches are not this one's, whoever asks.
    assert_eq!(found(FetchFilter { parent: Some(elsewhere), ..all }).await, []);
}

/// What people look at when something failed: each call, with all that was said of it.
pub async fn failed_calls_are_shown_one_by_one(ledger: &dyn Ledger) {
    let (scene, root, calls) = Scene::with_root(ledger, vec![offsets(0, 6)]).await;
    scene.commit(&[deferred(&calls[2], NOW, 1)]).await;
    let mut hard = failed(&calls[2], false);
    if let Some(ended) = &mut hard.ended {
        ended.attempt = 4;
    }
    let child = unbegun(fetch(scene.job, Some(root), "children", 1, vec![]), true);
    let plan = Plan { fetches: vec![child.clone()], ..ok(&calls[0]) };
    scene.commit(&[skipped(&calls[4]), hard, plan, end(&calls[1], End::Cancelled)]).await;
    let (other, _, others) = Scene::with_root(ledger, vec![first()]).await;
    other.commit(&[failed(&others[0], false)]).await;

    let found = async |filter: FailedFilter| ledger.failed_calls(scene.job, &filter).await.expect("reads");
    let shown = async |after, limit| found(FailedFilter { after, limit, ..FailedFilter::default() }).await;
    let all = shown(None, 10).await;
    let expected = FailedCall {
        call: calls[2].call,
        fetch: root,
        step: "roots".into(),
        params: r#"{"n":0}"#.into(),
        pointer: calls[2].pointer.clone(),
        state: "failed".into(),
        class: "invalid".into(),
        status: Some(422),
        message: "it is invalid".into(),
        attempt: 4,
    };
    assert_eq!(all[0], expected);
    assert_eq!((all[1].call, all[1].state.as_str(), all[1].status), (calls[4].call, "skipped", Some(404)));
    assert_eq!((all[2].fetch, all[2].step.as_str(), all[2].status), (child.fetch, "children", None));
    assert_eq!(all.len(), 3);
    assert_eq!(shown(None, 1).await, all[..1]);
    assert_eq!(shown(Some(all[0].call), 1).await, all[1..2]);
    assert_eq!(shown(Some(all[2].call), 10).await, []);
    let unknown = CallId::derive(root, &tidegate_contracts::PagePointer::First);
    assert_eq!(shown(Some(unknown), 10).await, []);

    let any = FailedFilter { limit: 10, ..FailedFilter::default() };
    let of_root = FailedFilter { fetch: Some(root), ..any.clone() };
    assert_eq!(found(of_root.clone()).await, all[..2]);
    assert_eq!(found(FailedFilter { after: Some(all[0].call), limit: 1, ..of_root.clone() }).await, all[1..2]);
    assert_eq!(found(FailedFilter { step: Some("children".into()), ..any.clone() }).await, all[2..]);
    assert_eq!(found(FailedFilter { class: Some("invalid".into()), ..of_root.clone() }).await, all[..1]);
    assert_eq!(found(FailedFilter { step: Some("children".into()), ..of_root }).await, []);
    assert_eq!(found(FailedFilter { fetch: Some(others[0].fetch), ..any }).await, [], "another job's fetch");
}
