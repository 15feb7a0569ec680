use std::time::Duration;

use super::*;

/// 2023-11-14T22:00:00Z: a multiple of five minutes, of fifteen and of an hour.
const NOW_MS: i64 = 1_699_999_200_000;
const MINUTE_S: i64 = 60;

fn window(calls: u32, per_s: u64, aligned: Aligned) -> Rate {
    Rate::Window { calls, per: Duration::from_secs(per_s), aligned }
}

/// `reset_s` from now, as a time.
fn said(limit: u64, remaining: f64, reset_s: i64) -> Said {
    let reset_at_ms = Some(NOW_MS + reset_s * 1_000);
    let reading = Reading { limit: Some(limit), remaining: Some(remaining), reset_at_ms, ..Reading::default() };
    Said { reading, per_ms: None }
}

fn of(per_s: i64, said: Said) -> Said {
    Said { per_ms: Some(per_s * 1_000), ..said }
}

/// Sizes that are heard.
fn sizes(said: &[Said], rates: &[Rate]) -> Vec<Option<u64>> {
    let rates: Vec<&Rate> = rates.iter().collect();
    share(said.to_vec(), &rates, NOW_MS).into_iter().map(|reading| reading.limit).collect()
}

#[test]
fn what_is_said_is_heard_by_the_limit_that_it_fits_best() {
    let burst = Rate::Bucket { calls: 5, restore_per_s: 1.0 };
    let hour = window(5_000, 3_600, Aligned::Told);
    let both = [burst.clone(), hour.clone()];
    for (case, said, rates, expected) in [
        ("the size is one's", vec![said(5_000, 4_990.0, 1_800)], &both[..], [None, Some(5_000)]),
        ("the size is one's, the reset soon", vec![said(5_000, 4_990.0, 2)], &both, [None, Some(5_000)]),
        ("a greater plan, by the reset", vec![said(15_000, 9.0, 1_800)], &both, [None, Some(15_000)]),
        ("the burst", vec![said(5, 4.0, 1)], &both, [Some(5), None]),
        ("twice the burst", vec![said(10, 4.0, 1)], &both, [Some(10), None]),
        ("a day that nobody knows", vec![said(90_000, 4.0, 9 * 3_600)], &both, [None, None]),
        (
            "what answers tell goes to who believes anything, unless it is another's",
            vec![said(900, 4.0, 60)],
            &[window(300, 900, Aligned::Told), Rate::Told {}],
            [None, Some(900)],
        ),
        (
            "policies by their windows' lengths",
            vec![of(60, said(100, 50.0, 30)), of(86_400, said(1_000, 900.0, 3_600))],
            &[window(800, 86_400, Aligned::FirstCall), window(90, 60, Aligned::FirstCall)],
            [Some(1_000), Some(100)],
        ),
        (
            "a policy of as long a window, however much larger",
            vec![of(86_400, said(1_000_000, 900.0, 3_600))],
            &[window(800, 86_400, Aligned::FirstCall), window(90, 60, Aligned::FirstCall)],
            [Some(1_000_000), None],
        ),
    ] {
        assert_eq!(sizes(&said, rates), expected, "{case}");
    }
}

#[test]
fn windows_of_one_size_are_told_apart_by_when_they_end() {
    let rates = [window(300, 300, Aligned::Epoch), window(300, 900, Aligned::Epoch)];
    for (reset_s, expected) in [
        (5 * MINUTE_S, [Some(300), None]), // No end of a quarter of an hour.
        (15 * MINUTE_S, [None, Some(300)]),
        (15 * MINUTE_S + 1, [None, Some(300)]),
        (7 * MINUTE_S, [None, None]), // The end of neither.
    ] {
        assert_eq!(sizes(&[said(300, 9.0, reset_s)], &rates), expected, "{reset_s}");
    }
}

#[test]
fn a_limit_that_the_file_does_not_know_becomes_nobody_s_size_but_pauses_calls_once_it_is_used_up() {
    let burst = Rate::Bucket { calls: 5, restore_per_s: 1.0 };
    for (left, pause_s) in [(4_990.0, None), (0.0, Some(1_800))] {
        let heard = share(vec![said(5_000, left, 1_800)], &[&burst], NOW_MS);
        let expected = Reading {
            pause_until_ms: pause_s.map(|s| NOW_MS + s * 1_000),
            pause_is_by_clock: pause_s.is_some(),
            ..Reading::default()
        };
        assert_eq!(heard, [expected], "{left}");
    }
    let mut by_date = said(5_000, 0.0, 1_800);
    by_date.reading.clock_ahead_ms = Some(600_000);
    let heard = share(vec![by_date], &[&burst], NOW_MS);
    assert_eq!((heard[0].pause_until_ms, heard[0].pause_is_by_clock), (Some(NOW_MS + 1_200_000), false));
}

proptest::proptest! {
    #[test]
    fn no_number_that_is_told_makes_a_burst_more_than_ten_times_as_large(limit in 1..1_000_000_u64, left in 0..1_000_000_u32, reset_s in -4..4_000_i64) {
        let burst = Rate::Bucket { calls: 5, restore_per_s: 1.0 };
        let heard = share(vec![said(limit, f64::from(left), reset_s)], &[&burst], NOW_MS);
        proptest::prop_assert!(heard[0].limit.is_none_or(|limit| limit <= 50));
    }
}
