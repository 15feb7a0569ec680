//! More pages of a fetch.

use tidegate_contracts::{FetchEnd, NewPages, PagePointer, Plan};

use super::scene::{Scene, cursor, first, offsets, ok};
use crate::{JobState, Ledger};

/// A chain of pages, one by one.
pub async fn one_page_follows_another(ledger: &dyn Ledger) {
    let (scene, root, mut calls) = Scene::with_root(ledger, vec![first()]).await;
    let url = NewPages::One { pointer: PagePointer::Url { url: "https://example.org/?page=\"3\"".into() }, ordinal: 2 };
    for (page, next) in [cursor("a\"\\\u{e4}\n", 1), url].into_iter().enumerate() {
        let (pointer, ordinal) = next.pointers().next().expect("one");
        calls = scene.commit(&[Plan { pages: vec![next], ..ok(&calls[0]) }]).await.released;
        assert_eq!(
            (calls.len(), &calls[0].pointer, calls[0].ordinal, calls[0].fetch),
            (1, &pointer, ordinal, root),
            "{page}"
        );
    }
    let end = Plan { fetch_end: Some(FetchEnd::LastPage), ..ok(&calls[0]) };
    assert_eq!(scene.commit(&[end]).await.finished, [scene.job]);
    assert_eq!((scene.counts().await.calls_succeeded, scene.state().await), (3, JobState::Succeeded));
    assert!(ledger.steps(scene.job).await.expect("reads")[0].guards.is_empty());
}

/// A first page that tells the total plans all others at once, however many, by offset and by number.
pub async fn a_range_is_planned_whole(ledger: &dyn Ledger) {
    const PAGES: u64 = 20_000;
    let numbers = NewPages::Numbers { from: 2, until: PAGES + 1, size: 10, ordinal: 1 };
    for range in [offsets(1, PAGES), numbers] {
        let pointers: Vec<(PagePointer, u32)> = range.pointers().collect();
        let (scene, _, calls) = Scene::with_root(ledger, vec![first()]).await;
        let plan = Plan { pages: vec![range], total: Some(PAGES * 10), ..ok(&calls[0]) };
        let begun = scene.commit(&[plan.clone(), plan]).await;
        let counts = scene.counts().await;
        assert_eq!((counts.calls_planned, counts.calls_open, counts.calls_released), (PAGES, PAGES - 1, 100));
        let out: Vec<_> = begun.released.into_iter().map(|call| (call.pointer, call.ordinal)).collect();
        assert_eq!(out, pointers[..100]);
        // Sparing the time of ending them all.
        ledger.cancel(scene.job, "seen enough", 0).await.expect("cancels");
        assert_eq!(scene.counts().await.calls_cancelled, PAGES - 1 - 100);
    }
    Scene::new(ledger, 1).await.balances().await;
}

/// Overlapping ranges, as from two pages that tell different totals, plan each page once.
pub async fn pages_that_are_known_are_not_counted_again(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 3)]).await;
    let wide = Plan { pages: vec![offsets(1, 5), offsets(1, 5), offsets(4, 6)], ..ok(&calls[0]) };
    let wider = Plan { pages: vec![offsets(2, 8), offsets(7, 7)], ..ok(&calls[1]) };
    let released = scene.commit(&[wide, wider]).await.released;
    assert_eq!(released.iter().map(|call| call.ordinal).collect::<Vec<_>>(), [3, 4, 5, 6, 7]);
    assert_eq!(scene.counts().await.calls_planned, 8);
    // A single page by offset that is known is no chain that leads back.
    let known = NewPages::One { pointer: PagePointer::Offset { offset: 20, size: 10 }, ordinal: 2 };
    let new = NewPages::One { pointer: PagePointer::Offset { offset: 80, size: 10 }, ordinal: 8 };
    let known = Plan { pages: vec![known, new.clone(), new], ..ok(&released[0]) };
    assert_eq!(scene.commit(&[known]).await.released.len(), 1);
    assert_eq!(scene.counts().await.calls_planned, 9);
    assert!(ledger.steps(scene.job).await.expect("reads")[0].guards.is_empty());
}

/// A fetch that begins with several ranges begins with each page once.
pub async fn first_pages_that_overlap_are_counted_once(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 3), first(), first(), offsets(2, 4)]).await;
    assert_eq!(calls.len(), 5);
    assert_eq!(scene.counts().await.calls_planned, 5);
    assert_eq!(scene.run(calls).await, (5, 1));
}

/// An endless list ends by itself: the next page is one that was asked for.
pub async fn a_chain_that_leads_back_ends(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![first()]).await;
    let second = scene.commit(&[Plan { pages: vec![cursor("a", 1)], ..ok(&calls[0]) }]).await.released;
    let third = scene.commit(&[Plan { pages: vec![cursor("b", 2)], ..ok(&second[0]) }]).await.released;
    let back = scene.commit(&[Plan { pages: vec![cursor("a", 3)], ..ok(&third[0]) }]).await;
    assert!(back.released.is_empty());
    assert_eq!(back.finished, [scene.job]);
    let steps = ledger.steps(scene.job).await.expect("reads");
    assert_eq!(steps[0].guards, [("repeated_pointer".to_owned(), 1)]);
    assert_eq!((scene.counts().await.calls_succeeded, scene.state().await), (3, JobState::Succeeded));
}

/// Two chains that meet go on as one.
pub async fn two_calls_that_name_the_same_next_page_plan_it_once(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![cursor("a", 0), cursor("b", 0)]).await;
    let meet = |n: usize| Plan { pages: vec![cursor("c", 1)], ..ok(&calls[n]) };
    let met = scene.commit(&[meet(0), meet(1)]).await.released;
    assert_eq!((met.len(), scene.counts().await.calls_planned), (1, 3));
    assert_eq!(scene.run(met).await, (1, 1));
    let steps = ledger.steps(scene.job).await.expect("reads");
    assert_eq!(steps[0].guards, [("repeated_pointer".to_owned(), 1)]);
}

/// The list may not be whole, however its other pages end.
pub async fn a_guard_stays_whatever_ends_after_it(ledger: &dyn Ledger) {
    let (scene, _, calls) = Scene::with_root(ledger, vec![offsets(0, 4)]).await;
    let ends = |n: usize, end| Plan { fetch_end: Some(end), ..ok(&calls[n]) };
    scene.commit(&[ends(0, FetchEnd::PageCap), ends(1, FetchEnd::LastPage)]).await;
    scene.commit(&[ends(2, FetchEnd::BlankPage)]).await;
    scene.commit(&[ok(&calls[3])]).await;
    let steps = ledger.steps(scene.job).await.expect("reads");
    assert_eq!(steps[0].guards, [("page_cap".to_owned(), 1)]);
}
