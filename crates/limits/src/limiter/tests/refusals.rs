//! What the provider refuses, and what is given back.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::{Period, Zone};

#[test]
fn a_refusal_blocks_until_the_time_it_names() {
    let (mut limiter, rate) = (Limiter::default(), Rate::Told {});
    let permit = grant(&mut limiter, 0, &rate);
    refuse(&mut limiter, 100, &permit, Some(30_000));
    assert_eq!(wait(&mut limiter, 29_999, &rate), 30_000);
    grant(&mut limiter, 30_000, &rate);
}

#[test]
fn a_refusal_for_the_period_blocks_until_that_ends_and_without_one_as_if_no_time_was_told() {
    let lasts = |limiter: &mut Limiter, now_ms, permit: &Permit| {
        let refused = Some(Refused { keys: permit.keys.clone(), until_ms: None, lasts: Lasts::Period });
        report(limiter, now_ms, permit, true, Some(Told { readings: BTreeMap::new(), refused }));
    };
    let day =
        Rate::Quota { calls: 100_000, per: Period::Day, zone: Zone::try_from("Asia/Kolkata".to_owned()).unwrap() };
    let hour = window(5, 3_600_000, Aligned::Epoch);
    for (rate, ends_ms) in [(day, 66_600_000), (hour, 3_600_000), (bucket(5, 1.0), 1_100), (Rate::Told {}, 1_100)] {
        let mut limiter = Limiter::default();
        let permit = grant(&mut limiter, 0, &rate);
        lasts(&mut limiter, 100, &permit);
        assert_eq!(wait(&mut limiter, 100, &rate), ends_ms, "{rate:?}");
    }
}

#[test]
fn refusals_without_a_time_back_off_longer_and_longer_until_a_call_succeeds() {
    let (mut limiter, rate) = (Limiter::default(), bucket(100, 100.0));
    let mut now_ms = 0;
    for back_off_ms in [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 512_000, 900_000, 900_000]
    {
        let permit = grant(&mut limiter, now_ms, &rate);
        refuse(&mut limiter, now_ms, &permit, None);
        assert_eq!(wait(&mut limiter, now_ms, &rate), now_ms + back_off_ms);
        now_ms += back_off_ms;
    }
    let permit = grant(&mut limiter, now_ms, &rate);
    answer(&mut limiter, now_ms, &permit, &Reading::default());
    let permit = grant(&mut limiter, now_ms, &rate);
    refuse(&mut limiter, now_ms, &permit, None);
    assert_eq!(wait(&mut limiter, now_ms, &rate), now_ms + 1_000);
}

/// A limit whose only call was refused at 0, and no time was named.
fn refused(rate: &Rate) -> Limiter {
    let mut limiter = Limiter::default();
    let permit = grant(&mut limiter, 0, rate);
    refuse(&mut limiter, 0, &permit, None);
    assert_eq!(wait(&mut limiter, 0, rate), 1_000);
    limiter
}

#[test]
fn after_a_refusal_without_a_time_one_call_goes_and_the_others_wait_for_its_answer() {
    for rate in [bucket(100, 100.0), window(100, 60_000, Aligned::Epoch), sliding(100, 60_000), Rate::Told {}] {
        let mut limiter = refused(&rate);
        let lease = Question { want: 64, ..Question::new(vec![charge("limit", &rate, 1)]) };
        let Decision::Granted(canary) = limiter.decide(1_000, &lease) else { panic!("{rate:?}: it may try") };
        assert_eq!(canary.calls, 1, "{rate:?}");
        // Who waits comes back less and less often.
        for (now_ms, until_ms) in [(1_000, 1_250), (1_250, 1_500), (3_000, 5_000), (50_000, 61_000)] {
            assert_eq!(wait(&mut limiter, now_ms, &rate), until_ms, "{rate:?}");
        }
        answer(&mut limiter, 50_000, &canary, &Reading::default());
        assert!(room(&limiter, 50_000, &rate) > 90, "{rate:?}: all may go");
    }
}

#[test]
fn a_canary_that_is_refused_doubles_the_pause_and_one_that_says_nothing_is_followed_by_the_next() {
    let rate = bucket(100, 100.0);
    let mut limiter = refused(&rate);
    let canary = grant(&mut limiter, 1_000, &rate);
    refuse(&mut limiter, 1_100, &canary, None);
    assert_eq!(wait(&mut limiter, 1_100, &rate), 3_100);
    for (now_ms, sent) in [(3_100, false), (3_200, true)] {
        let canary = grant(&mut limiter, now_ms, &rate);
        wait(&mut limiter, now_ms + 10, &rate);
        report(&mut limiter, now_ms + 10, &canary, sent, None);
    }
    let lost = grant(&mut limiter, 3_300, &rate);
    assert_eq!(wait(&mut limiter, 63_299, &rate), 63_300);
    let next = grant(&mut limiter, 63_300, &rate);
    report(&mut limiter, 63_400, &lost, false, None);
    wait(&mut limiter, 63_500, &rate);
    answer(&mut limiter, 63_600, &next, &Reading::default());
    assert!(room(&limiter, 63_600, &rate) > 90);
}

#[test]
fn a_pause_that_ends_is_not_forgotten_before_who_waited_has_come_back() {
    let (mut limiter, rate, mut now_ms) = (Limiter::default(), bucket(100, 100.0), 0);
    for _ in 0..12 {
        let canary = grant(&mut limiter, now_ms, &rate);
        refuse(&mut limiter, now_ms, &canary, None);
        now_ms = wait(&mut limiter, now_ms, &rate);
        limiter.forget_idle(now_ms);
    }
    grant(&mut limiter, now_ms, &rate);
    wait(&mut limiter, now_ms, &rate);
}

#[test]
fn refusals_in_flight_together_count_once() {
    let (mut limiter, rate) = (Limiter::default(), Rate::Told {});
    let burst: Vec<Permit> = (0..20).map(|_| grant(&mut limiter, 0, &rate)).collect();
    for permit in &burst {
        refuse(&mut limiter, 500, permit, None);
    }
    assert_eq!(wait(&mut limiter, 500, &rate), 1_500);
}

#[test]
fn a_refusal_blocks_the_limits_it_names_and_no_other() {
    let (mut limiter, rate) = (Limiter::default(), Rate::Told {});
    let Decision::Granted(permit) = limiter.ask(0, &[charge("token", &rate, 1), charge("host", &rate, 1)]) else {
        panic!("nothing was charged before");
    };
    let refused = Some(Refused {
        keys: vec!["token".to_owned(), "unheard of".to_owned()],
        until_ms: Some(5_000),
        lasts: Lasts::FromNow,
    });
    report(&mut limiter, 0, &permit, true, Some(Told { readings: BTreeMap::new(), refused }));
    assert!(matches!(limiter.ask(1, &[charge("host", &rate, 1)]), Decision::Granted(_)));
    assert!(matches!(limiter.ask(1, &[charge("token", &rate, 1)]), Decision::Wait { until_ms: 5_000, .. }));
    assert_eq!(limiter.usage(1).len(), 2);
}

#[test]
fn what_was_not_sent_is_refunded_once() {
    for rate in [window(3, 60_000, Aligned::FirstCall), bucket(3, 0.01), concurrency(3, 60_000)] {
        let mut limiter = Limiter::default();
        let [kept, unsent, _] = [0, 0, 0].map(|now_ms| grant(&mut limiter, now_ms, &rate));
        for now_ms in [10, 20] {
            report(&mut limiter, now_ms, &unsent, false, None);
            assert_eq!(room(&limiter, now_ms, &rate), 1, "{rate:?}");
        }
        report(&mut limiter, 30, &kept, true, None);
        let in_flight_only = matches!(rate, Rate::Concurrency { .. });
        assert_eq!(room(&limiter, 30, &rate), if in_flight_only { 2 } else { 1 }, "{rate:?}");
    }
}

#[test]
fn a_refund_comes_too_late_for_a_window_that_has_ended() {
    let (mut limiter, rate) = (Limiter::default(), window(3, 60_000, Aligned::Epoch));
    let unsent = grant(&mut limiter, 0, &rate);
    grant(&mut limiter, 60_000, &rate);
    report(&mut limiter, 60_001, &unsent, false, None);
    assert_eq!(room(&limiter, 60_001, &rate), 2);
}

#[test]
fn a_window_that_no_call_has_opened_is_closed_again() {
    let (mut limiter, rate) = (Limiter::default(), window(1, 60_000, Aligned::FirstCall));
    let unsent = grant(&mut limiter, 0, &rate);
    report(&mut limiter, 10, &unsent, false, None);
    grant(&mut limiter, 50_000, &rate);
    assert_eq!(wait(&mut limiter, 60_000, &rate), 110_000);
}

#[test]
fn a_slot_is_free_when_its_call_is_reported_or_its_lease_has_ended() {
    let (mut limiter, rate) = (Limiter::default(), concurrency(2, 10_000));
    let [ended, _lost] = [0, 1_000].map(|now_ms| grant(&mut limiter, now_ms, &rate));
    let waits =
        |until_ms, at_latest_ms| Decision::Wait { until_ms, at_latest_ms, limit: "limit".to_owned(), why: None };
    assert_eq!(ask(&mut limiter, 2_000, &rate), waits(2_250, 10_000));
    report(&mut limiter, 3_000, &ended, true, None);
    grant(&mut limiter, 3_000, &rate);
    assert_eq!(ask(&mut limiter, 3_000, &rate), waits(3_250, 11_000));
    grant(&mut limiter, 11_000, &rate);
    // Reported again, and after its lease: it frees nobody else's slot.
    report(&mut limiter, 11_000, &ended, true, None);
    assert_eq!(room(&limiter, 11_000, &rate), 0);
}

#[test]
fn the_first_answer_tells_how_late_the_window_may_have_begun() {
    let (mut limiter, rate) = (Limiter::default(), window(1, 60_000, Aligned::FirstCall));
    let permit = grant(&mut limiter, 0, &rate);
    assert_eq!(wait(&mut limiter, 0, &rate), 60_000);
    answer(&mut limiter, 350, &permit, &Reading::default());
    assert_eq!(wait(&mut limiter, 60_000, &rate), 60_350);
    grant(&mut limiter, 60_350, &rate);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn a_refund_leaves_no_more_room_than_if_the_call_had_never_been_asked_for(
        rate in prop_oneof![
            (1..10_u32, 100..5_000_u64).prop_map(|(calls, per_ms)| window(calls, per_ms, Aligned::Epoch)),
            (1..10_u32, 1..2_000_u32).prop_map(|(calls, every_ms)| bucket(calls, 1e3 / f64::from(every_ms))),
            (1..10_u32, 100..5_000_u64).prop_map(|(calls, lease_ms)| concurrency(calls, lease_ms)),
        ],
        calls in vec((0..1_500_i64, 1..4_u32, any::<bool>(), 0..4_000_i64), 1..60),
    ) {
        // The second limiter never hears of the calls that are not sent.
        let (mut limiter, mut innocent) = (Limiter::default(), Limiter::default());
        let mut now_ms = 1_700_000_000_000;
        let mut reports = BTreeMap::<(i64, usize), (Permit, Option<Permit>)>::new();
        for (index, (after_ms, cost, sent, took_ms)) in calls.into_iter().enumerate() {
            now_ms += after_ms;
            let later = reports.split_off(&(now_ms + 1, 0));
            for ((at_ms, _), (permit, twin)) in std::mem::replace(&mut reports, later) {
                report(&mut limiter, at_ms, &permit, twin.is_some(), None);
                if let Some(twin) = &twin {
                    report(&mut innocent, at_ms, twin, true, None);
                }
            }
            let charges = [charge("limit", &rate, cost)];
            if let Decision::Granted(permit) = limiter.ask(now_ms, &charges) {
                let twin = match sent.then(|| innocent.ask(now_ms, &charges)) {
                    None => None,
                    Some(Decision::Granted(twin)) => Some(twin),
                    Some(wait) => return Err(TestCaseError::fail(format!("granted at {now_ms}, but {wait:?}"))),
                };
                reports.insert((now_ms + took_ms, index), (permit, twin));
            }
        }
    }
}

/// A call that takes from a limit by token, which headers speak of, and from one by address.
fn by_token_and_address(limiter: &mut Limiter, now_ms: i64, token: &str, address: &Rate) -> Decision {
    let token = charge(token, &window(10, 60_000, Aligned::FirstCall), 1);
    limiter.ask(now_ms, &[token, charge("address", address, 1)])
}

fn refuse_with(limiter: &mut Limiter, now_ms: i64, permit: &Permit, remaining: Option<f64>) {
    let reading = Reading { limit: Some(10), remaining, ..Reading::default() };
    let readings = remaining.map(|_| (permit.keys[0].clone(), reading)).into_iter().collect();
    let refused = Some(Refused { keys: permit.keys.clone(), until_ms: Some(now_ms + 30_000), lasts: Lasts::FromNow });
    report(limiter, now_ms, permit, true, Some(Told { readings, refused }));
}

#[test]
fn the_reset_of_one_limit_blocks_no_other_that_is_to_blame() {
    let reset_ms = 840_000;
    // What of the token is left, and by how much the provider's clock is ahead; whether it is told as a time to come back at.
    for (remaining, clock_ahead_ms, comes_back) in
        [(Some(7.0), None, false), (None, None, false), (Some(7.0), Some(120_000), false), (Some(7.0), None, true)]
    {
        let mut limiter = Limiter::default();
        let Decision::Granted(permit) = by_token_and_address(&mut limiter, 0, "alice", &Rate::Told {}) else {
            panic!()
        };
        let reset_at_ms = Some(reset_ms + clock_ahead_ms.unwrap_or(0));
        let reset_is_relative = comes_back;
        let reading = Reading { remaining, reset_at_ms, clock_ahead_ms, reset_is_relative, ..Reading::default() };
        let readings = BTreeMap::from([("alice".to_owned(), reading)]);
        let refused = Refused { keys: permit.keys.clone(), until_ms: Some(reset_ms), lasts: Lasts::FromNow };
        report(&mut limiter, 10, &permit, true, Some(Told { readings, refused: Some(refused) }));
        let until_ms = |name: &str| {
            let usage = limiter.usage(20).into_iter().find(|usage| usage.key == name);
            usage.and_then(|usage| usage.blocked_until_ms)
        };
        let expected = if comes_back { reset_ms } else { 1_010 };
        assert_eq!(until_ms("address"), Some(expected), "{remaining:?} left, {clock_ahead_ms:?} ahead");
        assert_ne!(until_ms("alice"), Some(1_010));
    }
}

#[test]
fn a_refusal_while_the_token_has_room_is_of_the_address_and_one_of_a_token_that_is_used_up_is_not() {
    let unknown = [Rate::Told {}, Rate::Learn(crate::learn::Learn { start_per_s: 100.0, ..Default::default() })];
    let known = [window(100, 60_000, Aligned::FirstCall), bucket(100, 100.0)];
    for (address, is_known) in unknown.iter().map(|rate| (rate, false)).chain(known.iter().map(|rate| (rate, true))) {
        // What the answer says to be left of the token; whether token and address are blocked.
        for (remaining, expected) in [
            (Some(0.0), (true, false)),
            (Some(7.0), (false, true)),
            // Both have room, as far as we have counted: if no size is unknown, the count is not the whole truth.
            (None, (is_known, true)),
        ] {
            let mut limiter = Limiter::default();
            let Decision::Granted(permit) = by_token_and_address(&mut limiter, 0, "alice", address) else { panic!() };
            refuse_with(&mut limiter, 10, &permit, remaining);
            let blocked = |name: &str| {
                limiter.usage(20).iter().any(|usage| usage.key == name && usage.blocked_until_ms.is_some())
            };
            assert_eq!((blocked("alice"), blocked("address")), expected, "{remaining:?} left, {address:?}");
        }
    }
}
