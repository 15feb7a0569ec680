//! A sliding window against a provider that logs calls as they land.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const START_MS: i64 = 1_700_000_000_000;

/// One call, in ms: from the last one's question to this one's, to its landing, and from there to its answer; its cost; and
/// whether its answer tells what remains.
type Journey = (i64, i64, i64, u32, bool);

enum Event {
    Ask(Journey),
    Land(Journey, Permit),
    Report(Permit, Reading),
}

/// The provider: what landed when, and what was refused.
#[derive(Debug, Default)]
struct Provider {
    log: Vec<(i64, u32)>,
    refused: u32,
}

impl Provider {
    fn used(&self, per_ms: i64, now_ms: i64) -> u32 {
        self.log.iter().filter(|(at_ms, _)| at_ms + per_ms > now_ms).map(|(_, cost)| cost).sum()
    }

    fn land(&mut self, (calls, per_ms): (u32, i64), cost: u32, now_ms: i64) {
        if self.used(per_ms, now_ms) + cost <= calls {
            self.log.push((now_ms, cost));
        } else {
            self.refused += 1;
        }
    }
}

/// Makes all calls; those that must wait ask again when they were told to. `by_others`: what others take, and when.
fn run((calls, per_ms): (u32, i64), journeys: &[Journey], by_others: &[(i64, u32)]) -> Provider {
    let rate = sliding(calls, per_ms as u64);
    let (mut limiter, mut provider) = (Limiter::default(), Provider::default());
    let mut events = BTreeMap::new();
    let mut sequence = 0;
    let mut at = |events: &mut BTreeMap<(i64, usize), Event>, ms: i64, event| {
        sequence += 1;
        events.insert((ms, sequence), event);
    };
    provider.log.extend(by_others);
    let mut asks_ms = START_MS;
    for journey in journeys {
        asks_ms += journey.0;
        at(&mut events, asks_ms, Event::Ask(*journey));
    }
    while let Some(((now_ms, _), event)) = events.pop_first() {
        match event {
            Event::Ask(journey) => match limiter.ask(now_ms, &[charge("limit", &rate, journey.3)]) {
                Decision::Granted(permit) => at(&mut events, now_ms + journey.1, Event::Land(journey, permit)),
                Decision::Wait { until_ms, at_latest_ms, .. } => {
                    assert!(now_ms < until_ms && until_ms <= at_latest_ms, "{now_ms} {until_ms} {at_latest_ms}");
                    let mut silent = limiter.clone();
                    let at_last = silent.ask(at_latest_ms, &[charge("limit", &rate, journey.3)]);
                    assert!(matches!(at_last, Decision::Granted(_)), "not at the latest");
                    at(&mut events, until_ms, Event::Ask(journey));
                }
            },
            Event::Land(journey, permit) => {
                provider.land((calls, per_ms), journey.3, now_ms);
                let left = calls.saturating_sub(provider.used(per_ms, now_ms));
                let reading = Reading { remaining: journey.4.then_some(f64::from(left)), ..Reading::default() };
                at(&mut events, now_ms + journey.2, Event::Report(permit, reading));
            }
            Event::Report(permit, reading) => answer(&mut limiter, now_ms, &permit, &reading),
        }
    }
    provider
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]
    #[test]
    fn a_sliding_window_never_refuses_whenever_calls_land_and_in_whatever_order_answers_come(
        calls in 1..20_u32,
        per_ms in 1..100_000_i64,
        journeys in vec((0..3_000_i64, 0..1_000_i64, 0..1_000_i64, 1..4_u32, any::<bool>()), 1..150),
    ) {
        // A call lands, and is answered, within a quarter of the window each; 30 seconds at most.
        let most_ms = (per_ms / 4).min(30_000);
        let part = |part: i64| part * most_ms / 1_000;
        let journeys: Vec<Journey> = journeys
            .iter()
            .map(|&(after, there, back, cost, tells)| (after * per_ms / 9_000, part(there), part(back), cost.min(calls), tells))
            .collect();
        let provider = run((calls, per_ms), &journeys, &[]);
        prop_assert_eq!((provider.refused, provider.log.len()), (0, journeys.len()));
    }

    #[test]
    fn a_wait_is_no_longer_than_needed_by_more_than_a_slice(
        calls in 1..40_u32,
        per_ms in 1..1_000_000_i64,
        asks in vec((0..1_000_i64, 1..4_u32), 1..200),
    ) {
        let (rate, slice_ms) = (sliding(calls, per_ms as u64), (per_ms + 63) / 64);
        let (mut limiter, mut log, mut now_ms) = (Limiter::default(), Vec::<(i64, u32)>::new(), START_MS);
        let used = |log: &[(i64, u32)], at_ms: i64| {
            log.iter().filter(|(then_ms, _)| then_ms + per_ms > at_ms).map(|(_, cost)| cost).sum::<u32>()
        };
        for (after, cost) in asks {
            now_ms += after * per_ms / 10_000;
            let cost = cost.min(calls);
            match limiter.ask(now_ms, &[charge("limit", &rate, cost)]) {
                Decision::Granted(permit) => {
                    prop_assert!(used(&log, now_ms) + cost <= calls, "more than is allowed");
                    answer(&mut limiter, now_ms, &permit, &Reading::default());
                    log.push((now_ms, cost));
                }
                Decision::Wait { until_ms, at_latest_ms, .. } => {
                    prop_assert_eq!(until_ms, at_latest_ms, "nothing is in flight");
                    prop_assert!(used(&log, until_ms - slice_ms) + cost > calls, "a slice before there was room");
                    prop_assert!(used(&log, until_ms) + cost <= calls);
                }
            }
        }
    }
}

#[test]
fn a_sliding_window_saves_nothing_up_and_has_no_edge_to_burst_at() {
    let (mut limiter, rate) = (Limiter::default(), sliding(10, 60_000));
    for now_ms in [3_600_000, 3_659_999] {
        let expected = if now_ms == 3_600_000 { 10 } else { 0 };
        assert_eq!(room(&limiter, now_ms, &rate), expected, "at {now_ms}");
        for _ in 0..expected {
            let permit = grant(&mut limiter, now_ms, &rate);
            answer(&mut limiter, now_ms, &permit, &Reading::default());
        }
    }
    assert_eq!(wait(&mut limiter, 3_659_999, &rate), 3_660_000);
}

#[test]
fn what_others_use_of_a_sliding_window_is_noticed_and_forgotten_after_a_window() {
    let (mut limiter, rate) = (Limiter::default(), sliding(10, 60_000));
    let left = |remaining| Reading { remaining: Some(remaining), ..Reading::default() };
    let [first, second] = [0, 0].map(|now_ms| grant(&mut limiter, now_ms, &rate));
    answer(&mut limiter, 100, &first, &left(3.0));
    assert_eq!(room(&limiter, 100, &rate), 2, "seven are used, and one of ours may not be among them");
    answer(&mut limiter, 200, &second, &left(2.0));
    assert_eq!(room(&limiter, 200, &rate), 2);
    assert_eq!(room(&limiter, 60_200, &rate), 10);
    let late = grant(&mut limiter, 30_000, &rate);
    answer(&mut limiter, 30_100, &late, &left(9.0));
    assert_eq!(room(&limiter, 30_100, &rate), 9, "it was alone, so the others have left");
}

#[test]
fn what_is_in_flight_beside_others_is_counted_until_an_answer_tells_it() {
    let (mut limiter, rate) = (Limiter::default(), sliding(200, 10_000));
    let left = |remaining| Reading { remaining: Some(remaining), ..Reading::default() };
    let landed: Vec<Permit> = (0..50).map(|_| grant(&mut limiter, 0, &rate)).collect();
    let flying: Vec<Permit> = (0..30).map(|_| grant(&mut limiter, 100, &rate)).collect();
    landed[1..].iter().for_each(|permit| answer(&mut limiter, 200, permit, &Reading::default()));
    // Others have used 40, and none of those in flight has landed.
    answer(&mut limiter, 200, &landed[0], &left(110.0));
    assert_eq!(room(&limiter, 200, &rate), 80);
    for (number, permit) in flying.iter().enumerate() {
        answer(&mut limiter, 300, permit, &left(109.0 - number as f64));
        assert_eq!(room(&limiter, 300, &rate), 80, "after {number}");
    }
    let Usage { used, resets_at_ms, .. } = limiter.usage(300).remove(0);
    assert_eq!((used, resets_at_ms), (120, Some(10_300)));
    assert_eq!(room(&limiter, 10_300, &rate), 200, "all have left");
}

#[test]
fn who_waits_for_what_may_be_others_looks_again_and_has_room_when_nothing_was() {
    let (mut limiter, rate) = (Limiter::default(), sliding(10, 10_000));
    let left = |remaining| Reading { remaining: Some(remaining), ..Reading::default() };
    let permits: Vec<Permit> = (0..6).map(|n| grant(&mut limiter, n, &rate)).collect();
    // All six have landed, and it is told by the one that is answered first.
    answer(&mut limiter, 100, &permits[0], &left(4.0));
    assert_eq!(room(&limiter, 100, &rate), 0);
    let Decision::Wait { until_ms, at_latest_ms, .. } = ask(&mut limiter, 100, &rate) else { panic!("it may be full") };
    assert_eq!(until_ms, 350);
    assert!(matches!(ask(&mut limiter.clone(), at_latest_ms, &rate), Decision::Granted(_)));
    answer(&mut limiter, 110, &permits[5], &left(4.0));
    assert_eq!(room(&limiter, 110, &rate), 0, "four may have landed after it");
    permits[1..5].iter().for_each(|permit| answer(&mut limiter, 120, permit, &left(4.0)));
    assert_eq!(room(&limiter, 120, &rate), 4);
}

#[test]
fn a_sliding_window_believes_the_size_that_is_told() {
    let (mut limiter, rate) = (Limiter::default(), sliding(100, 10_000));
    let permit = grant(&mut limiter, 0, &rate);
    answer(&mut limiter, 10, &permit, &Reading { limit: Some(190), remaining: Some(189.0), ..Reading::default() });
    assert_eq!(room(&limiter, 10, &rate), 189);
    assert_eq!(room(&limiter, 10, &sliding(50, 10_000)), 49, "until the file says something new");
}

#[test]
fn a_sliding_window_keeps_its_pace_under_load() {
    // Twice as many calls as there is room for, each of which takes 20 to 120 ms there and as long back.
    let (calls, per_ms, windows) = (100, 10_000, 10);
    let journeys: Vec<Journey> = (0..2_000).map(|n| (50, 20 + n % 100, 20 + n * 7 % 100, 1, true)).collect();
    let provider = run((calls, per_ms), &journeys, &[]);
    let accepted = provider.log.iter().filter(|(at_ms, _)| at_ms - START_MS < windows * per_ms).count();
    let share = accepted as f64 / (windows as f64 * f64::from(calls));
    assert_eq!(provider.refused, 0);
    assert!(share >= 0.95, "{share}");
}

#[test]
fn the_state_of_a_sliding_window_is_bounded() {
    let (mut limiter, rate) = (Limiter::default(), sliding(1_000_000, 60_000));
    for now_ms in (0..120_000).step_by(37) {
        let permit = grant(&mut limiter, now_ms, &rate);
        if now_ms % 3 == 0 {
            answer(&mut limiter, now_ms, &permit, &Reading::default());
        }
    }
    let snapshot = serde_json::to_value(limiter.snapshot()).unwrap();
    let slices = snapshot.pointer("/budgets/limit/state/sliding/slices").unwrap().as_array().unwrap().len();
    assert!((70..=82).contains(&slices), "{slices}");
}
