//! What an arbiter may grant of a limit by itself: a share of what it saw left, and of what time restores.
//!
//! Where every arbiter takes its share, and the shares are at most the whole, all together grant no more than there is. Windows
//! are counted as if they slid: whichever way the provider's lie, none holds more than the whole.

use std::time::Duration;

use tidegate_limits::Rate;

use super::seen::{Meter, Seen};

/// A share of a limit.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Portion {
    /// What may be granted.
    pub(super) rate: Rate,
    /// The whole, counted in the same way.
    pub(super) whole: Rate,
    /// What is used of it already.
    pub(super) used: Used,
    /// Units that fit; a call that costs more is not granted.
    pub(super) size: u64,
    /// Units that fit into the whole.
    pub(super) whole_size: u64,
}

impl Portion {
    /// A rate that everybody may have whole.
    pub(super) fn whole(rate: &Rate) -> Self {
        let (size, whole_size) = (u64::MAX, u64::MAX);
        Self { rate: rate.clone(), whole: rate.clone(), used: Used::default(), size, whole_size }
    }

    /// What may be granted by now, and is not counted by what was used before.
    fn slots(rate: Rate, size: u64) -> Self {
        Self { whole: rate.clone(), rate, used: Used::default(), size, whole_size: size }
    }

    /// What is used of the share where so much of the whole is, so that no more is left of it than the share of what is left.
    pub(super) fn used_of(&self, of_whole: u64, percent: u32) -> u64 {
        self.size - share_of(self.whole_size.saturating_sub(of_whole), percent).min(self.size)
    }
}

/// What is used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Used {
    /// As of then, by the server's clock, Unix ms.
    pub(super) at_ms: i64,
    /// Of the share.
    pub(super) of_share: u64,
    /// Of the whole.
    pub(super) of_whole: u64,
}

/// A share of a limit with this rate, which was seen like this at `at_ms`, in per cent. None where nothing may be granted: of a
/// limit that is too small to be shared, whose size nobody knows, or that is in trouble.
pub(super) fn portion(rate: &Rate, text: &str, seen: &Seen, at_ms: i64, percent: u32) -> Option<Portion> {
    // What answers told of a limit holds for the rate that they spoke of.
    let is_same = seen.rate == text;
    let told = |size: Option<f64>, configured: u32| {
        size.filter(|_| is_same).map_or(u64::from(configured), |size| size.max(0.0) as u64)
    };
    let (whole, size, used, used_ms) = match (rate, &seen.meter) {
        (Rate::Breaker(_), Meter::Breaker { mode }) if mode == "closed" => {
            return Some(Portion::whole(rate));
        }
        (&Rate::Window { calls, per, .. }, Meter::Window { told_size, used, open, .. }) => {
            let used_ms = open.as_ref().map(|open| open.over_ms as i64 - ms(per));
            (Rate::Sliding { calls, per }, told(*told_size, calls), open.as_ref().map_or(0.0, |_| *used), used_ms)
        }
        (Rate::Quota { calls, per, .. }, Meter::Window { told_size, used, open, .. }) => {
            let per = Duration::from_millis(per.least_ms().unsigned_abs());
            let used_ms = open.as_ref().map(|open| open.over_ms as i64 - ms(per));
            (
                Rate::Sliding { calls: *calls, per },
                told(*told_size, *calls),
                open.as_ref().map_or(0.0, |_| *used),
                used_ms,
            )
        }
        (Rate::Told {}, Meter::Window { calls: None, told_size: Some(size), per_ms, used, open }) if *per_ms > 0.0 => {
            let per = Duration::from_millis(*per_ms as u64);
            let used_ms = open.as_ref().map(|open| open.over_ms as i64 - ms(per));
            (Rate::Sliding { calls: 1, per }, *size as u64, open.as_ref().map_or(0.0, |_| *used), used_ms)
        }
        (&Rate::Sliding { calls, .. }, Meter::Sliding { told_size, slices, .. }) => {
            (rate.clone(), told(*told_size, calls), slices.iter().map(|slice| slice.2).sum(), None)
        }
        (&Rate::Bucket { calls, restore_per_s }, Meter::Bucket { size, every_us, full_at_us }) => {
            let restored = (full_at_us - at_ms as f64 * 1_000.0).max(0.0) / every_us.max(1.0);
            let used = restored.ceil().max(seen.flight.cost);
            (Rate::Bucket { calls, restore_per_s }, told(Some(*size), calls), used, None)
        }
        (&Rate::Concurrency { calls, learn: None, lease }, Meter::Concurrency { slots }) => {
            return slots_of(told(Some(*slots), calls), seen, lease, percent);
        }
        (&Rate::Concurrency { learn: Some(learn), lease, .. }, Meter::Slots { size }) => {
            return slots_of(told(Some(*size), learn.start), seen, lease, percent);
        }
        (Rate::Learn(_), Meter::Learn { pace_per_s, trouble: None }) => {
            let restore_per_s = pace_per_s * f64::from(percent) / 100.0;
            return Some(Portion::slots(Rate::Bucket { calls: 1, restore_per_s }, 1));
        }
        _ => return None,
    };
    let used = used.max(0.0) as u64;
    let fits = share_of(size, percent);
    let mut portion = Portion {
        rate: sized(&whole, whole_number(fits)?, percent),
        whole: sized(&whole, whole_number(size)?, 100),
        used: Used { at_ms: used_ms.unwrap_or(at_ms), of_share: 0, of_whole: used },
        size: fits,
        whole_size: size,
    };
    portion.used.of_share = portion.used_of(used, percent);
    Some(portion)
}

/// A share of the slots that are free. Those that come free meanwhile stay so: only Redis knows whose they are.
fn slots_of(slots: u64, seen: &Seen, lease: Duration, percent: u32) -> Option<Portion> {
    let size = share_of(slots.saturating_sub(seen.flight.cost as u64), percent);
    let rate = Rate::Concurrency { calls: whole_number(size)?, learn: None, lease };
    Some(Portion::slots(rate, size))
}

/// Rounded down, so that shares never make more than the whole.
pub(super) fn share_of(units: u64, percent: u32) -> u64 {
    units.saturating_mul(u64::from(percent)) / 100
}

fn sized(rate: &Rate, calls: u32, percent: u32) -> Rate {
    match *rate {
        Rate::Sliding { per, .. } => Rate::Sliding { calls, per },
        Rate::Bucket { restore_per_s, .. } => {
            Rate::Bucket { calls, restore_per_s: restore_per_s * f64::from(percent) / 100.0 }
        }
        ref other => other.clone(),
    }
}

fn whole_number(size: u64) -> Option<u32> {
    u32::try_from(size).ok().filter(|size| *size > 0)
}

fn ms(per: Duration) -> i64 {
    i64::try_from(per.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use tidegate_limits::Aligned;

    use super::*;
    use crate::redis::away::seen::{Block, Flight, Open};

    const NOW_MS: i64 = 1_700_000_000_000;

    fn seen(meter: Meter, in_flight: f64) -> Seen {
        Seen { rate: "same".to_owned(), meter, flight: Flight { cost: in_flight }, block: Block { until_ms: 0.0 } }
    }

    fn of(rate: &Rate, meter: Meter, in_flight: f64, percent: u32) -> Option<Portion> {
        portion(rate, "same", &seen(meter, in_flight), NOW_MS, percent)
    }

    #[test]
    fn of_a_window_the_share_of_what_is_left_is_left_until_its_end() {
        let rate = Rate::Window { calls: 100, per: Duration::from_mins(1), aligned: Aligned::FirstCall };
        let open = Some(Open { over_ms: (NOW_MS + 20_000) as f64 });
        let meter = Meter::Window { calls: Some(100.0), told_size: None, per_ms: 60_000.0, used: 61.0, open };
        let portion = of(&rate, meter, 3.0, 25).unwrap();
        let sliding = |calls| Rate::Sliding { calls, per: Duration::from_mins(1) };
        let used = Used { at_ms: NOW_MS - 40_000, of_share: 16, of_whole: 61 };
        assert_eq!(portion, Portion { rate: sliding(25), whole: sliding(100), used, size: 25, whole_size: 100 });
    }

    #[test]
    fn of_a_bucket_the_share_restores_as_its_share() {
        let rate = Rate::Bucket { calls: 40, restore_per_s: 2.0 };
        let full_at_us = (NOW_MS + 5_000) as f64 * 1_000.0;
        let meter = Meter::Bucket { size: 40.0, every_us: 500_000.0, full_at_us };
        let portion = of(&rate, meter, 0.0, 50).unwrap();
        assert_eq!(portion.rate, Rate::Bucket { calls: 20, restore_per_s: 1.0 });
        assert_eq!(portion.used, Used { at_ms: NOW_MS, of_share: 5, of_whole: 10 });
    }

    #[test]
    fn of_slots_the_free_ones_are_shared() {
        let rate = Rate::Concurrency { calls: 10, learn: None, lease: Duration::from_mins(1) };
        let size = |in_flight| of(&rate, Meter::Concurrency { slots: 10.0 }, in_flight, 50).map(|portion| portion.size);
        assert_eq!((size(4.0), size(9.0)), (Some(3), None));
        let learn = Some(tidegate_limits::LearnSlots::default());
        let rate = Rate::Concurrency { calls: 0, learn, lease: Duration::from_mins(1) };
        let portion = of(&rate, Meter::Slots { size: 12.7 }, 4.0, 50).unwrap();
        assert_eq!(portion.rate, Rate::Concurrency { calls: 4, learn: None, lease: Duration::from_mins(1) });
    }

    #[test]
    fn nothing_is_granted_of_what_is_too_small_unknown_or_in_trouble() {
        let window = |calls| Rate::Window { calls, per: Duration::from_secs(1), aligned: Aligned::FirstCall };
        let meter = || Meter::Window { calls: Some(3.0), told_size: None, per_ms: 1_000.0, used: 0.0, open: None };
        assert_eq!(of(&window(3), meter(), 0.0, 25), None);
        assert!(of(&window(4), meter(), 0.0, 25).is_some());
        assert_eq!(of(&Rate::Told {}, meter(), 0.0, 25), None);
        let breaker = Rate::Breaker(tidegate_limits::Breaker::default());
        assert!(of(&breaker, Meter::Breaker { mode: "closed".to_owned() }, 0.0, 25).is_some());
        assert_eq!(of(&breaker, Meter::Breaker { mode: "open".to_owned() }, 0.0, 25), None);
    }

    #[test]
    fn what_was_told_of_another_rate_is_not_believed() {
        let rate = Rate::Bucket { calls: 40, restore_per_s: 2.0 };
        let meter = Meter::Bucket { size: 400.0, every_us: 500_000.0, full_at_us: 0.0 };
        assert_eq!(portion(&rate, "other", &seen(meter, 0.0), NOW_MS, 100).unwrap().size, 40);
    }
}
