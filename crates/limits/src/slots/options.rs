//! What a provider file may say of a number of slots that is learnt.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How many calls at a time are learnt, of a provider that slows down instead of refusing. `{}` for the defaults.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LearnSlots {
    /// Calls at a time to begin with, from `floor` to `cap`.
    pub start: u32,
    /// Never fewer, from 1 to `cap`.
    pub floor: u32,
    /// Never more, from 1 to 10,000.
    pub cap: u32,
}

impl Default for LearnSlots {
    fn default() -> Self {
        Self { start: 4, floor: 1, cap: 100 }
    }
}
