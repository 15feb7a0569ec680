//! Outcomes: what came of a call.

use serde::{Deserialize, Serialize};

use crate::{Call, Class, PageFacts};

/// What came of a call. Executor → planner.
///
/// Idempotent by `call.call`: the tracker moves a call out of its open state once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Outcome {
    /// The page is stored.
    Page {
        /// The call it answers.
        call: Call,
        /// What the page said.
        facts: PageFacts,
    },
    /// The call failed for good.
    Failed {
        /// The call.
        call: Call,
        /// Why.
        failure: Failure,
    },
    /// The call waits and will be made later; it is parked on the bus.
    Deferred {
        /// The call.
        call: Call,
        /// Until when and why.
        wait: Wait,
    },
    /// The call was not made, because its job was stopped.
    Cancelled {
        /// The call.
        call: Call,
    },
    /// The call is not made now, because its job is paused or its credential parked; it stays open, and goes out again when the
    /// job goes on.
    Returned {
        /// The call.
        call: Call,
    },
}

impl Outcome {
    /// The call it speaks of.
    #[must_use]
    pub fn call(&self) -> &Call {
        match self {
            Self::Page { call, .. }
            | Self::Failed { call, .. }
            | Self::Deferred { call, .. }
            | Self::Cancelled { call }
            | Self::Returned { call } => call,
        }
    }
}

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// What it means.
    pub class: Class,
    /// HTTP status, if there was an answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// For people; at most [`Failure::MESSAGE_MAX_CHARS`] characters, secrets removed.
    pub message: String,
}

impl Failure {
    /// Longest message kept, in characters.
    pub const MESSAGE_MAX_CHARS: usize = 500;
}

/// Until when a call waits, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// Unix time in milliseconds.
    pub until_ms: i64,
    /// Why.
    pub reason: WaitReason,
}

/// Why a call waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitReason {
    /// A limit has no room before then; the limit's id in the provider file.
    Limit(String),
    /// Back-off after a failure of this class.
    Backoff(Class),
    /// Somebody paused a limit, for all who touch it.
    Paused {
        /// The limit's id in the provider file.
        limit: String,
        /// What they said.
        reason: String,
        /// Unix time in ms at which the pause ends by itself; none for never. Calls come back before, in case it has ended.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_ms: Option<i64>,
    },
    /// The provider was found ill; single calls try whether it still is.
    Down {
        /// Unix time in ms at which it was found so.
        since_ms: i64,
        /// What came of the last call to it, as far as whoever tells knows; at most [`WaitReason::CAUSE_MAX_CHARS`] characters,
        /// secrets removed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<String>,
    },
}

impl std::fmt::Display for WaitReason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Limit(limit) => write!(f, "limit {limit}"),
            Self::Backoff(class) => write!(f, "back-off after {class}"),
            Self::Paused { limit, reason, .. } => write!(f, "limit {limit}, which is paused: {reason}"),
            Self::Down { cause: None, .. } => f.write_str("the provider, which is down"),
            Self::Down { cause: Some(cause), .. } => write!(f, "the provider, which is down: {cause}"),
        }
    }
}

impl WaitReason {
    /// Longest cause kept, in characters.
    pub const CAUSE_MAX_CHARS: usize = 200;
    /// In place of a limit's id: the results exchange does not take the call's page. No limit can be called so.
    pub const RESULTS: &'static str = "results exchange";
    /// In place of a limit's id: the provider's token endpoint gives no token now. No limit can be called so.
    pub const TOKENS: &'static str = "token endpoint";
}
