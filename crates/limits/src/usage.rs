//! Headers that tell in percent what is used of a budget, in JSON, as Meta's Graph APIs write them.
//!
//! ```text
//! X-App-Usage: {"call_count":28,"total_time":25,"total_cputime":25}
//! X-Business-Use-Case-Usage: {"1":[{"type":"pages","call_count":99,"total_cputime":2,"total_time":3,
//!                                   "estimated_time_to_regain_access":19}]}
//! X-Ad-Account-Usage: {"acc_id_util_pct":9.67,"reset_time_duration":100}
//! ```

use serde_json::Value;

/// From so many percent on calls pause: those that are under way take some, too.
pub(crate) const FULL_PERCENT: f64 = 95.0;
/// How long, where the header does not say. The hour that is counted rolls, so some room comes back soon.
pub(crate) const PAUSE_MS: i64 = 300_000;

const PERCENTS: [&str; 4] = ["call_count", "total_time", "total_cputime", "acc_id_util_pct"];
/// In minutes.
const REGAIN: &str = "estimated_time_to_regain_access";
/// In seconds.
const RESET: &str = "reset_time_duration";

/// What a header tells of all budgets in it.
#[derive(Debug, Default)]
struct Usage {
    percent: Option<f64>,
    regain_ms: f64,
    reset_ms: f64,
}

/// Until when calls should pause, Unix ms; none if they need not. `Err` when the header makes no sense.
pub(crate) fn pause_until(text: &str, now_ms: i64) -> Result<Option<i64>, ()> {
    let json: Value = serde_json::from_str(text).map_err(|_| ())?;
    let mut usage = Usage::default();
    usage.look(&json);
    let percent = usage.percent.ok_or(())?;
    let wait_ms = match usage {
        Usage { regain_ms, .. } if regain_ms > 0.0 => regain_ms,
        Usage { reset_ms, .. } if percent >= FULL_PERCENT && reset_ms > 0.0 => reset_ms,
        _ if percent >= FULL_PERCENT => PAUSE_MS as f64,
        _ => return Ok(None),
    };
    Ok(Some(now_ms.saturating_add(wait_ms.ceil() as i64)))
}

impl Usage {
    /// The header is a few hundred bytes, and its decoder refuses what nests deeply.
    fn look(&mut self, json: &Value) {
        match json {
            Value::Array(list) => list.iter().for_each(|one| self.look(one)),
            Value::Object(fields) => fields.iter().for_each(|(name, value)| match value.as_f64() {
                Some(number) => self.note(name, number.max(0.0)),
                None => self.look(value),
            }),
            _ => {}
        }
    }

    fn note(&mut self, name: &str, number: f64) {
        match name {
            REGAIN => self.regain_ms = self.regain_ms.max(number * 60_000.0),
            RESET => self.reset_ms = self.reset_ms.max(number * 1_000.0),
            _ if PERCENTS.contains(&name) => {
                self.percent = Some(self.percent.map_or(number, |percent| percent.max(number)));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_pause_when_a_budget_is_nearly_used_up_or_the_header_says_for_how_long() {
        for (text, wait_ms) in [
            (r#"{"call_count":28,"total_time":25,"total_cputime":25}"#, None),
            (r#"{"call_count":28,"total_time":95,"total_cputime":25}"#, Some(PAUSE_MS)),
            (r#"{"1":[{"type":"pages","call_count":9,"estimated_time_to_regain_access":0}]}"#, None),
            (
                r#"{"1":[{"call_count":9}],"2":[{"call_count":100,"estimated_time_to_regain_access":19}]}"#,
                Some(19 * 60_000),
            ),
            (r#"{"acc_id_util_pct":9.67,"reset_time_duration":100}"#, None),
            (r#"{"acc_id_util_pct":100,"reset_time_duration":100}"#, Some(100_000)),
        ] {
            assert_eq!(pause_until(text, 1_000), Ok(wait_ms.map(|wait| wait + 1_000)), "{text}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for text in ["", "{", "[]", r#"{"used":5}"#, "28"] {
            assert_eq!(pause_until(text, 0), Err(()), "{text}");
        }
    }
}
