//! A provider that is ill: when nobody calls it, who tries it, and how all come back.

use super::*;
use crate::breaker::Breaker;
use crate::charge::Health;

const HOUR_MS: i64 = 3_600_000;
const START_MS: i64 = 1_700_000_000_000;

fn breaker() -> Rate {
    Rate::Breaker(Breaker::default())
}

fn went(limiter: &mut Limiter, now_ms: i64, permit: &Permit, health: Health) {
    let report = Report { permit: permit.clone(), sent: true, answer: None, health: Some(health), took_us: None };
    limiter.report(now_ms, &report);
}

/// Calls one after the other, each of which goes so.
fn call(limiter: &mut Limiter, now_ms: i64, health: impl IntoIterator<Item = Health>) {
    for health in health {
        let permit = grant(limiter, now_ms, &breaker());
        went(limiter, now_ms, &permit, health);
    }
}

fn is_down(limiter: &Limiter, now_ms: i64) -> bool {
    limiter.usage(now_ms).iter().any(|usage| usage.down.is_some())
}

#[test]
fn a_row_of_failures_opens_it_and_silence_counts_twice() {
    for (health, failures) in [(Health::Ill, 10), (Health::Silent, 5)] {
        let mut limiter = Limiter::default();
        call(&mut limiter, 0, vec![health; failures - 1]);
        assert!(!is_down(&limiter, 0), "{health:?}");
        call(&mut limiter, 0, [health]);
        let Decision::Wait { until_ms: 1_000, limit, why: Some(Why::Down { since_ms: 0 }), .. } =
            ask(&mut limiter, 0, &breaker())
        else {
            panic!("{health:?}: nobody waits")
        };
        assert_eq!(limit, "limit");
    }
}

#[test]
fn a_share_of_failures_opens_it_and_a_smaller_one_never_does() {
    let mix = |failed: usize| (0..1_000).map(move |n| if n % 20 < failed { Health::Ill } else { Health::Well });
    let opens = |failed: usize| {
        let mut limiter = Limiter::default();
        mix(failed).any(|health| {
            if let Decision::Granted(permit) = ask(&mut limiter, 0, &breaker()) {
                went(&mut limiter, 0, &permit, health);
            }
            is_down(&limiter, 0)
        })
    };
    assert!(opens(10), "a row of ten");
    assert!(!opens(9), "less than half, and never ten in a row");
}

#[test]
fn failures_that_are_long_past_do_not_count_and_a_breaker_that_never_opens_does_not() {
    let mut limiter = Limiter::default();
    call(&mut limiter, 0, vec![Health::Ill; 9]);
    call(&mut limiter, 600_000, [Health::Ill]);
    assert!(!is_down(&limiter, 600_000));
    let never = Rate::Breaker(Breaker { failures: 0, ..Breaker::default() });
    for _ in 0..100 {
        let permit = grant(&mut limiter, 600_000, &never);
        went(&mut limiter, 600_000, &permit, Health::Silent);
    }
}

#[test]
fn single_calls_try_twice_as_far_apart_each_time_and_cost_no_attempt_for_as_long_as_it_has_patience() {
    let patient = Rate::Breaker(Breaker { patience: Duration::from_secs(100), ..Breaker::default() });
    let (mut limiter, mut now_ms) = (Limiter::default(), 0);
    call(&mut limiter, 0, vec![Health::Silent; 5]);
    for (distance_s, is_free) in
        [(1, true), (2, true), (4, true), (8, true), (16, true), (32, true), (60, false), (60, false)]
    {
        assert_eq!(wait(&mut limiter, now_ms, &patient), now_ms + distance_s * 1_000);
        now_ms += distance_s * 1_000;
        let probe = grant(&mut limiter, now_ms, &patient);
        assert_eq!(probe.probe, is_free, "after {distance_s} s");
        let again_ms = wait(&mut limiter, now_ms, &patient) - now_ms;
        assert!((1_000..=15_000).contains(&again_ms), "one at a time, and who waits looks again in {again_ms} ms");
        went(&mut limiter, now_ms, &probe, Health::Silent);
    }
}

#[test]
fn a_provider_that_no_call_has_found_well_gets_two_minutes_of_patience() {
    for (well, at_ms, is_free) in [(None, 119_999, true), (None, 120_000, false), (Some(Health::Well), 120_000, true)] {
        let mut limiter = Limiter::default();
        call(&mut limiter, 0, well);
        call(&mut limiter, 0, vec![Health::Silent; 5]);
        assert_eq!(grant(&mut limiter, at_ms, &breaker()).probe, is_free, "{well:?} {at_ms}");
    }
}

#[test]
fn a_probe_that_is_never_reported_or_was_not_made_makes_way_for_another() {
    let mut limiter = Limiter::default();
    call(&mut limiter, 0, vec![Health::Silent; 5]);
    let unmade = grant(&mut limiter, 1_000, &breaker());
    report(&mut limiter, 1_000, &unmade, false, None);
    grant(&mut limiter, 1_000, &breaker());
    assert!(matches!(ask(&mut limiter, 150_999, &breaker()), Decision::Wait { at_latest_ms: 151_000, .. }));
    grant(&mut limiter, 151_000, &breaker());
}

#[test]
fn it_closes_with_one_more_at_a_time_for_each_that_goes_well_and_opens_again_at_the_first_failure() {
    let mut limiter = Limiter::default();
    let before = grant(&mut limiter, 0, &breaker());
    call(&mut limiter, 0, vec![Health::Ill; 10]);
    let probe = grant(&mut limiter, 1_000, &breaker());
    went(&mut limiter, 1_100, &before, Health::Well);
    assert!(is_down(&limiter, 1_100), "what was sent before says nothing");
    went(&mut limiter, 1_200, &probe, Health::Well);
    for at_once in [1, 2, 4, 8, 16, 32] {
        assert_eq!(room(&limiter, 1_200, &breaker()), at_once);
        let permits: Vec<Permit> = (0..at_once).map(|_| grant(&mut limiter, 1_200, &breaker())).collect();
        assert_eq!(wait(&mut limiter, 1_200, &breaker()), 1_450);
        let mut failing = limiter.clone();
        went(&mut failing, 1_200, &permits[0], Health::Silent);
        assert_eq!(is_down(&failing, 1_200), at_once == 1, "its first failure opens it, later ones count anew");
        permits.iter().for_each(|permit| went(&mut limiter, 1_200, permit, Health::Well));
    }
    assert_eq!(room(&limiter, 1_200, &breaker()), 10_000, "closed");
}

#[test]
fn the_next_probe_is_the_sooner_the_more_went_well_before_it_was_found_ill_anew() {
    let mut limiter = Limiter::default();
    call(&mut limiter, 0, vec![Health::Silent; 5]);
    for now_ms in [1_000, 3_000, 7_000] {
        call(&mut limiter, now_ms, [Health::Silent]);
    }
    call(&mut limiter, 15_000, [Health::Well]);
    for (well, distance_ms) in [(0, 16_000), (1, 8_000), (2, 4_000), (9, 1_000)] {
        let mut limiter = limiter.clone();
        call(&mut limiter, 15_000, vec![Health::Well; well]);
        while !is_down(&limiter, 15_000) {
            call(&mut limiter, 15_000, [Health::Ill]);
        }
        assert_eq!(wait(&mut limiter, 15_000, &breaker()), 15_000 + distance_ms, "{well} went well");
    }
}

#[test]
fn it_is_kept_over_a_restart_and_forgotten_when_nobody_wants_to_know() {
    let mut limiter = Limiter::default();
    call(&mut limiter, 0, vec![Health::Silent; 5]);
    grant(&mut limiter, 1_000, &breaker());
    let mut limiter = Limiter::restore(limiter.snapshot());
    assert!(grant(&mut limiter, 2_000, &breaker()).probe, "the probe of before is nobody's");
    limiter.forget_idle(601_999);
    assert_eq!(limiter.usage(601_999).len(), 1);
    limiter.forget_idle(602_000);
    assert_eq!(limiter.usage(602_000).len(), 0);
}

/// 64 callers with 10,000 calls between them; the provider is silent from 20 s on for an hour.
#[test]
fn an_hour_s_outage_costs_a_probe_a_minute_and_no_attempts_and_work_resumes_by_itself() {
    const LATENCY_MS: i64 = 200;
    let (mut limiter, mut now_ms) = (Limiter::default(), START_MS);
    let down_ms = START_MS + 20_000;
    let up_ms = down_ms + HOUR_MS;
    let (mut callers, mut flying) = (vec![START_MS; 64], Vec::<(i64, usize, Permit)>::new());
    let (mut to_do, mut spent, mut probes, mut done_ms) = (10_000_u32, 0, 0, 0);
    while to_do > 0 {
        flying.sort_by_key(|(back_ms, ..)| *back_ms);
        while flying.first().is_some_and(|(back_ms, ..)| *back_ms <= now_ms) {
            let (back_ms, caller, permit) = flying.remove(0);
            let is_ill = (down_ms..up_ms).contains(&(back_ms - LATENCY_MS));
            went(&mut limiter, now_ms, &permit, if is_ill { Health::Silent } else { Health::Well });
            spent += u32::from(is_ill && !permit.probe);
            to_do = to_do.saturating_sub(u32::from(!is_ill));
            (callers[caller], done_ms) = (now_ms, now_ms);
        }
        for (caller, asks_ms) in callers.iter_mut().enumerate().filter(|(_, asks_ms)| **asks_ms <= now_ms) {
            match ask(&mut limiter, now_ms, &breaker()) {
                Decision::Granted(permit) => {
                    probes += u32::from(permit.probe);
                    flying.push((now_ms + LATENCY_MS, caller, permit));
                    *asks_ms = i64::MAX;
                }
                Decision::Wait { until_ms, .. } => *asks_ms = until_ms,
            }
        }
        let next = callers.iter().copied().chain(flying.iter().map(|(back_ms, ..)| *back_ms)).min();
        now_ms = next.unwrap_or(now_ms).max(now_ms + 1);
    }
    assert!(spent <= 5 + 64, "{spent} attempts: what opened it, and what was in flight");
    assert!(probes <= 6 + 60 + 1, "{probes} probes");
    assert!(probes >= 50, "{probes} probes");
    let resumed_ms = done_ms - up_ms;
    assert!(resumed_ms < 60_000 + 15_000 + 60_000, "all done {resumed_ms} ms after it was well");
}
