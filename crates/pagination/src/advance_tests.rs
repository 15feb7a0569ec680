//! Lists of every shape, paged whole by a server in a few lines.

use std::collections::{BTreeSet, HashSet, VecDeque};

use proptest::prelude::*;
use tidegate_contracts::{FetchEnd, Fingerprint, Next, PageFacts, PagePointer};

use super::{advance, begin};
use crate::{Kind, Paging};

/// A list of items 0 to `items`, and how it is served.
#[derive(Debug, Clone)]
struct List {
    items: u64,
    /// Largest page the server grants, whatever is asked for.
    cap: u32,
    tells_total: bool,
    /// Told as the total in place of the true one.
    told: Option<u64>,
    tells_more: bool,
    /// Pages of a chain come with cursors that lead back to this page after the last one.
    loops_to: Option<u64>,
}

impl List {
    fn plain(items: u64) -> Self {
        Self { items, cap: 100, tells_total: false, told: None, tells_more: false, loops_to: None }
    }

    fn serve(&self, paging: &Paging, pointer: &PagePointer) -> (BTreeSet<u64>, PageFacts) {
        let granted = |size: u32| u64::from(size.min(self.cap));
        let (start, size) = match pointer.place() {
            PagePointer::First => (0, u64::from(self.cap)),
            PagePointer::Offset { offset, size } => (*offset, granted(*size)),
            PagePointer::Number { page, size } => {
                let Kind::Number { first, .. } = paging.kind else { panic!("not paged by number") };
                ((page - first) * granted(*size), granted(*size))
            }
            PagePointer::Cursor { cursor } => (cursor.parse().expect("our cursor"), u64::from(self.cap)),
            other => panic!("none of {other:?} here"),
        };
        let end = (start + size).min(self.items);
        let items: BTreeSet<u64> = (start.min(end)..end).collect();
        let more = end < self.items;
        let next = match (paging.kind, self.loops_to) {
            (Kind::Chain, Some(page)) if !more => Some(Next::Cursor((page * u64::from(self.cap)).to_string())),
            (Kind::Chain, _) => more.then(|| Next::Cursor(end.to_string())),
            _ => None,
        };
        let facts = PageFacts {
            items: u32::try_from(items.len()).expect("a page is small"),
            total: self.told.or(self.tells_total.then_some(self.items)),
            next,
            has_more: self.tells_more.then_some(more),
            fingerprint: Fingerprint(i64::try_from(start).expect("small")),
            ..PageFacts::default()
        };
        (items, facts)
    }

    /// Pages the list whole: what came, how often, and how it ended.
    fn page(&self, paging: &Paging) -> Paged {
        let mut paged = Paged::default();
        let mut asked = HashSet::new();
        let mut open: VecDeque<_> = begin(paging).pointers().collect();
        while let Some((pointer, ordinal)) = open.pop_front() {
            if !asked.insert(pointer.canonical()) {
                paged.ends.insert(FetchEnd::RepeatedPointer.name());
                continue;
            }
            let (items, facts) = self.serve(paging, &pointer);
            paged.calls += 1;
            paged.items += items.len() as u64;
            paged.distinct.extend(items);
            let next = advance(paging, &pointer, ordinal, &facts);
            paged.ends.extend(next.end.map(FetchEnd::name));
            open.extend(next.pages.iter().flat_map(tidegate_contracts::NewPages::pointers));
        }
        paged
    }
}

#[derive(Debug, Default)]
struct Paged {
    calls: u64,
    items: u64,
    distinct: BTreeSet<u64>,
    ends: BTreeSet<&'static str>,
}

fn offset(size: u32) -> Paging {
    Paging::new(Kind::Offset { size })
}

fn number(size: u32, first: u64) -> Paging {
    Paging::new(Kind::Number { size, first })
}

#[test]
fn a_list_that_tells_its_total_is_asked_for_in_the_fewest_calls() {
    for paging in [offset(100), number(100, 0), number(100, 1)] {
        for (items, calls) in [(0, 1), (1, 1), (100, 1), (101, 2), (1_000, 10), (1_001, 11)] {
            let list = List { tells_total: true, ..List::plain(items) };
            let paged = list.page(&paging);
            assert_eq!((paged.calls, paged.distinct.len() as u64), (calls, items), "{paging:?} {items}");
        }
    }
}

#[test]
fn all_remaining_pages_follow_from_the_first_at_once() {
    let list = List { tells_total: true, ..List::plain(950) };
    let paging = offset(100);
    let (_, facts) = list.serve(&paging, &PagePointer::Offset { offset: 0, size: 100 });
    let next = advance(&paging, &PagePointer::Offset { offset: 0, size: 100 }, 0, &facts);
    assert_eq!(next.pages.iter().map(tidegate_contracts::NewPages::count).sum::<u64>(), 9);
}

#[test]
fn a_server_that_grants_less_than_asked_for_loses_no_item() {
    let list = List { cap: 30, tells_total: true, ..List::plain(950) };
    let paged = list.page(&offset(100));
    assert_eq!((paged.distinct.len(), paged.items), (950, 950));
    assert_eq!(paged.calls, 32);
    let paged = list.page(&number(100, 1));
    assert_eq!(paged.distinct.len(), 950);
}

#[test]
fn strides_end_on_blank_pages_and_waste_at_most_one_call_each() {
    for parallel in [1, 4, 7] {
        for items in [0, 1, 99, 100, 101, 1_000, 1_001] {
            let paging = Paging { parallel, ..offset(100) };
            let paged = List::plain(items).page(&paging);
            assert_eq!(paged.distinct.len() as u64, items);
            assert!(
                paged.calls <= items.div_ceil(100) + u64::from(parallel) + 1,
                "{items} items, {} calls",
                paged.calls
            );
            assert!(paged.ends.contains("blank_page"));
        }
    }
}

#[test]
fn a_short_page_ends_a_list_only_where_the_provider_promises_it() {
    let paging = Paging { short_page_ends: true, ..offset(100) };
    assert_eq!(List::plain(150).page(&paging).calls, 2);
    assert_eq!(List::plain(150).page(&offset(100)).calls, 3);
}

#[test]
fn a_list_that_says_there_is_no_more_ends_without_a_blank_page() {
    let list = List { tells_more: true, ..List::plain(200) };
    assert_eq!(list.page(&offset(100)).calls, 2);
}

#[test]
fn an_answer_that_names_a_next_page_beyond_its_total_is_believed() {
    let paging = offset(100);
    let at = PagePointer::Offset { offset: 100, size: 100 };
    let facts = PageFacts {
        items: 100,
        total: Some(200),
        next: None,
        has_more: Some(true),
        fingerprint: Fingerprint(1),
        ..PageFacts::default()
    };
    let next = advance(&paging, &at, 1, &facts);
    assert_eq!(next.pages[0].pointers().next(), Some((PagePointer::Offset { offset: 200, size: 100 }, 2)));
}

#[test]
fn a_total_that_the_pages_themselves_belie_is_not_believed() {
    // The first page has more; the last one is full, and should not be.
    for (parallel, told) in [(1, 0), (1, 3), (4, 3), (1, 99), (1, 101), (4, 550), (1, 899)] {
        for paging in [offset(100), number(100, 1)].map(|paging| Paging { parallel, ..paging }) {
            let paged = List { told: Some(told), ..List::plain(950) }.page(&paging);
            assert_eq!(paged.distinct.len(), 950, "{paging:?} {told}");
            assert!(paged.calls <= 10 + u64::from(parallel), "{paging:?} {told}: {} calls", paged.calls);
        }
    }
}

#[test]
fn a_page_with_an_item_more_than_was_counted_leads_no_further() {
    let at = PagePointer::Offset { offset: 20, size: 10 };
    let facts = PageFacts {
        items: 6,
        total: Some(25),
        next: None,
        has_more: None,
        fingerprint: Fingerprint(1),
        ..PageFacts::default()
    };
    assert_eq!(advance(&offset(10), &at, 2, &facts).end, Some(FetchEnd::LastPage));
}

#[test]
fn a_chain_follows_its_cursors_to_the_end() {
    let paged = List::plain(1_050).page(&Paging::new(Kind::Chain));
    assert_eq!((paged.calls, paged.distinct.len()), (11, 1_050));
    assert!(paged.ends.contains("last_page"));
}

#[test]
fn a_cursor_that_leads_back_ends_the_chain() {
    for loops_to in 0..10 {
        let list = List { loops_to: Some(loops_to), ..List::plain(1_000) };
        let paged = list.page(&Paging::new(Kind::Chain));
        assert_eq!(paged.distinct.len(), 1_000);
        assert!(paged.ends.contains("repeated_pointer"), "{:?}", paged.ends);
        // The first page has no cursor, so leading back to it costs the pages once more, never for ever.
        assert!(paged.calls <= if loops_to == 0 { 11 } else { 10 });
    }
}

#[test]
fn a_chain_of_pages_that_repeat_ends_though_its_cursors_are_new() {
    let facts = PageFacts {
        items: 1,
        total: None,
        next: Some(Next::Cursor("new".into())),
        has_more: None,
        fingerprint: Fingerprint(1),
        repeated: true,
        ..PageFacts::default()
    };
    let next = advance(&Paging::new(Kind::Chain), &PagePointer::Cursor { cursor: "old".into() }, 7, &facts);
    assert_eq!((next.pages.len(), next.end), (0, Some(FetchEnd::RepeatedPage)));
}

#[test]
fn a_cursor_on_a_page_that_says_it_is_the_last_is_not_followed() {
    let facts = PageFacts {
        items: 5,
        total: None,
        next: Some(Next::Cursor("more".into())),
        has_more: Some(false),
        fingerprint: Fingerprint(1),
        ..PageFacts::default()
    };
    assert_eq!(advance(&Paging::new(Kind::Chain), &PagePointer::First, 0, &facts).end, Some(FetchEnd::LastPage));
}

#[test]
fn no_fetch_has_more_pages_than_its_cap() {
    for kind in [Kind::Chain, Kind::Offset { size: 100 }, Kind::Number { size: 100, first: 1 }] {
        for (tells_total, parallel) in [(false, 1), (false, 3), (true, 1)] {
            let paging = Paging { max_pages: 4, parallel, ..Paging::new(kind) };
            let list = List { tells_total, ..List::plain(100_000) };
            let paged = list.page(&paging);
            assert_eq!(paged.calls, 4, "{kind:?}");
            assert!(paged.ends.contains("page_cap"));
        }
    }
}

#[test]
fn a_total_beyond_all_reason_plans_no_more_than_the_cap() {
    let facts = PageFacts {
        items: 1,
        total: Some(u64::MAX),
        next: None,
        has_more: None,
        fingerprint: Fingerprint(1),
        ..PageFacts::default()
    };
    let next = advance(&offset(100), &PagePointer::Offset { offset: 0, size: 100 }, 0, &facts);
    assert!(
        next.pages.iter().map(tidegate_contracts::NewPages::count).sum::<u64>() < u64::from(Paging::MAX_PAGES_DEFAULT)
    );
    assert_eq!(next.end, Some(FetchEnd::PageCap));
}

proptest! {
    #[test]
    fn any_list_comes_whole_and_the_fetch_ends(
        items in 0_u64..3_000,
        size in 1_u32..150,
        cap in 1_u32..150,
        parallel in 1_u32..9,
        shape in 0_u8..4,
        tells_total: bool,
        tells_more: bool,
    ) {
        let kind = match shape {
            0 => Kind::Chain,
            1 => Kind::Offset { size },
            2 => Kind::Number { size, first: 0 },
            _ => Kind::Number { size, first: 1 },
        };
        let paging = Paging { parallel, ..Paging::new(kind) };
        let list = List { items, cap, tells_total, told: None, tells_more, loops_to: None };
        let paged = list.page(&paging);
        prop_assert_eq!(paged.distinct.len() as u64, items);
        prop_assert_eq!(paged.items, items, "an item came twice");
        let granted = if kind == Kind::Chain { cap } else { cap.min(size) };
        let fewest = items.div_ceil(u64::from(granted)).max(1);
        let waste = if tells_total || kind == Kind::Chain { 0 } else { u64::from(parallel) + 1 };
        prop_assert!(paged.calls <= fewest + waste, "{} calls where {} do", paged.calls, fewest);
    }
}
