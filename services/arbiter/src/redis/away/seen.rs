//! What the functions wrote of a budget, as far as somebody who has nothing else may count on it.

use serde::Deserialize;

/// A budget as it was seen: what `budget.lua` keeps. Times are Unix ms or µs of the server's clock.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Seen {
    pub(super) rate: String,
    pub(super) meter: Meter,
    pub(super) flight: Flight,
    pub(super) block: Block,
}

/// The calls in flight.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Flight {
    pub(super) cost: f64,
}

/// What was refused.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Block {
    pub(super) until_ms: f64,
}

/// Meters by the names that they have in Lua.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "kind")]
pub(super) enum Meter {
    #[serde(rename = "w")]
    Window { calls: Option<f64>, told_size: Option<f64>, per_ms: f64, used: f64, open: Option<Open> },
    #[serde(rename = "s")]
    Sliding {
        told_size: Option<f64>,
        /// Number, latest landing, cost.
        slices: Vec<(f64, f64, f64)>,
    },
    #[serde(rename = "b")]
    Bucket { size: f64, every_us: f64, full_at_us: f64 },
    #[serde(rename = "c")]
    Concurrency { slots: f64 },
    #[serde(rename = "g")]
    Slots { size: f64 },
    #[serde(rename = "l")]
    Learn { pace_per_s: f64, trouble: Option<serde::de::IgnoredAny> },
    #[serde(rename = "k")]
    Breaker { mode: String },
    /// Of a kind that can't be shared.
    #[serde(other)]
    Other,
}

/// The window that runs.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Open {
    pub(super) over_ms: f64,
}

impl Seen {
    /// None if it makes no sense.
    pub(super) fn read(state: &[u8]) -> Option<Self> {
        rmp_serde::from_slice(state).ok()
    }
}
