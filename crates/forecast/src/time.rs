//! The least time in which so much can go.

use tidegate_limits::{Rate, Reading, Terms};

/// What a call is assumed to take on the wire, in ms, where nothing was measured.
pub const LATENCY_MS_ASSUMED: u64 = 200;

/// The least time from the first to the last of `units` single units, in ms, as `tidegate_limits::Limiter` would grant
/// them to one who asks whenever there is room, from a budget that is whole. For windows that begin with a call it grants up
/// to a quarter of each (30 s at most) later, as long as no answer told where they began; from a bucket up to 1 ms for each
/// unit later, as its waits end on whole milliseconds. `None` where only the provider knows.
///
/// A window that is aligned to the clock may be nearly over at the first call, and so save up to one window.
/// `latency_ms`: how long a call holds its slot. `now_ms`: when the first unit goes, Unix ms; a quota by the calendar ends
/// with its day, week or month.
#[must_use]
pub fn least_time_ms(rate: &Rate, units: u64, latency_ms: u64, now_ms: i64) -> Option<u64> {
    if units == 0 {
        return Some(0);
    }
    match rate.terms() {
        Terms::Window { calls, per_ms, .. } | Terms::Sliding { calls, per_ms } => {
            Some((units.div_ceil(calls) - 1).saturating_mul(per_ms.unsigned_abs()))
        }
        Terms::Quota { calls, calendar } => {
            let periods = i64::try_from(units.div_ceil(calls) - 1).unwrap_or(i64::MAX);
            Some(calendar.until_ms(periods, now_ms).unsigned_abs())
        }
        Terms::Bucket { calls, every_us } => {
            let us = u128::from(units.saturating_sub(calls)) * u128::from(every_us.unsigned_abs());
            Some(u64::try_from(us.div_ceil(1_000)).unwrap_or(u64::MAX))
        }
        Terms::Concurrency { calls, .. } => Some(units.div_ceil(calls).saturating_mul(latency_ms)),
        Terms::Slots { .. } | Terms::Learn(_) | Terms::Breaker { .. } | Terms::Told => None,
    }
}

/// As [`least_time_ms`], from what an answer said at `now_ms` of the budget that is left. Its own units come first.
pub(crate) fn least_time_after_ms(
    rate: &Rate,
    units: u64,
    latency_ms: u64,
    (reading, now_ms): (Option<&Reading>, i64),
) -> Option<u64> {
    let plain = least_time_ms(rate, units, latency_ms, now_ms);
    let ends_ms = || match rate.terms() {
        Terms::Quota { calendar, .. } => Some(now_ms.saturating_add(calendar.until_ms(1, now_ms))),
        _ => None,
    };
    let told = reading.and_then(|reading| Some((reading, reading.remaining?, reading.reset_at_ms.or_else(ends_ms)?)));
    let Some((reading, remaining, reset_at_ms)) = told else { return plain };
    if matches!(rate.terms(), Terms::Bucket { .. } | Terms::Concurrency { .. }) {
        return plain;
    }
    let left = remaining as u64;
    if units <= left {
        return Some(0);
    }
    let until_reset_ms = u64::try_from(reset_at_ms.saturating_sub(now_ms)).unwrap_or(0);
    let rest = match (rate.terms(), reading.limit) {
        (Terms::Window { per_ms, .. }, Some(limit)) => {
            ((units - left).div_ceil(limit.max(1)) - 1).saturating_mul(per_ms.unsigned_abs())
        }
        _ => least_time_ms(rate, units - left, latency_ms, reset_at_ms).unwrap_or(0),
    };
    Some(until_reset_ms.saturating_add(rest))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use tidegate_limits::{Charge, Decision, Limiter, Period, Report};

    use super::*;

    /// What the limiter really grants: each unit a call, asked for whenever it says that there is room.
    const BEGIN_MS: i64 = 1_800_000_000_000;

    fn simulate(rate: &Rate, units: u64, latency_ms: u64) -> u64 {
        let (mut limiter, mut now_ms) = (Limiter::default(), BEGIN_MS);
        let charges = [Charge { limit: "a".into(), key: "a".into(), rate: rate.clone(), cost: 1, headroom: None }];
        let mut out: Vec<(i64, Report)> = Vec::new();
        let is_concurrency = matches!(rate, Rate::Concurrency { .. });
        let mut granted = 0;
        while granted < units {
            match limiter.ask(now_ms, &charges) {
                Decision::Granted(permit) => {
                    granted += 1;
                    let report = Report { permit, sent: true, answer: None, health: None, took_us: None };
                    if is_concurrency {
                        out.push((now_ms + i64::try_from(latency_ms).unwrap(), report));
                    } else {
                        limiter.report(now_ms, &report);
                    }
                }
                Decision::Wait { until_ms, .. } if !is_concurrency => now_ms = until_ms,
                Decision::Wait { .. } => {
                    now_ms = out.first().expect("a call is out").0;
                    while out.first().is_some_and(|(back_ms, _)| *back_ms <= now_ms) {
                        limiter.report(now_ms, &out.remove(0).1);
                    }
                }
            }
        }
        // With calls at the same time, the last answers count; with rates, the last call.
        let end_ms = if is_concurrency { out.last().map_or(now_ms, |(back_ms, _)| *back_ms) } else { now_ms };
        u64::try_from(end_ms - BEGIN_MS).unwrap()
    }

    fn rates() -> impl Strategy<Value = Rate> {
        let aligned = tidegate_limits::Aligned::FirstCall;
        prop_oneof![
            (1..50_u32, 1..100_u64).prop_map(move |(calls, s)| Rate::Window {
                calls,
                per: Duration::from_secs(s),
                aligned
            }),
            (1..50_u32, 1..100_u64).prop_map(|(calls, s)| Rate::Sliding { calls, per: Duration::from_secs(s) }),
            (1..50_u32, 1..100_u32)
                .prop_map(|(calls, each_s)| Rate::Bucket { calls, restore_per_s: f64::from(each_s) / 4.0 }),
            (1..50_u32, prop::sample::select(&[Period::Day, Period::Week, Period::Month][..]), any::<bool>()).prop_map(
                |(calls, per, is_utc)| Rate::Quota {
                    calls,
                    per,
                    zone: if is_utc { "UTC" } else { "America/Los_Angeles" }.to_owned().try_into().unwrap()
                }
            ),
            (1..20_u32).prop_map(|calls| Rate::Concurrency { calls, learn: None, lease: Duration::from_secs(300) }),
        ]
    }

    proptest! {
        #[test]
        fn the_least_time_is_what_the_limiter_takes(rate in rates(), units in 1..300_u64, latency_ms in 1..2_000_u64) {
            let least = least_time_ms(&rate, units, latency_ms, BEGIN_MS).unwrap();
            let took = simulate(&rate, units, latency_ms);
            // Where a window begins with a call, the limiter waits for the latest time at which that may have landed.
            let care_ms = match rate {
                Rate::Window { per, .. } => units * u64::try_from(per.as_millis() / 4).unwrap().min(30_000),
                // Each wait ends on a whole ms; a full bucket does not keep what was left of it.
                Rate::Bucket { .. } => units,
                _ => 0,
            };
            prop_assert!((least.saturating_sub(2)..=least + care_ms + 2).contains(&took), "{rate:?}: {least} ms, the limiter took {took} ms");
        }
    }
}
