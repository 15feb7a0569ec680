//! A leaky bucket, as the generic cell rate algorithm (GCRA): one number, the time at which the bucket is full again.
//!
//! A call counts at the provider when it lands there, some time between its grant and its answer. What is restored until
//! then to a bucket that is full already is lost there, so a call in flight is counted as if it landed now:
//!
//! ```text
//! granted, in flight          answered
//! |~~~~ nothing restored ~~~~~|──── every_us ────| one more
//! ```
//!
//! A bucket that restores something else meanwhile loses nothing by this, and so keeps its pace.

use serde::{Deserialize, Serialize};

use crate::in_flight::{Held, InFlight};
use crate::meter::{Gauge, Heard, LANDS_WITHIN_MS, Meter, Ready, never};

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
    /// Unix time in ms: calls granted until then have landed.
    #[serde(default = "never")]
    landed_ms: i64,
    /// Unix time in ms: the last call was granted then of those whose answers told the size or what remains.
    #[serde(default = "never")]
    read_ms: i64,
}

/// How long a unit takes to be restored: rounded up, so never too quick; less a whisker, since 1e6 / (1e6 / 3) is not
/// quite 3.
pub(crate) fn every_us(restore_per_s: f64) -> i64 {
    (1e6 / restore_per_s - 1e-3).ceil().max(1.0) as i64
}

impl Bucket {
    pub(crate) fn new(calls: u32, restore_per_s: f64) -> Self {
        let every_us = every_us(restore_per_s);
        let (landed_ms, read_ms) = (never(), never());
        Self { size: u64::from(calls).max(1), every_us, full_at_us: 0, refunds_from_ms: 0, landed_ms, read_ms }
    }

    /// This bucket, as full as `old` is.
    pub(crate) fn counting_on(self, old: &Self) -> Self {
        Self { size: self.size, every_us: self.every_us, ..old.clone() }
    }

    /// How long it takes to restore `units`.
    fn to_restore_us(&self, units: u64) -> i64 {
        self.every_us.saturating_mul(i64::try_from(units).unwrap_or(i64::MAX))
    }

    /// How long it takes, from now, to restore all that is missing, if what is in flight lands now.
    fn backlog_us(&self, in_flight: &InFlight, now_ms: i64) -> i64 {
        self.restored_us(now_ms).max(self.to_restore_us(in_flight.cost_since(self.landed_ms)))
    }

    /// The same, if everything landed as it was granted.
    fn restored_us(&self, now_ms: i64) -> i64 {
        (self.full_at_us - us(now_ms)).max(0)
    }

    /// A call granted no longer ago may yet land: 30 s, or a quarter of the time that an empty bucket takes to fill, lest
    /// slow answers take more than a fifth of the pace.
    fn landing_ms(&self) -> i64 {
        LANDS_WITHIN_MS.min(self.to_restore_us(self.size) / 4_000)
    }

    /// When there is room for `cost`, if nothing in flight is reported.
    fn at_latest_us(&self, in_flight: &InFlight, allowed_us: i64) -> i64 {
        let lands = in_flight.granted_after(self.landed_ms).map(|(granted_ms, cost)| {
            let to_restore_us = self.to_restore_us(cost);
            let landed_us = us(granted_ms.saturating_add(self.landing_ms()));
            if to_restore_us > allowed_us { landed_us.saturating_add(to_restore_us) } else { i64::MIN }
        });
        lands.fold(self.full_at_us, i64::max).saturating_sub(allowed_us)
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

    fn even_us(&self) -> Option<i64> {
        Some(self.every_us)
    }

    fn advance(&mut self, in_flight: &InFlight, now_ms: i64) {
        let landed_ms = now_ms.saturating_sub(self.landing_ms());
        for (granted_ms, cost) in in_flight.granted_after(self.landed_ms) {
            if granted_ms <= landed_ms {
                let full_at_us = us(granted_ms + self.landing_ms()).saturating_add(self.to_restore_us(cost));
                self.full_at_us = self.full_at_us.max(full_at_us);
            }
        }
        self.landed_ms = self.landed_ms.max(landed_ms);
        if self.backlog_us(in_flight, now_ms) < self.to_restore_us(in_flight.cost()) {
            self.refunds_from_ms = now_ms;
        }
    }

    fn ready(&self, in_flight: &InFlight, cost: u64, now_ms: i64) -> Ready {
        let allowed_us = self.to_restore_us(self.size.saturating_sub(cost));
        let wait_us = (self.backlog_us(in_flight, now_ms) - allowed_us).max(0);
        let at_latest_us = self.at_latest_us(in_flight, allowed_us) - us(now_ms);
        Ready {
            until_ms: now_ms + div_ceil(wait_us, 1_000),
            at_latest_ms: now_ms + div_ceil(at_latest_us.max(wait_us), 1_000),
        }
    }

    fn behind(&self, in_flight: &InFlight, ahead: u64, cost: u64, now_ms: i64) -> Option<i64> {
        let size_us = self.to_restore_us(self.size);
        let wait_us = self.backlog_us(in_flight, now_ms).saturating_add(self.to_restore_us(ahead + cost)) - size_us;
        Some(now_ms + div_ceil(wait_us.max(0), 1_000))
    }

    fn leases(&self) -> bool {
        true
    }

    fn use_within_ms(&self) -> i64 {
        self.landing_ms() / 2
    }

    fn spend(&mut self, in_flight: &InFlight, cost: u64, now_ms: i64) {
        let backlog_us = self.backlog_us(in_flight, now_ms);
        self.full_at_us = us(now_ms).saturating_add(backlog_us).saturating_add(self.to_restore_us(cost));
    }

    fn refund(&mut self, held: Held, _now_ms: i64) {
        if held.granted_ms >= self.refunds_from_ms {
            self.full_at_us -= self.to_restore_us(held.cost);
        }
    }

    fn settle(&mut self, held: Held, cost: u64) {
        if held.granted_ms >= self.refunds_from_ms {
            self.full_at_us -= self.to_restore_us(held.cost);
            self.full_at_us = self.full_at_us.saturating_add(self.to_restore_us(cost));
        }
    }

    fn landed(&mut self, in_flight: &InFlight, held: Held, _answered: bool, now_ms: i64) {
        if held.granted_ms > self.landed_ms {
            let cost = in_flight.cost_since(self.landed_ms).saturating_add(held.cost);
            self.full_at_us = self.full_at_us.max(us(now_ms).saturating_add(self.to_restore_us(cost)));
        }
    }

    fn hear(&mut self, in_flight: &InFlight, heard: &Heard<'_>) {
        let told = heard.reading.limit.unwrap_or(self.size);
        self.size = heard.size(told, Some(self.size), self.read_ms);
        self.read_ms = heard.read_ms(self.read_ms);
        let Some(used) = heard.used(Some(told)) else { return };
        let landed_ms = heard.granted_ms() - LANDS_WITHIN_MS;
        self.refunds_from_ms = self.refunds_from_ms.max(landed_ms + 1);
        let backlog_us = self.to_restore_us(used.saturating_add(in_flight.cost_since(landed_ms)));
        let told_us = us(heard.now_ms).saturating_add(backlog_us);
        self.full_at_us = if heard.alone { told_us } else { told_us.max(self.full_at_us) };
    }

    fn gauge(&self, in_flight: &InFlight, now_ms: i64) -> Gauge {
        let backlog_us = self.backlog_us(in_flight, now_ms);
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
