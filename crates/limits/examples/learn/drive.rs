//! Callers who always want more, a hidden limiter, and a pace between them, in simulated time.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use tidegate_limits::learn::{Learn, Learner, Outcome};

use super::chance::Chance;
use super::hidden::Hidden;

/// Spread of round trips around their median (of the logarithm).
const SPREAD: f64 = 0.25;

/// What lets calls go.
pub(crate) trait Pacer {
    /// Whether a call may go; else when to come back.
    fn permit(&mut self, now_ms: f64) -> Result<(), f64>;
    fn report(&mut self, accepted: bool, sent_ms: f64, now_ms: f64);
}

/// What is tested.
impl Pacer for Learner {
    fn permit(&mut self, now_ms: f64) -> Result<(), f64> {
        Self::permit(self, now_ms)
    }

    fn report(&mut self, accepted: bool, sent_ms: f64, now_ms: f64) {
        let outcome = if accepted { Outcome::Accepted } else { Outcome::Refused { until_ms: None } };
        Self::report(self, outcome, 1.0, sent_ms, now_ms);
    }
}

/// A learner with the defaults.
pub(crate) fn learner() -> Learner {
    Learner::new(&Learn::default())
}

/// So many calls each second, for comparison: what is possible for those who know the limit.
pub(crate) struct Steady {
    pub(crate) every_ms: f64,
    pub(crate) due_ms: f64,
}

impl Pacer for Steady {
    fn permit(&mut self, now_ms: f64) -> Result<(), f64> {
        if now_ms < self.due_ms {
            return Err(self.due_ms);
        }
        self.due_ms = now_ms.max(self.due_ms) + self.every_ms;
        Ok(())
    }

    fn report(&mut self, _: bool, _: f64, _: f64) {}
}

#[derive(Debug, Clone, Copy)]
enum What {
    Arrives { sent_ms: f64, back_ms: f64 },
    Answered { sent_ms: f64, accepted: bool },
}

#[derive(Debug, Clone, Copy)]
struct Event {
    at_ms: f64,
    what: What,
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Event {}

impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at_ms.total_cmp(&self.at_ms)
    }
}

/// What the provider counted.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Count {
    pub(crate) accepted: u64,
    pub(crate) refused: u64,
}

impl Count {
    pub(crate) fn refused_share(self) -> f64 {
        self.refused as f64 / ((self.accepted + self.refused) as f64).max(1.0)
    }

    pub(crate) fn since(self, earlier: Self) -> Self {
        Self { accepted: self.accepted - earlier.accepted, refused: self.refused - earlier.refused }
    }
}

/// A run that goes on.
pub(crate) struct Drive<P> {
    pub(crate) pacer: P,
    pub(crate) hidden: Hidden,
    pub(crate) count: Count,
    pub(crate) now_ms: f64,
    chance: Chance,
    answer_ms: f64,
    events: BinaryHeap<Event>,
    ask_ms: f64,
}

impl<P: Pacer> Drive<P> {
    pub(crate) fn new(pacer: P, hidden: Hidden, answer_ms: f64, chance: Chance) -> Self {
        let now_ms = 1e6;
        let (count, events) = (Count::default(), BinaryHeap::new());
        Self { pacer, hidden, count, now_ms, chance, answer_ms, events, ask_ms: now_ms }
    }

    /// Nobody asks for so long.
    pub(crate) fn rest(&mut self, ms: f64) {
        self.ask_ms = self.now_ms + ms;
        self.run(ms);
    }

    /// Goes on for so long.
    pub(crate) fn run(&mut self, ms: f64) {
        let end_ms = self.now_ms + ms;
        loop {
            let event_ms = self.events.peek().map_or(f64::MAX, |event| event.at_ms);
            let next_ms = event_ms.min(self.ask_ms);
            if next_ms > end_ms {
                break;
            }
            self.now_ms = next_ms;
            if event_ms <= self.ask_ms {
                let Some(event) = self.events.pop() else { break };
                self.happen(event.what);
            } else {
                self.ask();
            }
        }
        self.now_ms = end_ms;
    }

    fn ask(&mut self) {
        let now_ms = self.now_ms;
        match self.pacer.permit(now_ms) {
            Ok(()) => {
                let took_ms = self.chance.log_normal(self.answer_ms, SPREAD);
                let what = What::Arrives { sent_ms: now_ms, back_ms: took_ms / 2.0 };
                self.events.push(Event { at_ms: now_ms + took_ms / 2.0, what });
            }
            Err(until_ms) => self.ask_ms = until_ms.max(now_ms + 0.01),
        }
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Arrives { sent_ms, back_ms } => {
                let accepted = self.hidden.accepts(self.now_ms);
                if accepted {
                    self.count.accepted += 1;
                } else {
                    self.count.refused += 1;
                }
                self.events.push(Event { at_ms: self.now_ms + back_ms, what: What::Answered { sent_ms, accepted } });
            }
            What::Answered { sent_ms, accepted } => {
                self.pacer.report(accepted, sent_ms, self.now_ms);
            }
        }
    }
}
