//! The learner is held to a handful of hidden limiters; the program holds it to many more, for longer.

use super::chance::Chance;
use super::change;
use super::drive::{Drive, learner};
use super::hidden::Hidden;
use super::quota;

const MOST_REFUSED: f64 = 0.01;
const WARM_UP_MS: f64 = 600e3;
const MEASURED_MS: f64 = 300e3;

/// Callers who always want more meet `hidden` with answers in `answer_ms`, and use this share of it.
#[track_caller]
fn assert_learnt(hidden: Hidden, answer_ms: f64, least_used: f64) {
    let allowed = hidden.per_s() * MEASURED_MS / 1e3;
    let mut drive = Drive::new(learner(), hidden, answer_ms, Chance::new(1));
    drive.run(WARM_UP_MS);
    let warm = drive.count;
    drive.run(MEASURED_MS);
    let count = drive.count.since(warm);
    let (used, refused) = (count.accepted as f64 / allowed, count.refused_share());
    assert!(used >= least_used && refused <= MOST_REFUSED, "{used:.3} used, {refused:.4} refused, {count:?}");
}

#[test]
fn buckets_with_a_burst_are_used_with_few_refusals() {
    assert_learnt(Hidden::bucket(20.0, 10.0), 100.0, 0.93);
    assert_learnt(Hidden::bucket(60.0, 300.0), 20.0, 0.93);
}

#[test]
fn a_bucket_of_one_call_is_used_with_few_refusals() {
    assert_learnt(Hidden::bucket(5.0, 1.0), 50.0, 0.85);
}

#[test]
fn windows_by_the_clock_and_from_the_first_call_are_used_with_few_refusals() {
    assert_learnt(Hidden::window(200, 10e3, Some(3e3)), 200.0, 0.93);
    assert_learnt(Hidden::window(600, 60e3, None), 100.0, 0.93);
}

#[test]
fn sliding_windows_are_used_with_few_refusals() {
    assert_learnt(Hidden::sliding(30, 1e3, false), 100.0, 0.93);
    assert_learnt(Hidden::sliding(300, 30e3, false), 500.0, 0.93);
}

#[test]
fn a_sliding_window_that_counts_refused_calls_is_used_with_few_refusals() {
    assert_learnt(Hidden::sliding(200, 10e3, true), 100.0, 0.93);
}

#[test]
fn limits_that_are_halved_and_doubled_again_are_learnt_anew() {
    for adapted in change::all() {
        let is_quick = adapted.down_s <= 150.0 && adapted.up_s <= 180.0;
        assert!(is_quick && adapted.refused <= MOST_REFUSED, "{adapted:?}");
    }
}

#[test]
fn a_bucket_that_is_begun_near_is_followed_through_changes() {
    for seed in 0..20 {
        let (used, refused) = change::sudden(seed, 5.0);
        assert!(used >= 0.95 && refused <= MOST_REFUSED, "{used:.3} used, {refused:.4} refused");
    }
}

#[test]
fn a_quota_is_learnt_beside_the_pace_and_who_needs_less_goes_at_the_pace() {
    for fared in quota::all() {
        let is_quick = fared.times <= 2.5;
        assert!(fared.used >= 0.95 && fared.refused <= 0.02 && is_quick, "{fared:?}");
    }
}
