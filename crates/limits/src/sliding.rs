//! A sliding window: so many calls in any span of a length.
//!
//! A call counts at the provider from when it lands, some time between its grant and its answer. What is kept is the
//! latest time at which it may have landed: so late after its grant as a call ever lands, and once it was answered, the
//! time of its answer.
//!
//! ```text
//! ours        |grant · latest landing|answer ············ per ············| leaves
//! provider's      |landing ············ per ············| leaves
//! ```
//!
//! Times are kept by slices of the window, a 64th of its length, each with the last landing in it. So the state is
//! bounded (82 slices), and a call leaves up to one slice later than that landing, and never earlier.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::concurrency::{ASK_AGAIN_MS, whole_ms};
use crate::in_flight::{Held, InFlight};
use crate::meter::{Gauge, Heard, LANDS_WITHIN_MS, Meter, Ready, never};

/// Slices of a window.
const SLICES: i64 = 64;

/// A window that slides.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Sliding {
    calls: u64,
    per_ms: i64,
    /// What answers said instead of `calls`.
    told_size: Option<u64>,
    /// What is used, the oldest first.
    slices: VecDeque<Slice>,
    /// Unix time in ms: calls granted until then are part of what an answer told, or never landed.
    landed_ms: i64,
    /// What others may have used beyond that, and when that was told: as much as what was in flight then, all of which we have
    /// counted, may have landed after the answer. The next answer says more.
    #[serde(default)]
    perhaps: (u64, i64),
    /// Unix time in ms: the last call was granted then of those whose answers told the size or what remains.
    #[serde(default = "never")]
    read_ms: i64,
}

/// What landed in one slice of time.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Slice {
    /// How many slices went before it since 1970.
    number: i64,
    /// The latest landing.
    at_ms: i64,
    cost: u64,
}

impl Sliding {
    pub(crate) fn new(calls: u32, per: Duration) -> Self {
        let (calls, per_ms) = (u64::from(calls).max(1), whole_ms(per));
        Self {
            calls,
            per_ms,
            told_size: None,
            slices: VecDeque::new(),
            landed_ms: never(),
            perhaps: (0, 0),
            read_ms: never(),
        }
    }

    /// This window, with what `old` has counted.
    pub(crate) fn counting_on(mut self, old: &Self) -> Self {
        old.slices.iter().for_each(|slice| self.add(slice.at_ms, slice.cost));
        Self { landed_ms: old.landed_ms, perhaps: old.perhaps, read_ms: old.read_ms, ..self }
    }

    /// A call granted no longer ago may yet land.
    fn landing_ms(&self) -> i64 {
        LANDS_WITHIN_MS.min(self.per_ms / 4)
    }

    fn slice_ms(&self) -> i64 {
        (self.per_ms + SLICES - 1) / SLICES
    }

    fn number(&self, at_ms: i64) -> i64 {
        at_ms.div_euclid(self.slice_ms())
    }

    /// What is used for sure.
    fn used(&self) -> u64 {
        self.slices.iter().map(|slice| slice.cost).sum()
    }

    /// What is missing of a cost.
    fn missing(&self, cost: u64) -> u64 {
        self.used().saturating_add(cost).saturating_sub(self.told_size.unwrap_or(self.calls))
    }

    fn add(&mut self, at_ms: i64, cost: u64) {
        let number = self.number(at_ms);
        let place = self.slices.iter().rposition(|slice| slice.number <= number);
        match place.and_then(|place| self.slices.get_mut(place)) {
            Some(slice) if slice.number == number => {
                (slice.at_ms, slice.cost) = (slice.at_ms.max(at_ms), slice.cost + cost);
            }
            _ => self.slices.insert(place.map_or(0, |place| place + 1), Slice { number, at_ms, cost }),
        }
    }

    /// Removes up to `cost` from what landed at a time: how much that was.
    fn take(&mut self, at_ms: i64, cost: u64) -> u64 {
        let number = self.number(at_ms);
        let Some(slice) = self.slices.iter_mut().find(|slice| slice.number == number) else { return 0 };
        let taken = slice.cost.min(cost);
        slice.cost -= taken;
        self.slices.retain(|slice| slice.cost > 0);
        taken
    }

    /// Forgets the oldest `cost`.
    fn forget(&mut self, mut cost: u64) {
        for slice in &mut self.slices {
            let taken = slice.cost.min(cost);
            (slice.cost, cost) = (slice.cost - taken, cost - taken);
        }
        self.slices.retain(|slice| slice.cost > 0);
    }

    /// The slice with which, after all before it, `cost` has left.
    fn frees(&self, cost: u64) -> Option<&Slice> {
        let mut left = 0;
        self.slices.iter().find(|slice| {
            left += slice.cost;
            left >= cost
        })
    }

    /// When a slice leaves, if all that may land by now has landed.
    fn soon_ms(&self, slice: &Slice, now_ms: i64) -> i64 {
        slice.at_ms.min(now_ms) + self.per_ms
    }

    /// When a slice leaves at the latest: what is in flight may yet be answered within it.
    fn at_latest_ms(&self, slice: &Slice, now_ms: i64) -> i64 {
        let is_last = self.slices.back().is_some_and(|last| last.number == slice.number);
        let is_over = is_last || slice.number < self.number(now_ms);
        let last_ms = if is_over { slice.at_ms } else { (slice.number + 1) * self.slice_ms() - 1 };
        last_ms + self.per_ms
    }
}

impl Meter for Sliding {
    fn size(&self) -> Option<u64> {
        Some(self.told_size.unwrap_or(self.calls))
    }

    fn even_us(&self) -> Option<i64> {
        Some(self.per_ms * 1_000 / i64::try_from(self.size()?).ok()?.max(1))
    }

    fn advance(&mut self, _in_flight: &InFlight, now_ms: i64) {
        while self.slices.pop_front_if(|slice| slice.at_ms + self.per_ms <= now_ms).is_some() {}
        if self.perhaps.1 + self.per_ms <= now_ms {
            self.perhaps.0 = 0;
        }
    }

    fn ready(&self, in_flight: &InFlight, cost: u64, now_ms: i64) -> Ready {
        let (perhaps, told_ms) = self.perhaps;
        let missing = self.missing(cost.saturating_add(perhaps));
        let freed = |missing: u64| match self.frees(missing) {
            Some(slice) if missing > 0 => {
                let until_ms = self.soon_ms(slice, now_ms);
                Some(Ready { until_ms, at_latest_ms: self.at_latest_ms(slice, now_ms) })
            }
            _ if missing == 0 => Some(Ready::at(now_ms)),
            _ => None,
        };
        if perhaps == 0 || missing == 0 {
            return freed(missing).unwrap_or(Ready::at(now_ms));
        }
        let surely = freed(self.missing(cost)).unwrap_or(Ready::at(now_ms));
        let gone = surely.and(Ready::at(told_ms + self.per_ms));
        let ready = freed(missing).map_or(gone, |ready| ready.or(gone));
        // With the next answer there may be less of what is not sure.
        let look_ms = surely.until_ms.max(now_ms + ASK_AGAIN_MS);
        let may_shrink = in_flight.cost_since(self.landed_ms) > 0;
        Ready { until_ms: if may_shrink { ready.until_ms.min(look_ms) } else { ready.until_ms }, ..ready }
    }

    fn behind(&self, _in_flight: &InFlight, ahead: u64, cost: u64, now_ms: i64) -> Option<i64> {
        let missing = self.missing(self.perhaps.0.saturating_add(ahead).saturating_add(cost));
        if missing == 0 {
            return Some(now_ms);
        }
        let slice = self.frees(missing).or(self.slices.back());
        Some(slice.map_or(now_ms + self.per_ms, |slice| self.soon_ms(slice, now_ms)))
    }

    fn spend(&mut self, _in_flight: &InFlight, cost: u64, now_ms: i64) {
        self.add(now_ms + self.landing_ms(), cost);
    }

    fn refund(&mut self, held: Held, _now_ms: i64) {
        if held.granted_ms > self.landed_ms {
            self.take(held.granted_ms + self.landing_ms(), held.cost);
        }
    }

    fn settle(&mut self, held: Held, cost: u64) {
        if held.granted_ms > self.landed_ms {
            let latest_ms = held.granted_ms + self.landing_ms();
            let taken = self.take(latest_ms, held.cost);
            let settled = taken.saturating_add(cost).saturating_sub(held.cost);
            if settled > 0 {
                self.add(latest_ms, settled);
            }
        }
    }

    fn landed(&mut self, _in_flight: &InFlight, held: Held, _answered: bool, now_ms: i64) {
        let latest_ms = held.granted_ms + self.landing_ms();
        if now_ms < latest_ms {
            let cost = self.take(latest_ms, held.cost);
            if cost > 0 {
                self.add(now_ms, cost);
            }
        }
    }

    /// What others use is what was told beyond all that we have counted, in flight or not; it stays for a whole window,
    /// or until a call that was alone tells less. What is in flight may not be in what was told: so much more may be others'.
    /// The reset says nothing: each call leaves at its own time.
    fn hear(&mut self, in_flight: &InFlight, heard: &Heard<'_>) {
        let size = self.told_size.unwrap_or(self.calls);
        self.told_size = match (heard.reading.limit, heard.remaining()) {
            (Some(limit), _) => Some(heard.size(limit, Some(size), self.read_ms)),
            // No size is known that could be right; it is at least this.
            (None, Some(left)) if left > size => Some(heard.size(left, Some(size), self.read_ms)),
            _ => self.told_size,
        };
        self.read_ms = heard.read_ms(self.read_ms);
        self.landed_ms = self.landed_ms.max(heard.granted_ms() - self.landing_ms());
        let Some(told) = heard.used(heard.reading.limit.or(self.size())) else { return };
        let used = self.used();
        if told > used {
            self.add(heard.now_ms, told - used);
        } else if heard.alone {
            self.forget(used - told);
        }
        let flying = in_flight.cost_since(heard.granted_ms() - self.landing_ms());
        let perhaps = told.saturating_add(flying).saturating_sub(self.used());
        // This call is in what was told most, by its own answer or another, and so no more in doubt.
        self.perhaps.0 = self.perhaps.0.saturating_sub(heard.cost);
        if perhaps > self.perhaps.0 {
            self.perhaps = (perhaps, heard.now_ms);
        }
    }

    fn leases(&self) -> bool {
        true
    }

    fn use_within_ms(&self) -> i64 {
        self.landing_ms() / 2
    }

    fn gauge(&self, _in_flight: &InFlight, _now_ms: i64) -> Gauge {
        let perhaps_ms = Some(self.perhaps.1).filter(|_| self.perhaps.0 > 0);
        let last_ms = self.slices.back().map(|slice| slice.at_ms).max(perhaps_ms);
        Gauge { used: self.used() + self.perhaps.0, resets_at_ms: last_ms.map(|last_ms| last_ms + self.per_ms) }
    }
}
