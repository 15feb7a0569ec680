//! The limiter against an oracle that counts the log of all grants anew for every question.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const START_MS: i64 = 1_700_000_000_000;

/// What becomes of a granted call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Sent,
    Unsent,
    /// In flight until a later step ends it, or for ever. Only where it charges nothing but concurrency.
    Pending,
}

#[derive(Debug, Clone)]
struct Step {
    advance_ms: i64,
    /// Which limits (modulo their number), with a cost each (modulo their size).
    touches: Vec<(usize, u32)>,
    fate: Fate,
    /// Ends this pending call (modulo their number) before it asks.
    ends: Option<usize>,
}

/// A grant as the oracle remembers it.
struct Logged {
    at_ms: i64,
    permit: Permit,
    costs: BTreeMap<usize, u32>,
    in_flight: bool,
}

fn rates() -> impl Strategy<Value = Rate> {
    let aligned = prop_oneof![Just(Aligned::FirstCall), Just(Aligned::Epoch), Just(Aligned::Told)];
    prop_oneof![
        (1..20_u32, 100..5_000_u64, aligned).prop_map(|(calls, per_ms, aligned)| window(calls, per_ms, aligned)),
        // As short as its slices are of one ms: then the limiter is exact.
        (1..20_u32, 1..64_u64).prop_map(|(calls, per_ms)| sliding(calls, per_ms)),
        (1..20_u32, 1..2_000_u32).prop_map(|(calls, every_ms)| bucket(calls, 1e3 / f64::from(every_ms))),
        (1..8_u32, 100..5_000_u64).prop_map(|(calls, lease_ms)| concurrency(calls, lease_ms)),
    ]
}

fn steps() -> impl Strategy<Value = Step> {
    let advance_ms = prop_oneof![Just(0), 0..5_i64, 0..300_i64, 0..4_000_i64];
    let fate = prop_oneof![4 => Just(Fate::Sent), 1 => Just(Fate::Unsent), 4 => Just(Fate::Pending)];
    let ends = proptest::option::of(any::<usize>());
    (advance_ms, vec((any::<usize>(), any::<u32>()), 1..4), fate, ends)
        .prop_map(|(advance_ms, touches, fate, ends)| Step { advance_ms, touches, fate, ends })
}

fn size(rate: &Rate) -> u32 {
    match *rate {
        Rate::Window { calls, .. }
        | Rate::Quota { calls, .. }
        | Rate::Sliding { calls, .. }
        | Rate::Bucket { calls, .. }
        | Rate::Concurrency { calls, .. } => calls,
        Rate::Learn(_) | Rate::Breaker(_) | Rate::Told {} => u32::MAX,
    }
}

/// The charges of a step: distinct limits, none costing more than fits.
fn costs(step: &Step, rates: &[Rate]) -> BTreeMap<usize, u32> {
    let cost = |&(limit, cost): &(usize, u32)| {
        let limit = limit % rates.len();
        (limit, 1 + cost % size(&rates[limit]).min(4))
    };
    step.touches.iter().map(cost).collect()
}

/// What one limit was charged: when, how much, and whether the call is in flight.
type Spent = (i64, u32, bool);

/// Whether `cost` fits at `now_ms`, counted from the log.
fn has_room(rate: &Rate, log: &[Spent], cost: u32, now_ms: i64) -> bool {
    let asked = (now_ms, cost, true);
    match *rate {
        Rate::Window { calls, per, aligned: Aligned::Epoch } => {
            let window_of = |at_ms: i64| at_ms.div_euclid(per.as_millis() as i64);
            let same = log.iter().filter(|(at_ms, ..)| window_of(*at_ms) == window_of(now_ms));
            same.map(|(_, cost, _)| cost).sum::<u32>() + cost <= calls
        }
        Rate::Window { calls, per, .. } => {
            let (mut end_ms, mut used) = (i64::MIN, 0);
            for &(at_ms, cost, _) in log.iter().chain([&asked]) {
                if at_ms >= end_ms {
                    (end_ms, used) = (at_ms + per.as_millis() as i64, 0);
                }
                used += cost;
            }
            used <= calls
        }
        Rate::Sliding { calls, per } => {
            let counts = |(at_ms, ..): &&Spent| *at_ms + per.as_millis() as i64 > now_ms;
            log.iter().filter(counts).map(|(_, cost, _)| cost).sum::<u32>() + cost <= calls
        }
        Rate::Bucket { calls, restore_per_s } => {
            let every_us = (1e6 / restore_per_s).round() as i64;
            let full_us = i64::from(calls) * every_us;
            let (mut level_us, mut then_ms) = (full_us, START_MS);
            for &(at_ms, cost, _) in log.iter().chain([&asked]) {
                level_us = full_us.min(level_us + (at_ms - then_ms) * 1_000) - i64::from(cost) * every_us;
                then_ms = at_ms;
            }
            level_us >= 0
        }
        Rate::Concurrency { calls, lease, .. } => {
            let is_live = |(at_ms, _, in_flight): &&Spent| *in_flight && at_ms + lease.as_millis() as i64 > now_ms;
            log.iter().filter(is_live).map(|(_, cost, _)| cost).sum::<u32>() + cost <= calls
        }
        // Quotas have an oracle of their own.
        Rate::Quota { .. } | Rate::Learn(_) | Rate::Breaker(_) | Rate::Told {} => true,
    }
}

/// The oracle's word: whether all limits have room.
fn all_have_room(rates: &[Rate], log: &[Logged], costs: &BTreeMap<usize, u32>, now_ms: i64) -> bool {
    costs.iter().all(|(limit, &cost)| {
        let spent = |logged: &Logged| Some((logged.at_ms, *logged.costs.get(limit)?, logged.in_flight));
        has_room(&rates[*limit], &log.iter().filter_map(spent).collect::<Vec<_>>(), cost, now_ms)
    })
}

fn is_granted(mut limiter: Limiter, now_ms: i64, charges: &[Charge]) -> bool {
    matches!(limiter.ask(now_ms, charges), Decision::Granted(_))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]
    #[test]
    fn decisions_are_those_of_an_oracle_and_a_refusal_is_exact_and_leaves_no_trace(
        rates in vec(rates(), 1..5),
        steps in vec(steps(), 1..80),
    ) {
        // The second limiter is asked only what the first one granted.
        let (mut limiter, mut untouched) = (Limiter::default(), Limiter::default());
        let (mut now_ms, mut log) = (START_MS, Vec::<Logged>::new());
        for step in steps {
            now_ms += step.advance_ms;
            let pending: Vec<usize> = (0..log.len()).filter(|&index| log[index].in_flight).collect();
            if let Some(ends) = step.ends.filter(|_| !pending.is_empty()) {
                let logged = &mut log[pending[ends % pending.len()]];
                logged.in_flight = false;
                report(&mut limiter, now_ms, &logged.permit, true, None);
                report(&mut untouched, now_ms, &logged.permit, true, None);
            }

            let costs = costs(&step, &rates);
            let charges: Vec<Charge> =
                costs.iter().map(|(&limit, &cost)| charge(&limit.to_string(), &rates[limit], cost)).collect();
            let expected = all_have_room(&rates, &log, &costs, now_ms);
            match limiter.ask(now_ms, &charges) {
                Decision::Granted(permit) => {
                    prop_assert!(expected, "granted at {now_ms} although the oracle has no room");
                    prop_assert_eq!(untouched.ask(now_ms, &charges), Decision::Granted(permit.clone()));
                    let all_concurrency = costs.keys().all(|&limit| matches!(rates[limit], Rate::Concurrency { .. }));
                    let in_flight = step.fate == Fate::Pending && all_concurrency;
                    if !in_flight {
                        let (sent, told) = (step.fate != Fate::Unsent, Some(Told::default()));
                        report(&mut limiter, now_ms, &permit, sent, told.clone());
                        report(&mut untouched, now_ms, &permit, sent, told);
                    }
                    if step.fate != Fate::Unsent {
                        log.push(Logged { at_ms: now_ms, permit, costs, in_flight });
                    }
                }
                Decision::Wait { until_ms, at_latest_ms, limit, .. } => {
                    prop_assert!(!expected, "refused at {now_ms} although the oracle has room");
                    prop_assert!(now_ms < until_ms && until_ms <= at_latest_ms);
                    prop_assert!(costs.contains_key(&limit.parse().unwrap()));
                    prop_assert!(!all_have_room(&rates, &log, &costs, at_latest_ms - 1));
                    prop_assert!(all_have_room(&rates, &log, &costs, at_latest_ms));
                    prop_assert!(!is_granted(limiter.clone(), at_latest_ms - 1, &charges), "granted before {at_latest_ms}");
                    prop_assert!(is_granted(limiter.clone(), at_latest_ms, &charges), "not granted at {at_latest_ms}");
                }
            }
            prop_assert_eq!(limiter.usage(now_ms), untouched.usage(now_ms));
        }
    }
}

#[test]
fn the_binding_limit_is_the_one_with_room_last() {
    let (second, minute) = (window(1, 1_000, Aligned::FirstCall), window(2, 60_000, Aligned::FirstCall));
    let charges = [charge("second", &second, 1), charge("minute", &minute, 1)];
    let waits = |at_ms, limit: &str| Decision::Wait {
        until_ms: at_ms,
        at_latest_ms: at_ms,
        limit: limit.to_owned(),
        why: None,
    };
    let mut limiter = Limiter::default();
    limiter.ask(0, &charges);
    assert_eq!(limiter.ask(999, &charges), waits(1_000, "second"));
    assert!(matches!(limiter.ask(1_000, &charges), Decision::Granted(_)));
    assert_eq!(limiter.ask(1_001, &charges), waits(60_000, "minute"));
}

#[test]
fn a_call_that_costs_more_than_all_takes_all() {
    for rate in [window(3, 1_000, Aligned::Epoch), sliding(3, 1_000), bucket(3, 3.0), concurrency(3, 1_000)] {
        let mut limiter = Limiter::default();
        let dear = [charge("limit", &rate, 5)];
        let Decision::Granted(permit) = limiter.ask(0, &dear) else { panic!("{rate:?}") };
        if !matches!(rate, Rate::Concurrency { .. }) {
            answer(&mut limiter, 0, &permit, &Reading::default());
        }
        assert_eq!(room(&limiter, 0, &rate), 0, "{rate:?}");
        let Decision::Wait { at_latest_ms, .. } = limiter.ask(0, &dear) else { panic!("{rate:?}") };
        assert!((1_000..=1_001).contains(&at_latest_ms), "{rate:?}: {at_latest_ms}");
    }
}

#[test]
fn a_slot_is_asked_for_again_soon_but_not_before_the_other_limits_have_room() {
    let (slot, bucket) = (concurrency(1, 60_000), bucket(1, 0.1));
    let both = [charge("slot", &slot, 1), charge("bucket", &bucket, 1)];
    let waits = |until_ms, at_latest_ms, limit: &str| Decision::Wait {
        until_ms,
        at_latest_ms,
        limit: limit.to_owned(),
        why: None,
    };
    let mut limiter = Limiter::default();
    limiter.ask(0, &both);
    assert_eq!(limiter.ask(0, &both), waits(10_000, 60_000, "bucket"));
    // A call that is not reported may have landed a quarter of the bucket's time late.
    assert_eq!(limiter.ask(10_000, &both), waits(12_500, 60_000, "bucket"));
    assert_eq!(limiter.ask(12_500, &both), waits(12_750, 60_000, "slot"));
}

#[test]
fn rates_that_nobody_checked_do_not_panic() {
    let nonsense = [
        bucket(0, f64::NAN),
        bucket(u32::MAX, 0.0),
        bucket(1, -1.0),
        bucket(u32::MAX, f64::INFINITY),
        window(0, 0, Aligned::Epoch),
        window(u32::MAX, u64::MAX, Aligned::FirstCall),
        sliding(0, 0),
        sliding(u32::MAX, u64::MAX),
        concurrency(0, u64::MAX),
    ];
    for rate in nonsense {
        let mut limiter = Limiter::default();
        for now_ms in [START_MS, START_MS, START_MS + 1, START_MS + 1_000_000] {
            if let Decision::Granted(permit) = limiter.ask(now_ms, &[charge("limit", &rate, u32::MAX)]) {
                report(&mut limiter, now_ms, &permit, now_ms == START_MS, Some(Told::default()));
            }
        }
        assert_eq!(limiter.usage(START_MS).len(), 1);
    }
}
