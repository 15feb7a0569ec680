//! The calls that were granted and not yet reported, of one budget.

use std::collections::VecDeque;

/// One call in flight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    pub(crate) id: u64,
    pub(crate) granted_ms: i64,
    pub(crate) cost: u64,
}

/// Calls in flight, in the order of their ids (and so of their grants).
#[derive(Debug, Clone, Default)]
pub(crate) struct InFlight {
    calls: VecDeque<Held>,
    cost: u64,
}

impl InFlight {
    pub(crate) fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// What all calls in flight cost together.
    pub(crate) fn cost(&self) -> u64 {
        self.cost
    }

    /// What the calls granted after `ms` cost together.
    pub(crate) fn cost_since(&self, ms: i64) -> u64 {
        self.calls.iter().rev().take_while(|held| held.granted_ms > ms).map(|held| held.cost).sum()
    }

    /// For each call granted after `ms`, the newest first: when, and what it and those after it cost together.
    pub(crate) fn granted_after(&self, ms: i64) -> impl Iterator<Item = (i64, u64)> {
        let mut cost = 0;
        self.calls.iter().rev().take_while(move |held| held.granted_ms > ms).map(move |held| {
            cost += held.cost;
            (held.granted_ms, cost)
        })
    }

    /// When the call was granted whose end, after that of all calls before it, frees `cost`.
    pub(crate) fn grant_that_frees(&self, cost: u64) -> Option<i64> {
        let mut freed = 0;
        let mut calls = self.calls.iter();
        calls
            .find(|held| {
                freed += held.cost;
                freed >= cost
            })
            .map(|held| held.granted_ms)
    }

    /// Takes up a call; ids never decrease.
    pub(crate) fn add(&mut self, held: Held) {
        self.cost += held.cost;
        self.calls.push_back(held);
    }

    /// Removes calls that were granted together, from this id on: what those cost that are still there.
    pub(crate) fn take_all(&mut self, id: u64, calls: u32) -> Option<Held> {
        let together = |first: Held, other: Held| Held { cost: first.cost + other.cost, ..first };
        (id..id.saturating_add(u64::from(calls))).filter_map(|id| self.take(id)).reduce(together)
    }

    /// What a call costs; 1 when it was removed or forgotten.
    pub(crate) fn cost_of(&self, id: u64) -> u64 {
        self.calls.binary_search_by_key(&id, |held| held.id).map_or(1, |index| self.calls[index].cost)
    }

    /// Removes a call; none when it was removed or forgotten before.
    pub(crate) fn take(&mut self, id: u64) -> Option<Held> {
        let index = self.calls.binary_search_by_key(&id, |held| held.id).ok()?;
        let held = self.calls.remove(index)?;
        self.cost -= held.cost;
        Some(held)
    }

    /// Forgets the calls granted at `ms` or before.
    pub(crate) fn forget_until(&mut self, ms: i64) {
        while let Some(held) = self.calls.pop_front_if(|held| held.granted_ms <= ms) {
            self.cost -= held.cost;
        }
    }
}
