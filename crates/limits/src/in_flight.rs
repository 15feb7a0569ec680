//! The calls that were granted and not yet reported, of one budget.

use std::collections::VecDeque;

/// Calls in flight that were granted together: their ids follow one another.
#[derive(Debug, Clone, Copy)]
struct Run {
    first: u64,
    /// The id after the last.
    end: u64,
    granted_ms: i64,
    /// Of each.
    cost: u64,
}

impl Run {
    fn cost(&self) -> u64 {
        self.cost * (self.end - self.first)
    }

    fn within(self, first: u64, end: u64) -> Option<Self> {
        let (first, end) = (self.first.max(first), self.end.min(end));
        (first < end).then_some(Self { first, end, ..self })
    }
}

/// What is known of calls that were granted together, once they are no longer in flight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) granted_ms: i64,
    /// All together.
    pub(crate) cost: u64,
}

/// Calls in flight, in the order of their ids (and so of their grants).
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight {
    runs: VecDeque<Run>,
    cost: u64,
}

impl InFlight {
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// What all calls in flight cost together.
    pub(crate) fn cost(&self) -> u64 {
        self.cost
    }

    /// What the calls granted after `ms` cost together.
    pub(crate) fn cost_since(&self, ms: i64) -> u64 {
        self.runs.iter().rev().take_while(|run| run.granted_ms > ms).map(Run::cost).sum()
    }

    /// For the calls granted after `ms`, the newest first and those together that were granted so: when, and what they and those
    /// after them cost together.
    pub(crate) fn granted_after(&self, ms: i64) -> impl Iterator<Item = (i64, u64)> {
        let mut cost = 0;
        self.runs.iter().rev().take_while(move |run| run.granted_ms > ms).map(move |run| {
            cost += run.cost();
            (run.granted_ms, cost)
        })
    }

    /// When the call was granted whose end, after that of all calls before it, frees `cost`.
    pub(crate) fn grant_that_frees(&self, cost: u64) -> Option<i64> {
        let mut freed = 0;
        let mut runs = self.runs.iter();
        runs.find(|run| {
            freed += run.cost();
            freed >= cost
        })
        .map(|run| run.granted_ms)
    }

    /// Takes up so many calls with the ids from this one on, each of which costs as much; ids never decrease.
    pub(crate) fn add(&mut self, (first, calls): (u64, u32), granted_ms: i64, cost: u64) {
        let run = Run { first, end: first.saturating_add(u64::from(calls)), granted_ms, cost };
        self.cost += run.cost();
        self.runs.push_back(run);
    }

    /// What a call costs; 1 when it was removed or forgotten.
    pub(crate) fn cost_of(&self, id: u64) -> u64 {
        let run = self.runs.get(self.place_of(id)).filter(|run| run.first <= id);
        run.map_or(1, |run| run.cost)
    }

    /// Removes calls that were granted together, from this id on: what those cost that are still there.
    pub(crate) fn take(&mut self, id: u64, calls: u32) -> Option<Held> {
        let (end, mut taken) = (id.saturating_add(u64::from(calls)), None);
        let mut place = self.place_of(id);
        while let Some(run) = self.runs.get(place).copied()
            && let Some(gone) = run.within(id, end)
        {
            let left = [run.within(0, gone.first), run.within(gone.end, u64::MAX)];
            self.runs.remove(place);
            for left in left.into_iter().flatten() {
                self.runs.insert(place, left);
                place += 1;
            }
            self.cost -= gone.cost();
            let held = taken.get_or_insert(Held { granted_ms: run.granted_ms, cost: 0 });
            held.cost += gone.cost();
        }
        taken
    }

    /// Forgets the calls granted at `ms` or before.
    pub(crate) fn forget_until(&mut self, ms: i64) {
        while let Some(run) = self.runs.pop_front_if(|run| run.granted_ms <= ms) {
            self.cost -= run.cost();
        }
    }

    /// The place of the first run that ends after an id.
    fn place_of(&self, id: u64) -> usize {
        self.runs.partition_point(|run| run.end <= id)
    }
}
