//! A provider that is full for a moment only, as a bucket is: its pace is followed from refusal to refusal.
//!
//! A bucket that was just empty loses nothing until it is full again, so what it let through between two refusals, over
//! the time between them, is its pace, to a call. A cycle therefore goes a little slower than the pace and then a little
//! quicker, so that the next refusal is due at its end:
//!
//! * It comes about then: what was measured joins what is known.
//! * It is late: the pace rises with the cube of the time, for the limit may have been raised.
//! * It is early, and the next ones too: the limit was lowered. The more of them, the less does counts what was known.
//!
//! A limiter to which that does not apply shows by pace after pace that does not hold, and is not followed any more.

use serde::{Deserialize, Serialize};

use super::Learn;

/// By so many calls a cycle is first behind the pace and then ahead of it, and by so many for the root of the calls on their
/// way, which come in another order than they went: fewer, and refusals come at random; more, and a small burst is not used.
const SWING: (f64, f64) = (5.0, 2.0);
/// A refusal is early before the first of these shares of a cycle, and late after the second. (One call more or less makes
/// a fifth of a cycle.)
const DUE: (f64, f64) = (0.3, 1.2);
/// The least time, and the least calls, in which a late refusal doubles the pace; at least so many answers, and such a share of a
/// cycle. With 0.9 s a limit that is trebled is reached in 1.2 s.
const RISE: (f64, f64) = (900.0, 45.0);
const RISE_ANSWERS: f64 = 10.0;
const RISE_SHARE: f64 = 0.45;
/// The shortest cycle, in ms, calls and answers. Half as long ones find a raised limit a second sooner, for twice the refusals.
const CYCLE: (f64, f64, f64) = (2_000.0, 100.0, 20.0);
/// A refusal is earned by so many times the calls that the options say, since some cycles end early.
const EARNED: f64 = 1.3;
/// For so long after a change another one is looked for by the shortest cycles.
const WARY_MS: f64 = 60_000.0;
/// So many refusals may be spent on that before they are earned.
const SPARE: f64 = 20.0;
/// From so many times the pace on, what a rise came to is believed rather than what the cycle measured, which
/// was begun too slowly; such a share of it, so that the next refusal comes soon and measures it.
const RISEN: (f64, f64) = (2.0, 0.85);
/// Less than that, n times in a row, moves the pace by this share of the way, times n squared: a bucket of one or two calls
/// lets through what is sent now, not what would have made up for slower calls before.
const LATE_STEP: f64 = 0.1;
/// As many calls as what is known of the pace counts for: just begun or risen, and at most; and after the n-th early refusal
/// the last of these over n squared, and twice the calls that are on their way.
const KNOWN: (f64, f64, f64) = (4.0, 200.0, 30.0);
/// Below such a share of the pace it is a change; below the second it is none of a bucket's.
const FALLEN: (f64, f64) = (0.8, 0.3);
/// So many falls, less half a one for each cycle that went well, and it is no bucket. A limit that is changed and changed back has two.
const MISSES: f64 = 3.0;

/// What is known of a cycle and those before it. Times are Unix ms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Follow {
    /// When the provider was last full, and how many calls were accepted since.
    since_ms: f64,
    accepted: f64,
    /// The same of the burst of refusals that is under way.
    met_ms: f64,
    met_accepted: f64,
    cycle_ms: f64,
    /// By this share calls go slower, and then quicker.
    swing: f64,
    rise_ms: f64,
    /// The pace so far is worth so many calls.
    known: f64,
    /// Refusals in a row that were early, the pace before them (0 after a ramp), and those that were late.
    early: f64,
    steady_per_s: f64,
    late: f64,
    misses: f64,
    changed_ms: f64,
    spare: f64,
}

/// A burst of refusals that is over.
#[derive(Debug, Clone, Copy)]
pub(super) struct Burst {
    pub(super) refused: f64,
    /// How long an answer takes.
    pub(super) answer_ms: f64,
    pub(super) now_ms: f64,
}

impl Default for Follow {
    fn default() -> Self {
        Self::new(1.0, 0.0).0
    }
}

impl Follow {
    /// The provider was full for a moment; `reached_per_s` is more than it allows.
    pub(super) fn new(reached_per_s: f64, now_ms: f64) -> (Self, f64) {
        let pace_per_s = RISEN.1 * reached_per_s;
        let follow = Self {
            since_ms: now_ms,
            accepted: 0.0,
            met_ms: now_ms,
            met_accepted: 0.0,
            cycle_ms: CYCLE.0,
            swing: 0.05,
            rise_ms: RISE.0,
            known: KNOWN.0,
            early: 0.0,
            steady_per_s: 0.0,
            late: 0.0,
            misses: 0.0,
            changed_ms: now_ms,
            spare: SPARE,
        };
        (follow, pace_per_s)
    }

    /// A cycle begins anew.
    pub(super) fn begin(&mut self, now_ms: f64) {
        (self.since_ms, self.accepted) = (now_ms, 0.0);
    }

    /// The pace was not asked for during this time.
    pub(super) fn idle(&mut self, idle_ms: f64) {
        self.since_ms += idle_ms;
    }

    pub(super) fn accept(&mut self, calls: f64, refused_share: f64) {
        self.accepted += calls;
        self.spare = (self.spare + refused_share).min(SPARE);
    }

    /// Calls go at this multiple of the pace.
    pub(super) fn quicker(&self, now_ms: f64) -> f64 {
        let took_ms = now_ms - self.since_ms;
        let part = (took_ms / self.cycle_ms).clamp(0.0, DUE.1);
        let risen = (took_ms - DUE.1 * self.cycle_ms).max(0.0) / self.rise_ms;
        (1.0 + self.swing * (2.0 * part - 1.0)) * (1.0 + risen * risen * risen)
    }

    /// And at this one while it is not known what a refusal means.
    pub(super) fn slower(&self) -> f64 {
        1.0 - self.swing
    }

    /// The first of a burst of refusals.
    pub(super) fn meet(&mut self, now_ms: f64) {
        (self.met_ms, self.met_accepted) = (now_ms, self.accepted);
    }

    /// Whether this is no provider to be followed.
    pub(super) fn is_lost(&self) -> bool {
        self.misses >= MISSES
    }

    /// A cycle is over, and the next one begins: the pace that it goes at.
    pub(super) fn next(&mut self, pace_per_s: f64, burst: Burst, learn: &Learn) -> f64 {
        let took_ms = (self.met_ms - self.since_ms).max(1.0);
        let reached_per_s = (pace_per_s * self.quicker(self.met_ms)).min(learn.cap_per_s);
        let next_per_s = if reached_per_s > RISEN.0 * pace_per_s {
            let measured_per_s = self.met_accepted * 1_000.0 / took_ms;
            (self.known, self.early, self.late, self.changed_ms) = (KNOWN.0, 0.0, 0.0, burst.now_ms);
            self.steady_per_s = measured_per_s.max(RISEN.1 * reached_per_s);
            self.steady_per_s
        } else {
            let part = took_ms / self.cycle_ms;
            self.count(part, pace_per_s, burst);
            let found_per_s = self.found(part, pace_per_s, reached_per_s, took_ms);
            self.judge(pace_per_s, found_per_s, burst.now_ms);
            found_per_s
        };
        (self.since_ms, self.accepted) = (self.met_ms, self.accepted - self.met_accepted);
        self.plan(next_per_s, burst, learn.refused_share);
        next_per_s
    }

    /// Early and late ones in a row.
    fn count(&mut self, part: f64, pace_per_s: f64, burst: Burst) {
        self.late = if part > DUE.1 { self.late + 1.0 } else { 0.0 };
        if part >= DUE.0 {
            (self.early, self.steady_per_s) = (0.0, pace_per_s);
            self.misses = (self.misses - 0.5).max(0.0);
            return;
        }
        if self.early == 0.0 && self.known > KNOWN.0 {
            self.steady_per_s = pace_per_s;
        }
        self.early += burst.refused.min(2.0);
        if self.early >= 2.0 {
            let on_their_way = pace_per_s * burst.answer_ms / 1_000.0;
            self.known = self.known.min(KNOWN.2 / (self.early * self.early) + 2.0 * on_their_way);
        }
    }

    /// The pace by what was known and by this cycle.
    fn found(&mut self, part: f64, pace_per_s: f64, reached_per_s: f64, took_ms: f64) -> f64 {
        let found_per_s = (self.met_accepted + self.known) / (took_ms / 1_000.0 + self.known / pace_per_s);
        self.known = (self.known + self.met_accepted).min(KNOWN.1);
        if part < DUE.0 {
            return found_per_s.min(pace_per_s);
        }
        let toward = (LATE_STEP * self.late * self.late).min(1.0);
        found_per_s + ((reached_per_s - found_per_s) * toward).max(0.0)
    }

    /// Whether the pace fell, once for a row of early refusals.
    fn judge(&mut self, pace_per_s: f64, found_per_s: f64, now_ms: f64) {
        let fallen_per_s = FALLEN.0 * self.steady_per_s;
        if found_per_s >= fallen_per_s {
            return;
        }
        self.changed_ms = now_ms;
        self.misses += f64::from(u8::from(pace_per_s >= fallen_per_s));
        if found_per_s < FALLEN.1 * self.steady_per_s {
            self.misses = MISSES;
        }
    }

    /// The next cycle: short while changes are likely, else as long as it takes to earn the last refusals.
    fn plan(&mut self, pace_per_s: f64, burst: Burst, refused_share: f64) {
        let shortest = CYCLE.1.max(pace_per_s * CYCLE.0.max(CYCLE.2 * burst.answer_ms) / 1_000.0);
        self.spare -= burst.refused;
        let is_wary = self.spare > 0.0 && burst.now_ms - self.changed_ms < WARY_MS;
        let calls = if is_wary { shortest } else { shortest.max(EARNED * burst.refused / refused_share) };
        self.cycle_ms = calls * 1_000.0 / pace_per_s;
        let on_their_way = pace_per_s * burst.answer_ms / 1_000.0;
        self.swing = ((SWING.0 + SWING.1 * on_their_way.sqrt()) / calls).min(0.2);
        let least_ms = RISE.0.max(RISE.1 * 1_000.0 / pace_per_s).max(RISE_ANSWERS * burst.answer_ms);
        self.rise_ms = least_ms.max(RISE_SHARE * self.cycle_ms);
    }
}
