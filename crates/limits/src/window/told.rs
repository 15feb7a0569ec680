//! What answers tell of a window: its size, what is used of it, and when it ends.
//!
//! Answers arrive in any order, and others may use the same budget. So the highest count that was told of the open window
//! holds, with all that may have landed after it: what is in flight, which is less with each report, and what landed
//! without telling. It only takes room away from what we have counted ourselves, unless its call was alone in flight; a
//! reading of a newer window replaces what was counted; and one of an older window is ignored.

use super::{Known, Span, Window};
use crate::block::LONGEST_TOLD_MS;
use crate::in_flight::InFlight;
use crate::meter::Heard;

/// Two told resets that differ by no more belong to the same window: whole seconds, and providers' clocks.
const SAME_RESET_MS: i64 = 1_500;

/// `Date` tells whole seconds.
const DATE_STEP_MS: i64 = 1_000;

/// Which window a reading speaks of, beside the one that is open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Age {
    Older,
    Same,
    Newer,
}

/// When a window ends, as an answer told it.
#[derive(Debug, Clone, Copy)]
struct Reset {
    earliest_ms: i64,
    latest_ms: i64,
}

impl Reset {
    /// By another clock, it is moved to ours by the answer's `Date`: late by what the answer took, and early by up to a
    /// second. Told from now on, it is late by what the answer took; told in whole seconds, early by up to one. The guard
    /// against that is cut for short windows.
    fn told(heard: &Heard<'_>, most_guard_ms: i64) -> Option<Self> {
        let reading = heard.reading;
        let (ahead_ms, is_ours) = clock(heard);
        let told_ms = reading.reset_at_ms? - if is_ours { 0 } else { ahead_ms };
        let told_ms = told_ms.min(heard.now_ms.saturating_add(LONGEST_TOLD_MS));
        let late_ms = match (is_ours, reading.reset_is_relative) {
            (false, _) => heard.took_ms + DATE_STEP_MS,
            (true, true) => heard.took_ms,
            (true, false) => 0,
        };
        let guard_ms = reading.reset_step_ms.min(most_guard_ms);
        Some(Self { earliest_ms: told_ms - late_ms, latest_ms: told_ms + guard_ms })
    }

    /// Whole seconds may be rounded up as well as down, and clocks that may agree may also differ by as much as `Date` leaves open:
    /// where our own calls say when the window ends, they decide within that.
    fn within(self, own_ms: (i64, i64), heard: &Heard<'_>) -> Self {
        let (early_ms, late_ms) = match clock(heard) {
            (ahead_ms, true) if heard.reading.clock_ahead_ms.is_some() && !heard.reading.reset_is_relative => {
                (ahead_ms + heard.took_ms + DATE_STEP_MS, -ahead_ms)
            }
            _ => (0, 0),
        };
        let earliest_ms = (self.earliest_ms - heard.reading.reset_step_ms - early_ms).max(own_ms.0);
        let latest_ms = (self.latest_ms + late_ms).min(own_ms.1);
        if earliest_ms <= latest_ms { Self { earliest_ms, latest_ms } } else { self }
    }

    /// What both allow; if they contradict each other, the latest end.
    fn and(self, other: Self) -> Self {
        let latest_ms = self.latest_ms.min(other.latest_ms);
        let earliest_ms = self.earliest_ms.max(other.earliest_ms);
        Self { earliest_ms, latest_ms: latest_ms.max(earliest_ms) }
    }
}

/// By how much the clock is ahead that told the reset, and whether it may agree with ours.
fn clock(heard: &Heard<'_>) -> (i64, bool) {
    let ahead_ms = heard.reading.clock_ahead_ms.filter(|_| !heard.reading.reset_is_relative).unwrap_or(0);
    (ahead_ms, (-heard.took_ms - DATE_STEP_MS..=0).contains(&ahead_ms))
}

impl Window {
    /// Believes a reading; `in_flight` is without its call.
    pub(super) fn believe(&mut self, in_flight: &InFlight, heard: &Heard<'_>) {
        let reading = heard.reading;
        let most_guard_ms = if self.per_ms == 0 { i64::MAX } else { self.per_ms / 4 };
        let own_ms = self.open.and_then(|open| open.own_ms);
        let reset = Reset::told(heard, most_guard_ms);
        let reset = reset.map(|reset| own_ms.map_or(reset, |own_ms| reset.within(own_ms, heard)));
        let age = self.age(reset, heard.now_ms);
        if age == Age::Older {
            return;
        }
        if let Some(reset) = reset {
            self.end_at(reset, age, heard.now_ms);
        }

        self.landed_ms = heard.granted_ms() - self.landing_ms();
        let others = in_flight.cost_since(self.landed_ms);
        let size = reading.limit.or(self.told_size).or(self.calls);
        let told_used = heard.used(size);
        match (age, told_used) {
            (Age::Same, Some(used)) if heard.alone => self.count(used, used),
            (Age::Same, Some(used)) => {
                self.told_used = self.told_used.max(used);
                if self.untold.1 < heard.granted_ms() {
                    self.untold.0 = 0; // It had landed before this call was sent.
                }
                self.used = self.own.max(self.told_used.saturating_add(others).saturating_add(self.untold.0));
            }
            (Age::Same, None) => {}
            (_, used) => self.count(used.unwrap_or(heard.cost).saturating_add(others), used.unwrap_or(0)),
        }
        let known = self.told_size.or(self.calls);
        self.told_size = match (reading.limit, heard.remaining()) {
            (Some(limit), _) => Some(heard.size(limit, known, self.read_ms)),
            // No size is known that could be right: what remains, for those who ask from now on.
            (None, Some(left)) if size.is_none_or(|size| left > size) => {
                Some(heard.size(self.used.saturating_add(left).saturating_sub(others), known, self.read_ms))
            }
            _ => self.told_size,
        };
        self.read_ms = heard.read_ms(self.read_ms);
    }

    /// Which window a reading speaks of.
    fn age(&self, reset: Option<Reset>, now_ms: i64) -> Age {
        let (open, reset) = match (self.open, reset) {
            (Some(_), None) => return Age::Same,
            (None, None) => return Age::Older,
            (open, Some(reset)) => (open, reset),
        };
        let tolerance_ms = if self.per_ms == 0 { SAME_RESET_MS } else { SAME_RESET_MS.min(self.per_ms / 2) };
        let last_edge_ms = open.map_or(0, |open| open.start_ms).max(self.gap_end_ms);
        if reset.latest_ms <= now_ms || reset.earliest_ms <= last_edge_ms + tolerance_ms {
            return Age::Older;
        }
        match open {
            None => Age::Newer,
            Some(open) if open.known != Known::Told => Age::Same,
            Some(open) if reset.latest_ms < open.end_ms - tolerance_ms => Age::Older,
            Some(open) if reset.earliest_ms <= open.over_ms + tolerance_ms => Age::Same,
            Some(_) => Age::Newer,
        }
    }

    /// Takes over a told end; what several answers told together is narrower than what each told.
    fn end_at(&mut self, reset: Reset, age: Age, now_ms: i64) {
        let (start_ms, reset) = match (age, self.open) {
            (Age::Same, Some(open)) if open.known == Known::Told => {
                (open.start_ms, reset.and(Reset { earliest_ms: open.end_ms, latest_ms: open.over_ms }))
            }
            (Age::Same, Some(open)) => (open.start_ms, reset),
            _ => (now_ms, reset),
        };
        let Reset { earliest_ms: end_ms, latest_ms: over_ms } = reset;
        let own_ms = self.open.filter(|_| age == Age::Same).and_then(|open| open.own_ms);
        self.open = Some(Span { start_ms, end_ms, over_ms, known: Known::Told, own_ms });
        self.gap_end_ms = self.gap_end_ms.min(now_ms);
        self.told_edge_ms = Some(end_ms);
        if self.calls.is_none() {
            self.per_ms = self.per_ms.max(end_ms - now_ms);
        }
    }
}
