//! A limit that nobody tells, among others.

use super::*;
use crate::learn::Learn;

fn learnt(limiter: &Limiter, now_ms: i64) -> crate::limiter::Learnt {
    limiter.usage(now_ms)[0].learnt.expect("it is learnt")
}

fn learn() -> Rate {
    Rate::Learn(Learn { start_per_s: 10.0, ..Learn::default() })
}

#[test]
fn a_refusal_that_names_no_time_is_the_business_of_the_limit_that_is_learnt() {
    let (mut limiter, now_ms) = (Limiter::default(), 1_000_000);
    let both = [charge("learnt", &learn(), 1), charge("told", &Rate::Told {}, 1)];
    let Decision::Granted(permit) = limiter.ask(now_ms, &both) else { panic!("nothing was charged before") };
    refuse(&mut limiter, now_ms + 50, &permit, None);
    assert!(limiter.usage(now_ms + 50).iter().all(|usage| usage.blocked_until_ms.is_none()));
    let Decision::Granted(permit) = limiter.ask(now_ms + 200, &both) else { panic!("one refusal stops nothing") };
    refuse(&mut limiter, now_ms + 250, &permit, Some(now_ms + 9_000));
    assert!(limiter.usage(now_ms + 250).iter().all(|usage| usage.blocked_until_ms == Some(now_ms + 9_000)));
}

#[test]
fn what_was_learnt_survives_a_restart_and_a_week_without_calls() {
    let (mut limiter, mut now_ms, rate) = (Limiter::default(), 1_000_000, learn());
    for call in 0..2_000 {
        let permit = match ask(&mut limiter, now_ms, &rate) {
            Decision::Granted(permit) => permit,
            Decision::Wait { until_ms, .. } => {
                now_ms = until_ms;
                continue;
            }
        };
        if call > 800 && call % 40 < 2 {
            refuse(&mut limiter, now_ms + 20, &permit, None);
        } else {
            answer(&mut limiter, now_ms + 20, &permit, &Reading::default());
        }
        now_ms += 20;
    }
    let before = learnt(&limiter, now_ms);
    assert!(before.refused_at_ms.is_some());
    let json = serde_json::to_string(&limiter.snapshot()).unwrap();
    let mut limiter = Limiter::restore(serde_json::from_str(&json).unwrap());
    limiter.forget_idle(now_ms + 7 * 86_400_000);
    let after = learnt(&limiter, now_ms);
    assert!(after.per_hour.abs_diff(before.per_hour * 9 / 10) <= 1, "{after:?} after {before:?}");
    limiter.forget_idle(now_ms + 31 * 86_400_000);
    assert!(limiter.usage(now_ms).is_empty());
}

#[test]
fn other_options_keep_what_was_learnt() {
    let (mut limiter, now_ms) = (Limiter::default(), 1_000_000);
    let permit = grant(&mut limiter, now_ms, &learn());
    refuse(&mut limiter, now_ms + 20, &permit, None);
    let before = learnt(&limiter, now_ms + 20);
    grant(&mut limiter, now_ms + 9_000, &Rate::Learn(Learn { cap_per_s: 50.0, start_per_s: 10.0, ..Learn::default() }));
    assert_eq!(learnt(&limiter, now_ms + 9_000), before);
}
