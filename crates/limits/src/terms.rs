//! A rate in the whole numbers that budgets are kept in, for those who keep them elsewhere.

use crate::breaker::Breaker;
use crate::bucket::every_us;
use crate::calendar::Calendar;
use crate::concurrency::whole_ms;
use crate::learn::Learn;
use crate::rate::{Aligned, Rate};
use crate::slots::LearnSlots;

/// What a [`Rate`] comes down to. Numbers are at least 1.
#[derive(Debug, Clone, PartialEq)]
pub enum Terms {
    /// So many units of cost in each window.
    Window {
        /// Units in each window.
        calls: u64,
        /// The window's length.
        per_ms: i64,
        /// Where windows begin.
        aligned: Aligned,
    },
    /// So many units of cost in any span of a length.
    Sliding {
        /// Units in any such span.
        calls: u64,
        /// The span's length.
        per_ms: i64,
    },
    /// So many units of cost in each period of the calendar.
    Quota {
        /// Units in each period.
        calls: u64,
        /// The periods.
        calendar: Calendar,
    },
    /// A bucket that regains one unit at a time.
    Bucket {
        /// Units that fit.
        calls: u64,
        /// Time for one unit, rounded up.
        every_us: i64,
    },
    /// So many at the same time.
    Concurrency {
        /// Units in flight.
        calls: u64,
        /// How long an unreported call holds its slot.
        lease_ms: i64,
    },
    /// As many at the same time as is learnt.
    Slots {
        /// The options.
        learn: LearnSlots,
        /// How long an unreported call holds its slot.
        lease_ms: i64,
    },
    /// Whatever is learnt.
    Learn(Learn),
    /// Whether the provider is well.
    Breaker {
        /// The options.
        breaker: Breaker,
        /// The shortest and the longest time between probes, and how long they are free.
        probes_ms: [i64; 3],
    },
    /// Whatever answers say.
    Told,
}

impl Rate {
    /// The rate in whole numbers.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let at_least_one = |calls: u32| u64::from(calls).max(1);
        match *self {
            Self::Window { calls, per, aligned } => {
                Terms::Window { calls: at_least_one(calls), per_ms: whole_ms(per), aligned }
            }
            Self::Quota { calls, per, ref zone } => {
                Terms::Quota { calls: at_least_one(calls), calendar: Calendar { per, zone: zone.clone() } }
            }
            Self::Sliding { calls, per } => Terms::Sliding { calls: at_least_one(calls), per_ms: whole_ms(per) },
            Self::Bucket { calls, restore_per_s } => {
                Terms::Bucket { calls: at_least_one(calls), every_us: every_us(restore_per_s) }
            }
            Self::Concurrency { learn: Some(learn), lease, .. } => Terms::Slots { learn, lease_ms: whole_ms(lease) },
            Self::Concurrency { calls, learn: None, lease } => {
                Terms::Concurrency { calls: at_least_one(calls), lease_ms: whole_ms(lease) }
            }
            Self::Learn(learn) => Terms::Learn(learn),
            Self::Breaker(breaker) => {
                let probes = [breaker.first_probe, breaker.longest_probe, breaker.patience];
                Terms::Breaker { breaker, probes_ms: probes.map(whole_ms) }
            }
            Self::Told {} => Terms::Told,
        }
    }
}
