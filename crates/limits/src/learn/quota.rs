//! A quota over minutes, hours or a day, beside a limit on the pace: so many calls, and then nothing for long.
//!
//! It shows as a wall of refusals that lasts much longer than a pace that had held could explain. The pace was fine then, and
//! stays; what was let through since the last such wall, and the time from its end to this one's, are the quota. From then on
//! calls go at the pace until the quota is used up, and then wait for its end: who needs less never notices it.
//!
//! At its end a single call is tried, so that a quota which was raised is found: by one refusal for each window.

use serde::{Deserialize, Serialize};

/// The shortest wall that may be a quota's, in ms, and in memories of the limit on the pace.
const WALL: (f64, f64) = (30_000.0, 3.0);
/// Refusals after such a share of the quota are its end, even if it is a little less than was thought.
const NEAR: f64 = 0.99;

/// What is known of a quota. Times are Unix ms.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Quota {
    /// So many calls in a window; 0 while none has shown.
    calls: f64,
    window_ms: f64,
    /// Since when calls are counted, and how many went since and were not refused.
    since_ms: f64,
    used: f64,
    /// When a call was tried beyond the quota; 0 if none was.
    tried_ms: f64,
}

impl Quota {
    /// Whether a wall of refusals that took so long is a quota's, where a pace held that is remembered for `memory_ms`.
    pub(super) fn ends(&self, wall_ms: f64, memory_ms: f64) -> bool {
        wall_ms >= WALL.0.max(WALL.1 * memory_ms) || self.is_rest()
    }

    /// Whether not one call was let through since the window began: it began too soon, in the rest of the last one.
    fn is_rest(&self) -> bool {
        self.calls > 0.0 && self.used < 1.0
    }

    /// When the next call may go, as far as this is concerned. `may_try`: one more may be refused.
    pub(super) fn ready_ms(&self, may_try: bool, now_ms: f64) -> f64 {
        let end_ms = self.since_ms + self.window_ms;
        let is_used_up = self.calls > 0.0 && now_ms < end_ms && self.used >= self.calls;
        if is_used_up && (self.tried_ms > 0.0 || !may_try) { end_ms } else { now_ms }
    }

    /// A call goes; not a canary, which says when a wall is over.
    pub(super) fn go(&mut self, cost: f64, now_ms: f64) {
        let is_over = self.calls > 0.0 && now_ms >= self.since_ms + self.window_ms;
        if is_over || self.since_ms == 0.0 {
            (self.since_ms, self.used, self.tried_ms) = (now_ms, 0.0, 0.0);
        }
        if self.calls > 0.0 && self.used >= self.calls {
            self.tried_ms = now_ms;
        }
        self.used += cost;
    }

    /// A call was accepted: if it was beyond the quota, that was raised.
    pub(super) fn accepted(&mut self, sent_ms: f64) {
        if self.tried_ms > 0.0 && sent_ms >= self.tried_ms {
            (self.calls, self.tried_ms) = (self.used, 0.0);
        }
    }

    /// A call was refused: whether that was because the quota was used up.
    pub(super) fn refused(&mut self, cost: f64, sent_ms: f64) -> bool {
        if self.tried_ms > 0.0 {
            return true;
        }
        if sent_ms >= self.since_ms {
            self.used = (self.used - cost).max(0.0);
        }
        false
    }

    /// Refusals stopped everything: whether the quota is used up, and nothing more is to be tried.
    pub(super) fn is_used_up(&mut self, now_ms: f64) -> bool {
        let is_used_up = self.calls > 0.0 && self.used >= NEAR * self.calls && now_ms < self.since_ms + self.window_ms;
        if is_used_up {
            (self.calls, self.tried_ms) = (self.used, now_ms);
        }
        is_used_up
    }

    /// A quota's wall is over: one call was just accepted again. That is rather late, so no window is taken for too short.
    pub(super) fn learn(&mut self, now_ms: f64) {
        let took_ms = now_ms - self.since_ms;
        if self.is_rest() {
            self.window_ms += took_ms;
        } else if self.used < NEAR * self.calls {
            // What was taken for one window were several: so it is if none of the first ones was used up.
            (self.calls, self.window_ms) = (self.used, took_ms);
        } else {
            (self.calls, self.window_ms) = (self.used, self.window_ms.max(took_ms));
        }
        (self.since_ms, self.used, self.tried_ms) = (now_ms, 1.0, 0.0);
    }

    /// Whether one refusal for each window is no more than such a share of the calls.
    pub(super) fn is_worth(&self, refused_share: f64) -> bool {
        self.calls * refused_share >= 1.0
    }
}
