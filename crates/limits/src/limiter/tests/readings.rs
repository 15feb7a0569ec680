//! What answers' headers say of a budget, and what is believed of it.

use proptest::prelude::*;

use super::*;

const MINUTE_MS: i64 = 60_000;

/// What an answer says; the reset is exact.
fn told(limit: u64, remaining: f64, reset_at_ms: i64) -> Reading {
    Reading { limit: Some(limit), remaining: Some(remaining), reset_at_ms: Some(reset_at_ms), ..Reading::default() }
}

fn ten_a_minute() -> Rate {
    window(10, MINUTE_MS as u64, Aligned::Epoch)
}

#[test]
fn what_others_used_of_the_same_window_is_counted() {
    let (mut limiter, rate) = (Limiter::default(), ten_a_minute());
    let permit = grant(&mut limiter, 0, &rate);
    answer(&mut limiter, 100, &permit, &told(10, 3.0, MINUTE_MS));
    assert_eq!(room(&limiter, 100, &rate), 3);
}

#[test]
fn calls_in_flight_are_counted_on_top_of_what_an_answer_knew() {
    let (mut limiter, rate) = (Limiter::default(), ten_a_minute());
    let permits: Vec<Permit> = (0..3).map(|_| grant(&mut limiter, 0, &rate)).collect();
    // Five were used by others; the answer knows of none of the two calls behind it.
    answer(&mut limiter, 100, &permits[0], &told(10, 4.0, MINUTE_MS));
    assert_eq!(room(&limiter, 100, &rate), 2);
}

#[test]
fn who_finds_calls_counted_twice_asks_again_soon_and_not_at_the_window_s_end() {
    let (mut limiter, rate) = (Limiter::default(), ten_a_minute());
    let permits: Vec<Permit> = (0..9).map(|_| grant(&mut limiter, 0, &rate)).collect();
    // All nine have landed, but only one answer is here: it tells of eight that are in flight still, as far as we know.
    answer(&mut limiter, 100, &permits[0], &told(10, 1.0, MINUTE_MS));
    let Decision::Wait { until_ms: 350, at_latest_ms: MINUTE_MS, .. } = ask(&mut limiter, 100, &rate) else {
        panic!("the ninth is counted twice")
    };
    permits[1..].iter().for_each(|permit| answer(&mut limiter, 110, permit, &told(10, 1.0, MINUTE_MS)));
    grant(&mut limiter, 110, &rate);
    assert_eq!(wait(&mut limiter, 110, &rate), MINUTE_MS, "now it is full by our own count");
}

#[test]
fn only_an_answer_to_a_call_that_was_alone_makes_more_room() {
    let rate = ten_a_minute();
    let mut limiter = Limiter::default();
    let [one, other] = [0, 0].map(|now_ms| grant(&mut limiter, now_ms, &rate));
    answer(&mut limiter, 100, &one, &told(10, 9.0, MINUTE_MS));
    answer(&mut limiter, 200, &other, &told(10, 9.0, MINUTE_MS));
    assert_eq!(room(&limiter, 200, &rate), 8, "the calls overlapped: the last answer may be the older one");

    let alone = grant(&mut limiter, 300, &rate);
    answer(&mut limiter, 400, &alone, &told(10, 9.0, MINUTE_MS));
    assert_eq!(room(&limiter, 400, &rate), 9, "nothing else was in flight: the provider knows best");
    answer(&mut limiter, 500, &alone, &told(10, 10.0, MINUTE_MS));
    assert_eq!(room(&limiter, 500, &rate), 9, "reported again, it is no news");
}

#[test]
fn a_newer_reset_begins_a_new_window_and_an_older_one_is_ignored() {
    let (mut limiter, rate) = (Limiter::default(), window(10, MINUTE_MS as u64, Aligned::FirstCall));
    let permits: Vec<Permit> = (0..6).map(|_| grant(&mut limiter, 0, &rate)).collect();
    answer(&mut limiter, 100, &permits[0], &told(10, 9.0, 30_000));
    assert_eq!(room(&limiter, 100, &rate), 4);
    // The provider has begun its next window early: this answer, and the four calls in flight.
    answer(&mut limiter, 200, &permits[1], &told(10, 9.0, 90_000));
    assert_eq!(room(&limiter, 200, &rate), 5);
    answer(&mut limiter, 300, &permits[2], &told(10, 2.0, 30_000));
    assert_eq!(room(&limiter, 300, &rate), 5);
    assert_eq!(limiter.usage(300)[0].resets_at_ms, Some(90_000));
}

#[test]
fn a_told_reset_ends_the_window_and_whole_seconds_have_a_guard() {
    for (step_ms, until_ms) in [(0, 42_000), (1_000, 43_000)] {
        let (mut limiter, rate) = (Limiter::default(), window(1, MINUTE_MS as u64, Aligned::FirstCall));
        let permit = grant(&mut limiter, 0, &rate);
        answer(&mut limiter, 100, &permit, &Reading { reset_step_ms: step_ms, ..told(1, 0.0, 42_000) });
        assert_eq!(wait(&mut limiter, 100, &rate), until_ms);
        assert_eq!(wait(&mut limiter, until_ms - 1, &rate), until_ms);
        grant(&mut limiter, until_ms, &rate);
    }
}

#[test]
fn a_slow_answer_that_tells_seconds_from_now_on_is_not_of_a_newer_window() {
    let (mut limiter, rate) = (Limiter::default(), ten_a_minute());
    let relative = |remaining, reset_at_ms| Reading { reset_is_relative: true, ..told(10, remaining, reset_at_ms) };
    let [quick, slow] = [0, 0].map(|now_ms| grant(&mut limiter, now_ms, &rate));
    answer(&mut limiter, 100, &quick, &relative(2.0, 60_000));
    assert_eq!(room(&limiter, 100, &rate), 1, "the slow call may land now");
    answer(&mut limiter, 20_000, &slow, &relative(9.0, 80_000));
    assert_eq!(room(&limiter, 20_000, &rate), 2, "it had landed before");
}

#[test]
fn a_told_limit_wins_over_the_configured_one_and_stays() {
    let (mut limiter, rate) = (Limiter::default(), ten_a_minute());
    let permit = grant(&mut limiter, 0, &rate);
    answer(&mut limiter, 100, &permit, &told(25, 24.0, MINUTE_MS));
    assert_eq!(room(&limiter, 100, &rate), 24);
    assert_eq!(room(&limiter, MINUTE_MS, &rate), 25);
    let edited = window(5, MINUTE_MS as u64, Aligned::Epoch);
    assert_eq!(room(&limiter, MINUTE_MS, &edited), 5, "until the file says something new");
}

#[test]
fn what_is_absent_is_not_zero() {
    let (mut limiter, rate) = (Limiter::default(), ten_a_minute());
    let permit = grant(&mut limiter, 0, &rate);
    answer(&mut limiter, 100, &permit, &Reading::default());
    assert_eq!(room(&limiter, 100, &rate), 9);
    let permit = grant(&mut limiter, 200, &rate);
    answer(&mut limiter, 300, &permit, &Reading { remaining: Some(4.7), ..Reading::default() });
    assert_eq!(room(&limiter, 300, &rate), 4);
}

#[test]
fn a_limit_without_a_number_is_unlimited_until_an_answer_tells_one() {
    let (mut limiter, rate) = (Limiter::default(), Rate::Told {});
    assert_eq!(room(&limiter, 0, &rate), 10_000);
    let permits: Vec<Permit> = (0..3).map(|_| grant(&mut limiter, 0, &rate)).collect();
    answer(&mut limiter, 100, &permits[0], &told(10, 9.0, MINUTE_MS));
    assert_eq!(room(&limiter, 100, &rate), 7, "one answered, two in flight");
    assert_eq!(room(&limiter, MINUTE_MS, &rate), 10, "and the number stays");
    assert_eq!(limiter.usage(100)[0].size, Some(10));
}

#[test]
fn what_remains_is_enough_to_go_by() {
    let (mut limiter, rate) = (Limiter::default(), Rate::Told {});
    let permits: Vec<Permit> = (0..3).map(|_| grant(&mut limiter, 0, &rate)).collect();
    answer(&mut limiter, 100, &permits[0], &Reading { limit: None, ..told(1, 9.0, MINUTE_MS) });
    assert_eq!(room(&limiter, 100, &rate), 7, "nine remained, and two calls are in flight");
    answer(&mut limiter, 200, &permits[1], &Reading { limit: None, ..told(1, 8.0, MINUTE_MS) });
    answer(&mut limiter, 300, &permits[2], &Reading { limit: None, ..told(1, 7.0, MINUTE_MS) });
    assert_eq!(room(&limiter, 300, &rate), 7);
    // The whole window is larger than what was seen of the first one.
    let permit = grant(&mut limiter, 70_000, &rate);
    answer(&mut limiter, 70_100, &permit, &Reading { limit: None, ..told(1, 99.0, 120_000) });
    assert_eq!(room(&limiter, 70_100, &rate), 99);
}

#[test]
fn told_windows_follow_one_another_from_the_told_reset() {
    let (mut limiter, rate) = (Limiter::default(), window(1, MINUTE_MS as u64, Aligned::Told));
    let permit = grant(&mut limiter, 0, &rate);
    answer(&mut limiter, 100, &permit, &told(1, 0.0, 25_000));
    grant(&mut limiter, 200_000, &rate);
    assert_eq!(wait(&mut limiter, 200_000, &rate), 205_000);
}

#[test]
fn a_bucket_believes_what_remains_and_what_fits() {
    let (mut limiter, rate) = (Limiter::default(), bucket(40, 2.0));
    let permits: Vec<Permit> = (0..2).map(|_| grant(&mut limiter, 0, &rate)).collect();
    let fill = |limit, remaining| Reading { limit: Some(limit), remaining: Some(remaining), ..Reading::default() };
    answer(&mut limiter, 0, &permits[0], &fill(40, 8.0));
    assert_eq!(room(&limiter, 0, &rate), 7, "one call is in flight");
    answer(&mut limiter, 0, &permits[1], &fill(40, 39.0));
    assert_eq!(room(&limiter, 0, &rate), 7, "an older answer makes no room");
    assert_eq!(room(&limiter, 2_000, &rate), 11);
    let permit = grant(&mut limiter, 2_000, &rate);
    answer(&mut limiter, 2_000, &permit, &fill(80, 79.0));
    assert_eq!(room(&limiter, 2_000, &rate), 79, "it was alone");
}

#[test]
fn an_answer_that_asks_for_a_pause_gets_one() {
    let (mut limiter, rate) = (Limiter::default(), ten_a_minute());
    let permit = grant(&mut limiter, 0, &rate);
    answer(&mut limiter, 100, &permit, &Reading { pause_until_ms: Some(10_000), ..Reading::default() });
    assert_eq!(wait(&mut limiter, 9_999, &rate), 10_000);
    assert_eq!(limiter.usage(100)[0].blocked_until_ms, Some(10_000));
    grant(&mut limiter, 10_000, &rate);
}

#[test]
fn a_slow_answer_does_not_know_of_calls_that_were_as_slow() {
    let (mut limiter, rate) = (Limiter::default(), window(10, 40_000, Aligned::Epoch));
    let [slow, _slower] = [0, 0].map(|now_ms| grant(&mut limiter, now_ms, &rate));
    answer(&mut limiter, 12_000, &slow, &told(10, 3.0, 40_000));
    assert_eq!(room(&limiter, 12_000, &rate), 2);
}

#[test]
fn answers_in_another_order_than_the_provider_s_cost_no_room() {
    let (mut limiter, rate) = (Limiter::default(), ten_a_minute());
    let permits: Vec<Permit> = (0..6).map(|_| grant(&mut limiter, 0, &rate)).collect();
    for (n, permit) in permits.iter().enumerate() {
        // The last one to be counted is heard of first.
        answer(&mut limiter, 100, permit, &told(10, 4.0 + n as f64, MINUTE_MS));
    }
    assert_eq!(room(&limiter, 100, &rate), 4);
}

#[test]
fn a_call_that_lands_and_tells_nothing_is_counted_until_a_later_one_tells() {
    let (mut limiter, rate) = (Limiter::default(), ten_a_minute());
    let [told_one, lost] = [0, 0].map(|now_ms| grant(&mut limiter, now_ms, &rate));
    answer(&mut limiter, 100, &told_one, &told(10, 4.0, MINUTE_MS));
    report(&mut limiter, 200, &lost, true, None);
    let [next, other] = [300, 300].map(|now_ms| grant(&mut limiter, now_ms, &rate));
    assert_eq!(room(&limiter, 300, &rate), 1, "six were told, one is lost, two are in flight");
    answer(&mut limiter, 400, &next, &told(10, 2.0, MINUTE_MS));
    assert_eq!(room(&limiter, 400, &rate), 1, "eight are told, the lost one is among them, one is in flight");
    drop(other);
}

#[test]
fn a_refund_does_not_come_on_top_of_what_an_answer_told() {
    for (rate, told) in [
        (window(10, 600_000, Aligned::Epoch), told(10, 3.0, 600_000)),
        (bucket(10, 1e-3), Reading { reset_at_ms: None, ..told(10, 3.0, 0) }),
    ] {
        let mut limiter = Limiter::default();
        let [unsent, ended] = [0, 0].map(|now_ms| grant(&mut limiter, now_ms, &rate));
        report(&mut limiter, 0, &ended, true, None);
        let sent = grant(&mut limiter, 40_000, &rate);
        answer(&mut limiter, 41_000, &sent, &told);
        report(&mut limiter, 42_000, &unsent, false, None);
        assert_eq!(room(&limiter, 42_000, &rate), 3, "{rate:?}");
    }
}

#[test]
fn a_reset_that_has_passed_says_nothing() {
    let (mut limiter, rate) = (Limiter::default(), ten_a_minute());
    let permits: Vec<Permit> = (0..5).map(|_| grant(&mut limiter, 50_000, &rate)).collect();
    // The provider's clock is behind.
    answer(&mut limiter, 57_000, &permits[0], &told(10, 9.0, 56_000));
    assert_eq!(room(&limiter, 57_000, &rate), 5);
    assert_eq!(limiter.usage(57_000)[0].resets_at_ms, Some(60_000));
}

#[test]
fn an_answer_that_comes_after_its_window_may_have_ended_makes_no_room_in_it() {
    let (mut limiter, rate) = (Limiter::default(), window(3, MINUTE_MS as u64, Aligned::FirstCall));
    let relative = |remaining, reset_at_ms| Reading { reset_is_relative: true, ..told(3, remaining, reset_at_ms) };
    // It landed 14 seconds later, or answered 14 seconds late: the window ends between 60 and 74 seconds.
    let first = grant(&mut limiter, 0, &rate);
    answer(&mut limiter, 14_000, &first, &relative(2.0, 74_000));
    let [late, bare] = [15_000, 16_000].map(|now_ms| grant(&mut limiter, now_ms, &rate));
    answer(&mut limiter, 17_000, &bare, &Reading::default());
    assert_eq!(wait(&mut limiter, 60_000, &rate), 74_000);
    answer(&mut limiter, 65_000, &late, &relative(1.0, 124_000));
    assert_eq!(wait(&mut limiter, 65_000, &rate), 74_000);
}

#[test]
fn a_window_that_may_have_begun_late_is_over_late() {
    let (mut limiter, rate) = (Limiter::default(), window(3, MINUTE_MS as u64, Aligned::FirstCall));
    let first = grant(&mut limiter, 0, &rate);
    answer(&mut limiter, 0, &first, &Reading::default());
    // In flight at the edge, it may have begun the second window, or the next call will.
    let over_the_edge = grant(&mut limiter, 55_000, &rate);
    assert_eq!(room(&limiter, 60_000, &rate), 2);
    answer(&mut limiter, 61_000, &over_the_edge, &Reading::default());
    grant(&mut limiter, 110_000, &rate);
    // It lands within a quarter of a minute.
    assert_eq!(wait(&mut limiter, 120_000, &rate), 185_000);
}

#[test]
fn a_call_over_the_edge_may_have_begun_the_next_window_until_it_was_answered() {
    let (mut limiter, rate) = (Limiter::default(), window(3, MINUTE_MS as u64, Aligned::FirstCall));
    let first = grant(&mut limiter, 0, &rate);
    answer(&mut limiter, 0, &first, &Reading::default());
    let over_the_edge = grant(&mut limiter, 55_000, &rate);
    answer(&mut limiter, 63_000, &over_the_edge, &Reading::default());
    assert_eq!(wait(&mut limiter, 120_000, &rate), 123_000);
}

#[test]
fn an_answer_from_the_next_window_ends_the_gap_before_it() {
    let (mut limiter, rate) = (Limiter::default(), window(3, MINUTE_MS as u64, Aligned::FirstCall));
    let whole_seconds = |remaining, reset_at_ms| Reading { reset_step_ms: 1_000, ..told(3, remaining, reset_at_ms) };
    let first = grant(&mut limiter, 0, &rate);
    answer(&mut limiter, 100, &first, &whole_seconds(2.0, 60_000));
    let over_the_edge = grant(&mut limiter, 59_900, &rate);
    assert_eq!(wait(&mut limiter, 60_000, &rate), 60_100, "as the first call says, within the second");
    answer(&mut limiter, 60_050, &over_the_edge, &whole_seconds(2.0, 120_000));
    assert_eq!(room(&limiter, 60_050, &rate), 2);
}

#[test]
fn a_call_whose_answer_is_lost_may_not_have_begun_the_window() {
    let (mut limiter, rate) = (Limiter::default(), window(2, MINUTE_MS as u64, Aligned::FirstCall));
    let lost = grant(&mut limiter, 0, &rate);
    report(&mut limiter, 5_000, &lost, true, None);
    let next = grant(&mut limiter, 10_000, &rate);
    assert_eq!(wait(&mut limiter, 10_000, &rate), 85_000);
    answer(&mut limiter, 11_000, &next, &Reading::default());
    assert_eq!(wait(&mut limiter, 11_000, &rate), 71_000);
}

#[test]
fn calls_in_flight_at_the_edge_count_in_the_next_window_too() {
    let (mut limiter, rate) = (Limiter::default(), ten_a_minute());
    for now_ms in [45_000, 50_000, 59_000, 59_999] {
        grant(&mut limiter, now_ms, &rate);
    }
    let reported = grant(&mut limiter, 59_999, &rate);
    let unsent = grant(&mut limiter, 59_999, &rate);
    answer(&mut limiter, 59_999, &reported, &Reading::default());
    assert_eq!(room(&limiter, 60_000, &rate), 6, "the first has landed by now, and one was answered");
    report(&mut limiter, 60_001, &unsent, false, None);
    assert_eq!(room(&limiter, 60_001, &rate), 7);
    assert_eq!(room(&limiter, 120_000, &rate), 10);
}

proptest! {
    #[test]
    fn however_late_an_answer_comes_it_makes_no_more_room_than_there_is(
        order in Just((0..8_usize).collect::<Vec<_>>()).prop_shuffle(),
        is_told in any::<bool>(),
        used_by_others in 0..5_u64,
    ) {
        let mut limiter = Limiter::default();
        let rate = if is_told { Rate::Told {} } else { window(20, MINUTE_MS as u64, Aligned::FirstCall) };
        let permits: Vec<Permit> = (0..8).map(|n| grant(&mut limiter, n, &rate)).collect();
        for (reports, &index) in order.iter().enumerate() {
            // Calls land in the order of their grants, so this answer knows of those before it.
            let remaining = 20 - used_by_others - index as u64 - 1;
            answer(&mut limiter, 1_000 + reports as i64, &permits[index], &told(20, remaining as f64, MINUTE_MS));
            prop_assert!(room(&limiter, 2_000, &rate) as u64 <= 12, "after {reports} reports");
        }
        let last = order.iter().position(|&index| index == 7).unwrap();
        let known_to_the_last = 20 - used_by_others - 8;
        prop_assert!(room(&limiter, 2_000, &rate) as u64 <= known_to_the_last, "the last call was report {last}");
    }
}

#[test]
fn an_answer_that_comes_late_raises_no_size() {
    let reading = |limit, remaining| Reading { limit: Some(limit), remaining: Some(remaining), ..Reading::default() };
    for rate in [
        window(100, 60_000, Aligned::Epoch),
        window(100, 60_000, Aligned::FirstCall),
        sliding(100, 60_000),
        bucket(100, 0.001),
    ] {
        let mut limiter = Limiter::default();
        let [older, newer, newest] = [0, 10, 20].map(|now_ms| grant(&mut limiter, now_ms, &rate));
        answer(&mut limiter, 100, &newer, &reading(50, 6.0));
        let left = room(&limiter, 100, &rate);
        assert!((4..=6).contains(&left), "{left} of {rate:?}");
        answer(&mut limiter, 200, &older, &reading(100, 60.0));
        assert!(room(&limiter, 200, &rate) <= 6, "{rate:?}");
        answer(&mut limiter, 200, &newer, &Reading { remaining: Some(80.0), ..Reading::default() });
        assert!(room(&limiter, 200, &rate) <= 6, "{rate:?}");
        answer(&mut limiter, 300, &newest, &reading(200, 150.0));
        assert!(room(&limiter, 300, &rate) >= 149, "{rate:?}: a later one does");
    }
    let (mut limiter, slots) = (Limiter::default(), concurrency(9, 60_000));
    let [older, newer] = [0, 10].map(|now_ms| grant(&mut limiter, now_ms, &slots));
    answer(&mut limiter, 100, &newer, &reading(5, 0.0));
    answer(&mut limiter, 200, &older, &reading(9, 0.0));
    assert_eq!(room(&limiter, 200, &slots), 5);
}
