//! Any list, drawn at random, read whole: by messages that come in any order and more than once, from an API of any shape.
//!
//! The API is a list of items in a few lines; the harness does what planner, executor and ledger do with pages: calls are
//! known by their pointers, a page that came before is told as `repeated`, a page that is too large is asked for again in
//! smaller ones, and items that are not wanted are left out.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use proptest::prelude::*;
use tidegate_contracts::{FetchEnd, Fingerprint, NewPages, Next, PageFacts, PagePointer};
use tidegate_pagination::{Kind, Paging, advance, begin, begin_range, keep, shrink};

/// How pages are pointed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Offset,
    Number0,
    Number1,
    /// A cursor that counts items.
    Cursor,
    /// The last item is the cursor.
    LastId,
    /// The same, and it comes again.
    Overlap,
}

/// What is said of the list's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Total {
    Never,
    Always,
    FirstPageOnly,
    /// On every page but each third one.
    Sometimes,
    /// So many too many.
    TooMany(u64),
    /// By a call of its own.
    Counted,
}

/// What happens to the list while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drift {
    None,
    /// So many items more at the end with every third call.
    Grows(u64),
    /// An item more at the top with every third call.
    Top,
    /// So many items fewer at the end with every third call.
    Shrinks(u64),
}

/// Calls after which a list drifts no more.
const DRIFTS_UNTIL: u64 = 60;

#[derive(Debug, Clone)]
struct Api {
    way: Way,
    items: u64,
    size: u32,
    /// Largest page granted.
    cap: u32,
    total: Total,
    tells_more: bool,
    drift: Drift,
    /// Every second item is counted and not shown.
    hides: bool,
    /// Pages of more items are refused.
    too_much: Option<u32>,
    /// The last page comes again and again under new pointers.
    endless: bool,
    parallel: u32,
    limit: Option<u64>,
    seed: u64,
}

impl Api {
    fn plain(way: Way, items: u64) -> Self {
        Self {
            way,
            items,
            size: 10,
            cap: 1_000,
            total: Total::Never,
            tells_more: false,
            drift: Drift::None,
            hides: false,
            too_much: None,
            endless: false,
            parallel: 1,
            limit: None,
            seed: 0,
        }
    }

    fn is_chain(&self) -> bool {
        matches!(self.way, Way::Cursor | Way::LastId | Way::Overlap)
    }

    fn is_by_number(&self) -> bool {
        matches!(self.way, Way::Number0 | Way::Number1)
    }

    fn granted(&self) -> u64 {
        u64::from(self.size.min(self.cap))
    }

    fn paging(&self) -> Paging {
        let kind = match self.way {
            Way::Offset => Kind::Offset { size: self.size },
            Way::Number0 => Kind::Number { size: self.size, first: 0 },
            Way::Number1 => Kind::Number { size: self.size, first: 1 },
            Way::Cursor | Way::LastId | Way::Overlap => Kind::Chain,
        };
        Paging {
            size: Some(self.size),
            min_size: self.too_much.map(|_| 1),
            overlaps: self.way == Way::Overlap,
            in_order: self.drift == Drift::Top && kind != Kind::Chain,
            counted: self.total == Total::Counted,
            parallel: self.parallel,
            limit: self.limit,
            ..Paging::new(kind)
        }
    }

    /// Without what makes it impossible to read it whole; the documentation says each.
    fn possible(mut self) -> Self {
        if self.is_chain() && self.total == Total::Counted {
            self.total = Total::Never;
        }
        if self.hides {
            // A page holds a shown item, whatever its size, and the item that is the cursor is shown.
            self.size = (self.size / 2 * 2).max(4);
            self.cap = (self.cap / 2 * 2).max(4);
            (self.too_much, self.drift) = (None, Drift::None);
            if matches!(self.way, Way::LastId | Way::Overlap) {
                self.way = Way::Cursor;
            }
        }
        // Page numbers count pages as large as they are granted, of which parts, limits and short pages know nothing.
        if self.is_by_number() && (self.hides || self.too_much.is_some() || self.limit.is_some()) {
            self.cap = self.cap.max(self.size);
        }
        if self.way == Way::Overlap {
            // A page of one item holds nothing new.
            (self.cap, self.too_much) = (self.cap.max(2), None);
        }
        if self.endless {
            (self.drift, self.limit, self.tells_more) = (Drift::None, None, false);
            self.endless = !matches!(self.way, Way::LastId | Way::Overlap);
        }
        if self.limit.is_some() {
            self.drift = Drift::None;
        }
        match self.drift {
            // A cursor that is taken away leads nowhere.
            Drift::Shrinks(_) if self.is_chain() => self.drift = Drift::None,
            // A count that came before the list changed is wrong.
            // A list that moves by a whole page between two calls looks like one whose pages come again.
            Drift::Top if self.granted() < 2 || self.too_much.is_some() => self.drift = Drift::None,
            Drift::Shrinks(_) | Drift::Grows(_) | Drift::Top if self.total == Total::Counted => {
                self.total = Total::Always
            }
            _ => {}
        }
        self
    }
}

/// A list as it is at one time; items that come to stand at the top have numbers below 0.
struct List<'a> {
    api: &'a Api,
    top: i64,
    end: i64,
    calls: u64,
}

/// What came of a call.
enum Came {
    Page(Vec<i64>, PageFacts),
    TooMuch,
}

impl<'a> List<'a> {
    fn new(api: &'a Api) -> Self {
        Self { api, top: 0, end: api.items as i64, calls: 0 }
    }

    fn drift(&mut self) {
        self.calls += 1;
        if !self.calls.is_multiple_of(3) || self.calls > DRIFTS_UNTIL {
            return;
        }
        match self.api.drift {
            Drift::None => {}
            Drift::Grows(by) => self.end += by as i64,
            Drift::Top => self.top -= 1,
            Drift::Shrinks(by) => self.end = (self.end - by as i64).max(0),
        }
    }

    /// Items before the page.
    fn start(&self, pointer: &PagePointer, granted: u64) -> u64 {
        match pointer.place() {
            PagePointer::Offset { offset, .. } => *offset,
            PagePointer::Number { page, .. } => (page - u64::from(self.api.way == Way::Number1)) * granted,
            PagePointer::Cursor { cursor } => {
                let at: i64 = cursor.parse().expect("our cursor");
                match self.api.way {
                    Way::LastId => (at - self.top + 1) as u64,
                    Way::Overlap => (at - self.top) as u64,
                    _ => at as u64,
                }
            }
            _ => 0,
        }
    }

    fn answer(&self, pointer: &PagePointer) -> Came {
        let (api, len) = (self.api, (self.end - self.top) as u64);
        if let PagePointer::Count = pointer.place() {
            return Came::Page(Vec::new(), PageFacts { total: Some(len), ..PageFacts::default() });
        }
        let granted = u64::from(pointer.size().unwrap_or(api.size).min(api.cap));
        if api.too_much.is_some_and(|most| granted > u64::from(most)) {
            return Came::TooMuch;
        }
        let asked = self.start(pointer, granted);
        let start = if api.endless && asked >= len { len.saturating_sub(1) / granted * granted } else { asked };
        let end = (start + granted).min(len);
        let shown = (start.min(end)..end).filter(|at| !(api.hides && at % 2 == 1));
        let shown: Vec<i64> = shown.map(|at| self.top + at as i64).collect();
        let more = end < len;
        let next = match api.way {
            Way::Cursor if api.endless && !more => Some((asked + granted).to_string()),
            Way::Cursor => more.then(|| end.to_string()),
            Way::LastId | Way::Overlap => shown.last().map(ToString::to_string),
            _ => None,
        };
        let total = match api.total {
            Total::Never | Total::Counted => None,
            Total::Always => Some(len),
            Total::FirstPageOnly => Some(len).filter(|_| start == 0),
            Total::Sometimes => Some(len).filter(|_| (start / granted) % 3 != 2),
            Total::TooMany(by) => Some(len + by),
        };
        let facts = PageFacts {
            items: shown.len() as u32,
            total,
            next: next.map(Next::Cursor),
            has_more: api.tells_more.then_some(more),
            fingerprint: fingerprint(&shown),
            ..PageFacts::default()
        };
        Came::Page(shown, facts)
    }
}

fn fingerprint(items: &[i64]) -> Fingerprint {
    Fingerprint(items.iter().fold(7, |sum: i64, id| sum.wrapping_mul(1_000_003).wrapping_add(*id)))
}

#[derive(Debug, Default)]
struct Read {
    calls: u64,
    failed: u64,
    kept: u64,
    distinct: BTreeSet<i64>,
    ends: BTreeSet<&'static str>,
}

/// What is planned and known of a fetch.
#[derive(Default)]
struct Fetch {
    known: HashSet<String>,
    prints: HashSet<Fingerprint>,
    open: Vec<(PagePointer, u32)>,
    read: Read,
}

impl Fetch {
    fn plan(&mut self, pages: &[NewPages]) {
        for (pointer, ordinal) in pages.iter().flat_map(NewPages::pointers) {
            if self.known.insert(pointer.canonical()) {
                self.open.push((pointer, ordinal));
            } else if pointer.is_named() {
                self.read.ends.insert(FetchEnd::RepeatedPointer.name());
            }
        }
    }
}

/// Reads a list whole. Calls are made in an order that the seed draws, and every fifth outcome comes twice.
fn read(paging: &Paging, begin: NewPages, seed: u64, mut call: impl FnMut(&PagePointer) -> Came) -> Read {
    let mut fetch = Fetch::default();
    fetch.plan(&[begin]);
    let mut chance = seed;
    while !fetch.open.is_empty() {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let drawn = (chance >> 33) as usize % fetch.open.len();
        let (pointer, ordinal) = fetch.open.swap_remove(drawn);
        fetch.read.calls += 1;
        assert!(fetch.read.calls < 30_000, "the fetch goes on and on: {pointer:?}");
        let (items, mut facts) = match call(&pointer) {
            Came::Page(items, facts) => (items, facts),
            Came::TooMuch => {
                match shrink(paging, &pointer, ordinal) {
                    Some(pages) => fetch.plan(&pages),
                    None => fetch.read.failed += 1,
                }
                continue;
            }
        };
        facts.repeated = facts.items > 0 && !fetch.prints.insert(facts.fingerprint);
        facts.items = keep(paging, &pointer, ordinal, &facts);
        fetch.read.kept += u64::from(facts.items);
        fetch.read.distinct.extend(items.into_iter().take(facts.items as usize));
        for _ in 0..1 + u32::from((chance >> 20).is_multiple_of(5)) {
            let next = advance(paging, &pointer, ordinal, &facts);
            fetch.read.ends.extend(next.end.map(FetchEnd::name));
            fetch.plan(&next.pages);
        }
    }
    fetch.read
}

fn read_list(api: &Api) -> Read {
    let paging = api.paging();
    let mut list = List::new(api);
    read(&paging, begin(&paging), api.seed, |pointer| {
        let came = list.answer(pointer);
        list.drift();
        came
    })
}

/// All that is said of reading a list.
fn check(api: &Api) -> Result<(), TestCaseError> {
    let read = read_list(api);
    prop_assert_eq!(read.failed, 0);
    let shown = (0..api.items as i64).filter(|at| !(api.hides && at % 2 == 1));
    if let Some(limit) = api.limit {
        prop_assert!(read.kept <= limit + read.calls * u64::from(api.way == Way::Overlap));
        if !api.hides {
            let wanted: BTreeSet<i64> = shown.take(limit as usize).collect();
            prop_assert_eq!(&read.distinct, &wanted);
        }
    } else if !matches!(api.drift, Drift::Shrinks(_)) {
        let missing: Vec<_> = shown.filter(|id| !read.distinct.contains(id)).collect();
        prop_assert!(missing.is_empty(), "missing {missing:?}, ends {:?}", read.ends);
    }
    // Of a first page that is not full it can't be known whether larger ones are not granted, or items were left out.
    let is_guessed = api.hides && api.way == Way::Offset;
    let comes_again = api.drift == Drift::Top || api.way == Way::Overlap || api.endless || is_guessed;
    prop_assert!(comes_again || read.kept == read.distinct.len() as u64, "{} of {}", read.kept, read.distinct.len());
    let most = calls_max(api);
    prop_assert!(read.calls <= most, "{} calls where {most} are the most, ends {:?}", read.calls, read.ends);
    Ok(())
}

/// The fewest calls, and the waste that each shape may cost.
fn calls_max(api: &Api) -> u64 {
    let drifted = match api.drift {
        Drift::Grows(by) => DRIFTS_UNTIL / 3 * by,
        Drift::Top => DRIFTS_UNTIL / 3,
        _ => 0,
    };
    let told = if let (Total::TooMany(by), false) = (api.total, api.is_chain()) { by } else { 0 };
    let items = (api.items + drifted + told).min(api.limit.unwrap_or(u64::MAX));
    // A first page of which half is shown makes the others half as large; one item of each page came before.
    let granted = if api.hides { api.granted() / 2 } else { api.granted() };
    let granted = if api.way == Way::Overlap { granted - 1 } else { granted };
    let parallel = u64::from(api.parallel);
    // Of a list shorter than a page that says it is longer, or grows, the first page makes the others as short as itself.
    let first = if api.hides { api.items.div_ceil(2) } else { api.items };
    let step = if told > 0 || drifted > 0 { granted.min(first.max(1)) } else { granted };
    let fewest = items.div_ceil(step).max(1);
    // Calls past the end: of a chain one; of strides one each; one where the total was counted by a call, or was told late.
    let past_end = if api.is_chain() { 1 } else { 1 + parallel };
    // Each page may be refused at each size, and comes in parts, the last of which may lie past the end.
    let shrunk = match api.too_much.map(u64::from).filter(|most| *most < api.granted()) {
        None => 0,
        Some(most) if api.is_chain() => 16 + items.div_ceil((most / 2).max(1)) * 5 / 4,
        Some(_) => 16 + items + drifted + u64::from(api.size) * (2 + parallel),
    };
    let endless = if api.endless { 3 + parallel } else { 0 };
    // A chain that follows a growing end may be there after each call.
    let followed = if api.is_chain() && drifted > 0 { DRIFTS_UNTIL } else { 0 };
    fewest + past_end + shrunk + endless + followed
}

fn any_api() -> impl Strategy<Value = Api> {
    let ways = [Way::Offset, Way::Number0, Way::Number1, Way::Cursor, Way::LastId, Way::Overlap];
    let total = prop_oneof![
        3 => Just(Total::Never),
        3 => Just(Total::Always),
        1 => Just(Total::FirstPageOnly),
        1 => Just(Total::Sometimes),
        1 => (1_u64..200).prop_map(Total::TooMany),
        1 => Just(Total::Counted),
    ];
    let drift = prop_oneof![
        4 => Just(Drift::None),
        1 => (1_u64..30).prop_map(Drift::Grows),
        1 => Just(Drift::Top),
        1 => (1_u64..30).prop_map(Drift::Shrinks),
    ];
    let too_much = prop_oneof![2 => Just(None), 1 => (1_u32..60).prop_map(Some)];
    let limit = prop_oneof![3 => Just(None), 1 => (1_u64..600).prop_map(Some)];
    let list = (prop::sample::select(ways.to_vec()), 0_u64..500, 2_u32..60, 1_u32..80, total, any::<bool>());
    let trouble =
        (drift, prop::bool::weighted(0.25), too_much, prop::bool::weighted(0.2), 1_u32..7, limit, any::<u64>());
    (list, trouble).prop_map(|((way, items, size, cap, total, tells_more), trouble)| {
        let (drift, hides, too_much, endless, parallel, limit, seed) = trouble;
        let api =
            Api { way, items, size, cap, total, tells_more, drift, hides, too_much, endless, parallel, limit, seed };
        api.possible()
    })
}

/// Other lists each time, or those of `PROPTEST_RNG_SEED=…`. What fails is printed whole; it becomes a fixed case below.
fn config(cases: u32) -> ProptestConfig {
    ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config(4_000))]

    #[test]
    fn any_list_comes_whole_in_few_calls_and_its_fetch_ends(api in any_api()) {
        check(&api)?;
    }
}

/// A range of which so many items of one slice are within reach.
#[derive(Debug, Clone)]
struct Ranged {
    way: Way,
    /// When each item was made.
    times: Vec<i64>,
    width: i64,
    size: u32,
    cap: u64,
    tells_total: bool,
    parallel: u32,
    seed: u64,
}

fn read_range(ranged: &Ranged) -> Read {
    let total = if ranged.tells_total { Total::Always } else { Total::Never };
    let api = Api { size: ranged.size, parallel: ranged.parallel, total, ..Api::plain(ranged.way, 0) };
    // Each split shares out the slices that are allowed, which dense ranges need many of.
    let paging = Paging { slice_cap: Some(ranged.cap), max_pages: 1 << 30, ..api.paging() };
    let Some(begin) = begin_range(&paging, 0, ranged.width) else { return Read::default() };
    read(&paging, begin, ranged.seed, |pointer| {
        let PagePointer::Slice { from, until, .. } = pointer else { panic!("{pointer:?} is of no slice") };
        let ids: Vec<usize> =
            (0..ranged.times.len()).filter(|id| (*from..*until).contains(&ranged.times[*id])).collect();
        let of_slice = Api { items: ids.len() as u64, ..api.clone() };
        let Came::Page(at, mut facts) = List::new(&of_slice).answer(pointer) else {
            panic!("nothing is too much here")
        };
        assert!(at.iter().all(|at| (*at as u64) < ranged.cap), "{pointer:?} is out of reach");
        let shown: Vec<i64> = at.into_iter().map(|at| ids[at as usize] as i64).collect();
        facts.fingerprint = fingerprint(&shown);
        Came::Page(shown, facts)
    })
}

fn any_range() -> impl Strategy<Value = Ranged> {
    let times = (1_i64..100_000).prop_flat_map(|width| {
        let clustered = (0..width, 0_i64..50).prop_map(move |(at, by)| (at / 1_000 + by).min(width - 1));
        (prop::collection::vec(prop_oneof![0..width, clustered], 0..400), Just(width))
    });
    let ways = vec![Way::Offset, Way::Number1, Way::Cursor];
    (prop::sample::select(ways), times, 1_u32..20, 2_u64..9, any::<bool>(), 1_u32..4, any::<u64>()).prop_map(
        |(way, (times, width), size, pages, tells_total, parallel, seed)| {
            let cap = pages * u64::from(size);
            Ranged { way, times, width, size, cap, tells_total, parallel, seed }
        },
    )
}

proptest! {
    #![proptest_config(config(1_000))]

    #[test]
    fn any_range_comes_whole_however_little_of_it_is_within_reach(ranged in any_range()) {
        let read = read_range(&ranged);
        let mut dense = BTreeMap::<i64, u64>::new();
        for time in &ranged.times {
            *dense.entry(*time).or_default() += 1;
        }
        // Without a total, a last page within reach is taken for one that more would follow.
        let most = if ranged.tells_total { ranged.cap } else { ranged.cap - u64::from(ranged.size) };
        let is_within_reach = dense.values().all(|items| *items <= most);
        if is_within_reach {
            prop_assert_eq!(read.distinct.len(), ranged.times.len());
            prop_assert!(!read.ends.contains("depth_cap"), "{:?}", read.ends);
        } else {
            prop_assert!(read.distinct.len() == ranged.times.len() || read.ends.contains("depth_cap"), "{:?}", read.ends);
        }
        if ranged.tells_total {
            prop_assert_eq!(read.kept, read.distinct.len() as u64, "an item came twice");
        }
    }
}

/// Cases that stay.
mod fixed {
    use super::*;

    fn whole(api: Api) -> Read {
        let api = api.possible();
        if let Err(error) = check(&api) {
            panic!("{api:?}: {error}");
        }
        read_list(&api)
    }

    #[test]
    fn a_list_that_grows_at_its_end_is_read_to_where_it_had_grown_when_its_last_page_came() {
        for way in [Way::Offset, Way::Number1] {
            let grows = |seed| Api { total: Total::Always, drift: Drift::Grows(25), seed, ..Api::plain(way, 60) };
            let most = (0..20).map(|seed| whole(grows(seed)).distinct.len()).max();
            assert!(most > Some(80), "{most:?}");
        }
    }

    #[test]
    fn a_page_of_page_numbers_that_is_too_large_is_cut_exactly() {
        for size in [7, 10, 12, 49] {
            let api = Api { size, too_much: Some(3), total: Total::Always, ..Api::plain(Way::Number1, 100) };
            let read = whole(api);
            assert_eq!((read.kept, read.distinct.len()), (100, 100), "{size}");
        }
    }

    #[test]
    fn a_count_that_pages_belie_is_not_believed() {
        let api = Api { total: Total::Counted, ..Api::plain(Way::Offset, 95) };
        let paging = api.paging();
        // What lies beyond a count that pages agree with can't be known.
        for (told, items) in [(1, 95), (5, 95), (9, 95), (20, 20), (21, 95), (89, 95), (94, 95)] {
            let list = List::new(&api);
            let read = read(&paging, begin(&paging), 0, |pointer| match list.answer(pointer) {
                Came::Page(items, facts) if facts.total.is_some() => {
                    Came::Page(items, PageFacts { total: Some(told), ..facts })
                }
                came => came,
            });
            assert_eq!(read.distinct.len(), items, "{told}");
        }
    }

    #[test]
    fn a_total_that_a_call_of_its_own_tells_leads_to_all_pages_and_none_beyond() {
        for (items, calls) in [(0, 1), (5, 2), (10, 2), (95, 11)] {
            let read = whole(Api { total: Total::Counted, ..Api::plain(Way::Offset, items) });
            assert_eq!(read.calls, calls, "{items}");
        }
    }
}
