//! What the limiter is asked, what it decides, and what it is told afterwards. All of it travels as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::headers::Reading;
use crate::line::By;
use crate::overrides::Why;
use crate::rate::Rate;

/// What one call takes from one limit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Charge {
    /// The limit's id in the provider file, for people.
    pub limit: String,
    /// Names the budget: provider, limit id and the factors' values. Distinct within a question.
    pub key: String,
    /// What the limit allows, as configured; what an answer told wins.
    pub rate: Rate,
    /// Units of cost. More than the whole budget counts as the whole budget, so that the call can be made at all.
    pub cost: u32,
}

/// Whether one call may be made now.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// All limits that the call touches: every one must have room, or none is charged.
    pub charges: Vec<Charge>,
    /// Who asks, and so when it is its turn; without, whatever has room is granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
}

impl Question {
    /// Nobody's in particular.
    #[must_use]
    pub fn new(charges: Vec<Charge>) -> Self {
        Self { charges, by: None }
    }
}

/// The answer to a [`Question`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decision {
    /// The call may be made now; all its limits are charged.
    Granted(Permit),
    /// Nothing was charged.
    Wait {
        /// Unix time in ms to come back at; before, there is no room, unless a call is given back unsent or a slot
        /// comes free. Then the call is granted, if nobody else consumes and no call is in flight over an edge; who
        /// waits for a slot, or for answers to calls that may be counted twice, comes back every 250 ms.
        until_ms: i64,
        /// Unix time in ms at which the call is granted, if nobody else consumes, even if the calls in flight are
        /// never reported.
        at_latest_ms: i64,
        /// Id of the limit that binds: the one with the latest `until_ms`.
        limit: String,
        /// Why, where it is not that the limit has no room. The times are when to ask again then, and promise nothing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        why: Option<Why>,
    },
}

impl Decision {
    /// The same, told by a clock that is `ahead_ms` ahead of the one that decided.
    #[must_use]
    pub fn by_clock(self, ahead_ms: i64) -> Self {
        match self {
            Self::Wait { until_ms, at_latest_ms, limit, why } => Self::Wait {
                until_ms: until_ms.saturating_add(ahead_ms),
                at_latest_ms: at_latest_ms.saturating_add(ahead_ms),
                limit,
                why: why.map(|why| why.by_clock(ahead_ms)),
            },
            granted @ Self::Granted(_) => granted,
        }
    }
}

/// Leave to make one call. To be given back with a [`Report`], whatever came of the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// Unique and increasing within one limiter, over restarts too; below 2^53, so that JSON numbers hold it anywhere.
    pub id: u64,
    /// Keys of the budgets that were charged.
    pub keys: Vec<String>,
    /// The provider was found ill, and this call tries whether it still is: if so, that costs the call no attempt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub probe: bool,
}

/// What became of a permit. Reporting twice does no harm.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The permit that is given back.
    pub permit: Permit,
    /// Whether anything was sent: if not, what was charged is refunded.
    pub sent: bool,
    /// What the answer told; none when no answer came.
    pub answer: Option<Told>,
    /// What the call says of the provider's health; none where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<Health>,
}

/// What a call says of its provider's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Health {
    /// It answers.
    Well,
    /// It answers that it can't.
    Ill,
    /// It does not answer.
    Silent,
}

impl Report {
    /// The same, told to a clock that is `ahead_ms` ahead of the one that read the answer. Times that the provider's own
    /// clock told stay as they are; a time to come back at was nearly always told from now on.
    #[must_use]
    pub fn by_clock(mut self, ahead_ms: i64) -> Self {
        let ahead = |ms: &mut i64| *ms = ms.saturating_add(ahead_ms);
        let Some(told) = &mut self.answer else { return self };
        for reading in told.readings.values_mut() {
            reading.reset_at_ms.iter_mut().filter(|_| reading.reset_is_relative).for_each(ahead);
            reading.pause_until_ms.iter_mut().for_each(ahead);
        }
        told.refused.iter_mut().filter_map(|refused| refused.until_ms.as_mut()).for_each(ahead);
        self
    }
}

/// What an answer told of the limits it touched.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// What its headers said, by budget key. Keys that the permit lacks are ignored.
    pub readings: BTreeMap<String, Reading>,
    /// Set when the provider refused the call because of a limit.
    pub refused: Option<Refused>,
}

/// A provider's refusal: 429 or what it says instead.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refused {
    /// Keys of the budgets that it blocks. Budgets that no call was ever charged to are ignored.
    pub keys: Vec<String>,
    /// Unix time in ms until which the provider asked to wait. Without one, or with one that has passed: exponential
    /// back-off.
    pub until_ms: Option<i64>,
}
