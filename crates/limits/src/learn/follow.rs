//! A provider that is full for a moment only, as a bucket is: its pace is followed from refusal to refusal.
//!
//! A bucket that was just empty loses nothing until it is full again, so what it let through between two refusals, over
//! the time between them, is its pace, to a call. A cycle therefore goes a little slower than the pace and then a little
//! quicker, so that the next refusal is due at its end:
//!
//! * It comes about then: what was measured joins what is known.
//! * It is late: the pace rises with the cube of the time, for the limit may have been raised.
//! * It is early, and the next ones too: the limit was lowered. The more of them, the less counts what was known. For a
//!   while after that it may come back, so cycles are shorter and a late refusal makes the pace rise sooner.
//!
//! From the first to the last refusal of a burst it was full twice as well, so that is a measurement, too.
//!
//! A limiter to which that does not apply shows by pace after pace that does not hold, and is not followed any more.

use serde::{Deserialize, Serialize};

use super::Learn;

/// By so many calls a cycle is first behind the pace and then ahead of it, and by so many for the root of the calls on their
/// way, which come in another order than they went: fewer, and refusals come at random; more, and a small burst is not used.
const SWING: (f64, f64) = (5.0, 2.0);
/// A refusal is early before the first of these shares of a cycle, and late after the second. (One call more or less makes
/// a fifth of a cycle.)
const DUE: (f64, f64) = (0.4, 1.2);
/// From the end of a cycle on the pace rises: the least time, and the least calls, in which it doubles, and at least so many answers.
/// With 0.8 s a limit that is trebled is reached in 1.0 s.
const RISE: (f64, f64, f64) = (800.0, 45.0, 25.0);
/// The shortest cycle, in ms, calls and answers. Half as long ones find a raised limit a second sooner, for twice the refusals.
const CYCLE: (f64, f64, f64) = (2_200.0, 110.0, 20.0);
/// Below what was allowed before, cycles are shorter and rises quicker by this.
const SOONER: f64 = 0.6;
/// A refusal is earned by so many times the calls that the options say, since some cycles end early.
const EARNED: f64 = 1.3;
/// For so long after a change another one is looked for by the shortest cycles.
const WARY_MS: f64 = 60_000.0;
/// So many refusals may be spent on that before they are earned.
const SPARE: f64 = 20.0;
/// From so many times the pace on, what a rise came to is believed rather than what the cycle measured, which was begun too
/// slowly: as much as is between where it ended and its mean, since it went on until what a full bucket holds was used as well.
const RISEN: f64 = 2.0;
/// Such a share of what a ramp came to, so that the next refusal comes soon and measures it.
const RAMPED: f64 = 0.85;
/// Less than that, n times in a row, moves the pace by this share of the way, times n squared: a bucket of one or two calls
/// lets through what is sent now, not what would have made up for slower calls before.
const LATE_STEP: f64 = 0.1;
/// As many calls as what is known of the pace counts for: just begun or risen, and at most; and after the n-th early refusal
/// the last of these over n squared, and twice the calls that are on their way.
const KNOWN: (f64, f64, f64) = (4.0, 200.0, 30.0);
/// Below such a share of the pace it is a change; below the second it is none of a bucket's.
const FALLEN: (f64, f64) = (0.8, 0.15);
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
    /// And of the latest refusal of that burst. (Arbiters before 23 November 2026 kept neither it nor what was allowed before.)
    #[serde(default)]
    last_ms: f64,
    #[serde(default)]
    last_accepted: f64,
    cycle_ms: f64,
    /// By this share calls go slower, and then quicker.
    swing: f64,
    rise_ms: f64,
    /// The pace so far is worth so many calls.
    known: f64,
    /// Refusals in a row that were early, the pace before them (0 after a ramp or a rise), and those that were late.
    early: f64,
    steady_per_s: f64,
    late: f64,
    misses: f64,
    changed_ms: f64,
    spare: f64,
    /// The pace that held before the limit was lowered, for as long as it may come back.
    #[serde(default)]
    former_per_s: f64,
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
        Self::new(0.0)
    }
}

impl Follow {
    pub(super) fn new(now_ms: f64) -> Self {
        Self {
            since_ms: now_ms,
            accepted: 0.0,
            met_ms: now_ms,
            met_accepted: 0.0,
            last_ms: now_ms,
            last_accepted: 0.0,
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
            former_per_s: 0.0,
        }
    }

    /// The provider was just full for a moment; `reached_per_s` is more than it allows. The pace to begin with.
    pub(super) fn start(&mut self, reached_per_s: f64, now_ms: f64) -> f64 {
        let (since_ms, before) = self.last_full();
        *self = Self { since_ms, accepted: self.accepted - before, ..Self::new(now_ms) };
        RAMPED * reached_per_s
    }

    /// When the provider was last full, and how many calls had been accepted by then.
    fn last_full(&self) -> (f64, f64) {
        if self.last_ms > self.met_ms { (self.last_ms, self.last_accepted) } else { (self.met_ms, self.met_accepted) }
    }

    /// A cycle begins anew.
    pub(super) fn begin(&mut self, now_ms: f64) {
        (self.since_ms, self.accepted) = (now_ms, 0.0);
    }

    /// The pace was not asked for during this time.
    pub(super) fn idle(&mut self, idle_ms: f64) {
        self.since_ms += idle_ms;
        // A refusal may have come just before.
        self.met_ms += idle_ms;
        self.last_ms += idle_ms;
    }

    pub(super) fn accept(&mut self, calls: f64, refused_share: f64) {
        self.accepted += calls;
        self.spare = (self.spare + refused_share).min(SPARE);
    }

    /// Calls go at this multiple of the pace.
    pub(super) fn quicker(&self, now_ms: f64) -> f64 {
        let part = ((now_ms - self.since_ms) / self.cycle_ms).clamp(0.0, 1.0);
        let risen = self.risen(now_ms);
        (1.0 + self.swing * (2.0 * part - 1.0)) * (1.0 + risen * risen * risen)
    }

    /// How far a late refusal has made the pace rise; 1 for doubled.
    fn risen(&self, now_ms: f64) -> f64 {
        (now_ms - self.since_ms - self.cycle_ms).max(0.0) / self.rise_ms
    }

    /// And at this one while it is not known what a refusal means.
    pub(super) fn slower(&self) -> f64 {
        1.0 - self.swing
    }

    /// The first of a burst of refusals.
    pub(super) fn meet(&mut self, now_ms: f64) {
        (self.met_ms, self.met_accepted) = (now_ms, self.accepted);
    }

    /// Another one of that burst.
    pub(super) fn meet_again(&mut self, now_ms: f64) {
        (self.last_ms, self.last_accepted) = (now_ms, self.accepted);
    }

    /// Whether this is no provider to be followed.
    pub(super) fn is_lost(&self) -> bool {
        self.misses >= MISSES
    }

    /// A cycle is over, and the next one begins: the pace that it goes at.
    pub(super) fn next(&mut self, pace_per_s: f64, burst: Burst, learn: &Learn) -> f64 {
        let took_ms = (self.met_ms - self.since_ms).max(1.0);
        let reached_per_s = (pace_per_s * self.quicker(self.met_ms)).min(learn.cap_per_s);
        let mut next_per_s = if reached_per_s > RISEN * pace_per_s {
            let risen = self.risen(self.met_ms);
            let mean_per_s = pace_per_s * (1.0 + risen * risen * risen / 4.0);
            (self.known, self.early, self.late, self.steady_per_s) = (KNOWN.0, 0.0, 0.0, 0.0);
            self.changed_ms = burst.now_ms;
            (self.met_accepted * 1_000.0 / took_ms).max((mean_per_s * reached_per_s).sqrt())
        } else {
            self.measure(pace_per_s, reached_per_s, (self.met_accepted, took_ms), burst)
        };
        let (full_ms, accepted) = self.last_full();
        if full_ms > self.met_ms {
            let within = (accepted - self.met_accepted, full_ms - self.met_ms);
            // A sliding window that is full lets nothing through: it counts as one more early refusal at most.
            next_per_s = self.measure(next_per_s, next_per_s, within, Burst { refused: 1.0, ..burst });
        }
        (self.since_ms, self.accepted) = (full_ms, self.accepted - accepted);
        self.plan(next_per_s, burst, learn.refused_share);
        next_per_s
    }

    /// The provider was full twice, and let through so many calls in so many ms between.
    fn measure(&mut self, pace_per_s: f64, reached_per_s: f64, measured: (f64, f64), burst: Burst) -> f64 {
        let part = measured.1 / self.cycle_ms;
        self.count(part, pace_per_s, burst);
        let found_per_s = self.found(part, pace_per_s, reached_per_s, measured);
        self.judge(pace_per_s, found_per_s, burst.now_ms);
        found_per_s
    }

    /// Early and late ones in a row.
    fn count(&mut self, part: f64, pace_per_s: f64, burst: Burst) {
        self.late = if part > DUE.1 { self.late + 1.0 } else { 0.0 };
        if part >= DUE.0 {
            (self.early, self.steady_per_s) = (0.0, pace_per_s);
            self.misses = (self.misses - 0.5).max(0.0);
            if pace_per_s >= FALLEN.0 * self.former_per_s || burst.now_ms - self.changed_ms >= WARY_MS {
                self.former_per_s = pace_per_s;
            }
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

    /// The pace by what was known and by what was measured; if that was late, by no less than was measured.
    fn found(&mut self, part: f64, pace_per_s: f64, reached_per_s: f64, (calls, took_ms): (f64, f64)) -> f64 {
        let found_per_s = (calls + self.known) / (took_ms / 1_000.0 + self.known / pace_per_s);
        self.known = (self.known + calls).min(KNOWN.1);
        if part < DUE.0 {
            return found_per_s.min(pace_per_s);
        }
        if self.late == 0.0 {
            return found_per_s;
        }
        let found_per_s = found_per_s.max(calls * 1_000.0 / took_ms);
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
        let sooner = if pace_per_s < FALLEN.0 * self.former_per_s { SOONER } else { 1.0 };
        let shortest = sooner * CYCLE.1.max(pace_per_s * CYCLE.0.max(CYCLE.2 * burst.answer_ms) / 1_000.0);
        self.spare -= burst.refused;
        let is_wary = self.spare > 0.0 && burst.now_ms - self.changed_ms < WARY_MS;
        let calls = if is_wary { shortest } else { shortest.max(EARNED * burst.refused / refused_share) };
        self.cycle_ms = calls * 1_000.0 / pace_per_s;
        let on_their_way = pace_per_s * burst.answer_ms / 1_000.0;
        self.swing = ((SWING.0 + SWING.1 * on_their_way.sqrt()) / calls).min(0.2);
        self.rise_ms = sooner * RISE.0.max(RISE.1 * 1_000.0 / pace_per_s).max(RISE.2 * burst.answer_ms);
    }
}
