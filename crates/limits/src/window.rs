//! Fixed windows: so many calls in each period. Also quotas by the calendar, and limits of which only answers' headers speak.
//!
//! A call counts at the provider when it lands there, some time between its grant and its answer. Where a window
//! begins with a call, its end is therefore uncertain by as much, and nothing is granted in between:
//!
//! ```text
//! ours        |grant ················ per ···············|   gap   | next grant
//! provider's      |landing ················ per ···············|
//!                     |answer ················ per ················|
//! ```
//!
//! What is in flight at an edge may land on either side of it, and is counted on both. An answer that names the
//! reset ends the guessing.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::calendar::Calendar;
use crate::concurrency::{ASK_AGAIN_MS, whole_ms};
use crate::in_flight::{Held, InFlight};
use crate::meter::{Gauge, Heard, LANDS_WITHIN_MS, Meter, Ready, never};
use crate::rate::Aligned;

mod told;

/// A fixed window and its successors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Window {
    /// None for a limit without a number of our own.
    calls: Option<u64>,
    /// The window's length; of a limit without a number, the longest one seen, and 0 before the first.
    per_ms: i64,
    aligned: Aligned,
    /// Where windows are periods of the calendar; then `per_ms` is about their length.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    calendar: Option<Calendar>,
    /// What answers said instead of `calls`.
    told_size: Option<u64>,
    /// An edge that an answer told.
    told_edge_ms: Option<i64>,
    /// Always 0 while no window is open. The more of what we have counted and of what answers told, with what had not
    /// landed by then.
    used: u64,
    /// What we have counted ourselves.
    #[serde(default)]
    own: u64,
    /// The most that an answer told of this window.
    #[serde(default)]
    told_used: u64,
    /// What landed without telling, and when the last of that did: it may not be in what was told.
    #[serde(default)]
    untold: (u64, i64),
    open: Option<Span>,
    /// Unix time in ms: calls granted until then are part of what an answer told, or never landed.
    landed_ms: i64,
    /// Unix time in ms: the last call was granted then of those whose answers told the size or what remains.
    #[serde(default = "never")]
    read_ms: i64,
    /// Unix time in ms at which the window before is over at the provider, too.
    gap_end_ms: i64,
}

/// A window that is open.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Span {
    start_ms: i64,
    /// The earliest end: nothing is granted from here on.
    end_ms: i64,
    /// The latest end: the next window may be granted from here on.
    over_ms: i64,
    known: Known,
    /// The same as our own calls have it, of a window that began with one of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    own_ms: Option<(i64, i64)>,
}

/// What is known of the provider's window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Known {
    /// A call in flight at the edge may have begun it, or one whose answer was lost; or else the next one will.
    Suspected,
    /// A call was granted that begins it, if nothing else did.
    Granted,
    /// Such a call was answered, so it has begun.
    Begun,
    /// An answer named its end.
    Told,
}

impl Window {
    pub(crate) fn new(calls: u32, per: Duration, aligned: Aligned) -> Self {
        Self { calls: Some(u64::from(calls).max(1)), per_ms: whole_ms(per), aligned, ..Self::told() }
    }

    pub(crate) fn by_calendar(calls: u32, calendar: Calendar) -> Self {
        let per = Duration::from_millis(calendar.per.least_ms().unsigned_abs());
        Self { calendar: Some(calendar), ..Self::new(calls, per, Aligned::Epoch) }
    }

    pub(crate) fn told() -> Self {
        Self {
            calls: None,
            per_ms: 0,
            aligned: Aligned::FirstCall,
            calendar: None,
            told_size: None,
            told_edge_ms: None,
            used: 0,
            own: 0,
            told_used: 0,
            untold: (0, 0),
            open: None,
            landed_ms: never(),
            read_ms: never(),
            gap_end_ms: 0,
        }
    }

    /// This window, with what `old` has counted.
    pub(crate) fn counting_on(self, old: &Self) -> Self {
        let Self { calls, per_ms, aligned, calendar, .. } = self;
        Self { calls, per_ms, aligned, calendar, told_size: None, ..old.clone() }
    }

    /// A known edge, when windows follow one another without waiting for a call.
    fn anchor_ms(&self) -> Option<i64> {
        match self.aligned {
            Aligned::Epoch => Some(0),
            Aligned::Told => self.told_edge_ms,
            Aligned::FirstCall => None,
        }
    }

    /// A call granted no longer ago may land at the provider after an edge: 30 s, or a quarter of a short window,
    /// lest slow answers eat up the windows that follow.
    fn landing_ms(&self) -> i64 {
        if self.per_ms == 0 { LANDS_WITHIN_MS } else { LANDS_WITHIN_MS.min(self.per_ms / 4) }
    }

    /// The window that holds `now_ms`, counted in whole periods from `anchor_ms`.
    fn span_from(&self, anchor_ms: i64, now_ms: i64) -> Span {
        if let Some(calendar) = &self.calendar {
            let (start_ms, end_ms) = calendar.span_ms(now_ms);
            return Span { start_ms, end_ms, over_ms: end_ms, known: Known::Granted, own_ms: None };
        }
        let per_ms = self.per_ms.max(1);
        let start_ms = now_ms - (now_ms - anchor_ms).rem_euclid(per_ms);
        let end_ms = start_ms + per_ms;
        Span { start_ms, end_ms, over_ms: end_ms, known: Known::Granted, own_ms: None }
    }

    /// What follows, once `ended` has ended: calls that may land after the edge are counted on both sides of it.
    fn after(&self, ended: Span, in_flight: &InFlight, now_ms: i64) -> (u64, Option<Span>) {
        let anchor_ms = self.anchor_ms();
        let span = Span { known: Known::Suspected, ..self.span_from(anchor_ms.unwrap_or(ended.end_ms), now_ms) };
        let used = in_flight.cost_since(span.start_ms - self.landing_ms());
        // The next period of the calendar opens with a call: only who asks knows when that is.
        let follows = anchor_ms.is_some() && self.calendar.is_none();
        (used, (used > 0 || follows).then_some(span))
    }

    /// Whether the call is counted in `span`.
    fn counts(&self, span: Span, held: Held) -> bool {
        held.granted_ms > span.start_ms - self.landing_ms()
    }

    /// Counts anew: `used` by now, of which `told` was told.
    fn count(&mut self, used: u64, told: u64) {
        (self.used, self.own, self.told_used, self.untold) = (used, used, told, (0, 0));
    }

    /// Whether the window began with a call, and nobody told its end.
    fn floats(&self, span: Span) -> bool {
        span.known != Known::Told && self.anchor_ms().is_none()
    }
}

impl Meter for Window {
    fn size(&self) -> Option<u64> {
        if self.per_ms == 0 { None } else { self.told_size.or(self.calls) }
    }

    fn ends_ms(&self) -> Option<i64> {
        self.open.map(|open| open.over_ms)
    }

    fn even_us(&self) -> Option<i64> {
        Some(self.per_ms * 1_000 / i64::try_from(self.size()?).ok()?.max(1))
    }

    fn advance(&mut self, in_flight: &InFlight, now_ms: i64) {
        if let Some(ended) = self.open.filter(|open| open.end_ms <= now_ms) {
            let (used, open) = self.after(ended, in_flight, now_ms);
            self.open = open;
            self.count(used, 0);
            self.gap_end_ms = self.gap_end_ms.max(ended.over_ms);
        }
    }

    fn ready(&self, in_flight: &InFlight, cost: u64, now_ms: i64) -> Ready {
        let has_room = |used: u64| self.size().is_none_or(|size| used.saturating_add(cost) <= size);
        match self.open {
            Some(open) if !has_room(self.used) => {
                let at_latest_ms = match self.after(open, in_flight, open.end_ms) {
                    (landing, Some(next)) if !has_room(landing) => next.end_ms,
                    _ => open.over_ms,
                };
                // What landed may be counted twice, as told and as in flight: less is used when its answers are here.
                let may_shrink = has_room(self.own) && in_flight.cost_since(self.landed_ms) > 0;
                let until_ms = if may_shrink { open.over_ms.min(now_ms + ASK_AGAIN_MS) } else { open.over_ms };
                Ready { until_ms, at_latest_ms }
            }
            _ => Ready::at(now_ms.max(self.gap_end_ms)),
        }
    }

    fn behind(&self, _in_flight: &InFlight, ahead: u64, cost: u64, now_ms: i64) -> Option<i64> {
        let size = self.size()?;
        if self.used.saturating_add(ahead).saturating_add(cost) <= size {
            return Some(now_ms.max(self.gap_end_ms));
        }
        Some(self.open.map_or(now_ms + self.per_ms, |open| open.over_ms))
    }

    fn leases(&self) -> bool {
        true
    }

    fn use_within_ms(&self) -> i64 {
        self.landing_ms() / 2
    }

    fn spend(&mut self, _in_flight: &InFlight, cost: u64, now_ms: i64) {
        if self.per_ms == 0 {
            return; // Nobody ever told a number: there is nothing to count against.
        }
        let new = self.span_from(self.anchor_ms().unwrap_or(now_ms), now_ms);
        let mut open = self.open.unwrap_or(new);
        if open.known == Known::Suspected && self.floats(open) {
            let over_ms = now_ms + self.landing_ms() + self.per_ms;
            open = Span { over_ms, known: Known::Granted, ..open };
        }
        self.open = Some(open);
        (self.used, self.own) = (self.used + cost, self.own + cost);
    }

    fn refund(&mut self, held: Held, _now_ms: i64) {
        let counts = |open: &Span| self.counts(*open, held) && held.granted_ms > self.landed_ms;
        let Some(open) = self.open.filter(counts) else { return };
        (self.used, self.own) = (self.used.saturating_sub(held.cost), self.own.saturating_sub(held.cost));
        if self.used == 0 && self.floats(open) {
            self.open = None; // No call was made that could have opened it.
            self.count(0, 0);
        }
    }

    fn settle(&mut self, held: Held, cost: u64) {
        if self.open.is_some_and(|open| self.counts(open, held)) && held.granted_ms > self.landed_ms {
            let settled = |used: u64| used.saturating_add(cost).saturating_sub(held.cost);
            (self.used, self.own) = (settled(self.used), settled(self.own));
        }
    }

    fn landed(&mut self, _in_flight: &InFlight, held: Held, answered: bool, now_ms: i64) {
        let Some(open) = self.open.filter(|&open| self.floats(open) && self.counts(open, held)) else { return };
        // If the window began with this call, it began no later than now.
        let over_ms = now_ms + self.per_ms;
        let (over_ms, known) = match open.known {
            Known::Begun => return,
            _ if answered && held.granted_ms >= open.start_ms => (over_ms, Known::Begun),
            known if answered => (over_ms.max(open.over_ms), known),
            _ => (over_ms.max(open.over_ms), Known::Suspected),
        };
        let is_sure = known == Known::Begun && self.calls.is_some();
        self.open = Some(Span { over_ms, known, own_ms: is_sure.then_some((open.end_ms, over_ms)), ..open });
    }

    fn untold(&mut self, held: Held, now_ms: i64) {
        if self.open.is_some_and(|open| self.counts(open, held)) {
            self.untold = (self.untold.0 + held.cost, now_ms);
        }
    }

    fn hear(&mut self, in_flight: &InFlight, heard: &Heard<'_>) {
        self.believe(in_flight, heard);
    }

    fn gauge(&self, _in_flight: &InFlight, _now_ms: i64) -> Gauge {
        Gauge { used: self.used, resets_at_ms: self.open.map(|open| open.over_ms) }
    }
}
