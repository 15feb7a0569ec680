//! The limiter against a provider that counts calls as they land, and speaks of its limit in headers.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::headers::{self, HeaderNames};

const START_MS: i64 = 1_700_000_000_000;

/// How the provider writes the reset, if it tells anything.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Style {
    Silent,
    EpochS,
    /// Rounded up.
    NextS,
    DeltaS,
    Iso,
}

/// A provider with one fixed-window limit.
#[derive(Debug, Clone)]
struct Provider {
    calls: u32,
    per_ms: i64,
    aligned: Aligned,
    style: Style,
    /// By how much its clock is ahead of ours.
    skew_ms: i64,
    end_ms: i64,
    used: u32,
    accepted: u32,
    refused: u32,
}

impl Provider {
    fn new(calls: u32, per_ms: i64, aligned: Aligned, style: Style) -> Self {
        Self { calls, per_ms, aligned, style, skew_ms: 0, end_ms: 0, used: 0, accepted: 0, refused: 0 }
    }

    fn rate(&self) -> Rate {
        window(self.calls, self.per_ms as u64, self.aligned)
    }

    /// A call lands: the reading that its answer's headers give when it arrives at `answered_ms`.
    fn land(&mut self, now_ms: i64) -> impl Fn(i64) -> Reading + use<> {
        if now_ms >= self.end_ms {
            self.used = 0;
            self.end_ms = match self.aligned {
                Aligned::Epoch => (now_ms / self.per_ms + 1) * self.per_ms,
                _ => now_ms + self.per_ms,
            };
        }
        let counter = if self.used < self.calls { &mut self.accepted } else { &mut self.refused };
        *counter += 1;
        self.used = (self.used + 1).min(self.calls);

        let reset = match self.style {
            Style::Silent => None,
            Style::EpochS => Some(((self.end_ms + self.skew_ms) / 1_000).to_string()),
            Style::NextS => Some((self.end_ms + self.skew_ms + 999).div_euclid(1_000).to_string()),
            Style::DeltaS => Some(((self.end_ms - now_ms) / 1_000).to_string()),
            Style::Iso => {
                jiff::Timestamp::from_millisecond(self.end_ms + self.skew_ms).ok().map(|end| format!("{end:.3}"))
            }
        };
        let (limit, remaining) = (self.calls.to_string(), (self.calls - self.used).to_string());
        let theirs = std::time::UNIX_EPOCH + Duration::from_millis((now_ms + self.skew_ms).unsigned_abs());
        let date = httpdate::fmt_http_date(theirs);
        move |answered_ms| {
            let header = |name: &str| match (name, &reset) {
                (_, None) => None,
                ("Date", _) => Some(date.as_str()),
                ("X-RateLimit-Limit", _) => Some(limit.as_str()),
                ("X-RateLimit-Remaining", _) => Some(remaining.as_str()),
                ("X-RateLimit-Reset", Some(reset)) => Some(reset.as_str()),
                _ => None,
            };
            headers::read(&HeaderNames::standard(), answered_ms, &header)
        }
    }
}

/// One call, from its permit to its report.
#[derive(Debug, Clone)]
struct Journey {
    /// From the last call's question to this one's, in ms.
    after_ms: i64,
    /// How long it takes to land, in thousandths of what a call may take: a quarter of a window, at most 30 s.
    there: i64,
    /// How long the answer takes from there, in the same unit.
    back: i64,
    fate: Fate,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Answered,
    /// Answered, but not by whoever counts.
    Bare,
    /// It lands; the answer is lost.
    Lost,
    /// It never lands.
    Dropped,
    /// It is given up before it is sent.
    Unsent,
}

fn journeys() -> impl Strategy<Value = Vec<Journey>> {
    let after_ms = prop_oneof![3 => Just(0), 2 => 0..50_i64, 1 => 0..9_000_i64, 1 => 0..70_000_i64];
    let fate = prop_oneof![
        6 => Just(Fate::Answered),
        1 => Just(Fate::Bare),
        1 => Just(Fate::Lost),
        1 => Just(Fate::Dropped),
        1 => Just(Fate::Unsent)
    ];
    let journey = (after_ms, 0..1_000_i64, 0..1_000_i64, fate);
    vec(journey.prop_map(|(after_ms, there, back, fate)| Journey { after_ms, there, back, fate }), 1..150)
}

enum Event {
    Ask(Journey),
    Land(Journey, Permit),
    Report(Permit, Fate, Reading),
}

/// Makes all calls, those that must wait again and again until they are granted or `end_ms` has come.
fn run(provider: &mut Provider, rate: &Rate, journeys: &[Journey], end_ms: i64) -> Limiter {
    let mut limiter = Limiter::default();
    let mut events = BTreeMap::new();
    let mut sequence = 0;
    let mut at = |events: &mut BTreeMap<(i64, usize), Event>, ms: i64, event| {
        sequence += 1;
        events.insert((ms, sequence), event);
    };
    let mut asks_ms = START_MS;
    for journey in journeys {
        asks_ms += journey.after_ms;
        at(&mut events, asks_ms, Event::Ask(journey.clone()));
    }
    let most_ms = (provider.per_ms / 4 - 1).min(29_999);
    let part_ms = |parts: i64| parts * most_ms / 1_000;
    while let Some(((now_ms, _), event)) = events.pop_first() {
        match event {
            _ if now_ms > end_ms => break,
            Event::Ask(journey) => match ask(&mut limiter, now_ms, rate) {
                Decision::Granted(permit) => {
                    at(&mut events, now_ms + part_ms(journey.there), Event::Land(journey, permit));
                }
                Decision::Wait { until_ms, .. } => at(&mut events, until_ms, Event::Ask(journey)),
            },
            Event::Land(journey, permit) => {
                let answered_ms = now_ms + part_ms(journey.back);
                let reading = match journey.fate {
                    Fate::Answered => provider.land(now_ms)(answered_ms),
                    Fate::Bare | Fate::Lost => {
                        let _ = provider.land(now_ms);
                        Reading::default()
                    }
                    Fate::Dropped | Fate::Unsent => Reading::default(),
                };
                at(&mut events, answered_ms, Event::Report(permit, journey.fate, reading));
            }
            Event::Report(permit, fate, reading) => match fate {
                Fate::Answered | Fate::Bare => answer(&mut limiter, now_ms, &permit, &reading),
                Fate::Lost | Fate::Dropped => report(&mut limiter, now_ms, &permit, true, None),
                Fate::Unsent => report(&mut limiter, now_ms, &permit, false, None),
            },
        }
    }
    limiter
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn a_provider_never_refuses_whenever_calls_land_and_in_whatever_order_answers_come(
        journeys in journeys(),
        calls in 1..12_u32,
        per_s in 4..120_i64,
        aligned in prop_oneof![Just(Aligned::FirstCall), Just(Aligned::Epoch)],
        style in prop_oneof![Just(Style::Silent), Just(Style::EpochS), Just(Style::NextS), Just(Style::DeltaS), Just(Style::Iso)],
    ) {
        let mut provider = Provider::new(calls, per_s * 1_000, aligned, style);
        let rate = provider.rate();
        run(&mut provider, &rate, &journeys, i64::MAX);
        prop_assert_eq!(provider.refused, 0);
        let lands = |journey: &&Journey| !matches!(journey.fate, Fate::Dropped | Fate::Unsent);
        prop_assert_eq!(provider.accepted as usize, journeys.iter().filter(lands).count());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn a_provider_whose_clock_is_wrong_never_refuses(
        journeys in journeys(),
        calls in 1..12_u32,
        per_s in 4..120_i64,
        // More than a call may take.
        skew_ms in prop_oneof![-1_800_000..-70_000_i64, 70_000..1_800_000_i64],
        style in prop_oneof![Just(Style::EpochS), Just(Style::NextS), Just(Style::DeltaS), Just(Style::Iso)],
    ) {
        let mut provider = Provider { skew_ms, ..Provider::new(calls, per_s * 1_000, Aligned::FirstCall, style) };
        let rate = provider.rate();
        run(&mut provider, &rate, &journeys, i64::MAX);
        prop_assert_eq!(provider.refused, 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]
    #[test]
    fn a_provider_whose_clock_is_a_little_wrong_never_refuses(
        journeys in journeys(),
        calls in 1..12_u32,
        per_s in 4..120_i64,
        skew_ms in -2_000..2_000_i64,
        style in prop_oneof![Just(Style::Silent), Just(Style::EpochS), Just(Style::NextS), Just(Style::DeltaS), Just(Style::Iso)],
    ) {
        let mut provider = Provider { skew_ms, ..Provider::new(calls, per_s * 1_000, Aligned::FirstCall, style) };
        let rate = provider.rate();
        run(&mut provider, &rate, &journeys, i64::MAX);
        prop_assert_eq!(provider.refused, 0);
    }
}

#[test]
fn a_window_is_used_up_under_load_though_the_provider_s_clock_is_wrong() {
    let journey = |there, back| Journey { after_ms: 0, there, back, fate: Fate::Answered };
    let journeys: Vec<Journey> = (0..2_000).map(|n| journey(3 + n % 60, 3 + n * 7 % 67)).collect();
    for skew_ms in [-600_000, -30_000, 30_000, 600_000] {
        for style in [Style::EpochS, Style::Iso] {
            let mut provider = Provider { skew_ms, ..Provider::new(100, 60_000, Aligned::FirstCall, style) };
            let rate = provider.rate();
            run(&mut provider, &rate, &journeys, START_MS + 10 * 60_000);
            let used = f64::from(provider.accepted) / (10.0 * 100.0);
            assert_eq!(provider.refused, 0, "{skew_ms} {style:?}");
            assert!(used > 0.9, "{skew_ms} {style:?}: {used}");
        }
    }
}

#[test]
fn a_window_is_used_up_under_load() {
    // A call takes from 0.1 to 2 seconds; fifty calls wait at any time.
    let journey = |there, back| Journey { after_ms: 0, there, back, fate: Fate::Answered };
    let journeys: Vec<Journey> = (0..5_000).map(|n| journey(3 + n % 60, 3 + n * 7 % 67)).collect();
    for aligned in [Aligned::FirstCall, Aligned::Epoch] {
        for style in [Style::Silent, Style::EpochS, Style::NextS, Style::DeltaS, Style::Iso] {
            let mut provider = Provider::new(100, 60_000, aligned, style);
            let rate = provider.rate();
            run(&mut provider, &rate, &journeys, START_MS + 20 * 60_000);
            let used = f64::from(provider.accepted) / (20.0 * 100.0);
            assert_eq!(provider.refused, 0, "{aligned:?} {style:?}");
            assert!(used > 0.9, "{aligned:?} {style:?}: {used}");
        }
    }
}

/// Whose resets in whole seconds are up to a whole window late.
#[test]
fn a_window_of_seconds_is_used_up_however_its_end_is_rounded() {
    let journey = |there, back| Journey { after_ms: 0, there, back, fate: Fate::Answered };
    let journeys: Vec<Journey> = (0..1_200).map(|n| journey(3 + n % 20, 3 + n * 7 % 23)).collect();
    for (per_ms, least) in [(1_000, 0.9), (2_000, 0.93), (10_000, 0.93)] {
        for style in [Style::Silent, Style::EpochS, Style::NextS, Style::DeltaS, Style::Iso] {
            let mut provider = Provider::new(100, per_ms, Aligned::FirstCall, style);
            let rate = provider.rate();
            run(&mut provider, &rate, &journeys, START_MS + 10 * per_ms);
            let used = f64::from(provider.accepted) / (10.0 * 100.0);
            assert_eq!(provider.refused, 0, "{per_ms} {style:?}");
            assert!(used > least, "{per_ms} {style:?}: {used}");
        }
    }
}
