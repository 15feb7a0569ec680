//! Quotas by the calendar against an oracle that looks at the date on the wall.

use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::calendar::Period;

const HOUR_MS: i64 = 3_600_000;

fn quota(calls: u32, per: Period, zone: &str) -> Rate {
    Rate::Quota { calls, per, zone: zone.to_owned().try_into().unwrap() }
}

fn ms(time: &str) -> i64 {
    time.parse::<Timestamp>().unwrap().as_millisecond()
}

/// What is the same for all times of one period.
fn label(per: Period, zone: &TimeZone, at_ms: i64) -> Date {
    let date = Timestamp::from_millisecond(at_ms).unwrap().to_zoned(zone.clone()).date();
    match per {
        Period::Day => date,
        Period::Week => (0..7_i64)
            .map(|days| date.saturating_sub(days.days()))
            .find(|day| day.weekday() == Weekday::Monday)
            .unwrap(),
        Period::Month => date.first_of_month(),
    }
}

proptest! {
    #[test]
    fn a_quota_is_never_exceeded_and_never_waits_past_its_period(
        calls in 1..8_u32,
        per in prop_oneof![4 => Just(Period::Day), 1 => Just(Period::Week), 1 => Just(Period::Month)],
        zone in prop::sample::select(&["UTC", "America/Los_Angeles", "Europe/Berlin", "Asia/Kathmandu", "America/Havana"][..]),
        // Around days of 23 and of 25 hours.
        begin in prop::sample::select(&["2026-03-06T00:00:00Z", "2026-03-27T00:00:00Z", "2026-10-23T00:00:00Z", "2026-10-30T00:00:00Z"][..]),
        asks in vec((0..9 * HOUR_MS, 1..4_u32, any::<bool>()), 1..80),
    ) {
        let there = jiff::tz::TimeZoneDatabase::bundled().get(zone).unwrap();
        let (rate, label) = (quota(calls, per, zone), |at_ms: i64| label(per, &there, at_ms));
        let (mut limiter, mut log, mut now_ms) = (Limiter::default(), Vec::<(Date, u32)>::new(), ms(begin));
        for (after_ms, cost, is_sent) in asks {
            now_ms += after_ms;
            let cost = cost.min(calls);
            let used: u32 = log.iter().filter(|(period, _)| *period == label(now_ms)).map(|(_, cost)| cost).sum();
            match limiter.ask(now_ms, &[charge("limit", &rate, cost)]) {
                Decision::Granted(permit) => {
                    prop_assert!(used + cost <= calls, "more than is allowed at {now_ms}");
                    report(&mut limiter, now_ms, &permit, is_sent, Some(Told::default()));
                    log.extend(is_sent.then(|| (label(now_ms), cost)));
                }
                Decision::Wait { until_ms, at_latest_ms, .. } => {
                    prop_assert!(used + cost > calls, "there was room at {now_ms}");
                    prop_assert_eq!(until_ms, at_latest_ms, "nothing is in flight");
                    prop_assert_eq!(label(until_ms - 1), label(now_ms), "too late");
                    prop_assert_ne!(label(until_ms), label(now_ms), "too early");
                }
            }
        }
    }
}

#[test]
fn a_day_ends_at_midnight_there_whether_it_has_23_hours_or_25() {
    for (now, midnight) in [
        ("2026-01-10T20:00:00Z", "2026-01-11T08:00:00Z"),
        ("2026-03-08T09:00:00Z", "2026-03-09T07:00:00Z"),
        ("2026-11-01T07:30:00Z", "2026-11-02T08:00:00Z"),
    ] {
        let (mut limiter, rate) = (Limiter::default(), quota(1, Period::Day, "America/Los_Angeles"));
        let permit = grant(&mut limiter, ms(now), &rate);
        answer(&mut limiter, ms(now), &permit, &Reading::default());
        assert_eq!(wait(&mut limiter, ms(now), &rate), ms(midnight), "{now}");
        grant(&mut limiter, ms(midnight), &rate);
    }
}

#[test]
fn a_call_in_flight_at_midnight_counts_on_both_days() {
    let (mut limiter, rate) = (Limiter::default(), quota(3, Period::Day, "UTC"));
    let midnight_ms = ms("2026-01-11T00:00:00Z");
    let over = grant(&mut limiter, midnight_ms - 10, &rate);
    assert_eq!(room(&limiter, midnight_ms - 1, &rate), 2);
    assert_eq!(room(&limiter, midnight_ms, &rate), 2);
    answer(&mut limiter, midnight_ms + 10, &over, &Reading::default());
    assert_eq!(room(&limiter, midnight_ms + 10, &rate), 2, "it may have landed just after");
}

#[test]
fn days_without_a_call_are_not_saved_up() {
    let (mut limiter, rate) = (Limiter::default(), quota(3, Period::Day, "Europe/Berlin"));
    grant(&mut limiter, ms("2026-06-01T12:00:00Z"), &rate);
    assert_eq!(room(&limiter, ms("2026-06-09T12:00:00Z"), &rate), 3);
}

#[test]
fn a_quota_believes_what_answers_tell() {
    let (mut limiter, rate) = (Limiter::default(), quota(250_000, Period::Day, "UTC"));
    let now_ms = ms("2026-06-01T12:00:00Z");
    let permit = grant(&mut limiter, now_ms, &rate);
    answer(&mut limiter, now_ms, &permit, &Reading { remaining: Some(4.0), ..Reading::default() });
    assert_eq!(room(&limiter, now_ms, &rate), 4);
    assert_eq!(limiter.usage(now_ms)[0].resets_at_ms, Some(ms("2026-06-02T00:00:00Z")));
}

#[test]
fn a_quota_is_kept_over_a_restart_and_under_another_number() {
    let (mut limiter, now_ms) = (Limiter::default(), ms("2026-06-01T12:00:00Z"));
    for _ in 0..3 {
        grant(&mut limiter, now_ms, &quota(5, Period::Month, "UTC"));
    }
    let json = serde_json::to_string(&limiter.snapshot()).unwrap();
    let limiter = Limiter::restore(serde_json::from_str(&json).unwrap());
    assert_eq!(room(&limiter, now_ms + 20 * 24 * HOUR_MS, &quota(10, Period::Month, "UTC")), 7);
}
