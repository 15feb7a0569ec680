//! Chance that is the same each time, and a third party whose answers are a matter of it. Pure.

use std::collections::{HashMap, HashSet, VecDeque};

use tidegate_contracts::{Call, CallId, End, FetchId, JobId, NewFetch, NewPages, PagePointer, Plan};

use super::scene::{cursor, empty, end, failed, fetch, first, offsets, skipped, unbegun};
use crate::JobCounts;

/// Levels of fetches.
const LEVELS: usize = 3;

/// Numbers by SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
#[derive(Debug, Clone)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Of its own for this id.
    fn of(seed: u64, id: &[u8; 16]) -> Self {
        Self(id.chunks(8).fold(seed, |seed, half| {
            let half = half.iter().fold(0, |number, byte| number << 8 | u64::from(*byte));
            Self(seed ^ half).next()
        }))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A job id, like no other of this seed.
    pub(super) fn job(&mut self) -> JobId {
        let bytes: Vec<u8> = [self.next(), self.next()].into_iter().flat_map(u64::to_be_bytes).collect();
        JobId::from_slice(&bytes).expect("16 bytes")
    }

    /// From 0 up to, but not including, `end`.
    pub(super) fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    pub(super) fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

/// What becomes of each call of a job: a function of the call's id, so that who asks twice hears the same.
#[derive(Debug, Clone)]
pub(super) struct Script {
    pub(super) seed: u64,
    pub(super) job: JobId,
    /// Some failed calls fail the job, until it is tried again.
    pub(super) stops: bool,
}

impl Script {
    pub(super) fn begin(&self) -> Plan {
        let mut chance = Chance::of(self.seed, self.job.as_bytes());
        let mut fetches: Vec<_> =
            (0..=chance.below(3)).map(|n| self.begin_fetch(fetch(self.job, None, "0", n as i64, vec![]))).collect();
        if chance.one_in(3)
            && let [first, .., last] = fetches.as_mut_slice()
        {
            last.after = vec![first.fetch];
        }
        Plan { fetches, ..empty(self.job) }
    }

    pub(super) fn plan(&self, call: &Call) -> Plan {
        let mut chance = Chance::of(self.seed, call.call.as_bytes());
        match chance.below(10) {
            0 => skipped(call),
            1 => failed(call, true),
            2 => Plan { fail_job: (self.stops && chance.one_in(3)).then(|| "stop".into()), ..failed(call, false) },
            _ => {
                let items = chance.below(4) as u32;
                let (pages, fetches) = (Self::pages(&call.pointer, &mut chance), self.children(call, &mut chance));
                Plan { pages, fetches, ..end(call, End::Succeeded { items }) }
            }
        }
    }

    fn pages(pointer: &PagePointer, chance: &mut Chance) -> Vec<NewPages> {
        match pointer.place() {
            PagePointer::First => match chance.below(4) {
                0 => vec![offsets(1, 2 + chance.below(6) as u64)],
                1 => vec![offsets(1, 4), offsets(2, 2 + chance.below(5) as u64), cursor("1", 1)],
                2 => vec![cursor("1", 1), cursor("1", 1)],
                _ => vec![],
            },
            PagePointer::Offset { offset, .. } => {
                let at = offset / 10;
                if chance.one_in(3) { vec![offsets(at, (at + 3).min(9))] } else { vec![] }
            }
            PagePointer::Cursor { cursor: at } => {
                let next = at.parse::<u32>().unwrap_or(0) + 1;
                match chance.below(4) {
                    0 => vec![cursor("1", next)],
                    1 | 2 if next < 5 => vec![cursor(&next.to_string(), next)],
                    _ => vec![],
                }
            }
            _ => vec![],
        }
    }

    fn children(&self, call: &Call, chance: &mut Chance) -> Vec<NewFetch> {
        let level = call.step.parse::<usize>().unwrap_or(0) + 1;
        let children = if level < LEVELS { chance.below(4) } else { 0 };
        let new = |n: i64| fetch(self.job, Some(call.fetch), &level.to_string(), n, vec![]);
        let mut fetches: Vec<_> = (0..children).map(|_| self.begin_fetch(new(chance.below(5) as i64))).collect();
        self.add_waiting(call, chance, &mut fetches, new);
        fetches
    }

    /// Fetches that wait for some of these, for each other, or for the first root. Like none that another page brings: who
    /// brings a fetch first says what it waits for.
    fn add_waiting(
        &self,
        call: &Call,
        chance: &mut Chance,
        fetches: &mut Vec<NewFetch>,
        new: impl Fn(i64) -> NewFetch,
    ) {
        let own = call.call.as_bytes()[..7].iter().fold(0, |number, byte| number << 8 | i64::from(*byte));
        let waiting = if fetches.is_empty() { 0 } else { chance.below(3) };
        for n in 0..waiting {
            let mut after = vec![fetches[chance.below(fetches.len())].fetch, fetches[fetches.len() - 1].fetch];
            let root = fetch(self.job, None, "0", 0, vec![]).fetch;
            if call.step == "0" && call.fetch != root && chance.one_in(2) {
                after.push(root);
            }
            let waiting = NewFetch { after, ..self.begin_fetch(new(8 * own + 100 + n as i64)) };
            let at = chance.below(fetches.len() + 1);
            // In any order; the last is what the next one waits for.
            fetches.insert(at, waiting);
        }
    }

    fn begin_fetch(&self, fetch: NewFetch) -> NewFetch {
        let mut chance = Chance::of(self.seed, fetch.fetch.as_bytes());
        let pages = match chance.below(8) {
            0 => return unbegun(fetch, chance.one_in(2)),
            1 => vec![],
            2 => vec![first(), offsets(0, 2), offsets(1, 3)],
            3 => vec![offsets(0, 1 + chance.below(4) as u64)],
            _ => vec![first()],
        };
        NewFetch { pages, ..fetch }
    }

    /// What the job's counters must come to, whatever happened on the way; requests, of which there may be any number,
    /// are left at 0.
    pub(super) fn whole(&self) -> JobCounts {
        let mut whole = Whole { script: self, counts: JobCounts::default(), spoiled: HashMap::new() };
        whole.add(&self.begin().fetches);
        whole.counts
    }

    fn call(&self, fetch: &NewFetch, pointer: PagePointer) -> Call {
        let call = CallId::derive(fetch.fetch, &pointer);
        let root = Call::root(self.job, &fetch.step, fetch.params.clone(), pointer);
        Call { fetch: fetch.fetch, call, ..root }
    }
}

/// Counts a job by its script.
struct Whole<'a> {
    script: &'a Script,
    counts: JobCounts,
    /// Of each fetch so far: whether something failed untolerated in it or below, or was not made because of such.
    spoiled: HashMap<FetchId, bool>,
}

impl Whole<'_> {
    /// Adds the fetches of one plan, and all below them. Whether one of them is spoiled.
    fn add(&mut self, new: &[NewFetch]) -> bool {
        let mut rest: Vec<&NewFetch> = new.iter().collect();
        while !rest.is_empty() {
            // First those that wait for nothing that is still to come.
            let left: Vec<FetchId> = rest.iter().map(|fetch| fetch.fetch).collect();
            let (ready, waiting): (Vec<_>, Vec<_>) =
                rest.into_iter().partition(|fetch| !fetch.after.iter().any(|blocker| left.contains(blocker)));
            assert!(!ready.is_empty(), "fetches wait for each other");
            for fetch in ready {
                self.add_fetch(fetch);
            }
            rest = waiting;
        }
        new.iter().any(|fetch| self.spoiled[&fetch.fetch])
    }

    fn add_fetch(&mut self, fetch: &NewFetch) {
        if self.spoiled.contains_key(&fetch.fetch) {
            return;
        }
        self.counts.fetches_planned += 1;
        let after_spoiled = fetch.after.iter().any(|blocker| self.spoiled.get(blocker).copied().unwrap_or(false));
        let first: HashSet<PagePointer> = match fetch.failure {
            Some(_) => HashSet::new(),
            None => fetch.pages.iter().flat_map(NewPages::pointers).map(|(pointer, _)| pointer).collect(),
        };
        let spoiled = if fetch.failure.is_some() {
            self.counts.calls_planned += 1;
            self.counts.calls_failed += 1;
            self.counts.calls_tolerated += u64::from(fetch.tolerated);
            !fetch.tolerated
        } else if after_spoiled {
            self.counts.calls_planned += first.len() as u64;
            self.counts.calls_cancelled += first.len() as u64;
            !first.is_empty()
        } else {
            self.add_calls(fetch, first)
        };
        self.spoiled.insert(fetch.fetch, spoiled);
    }

    fn add_calls(&mut self, fetch: &NewFetch, first: HashSet<PagePointer>) -> bool {
        let (mut known, mut open, mut spoiled) = (first.clone(), VecDeque::from_iter(first), false);
        while let Some(pointer) = open.pop_front() {
            let plan = self.script.plan(&self.script.call(fetch, pointer));
            self.counts.calls_planned += 1;
            match plan.ended.map(|ended| ended.end) {
                Some(End::Succeeded { items }) => {
                    self.counts.calls_succeeded += 1;
                    self.counts.items += u64::from(items);
                }
                Some(End::Skipped { .. }) => self.counts.calls_skipped += 1,
                Some(End::Failed { tolerated, .. }) => {
                    self.counts.calls_failed += 1;
                    self.counts.calls_tolerated += u64::from(tolerated);
                    spoiled |= !tolerated;
                }
                _ => {}
            }
            for (pointer, _) in plan.pages.iter().flat_map(NewPages::pointers) {
                if known.insert(pointer.clone()) {
                    open.push_back(pointer);
                }
            }
            spoiled |= self.add(&plan.fetches);
        }
        spoiled
    }
}
