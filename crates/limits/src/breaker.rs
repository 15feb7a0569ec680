//! A circuit breaker: while a provider is ill nobody calls it, but for single calls that try whether it is well again.
//!
//! ```text
//! closed ──ill too often──▶ open ──a probe went well──▶ closing ──room for many──▶ closed
//!                           ▲  └──────a probe failed──────┐   └──ill again──┐
//!                           └─────────twice as far────────┴─────────────────┘
//! ```
//!
//! What goes wrong is weighed against what goes well (a cumulative sum, Page 1954), so that a row of failures opens it and
//! so does a share of them that is too high. An answer that is a failure counts 1, for it may be about one item; silence
//! counts 2. While it is closing, as many calls are in flight as went well since: 1, 2, 4 and so on.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::charge::Health;
use crate::concurrency::whole_ms;
use crate::in_flight::{Held, InFlight};
use crate::limiter::Down;
use crate::meter::{Gauge, HELD_MS, Heard, IDLE_MS, Meter, Ready};

/// What silence counts; an answer that is a failure counts 1.
const SILENT: f64 = 2.0;
/// A probe that is not reported for so long is lost: longer than a call's deadlines, unless a file says otherwise.
const LOST_MS: i64 = 150_000;
/// While a probe is out, who waits comes back after this time at the latest: it may go well.
const PROBING_AGAIN_MS: i64 = 15_000;
/// While it is closing, any report may make room.
const CLOSING_AGAIN_MS: i64 = 250;
/// Longest patience with a provider that was never well while this is remembered: a mistyped address looks like an outage.
const UNMET_PATIENCE_MS: i64 = 120_000;
/// It is closed again when so many calls may be in flight.
const CLOSED_ROOM: u64 = 64;

/// When calls are kept from a provider that is ill, and how it is tried. `{}` for the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Breaker {
    /// So many failures in a row open it, from 1 to 1,000,000; calls that nobody answers count twice. 0: it never opens.
    pub failures: u32,
    /// A larger share of failures opens it, too, from 0.01 to 0.99.
    pub share: f64,
    /// The time from its opening to the first probe, and the shortest; doubles with each probe that fails.
    #[serde(with = "crate::human_duration")]
    #[schemars(with = "String")]
    pub first_probe: Duration,
    /// The longest time from one probe to the next; at most 1 day.
    #[serde(with = "crate::human_duration")]
    #[schemars(with = "String")]
    pub longest_probe: Duration,
    /// For so long after its opening a probe that fails costs its call no attempt; at most 366 days. At most 2 minutes for a
    /// provider that no call has found well yet.
    #[serde(with = "crate::human_duration")]
    #[schemars(with = "String")]
    pub patience: Duration,
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            failures: 10,
            share: 0.8,
            first_probe: Duration::from_secs(1),
            longest_probe: Duration::from_mins(1),
            patience: Duration::from_hours(6),
        }
    }
}

/// The state of one breaker. Times are Unix ms.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Circuit {
    breaker: Breaker,
    mode: Mode,
    /// Some call found the provider well.
    #[serde(default)]
    met: bool,
    /// Failures, weighed against what went well.
    score: f64,
    failed_ms: i64,
    /// When it was opened, since it was last closed.
    since_ms: i64,
    /// From the next failure to the next probe.
    distance_ms: i64,
    /// Open: when it is tried next.
    probe_ms: i64,
    /// Open: when the probe was granted that is out; 0 for none.
    probed_ms: i64,
    /// Closing: since when, and how many may be in flight.
    closing_ms: i64,
    room: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Mode {
    Closed,
    Open,
    Closing,
}

impl Circuit {
    pub(crate) fn new(breaker: Breaker) -> Self {
        Self {
            breaker,
            mode: Mode::Closed,
            met: false,
            score: 0.0,
            failed_ms: 0,
            since_ms: 0,
            distance_ms: 0,
            probe_ms: 0,
            probed_ms: 0,
            closing_ms: 0,
            room: 0,
        }
    }

    /// The same under the options of `new`.
    pub(crate) fn under(&self, new: &Self) -> Self {
        Self { breaker: new.breaker, ..self.clone() }
    }

    /// As after a restart: a probe that was out is nobody's.
    pub(crate) fn at_rest(self) -> Self {
        Self { probed_ms: 0, ..self }
    }

    /// What is known of calls that are granted now need not be kept: only their reports count.
    pub(crate) fn is_closed(&self) -> bool {
        self.mode == Mode::Closed
    }

    /// Whether the call that was just granted is a probe whose failure costs no attempt.
    pub(crate) fn probes_free(&self, now_ms: i64) -> bool {
        let patience_ms = whole_ms(self.breaker.patience);
        let patience_ms = if self.met { patience_ms } else { patience_ms.min(UNMET_PATIENCE_MS) };
        self.mode == Mode::Open && now_ms - self.since_ms < patience_ms
    }

    /// How a call went, `held` if it was granted while this was not closed.
    pub(crate) fn went(&mut self, held: Option<Held>, health: Option<Health>, now_ms: i64) {
        let granted_ms = held.map_or(i64::MIN, |held| held.granted_ms);
        self.met |= health == Some(Health::Well);
        match self.mode {
            Mode::Closed => self.weigh(health, now_ms),
            Mode::Open if self.probed_ms > 0 && granted_ms >= self.probed_ms => {
                self.probed_ms = 0;
                match health {
                    Some(Health::Well) => self.close_slowly(now_ms),
                    Some(Health::Ill | Health::Silent) => self.open(now_ms),
                    None => {} // It was not made: the next one may.
                }
            }
            Mode::Closing if granted_ms >= self.closing_ms => {
                if health == Some(Health::Well) {
                    self.room += 1;
                    self.distance_ms = (self.distance_ms / 2).max(whole_ms(self.breaker.first_probe));
                }
                self.weigh(health, now_ms);
                if self.mode == Mode::Closing && self.room >= CLOSED_ROOM {
                    self.mode = Mode::Closed;
                }
            }
            // It was granted before the provider was found ill, and says nothing new.
            Mode::Open | Mode::Closing => {}
        }
    }

    fn weigh(&mut self, health: Option<Health>, now_ms: i64) {
        let share = self.breaker.share.clamp(0.01, 0.99);
        match health {
            None => return,
            Some(Health::Well) => {
                self.score = (self.score - share / (1.0 - share)).max(0.0);
                return;
            }
            Some(Health::Ill) => self.score += 1.0,
            Some(Health::Silent) => self.score += SILENT,
        }
        self.failed_ms = now_ms;
        if self.breaker.failures > 0 && self.score >= f64::from(self.breaker.failures) {
            self.open(now_ms);
        }
    }

    fn open(&mut self, now_ms: i64) {
        if self.mode == Mode::Closed {
            (self.since_ms, self.distance_ms) = (now_ms, whole_ms(self.breaker.first_probe));
        }
        self.mode = Mode::Open;
        self.probe_ms = now_ms.saturating_add(self.distance_ms);
        self.distance_ms = (2 * self.distance_ms).min(whole_ms(self.breaker.longest_probe));
    }

    fn close_slowly(&mut self, now_ms: i64) {
        (self.mode, self.closing_ms, self.room) = (Mode::Closing, now_ms, 1);
        // The first call that fails now opens it again.
        self.score = f64::from(self.breaker.failures) - 1.0;
    }
}

impl Meter for Circuit {
    fn size(&self) -> Option<u64> {
        Some(u64::from(self.breaker.failures).max(1))
    }

    fn advance(&mut self, _in_flight: &InFlight, now_ms: i64) {
        if self.mode != Mode::Open && now_ms - self.failed_ms >= IDLE_MS {
            self.score = 0.0;
        }
        if now_ms - self.probed_ms >= LOST_MS {
            self.probed_ms = 0;
        }
    }

    fn ready(&self, in_flight: &InFlight, _cost: u64, now_ms: i64) -> Ready {
        match self.mode {
            Mode::Open if self.probed_ms > 0 => {
                let lost_ms = self.probed_ms + LOST_MS;
                let until_ms = now_ms + self.distance_ms.min(PROBING_AGAIN_MS);
                Ready { until_ms: until_ms.min(lost_ms), at_latest_ms: lost_ms }
            }
            Mode::Open => Ready::at(self.probe_ms.max(now_ms)),
            Mode::Closing if in_flight.cost_since(self.closing_ms - 1) >= self.room => {
                Ready { until_ms: now_ms + CLOSING_AGAIN_MS, at_latest_ms: now_ms + HELD_MS }
            }
            Mode::Closed | Mode::Closing => Ready::at(now_ms),
        }
    }

    fn leases(&self) -> bool {
        self.is_closed()
    }

    fn spend(&mut self, _in_flight: &InFlight, _cost: u64, now_ms: i64) {
        if self.mode == Mode::Open {
            self.probed_ms = now_ms;
        }
    }

    /// No header speaks of it.
    fn hear(&mut self, _in_flight: &InFlight, _heard: &Heard<'_>) {}

    fn gauge(&self, _in_flight: &InFlight, now_ms: i64) -> Gauge {
        let used = match self.mode {
            Mode::Open if now_ms - self.probe_ms.max(self.probed_ms) >= IDLE_MS => 0, // Nobody wants to know any more.
            Mode::Open => u64::from(self.breaker.failures),
            Mode::Closed | Mode::Closing => self.score.ceil() as u64,
        };
        Gauge { used, resets_at_ms: None }
    }

    fn down(&self) -> Option<Down> {
        (self.mode == Mode::Open).then_some(Down { since_ms: self.since_ms, probe_at_ms: self.probe_ms })
    }
}
