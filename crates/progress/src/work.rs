//! How many calls a job will come to: those that are planned, and those that are not unfolded yet.

use std::collections::HashMap;

use tidegate_ledger::StepRow;

use crate::shape::{Shape, StepShape};

/// Items on a page of a step of which no call has ended yet, for lack of anything better.
const ITEMS_UNSEEN: f64 = 20.0;
/// How many times as much as is known there may be, where nothing tells the length of a list.
const UNKNOWN_HIGH: f64 = 10.0;

/// A number that is not known for sure: what it is expected to be, and what it will hardly be below or above.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Range {
    pub(crate) low: f64,
    pub(crate) mid: f64,
    pub(crate) high: f64,
}

impl Range {
    fn exactly(value: f64) -> Self {
        Self { low: value, mid: value, high: value }
    }

    pub(crate) fn map(self, change: impl Fn(f64) -> f64) -> Self {
        Self { low: change(self.low), mid: change(self.mid), high: change(self.high) }
    }

    fn plus(self, other: Self) -> Self {
        Self { low: self.low + other.low, mid: self.mid + other.mid, high: self.high + other.high }
    }

    fn times(self, other: Self) -> Self {
        Self { low: self.low * other.low, mid: self.mid * other.mid, high: self.high * other.high }
    }

    fn at_least(self, floor: f64) -> Self {
        self.map(|value| value.max(floor))
    }
}

/// What a job comes to.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Work {
    /// Calls in all.
    pub(crate) calls: Range,
    /// Some list does not tell its length, and none like it has ended.
    pub(crate) unknown: bool,
}

/// What one step comes to.
struct StepWork {
    calls: Range,
    items: Range,
    unknown: bool,
}

/// What the steps come to, those above before those below.
pub(crate) fn work(shape: &Shape, rows: &[StepRow]) -> Work {
    let by_step: HashMap<&str, &StepRow> = rows.iter().map(|row| (row.step.as_str(), row)).collect();
    let mut done: HashMap<&str, StepWork> = HashMap::new();
    let (mut waiting, mut total): (Vec<&StepShape>, _) = (shape.steps.iter().collect(), Work::default());
    loop {
        let before = waiting.len();
        waiting.retain(|step| {
            let above = step.for_each.as_deref();
            let Some(above) = above else {
                let counted = by_step.get(step.id.as_str()).copied();
                done.insert(&step.id, step_work(counted, Range::exactly(roots(counted))));
                return false;
            };
            let Some(items) = done.get(above).map(|parent| parent.items) else { return true };
            let (counted, of_parent) = (by_step.get(step.id.as_str()).copied(), by_step.get(above).copied());
            done.insert(&step.id, step_work(counted, children(counted, of_parent, items)));
            false
        });
        if waiting.is_empty() || waiting.len() == before {
            break;
        }
    }
    for work in done.values() {
        total = Work { calls: total.calls.plus(work.calls), unknown: total.unknown || work.unknown };
    }
    // Steps that the shape does not name count with what is known of them.
    for row in rows.iter().filter(|row| !done.contains_key(row.step.as_str())) {
        total.calls = total.calls.plus(Range::exactly(row.calls_planned as f64));
    }
    total
}

/// Fetches of a root step: all of them are planned when the job begins.
fn roots(row: Option<&StepRow>) -> f64 {
    row.map_or(1.0, |row| row.fetches.max(1) as f64)
}

/// Fetches of a step that is done for each item of another: as many for each item as there were so far.
fn children(row: Option<&StepRow>, parent: Option<&StepRow>, items: Range) -> Range {
    let (planned, left_out) = row.map_or((0.0, 0.0), |row| (row.fetches as f64, row.left_out as f64));
    let seen = parent.map_or(0.0, |parent| parent.items as f64);
    let ratio = if seen > 0.0 && planned + left_out > 0.0 { planned / seen } else { 1.0 };
    items.map(|items| planned + (items - seen).max(0.0) * ratio)
}

/// Calls and items of a step of so many fetches.
fn step_work(row: Option<&StepRow>, fetches: Range) -> StepWork {
    let Some(row) = row.filter(|row| row.calls_planned > 0) else {
        let calls = fetches.times(Range { low: 1.0, mid: 1.0, high: 3.0 });
        let items = calls.map(|calls| calls * ITEMS_UNSEEN);
        return StepWork { calls, items: Range { low: 0.0, ..items }, unknown: fetches.high > 0.0 };
    };
    let (planned, open) = (row.calls_planned as f64, row.calls_open as f64);
    let ended = planned - open;
    let paging = row.fetches.saturating_sub(row.fetches_paged) as f64;
    let (each, unknown) = calls_each(row, paging, ended);
    let of_paging = each.map(|each| each * paging).at_least(planned - row.calls_paged as f64);
    let more = Range {
        low: (fetches.low - row.fetches as f64).max(0.0),
        mid: (fetches.mid - row.fetches as f64).max(0.0),
        high: (fetches.high - row.fetches as f64).max(0.0),
    };
    let calls = of_paging.plus(more.times(each)).map(|calls| calls + row.calls_paged as f64);
    let per_call = if ended > 0.0 { row.items as f64 / ended } else { ITEMS_UNSEEN };
    let items = calls.map(|calls| row.items as f64 + (calls - ended).max(0.0) * per_call);
    StepWork { calls, items, unknown: unknown && paging + more.mid > 0.0 }
}

/// Calls of a fetch, and whether that is hardly known: by those whose paging has ended, where there are any.
fn calls_each(row: &StepRow, paging: f64, ended: f64) -> (Range, bool) {
    let planned = (row.calls_planned - row.calls_paged.min(row.calls_planned)) as f64;
    let so_far = if paging > 0.0 { planned / paging } else { 1.0 };
    if row.fetches_paged > 0 {
        let paged = row.fetches_paged as f64;
        let mean = row.calls_paged as f64 / paged;
        // Short ones end first, so their mean is too small while others go on. Of chains, as many calls as have ended for
        // each that is over would be the mean if a page were the last with the same chance, wherever it stands: too large,
        // where chains are of much the same length. The truth is between.
        let is_chains = paging > 0.0 && row.calls_open as f64 <= paging;
        let longest = if is_chains { mean.max(ended / paged) } else { mean };
        let mid = (mean + longest.max(so_far)) / 2.0;
        let error = (1.0 / paged.sqrt()).clamp(0.05, 0.8);
        let is_single = row.calls_paged == row.fetches_paged && so_far <= 1.0;
        let error = if is_single { error / 4.0 } else { error };
        return (
            Range {
                low: (mean * (1.0 - error)).max(1.0),
                mid: mid.max(1.0),
                high: mid.max(longest) * (1.0 + 2.0 * error),
            },
            false,
        );
    }
    // One open call in each, and something has ended: chains, or the last pages of lists.
    let may_be_chains = ended > 0.0 && row.calls_open as f64 <= paging;
    if !may_be_chains && ended > 0.0 {
        return (Range::exactly(so_far), false);
    }
    // As much again as has been seen: whoever looks at a random moment is on average half way.
    let mid = if ended > 0.0 { 2.0 * (so_far - 1.0).max(0.5) } else { so_far.max(1.0) };
    (Range { low: so_far.max(1.0), mid: mid.max(so_far), high: so_far.max(1.0) * UNKNOWN_HIGH }, true)
}
