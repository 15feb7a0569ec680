//! Counting against one limit for one caller: the plainest way for each rule, exact, with the time as an argument.
//!
//! Times are microseconds since 1970.

use std::collections::VecDeque;

use jiff::civil::Date;

use crate::limit::{Aligned, Rule};

/// Arrivals that a sliding log remembers to tell the most in any span; more than that are told as this many.
const ARRIVALS_MAX: usize = 100_000;

/// What one caller took of one limit.
#[derive(Debug, Clone)]
pub(crate) struct Counter {
    rule: Rule,
    state: State,
}

#[derive(Debug, Clone)]
enum State {
    Window { start_us: u64, taken: u64, arrived: u64 },
    Quota { first: Date, taken: u64, arrived: u64 },
    Sliding { taken: Log, arrived: Log },
    Bucket { level: f64, at_us: u64, refused: u64 },
    Concurrency { in_flight: u64 },
}

/// What was taken when, in a span that slides.
#[derive(Debug, Clone, Default)]
struct Log {
    /// Time and cost.
    entries: VecDeque<(u64, u64)>,
    sum: u64,
}

/// How things stand, before a call is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct View {
    /// Left to take.
    pub(crate) remaining: u64,
    /// When all of it is there again.
    pub(crate) reset_us: u64,
    /// When a call of this cost may be made; now or earlier if it may.
    pub(crate) free_us: u64,
}

/// What a call is to the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Take {
    /// It is let through.
    Granted,
    /// It is refused, and yet counted.
    Charged,
    /// It is refused and takes nothing.
    Refused,
}

/// What stands in the window at hand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Measure {
    /// Taken by calls that were let through, or charged.
    pub(crate) taken: u64,
    /// Asked for by all calls that came, refused ones included.
    pub(crate) arrived: u64,
}

impl Counter {
    pub(crate) fn new(rule: Rule, now_us: u64) -> Self {
        let state = match &rule {
            &Rule::Window { per_us, aligned, .. } => {
                State::Window { start_us: window_start(aligned, per_us, now_us), taken: 0, arrived: 0 }
            }
            Rule::Quota { per, zone, .. } => State::Quota { first: per.of(zone, now_us), taken: 0, arrived: 0 },
            Rule::Sliding { .. } => State::Sliding { taken: Log::default(), arrived: Log::default() },
            &Rule::Bucket { capacity, .. } => State::Bucket { level: capacity as f64, at_us: now_us, refused: 0 },
            Rule::Concurrency { .. } => State::Concurrency { in_flight: 0 },
        };
        Self { rule, state }
    }

    /// How things stand at `now_us` for a call of `cost`.
    pub(crate) fn view(&mut self, now_us: u64, cost: u64) -> View {
        self.advance(now_us);
        let free = |may, then| if may { now_us } else { then };
        match (&self.state, &self.rule) {
            (State::Window { start_us, taken, .. }, &Rule::Window { calls, per_us, .. }) => {
                let reset_us = start_us + per_us;
                View {
                    remaining: calls.saturating_sub(*taken),
                    reset_us,
                    free_us: free(taken + cost <= calls, reset_us),
                }
            }
            (State::Quota { first, taken, .. }, Rule::Quota { calls, per, zone }) => {
                let reset_us = per.end_us(zone, *first);
                View {
                    remaining: calls.saturating_sub(*taken),
                    reset_us,
                    free_us: free(taken + cost <= *calls, reset_us),
                }
            }
            (State::Sliding { taken, .. }, &Rule::Sliding { calls, per_us }) => {
                let reset_us = taken.entries.back().map_or(now_us, |(at, _)| at + per_us);
                let free_us = if taken.sum + cost <= calls { now_us } else { taken.room_us(calls - cost, per_us) };
                View { remaining: calls.saturating_sub(taken.sum), reset_us, free_us }
            }
            (State::Bucket { level, .. }, &Rule::Bucket { capacity, refill_per_us }) => {
                let until = |wanted: f64| now_us + ((wanted - level).max(0.0) / refill_per_us).ceil() as u64;
                View { remaining: *level as u64, reset_us: until(capacity as f64), free_us: until(cost as f64) }
            }
            (State::Concurrency { in_flight }, rule) => {
                let calls = rule.allowed();
                // When a call in flight will end is not known; a second is the least that a header can say.
                let free_us = free(*in_flight < calls, now_us + 1_000_000);
                View { remaining: calls.saturating_sub(*in_flight), reset_us: free_us, free_us }
            }
            // The state was made for the rule.
            _ => View { remaining: 0, reset_us: now_us, free_us: now_us },
        }
    }

    /// Counts a call.
    pub(crate) fn count(&mut self, now_us: u64, cost: u64, take: Take) -> Measure {
        self.advance(now_us);
        let takes = if take == Take::Refused { 0 } else { cost };
        match &mut self.state {
            State::Window { taken, arrived, .. } | State::Quota { taken, arrived, .. } => {
                *taken += takes;
                *arrived += cost;
                Measure { taken: *taken, arrived: *arrived }
            }
            State::Sliding { taken, arrived } => {
                if takes > 0 {
                    taken.push(now_us, cost);
                }
                if arrived.entries.len() < ARRIVALS_MAX {
                    arrived.push(now_us, cost);
                }
                Measure { taken: taken.sum, arrived: arrived.sum }
            }
            State::Bucket { level, refused, .. } => {
                *level = (*level - takes as f64).max(0.0);
                *refused += cost - takes;
                let taken = (self.rule.allowed() as f64 - *level).ceil() as u64;
                Measure { taken, arrived: taken + *refused }
            }
            State::Concurrency { in_flight } => {
                *in_flight += u64::from(take == Take::Granted);
                Measure { taken: *in_flight, arrived: *in_flight + u64::from(take != Take::Granted) }
            }
        }
    }

    /// A call that was let through has ended.
    pub(crate) fn end(&mut self) {
        if let State::Concurrency { in_flight } = &mut self.state {
            *in_flight = in_flight.saturating_sub(1);
        }
    }

    /// Nothing is taken: the counter is as good as new.
    pub(crate) fn is_idle(&mut self, now_us: u64) -> bool {
        self.advance(now_us);
        match &self.state {
            State::Window { taken, .. } | State::Quota { taken, .. } => *taken == 0,
            State::Sliding { taken, .. } => taken.entries.is_empty(),
            State::Bucket { level, .. } => *level >= self.rule.allowed() as f64,
            State::Concurrency { in_flight } => *in_flight == 0,
        }
    }

    /// Lets go of what lies behind.
    fn advance(&mut self, now_us: u64) {
        match (&mut self.state, &self.rule) {
            (State::Window { start_us, taken, arrived }, &Rule::Window { per_us, aligned, .. }) => {
                // A window that starts with the first call has not started before one came.
                let unstarted = aligned == Aligned::FirstCall && *arrived == 0;
                if now_us >= *start_us + per_us || unstarted {
                    (*start_us, *taken, *arrived) = (window_start(aligned, per_us, now_us), 0, 0);
                }
            }
            (State::Quota { first, taken, arrived }, Rule::Quota { per, zone, .. }) => {
                let now = per.of(zone, now_us);
                if *first != now {
                    (*first, *taken, *arrived) = (now, 0, 0);
                }
            }
            (State::Sliding { taken, arrived }, &Rule::Sliding { per_us, .. }) => {
                taken.forget(now_us, per_us);
                arrived.forget(now_us, per_us);
            }
            (State::Bucket { level, at_us, refused }, &Rule::Bucket { capacity, refill_per_us }) => {
                *level = (*level + now_us.saturating_sub(*at_us) as f64 * refill_per_us).min(capacity as f64);
                *at_us = now_us.max(*at_us);
                if *level >= 1.0 {
                    *refused = 0;
                }
            }
            _ => {}
        }
    }
}

fn window_start(aligned: Aligned, per_us: u64, now_us: u64) -> u64 {
    match aligned {
        Aligned::Epoch => now_us / per_us * per_us,
        Aligned::FirstCall => now_us,
    }
}

impl Log {
    fn push(&mut self, at_us: u64, cost: u64) {
        self.entries.push_back((at_us, cost));
        self.sum += cost;
    }

    /// Lets go of what is as old as the span is long.
    fn forget(&mut self, now_us: u64, per_us: u64) {
        while let Some((_, cost)) = self.entries.pop_front_if(|(at, _)| *at + per_us <= now_us) {
            self.sum -= cost;
        }
    }

    /// When no more than `left` will be taken.
    fn room_us(&self, left: u64, per_us: u64) -> u64 {
        let mut sum = self.sum;
        let last = self.entries.iter().find(|(_, cost)| {
            sum -= cost;
            sum <= left
        });
        last.map_or(0, |(at, _)| at + per_us)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quota::{Each, Quota};

    const SECOND: u64 = 1_000_000;

    /// Makes a call of cost 1; true if it was let through.
    fn call(counter: &mut Counter, now_us: u64) -> bool {
        let may = counter.view(now_us, 1).free_us <= now_us;
        counter.count(now_us, 1, if may { Take::Granted } else { Take::Refused });
        may
    }

    #[test]
    fn a_window_from_the_first_call_begins_when_that_call_comes() {
        let rule = Rule::Window { calls: 2, per_us: 10 * SECOND, aligned: Aligned::FirstCall };
        let mut counter = Counter::new(rule, 0);
        let times = [7, 8, 16, 17, 18, 19].map(|s| s * SECOND);
        assert_eq!(times.map(|at| call(&mut counter, at)), [true, true, false, true, true, false]);
        assert_eq!(counter.view(20 * SECOND, 1), View { remaining: 0, reset_us: 27 * SECOND, free_us: 27 * SECOND });
    }

    #[test]
    fn a_window_aligned_to_the_epoch_begins_at_a_multiple_of_its_length() {
        let rule = Rule::Window { calls: 2, per_us: 10 * SECOND, aligned: Aligned::Epoch };
        let mut counter = Counter::new(rule, 0);
        let times = [7, 8, 9, 10, 11, 12].map(|s| s * SECOND);
        assert_eq!(times.map(|at| call(&mut counter, at)), [true, true, false, true, true, false]);
    }

    #[test]
    fn a_quota_ends_at_midnight_there() {
        let quota = Quota { calls: 2, per: Each::Day, zone: "America/Los_Angeles".to_owned() };
        let at_us = |time: &str| time.parse::<jiff::Timestamp>().unwrap().as_microsecond() as u64;
        let rule = Rule::Quota { calls: 2, per: quota.per, zone: quota.zone().unwrap() };
        let mut counter = Counter::new(rule, 0);
        // A day of 23 hours.
        let times = ["2026-03-08T08:00:00Z", "2026-03-09T06:00:00Z", "2026-03-09T06:59:59Z", "2026-03-09T07:00:00Z"];
        assert_eq!(times.map(|time| call(&mut counter, at_us(time))), [true, true, false, true]);
        assert_eq!(counter.view(at_us(times[3]), 1).reset_us, at_us("2026-03-10T07:00:00Z"));
    }

    #[test]
    fn a_charged_refusal_takes_of_a_sliding_span() {
        let mut counter = Counter::new(Rule::Sliding { calls: 2, per_us: 10 * SECOND }, 0);
        counter.count(SECOND, 1, Take::Granted);
        counter.count(2 * SECOND, 1, Take::Granted);
        assert_eq!(counter.view(3 * SECOND, 1).free_us, 11 * SECOND);
        counter.count(3 * SECOND, 1, Take::Charged);
        assert_eq!(counter.view(3 * SECOND, 1).free_us, 12 * SECOND);
    }

    #[test]
    fn a_bucket_gives_what_it_holds_and_then_what_flows_in() {
        let mut counter = Counter::new(Rule::Bucket { capacity: 3, refill_per_us: 2.0 / SECOND as f64 }, 0);
        assert_eq!([0; 4].map(|at| call(&mut counter, at)), [true, true, true, false]);
        assert_eq!(counter.view(0, 1).free_us, SECOND / 2);
        assert!(call(&mut counter, SECOND / 2));
        assert_eq!(counter.view(SECOND / 2, 1).reset_us, 2 * SECOND);
    }

    #[test]
    fn calls_at_once_are_free_again_when_they_end() {
        let mut counter = Counter::new(Rule::Concurrency { calls: 1 }, 0);
        assert!(call(&mut counter, 0));
        assert!(!call(&mut counter, 0));
        counter.end();
        assert!(call(&mut counter, 0));
    }

    fn rules() -> impl Strategy<Value = Rule> {
        let aligned = prop_oneof![Just(Aligned::Epoch), Just(Aligned::FirstCall)];
        prop_oneof![
            (1..6_u64, 1..50_u64, aligned).prop_map(|(calls, per_us, aligned)| Rule::Window { calls, per_us, aligned }),
            (1..6_u64, 1..50_u64).prop_map(|(calls, per_us)| Rule::Sliding { calls, per_us }),
            (1..6_u64, 0.05..2.0).prop_map(|(capacity, refill_per_us)| Rule::Bucket { capacity, refill_per_us }),
        ]
    }

    proptest! {
        /// By a plain recount of all calls let through.
        #[test]
        fn no_more_is_let_through_than_the_rule_says(rule in rules(), gaps in prop::collection::vec(0..20_u64, 1..80)) {
            let mut counter = Counter::new(rule.clone(), 1000);
            let mut now = 1000;
            let mut granted = Vec::new();
            for gap in gaps {
                now += gap;
                if call(&mut counter, now) {
                    granted.push(now);
                }
            }
            for (i, from) in granted.iter().enumerate() {
                match rule.clone() {
                    Rule::Window { calls, per_us, aligned: Aligned::Epoch } => {
                        let window = granted.iter().filter(|at| *at / per_us == from / per_us).count();
                        prop_assert!(window as u64 <= calls);
                    }
                    Rule::Window { calls, per_us, aligned: Aligned::FirstCall } => {
                        // Any span of a window's length touches at most two windows.
                        prop_assert!(granted[i..].iter().filter(|at| **at < from + per_us).count() as u64 <= 2 * calls);
                    }
                    Rule::Sliding { calls, per_us } => {
                        prop_assert!(granted[i..].iter().filter(|at| **at < from + per_us).count() as u64 <= calls);
                    }
                    Rule::Bucket { capacity, refill_per_us } => {
                        for (j, until) in granted.iter().enumerate().skip(i) {
                            let most = capacity as f64 + (until - from) as f64 * refill_per_us;
                            prop_assert!((j - i + 1) as f64 <= most + 1e-6);
                        }
                    }
                    Rule::Quota { .. } | Rule::Concurrency { .. } => {}
                }
            }
        }

        /// Whoever comes back when told is let in, and a moment earlier is not.
        #[test]
        fn the_time_a_refusal_names_is_exact(rule in rules(), gaps in prop::collection::vec(0..20_u64, 1..80)) {
            let mut counter = Counter::new(rule.clone(), 1000);
            let mut now = 1000;
            for gap in gaps {
                now += gap;
                if !call(&mut counter, now) {
                    let free = counter.view(now, 1).free_us;
                    prop_assert!(free > now);
                    prop_assert!(counter.clone().view(free, 1).free_us <= free);
                    prop_assert!(counter.clone().view(free - 1, 1).free_us >= free);
                }
            }
        }
    }
}
