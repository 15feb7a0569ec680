//! Quirks: what providers are known to do wrong, by name, laid over a spec as a whole.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Busy, By, EndpointSpec, Faults, Period, SimulatorSpec, TotalLie, Whose};

/// What a provider does wrong, at every endpoint. Each can be told on the command line, as `NAME` or `NAME=VALUE`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Quirks {
    /// After its last page a list goes on for ever: pages of one item, the last, each with a next one.
    pub endless_one_item_pages: bool,
    /// Limits that say they count by token count by address.
    pub limit_by_ip_despite_token: bool,
    /// A token is refused after so many calls; 20 unless a number is given.
    #[schemars(range(min = 1))]
    pub token_dies_after: Option<u64>,
    /// All calls are 503 for a while.
    pub outage: Option<Outage>,
    /// What stated totals are off by; `+100` unless given.
    pub total_lies: Option<TotalLie>,
    /// After so many pages, two pages name each other as the next one; 3 unless a number is given.
    #[schemars(range(min = 1))]
    pub cursor_loops: Option<u64>,
    /// Addresses of next pages lack the page's size, which falls back to what the endpoint grants unasked.
    pub next_drops_limit: bool,
    /// Share of calls that get a 200 with an error in it, from 0 to 1; 0.2 unless given.
    pub two_hundred_with_error: Option<f64>,
    /// Share of calls whose body drips in, from 0 to 1; 0.2 unless given.
    pub slow_body: Option<f64>,
    /// Share of calls whose JSON breaks off, from 0 to 1; 0.2 unless given.
    pub truncated: Option<f64>,
    /// The last page names a next one, which is blank.
    pub last_page_has_cursor: bool,
    /// It works on so many calls at a time, and lets others wait; on 8, each for 50 ms, unless given.
    pub slow_when_busy: Option<Busy>,
}

/// A while in which all calls are 503.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Outage {
    /// When it begins, from the first call.
    pub after: Period,
    /// How long it lasts.
    pub lasts: Period,
}

impl Default for Outage {
    fn default() -> Self {
        Self { after: Period::from_ms(500), lasts: Period::from_ms(3_000) }
    }
}

/// The share of calls where none is given.
const SHARE: f64 = 0.2;

impl Quirks {
    /// The names, as they stand in a spec.
    pub const NAMES: [&str; 12] = [
        "endless_one_item_pages",
        "limit_by_ip_despite_token",
        "token_dies_after",
        "outage",
        "total_lies",
        "cursor_loops",
        "next_drops_limit",
        "two_hundred_with_error",
        "slow_body",
        "truncated",
        "last_page_has_cursor",
        "slow_when_busy",
    ];

    /// Adds one as it stands on a command line: `NAME`, `NAME=VALUE`, or `outage=500ms+3s`.
    ///
    /// # Errors
    /// What was expected.
    pub fn add(&mut self, text: &str) -> Result<(), String> {
        let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
        let number = |usual: u64| match value {
            None => Ok(Some(usual)),
            Some(value) => match value.parse::<u64>() {
                Ok(number) if number > 0 => Ok(Some(number)),
                _ => Err(format!("{name}: expected a number from 1, found {value}")),
            },
        };
        let share = || match value {
            None => Ok(Some(SHARE)),
            Some(value) => match value.parse::<f64>() {
                Ok(share) if (0.0..=1.0).contains(&share) => Ok(Some(share)),
                _ => Err(format!("{name}: expected a share from 0 to 1, found {value}")),
            },
        };
        let flag = || match value {
            None | Some("true") => Ok(true),
            Some(value) => Err(format!("{name}: expected no value, found {value}")),
        };
        match name {
            "endless_one_item_pages" => self.endless_one_item_pages = flag()?,
            "limit_by_ip_despite_token" => self.limit_by_ip_despite_token = flag()?,
            "token_dies_after" => self.token_dies_after = number(20)?,
            "outage" => self.outage = Some(value.map_or(Ok(Outage::default()), Outage::parse)?),
            "total_lies" => {
                let lie = TotalLie::read(value.unwrap_or("+100"));
                self.total_lies = Some(lie.map_err(|why| format!("{name}: {why}"))?);
            }
            "cursor_loops" => self.cursor_loops = number(3)?,
            "next_drops_limit" => self.next_drops_limit = flag()?,
            "two_hundred_with_error" => self.two_hundred_with_error = share()?,
            "slow_body" => self.slow_body = share()?,
            "truncated" => self.truncated = share()?,
            "last_page_has_cursor" => self.last_page_has_cursor = flag()?,
            "slow_when_busy" => self.slow_when_busy = Some(value.map_or(Ok(Busy::default()), Busy::parse)?),
            _ => return Err(format!("unknown quirk {name}; expected one of {}", Self::NAMES.join(", "))),
        }
        Ok(())
    }

    /// Lays those over `spec` that faults, lies and limits can tell. Outages, tokens that die and how
    /// much it works on are the server's.
    pub(crate) fn lay_over(&self, spec: &mut SimulatorSpec) {
        let defaults = spec.defaults.clone();
        for endpoint in spec.endpoints.values_mut() {
            let faults = endpoint.faults.clone().or_else(|| defaults.faults.clone()).unwrap_or_default();
            endpoint.faults = Some(self.faults(faults));
        }
        if self.limit_by_ip_despite_token {
            let own = spec.endpoints.values_mut().chain([&mut spec.defaults]);
            let own = own.filter_map(|EndpointSpec { limits, .. }| limits.as_mut()).flatten();
            for limit in own.chain(spec.limits.iter_mut().flatten()) {
                let by = limit.by.factors().iter().map(|by| if *by == By::Token { By::Ip } else { *by });
                limit.by = Whose::Each(by.collect());
            }
        }
    }

    fn faults(&self, mut faults: Faults) -> Faults {
        faults.error_in_200 = self.two_hundred_with_error.unwrap_or(faults.error_in_200);
        faults.slow_body = self.slow_body.unwrap_or(faults.slow_body);
        faults.truncated = self.truncated.unwrap_or(faults.truncated);
        let lies = &mut faults.lies;
        lies.total = self.total_lies.or(lies.total);
        lies.cursor_loop_after = self.cursor_loops.or(lies.cursor_loop_after);
        lies.endless_one_item_pages |= self.endless_one_item_pages;
        lies.next_drops_size |= self.next_drops_limit;
        lies.last_names_next |= self.last_page_has_cursor;
        faults
    }
}

impl Outage {
    /// `AFTER+LASTS`, such as `500ms+3s`.
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("outage: expected AFTER+LASTS such as 500ms+3s, found {text}");
        let (after, lasts) = text.split_once('+').ok_or_else(wrong)?;
        let period = |text: &str| humantime::parse_duration(text).map(Period).map_err(|_| wrong());
        Ok(Self { after: period(after)?, lasts: period(lasts)? })
    }

    /// Whether it is on, so many ms after the first call.
    pub(crate) fn is_on(&self, since_first_ms: u64) -> bool {
        let (after, lasts) = (self.after.0.as_millis(), self.lasts.0.as_millis());
        (after..after + lasts).contains(&u128::from(since_first_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_quirk_is_told_by_its_name_with_or_without_a_value() {
        for name in Quirks::NAMES {
            let mut quirks = Quirks::default();
            quirks.add(name).unwrap_or_else(|why| panic!("{name}: {why}"));
            assert_ne!(quirks, Quirks::default(), "{name}");
            let json = serde_json::to_value(&quirks).unwrap();
            assert_eq!(serde_json::from_value::<Quirks>(json).unwrap(), quirks);
        }
        let mut quirks = Quirks::default();
        for text in ["outage=1s+1m", "total_lies=x2", "cursor_loops=7", "slow_body=0.5", "slow_when_busy=3x20ms"] {
            quirks.add(text).unwrap();
        }
        assert_eq!(quirks.outage, Some(Outage { after: Period::from_ms(1_000), lasts: Period::from_ms(60_000) }));
        assert_eq!(quirks.slow_when_busy, Some(Busy { workers: 3, takes: Period::from_ms(20) }));
        assert_eq!(
            (quirks.total_lies, quirks.cursor_loops, quirks.slow_body),
            (Some(TotalLie::Times(2.0)), Some(7), Some(0.5))
        );
    }

    #[test]
    fn what_is_no_quirk_is_refused_with_what_was_expected() {
        for (text, expected) in [
            ("nothing", "unknown quirk nothing; expected one of endless_one_item_pages, "),
            ("cursor_loops=0", "cursor_loops: expected a number from 1"),
            ("slow_body=2", "slow_body: expected a share from 0 to 1"),
            ("next_drops_limit=5", "next_drops_limit: expected no value"),
            ("slow_when_busy=0x1s", "slow_when_busy: expected WORKERSxTIME such as 8x50ms"),
            ("outage=5s", "outage: expected AFTER+LASTS such as 500ms+3s"),
        ] {
            let error = Quirks::default().add(text).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn an_outage_is_on_for_its_while() {
        let outage = Outage { after: Period::from_ms(100), lasts: Period::from_ms(50) };
        assert_eq!([0, 99, 100, 149, 150].map(|ms| outage.is_on(ms)), [false, false, true, true, false]);
    }
}
