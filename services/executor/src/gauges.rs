//! What the executor is doing right now, for people who watch.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// What the executor is doing right now.
#[derive(Debug, Default)]
pub struct Gauges {
    /// Calls on the wire.
    pub in_flight: AtomicU64,
    /// Requests sent so far.
    pub requests: AtomicU64,
    /// Requests that a limit refused.
    pub refused: AtomicU64,
    /// Requests that failed otherwise.
    pub failed: AtomicU64,
    /// Bytes of answers, as they came over the wire.
    pub wire_bytes: AtomicU64,
    sleeping: Mutex<HashMap<String, Sleeping>>,
}

/// Calls that wait where they stand for the same reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sleeping {
    /// How many.
    pub calls: u64,
    /// Until when the latest of them waits, Unix ms.
    pub until_ms: i64,
}

impl Gauges {
    /// What calls wait for where they stand.
    #[must_use]
    pub fn sleeping(&self) -> Vec<(String, Sleeping)> {
        let sleeping = self.sleeping.lock().unwrap_or_else(PoisonError::into_inner);
        sleeping.iter().map(|(reason, calls)| (reason.clone(), *calls)).collect()
    }

    /// Counts a sleeper until the guard is dropped.
    pub(crate) fn sleep(&self, reason: String, until_ms: i64) -> impl Drop + '_ {
        let mut sleeping = self.sleeping.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = sleeping.entry(reason.clone()).or_insert(Sleeping { calls: 0, until_ms });
        entry.calls += 1;
        entry.until_ms = entry.until_ms.max(until_ms);
        Asleep { gauges: self, reason }
    }

    /// Counts a call on the wire until the guard is dropped.
    pub(crate) fn flight(&self) -> impl Drop + '_ {
        self.in_flight.fetch_add(1, Relaxed);
        InFlight(self)
    }
}

struct InFlight<'a>(&'a Gauges);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

struct Asleep<'a> {
    gauges: &'a Gauges,
    reason: String,
}

impl Drop for Asleep<'_> {
    fn drop(&mut self) {
        let mut sleeping = self.gauges.sleeping.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = sleeping.get_mut(&self.reason) {
            entry.calls -= 1;
            if entry.calls == 0 {
                sleeping.remove(&self.reason);
            }
        }
    }
}
