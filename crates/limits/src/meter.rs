//! What every kind of limit can do, and which kind a rate asks for.

use serde::{Deserialize, Serialize};

use crate::breaker::Circuit;
use crate::bucket::Bucket;
use crate::calendar::Calendar;
use crate::concurrency::{Concurrency, whole_ms};
use crate::headers::Reading;
use crate::in_flight::{Held, InFlight};
use crate::learn::{Learner, Outcome};
use crate::limiter::{Down, Learnt, LearntSlots};
use crate::rate::Rate;
use crate::sliding::Sliding;
use crate::slots::{Slots, Went};
use crate::window::Window;

/// A granted call reaches the provider within this time, or never: deadlines on connecting and on the request's
/// headers are shorter. A call in flight for longer is part of what the provider's headers count.
pub(crate) const LANDS_WITHIN_MS: i64 = 30_000;
/// How long an unreported call can still be refunded; afterwards nobody will report it.
pub(crate) const HELD_MS: i64 = 300_000;
/// After this time without a call, a budget that is full again is forgotten, with what it was told.
pub(crate) const IDLE_MS: i64 = 600_000;

/// Before all times, Unix ms.
pub(crate) fn never() -> i64 {
    i64::MIN
}

/// Counts what one limit has granted. All times are Unix ms; `cost` never exceeds [`Meter::size`].
pub(crate) trait Meter {
    /// How much fits; none when nobody ever said.
    fn size(&self) -> Option<u64>;

    /// Lets time pass: ended windows make room for the next.
    fn advance(&mut self, _in_flight: &InFlight, _now_ms: i64) {}

    /// When `cost` has room. Exact, and never earlier than `now_ms`.
    fn ready(&self, in_flight: &InFlight, cost: u64, now_ms: i64) -> Ready;

    /// When `cost` has room behind so much that goes before it: exact as long as time alone makes room, else the next time at
    /// which there is any. None where there is no line: it would keep slots from being used.
    fn behind(&self, _in_flight: &InFlight, _ahead: u64, _cost: u64, _now_ms: i64) -> Option<i64> {
        None
    }

    /// How long one unit takes where all that fits is spread evenly, in µs; none where nobody knows, and of what has a pace.
    fn even_us(&self) -> Option<i64> {
        None
    }

    /// When the window ends that is open, or the period of a quota; none of what has no such edges.
    fn ends_ms(&self) -> Option<i64> {
        None
    }

    /// How many calls there may be at a time now; none of what counts otherwise.
    fn at_a_time(&self) -> Option<u64> {
        None
    }

    /// Whether calls may be granted together: not where each one's answer decides over the next.
    fn leases(&self) -> bool {
        false
    }

    /// How long after its grant a call may be sent: half of what it may take to land.
    fn use_within_ms(&self) -> i64 {
        LANDS_WITHIN_MS / 2
    }

    /// Charges `cost`; `in_flight` is without this call yet.
    fn spend(&mut self, _in_flight: &InFlight, _cost: u64, _now_ms: i64) {}

    /// Gives back what a call cost that was never sent.
    fn refund(&mut self, _held: Held, _now_ms: i64) {}

    /// An answer told that the call, granted for `held.cost`, cost `cost`.
    fn settle(&mut self, _held: Held, _cost: u64) {}

    /// A call that was sent is over: the provider has counted it by now, if ever, and surely when it was answered.
    /// `in_flight` is without it.
    fn landed(&mut self, _in_flight: &InFlight, _held: Held, _answered: bool, _now_ms: i64) {}

    /// A call that was sent is over, and no answer to it told what is used.
    fn untold(&mut self, _held: Held, _now_ms: i64) {}

    /// What came of a call, where a limit is learnt from that.
    fn learn(&mut self, _held: Held, _outcome: Outcome, _now_ms: i64) {}

    /// What came of a call, where slots are learnt from that; `in_flight` is without it.
    fn went(&mut self, _in_flight: &InFlight, _held: Held, _went: Went, _now_ms: i64) {}

    /// Believes what an answer told; `in_flight` is without that call.
    fn hear(&mut self, in_flight: &InFlight, heard: &Heard<'_>);

    /// What people see.
    fn gauge(&self, in_flight: &InFlight, now_ms: i64) -> Gauge;

    /// What was learnt, if anything is.
    fn learnt(&self) -> Option<Learnt> {
        None
    }

    /// What was learnt of how many calls at a time there may be, if that is.
    fn learnt_slots(&self) -> Option<LearntSlots> {
        None
    }

    /// Since when the provider is ill, where it was found to be.
    fn down(&self) -> Option<Down> {
        None
    }

    /// After this time without a call the budget is forgotten, once it is full.
    fn kept_ms(&self) -> i64 {
        IDLE_MS
    }

    /// After this time without a report a call is forgotten.
    fn held_ms(&self) -> i64 {
        HELD_MS
    }
}

/// When a limit has room.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ready {
    /// If the calls in flight are reported soon.
    pub(crate) until_ms: i64,
    /// If nothing is reported.
    pub(crate) at_latest_ms: i64,
}

impl Ready {
    pub(crate) fn at(ms: i64) -> Self {
        Self { until_ms: ms, at_latest_ms: ms }
    }

    /// When one of both has room.
    pub(crate) fn or(self, other: Self) -> Self {
        Self { until_ms: self.until_ms.min(other.until_ms), at_latest_ms: self.at_latest_ms.min(other.at_latest_ms) }
    }

    /// When both have room.
    pub(crate) fn and(self, other: Self) -> Self {
        Self { until_ms: self.until_ms.max(other.until_ms), at_latest_ms: self.at_latest_ms.max(other.at_latest_ms) }
    }
}

/// An answer's reading, with what is known of the call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard<'a> {
    pub(crate) reading: &'a Reading,
    pub(crate) cost: u64,
    /// From the permit to the report.
    pub(crate) took_ms: i64,
    /// Whether no other call was in flight during this one: then the reading is the whole truth.
    pub(crate) alone: bool,
    pub(crate) now_ms: i64,
}

impl Heard<'_> {
    /// When the call was granted. What was granted long enough before had landed by the time of the answer.
    pub(crate) fn granted_ms(&self) -> i64 {
        self.now_ms - self.took_ms
    }

    /// The size that was told, where it was `known` before. `read_ms` is when the last call was granted of those whose answers told
    /// sizes or what remains: one that was not granted after it comes late, and so raises nothing.
    pub(crate) fn size(&self, told: u64, known: Option<u64>, read_ms: i64) -> u64 {
        let is_late = self.granted_ms() <= read_ms;
        known.filter(|&known| is_late && known < told).unwrap_or(told).max(1)
    }

    /// When the last call was granted of those whose answers told sizes or what remains, this one's with them.
    pub(crate) fn read_ms(&self, before_ms: i64) -> i64 {
        let tells = self.reading.limit.is_some() || self.reading.remaining.is_some();
        if tells { self.granted_ms().max(before_ms) } else { before_ms }
    }

    /// What remained when the provider answered.
    pub(crate) fn remaining(&self) -> Option<u64> {
        self.reading.remaining.map(|remaining| remaining.max(0.0).floor() as u64)
    }

    /// What was used when the provider answered, of a budget of `size`.
    pub(crate) fn used(&self, size: Option<u64>) -> Option<u64> {
        Some(size?.saturating_sub(self.remaining()?))
    }
}

/// A budget at a glance.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gauge {
    pub(crate) used: u64,
    pub(crate) resets_at_ms: Option<i64>,
}

/// The meter of one budget.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Window(Window),
    Sliding(Sliding),
    Bucket(Bucket),
    Concurrency(Concurrency),
    Slots(Slots),
    Learn(Box<Learner>),
    Breaker(Circuit),
}

impl State {
    pub(crate) fn new(rate: &Rate) -> Self {
        match *rate {
            Rate::Window { calls, per, aligned } => Self::Window(Window::new(calls, per, aligned)),
            Rate::Quota { calls, per, ref zone } => {
                Self::Window(Window::by_calendar(calls, Calendar { per, zone: zone.clone() }))
            }
            Rate::Sliding { calls, per } => Self::Sliding(Sliding::new(calls, per)),
            Rate::Bucket { calls, restore_per_s } => Self::Bucket(Bucket::new(calls, restore_per_s)),
            Rate::Concurrency { learn: Some(learn), lease, .. } => Self::Slots(Slots::new(learn, whole_ms(lease))),
            Rate::Concurrency { calls, learn: None, lease } => Self::Concurrency(Concurrency::new(calls, lease)),
            Rate::Learn(ref learn) => Self::Learn(Box::new(Learner::new(learn))),
            Rate::Breaker(breaker) => Self::Breaker(Circuit::new(breaker)),
            Rate::Told {} => Self::Window(Window::told()),
        }
    }

    /// The meter of a rate, of which so much is used.
    pub(crate) fn charged(rate: &Rate, used: u64, now_ms: i64) -> Self {
        let mut state = Self::new(rate);
        let size = state.meter().size().filter(|_| state.counts()).unwrap_or(0);
        if used.min(size) > 0 {
            state.meter_mut().spend(&InFlight::default(), used.min(size), now_ms);
        }
        state
    }

    /// Whether it counts what is granted: others learn, or what is in flight is all that counts.
    pub(crate) fn counts(&self) -> bool {
        matches!(self, Self::Window(_) | Self::Sliding(_) | Self::Bucket(_))
    }

    pub(crate) fn is_of_kind(&self, other: &Self) -> bool {
        std::mem::discriminant(self) == std::mem::discriminant(other)
    }

    /// The same count under another rate of its kind.
    pub(crate) fn under(&self, rate: &Rate) -> Self {
        match (self, Self::new(rate)) {
            (Self::Window(old), Self::Window(new)) => Self::Window(new.counting_on(old)),
            (Self::Sliding(old), Self::Sliding(new)) => Self::Sliding(new.counting_on(old)),
            (Self::Bucket(old), Self::Bucket(new)) => Self::Bucket(new.counting_on(old)),
            (Self::Slots(old), Self::Slots(new)) => Self::Slots(old.under(&new)),
            (Self::Learn(old), Self::Learn(new)) => Self::Learn(Box::new(old.as_ref().clone().under(&new))),
            (Self::Breaker(old), Self::Breaker(new)) => Self::Breaker(old.under(&new)),
            (_, new) => new,
        }
    }

    pub(crate) fn meter(&self) -> &dyn Meter {
        match self {
            Self::Window(window) => window,
            Self::Sliding(sliding) => sliding,
            Self::Bucket(bucket) => bucket,
            Self::Concurrency(concurrency) => concurrency,
            Self::Slots(slots) => slots,
            Self::Learn(learner) => learner.as_ref(),
            Self::Breaker(circuit) => circuit,
        }
    }

    pub(crate) fn meter_mut(&mut self) -> &mut dyn Meter {
        match self {
            Self::Window(window) => window,
            Self::Sliding(sliding) => sliding,
            Self::Bucket(bucket) => bucket,
            Self::Concurrency(concurrency) => concurrency,
            Self::Slots(slots) => slots,
            Self::Learn(learner) => learner.as_mut(),
            Self::Breaker(circuit) => circuit,
        }
    }

    /// As after a restart.
    pub(crate) fn at_rest(self) -> Self {
        match self {
            Self::Slots(slots) => Self::Slots(slots.at_rest()),
            Self::Learn(learner) => Self::Learn(Box::new(learner.at_rest())),
            Self::Breaker(circuit) => Self::Breaker(circuit.at_rest()),
            told => told,
        }
    }

    /// Whether refusals teach it, and so are nobody else's business unless they name a time.
    pub(crate) fn learns(&self) -> bool {
        matches!(self, Self::Learn(_))
    }
}
