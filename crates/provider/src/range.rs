//! Ranges that are read in slices: their bounds as parameters say them, and as they are sent.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate_answer::{SliceForm, Slices};
use tidegate_contracts::{Params, Primitive};

const DAY_S: i64 = 86_400;

/// A range can't be read from its parameters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RangeError {
    /// A bound is not given.
    #[error("parameter {0} is missing: it begins the range that is read in slices")]
    Missing(String),
    /// A bound is not of the form.
    #[error("parameter {param}: expected {expected}, found {found:?}")]
    Form {
        /// The parameter.
        param: String,
        /// What it should be.
        expected: &'static str,
        /// What it is.
        found: String,
    },
}

/// The range that `params` give, in units of its form: from the first one up to, but not including, the last.
/// `made_at_ms`: when the job was submitted, Unix ms, which ends a range of time without an end.
pub(crate) fn range(slices: &Slices, params: &Params, made_at_ms: Option<i64>) -> Result<(i64, i64), RangeError> {
    let bound = |name: &str| {
        let given = params.get(name).filter(|value| !matches!(value, Primitive::Text(text) if text.is_empty()));
        given.map(|value| read(slices.form, name, value)).transpose()
    };
    let from = bound(&slices.from)?.ok_or_else(|| RangeError::Missing(slices.from.clone()))?;
    let now = || made_at_ms.and_then(|ms| Some(ms.div_euclid(unit_ms(slices.form)?).saturating_add(1)));
    let until = bound(&slices.until)?.or_else(now).ok_or_else(|| RangeError::Missing(slices.until.clone()))?;
    Ok((from, until))
}

/// The parameters of a slice: those of its fetch, with its own bounds.
pub(crate) fn sliced(slices: &Slices, params: &Params, from: i64, until: i64) -> Params {
    let last = if slices.until_included { until.saturating_sub(1) } else { until };
    let mut params = params.clone();
    params.0.insert(slices.from.clone(), write(slices.form, from));
    params.0.insert(slices.until.clone(), write(slices.form, last));
    params
}

fn unit_ms(form: SliceForm) -> Option<i64> {
    match form {
        SliceForm::Iso8601 | SliceForm::EpochS => Some(1_000),
        SliceForm::Date => Some(DAY_S * 1_000),
        SliceForm::EpochMs => Some(1),
        SliceForm::Number => None,
    }
}

fn read(form: SliceForm, param: &str, value: &Primitive) -> Result<i64, RangeError> {
    let text = value.to_string();
    let number = text.trim().parse::<i64>().ok();
    let read = match (form, unit_ms(form)) {
        (SliceForm::Number | SliceForm::EpochS | SliceForm::EpochMs, _) if number.is_some() => number,
        (_, Some(unit_ms)) => unix_ms(text.trim()).map(|ms| ms.div_euclid(unit_ms)),
        _ => None,
    };
    let expected = match form {
        SliceForm::Iso8601 | SliceForm::Date => "a time in UTC such as 2024-01-31 or 2024-01-31T12:00:00Z",
        SliceForm::EpochS | SliceForm::EpochMs => "Unix time, or a time in UTC such as 2024-01-31T12:00:00Z",
        SliceForm::Number => "a whole number",
    };
    read.ok_or_else(|| RangeError::Form { param: param.to_owned(), expected, found: text })
}

/// A date, or a date with a time, from 1970.
fn unix_ms(text: &str) -> Option<i64> {
    let whole = if text.len() == "2024-01-31".len() { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let time = humantime::parse_rfc3339_weak(&whole).ok()?;
    i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_millis()).ok()
}

fn write(form: SliceForm, unit: i64) -> Primitive {
    let time = |seconds: i64| -> SystemTime { UNIX_EPOCH + Duration::from_secs(seconds.max(0).unsigned_abs()) };
    match form {
        SliceForm::EpochS | SliceForm::EpochMs | SliceForm::Number => Primitive::Integer(unit),
        SliceForm::Iso8601 => Primitive::Text(humantime::format_rfc3339_seconds(time(unit)).to_string()),
        SliceForm::Date => {
            let text = humantime::format_rfc3339_seconds(time(unit.saturating_mul(DAY_S))).to_string();
            Primitive::Text(text.chars().take("2024-01-31".len()).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(form: SliceForm, until_included: bool) -> Slices {
        Slices { from: "since".to_owned(), until: "until".to_owned(), cap: 10, form, until_included }
    }

    fn params(since: &str, until: &str) -> Params {
        [("since", since), ("until", until)].into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }

    #[test]
    fn bounds_are_read_and_written_in_each_form() {
        for (form, since, until, range_is, written) in [
            (
                SliceForm::Iso8601,
                "2024-01-31",
                "2024-02-01T00:00:05Z",
                (1_706_659_200, 1_706_745_605),
                "2024-01-31T00:00:00Z",
            ),
            (SliceForm::Date, "2024-01-31", "2024-03-01", (19_753, 19_783), "2024-01-31"),
            (SliceForm::EpochS, "1706659200", "2024-02-01", (1_706_659_200, 1_706_745_600), "1706659200"),
            (
                SliceForm::EpochMs,
                "2024-01-31",
                "1706659200005",
                (1_706_659_200_000, 1_706_659_200_005),
                "1706659200000",
            ),
            (SliceForm::Number, "-5", "7", (-5, 7), "-5"),
        ] {
            let slices = slices(form, false);
            assert_eq!(range(&slices, &params(since, until), None), Ok(range_is), "{form:?}");
            let sent = sliced(&slices, &params(since, until), range_is.0, range_is.1);
            assert_eq!(sent.get("since").unwrap().to_string(), written, "{form:?}");
            assert_eq!(range(&slices, &sent, None), Ok(range_is), "{form:?}: what is sent says the same");
        }
    }

    #[test]
    fn a_provider_that_takes_the_end_as_part_of_the_range_is_told_the_unit_before() {
        let sent = sliced(&slices(SliceForm::EpochS, true), &params("5", "9"), 5, 9);
        assert_eq!(sent.get("until"), Some(&Primitive::Integer(8)));
    }

    #[test]
    fn a_range_without_an_end_ends_when_its_job_was_submitted() {
        let of = |form, made_at_ms| range(&slices(form, false), &params("2024-01-31", ""), made_at_ms);
        assert_eq!(of(SliceForm::EpochS, Some(1_706_659_300_999)), Ok((1_706_659_200, 1_706_659_301)));
        assert_eq!(of(SliceForm::EpochS, None), Err(RangeError::Missing("until".to_owned())));
    }

    #[test]
    fn a_bound_that_cannot_be_is_named_with_what_was_expected() {
        let error = |form, since| range(&slices(form, false), &params(since, "9"), None).unwrap_err().to_string();
        assert_eq!(
            error(SliceForm::Iso8601, "yesterday"),
            "parameter since: expected a time in UTC such as 2024-01-31 or 2024-01-31T12:00:00Z, found \"yesterday\""
        );
        assert!(error(SliceForm::Number, "2024-01-31").contains("expected a whole number"));
        assert!(error(SliceForm::EpochS, "").contains("since is missing"));
    }
}
