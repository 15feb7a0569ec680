//! The limiter against a provider with a leaky bucket that counts calls as they land.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const START_MS: i64 = 1_700_000_000_000;

/// One call: from the last one's question to this one's, to its landing, and from there to its answer, in ms.
type Journey = (i64, i64, i64);

enum Event {
    Ask(Journey),
    Land(Journey, Permit),
    Report(Permit),
}

/// What a provider's bucket saw.
#[derive(Debug, Default)]
struct Seen {
    accepted: u32,
    refused: u32,
}

/// Makes all calls, those that must wait again and again until they are granted or `end_ms` has come.
fn run(calls: u32, every_ms: i64, journeys: &[Journey], end_ms: i64) -> Seen {
    let rate = bucket(calls, 1e3 / every_ms as f64);
    let (mut limiter, mut seen) = (Limiter::default(), Seen::default());
    let (mut level_ms, mut then_ms) = (i64::from(calls) * every_ms, START_MS);
    let mut events = BTreeMap::new();
    let mut sequence = 0;
    let mut at = |events: &mut BTreeMap<(i64, usize), Event>, ms: i64, event| {
        sequence += 1;
        events.insert((ms, sequence), event);
    };
    let mut asks_ms = START_MS;
    for journey in journeys {
        asks_ms += journey.0;
        at(&mut events, asks_ms, Event::Ask(*journey));
    }
    while let Some(((now_ms, _), event)) = events.pop_first() {
        match event {
            _ if now_ms > end_ms => break,
            Event::Ask(journey) => match ask(&mut limiter, now_ms, &rate) {
                Decision::Granted(permit) => at(&mut events, now_ms + journey.1, Event::Land(journey, permit)),
                Decision::Wait { until_ms, at_latest_ms, .. } => {
                    assert!(now_ms < until_ms && until_ms <= at_latest_ms, "{now_ms} {until_ms} {at_latest_ms}");
                    let mut silent = limiter.clone();
                    assert!(matches!(ask(&mut silent, at_latest_ms, &rate), Decision::Granted(_)), "not at the latest");
                    at(&mut events, until_ms, Event::Ask(journey));
                }
            },
            Event::Land(journey, permit) => {
                level_ms = (level_ms + now_ms - then_ms).min(i64::from(calls) * every_ms);
                then_ms = now_ms;
                if level_ms >= every_ms {
                    level_ms -= every_ms;
                    seen.accepted += 1;
                } else {
                    seen.refused += 1;
                }
                at(&mut events, now_ms + journey.2, Event::Report(permit));
            }
            Event::Report(permit) => answer(&mut limiter, now_ms, &permit, &Reading::default()),
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn a_bucket_never_refuses_whenever_calls_land(
        calls in 1..20_u32,
        every_ms in 1..500_i64,
        journeys in vec((0..300_i64, 0..1_000_i64, 0..1_000_i64), 1..150),
    ) {
        // A call lands within a quarter of the time that the bucket takes to fill.
        let most_ms = i64::from(calls) * every_ms / 4;
        let journeys: Vec<Journey> =
            journeys.iter().map(|(after, there, back)| (*after, there * most_ms / 1_000, *back)).collect();
        let seen = run(calls, every_ms, &journeys, i64::MAX);
        prop_assert_eq!((seen.refused, seen.accepted as usize), (0, journeys.len()));
    }
}

#[test]
fn a_bucket_keeps_its_pace_under_load() {
    // Twice as many calls as there is room for in ten seconds, each of which takes 20 to 120 ms there and as long back. All
    // of it is used (what is under way in the end is not counted), but for about a fifth where one call is all that fits;
    // nothing is refused but calls that land later than a quarter of the time in which the bucket fills.
    for (calls, every_ms, least, most_refused) in
        [(100, 20, 0.97, 0), (20, 25, 0.97, 0), (4, 100, 0.95, 5), (1, 100, 0.77, 5)]
    {
        let journeys: Vec<Journey> = (0..1_000).map(|n| (every_ms / 2, 20 + n % 100, 20 + n * 7 % 100)).collect();
        let seen = run(calls, every_ms, &journeys, START_MS + 10_000);
        let share = f64::from(seen.accepted) / (f64::from(calls) + 10_000.0 / every_ms as f64);
        assert!(share >= least, "{calls} calls, one each {every_ms} ms: {share}, {seen:?}");
        assert!(seen.refused <= most_refused, "{calls} calls, one each {every_ms} ms: {seen:?}");
    }
}
