//! What was asked of a simulator and what it did, counted on its own side.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::TokenStats;

/// All that was counted since the start, or since the last reset.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// When the simulator was started, in milliseconds since 1970. Moments below are counted from here.
    pub started_ms: u64,
    /// By name of the endpoint.
    pub endpoints: BTreeMap<String, EndpointStats>,
    /// By id of the limit.
    pub limits: BTreeMap<String, LimitStats>,
    /// Of the token endpoint, which is none of the endpoints.
    #[serde(default)]
    pub tokens: TokenStats,
    /// Calls that no endpoint is for.
    pub unmatched: u64,
    /// Calls under way.
    pub in_flight: u64,
    /// Most calls under way at once.
    pub max_in_flight: u64,
}

/// An endpoint's calls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EndpointStats {
    /// Calls that came.
    pub requests: u64,
    /// Pages that were served whole.
    pub ok: u64,
    /// Calls that a limit refused.
    pub limited: u64,
    /// What else came of calls, by name: a fault (`error_500`), or `unauthorized`, `not_found`, `invalid`,
    /// `too_much_data`, `abandoned` (the client left before the answer was ready).
    pub errors: BTreeMap<String, u64>,
    /// Pages that were served whole at least once; another size makes another page.
    pub pages: u64,
    /// Times that a page was served whole after it had been before.
    pub duplicates: u64,
    /// Items on pages served whole, as often as they were.
    pub items: u64,
    /// Bytes of bodies of answers, as sent; not of bodies that broke off.
    pub bytes: u64,
    /// Calls under way, from when the limits let them in to the end of the answer.
    pub in_flight: u64,
    /// Most calls under way at once.
    pub max_in_flight: u64,
    /// When the first call came, in milliseconds after the start.
    pub first_call_ms: Option<u64>,
    /// When the last call came, in milliseconds after the start.
    pub last_call_ms: Option<u64>,
}

/// What was taken of a limit.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LimitStats {
    /// Calls in a window, in a full bucket, or at once.
    pub allowed: u64,
    /// Length of its window, or time in which its bucket fills up, in milliseconds; 0 for calls at once.
    pub per_ms: u64,
    /// Calls that it counted and that went through.
    pub granted: u64,
    /// Calls that it refused.
    pub refused: u64,
    /// The most that was taken in any window, bucket or at once. Above `allowed` only by refused calls that count.
    pub most_taken: u64,
    /// The most that was asked for in any window, bucket or at once, refused calls included: not above `allowed` if
    /// the client kept the limit.
    pub most_arrived: u64,
    /// Callers that it knows apart.
    pub callers: u64,
}

impl Stats {
    /// Sum over all endpoints.
    #[must_use]
    pub fn sum(&self, of: impl Fn(&EndpointStats) -> u64) -> u64 {
        self.endpoints.values().map(of).sum()
    }
}

impl EndpointStats {
    /// Calls that came to this end; see [`errors`](Self::errors).
    #[must_use]
    pub fn errors_of(&self, kind: &str) -> u64 {
        self.errors.get(kind).copied().unwrap_or(0)
    }
}
