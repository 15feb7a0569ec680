//! What a provider file may say of a limit that is learnt.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a limit that nobody tells is learnt. All paces are units of cost each second.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Learn {
    /// The pace to begin with, rising as (1 + t / 10 s)^2 until something is refused, and sooner from more than 1 on.
    pub start_per_s: f64,
    /// The slowest pace.
    pub floor_per_s: f64,
    /// The quickest pace, at most 10,000.
    pub cap_per_s: f64,
    /// The share of calls that may be refused for the sake of learning, from 0.0001 to 0.1.
    pub refused_share: f64,
}

impl Default for Learn {
    fn default() -> Self {
        Self { start_per_s: 1.0, floor_per_s: 0.01, cap_per_s: 1_000.0, refused_share: 0.005 }
    }
}
