//! How many calls at a time a provider works on that slows down instead of refusing, learnt from how long it takes.
//!
//! ```text
//! measure at half the slots ──▶ rounds: raise, keep or cut ──every 30 s, or after two cuts in a row──▶ measure again
//! ```
//!
//! * **What waits at the provider shows in the time that it takes**: of `n` calls at a time that take `mean` where they take
//!   `base` while nothing waits, `n (1 - base / mean)` wait (Little's law). That is the estimate of TCP Vegas (Brakmo,
//!   O'Malley, Peterson 1994), which also gave the two bounds between which nothing is changed.
//! * **A cut goes by the ratio of both times**, never below a half, and leaves a tenth for a short queue; growth needs slots
//!   that are in use; what is dropped cuts by a fixed share. These are of the limits of Netflix' concurrency-limits: `Gradient2Limit`
//!   (gradient from 0.5 to 1, room for a queue), `AIMDLimit` (in use to grow, a share for drops).
//! * **The base is measured anew** at half the slots, since a provider that has become slower looks like one with a queue
//!   (the minimum of round-trip times that Envoy's adaptive concurrency looks for in the same way).
//! * A round is of answers to calls that were granted after the last decision: others say what was before it.
//!
//! No clock and no chance: times are arguments, Unix ms; how long calls took is in µs.

use serde::{Deserialize, Serialize};

mod meter;
mod options;

pub use options::LearnSlots;

/// The least answers in a round. With 10, the mean of times that scatter by a half is off by a sixth, and one round in some
/// dozens looks like a queue; with 30 it is off by a tenth.
const ROUND_ANSWERS: f64 = 30.0;
/// Slots grow by this factor where next to nothing waits.
const RAISE: f64 = 1.1;
/// The same until something was first seen to wait.
const FIRST_RAISE: f64 = 1.5;
/// And by so many slots at least: from one on, a tenth takes seven rounds for the second.
const RAISE_LEAST: f64 = 0.5;
/// Slots are raised while no more waits than this share of them, or one call.
const RAISE_BELOW: (f64, f64) = (0.1, 1.0);
/// Slots are cut where more waits than this share of them, or two calls.
const CUT_ABOVE: (f64, f64) = (0.3, 2.0);
/// A cut leaves room for a queue of a tenth, and is by half at most: a round may be all chance.
const CUT: (f64, f64) = (1.1, 0.5);
/// What is dropped (an answer that the provider can't, or none) cuts to this share.
const DROP: f64 = 0.7;
/// Slots of which a smaller share is in use are not raised.
const IN_USE: f64 = 0.8;
/// A call that is dropped while a smaller share is in use was not too much: the provider is ill.
const IN_USE_DROPPED: f64 = 0.5;
/// How far a round that was quicker than the base draws it down: the least of many means is an accident.
const FALL: f64 = 0.25;
/// The least time between two measurements of the base.
const REST_MS: f64 = 30_000.0;
/// Between two measurements is so many times what one takes, so that half the slots cost a thirtieth of the use at most.
const REST_SHARE: f64 = 15.0;

/// What is known of one provider's slots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slots {
    learn: LearnSlots,
    lease_ms: i64,
    /// Calls at a time; whole ones are granted.
    size: f64,
    /// What a call takes while nothing waits; 0 before it was measured.
    base_us: f64,
    /// When it was measured, and for how long that is good.
    measured_ms: i64,
    rest_ms: f64,
    /// This round is at half the slots.
    is_measuring: bool,
    /// The last round was followed by a cut.
    was_cut: bool,
    /// The last cut: what was granted before says nothing of what is.
    cut_ms: i64,
    /// When something was last seen to wait, or dropped; 0 for never.
    queued_ms: i64,
    round: Round,
}

/// Answers to calls that were granted since the last decision.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Round {
    since_ms: i64,
    answers: f64,
    took_us: f64,
    /// The most slots that were in use at once.
    peak: f64,
    was_refused: bool,
}

/// What came of a call, as far as it says how much the provider has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Went {
    /// A page came, after so long.
    Took {
        /// In µs.
        us: u64,
    },
    /// The provider could not, or did not answer.
    Dropped,
    /// Because of a limit.
    Refused,
    /// Whatever says nothing.
    Other,
}

impl Slots {
    pub(crate) fn new(learn: LearnSlots, lease_ms: i64) -> Self {
        Self {
            learn,
            lease_ms,
            size: f64::from(learn.start),
            base_us: 0.0,
            measured_ms: 0,
            rest_ms: REST_MS,
            is_measuring: true,
            was_cut: false,
            cut_ms: 0,
            queued_ms: 0,
            round: Round::default(),
        }
    }

    /// The same knowledge under the options of `new`.
    pub(crate) fn under(&self, new: &Self) -> Self {
        let (learn, lease_ms) = (new.learn, new.lease_ms);
        let size = self.size.clamp(f64::from(learn.floor), f64::from(learn.cap));
        Self { learn, lease_ms, size, ..self.clone() }
    }

    /// As after a restart: what is known is measured again first, at half the slots.
    pub(crate) fn at_rest(self) -> Self {
        Self { is_measuring: true, was_cut: false, round: Round::default(), ..self }
    }

    /// Calls at a time.
    fn whole_size(&self) -> f64 {
        self.size.floor().max(1.0)
    }

    /// Calls at a time now.
    fn slots(&self) -> f64 {
        let half = (self.size / 2.0).floor().max(f64::from(self.learn.floor)).max(1.0);
        if self.is_measuring { half } else { self.whole_size() }
    }

    /// A call goes, with which so much is in flight.
    fn go(&mut self, in_flight: f64, cost: f64, now_ms: i64) {
        if self.round.since_ms == 0 {
            self.round.since_ms = now_ms;
        }
        // After a while without calls the provider may be another one.
        if in_flight <= cost && !self.is_measuring && self.is_due(now_ms) {
            self.is_measuring = true;
            self.begin(0.0, now_ms);
        }
        self.round.peak = self.round.peak.max(in_flight);
    }

    fn is_due(&self, now_ms: i64) -> bool {
        (now_ms - self.measured_ms) as f64 >= self.rest_ms
    }

    fn begin(&mut self, in_flight: f64, now_ms: i64) {
        self.round = Round { since_ms: now_ms, answers: 0.0, took_us: 0.0, peak: in_flight, was_refused: false };
    }

    /// What came of a call that was granted at `granted_ms`; so much is in flight without it.
    fn went(&mut self, went: Went, granted_ms: i64, in_flight: f64, now_ms: i64) {
        match went {
            Went::Dropped => self.dropped(granted_ms, in_flight, now_ms),
            _ if granted_ms < self.round.since_ms => {}
            Went::Refused => self.round.was_refused = true,
            Went::Took { us } => {
                self.round.answers += 1.0;
                self.round.took_us += us.max(1) as f64;
                if self.round.answers >= self.slots().max(ROUND_ANSWERS) {
                    self.judge(now_ms);
                    self.begin(in_flight, now_ms);
                }
            }
            Went::Other => {}
        }
    }

    /// One burst counts once.
    fn dropped(&mut self, granted_ms: i64, in_flight: f64, now_ms: i64) {
        if granted_ms <= self.cut_ms || self.round.peak < IN_USE_DROPPED * self.slots() {
            return;
        }
        self.queued_ms = now_ms;
        self.cut(DROP, now_ms);
        self.begin(in_flight, now_ms);
    }

    fn cut(&mut self, share: f64, now_ms: i64) {
        self.size = (self.size * share).max(f64::from(self.learn.floor));
        self.cut_ms = now_ms;
    }

    /// The round is over.
    fn judge(&mut self, now_ms: i64) {
        let Round { answers, took_us, .. } = self.round;
        let mean_us = took_us / answers;
        if self.is_measuring {
            let took_ms = (answers / self.slots() + 1.0) * mean_us / 1_000.0;
            (self.base_us, self.measured_ms) = (mean_us, now_ms);
            self.rest_ms = (REST_SHARE * took_ms).max(REST_MS);
            (self.is_measuring, self.was_cut) = (false, false);
            return;
        }
        if mean_us < self.base_us {
            self.base_us += (mean_us - self.base_us) * FALL;
        }
        let ratio = (self.base_us / mean_us).min(1.0);
        let (size, waiting) = (self.size, self.size * (1.0 - ratio));
        if waiting > (CUT_ABOVE.0 * size).max(CUT_ABOVE.1) {
            self.queued_ms = now_ms;
            // Fewer calls were no quicker: it may be the base that has changed.
            self.is_measuring = self.was_cut;
            self.was_cut = !self.was_cut;
            if self.was_cut {
                self.cut((CUT.0 * ratio).max(CUT.1), now_ms);
            }
        } else {
            self.was_cut = false;
            if waiting > (RAISE_BELOW.0 * size).max(RAISE_BELOW.1) {
                self.queued_ms = now_ms;
            } else if !self.round.was_refused && self.round.peak >= IN_USE * self.slots() {
                let raise = if self.queued_ms > 0 { RAISE } else { FIRST_RAISE };
                self.size = (size * raise).max(size + RAISE_LEAST).min(f64::from(self.learn.cap));
            }
        }
        self.is_measuring = self.is_measuring || self.is_due(now_ms);
    }
}

#[cfg(test)]
mod tests;
