//! What an answer's headers say of a limit.
//!
//! The same name means different things: `RateLimit-Reset` is seconds from now in the IETF drafts and seconds since
//! 1970 at Bluesky; `X-RateLimit-Reset` is one at Reddit, the other at GitHub, and ISO 8601 at Mastodon. So a
//! provider file may say how its headers are called and written, and what it leaves open is guessed by magnitude. Of which
//! of several limits they speak is found out by [`crate::share`].

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ietf;
use crate::instant::{self, Instant, number};
use crate::usage;

/// A limit or a count above this is no number of calls.
const MOST_CALLS: f64 = 1e15;
/// A window is no longer than a year and a day.
const LONGEST_PER_S: f64 = 366.0 * 86_400.0;
/// A clock that differs from ours by more is not believed to be one.
const LARGEST_SKEW_MS: i64 = 3_600_000;
/// What a call costs is at most what a limit may hold.
const MOST_COST: f64 = 1e9;
/// No time that is told is further from now than this, in ms: what was read is within 32 days, by clocks that may be off.
pub const FARTHEST_MS: i64 = 366 * 86_400_000;

/// The headers that speak of a limit. Where none of `limit`, `remaining`, `used` and `reset` is named, the usual ones
/// are tried: `X-RateLimit-*`, `RateLimit-*`, `X-Rate-Limit-*`, then the IETF's `RateLimit` with `RateLimit-Policy`. What the usual
/// ones say, and what headers say that several limits name, is heard by the limit whose size and length it fits.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct HeaderNames {
    /// Header with the number of calls that fit.
    pub limit: Option<String>,
    /// Header with the number of calls that remain.
    pub remaining: Option<String>,
    /// Header with the number of calls used, or with used and limit, as `32/40`.
    pub used: Option<String>,
    /// Header with the end of the window.
    pub reset: Option<String>,
    /// How `reset` is written.
    pub reset_as: ResetAs,
    /// Name of the limit's policy in the IETF's `RateLimit` and `RateLimit-Policy`, which may speak of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// Header with what the call cost in the end, in units of the limit: what its `cost` reserved beyond that is given
    /// back, and what it lacked is charged.
    pub cost: Option<String>,
    /// Header that, on any answer, asks to pause for so many seconds, such as Kinto's `Backoff`.
    pub pause: Option<String>,
    /// Header with JSON that tells in percent what is used, as Meta's `X-App-Usage` and `X-Business-Use-Case-Usage` do:
    /// from 95 on, calls pause for as long as it says, else for five minutes. Of several ids in it the one counts that stands in
    /// the limit's key, else the worst.
    pub usage: Option<String>,
    /// Header that names the budget which the call's endpoint shares with others, as Discord's `X-RateLimit-Bucket`: once it is
    /// told, it takes the place of the endpoint in the limit's `key`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
}

/// How the end of a window is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ResetAs {
    /// By its looks: a number above 1e12 is `epoch_ms`, above 1e9 `epoch_s`, any other `delta_s`; else a date as in
    /// ISO 8601 or HTTP.
    #[default]
    Auto,
    /// Seconds from now, perhaps with a fraction.
    DeltaS,
    /// Seconds since 1970, perhaps with a fraction.
    EpochS,
    /// Milliseconds since 1970.
    EpochMs,
    /// A date and time with an offset, as in ISO 8601 (RFC 3339).
    Iso8601,
}

/// What an answer's headers said. What is absent was not said: it is never zero.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Reading {
    /// Calls that fit, at least 1.
    pub limit: Option<u64>,
    /// Calls that remained when the provider answered; not negative, perhaps with a fraction.
    pub remaining: Option<f64>,
    /// Unix time in ms at which the window ends.
    pub reset_at_ms: Option<i64>,
    /// By how much the reset may have been rounded down: 1000 when it was told in whole seconds, else 0.
    pub reset_step_ms: i64,
    /// Whether the reset was told from now on, and so is late by what the answer took.
    pub reset_is_relative: bool,
    /// By how much the provider's clock was ahead of ours when the answer was here, by its `Date`, which is in whole
    /// seconds and from when it was made: in ms, less than 0 where it was behind or the answer took a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock_ahead_ms: Option<i64>,
    /// Unix time in ms until which the answer asked to pause.
    pub pause_until_ms: Option<i64>,
    /// Whether the pause was told as a time by a clock of which nothing else is known, and not from now on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub pause_is_by_clock: bool,
    /// What the call cost in the end, in units of the limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<u64>,
    /// Headers that were there but made no sense.
    pub ignored: u32,
}

/// A field of a [`Reading`] with a value that is never read out of headers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` must be {expected}")]
pub struct ReadingError {
    /// Its name.
    pub field: &'static str,
    /// What was expected, to stand after "must be".
    pub expected: String,
}

impl Reading {
    /// Whether a time that was told is its reset: by the provider's clock, or moved to ours by the answer's `Date`.
    pub(crate) fn resets_at(&self, ms: i64) -> bool {
        let told_ms = self.reset_at_ms.filter(|_| !self.reset_is_relative);
        told_ms.is_some_and(|told_ms| {
            told_ms == ms || self.clock_ahead_ms.is_some_and(|ahead_ms| told_ms - ahead_ms == ms)
        })
    }

    /// Checks every field's range, of a reading that somebody else took, whose clock says `now_ms`.
    ///
    /// # Errors
    /// The first field that is out of its range, and what was expected.
    pub fn check(&self, now_ms: i64) -> Result<(), ReadingError> {
        let within = |field, n: Option<f64>, least: f64, most: f64| match n {
            Some(n) if !(least..=most).contains(&n) => {
                Err(ReadingError { field, expected: format!("from {least} to {most:e}") })
            }
            _ => Ok(()),
        };
        let near = |field, at_ms: Option<i64>, now_ms: i64, most_ms: i64| match at_ms {
            Some(at_ms) if at_ms.abs_diff(now_ms) > most_ms.unsigned_abs() => {
                Err(ReadingError { field, expected: format!("at most {most_ms} from {now_ms}") })
            }
            _ => Ok(()),
        };
        within("limit", self.limit.map(|n| n as f64), 1.0, MOST_CALLS)?;
        within("remaining", self.remaining, 0.0, MOST_CALLS)?;
        within("cost", self.cost.map(|n| n as f64), 0.0, MOST_COST)?;
        near("reset_at_ms", self.reset_at_ms, now_ms, FARTHEST_MS)?;
        near("pause_until_ms", self.pause_until_ms, now_ms, FARTHEST_MS)?;
        near("clock_ahead_ms", self.clock_ahead_ms, 0, FARTHEST_MS)?;
        within("reset_step_ms", Some(self.reset_step_ms as f64), 0.0, 1_000.0)
    }

    /// This, and what it lacks from another.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let reset = if self.reset_at_ms.is_some() { &self } else { &other };
        let pause = if self.pause_until_ms >= other.pause_until_ms { &self } else { &other };
        Self {
            reset_at_ms: reset.reset_at_ms,
            reset_step_ms: reset.reset_step_ms,
            reset_is_relative: reset.reset_is_relative,
            clock_ahead_ms: self.clock_ahead_ms.or(other.clock_ahead_ms),
            limit: self.limit.or(other.limit),
            remaining: self.remaining.or(other.remaining),
            pause_until_ms: pause.pause_until_ms,
            pause_is_by_clock: pause.pause_is_by_clock,
            cost: self.cost.or(other.cost),
            ignored: self.ignored + other.ignored,
        }
    }
}

/// Looks up a header's value by its name, in whatever case.
pub type Get<'f, 'h> = &'f dyn Fn(&str) -> Option<&'h str>;

impl HeaderNames {
    /// The usual headers.
    #[must_use]
    pub fn standard() -> Self {
        Self::default()
    }

    /// Whether it is said which headers tell what is used; else the usual ones do.
    #[must_use]
    pub fn names_counts(&self) -> bool {
        [&self.limit, &self.remaining, &self.used, &self.reset].into_iter().any(Option::is_some)
    }

    /// Whether counts stand in the same headers.
    #[must_use]
    pub fn counts_as(&self, other: &Self) -> bool {
        let counts = |names: &Self| {
            let Self { limit, remaining, used, reset, policy, reset_as, .. } = names;
            let lower = |name: &Option<String>| name.as_deref().map(str::to_ascii_lowercase);
            ([limit, remaining, used, reset].map(lower), policy.clone(), *reset_as)
        };
        counts(self) == counts(other)
    }
}

/// What an answer says of one of the limits that it speaks of.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Said {
    /// What it says.
    pub reading: Reading,
    /// The window's length in ms, where that is told (`w` of the IETF's policies).
    pub per_ms: Option<i64>,
}

/// Reads what an answer's headers say of the only limit that is asked for: of several, the one with the least left. Nonsense
/// (negative, infinite, malformed, a time long past or more than 32 days away) is ignored and counted.
#[must_use]
pub fn read(names: &HeaderNames, now_ms: i64, get: Get<'_, '_>) -> Reading {
    let left = |said: &Said| said.reading.remaining.unwrap_or(f64::INFINITY);
    let said = counts(names, now_ms, get).into_iter().min_by(|one, other| left(one).total_cmp(&left(other)));
    said.unwrap_or_default().reading.or(asides(names, now_ms, get, &[]))
}

/// Reads what an answer's headers say of how much there is, is left and is used, of each limit that they speak of.
#[must_use]
pub fn counts(names: &HeaderNames, now_ms: i64, get: Get<'_, '_>) -> Vec<Said> {
    let clock = Clock::of(now_ms, get);
    if !names.names_counts() {
        return standard(names, clock, get);
    }
    let named = |name: &Option<String>| name.as_deref().and_then(get);
    let values = Values {
        limit: named(&names.limit),
        remaining: named(&names.remaining),
        used: named(&names.used),
        reset: named(&names.reset),
        ..Values::default()
    };
    vec![values.weigh(names.reset_as, clock)]
}

/// Reads what an answer's headers say beside that: what the call cost, and whether to pause. `ids` are what the call is for.
#[must_use]
pub fn asides(names: &HeaderNames, now_ms: i64, get: Get<'_, '_>, ids: &[&str]) -> Reading {
    let (clock, mut reading) = (Clock::of(now_ms, get), Reading::default());
    if let Some(text) = names.cost.as_deref().and_then(get) {
        reading.cost = number(text).filter(|cost| *cost <= MOST_COST).map(|cost| cost.ceil() as u64);
        reading.ignored += u32::from(reading.cost.is_none());
    }
    if let Some(text) = names.pause.as_deref().and_then(get) {
        match clock.come_back(text) {
            Some(told) => (reading.pause_until_ms, reading.pause_is_by_clock) = (Some(told.at_ms), told.is_by_clock),
            None => reading.ignored += 1,
        }
    }
    if let Some(text) = names.usage.as_deref().and_then(get) {
        let usage::Usage { pause_until_ms, ignored } = usage::read(text, ids, now_ms);
        reading = reading.or(Reading { pause_until_ms, ignored, ..Reading::default() });
    }
    reading
}

/// A time to come back at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ComeBack {
    /// Unix time in ms.
    pub at_ms: i64,
    /// Whether it was told as a time by a clock of which nothing else is known, and not from now on.
    pub is_by_clock: bool,
}

/// Reads a `Retry-After` header. Beyond RFC 9110, section 10.2.3 (whole seconds or a date), a fraction (Shopify's `2.0`)
/// and seconds since 1970 are understood. A time is by the provider's clock: where the answer's `Date` tells that one, what
/// lies between them counts from now on. None when it is nonsense.
#[must_use]
pub fn retry_after(value: &str, now_ms: i64, get: Get<'_, '_>) -> Option<ComeBack> {
    Clock::of(now_ms, get).come_back(value)
}

/// By how much the provider's clock is ahead, as far as the answer tells; nothing of one that was kept on its way.
fn ahead_ms(now_ms: i64, get: Get<'_, '_>) -> Option<i64> {
    let date = get("Date").filter(|_| get("Age").is_none())?;
    let ahead_ms = instant::date(date)?.at_ms.saturating_sub(now_ms);
    (-LARGEST_SKEW_MS..=LARGEST_SKEW_MS).contains(&ahead_ms).then_some(ahead_ms)
}

/// Our time, and by how much the provider's is ahead of it.
#[derive(Debug, Clone, Copy)]
struct Clock {
    now_ms: i64,
    ahead_ms: Option<i64>,
}

impl Clock {
    fn of(now_ms: i64, get: Get<'_, '_>) -> Self {
        Self { now_ms, ahead_ms: ahead_ms(now_ms, get) }
    }

    /// Reads a time to come back at. `Date` was written no later than now and rounds down, so none is early by it.
    fn come_back(self, text: &str) -> Option<ComeBack> {
        let Instant { at_ms, is_relative, .. } = self.read(text, ResetAs::Auto)?;
        Some(match self.ahead_ms.filter(|_| !is_relative) {
            Some(ahead_ms) => ComeBack { at_ms: at_ms.saturating_sub(ahead_ms), is_by_clock: false },
            None => ComeBack { at_ms, is_by_clock: !is_relative },
        })
    }

    /// Reads a time; by their clock where it makes no sense by ours.
    fn read(self, text: &str, written_as: ResetAs) -> Option<Instant> {
        let theirs = || {
            let instant = instant::read(text, written_as, self.now_ms.saturating_add(self.ahead_ms?))?;
            Some(instant).filter(|instant| !instant.is_relative)
        };
        instant::read(text, written_as, self.now_ms).or_else(theirs)
    }
}

fn standard(names: &HeaderNames, clock: Clock, get: Get<'_, '_>) -> Vec<Said> {
    for [limit, remaining, used, reset] in [
        ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Used", "X-RateLimit-Reset"],
        ["RateLimit-Limit", "RateLimit-Remaining", "RateLimit-Used", "RateLimit-Reset"],
        ["X-Rate-Limit-Limit", "X-Rate-Limit-Remaining", "X-Rate-Limit-Used", "X-Rate-Limit-Reset"],
    ] {
        let [limit, remaining, used, reset] = [limit, remaining, used, reset].map(get);
        let values = Values { limit, remaining, used, reset, per_s: None };
        if names.policy.is_none() && values.is_some() {
            // In the older drafts, policies stand behind the limit, or alone: `100, 100;w=60, 1000;w=3600`.
            let per_s = limit.and_then(|limit| ietf::per_s(limit, &[Some(limit), get("RateLimit-Policy")]));
            return vec![Values { per_s, ..values }.weigh(names.reset_as, clock)];
        }
    }
    let nonsense = || vec![Said { reading: Reading { ignored: 1, ..Reading::default() }, per_ms: None }];
    let Some(told) = get("RateLimit") else { return Vec::new() };
    let said = ietf::values(told, get("RateLimit-Policy"), names.policy.as_deref());
    said.map_or_else(nonsense, |said| said.into_iter().map(|values| values.weigh(ResetAs::DeltaS, clock)).collect())
}

/// Header values, as they came.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Values<'h> {
    pub(crate) limit: Option<&'h str>,
    pub(crate) remaining: Option<&'h str>,
    pub(crate) used: Option<&'h str>,
    pub(crate) reset: Option<&'h str>,
    /// The window's length in seconds.
    pub(crate) per_s: Option<&'h str>,
}

impl Values<'_> {
    /// Whether anything was there.
    pub(crate) fn is_some(&self) -> bool {
        [self.limit, self.remaining, self.used, self.reset].into_iter().any(|value| value.is_some())
    }

    /// Keeps what makes sense, and completes limit, used and remaining from one another.
    fn weigh(self, reset_as: ResetAs, clock: Clock) -> Said {
        let mut ignored = 0;
        let mut count = |text: Option<&str>, least: f64| {
            let n = number(text?).filter(|n| (least..=MOST_CALLS).contains(n));
            ignored += u32::from(n.is_none());
            n
        };
        let (used, limit_beside_used) = match self.used.and_then(|text| text.split_once('/')) {
            Some((used, limit)) => (Some(used), Some(limit)),
            None => (self.used, None),
        };
        let limit = count(self.limit.or(limit_beside_used), 1.0);
        let (remaining, used) = (count(self.remaining, 0.0), count(used, 0.0));

        let whole = remaining.zip(used).map(|(remaining, used)| (remaining + used).round()).filter(|&n| n >= 1.0);
        let reset = self.reset.map(|text| clock.read(text, reset_as));
        let per_s = self.per_s.and_then(number).filter(|per_s| (f64::MIN_POSITIVE..=LONGEST_PER_S).contains(per_s));
        let reading = Reading {
            limit: limit.or(whole).map(|n| n as u64),
            remaining: remaining.or(limit.zip(used).map(|(limit, used)| (limit - used).max(0.0))),
            reset_at_ms: reset.flatten().map(|instant| instant.at_ms),
            reset_step_ms: reset.flatten().map_or(0, |instant| instant.step_ms),
            reset_is_relative: reset.flatten().is_some_and(|instant| instant.is_relative),
            clock_ahead_ms: clock.ahead_ms.filter(|_| reset.flatten().is_some_and(|instant| !instant.is_relative)),
            pause_until_ms: None,
            pause_is_by_clock: false,
            cost: None,
            ignored: ignored + u32::from(reset == Some(None)),
        };
        Said { reading, per_ms: per_s.map(|per_s| (per_s * 1e3) as i64) }
    }
}

#[cfg(test)]
mod tests;
