//! How much a limit allows, as a provider file says it.

use std::ops::RangeInclusive;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::breaker::Breaker;
use crate::calendar::{Period, Zone};
use crate::learn::Learn;
use crate::slots::LearnSlots;

/// The most calls (or units of cost) that a limit may name; more is no limit.
const MOST_CALLS: u32 = 1_000_000_000;
/// The most slots that may be learnt.
const MOST_SLOTS: u32 = 10_000;
/// The longest window, lease, or time for a bucket to fill.
const LONGEST: Duration = Duration::from_hours(366 * 24);
/// The quickest bucket. State is kept in whole microseconds for each call, so up to here the error is below 1 %.
const QUICKEST_PER_S: f64 = 10_000.0;
/// The slowest pace that may be a floor.
const SLOWEST_PER_S: f64 = 0.0001;

/// How much a limit allows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Rate {
    /// A fixed window: so many calls in each period.
    Window {
        /// Calls (units of cost) in each window, from 1 to 1,000,000,000.
        calls: u32,
        /// The window's length, such as `15m`; at most 366 days.
        #[serde(with = "crate::human_duration")]
        #[schemars(with = "String")]
        per: Duration,
        /// Where windows begin.
        #[serde(default)]
        aligned: Aligned,
    },
    /// A sliding window: so many calls in any span of a length.
    Sliding {
        /// Calls (units of cost) in any such span, from 1 to 1,000,000,000.
        calls: u32,
        /// The span's length, such as `10s`; at most 366 days.
        #[serde(with = "crate::human_duration")]
        #[schemars(with = "String")]
        per: Duration,
    },
    /// A quota of each day, week or month of the calendar.
    Quota {
        /// Calls (units of cost) in each period, from 1 to 1,000,000,000.
        calls: u32,
        /// How long each period is: days and weeks begin at midnight, weeks on Mondays, months on the first.
        per: Period,
        /// Where it is midnight, such as `America/Los_Angeles`.
        #[serde(default)]
        zone: Zone,
    },
    /// A leaky bucket: a burst, then a steady pace.
    Bucket {
        /// The burst: calls (units of cost) that a full bucket holds, from 1 to 1,000,000,000.
        calls: u32,
        /// Calls restored each second; above 0, at most 10,000, and enough to fill the bucket in 366 days.
        restore_per_s: f64,
    },
    /// So many calls at the same time.
    Concurrency {
        /// Calls in flight, from 1 to 1,000,000,000; left out where they are learnt.
        #[serde(default, skip_serializing_if = "is_zero")]
        calls: u32,
        /// Instead of a number: as many as the provider works on without slowing down.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        learn: Option<LearnSlots>,
        /// After this time without a report a call counts as ended; at most 366 days.
        #[serde(default = "default_lease", with = "crate::human_duration")]
        #[schemars(with = "String")]
        lease: Duration,
    },
    /// Nobody tells: learnt from which calls are refused. `{}` for the defaults.
    Learn(Learn),
    /// No calls while the provider is ill, but single ones that try. `{}` for the defaults.
    Breaker(Breaker),
    /// No number of our own: unlimited until an answer's headers say otherwise.
    Told {},
}

/// Where the windows of a limit begin.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aligned {
    /// A window opens with the first call after the last one's end.
    #[default]
    FirstCall,
    /// At multiples of the window's length since 1970-01-01T00:00Z.
    Epoch,
    /// One after the other, from the reset that an answer told; until one did, as `first_call`.
    Told,
}

/// A field of a [`Rate`] that is out of its range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` must be {expected}")]
pub struct RateError {
    /// Path of the field, such as `window.calls`.
    pub field: &'static str,
    /// What was expected, to stand after "must be".
    pub expected: String,
}

impl Rate {
    /// How long a call may hold its slot, where it has one.
    #[must_use]
    pub fn lease(&self) -> Option<Duration> {
        match *self {
            Self::Concurrency { lease, .. } => Some(lease),
            _ => None,
        }
    }

    /// Checks every field's range.
    ///
    /// # Errors
    /// The first field that is out of its range, and what was expected.
    pub fn check(&self) -> Result<(), RateError> {
        const SHORTEST: Duration = Duration::from_millis(1);
        match *self {
            Self::Quota { calls, .. } => within("quota.calls", calls, 1..=MOST_CALLS),
            Self::Window { calls, per, .. } => {
                within("window.calls", calls, 1..=MOST_CALLS)?;
                within_duration("window.per", per, SHORTEST..=LONGEST)
            }
            Self::Sliding { calls, per } => {
                within("sliding.calls", calls, 1..=MOST_CALLS)?;
                within_duration("sliding.per", per, SHORTEST..=LONGEST)
            }
            Self::Bucket { calls, restore_per_s } => {
                within("bucket.calls", calls, 1..=MOST_CALLS)?;
                let slowest = f64::from(calls) / LONGEST.as_secs_f64();
                if (slowest..=QUICKEST_PER_S).contains(&restore_per_s) {
                    return Ok(());
                }
                let expected = format!("above 0, at most {QUICKEST_PER_S}, and enough to fill the bucket in 366 days");
                Err(RateError { field: "bucket.restore_per_s", expected })
            }
            Self::Concurrency { calls, ref learn, lease } => {
                check_slots(calls, learn.as_ref())?;
                within_duration("concurrency.lease", lease, SHORTEST..=LONGEST)
            }
            Self::Learn(learn) => check_learn(&learn),
            Self::Breaker(breaker) => check_breaker(&breaker),
            Self::Told {} => Ok(()),
        }
    }
}

fn check_learn(learn: &Learn) -> Result<(), RateError> {
    let Learn { start_per_s, floor_per_s, cap_per_s, refused_share } = *learn;
    let pace = |field, per_s: f64, least: f64, most: f64, expected: &str| {
        let expected = expected.to_owned();
        if (least..=most).contains(&per_s) { Ok(()) } else { Err(RateError { field, expected }) }
    };
    pace("learn.cap_per_s", cap_per_s, SLOWEST_PER_S, QUICKEST_PER_S, "from 0.0001 to 10000")?;
    pace("learn.floor_per_s", floor_per_s, SLOWEST_PER_S, cap_per_s, "from 0.0001 to cap_per_s")?;
    pace("learn.start_per_s", start_per_s, floor_per_s, cap_per_s, "from floor_per_s to cap_per_s")?;
    pace("learn.refused_share", refused_share, 0.0001, 0.1, "from 0.0001 to 0.1")
}

fn check_slots(calls: u32, learn: Option<&LearnSlots>) -> Result<(), RateError> {
    let Some(&LearnSlots { start, floor, cap }) = learn else {
        return within("concurrency.calls", calls, 1..=MOST_CALLS);
    };
    if calls > 0 {
        return Err(RateError { field: "concurrency.calls", expected: "left out where `learn` is given".to_owned() });
    }
    within("concurrency.learn.cap", cap, 1..=MOST_SLOTS)?;
    within("concurrency.learn.floor", floor, 1..=cap)?;
    within("concurrency.learn.start", start, floor..=cap)
}

fn check_breaker(breaker: &Breaker) -> Result<(), RateError> {
    let Breaker { failures, share, first_probe, longest_probe, patience } = *breaker;
    within("breaker.failures", failures, 0..=1_000_000)?;
    if !(0.01..=0.99).contains(&share) {
        return Err(RateError { field: "breaker.share", expected: "from 0.01 to 0.99".to_owned() });
    }
    within_duration("breaker.longest_probe", longest_probe, Duration::from_millis(1)..=Duration::from_hours(24))?;
    if first_probe.is_zero() || first_probe > longest_probe {
        return Err(RateError { field: "breaker.first_probe", expected: "from 1ms to longest_probe".to_owned() });
    }
    within_duration("breaker.patience", patience, Duration::ZERO..=LONGEST)
}

/// As long as a call may take with all its deadlines, and some.
fn default_lease() -> Duration {
    Duration::from_mins(5)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde asks")]
fn is_zero(calls: &u32) -> bool {
    *calls == 0
}

fn within(field: &'static str, value: u32, range: RangeInclusive<u32>) -> Result<(), RateError> {
    if range.contains(&value) {
        return Ok(());
    }
    Err(RateError { field, expected: format!("from {} to {}", range.start(), range.end()) })
}

fn within_duration(field: &'static str, value: Duration, range: RangeInclusive<Duration>) -> Result<(), RateError> {
    if range.contains(&value) {
        return Ok(());
    }
    let (least, most) = (humantime::format_duration(*range.start()), range.end().as_secs() / 86_400);
    Err(RateError { field, expected: format!("from {least} to {most} days") })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(json: &str) -> Result<Rate, String> {
        serde_json::from_str(json).map_err(|error| error.to_string())
    }

    #[test]
    fn rates_read_as_people_write_them_and_write_back_the_same() {
        let minutes = Duration::from_mins;
        for (json, expected) in [
            (
                r#"{"window":{"calls":300,"per":"5m"}}"#,
                Rate::Window { calls: 300, per: minutes(5), aligned: Aligned::FirstCall },
            ),
            (
                r#"{"window":{"calls":1,"per":"1s500ms","aligned":"epoch"}}"#,
                Rate::Window { calls: 1, per: Duration::from_millis(1_500), aligned: Aligned::Epoch },
            ),
            (r#"{"sliding":{"calls":600,"per":"1m"}}"#, Rate::Sliding { calls: 600, per: Duration::from_mins(1) }),
            (
                r#"{"quota":{"calls":10000,"per":"day","zone":"Europe/Berlin"}}"#,
                Rate::Quota { calls: 10_000, per: Period::Day, zone: "Europe/Berlin".to_owned().try_into().unwrap() },
            ),
            (
                r#"{"quota":{"calls":1,"per":"month"}}"#,
                Rate::Quota { calls: 1, per: Period::Month, zone: Zone::default() },
            ),
            (r#"{"bucket":{"calls":40,"restore_per_s":2}}"#, Rate::Bucket { calls: 40, restore_per_s: 2.0 }),
            (r#"{"concurrency":{"calls":100}}"#, Rate::Concurrency { calls: 100, learn: None, lease: minutes(5) }),
            (
                r#"{"concurrency":{"learn":{}}}"#,
                Rate::Concurrency { calls: 0, learn: Some(LearnSlots::default()), lease: minutes(5) },
            ),
            (
                r#"{"concurrency":{"learn":{"cap":16},"lease":"1m"}}"#,
                Rate::Concurrency {
                    calls: 0,
                    learn: Some(LearnSlots { cap: 16, ..LearnSlots::default() }),
                    lease: minutes(1),
                },
            ),
            (r#"{"told":{}}"#, Rate::Told {}),
            (r#"{"breaker":{}}"#, Rate::Breaker(Breaker::default())),
            (
                r#"{"breaker":{"failures":3,"patience":"0s"}}"#,
                Rate::Breaker(Breaker { failures: 3, patience: Duration::ZERO, ..Breaker::default() }),
            ),
            (r#"{"learn":{}}"#, Rate::Learn(Learn::default())),
            (r#"{"learn":{"start_per_s":5}}"#, Rate::Learn(Learn { start_per_s: 5.0, ..Learn::default() })),
        ] {
            let read = rate(json).unwrap();
            assert_eq!(read, expected, "{json}");
            assert_eq!(read.check(), Ok(()), "{json}");
            assert_eq!(rate(&serde_json::to_string(&read).unwrap()).unwrap(), expected, "{json}");
        }
    }

    #[test]
    fn what_is_not_a_rate_is_refused_with_the_reason() {
        for (json, reason) in [
            (r#"{"window":{"calls":300,"per":"5 parsecs"}}"#, "is not a duration such as"),
            (r#"{"window":{"calls":300,"per":"5m","burst":3}}"#, "unknown field `burst`"),
            (r#"{"told":{"calls":1}}"#, "unknown field `calls`"),
            (r#"{"quota":{"calls":1,"per":"fortnight"}}"#, "unknown variant `fortnight`, expected one of `day`"),
            (r#"{"quota":{"calls":1,"per":"day","zone":"Mars"}}"#, "expected the name of a time zone such as"),
            (r#"{"leaky":{}}"#, "unknown variant `leaky`"),
        ] {
            let error = rate(json).unwrap_err();
            assert!(error.contains(reason), "{json}: {error}");
        }
    }

    #[test]
    fn a_field_out_of_range_is_named_with_what_was_expected() {
        let day = Duration::from_hours(24);
        let window = |calls, per| Rate::Window { calls, per, aligned: Aligned::Epoch };
        let learn = Rate::Learn;
        let bucket = |restore_per_s| Rate::Bucket { calls: 40, restore_per_s };
        let slots = |calls, start, floor, cap| Rate::Concurrency {
            calls,
            learn: Some(LearnSlots { start, floor, cap }),
            lease: day,
        };
        for (rate, message) in [
            (window(0, day), "`window.calls` must be from 1 to 1000000000"),
            (window(1, Duration::ZERO), "`window.per` must be from 1ms to 366 days"),
            (window(1, 367 * day), "`window.per` must be from 1ms to 366 days"),
            (
                Rate::Quota { calls: 0, per: Period::Day, zone: Zone::default() },
                "`quota.calls` must be from 1 to 1000000000",
            ),
            (Rate::Sliding { calls: 0, per: day }, "`sliding.calls` must be from 1 to 1000000000"),
            (Rate::Sliding { calls: 1, per: Duration::ZERO }, "`sliding.per` must be from 1ms to 366 days"),
            (Rate::Bucket { calls: 0, restore_per_s: 1.0 }, "`bucket.calls` must be from 1 to 1000000000"),
            (bucket(10_001.0), "`bucket.restore_per_s` must be above 0, at most 10000, and"),
            (bucket(0.0), "`bucket.restore_per_s` must be above 0, at most 10000, and"),
            (bucket(1e-6), "`bucket.restore_per_s` must be above 0, at most 10000, and"),
            (bucket(f64::NAN), "`bucket.restore_per_s` must be above 0, at most 10000, and"),
            (learn(Learn { cap_per_s: 0.5, ..Learn::default() }), "`learn.start_per_s` must be from floor_per_s to"),
            (learn(Learn { refused_share: f64::NAN, ..Learn::default() }), "`learn.refused_share` must be from 0.0001"),
            (
                Rate::Breaker(Breaker { first_probe: day, ..Breaker::default() }),
                "`breaker.first_probe` must be from 1ms to longest_probe",
            ),
            (Rate::Breaker(Breaker { share: 1.0, ..Breaker::default() }), "`breaker.share` must be from 0.01 to 0.99"),
            (slots(3, 4, 1, 100), "`concurrency.calls` must be left out where `learn` is given"),
            (slots(0, 4, 1, 10_001), "`concurrency.learn.cap` must be from 1 to 10000"),
            (slots(0, 4, 9, 8), "`concurrency.learn.floor` must be from 1 to 8"),
            (slots(0, 1, 2, 8), "`concurrency.learn.start` must be from 2 to 8"),
            (
                Rate::Concurrency { calls: 0, learn: None, lease: day },
                "`concurrency.calls` must be from 1 to 1000000000",
            ),
            (
                Rate::Concurrency { calls: 1, learn: None, lease: 400 * day },
                "`concurrency.lease` must be from 1ms to 366 days",
            ),
        ] {
            let error = rate.check().unwrap_err().to_string();
            assert!(error.starts_with(message), "{rate:?}: {error}");
        }
    }

    #[test]
    fn the_schema_describes_durations_as_text() {
        let schema = serde_json::to_string(&schemars::schema_for!(Rate)).unwrap();
        assert!(schema.contains(r#""per":{"description":"The window's length"#), "{schema}");
        assert!(schema.contains(r#""default":"5m""#), "{schema}");
    }
}
