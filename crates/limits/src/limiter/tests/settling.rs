//! Calls that turn out to cost something else than was charged.

use proptest::prelude::*;

use super::*;

fn costs(cost: u64) -> Reading {
    Reading { cost: Some(cost), ..Reading::default() }
}

fn rates() -> [Rate; 4] {
    let quota = serde_json::from_str(r#"{"quota":{"calls":100,"per":"day"}}"#).unwrap();
    [window(100, 60_000, Aligned::FirstCall), sliding(100, 60_000), bucket(100, 0.01), quota]
}

#[test]
fn what_a_call_did_not_cost_is_given_back_and_what_it_cost_beyond_is_charged() {
    for rate in rates() {
        for (cost, left) in [(3, 97), (10, 90), (25, 75), (1_000, 0), (0, 100)] {
            let mut limiter = Limiter::default();
            let Decision::Granted(permit) = limiter.ask(0, &[charge("limit", &rate, 10)]) else { panic!("{rate:?}") };
            answer(&mut limiter, 10, &permit, &costs(cost));
            assert_eq!(room(&limiter, 10, &rate), left, "{rate:?} {cost}");
        }
    }
}

#[test]
fn what_remains_counts_before_what_a_call_cost() {
    for rate in rates() {
        let mut limiter = Limiter::default();
        let Decision::Granted(permit) = limiter.ask(0, &[charge("limit", &rate, 10)]) else { panic!("{rate:?}") };
        answer(&mut limiter, 10, &permit, &Reading { remaining: Some(60.0), ..costs(3) });
        assert_eq!(room(&limiter, 10, &rate), 60, "{rate:?}");
    }
}

#[test]
fn a_report_that_comes_twice_settles_once() {
    for rate in rates() {
        let mut limiter = Limiter::default();
        let Decision::Granted(permit) = limiter.ask(0, &[charge("limit", &rate, 10)]) else { panic!("{rate:?}") };
        (0..2).for_each(|_| answer(&mut limiter, 10, &permit, &costs(3)));
        assert_eq!(room(&limiter, 10, &rate), 97, "{rate:?}");
    }
}

proptest! {
    #[test]
    fn what_is_used_is_the_sum_of_what_calls_cost(calls in prop::collection::vec((1..20_u32, 0..30_u64, any::<bool>()), 1..10)) {
        for rate in rates() {
            let rate = match rate {
                Rate::Window { per, aligned, .. } => Rate::Window { calls: 1_000, per, aligned },
                Rate::Sliding { per, .. } => Rate::Sliding { calls: 1_000, per },
                Rate::Bucket { restore_per_s, .. } => Rate::Bucket { calls: 1_000, restore_per_s },
                Rate::Quota { per, zone, .. } => Rate::Quota { calls: 1_000, per, zone },
                other => other,
            };
            let mut limiter = Limiter::default();
            let mut permits = Vec::new();
            for (reserved, ..) in &calls {
                let Decision::Granted(permit) = limiter.ask(0, &[charge("limit", &rate, *reserved)]) else { panic!("{rate:?}") };
                permits.push(permit);
            }
            let mut expected = 0;
            for (permit, (reserved, cost, tells)) in permits.iter().zip(&calls) {
                answer(&mut limiter, 1, permit, &if *tells { costs(*cost) } else { Reading::default() });
                expected += if *tells { *cost } else { u64::from(*reserved) };
            }
            prop_assert_eq!(room(&limiter, 1, &rate) as u64, 1_000 - expected, "{:?}", rate);
        }
    }
}
