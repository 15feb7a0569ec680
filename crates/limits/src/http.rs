//! What travels between executors and the arbiter over HTTP, as JSON. Fields are added, never changed.
//!
//! Each side tells its time, so that none depends on the other's clock.

use serde::{Deserialize, Serialize};

use crate::charge::{Decision, Question, Report};
use crate::limiter::{Down, Learnt, LearntSlots, Usage};
use crate::overrides::{Override, OverrideKind, targets};

/// `POST` here asks for permits.
pub const PERMITS_PATH: &str = "/v1/permits";
/// `POST` here gives permits back.
pub const REPORTS_PATH: &str = "/v1/reports";
/// `GET` here shows budgets in use: [`LimitsQuery`], [`LimitsReply`].
pub const LIMITS_PATH: &str = "/v1/limits";
/// `PUT` here an [`OverrideRequest`]; `DELETE` with a [`DeleteQuery`] ends it. Both answer 204 without a body; 404 if there was
/// nothing to end, 409 if there are too many of the provider.
pub const OVERRIDES_PATH: &str = "/v1/limits/overrides";

/// Asks for permits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PermitsRequest {
    /// Each is decided on its own, in this order.
    pub questions: Vec<Question>,
}

/// The answer to a [`PermitsRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermitsReply {
    /// The arbiter's time, Unix ms: times of the decisions are by this clock.
    pub now_ms: i64,
    /// One for each question, in order.
    pub decisions: Vec<Decision>,
}

/// Gives permits back; answered with 204 and no body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReportsRequest {
    /// The executor's time, Unix ms: times that the reports tell are by this clock.
    pub now_ms: i64,
    /// In the order in which they came about.
    pub reports: Vec<Report>,
}

/// Which budgets are shown: those for which all holds that is said.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsQuery {
    /// Of this provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provider: Option<String>,
    /// Of the limit of this id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// That this tenant may see: its own, and those that are nobody's and name no parameter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// Blocked by a refusal, paused, or of a provider that is down.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub blocked: bool,
    /// After this key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<usize>,
}

/// Sets an override for all who ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OverrideRequest {
    /// The caller's time, Unix ms: the override's end is by this clock.
    pub now_ms: i64,
    /// What is wanted.
    pub wanted: Override,
}

/// Which override ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DeleteQuery {
    /// Its key.
    pub key: String,
    /// Its kind; without, all of the key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub does: Option<OverrideKind>,
}

/// Budgets in use.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LimitsReply {
    /// The arbiter's time, Unix ms: times of the budgets are by this clock.
    pub now_ms: i64,
    /// By key, the first ones where there are too many to show.
    pub limits: Vec<Usage>,
    /// How many are not shown.
    #[serde(default)]
    pub left_off: usize,
    /// What people want of them instead, by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub overrides: Vec<Override>,
}

/// Most budgets in a reply: about 2 MiB.
const LIMITS_MAX: usize = 10_000;

impl LimitsQuery {
    /// What is shown of all budgets (by key) and overrides.
    #[must_use]
    pub fn reply(&self, now_ms: i64, mut limits: Vec<Usage>, mut overrides: Vec<Override>) -> LimitsReply {
        overrides.retain(|one| self.is_of(&one.key) && self.may_see(&one.key));
        let is_paused = |key: &str| {
            let pauses =
                |target: &&str| overrides.iter().any(|one| one.key == *target && one.kind() == OverrideKind::Pause);
            targets(key).iter().any(pauses)
        };
        limits.retain(|usage| {
            self.is_of(&usage.key)
                && self.id.as_ref().is_none_or(|id| usage.limit == *id)
                && self.may_see(&usage.key)
                && self.after.as_ref().is_none_or(|after| usage.key > *after)
                && (!self.blocked || usage.blocked_until_ms.is_some() || usage.down.is_some() || is_paused(&usage.key))
        });
        let max = self.max.unwrap_or(LIMITS_MAX).min(LIMITS_MAX);
        let left_off = limits.len().saturating_sub(max);
        limits.truncate(max);
        LimitsReply { now_ms, limits, left_off, overrides }
    }

    fn is_of(&self, key: &str) -> bool {
        let of = |provider: &String| key.strip_prefix('{').and_then(|rest| rest.strip_prefix(provider.as_str()));
        self.provider.as_ref().is_none_or(|provider| of(provider).is_some_and(|rest| rest.starts_with("}/")))
    }

    fn may_see(&self, key: &str) -> bool {
        self.tenant.as_ref().is_none_or(|tenant| is_of_tenant(key, tenant) || is_of_nobody(key))
    }
}

/// Whether a budget is one tenant's alone: by its credential, or because its limit counts by tenant.
#[must_use]
pub fn is_of_tenant(key: &str, tenant: &str) -> bool {
    factors(key).any(|factor| matches!(factor, ("tenant" | "of", name) if name == tenant))
}

/// Whether a budget, or all that begin so, is shared and shows nothing of who shares it.
fn is_of_nobody(key: &str) -> bool {
    factors(key).all(|(name, _)| matches!(name, "egress" | "endpoint" | "method" | "provider" | "app"))
}

fn factors(key: &str) -> impl Iterator<Item = (&str, &str)> {
    let values = key.splitn(3, '/').nth(2).unwrap_or_default();
    values.split(',').filter(|factor| !factor.is_empty()).map(|factor| factor.split_once('=').unwrap_or((factor, "")))
}

impl LimitsReply {
    /// The same, by a clock that says `now_ms`.
    #[must_use]
    pub fn by_clock(self, now_ms: i64) -> Self {
        let ahead_ms = now_ms.saturating_sub(self.now_ms);
        let ahead = |ms: i64| ms.saturating_add(ahead_ms);
        let limits = self.limits.into_iter().map(|usage| Usage {
            resets_at_ms: usage.resets_at_ms.map(ahead),
            blocked_until_ms: usage.blocked_until_ms.map(ahead),
            learnt: usage.learnt.map(|learnt| Learnt { refused_at_ms: learnt.refused_at_ms.map(ahead), ..learnt }),
            learnt_slots: usage.learnt_slots.map(|learnt| LearntSlots {
                measured_at_ms: learnt.measured_at_ms.map(ahead),
                queued_at_ms: learnt.queued_at_ms.map(ahead),
                ..learnt
            }),
            down: usage.down.map(|down| Down { since_ms: ahead(down.since_ms), probe_at_ms: ahead(down.probe_at_ms) }),
            ..usage
        });
        let overrides = self.overrides.into_iter().map(|one| one.by_clock(ahead_ms)).collect();
        Self { now_ms, limits: limits.collect(), left_off: self.left_off, overrides }
    }
}

#[cfg(test)]
mod tests;
