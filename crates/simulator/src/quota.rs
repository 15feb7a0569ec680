//! Quotas by the calendar of a time zone, counted by the date that it is there.

use jiff::civil::{Date, Weekday};
use jiff::tz::{TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// So many calls in each day, week or month.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    /// Calls in each, from 1.
    pub calls: u64,
    /// How long each is.
    pub per: Each,
    /// Where it is midnight, by its name in the tz database, such as `America/Los_Angeles`.
    #[serde(default = "utc")]
    pub zone: String,
}

/// A period of the calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Each {
    /// From midnight to midnight.
    Day,
    /// From Monday to Sunday.
    Week,
    /// From the first to the last.
    Month,
}

fn utc() -> String {
    "UTC".to_owned()
}

impl Quota {
    pub(crate) fn zone(&self) -> Result<TimeZone, String> {
        let zone = TimeZoneDatabase::bundled().get(&self.zone);
        zone.map_err(|_| format!("a time zone such as America/Los_Angeles was expected, not {}", self.zone))
    }
}

impl Each {
    /// The period that holds a time: its first day.
    pub(crate) fn of(self, zone: &TimeZone, now_us: u64) -> Date {
        let now = i64::try_from(now_us).ok().and_then(|us| Timestamp::from_microsecond(us).ok()).unwrap_or_default();
        let today = now.to_zoned(zone.clone()).date();
        match self {
            Self::Day => today,
            Self::Week => {
                let mut days = (0..7_i64).map(|ago| today.saturating_sub(ago.days()));
                days.find(|day| day.weekday() == Weekday::Monday).unwrap_or(today)
            }
            Self::Month => today.first_of_month(),
        }
    }

    /// When the period that begins with a day ends.
    pub(crate) fn end_us(self, zone: &TimeZone, first: Date) -> u64 {
        let length = match self {
            Self::Day => 1.days(),
            Self::Week => 7.days(),
            Self::Month => 1.months(),
        };
        let midnight = first.saturating_add(length).to_zoned(zone.clone());
        midnight.map_or(u64::MAX, |at| u64::try_from(at.timestamp().as_microsecond()).unwrap_or(0))
    }

    /// How long it mostly is.
    pub(crate) fn us(self) -> u64 {
        const DAY_US: u64 = 86_400_000_000;
        match self {
            Self::Day => DAY_US,
            Self::Week => 7 * DAY_US,
            Self::Month => 30 * DAY_US,
        }
    }
}
