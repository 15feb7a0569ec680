//! A leaky bucket, as the generic cell rate algorithm (GCRA): one number, the time at which the bucket is full again.

use serde::{Deserialize, Serialize};

use crate::in_flight::{Held, InFlight};
use crate::meter::{Gauge, Heard, LANDS_WITHIN_MS, Meter, Ready};

/// A bucket of `size` units that regains one every `every_us`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Bucket {
    size: u64,
    every_us: i64,
    /// Unix time in µs at which the bucket is full; in the past when it is.
    full_at_us: i64,
    /// Unix time in ms: what was spent before has been restored by time at least in part, or is not in what an answer
    /// told, so that a refund would come on top.
    refunds_from_ms: i64,
}

impl Bucket {
    pub(crate) fn new(calls: u32, restore_per_s: f64) -> Self {
        // Rounded up, so never too quick; less a whisker, since 1e6 / (1e6 / 3) is not quite 3.
        let every_us = (1e6 / restore_per_s - 1e-3).ceil().max(1.0) as i64;
        Self { size: u64::from(calls).max(1), every_us, full_at_us: 0, refunds_from_ms: 0 }
    }

    /// This bucket, as full as `old` is.
    pub(crate) fn counting_on(self, old: &Self) -> Self {
        Self { full_at_us: old.full_at_us, refunds_from_ms: old.refunds_from_ms, ..self }
    }

    /// How long it takes to restore `units`.
    fn to_restore_us(&self, units: u64) -> i64 {
        self.every_us.saturating_mul(i64::try_from(units).unwrap_or(i64::MAX))
    }

    /// How long it takes, from now, to restore all that is missing.
    fn backlog_us(&self, now_ms: i64) -> i64 {
        (self.full_at_us - us(now_ms)).max(0)
    }
}

fn us(ms: i64) -> i64 {
    ms.saturating_mul(1_000)
}

/// Of numbers that are not negative.
fn div_ceil(dividend: i64, divisor: i64) -> i64 {
    dividend / divisor + i64::from(dividend % divisor != 0)
}

impl Meter for Bucket {
    fn size(&self) -> Option<u64> {
        Some(self.size)
    }

    fn ready(&self, _in_flight: &InFlight, cost: u64, now_ms: i64) -> Ready {
        let allowed_us = self.to_restore_us(self.size.saturating_sub(cost));
        let wait_us = (self.backlog_us(now_ms) - allowed_us).max(0);
        Ready::at(now_ms + div_ceil(wait_us, 1_000))
    }

    fn spend(&mut self, in_flight: &InFlight, cost: u64, now_ms: i64) {
        let backlog_us = self.backlog_us(now_ms);
        if backlog_us < self.to_restore_us(in_flight.cost()) {
            self.refunds_from_ms = now_ms;
        }
        self.full_at_us = us(now_ms).saturating_add(backlog_us).saturating_add(self.to_restore_us(cost));
    }

    fn refund(&mut self, held: Held) {
        if held.granted_ms >= self.refunds_from_ms {
            self.full_at_us -= self.to_restore_us(held.cost);
        }
    }

    fn hear(&mut self, in_flight: &InFlight, heard: &Heard<'_>) {
        self.size = heard.reading.limit.map_or(self.size, |limit| limit.max(1));
        let Some(used) = heard.used(Some(self.size)) else { return };
        let landed_ms = heard.granted_ms() - LANDS_WITHIN_MS;
        self.refunds_from_ms = self.refunds_from_ms.max(landed_ms + 1);
        let backlog_us = self.to_restore_us(used.saturating_add(in_flight.cost_since(landed_ms)));
        let told_us = us(heard.now_ms).saturating_add(backlog_us);
        self.full_at_us = if heard.alone { told_us } else { told_us.max(self.full_at_us) };
    }

    fn gauge(&self, _in_flight: &InFlight, now_ms: i64) -> Gauge {
        let backlog_us = self.backlog_us(now_ms);
        let used = div_ceil(backlog_us, self.every_us).unsigned_abs();
        Gauge { used, resets_at_ms: (used > 0).then(|| now_ms + div_ceil(backlog_us, 1_000)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_exact_in_whole_microseconds_and_else_slower_never_quicker() {
        for every_us in 1..100_000 {
            assert_eq!(Bucket::new(1, 1e6 / f64::from(every_us)).every_us, i64::from(every_us));
        }
        for (restore_per_s, every_us) in [(3.0, 333_334), (0.7, 1_428_572), (300.0, 3_334), (1e-6, 1_000_000_000_000)] {
            assert_eq!(Bucket::new(1, restore_per_s).every_us, every_us, "{restore_per_s}/s");
        }
    }
}
