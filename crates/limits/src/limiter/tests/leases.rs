//! Several calls alike that are granted at once.

use proptest::prelude::*;

use super::*;
use crate::charge::Question;
use crate::line::By;

fn want(limiter: &mut Limiter, now_ms: i64, rate: &Rate, (cost, calls): (u32, u32)) -> Option<Permit> {
    let question = Question { want: calls, ..Question::new(vec![charge("limit", rate, cost)]) };
    match limiter.decide(now_ms, &question) {
        Decision::Granted(permit) => Some(permit),
        Decision::Wait { .. } => None,
    }
}

fn used(limiter: &Limiter, now_ms: i64) -> u64 {
    limiter.usage(now_ms)[0].used
}

#[test]
fn as_many_as_are_wanted_and_fit_are_granted_at_once() {
    let (mut limiter, rate) = (Limiter::default(), window(100, 60_000, Aligned::Epoch));
    let mut granted = |calls| want(&mut limiter, 0, &rate, (1, calls)).map(|permit| permit.calls);
    assert_eq!(granted(64), Some(1), "the first call of a budget goes alone");
    assert_eq!(granted(64), Some(64));
    assert_eq!(granted(64), Some(35));
    assert_eq!(granted(64), None);
}

#[test]
fn no_more_than_the_most_is_granted_at_once() {
    let (mut limiter, rate) = (Limiter::default(), window(1_000_000, 60_000, Aligned::Epoch));
    grant(&mut limiter, 0, &rate);
    assert_eq!(want(&mut limiter, 0, &rate, (1, u32::MAX)).unwrap().calls, LEASE_MAX);
}

#[test]
fn each_call_of_a_lease_comes_back_by_itself_and_once() {
    let (mut limiter, rate) = (Limiter::default(), bucket(100, 0.001));
    grant(&mut limiter, 0, &rate);
    let lease = want(&mut limiter, 0, &rate, (3, 8)).unwrap();
    assert_eq!((lease.calls, used(&limiter, 0)), (8, 25));
    let calls: Vec<Permit> = lease.clone().each().collect();
    assert_eq!(calls.iter().map(|call| call.id - lease.id).collect::<Vec<_>>(), (0..8).collect::<Vec<u64>>());
    for _ in 0..2 {
        report(&mut limiter, 1, &calls[5], false, None);
        assert_eq!(used(&limiter, 1), 22);
    }
    // All of it: what has come back is not given back again.
    report(&mut limiter, 2, &lease, false, None);
    assert_eq!(used(&limiter, 2), 1);
}

#[test]
fn slots_of_a_lease_come_free_together() {
    let (mut limiter, rate) = (Limiter::default(), concurrency(9, 60_000));
    let first = grant(&mut limiter, 0, &rate);
    let lease = want(&mut limiter, 0, &rate, (1, 8)).unwrap();
    assert_eq!((lease.calls, room(&limiter, 0, &rate)), (8, 0));
    report(&mut limiter, 1, &lease, true, Some(Told::default()));
    assert_eq!(room(&limiter, 1, &rate), 8);
    report(&mut limiter, 1, &first, true, Some(Told::default()));
    assert_eq!(room(&limiter, 1, &rate), 9);
}

#[test]
fn a_limit_that_is_learnt_grants_one_call_at_a_time() {
    let (mut limiter, rate) = (Limiter::default(), Rate::Learn(crate::learn::Learn::default()));
    grant(&mut limiter, 0, &rate);
    assert_eq!(want(&mut limiter, 10_000, &rate, (1, 8)).unwrap().calls, 1);
}

#[test]
fn what_is_kept_for_a_higher_lane_is_kept_from_a_lease_too() {
    let (mut limiter, rate) = (Limiter::default(), window(100, 60_000, Aligned::Epoch));
    let by = |lane: u8| By {
        lane,
        tenant: "one".to_owned(),
        job: format!("job {lane}"),
        credential: None,
        waited_for: None,
    };
    let ask = |limiter: &mut Limiter, lane, want| {
        let question = Question { want, ..Question::new(vec![charge("limit", &rate, 1)]).by(by(lane)) };
        limiter.decide(0, &question)
    };
    ask(&mut limiter, 0, 1); // Somebody is there, in the interactive lane.
    let mut granted = 0;
    while let Decision::Granted(permit) = ask(&mut limiter, 1, 64) {
        granted += permit.calls;
    }
    assert_eq!(granted, 89, "of a hundred, one is used, and ten are kept");
}

#[test]
fn a_call_of_a_short_window_is_to_be_sent_before_it_could_land_in_the_next() {
    let mut limiter = Limiter::default();
    let within = |rate| want(&mut Limiter::default(), 0, &rate, (1, 1)).unwrap().use_within_ms;
    assert_eq!(within(window(10, 1_000, Aligned::Epoch)), Some(125));
    assert_eq!(within(window(10, 3_600_000, Aligned::Epoch)), Some(15_000));
    let both =
        [charge("a", &window(10, 3_600_000, Aligned::Epoch), 1), charge("b", &window(10, 2_000, Aligned::Epoch), 1)];
    let Decision::Granted(permit) = limiter.ask(0, &both) else { panic!("there is room") };
    assert_eq!(permit.use_within_ms, Some(250));
}

proptest! {
    #[test]
    fn as_much_is_granted_together_as_one_by_one(
        size in 1..200_u32, cost in 1..5_u32, wants in proptest::collection::vec((0..2_000_i64, 1..70_u32), 1..20), is_bucket: bool,
    ) {
        let rate = if is_bucket { bucket(size, 10.0) } else { window(size, 3_000, Aligned::Epoch) };
        let (mut together, mut single, mut now_ms) = (Limiter::default(), Limiter::default(), 0);
        for (wait_ms, calls) in wants {
            now_ms += wait_ms;
            let mut left = calls;
            while left > 0 && let Some(permit) = want(&mut together, now_ms, &rate, (cost, left)) {
                prop_assert!((1..=left).contains(&permit.calls));
                left -= permit.calls;
            }
            let granted = (0..calls).take_while(|_| want(&mut single, now_ms, &rate, (cost, 1)).is_some()).count();
            prop_assert_eq!(calls - left, u32::try_from(granted).unwrap(), "at {}", now_ms);
            prop_assert_eq!(used(&together, now_ms), used(&single, now_ms));
        }
    }
}
