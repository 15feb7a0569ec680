//! What the limiter is asked, what it decides, and what it is told afterwards. All of it travels as JSON.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::headers::Reading;
use crate::line::By;
use crate::overrides::Why;
use crate::rate::Rate;
use crate::sharing::Headroom;

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
    /// What of it is kept for higher lanes, where that is not the [setting](crate::Sharing).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headroom: Option<Headroom>,
}

/// Most calls that are granted at once: a power of two.
pub const LEASE_MAX: u32 = 256;

/// Whether one call may be made now, or how many alike.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// All limits that the call touches: every one must have room, or none is charged.
    pub charges: Vec<Charge>,
    /// What it may touch instead of `charges`, each of them whole, where it may be made in several ways (with one of several
    /// credentials, from one of several addresses): of those that have room, the one with the most is charged. No two are of
    /// the same keys, so that a permit's keys tell which one it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Vec<Charge>>,
    /// Who asks, and so when it is its turn; without, whatever has room is granted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<By>,
    /// Most calls alike that are to be granted at once, from 1 to [`LEASE_MAX`].
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub want: u32,
}

impl Question {
    /// Nobody's in particular, for one call.
    #[must_use]
    pub fn new(charges: Vec<Charge>) -> Self {
        Self { charges, alternatives: Vec::new(), by: None, want: 1 }
    }

    /// The same, asked by somebody.
    #[must_use]
    pub fn by(self, by: By) -> Self {
        Self { by: Some(by), ..self }
    }

    /// The ways in which the call may be made: what each touches.
    pub fn choices(&self) -> impl Iterator<Item = &[Charge]> {
        std::iter::once(&self.charges).chain(&self.alternatives).map(Vec::as_slice)
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
        /// Id of the limit that binds: the one with the latest `until_ms`. Of alternatives, the one that has room first.
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

/// Leave to make one call, or several alike: a lease. To be given back with a [`Report`], whatever came of the call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Permit {
    /// Unique and increasing within one limiter, over restarts too; below 2^53, so that JSON numbers hold it anywhere. Ids of
    /// calls that were granted apart do not adjoin.
    pub id: u64,
    /// Keys of the budgets that were charged.
    pub keys: Vec<String>,
    /// The provider was found ill, and this call tries whether it still is: if so, that costs the call no attempt.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub probe: bool,
    /// How many calls may be made. Each is a permit of its own, whose ids follow one another from `id` on.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub calls: u32,
    /// How long after it was granted a call may be sent, in ms; later it is given back unsent. None if it was not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub use_within_ms: Option<i64>,
}

impl Permit {
    /// Leave to make one call, of which nothing more is known.
    #[must_use]
    pub fn new(id: u64, keys: Vec<String>) -> Self {
        Self { id, keys, probe: false, calls: 1, use_within_ms: None }
    }

    /// Leave for each of its calls by itself.
    pub fn each(self) -> impl Iterator<Item = Self> {
        (0..u64::from(self.calls)).map(move |number| Self { id: self.id + number, calls: 1, ..self.clone() })
    }
}

fn one() -> u32 {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
fn is_one(calls: &u32) -> bool {
    *calls == 1
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
    /// How long the call took that brought a page, from sending it to the whole of its answer, in µs. None of calls that brought
    /// none, which are often quicker, and from executors that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_us: Option<u64>,
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
    /// Until when a budget is refused, Unix ms. A time at which a limit resets, as its headers tell it, says nothing of another
    /// that may have refused: that would wait for what it has no part in. A time to come back at is of the refusal itself.
    pub(crate) fn refused_until_ms(&self, key: &str) -> Option<i64> {
        let told = self.answer.as_ref()?;
        let until_ms = told.refused.as_ref()?.until_ms?;
        let of_another = told.readings.values().any(|reading| reading.resets_at(until_ms));
        let of_this = told.readings.get(key).is_some_and(|reading| reading.resets_at(until_ms));
        Some(until_ms).filter(|_| of_this || !of_another)
    }

    /// Whether a refusal that names no time lasts until its budget's window or quota ends.
    pub(crate) fn is_refused_for_the_period(&self) -> bool {
        let refused = self.answer.as_ref().and_then(|told| told.refused.as_ref());
        refused.is_some_and(|refused| refused.until_ms.is_none() && refused.lasts == Lasts::Period)
    }

    /// The same, told to a clock that is `ahead_ms` ahead of the one that read the answer. Times that the provider's own
    /// clock told stay as they are.
    #[must_use]
    pub fn by_clock(mut self, ahead_ms: i64) -> Self {
        let ahead = |ms: &mut i64| *ms = ms.saturating_add(ahead_ms);
        let Some(told) = &mut self.answer else { return self };
        for reading in told.readings.values_mut() {
            reading.reset_at_ms.iter_mut().filter(|_| reading.reset_is_relative).for_each(ahead);
            reading.pause_until_ms.iter_mut().filter(|_| !reading.pause_is_by_clock).for_each(ahead);
            reading.clock_ahead_ms.iter_mut().for_each(|ms| *ms = ms.saturating_sub(ahead_ms));
        }
        let from_now = told.refused.iter_mut().filter(|refused| refused.lasts == Lasts::FromNow);
        from_now.filter_map(|refused| refused.until_ms.as_mut()).for_each(ahead);
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
    /// How that was told.
    #[serde(default, skip_serializing_if = "Lasts::is_from_now")]
    pub lasts: Lasts,
}

/// How it was told until when a refusal lasts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Lasts {
    /// From now on, by the clock that read the answer; or not at all.
    #[default]
    FromNow,
    /// As a time, by a clock of which nothing else is known: nobody's difference from another's moves it.
    ByClock,
    /// To the end of the budget's window or quota; of a budget without one that is open, as if not at all.
    Period,
}

impl Lasts {
    fn is_from_now(&self) -> bool {
        *self == Self::FromNow
    }
}
