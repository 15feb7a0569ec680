//! So many calls at the same time: the calls in flight are the count.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::in_flight::InFlight;
use crate::meter::{Gauge, Heard, LANDS_WITHIN_MS, Meter, Ready, never};

/// A slot may come free with any report, so whoever waits for a report asks again after this time.
pub(crate) const ASK_AGAIN_MS: i64 = 250;

/// A limit on calls in flight.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Concurrency {
    slots: u64,
    lease_ms: i64,
    /// Unix time in ms: the last call was granted then of those whose answers told the number of slots.
    #[serde(default = "never")]
    read_ms: i64,
}

impl Concurrency {
    pub(crate) fn new(calls: u32, lease: Duration) -> Self {
        Self { slots: u64::from(calls).max(1), lease_ms: whole_ms(lease), read_ms: never() }
    }
}

/// At least 1 ms; what is longer than time itself is cut.
pub(crate) fn whole_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4).clamp(1, i64::MAX / 4)
}

/// When `cost` has room in so many slots, of which each is held for `lease_ms` at most.
pub(crate) fn slot_ready((slots, lease_ms): (u64, i64), in_flight: &InFlight, cost: u64, now_ms: i64) -> Ready {
    let missing = (in_flight.cost() + cost).saturating_sub(slots);
    if missing == 0 {
        return Ready::at(now_ms);
    }
    let granted_ms = in_flight.grant_that_frees(missing).unwrap_or(now_ms);
    let at_latest_ms = (granted_ms + lease_ms).max(now_ms);
    Ready { until_ms: at_latest_ms.min(now_ms + ASK_AGAIN_MS), at_latest_ms }
}

impl Meter for Concurrency {
    fn size(&self) -> Option<u64> {
        Some(self.slots)
    }

    fn ready(&self, in_flight: &InFlight, cost: u64, now_ms: i64) -> Ready {
        slot_ready((self.slots, self.lease_ms), in_flight, cost, now_ms)
    }

    fn at_a_time(&self) -> Option<u64> {
        Some(self.slots)
    }

    fn leases(&self) -> bool {
        true
    }

    fn use_within_ms(&self) -> i64 {
        LANDS_WITHIN_MS.min(self.lease_ms) / 2
    }

    /// What remains is gone by the time it is read; the number of slots is not.
    fn hear(&mut self, _in_flight: &InFlight, heard: &Heard<'_>) {
        if let Some(limit) = heard.reading.limit {
            self.slots = heard.size(limit, Some(self.slots), self.read_ms);
            self.read_ms = heard.read_ms(self.read_ms);
        }
    }

    fn gauge(&self, in_flight: &InFlight, _now_ms: i64) -> Gauge {
        Gauge { used: in_flight.cost(), resets_at_ms: None }
    }

    fn held_ms(&self) -> i64 {
        self.lease_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_limit_names_the_lease_whose_end_makes_room_for_the_cost() {
        let limit = Concurrency::new(3, Duration::from_secs(10));
        let mut in_flight = InFlight::default();
        for (id, granted_ms, cost) in [(1, 1_000, 1), (2, 2_000, 2)] {
            in_flight.add((id, 1), granted_ms, cost);
        }
        for (cost, at_latest_ms) in [(1, 11_000), (2, 12_000), (3, 12_000)] {
            let ready = limit.ready(&in_flight, cost, 3_000);
            assert_eq!((ready.at_latest_ms, ready.until_ms), (at_latest_ms, 3_250), "cost {cost}");
        }
        in_flight.forget_until(11_000 - limit.held_ms());
        assert_eq!(limit.ready(&in_flight, 1, 11_000).at_latest_ms, 11_000);
        in_flight.take(2, 1);
        assert_eq!(limit.ready(&in_flight, 3, 11_001).at_latest_ms, 11_001);
    }
}
