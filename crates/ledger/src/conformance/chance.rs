//! Chance that is the same each time, and a third party whose answers are a matter of it. Pure.

use std::collections::{HashSet, VecDeque};

use tidegate_contracts::{Call, CallId, End, JobId, Lane, NewFetch, NewPages, PagePointer, Plan};

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
        let fetches = (0..=chance.below(3)).map(|n| self.begin_fetch(fetch(self.job, None, "0", n as i64, vec![])));
        Plan { fetches: fetches.collect(), ..empty(self.job) }
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
        match pointer {
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
            PagePointer::Number { .. } | PagePointer::Url { .. } => vec![],
        }
    }

    fn children(&self, call: &Call, chance: &mut Chance) -> Vec<NewFetch> {
        let level = call.step.parse::<usize>().unwrap_or(0) + 1;
        let children = if level < LEVELS { chance.below(4) } else { 0 };
        let new = |n: usize| fetch(self.job, Some(call.fetch), &level.to_string(), n as i64, vec![]);
        (0..children).map(|_| self.begin_fetch(new(chance.below(5)))).collect()
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
        let mut counts = JobCounts::default();
        let (mut calls, mut fetches) = (HashSet::new(), HashSet::new());
        let mut open = VecDeque::new();
        let begin =
            |new: Vec<NewFetch>, open: &mut VecDeque<Call>, fetches: &mut HashSet<_>, counts: &mut JobCounts| {
                for fetch in new.into_iter().filter(|new| fetches.insert(new.fetch)) {
                    counts.fetches_planned += 1;
                    if fetch.failure.is_some() {
                        counts.calls_failed += 1;
                        counts.calls_tolerated += u64::from(fetch.tolerated);
                        counts.calls_planned += 1;
                    }
                    open.extend(
                        fetch.pages.iter().flat_map(NewPages::pointers).map(|(pointer, _)| self.call(&fetch, pointer)),
                    );
                }
            };
        begin(self.begin().fetches, &mut open, &mut fetches, &mut counts);
        while let Some(call) = open.pop_front() {
            if !calls.insert(call.call) {
                continue;
            }
            let plan = self.plan(&call);
            counts.calls_planned += 1;
            match plan.ended.map(|ended| ended.end) {
                Some(End::Succeeded { items }) => {
                    counts.calls_succeeded += 1;
                    counts.items += u64::from(items);
                }
                Some(End::Skipped { .. }) => counts.calls_skipped += 1,
                Some(End::Failed { tolerated, .. }) => {
                    counts.calls_failed += 1;
                    counts.calls_tolerated += u64::from(tolerated);
                }
                _ => {}
            }
            let next = plan.pages.iter().flat_map(NewPages::pointers);
            open.extend(next.map(|(pointer, _)| Call {
                call: CallId::derive(call.fetch, &pointer),
                pointer,
                ..call.clone()
            }));
            begin(plan.fetches, &mut open, &mut fetches, &mut counts);
        }
        counts
    }

    fn call(&self, fetch: &NewFetch, pointer: PagePointer) -> Call {
        Call {
            job: self.job,
            fetch: fetch.fetch,
            call: CallId::derive(fetch.fetch, &pointer),
            step: fetch.step.clone(),
            params: fetch.params.clone(),
            pointer,
            ordinal: 0,
            attempt: 0,
            requests: 0,
            failing_since_ms: None,
            again: false,
            provider: String::new(),
            lane: Lane::Normal,
        }
    }
}
