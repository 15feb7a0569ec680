//! Of which of a call's limits an answer speaks, where the provider file leaves that open: usual headers, and headers that
//! several limits name. Many providers tell the tightest of theirs, and not which one that is; the IETF's fields tell several.
//!
//! What is said belongs to the limit whose size and length it fits best, and to none where it fits none: then nothing is
//! believed but that there is nothing left. So no number that is told of a limit which the file does not know becomes the
//! size of one that it does.

use crate::headers::{Reading, Said};
use crate::rate::{Aligned, Rate};
use crate::terms::Terms;

/// A told size that is so many times a limit's own, or a part as small of it, is another's.
const MOST_TIMES: f64 = 10.0;
/// Clocks that differ by no more say the same, where nothing tells by how much they do.
const SAME_MS: i64 = 5_000;
/// So late after a multiple of its length may a window end that is aligned to these: told in whole seconds, rounded up.
const LATE_MS: i64 = 2_000;

/// How well what was said fits: by kind, by how many times its size the told one is, by its length in ms. Less is better: of
/// two limits that fit alike the shorter one is taken, which is the sooner free of what is another's.
type Fit = (u8, f64, i64);

/// What each of these limits hears of what was said.
#[must_use]
pub fn share(said: Vec<Said>, rates: &[&Rate], now_ms: i64) -> Vec<Reading> {
    let mut heard: Vec<Option<(Fit, Reading)>> = vec![None; rates.len()];
    let mut nobody_s = Reading::default();
    for said in said {
        let fits = rates
            .iter()
            .enumerate()
            .filter_map(|(number, rate)| Some((number, fit(rate, rates.len(), &said, now_ms)?)));
        let best = fits.min_by(|(_, one), (_, other)| compare(one, other));
        let Some((number, fit)) = best else {
            nobody_s = nobody_s.or(pause(&said.reading, now_ms));
            continue;
        };
        let Some(place) = heard.get_mut(number) else { continue };
        let is_better = |(known, reading): &(Fit, Reading)| {
            let left = |reading: &Reading| reading.remaining.unwrap_or(f64::INFINITY);
            known.0.cmp(&fit.0).then(left(reading).total_cmp(&left(&said.reading))).is_gt()
        };
        if place.as_ref().is_none_or(is_better) {
            *place = Some((fit, said.reading));
        }
    }
    let mut readings: Vec<Reading> =
        heard.into_iter().map(|heard| heard.map_or_else(Reading::default, |(_, reading)| reading)).collect();
    if let Some(first) = readings.first_mut() {
        *first = std::mem::take(first).or(nobody_s);
    }
    readings
}

fn compare(one: &Fit, other: &Fit) -> std::cmp::Ordering {
    one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)).then(one.2.cmp(&other.2))
}

/// How well it fits one of so many limits; none where it is another's.
fn fit(rate: &Rate, limits: usize, said: &Said, now_ms: i64) -> Option<Fit> {
    let reading = &said.reading;
    let (size, per_ms) = match rate.terms() {
        Terms::Told => return Some((2, 1.0, i64::MAX)),
        Terms::Window { calls, per_ms, aligned } => {
            let ends_ms = reading.reset_at_ms.filter(|_| aligned == Aligned::Epoch && !reading.reset_is_relative);
            if ends_ms.is_some_and(|ends_ms| ends_ms.rem_euclid(per_ms) > LATE_MS.min(per_ms / 2)) {
                return None;
            }
            (calls, per_ms)
        }
        Terms::Sliding { calls, per_ms } => (calls, per_ms),
        Terms::Quota { calls, calendar } => (calls, calendar.per.longest_ms()),
        Terms::Bucket { calls, every_us } => {
            (calls, i64::try_from(calls).unwrap_or(i64::MAX).saturating_mul(every_us) / 1_000)
        }
        _ => return None,
    };
    if left_ms(reading, now_ms).is_some_and(|left_ms| left_ms > per_ms + SAME_MS.max(per_ms / 10)) {
        return None;
    }
    let is_as_long = match said.per_ms {
        Some(told_ms) if told_ms.abs_diff(per_ms) > per_ms.unsigned_abs() / 10 => return None,
        told_ms => told_ms.is_some(),
    };
    let size = size as f64;
    let times = match (reading.limit.map(|limit| limit as f64), reading.remaining) {
        // A lesser size of the only limit does no harm.
        (Some(limit), _) if limits == 1 => (limit / size).max(1.0),
        (Some(limit), _) => (limit / size).max(size / limit),
        (None, Some(left)) => (left / size).max(1.0),
        (None, None) => 1.0,
    };
    let is_as_large = reading.limit.is_some() && times <= 1.0;
    let kind = match (is_as_large, is_as_long) {
        (true, true) => 0,
        (false, false) if times > MOST_TIMES => return None,
        (false, false) => 3,
        _ => 1,
    };
    Some((kind, times, per_ms))
}

/// Time to the reset, by the clock that told it.
fn left_ms(reading: &Reading, now_ms: i64) -> Option<i64> {
    let ahead_ms = reading.clock_ahead_ms.filter(|_| !reading.reset_is_relative).unwrap_or(0);
    Some(reading.reset_at_ms? - ahead_ms - now_ms)
}

/// What is believed of a limit that nobody knows: where nothing is left of it, calls pause until its reset.
fn pause(reading: &Reading, now_ms: i64) -> Reading {
    let left_ms = left_ms(reading, now_ms).filter(|_| reading.remaining.is_some_and(|left| left < 1.0));
    Reading {
        pause_until_ms: left_ms.map(|left_ms| now_ms + left_ms),
        pause_is_by_clock: left_ms.is_some() && !reading.reset_is_relative && reading.clock_ahead_ms.is_none(),
        ignored: reading.ignored,
        ..Reading::default()
    }
}

#[cfg(test)]
mod tests;
