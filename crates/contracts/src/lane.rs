//! Lanes: how urgent a job is.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How urgent a job is against others at the same limits. Each provider and lane has its own queue of calls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lane {
    /// A person waits for it.
    Interactive,
    /// The usual.
    #[default]
    Normal,
    /// Large and patient.
    Bulk,
    /// Takes only what nobody else wants.
    Trickle,
}

impl Lane {
    /// All lanes, most urgent first.
    pub const ALL: [Self; 4] = [Self::Interactive, Self::Normal, Self::Bulk, Self::Trickle];

    /// Its place among all lanes, from 0 for the most urgent.
    #[must_use]
    pub fn rank(self) -> u8 {
        self as u8
    }

    /// The lane's name as in files, queues and metrics.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Interactive => "interactive",
            Self::Normal => "normal",
            Self::Bulk => "bulk",
            Self::Trickle => "trickle",
        }
    }
}

impl fmt::Display for Lane {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
