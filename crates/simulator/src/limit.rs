//! Limits as a spec declares them. They are the simulator's own, counted without any of the code they test.

use jiff::tz::TimeZone;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Period;
use crate::quota::{Each, Quota};

/// One limit. Exactly one of `window`, `quota`, `sliding`, `bucket` and `concurrency` is given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct LimitSpec {
    /// Name in statistics; the endpoint's name and the limit's number unless given.
    pub id: Option<String>,
    /// So many calls in each fixed window.
    pub window: Option<Window>,
    /// So many calls in each period of the calendar.
    pub quota: Option<Quota>,
    /// So many calls in any span of a length.
    pub sliding: Option<Sliding>,
    /// A bucket of calls that fills up again steadily.
    pub bucket: Option<Bucket>,
    /// So many calls at once, from 1.
    pub concurrency: Option<u64>,
    /// What is counted apart; calls that agree in all of these are counted together.
    pub by: Whose,
    /// Endpoints whose calls are counted together, for limits that stand beside the endpoints; all unless given.
    pub endpoints: Vec<String>,
    /// Counts only calls for a page beyond the first.
    pub further_pages_only: bool,
    /// What a call takes of it, from 1. A limit of concurrency always takes 1.
    pub cost: u64,
    /// Response headers that speak of it.
    pub headers: LimitHeaders,
    /// A refusal says when to come back (`Retry-After` in whole seconds, RFC 9110 10.2.3).
    pub retry_after: bool,
    /// A refused call is counted like any other.
    pub refused_counts: bool,
    /// The answer to a refused call; the spec's `answers.limited` unless given.
    pub answer: Option<crate::Canned>,
}

impl Default for LimitSpec {
    fn default() -> Self {
        Self {
            id: None,
            window: None,
            quota: None,
            sliding: None,
            bucket: None,
            concurrency: None,
            by: Whose::One(By::Token),
            endpoints: Vec::new(),
            further_pages_only: false,
            cost: 1,
            headers: LimitHeaders::default(),
            retry_after: true,
            refused_counts: false,
            answer: None,
        }
    }
}

/// So many calls in each fixed window.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Window {
    /// Calls in a window, from 1.
    pub calls: u64,
    /// Length of a window, above 0.
    pub per: Period,
    /// When windows start.
    #[serde(default)]
    pub aligned: Aligned,
}

/// When fixed windows start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aligned {
    /// With the first call after the last one ended.
    #[default]
    FirstCall,
    /// At multiples of their length since 1970-01-01T00:00:00Z.
    Epoch,
}

/// So many calls in any span of a length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sliding {
    /// Calls in any such span, from 1.
    pub calls: u64,
    /// Length of the span, above 0.
    pub per: Period,
}

/// A bucket of calls that fills up again steadily.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// Calls that a full bucket holds, from 1.
    pub capacity: u64,
    /// Calls that come back each second, above 0.
    pub refill_per_s: f64,
}

/// What is counted apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "token, ip, endpoint, parent, all or a list of these was expected")]
pub enum Whose {
    /// One thing.
    One(By),
    /// Each combination of several things.
    Each(Vec<By>),
}

/// What calls are told apart by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// The token; calls without one are counted together.
    Token,
    /// The caller's address.
    Ip,
    /// The endpoint.
    Endpoint,
    /// The parent (the values of the path's parameters).
    Parent,
    /// Nothing: all calls are counted together.
    All,
}

impl Whose {
    pub(crate) fn factors(&self) -> &[By] {
        match self {
            Self::One(by) => std::slice::from_ref(by),
            Self::Each(factors) => factors,
        }
    }
}

/// Response headers that speak of a limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "x_ratelimit, ratelimit, none or names such as { remaining: X-Left } were expected")]
pub enum LimitHeaders {
    /// A usual set.
    Preset(Preset),
    /// By name.
    Names(HeaderNames),
}

/// A usual set of headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// No header.
    None,
    /// `X-RateLimit-Limit`, `-Remaining` and `-Reset`, the last in seconds since 1970.
    XRatelimit,
    /// `RateLimit-Limit`, `-Remaining`, `-Reset`, the last in seconds from now, and `RateLimit-Policy` (the IETF's
    /// draft-ietf-httpapi-ratelimit-headers, before its eighth version).
    Ratelimit,
}

/// Headers by name; one that is not named is not sent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct HeaderNames {
    /// Calls allowed in all.
    pub limit: Option<String>,
    /// Calls left.
    pub remaining: Option<String>,
    /// Calls made.
    pub used: Option<String>,
    /// Calls made and allowed in one, such as `32/40`.
    pub used_of_limit: Option<String>,
    /// When all of the limit is there again.
    pub reset: Option<String>,
    /// How `reset` is written.
    pub reset_as: ResetAs,
    /// The limit as `calls;w=seconds`.
    pub policy: Option<String>,
    /// Calls made in percent, as Meta writes them: `{"call_count":28,"total_time":28,"total_cputime":28}`.
    pub usage: Option<String>,
    /// The limit's `id`, as Discord names buckets.
    pub id: Option<String>,
}

/// How a moment is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResetAs {
    /// Seconds since 1970.
    #[default]
    EpochS,
    /// Milliseconds since 1970.
    EpochMs,
    /// Seconds from now, rounded up.
    DeltaS,
    /// Milliseconds from now, rounded up.
    DeltaMs,
    /// Such as `2026-01-31T12:00:00.000000Z`.
    Iso8601,
}

impl Default for LimitHeaders {
    fn default() -> Self {
        Self::Preset(Preset::XRatelimit)
    }
}

impl LimitHeaders {
    /// No header.
    pub const NONE: Self = Self::Preset(Preset::None);

    pub(crate) fn names(&self) -> HeaderNames {
        let named = |prefix: &str, reset_as, policy: Option<&str>| HeaderNames {
            limit: Some(format!("{prefix}-Limit")),
            remaining: Some(format!("{prefix}-Remaining")),
            reset: Some(format!("{prefix}-Reset")),
            reset_as,
            policy: policy.map(str::to_owned),
            ..HeaderNames::default()
        };
        match self {
            Self::Preset(Preset::None) => HeaderNames::default(),
            Self::Preset(Preset::XRatelimit) => named("X-RateLimit", ResetAs::EpochS, None),
            Self::Preset(Preset::Ratelimit) => named("RateLimit", ResetAs::DeltaS, Some("RateLimit-Policy")),
            Self::Names(names) => names.clone(),
        }
    }
}

/// What a limit allows. Times in microseconds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Rule {
    Quota { calls: u64, per: Each, zone: TimeZone },
    Window { calls: u64, per_us: u64, aligned: Aligned },
    Sliding { calls: u64, per_us: u64 },
    Bucket { capacity: u64, refill_per_us: f64 },
    Concurrency { calls: u64 },
}

impl LimitSpec {
    /// The one rule that was given.
    pub(crate) fn rule(&self) -> Result<Rule, String> {
        let quota = |quota: &Quota| quota.zone().map(|zone| Rule::Quota { calls: quota.calls, per: quota.per, zone });
        let rules = [
            self.quota.as_ref().map(quota).transpose()?,
            self.window.as_ref().map(|w| Rule::Window { calls: w.calls, per_us: w.per.us(), aligned: w.aligned }),
            self.sliding.as_ref().map(|s| Rule::Sliding { calls: s.calls, per_us: s.per.us() }),
            self.bucket.as_ref().map(|b| Rule::Bucket { capacity: b.capacity, refill_per_us: b.refill_per_s / 1e6 }),
            self.concurrency.map(|calls| Rule::Concurrency { calls }),
        ];
        let mut given = rules.into_iter().flatten();
        let (Some(rule), None) = (given.next(), given.next()) else {
            return Err("exactly one of window, quota, sliding, bucket and concurrency was expected".to_owned());
        };
        match rule {
            Rule::Window { per_us: 0, .. } | Rule::Sliding { per_us: 0, .. } => {
                Err("a per above 0 was expected".to_owned())
            }
            Rule::Bucket { refill_per_us, .. } if !(refill_per_us > 0.0 && refill_per_us.is_finite()) => {
                Err("a refill_per_s above 0 was expected".to_owned())
            }
            _ if self.cost == 0 || self.cost > rule.allowed() => Err(format!(
                "a cost from 1 to what the limit allows ({}) was expected, not {}",
                rule.allowed(),
                self.cost
            )),
            _ => Ok(rule),
        }
    }
}

impl Rule {
    /// What the limit allows in all.
    pub(crate) fn allowed(&self) -> u64 {
        match self {
            Self::Window { calls, .. }
            | Self::Quota { calls, .. }
            | Self::Sliding { calls, .. }
            | Self::Concurrency { calls } => *calls,
            Self::Bucket { capacity, .. } => *capacity,
        }
    }

    /// Length of the window; the time that an empty bucket takes to fill up; 0 for concurrency.
    pub(crate) fn per_us(&self) -> u64 {
        match self {
            Self::Window { per_us, .. } | Self::Sliding { per_us, .. } => *per_us,
            Self::Quota { per, .. } => per.us(),
            Self::Bucket { capacity, refill_per_us } => (*capacity as f64 / refill_per_us) as u64,
            Self::Concurrency { .. } => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exactly_one_rule_is_wanted() {
        let window = Some(Window { calls: 5, per: Period::from_ms(1000), aligned: Aligned::Epoch });
        assert!(LimitSpec { window: window.clone(), ..LimitSpec::default() }.rule().is_ok());
        assert!(LimitSpec::default().rule().unwrap_err().contains("exactly one"));
        assert!(LimitSpec { window: window.clone(), concurrency: Some(1), ..LimitSpec::default() }.rule().is_err());
        assert!(LimitSpec { window, cost: 6, ..LimitSpec::default() }.rule().unwrap_err().contains("cost"));
        let still = Some(Bucket { capacity: 1, refill_per_s: 0.0 });
        assert!(LimitSpec { bucket: still, ..LimitSpec::default() }.rule().unwrap_err().contains("refill_per_s"));
    }
}
