//! What people want of budgets instead of what the provider file says: a pause, or another rate, until a time.
//!
//! An override stands for one budget by its key, or for all budgets whose keys begin with it: `{acme}/token/` for a limit,
//! `{acme}/` for a provider. It holds for budgets that come into use later, too.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::rate::Rate;

/// Most overrides of one provider's budgets.
pub const OVERRIDES_MAX: usize = 1_000;
/// Longest key, in bytes.
const KEY_MAX_BYTES: usize = 1_024;
/// Longest reason, in characters.
const REASON_MAX_CHARS: usize = 500;
/// Whoever waits for the end of a pause, or for room by another rate, comes back after this time at the latest, since that may end
/// before.
const ASK_AGAIN_MS: i64 = 15_000;
/// The end of what has none.
const NEVER_MS: i64 = i64::MAX;

/// What somebody wants of budgets, until when, and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// A budget's key, or how the keys of many begin: `{acme}/token/`, `{acme}/`.
    pub key: String,
    /// What is wanted.
    pub does: Does,
    /// For people, from 1 to 500 characters.
    pub reason: String,
    /// Unix time in ms at which it ends by itself; none for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<i64>,
}

/// What an override does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Does {
    /// Nothing is granted.
    Pause,
    /// This is allowed instead of what the provider file says. Answers' headers are not believed meanwhile; refusals are.
    Rate(Rate),
}

/// Kinds of [`Does`]: a key has at most one override of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OverrideKind {
    /// [`Does::Pause`].
    Pause,
    /// [`Does::Rate`].
    Rate,
}

/// Why a call waits where it is not that a limit has no room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// Somebody paused the budget.
    Paused {
        /// What they said.
        reason: String,
        /// Unix time in ms at which the pause ends by itself; none for never.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until_ms: Option<i64>,
    },
    /// The provider was found ill, and nobody calls it until a single call went well.
    Down {
        /// Unix time in ms at which it was found so.
        since_ms: i64,
    },
}

impl Why {
    /// The same, told by a clock that is `ahead_ms` ahead.
    #[must_use]
    pub fn by_clock(self, ahead_ms: i64) -> Self {
        match self {
            Self::Paused { reason, until_ms } => {
                Self::Paused { reason, until_ms: until_ms.map(|ms| ms.saturating_add(ahead_ms)) }
            }
            Self::Down { since_ms } => Self::Down { since_ms: since_ms.saturating_add(ahead_ms) },
        }
    }
}

/// A field of an [`Override`] that can't be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` must be {expected}")]
pub struct OverrideError {
    /// Path of the field, such as `does.rate.window.calls`.
    pub field: String,
    /// What was expected, to stand after "must be".
    pub expected: String,
}

impl Override {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> OverrideKind {
        match self.does {
            Does::Pause => OverrideKind::Pause,
            Does::Rate(_) => OverrideKind::Rate,
        }
    }

    /// Checks every field.
    ///
    /// # Errors
    /// The first field that can't be taken, and what was expected.
    pub fn check(&self) -> Result<(), OverrideError> {
        let error = |field: &str, expected: String| OverrideError { field: field.to_owned(), expected };
        let slashes = self.key.matches('/').count();
        let is_key = self.key.starts_with('{') && self.key.contains("}/") && self.key.len() <= KEY_MAX_BYTES;
        if !is_key {
            let expected = format!(
                "a budget's key such as {{acme}}/token/credential=alice, or how keys begin, such as {{acme}}/token/ or {{acme}}/, of at most {KEY_MAX_BYTES} bytes"
            );
            return Err(error("key", expected));
        }
        if slashes < 2 && !self.key.ends_with('/') {
            return Err(error("key", "a whole key, or to end with /".to_owned()));
        }
        let chars = self.reason.chars().count();
        if self.reason.trim().is_empty() || chars > REASON_MAX_CHARS {
            return Err(error("reason", format!("a text of 1 to {REASON_MAX_CHARS} characters")));
        }
        let Does::Rate(rate) = &self.does else { return Ok(()) };
        if slashes < 2 {
            return Err(error(
                "key",
                "a budget's key or a limit's, such as {acme}/token/, where a rate is set".to_owned(),
            ));
        }
        let is_amount = match rate {
            Rate::Window { .. } | Rate::Sliding { .. } | Rate::Bucket { .. } => true,
            Rate::Concurrency { learn, .. } => learn.is_none(),
            Rate::Quota { .. } | Rate::Learn(_) | Rate::Breaker(_) | Rate::Told {} => false,
        };
        if !is_amount {
            let expected = "a window, a sliding window, a bucket or concurrency, with a number of calls; other kinds are set in the provider file";
            return Err(error("does.rate", expected.to_owned()));
        }
        rate.check().map_err(|wrong| error(&format!("does.rate.{}", wrong.field), wrong.expected))
    }

    /// The same, told by a clock that is `ahead_ms` ahead.
    #[must_use]
    pub fn by_clock(self, ahead_ms: i64) -> Self {
        Self { until_ms: self.until_ms.map(|ms| ms.saturating_add(ahead_ms)), ..self }
    }

    fn end_ms(&self) -> i64 {
        self.until_ms.unwrap_or(NEVER_MS)
    }
}

/// The keys under which overrides of a budget stand: its own, its limit's, its provider's.
#[must_use]
pub fn targets(key: &str) -> Vec<&str> {
    let slashes = key.match_indices('/').map(|(at, _)| &key[..=at]);
    let mut targets = vec![key];
    // The factors' values have no slash.
    let begins: Vec<&str> = slashes.take(2).filter(|begin| *begin != key).collect();
    targets.extend(begins.into_iter().rev());
    targets
}

/// All overrides.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Overrides(Vec<Override>);

/// What overrides say of one budget now.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Imposed<'a> {
    pub(crate) pause: Option<&'a Override>,
    pub(crate) rate: Option<&'a Rate>,
}

impl Overrides {
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// False if there are as many of the provider as there may be.
    pub(crate) fn put(&mut self, wanted: Override) -> bool {
        let provider = wanted.key.split('/').next();
        let is_new = !self.0.iter().any(|one| one.key == wanted.key && one.kind() == wanted.kind());
        let others = self.0.iter().filter(|one| one.key.split('/').next() == provider).count();
        if is_new && others >= OVERRIDES_MAX {
            return false;
        }
        self.delete(&wanted.key, Some(wanted.kind()));
        self.0.push(wanted);
        self.0.sort_by(|one, other| (&one.key, one.kind()).cmp(&(&other.key, other.kind())));
        true
    }

    /// Whether there was one.
    pub(crate) fn delete(&mut self, key: &str, kind: Option<OverrideKind>) -> bool {
        let before = self.0.len();
        self.0.retain(|one| one.key != key || kind.is_some_and(|kind| one.kind() != kind));
        self.0.len() < before
    }

    pub(crate) fn forget_ended(&mut self, now_ms: i64) {
        self.0.retain(|one| one.end_ms() > now_ms);
    }

    /// Those that have not ended, by key.
    pub(crate) fn all(&self, now_ms: i64) -> Vec<Override> {
        self.0.iter().filter(|one| one.end_ms() > now_ms).cloned().collect()
    }

    /// What they say of the budget: the pause that lasts longest, and the rate that is meant most exactly.
    pub(crate) fn on(&self, key: &str, now_ms: i64) -> Imposed<'_> {
        let mut imposed = Imposed::default();
        if self.0.is_empty() {
            return imposed;
        }
        for target in targets(key) {
            for one in self.0.iter().filter(|one| one.key == target && one.end_ms() > now_ms) {
                match &one.does {
                    Does::Rate(rate) => imposed.rate = imposed.rate.or(Some(rate)),
                    Does::Pause if imposed.end_ms().is_none_or(|end_ms| end_ms < one.end_ms()) => {
                        imposed.pause = Some(one);
                    }
                    Does::Pause => {}
                }
            }
        }
        imposed
    }
}

impl Imposed<'_> {
    /// When the pause ends by itself.
    pub(crate) fn end_ms(&self) -> Option<i64> {
        self.pause.map(Override::end_ms)
    }

    /// When to come back, since the pause may end before its time.
    pub(crate) fn back_ms(&self, now_ms: i64) -> Option<i64> {
        self.end_ms().map(|end_ms| end_ms.min(now_ms.saturating_add(ASK_AGAIN_MS)))
    }

    /// When to come back though there is no room by then, since the rate that is wanted may be so no more.
    pub(crate) fn look_ms(&self, now_ms: i64) -> Option<i64> {
        self.rate.map(|_| now_ms.saturating_add(ASK_AGAIN_MS))
    }

    pub(crate) fn why(&self) -> Option<Why> {
        self.pause.map(|pause| Why::Paused { reason: pause.reason.clone(), until_ms: pause.until_ms })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(key: &str, until_ms: Option<i64>) -> Override {
        Override { key: key.to_owned(), does: Does::Pause, reason: "maintenance".to_owned(), until_ms }
    }

    #[test]
    fn a_budget_is_named_by_its_key_its_limit_and_its_provider() {
        assert_eq!(
            targets("{acme}/token/credential=a,of=b"),
            ["{acme}/token/credential=a,of=b", "{acme}/token/", "{acme}/"]
        );
        assert_eq!(targets("{acme}/all/"), ["{acme}/all/", "{acme}/"]);
        assert_eq!(targets("key"), ["key"]);
    }

    #[test]
    fn the_longest_pause_and_the_most_exact_rate_count() {
        let rate = |calls| Rate::Bucket { calls, restore_per_s: 1.0 };
        let set = |key: &str, calls| Override { does: Does::Rate(rate(calls)), ..pause(key, None) };
        let mut overrides = Overrides::default();
        let wanted = [pause("{a}/", Some(500)), pause("{a}/x/k=1", Some(300)), set("{a}/x/", 5), set("{a}/x/k=1", 7)];
        assert!(wanted.into_iter().all(|wanted| overrides.put(wanted)));
        let imposed = overrides.on("{a}/x/k=1", 100);
        assert_eq!((imposed.end_ms(), imposed.rate), (Some(500), Some(&rate(7))));
        let imposed = overrides.on("{a}/x/k=2", 100);
        assert_eq!((imposed.end_ms(), imposed.rate), (Some(500), Some(&rate(5))));
        assert_eq!(overrides.on("{b}/x/k=2", 100).end_ms(), None);
        assert_eq!(overrides.on("{a}/x/k=1", 500).end_ms(), None, "it ended by itself");
        assert!(
            overrides.delete("{a}/x/k=1", Some(OverrideKind::Rate))
                && !overrides.delete("{a}/x/k=1", Some(OverrideKind::Rate))
        );
        assert_eq!(overrides.on("{a}/x/k=1", 100).rate, Some(&rate(5)));
    }

    #[test]
    fn what_can_t_be_taken_is_named() {
        let field = |wanted: Override| wanted.check().err().map(|error| error.field);
        for key in ["{acme}/", "{acme}/token/", "{acme}/token/credential=a"] {
            assert_eq!(field(pause(key, None)), None, "{key}");
        }
        for key in ["", "acme", "acme/token/", "{acme}", "{acme}/token"] {
            assert_eq!(field(pause(key, None)).as_deref(), Some("key"), "{key}");
        }
        assert_eq!(field(Override { reason: " ".to_owned(), ..pause("{acme}/", None) }).as_deref(), Some("reason"));
        let none = Does::Rate(Rate::Bucket { calls: 0, restore_per_s: 1.0 });
        assert_eq!(field(Override { does: none.clone(), ..pause("{acme}/", None) }).as_deref(), Some("key"));
        let quota = Does::Rate(serde_json::from_str(r#"{"quota":{"calls":1,"per":"day"}}"#).unwrap());
        let others = [r#"{"told":{}}"#, r#"{"learn":{}}"#, r#"{"breaker":{}}"#, r#"{"concurrency":{"learn":{}}}"#];
        let others = others.map(|rate| Does::Rate(serde_json::from_str(rate).unwrap()));
        for does in [quota].into_iter().chain(others) {
            let wrong_kind = field(Override { does: does.clone(), ..pause("{acme}/token/", None) });
            assert_eq!(wrong_kind.as_deref(), Some("does.rate"), "{does:?}");
        }
        let wrong = field(Override { does: none, ..pause("{acme}/token/", None) });
        assert_eq!(wrong.as_deref(), Some("does.rate.bucket.calls"));
    }
}
