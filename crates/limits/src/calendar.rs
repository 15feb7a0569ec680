//! Periods of the calendar in a time zone: days of 23 to 25 hours, weeks from Monday, months. The zones' rules (IANA's
//! tz database) travel with the program, so every process has the same.

use std::borrow::Cow;
use std::fmt;

use jiff::civil::Date;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Span, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 86_400_000;

/// A period of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(rename = "CalendarPeriod")]
pub enum Period {
    /// From midnight to midnight.
    Day,
    /// From Monday's midnight.
    Week,
    /// From the first day's midnight.
    Month,
}

/// A time zone by its name in the tz database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(TimeZone);

/// Periods of one length in one zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Calendar {
    /// How long each is.
    pub per: Period,
    /// Where it is midnight.
    pub zone: Zone,
}

impl Period {
    /// As in a provider file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Day => "day",
            Self::Week => "week",
            Self::Month => "month",
        }
    }

    /// The least that one lasts, but for the hour that a day in spring may lack.
    #[must_use]
    pub fn least_ms(self) -> i64 {
        match self {
            Self::Day => DAY_MS,
            Self::Week => 7 * DAY_MS,
            Self::Month => 28 * DAY_MS,
        }
    }

    /// The most that one lasts, with the hour that a day in autumn may have more.
    #[must_use]
    pub fn longest_ms(self) -> i64 {
        let days = match self {
            Self::Day => 1,
            Self::Week => 7,
            Self::Month => 31,
        };
        days * DAY_MS + 3_600_000
    }

    /// The first day of the period so many periods after the one that holds a day.
    fn first(self, day: Date, periods: i64) -> Option<Date> {
        match self {
            Self::Day => day.checked_add(Span::new().try_days(periods).ok()?).ok(),
            Self::Week => {
                let since_monday = Span::new().days(day.weekday().to_monday_zero_offset());
                day.checked_sub(since_monday).ok()?.checked_add(Span::new().try_weeks(periods).ok()?).ok()
            }
            Self::Month => day.first_of_month().checked_add(Span::new().try_months(periods).ok()?).ok(),
        }
    }
}

impl Calendar {
    /// Unix times in ms at which periods begin: the one before that which holds `now_ms`, that one, and the two after it.
    #[must_use]
    pub fn edges_ms(&self, now_ms: i64) -> [i64; 4] {
        // Times that no calendar holds are nobody's; there, days are as long as others.
        self.edges(now_ms).unwrap_or_else(|| {
            let (length_ms, begins_ms) = (self.per.least_ms(), now_ms - now_ms.rem_euclid(self.per.least_ms()));
            [-1, 0, 1, 2].map(|periods| begins_ms.saturating_add(periods * length_ms))
        })
    }

    fn edges(&self, now_ms: i64) -> Option<[i64; 4]> {
        let today = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(self.zone.0.clone()).date();
        let begins_ms = |periods: i64| {
            // Where clocks skip midnight, the day begins with its first moment.
            let first = self.per.first(today, periods)?.to_zoned(self.zone.0.clone()).ok()?;
            Some(first.timestamp().as_millisecond())
        };
        Some([begins_ms(-1)?, begins_ms(0)?, begins_ms(1)?, begins_ms(2)?])
    }

    /// Time in ms from `now_ms` to the beginning of the period so many after the one that holds it; none to that itself.
    #[must_use]
    pub fn until_ms(&self, periods: i64, now_ms: i64) -> i64 {
        if periods <= 0 {
            return 0;
        }
        let begins = || {
            let today = Timestamp::from_millisecond(now_ms).ok()?.to_zoned(self.zone.0.clone()).date();
            let first = self.per.first(today, periods)?.to_zoned(self.zone.0.clone()).ok()?;
            Some(first.timestamp().as_millisecond().saturating_sub(now_ms))
        };
        begins().unwrap_or_else(|| self.per.least_ms().saturating_mul(periods))
    }

    /// When the period that holds `now_ms` began and ends.
    pub(crate) fn span_ms(&self, now_ms: i64) -> (i64, i64) {
        let [_, begins_ms, ends_ms, _] = self.edges_ms(now_ms);
        (begins_ms, ends_ms)
    }
}

impl fmt::Display for Calendar {
    /// Such as `day@America/Los_Angeles`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.per.name(), self.zone)
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self(TimeZone::UTC)
    }
}

impl TryFrom<String> for Zone {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        let zone = TimeZoneDatabase::bundled().get(&name).ok().filter(|zone| zone.iana_name().is_some());
        let expected = || format!("expected the name of a time zone such as America/Los_Angeles, found {name:?}");
        zone.map(Self).ok_or_else(expected)
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.to_string()
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.iana_name().unwrap_or("UTC"))
    }
}

impl JsonSchema for Zone {
    fn schema_name() -> Cow<'static, str> {
        "Zone".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A time zone by its name in IANA's tz database.",
            "examples": ["UTC", "America/Los_Angeles"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(per: Period, zone: &str) -> Calendar {
        Calendar { per, zone: Zone::try_from(zone.to_owned()).unwrap() }
    }

    fn ms(time: &str) -> i64 {
        time.parse::<Timestamp>().unwrap().as_millisecond()
    }

    #[test]
    fn periods_begin_at_midnight_where_the_provider_says() {
        use Period::{Day, Month, Week};
        for (per, zone, now, begins, ends) in [
            (Day, "UTC", "2026-03-01T23:59:59.999Z", "2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z"),
            (Day, "America/Los_Angeles", "2026-01-10T07:59:59Z", "2026-01-09T08:00:00Z", "2026-01-10T08:00:00Z"),
            (Day, "America/Los_Angeles", "2026-01-10T08:00:00Z", "2026-01-10T08:00:00Z", "2026-01-11T08:00:00Z"),
            // A day of 23 hours, and one of 25.
            (Day, "America/Los_Angeles", "2026-03-08T12:00:00Z", "2026-03-08T08:00:00Z", "2026-03-09T07:00:00Z"),
            (Day, "America/Los_Angeles", "2026-11-01T12:00:00Z", "2026-11-01T07:00:00Z", "2026-11-02T08:00:00Z"),
            // Clocks that skip midnight itself.
            (Day, "America/Sao_Paulo", "2018-11-04T12:00:00Z", "2018-11-04T03:00:00Z", "2018-11-05T02:00:00Z"),
            (Day, "Asia/Kolkata", "2026-06-01T00:00:00Z", "2026-05-31T18:30:00Z", "2026-06-01T18:30:00Z"),
            (Week, "Europe/Berlin", "2026-03-29T12:00:00Z", "2026-03-22T23:00:00Z", "2026-03-29T22:00:00Z"),
            (Month, "UTC", "2028-02-29T12:00:00Z", "2028-02-01T00:00:00Z", "2028-03-01T00:00:00Z"),
            (Month, "Europe/Berlin", "2026-12-31T22:59:59Z", "2026-11-30T23:00:00Z", "2026-12-31T23:00:00Z"),
        ] {
            assert_eq!(calendar(per, zone).span_ms(ms(now)), (ms(begins), ms(ends)), "{per:?} {zone} {now}");
        }
    }

    #[test]
    fn no_time_is_without_a_period() {
        for now_ms in [i64::MIN / 4, 0, i64::MAX / 4] {
            let (begins_ms, ends_ms) = calendar(Period::Month, "UTC").span_ms(now_ms);
            assert!((begins_ms..ends_ms).contains(&now_ms), "{now_ms}");
        }
    }

    #[test]
    fn a_zone_is_named_as_in_the_tz_database() {
        let zone: Zone = serde_json::from_str(r#""america/los_angeles""#).unwrap();
        assert_eq!(serde_json::to_string(&zone).unwrap(), r#""America/Los_Angeles""#);
        for name in ["Pacific", "", "UTC+8", "../etc/passwd"] {
            let error = Zone::try_from(name.to_owned()).unwrap_err();
            assert!(error.starts_with("expected the name of a time zone such as America/Los_Angeles"), "{error}");
        }
    }
}
