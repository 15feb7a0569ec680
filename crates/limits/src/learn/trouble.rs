//! Refusals that belong together, from the first one until calls are accepted again.

use serde::{Deserialize, Serialize};

/// So many refusals stop everything but canaries.
const STOPS_AT: u32 = 2;
/// So many accepted calls, sent after the last refused one, end it without a canary.
const ENDS_AFTER: u32 = 3;
/// A canary that nobody reports is given up after this time.
const LOST_MS: f64 = 60_000.0;

/// One burst of refusals. Times are Unix ms.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Trouble {
    /// When the first refusal was answered.
    pub(super) since_ms: f64,
    /// Calls accepted each second until then, over the provider's memory.
    #[serde(default)]
    pub(super) per_s: f64,
    refused: u32,
    /// When the latest of the refused calls was sent, and how many sent after it were accepted.
    last_sent_ms: f64,
    accepted_since: u32,
    /// From then on nothing but canaries, single calls, went out; 0 while everything does.
    stopped_ms: f64,
    first_wait_ms: f64,
    canaries: u32,
    canary_at_ms: f64,
    is_canary_out: bool,
    /// When the last canary was refused, if one was.
    refused_ms: f64,
}

/// What an accepted call says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// Nothing yet.
    None,
    /// The refusal was a single one.
    Lone,
    /// Calls are accepted again, after everything had been stopped.
    Over,
}

impl Trouble {
    pub(super) fn new(sent_ms: f64, now_ms: f64, first_wait_ms: f64, per_s: f64) -> Self {
        Self {
            since_ms: now_ms,
            per_s,
            refused: 0,
            last_sent_ms: sent_ms,
            accepted_since: 0,
            stopped_ms: 0.0,
            first_wait_ms,
            canaries: 0,
            canary_at_ms: 0.0,
            is_canary_out: false,
            refused_ms: now_ms,
        }
    }

    pub(super) fn refused(&mut self, until_ms: f64, sent_ms: f64, now_ms: f64) {
        self.refused += 1;
        if sent_ms > self.last_sent_ms {
            (self.last_sent_ms, self.accepted_since) = (sent_ms, 0);
        }
        if self.is_canary(sent_ms) {
            self.canaries += 1;
            let canaries = f64::from(self.canaries + 1);
            (self.refused_ms, self.is_canary_out) = (now_ms, false);
            self.canary_at_ms = now_ms + self.first_wait_ms * canaries * canaries.sqrt();
        } else if !self.is_stopped() && (self.refused >= STOPS_AT || until_ms > now_ms) {
            (self.stopped_ms, self.canary_at_ms) = (now_ms, now_ms + self.first_wait_ms);
        }
        self.canary_at_ms = self.canary_at_ms.max(until_ms);
    }

    pub(super) fn accepted(&mut self, sent_ms: f64) -> Sign {
        if self.is_canary(sent_ms) {
            return Sign::Over;
        }
        self.accepted_since += u32::from(sent_ms > self.last_sent_ms);
        match (self.accepted_since >= ENDS_AFTER, self.is_stopped()) {
            (false, _) => Sign::None,
            (true, false) => Sign::Lone,
            (true, true) => Sign::Over,
        }
    }

    /// Whether the first canary was accepted, or it took no longer than `short_ms`.
    pub(super) fn is_short(&self, now_ms: f64, short_ms: f64) -> bool {
        self.canaries == 0 || now_ms - self.since_ms < short_ms
    }

    pub(super) fn refusals(&self) -> f64 {
        f64::from(self.refused)
    }

    /// Whether a call that was sent then went after everything was stopped.
    pub(super) fn is_canary(&self, sent_ms: f64) -> bool {
        self.is_stopped() && sent_ms >= self.stopped_ms
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stopped_ms > 0.0
    }

    /// When the next canary may go.
    pub(super) fn canary_ms(&self, answer_ms: f64, now_ms: f64) -> f64 {
        if self.is_canary_out && now_ms < self.canary_at_ms + LOST_MS {
            return (self.canary_at_ms + answer_ms).max(now_ms + 25.0 + answer_ms / 4.0);
        }
        self.canary_at_ms.max(now_ms)
    }

    /// The same, if a canary that is out is never reported.
    pub(super) fn lost_at_ms(&self, now_ms: f64) -> f64 {
        (self.canary_at_ms + if self.is_canary_out { LOST_MS } else { 0.0 }).max(now_ms)
    }

    /// Nothing is known of a call: if it was the canary, another may go.
    pub(super) fn lost(&mut self, sent_ms: f64, now_ms: f64) {
        if self.is_canary_out && sent_ms >= self.stopped_ms {
            (self.is_canary_out, self.canary_at_ms) = (false, now_ms + self.first_wait_ms);
        }
    }

    /// A canary goes out.
    pub(super) fn send_canary(&mut self, now_ms: f64) {
        (self.canary_at_ms, self.is_canary_out) = (now_ms, true);
    }

    /// How much too late the canary that was accepted is likely to have been.
    pub(super) fn late_ms(&self) -> f64 {
        if self.canaries > 0 { (self.canary_at_ms - self.refused_ms) / 2.0 } else { 0.0 }
    }
}
