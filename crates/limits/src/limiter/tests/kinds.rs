//! A limit's kind changes: a provider file is edited while jobs by the old one go on, or somebody wants another rate for a while.

use super::*;
use crate::overrides::{Does, Override};

#[test]
fn two_kinds_of_one_limit_that_are_asked_for_in_turns_grant_no_more_than_one() {
    let rates = [
        window(100, 60_000, Aligned::FirstCall),
        sliding(100, 60_000),
        bucket(100, 0.001),
        window(100, 60_000, Aligned::Epoch),
        Rate::Quota { calls: 100, per: crate::calendar::Period::Day, zone: crate::calendar::Zone::default() },
    ];
    for one in &rates {
        for other in &rates {
            let mut limiter = Limiter::default();
            let asked = (0..1_000).map(|number| if number % 2 == 0 { one } else { other });
            let granted = asked.filter(|rate| matches!(ask(&mut limiter, 1_000, rate), Decision::Granted(_))).count();
            assert_eq!(granted, 100, "{one:?} and {other:?}");
        }
    }
}

#[test]
fn a_quota_that_is_used_up_stays_so_after_another_rate_was_wanted_for_a_while() {
    let quota = Rate::Quota { calls: 1_000, per: crate::calendar::Period::Day, zone: crate::calendar::Zone::default() };
    for wanted in [vec![bucket(5, 1.0)], vec![bucket(5, 1.0), sliding(5, 1_000), concurrency(3, 1_000)]] {
        let mut limiter = Limiter::default();
        let granted = (0..1_000).filter(|_| matches!(ask(&mut limiter, 0, &quota), Decision::Granted(_))).count();
        assert_eq!(granted, 1_000);
        let mut now_ms = 0;
        for rate in wanted {
            let (does, reason) = (Does::Rate(rate), "they allow a little".to_owned());
            let until_ms = Some(now_ms + 1_200_000);
            assert!(limiter.put_override(Override { key: "limit".to_owned(), does, reason, until_ms }, now_ms));
            for _ in 0..120 {
                now_ms += 10_000;
                limiter.forget_idle(now_ms);
                if let Decision::Granted(permit) = ask(&mut limiter, now_ms, &quota) {
                    answer(&mut limiter, now_ms, &permit, &Reading::default());
                }
            }
        }
        assert_eq!(wait(&mut limiter, now_ms, &quota), 86_400_000);
        // Nobody asked for long, and it was saved meanwhile.
        limiter.forget_idle(now_ms + 10_000_000);
        let mut limiter = Limiter::restore(limiter.snapshot());
        assert_eq!(wait(&mut limiter, now_ms + 10_000_000, &quota), 86_400_000);
    }
}

#[test]
fn a_meter_of_another_kind_begins_with_what_is_in_use() {
    let rates = [window(10, 60_000, Aligned::Epoch), sliding(10, 60_000), bucket(10, 0.001)];
    for before in &rates {
        for after in rates.iter().filter(|after| *after != before) {
            let mut limiter = Limiter::default();
            let [_, _, unsent] = [0, 0, 0].map(|now_ms| grant(&mut limiter, now_ms, before));
            assert_eq!(room(&limiter, 0, after), 7, "{before:?}, then {after:?}");
            grant(&mut limiter, 0, after);
            report(&mut limiter, 10, &unsent, false, None);
            assert_eq!(room(&limiter, 10, after), 7, "{before:?}, then {after:?}: what was not sent is free again");
            assert_eq!(room(&limiter, 10, before), 7, "{before:?} after {after:?}");
        }
    }
}

#[test]
fn what_was_learnt_outlasts_another_rate() {
    let learn = Rate::Learn(crate::learn::Learn { start_per_s: 100.0, ..Default::default() });
    let mut limiter = Limiter::default();
    let permit = grant(&mut limiter, 0, &learn);
    refuse(&mut limiter, 10, &permit, None);
    let learnt = |limiter: &Limiter, now_ms| limiter.usage(now_ms)[0].learnt;
    let before = learnt(&limiter, 10);
    grant(&mut limiter, 60_000, &bucket(5, 1.0));
    assert_eq!(learnt(&limiter, 60_000), None);
    grant(&mut limiter, 120_000, &learn);
    assert_eq!(learnt(&limiter, 120_000).map(|learnt| learnt.refused_at_ms), before.map(|learnt| learnt.refused_at_ms));
}
