//! Headers that tell in percent what is used of a budget, in JSON, as Meta's Graph APIs write them.
//!
//! ```text
//! X-App-Usage: {"call_count":28,"total_time":25,"total_cputime":25}
//! X-Business-Use-Case-Usage: {"1":[{"type":"pages","call_count":99,"total_cputime":2,"total_time":3,
//!                                   "estimated_time_to_regain_access":19}]}
//! X-Ad-Account-Usage: {"acc_id_util_pct":9.67,"reset_time_duration":100}
//! ```

use serde_json::{Map, Value};

use crate::block::LONGEST_TOLD_MS;

/// From so many percent on calls pause: those that are under way take some, too.
pub(crate) const FULL_PERCENT: f64 = 95.0;
/// How long, where the header does not say. The hour that is counted rolls, so some room comes back soon.
pub(crate) const PAUSE_MS: i64 = 300_000;

const PERCENTS: [&str; 4] = ["call_count", "total_time", "total_cputime", "acc_id_util_pct"];
/// In minutes.
const REGAIN: &str = "estimated_time_to_regain_access";
/// In seconds.
const RESET: &str = "reset_time_duration";

/// What a header tells.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Until when calls should pause, Unix ms; none if they need not.
    pub(crate) pause_until_ms: Option<i64>,
    /// Values that make no sense: negative, no numbers, times more than 32 days away; one where nothing else is told.
    pub(crate) ignored: u32,
}

/// Reads a header: of several budgets those of which one of `ids` names what they are of, else all. The one that asks for
/// the longest pause counts.
pub(crate) fn read(text: &str, ids: &[&str], now_ms: i64) -> Usage {
    let json: Value = serde_json::from_str(text).unwrap_or_default();
    let (mut usage, mut told) = (Usage::default(), false);
    for budget in budgets(&json, ids) {
        let mut number = |name: &str, unit_ms: f64| {
            let value = budget.get(name)?;
            let number = value.as_f64().filter(|&number| (0.0..=LONGEST_TOLD_MS as f64).contains(&(number * unit_ms)));
            usage.ignored += u32::from(number.is_none());
            number.map(|number| number * unit_ms)
        };
        let percent = PERCENTS.iter().filter_map(|name| number(name, 1.0)).reduce(f64::max);
        let [regain_ms, reset_ms] = [number(REGAIN, 60_000.0), number(RESET, 1_000.0)].map(Option::unwrap_or_default);
        let Some(percent) = percent else { continue };
        told = true;
        let wait_ms = match percent {
            _ if regain_ms > 0.0 => regain_ms.ceil() as i64,
            FULL_PERCENT.. if reset_ms > 0.0 => reset_ms.ceil() as i64,
            FULL_PERCENT.. => PAUSE_MS,
            _ => continue,
        };
        usage.pause_until_ms = usage.pause_until_ms.max(Some(now_ms.saturating_add(wait_ms)));
    }
    usage.ignored += u32::from(!told && usage.ignored == 0);
    usage
}

/// The budgets that a header speaks of: itself, or lists by what they are of.
fn budgets<'j>(json: &'j Value, ids: &[&str]) -> Vec<&'j Map<String, Value>> {
    let Value::Object(fields) = json else { return Vec::new() };
    let lists = || fields.iter().filter_map(|(id, list)| Some((id.as_str(), list.as_array()?)));
    if lists().next().is_none() {
        return vec![fields];
    }
    // Accounts of ads are called `act_1` in addresses, and both ways here.
    let plain = |id: &'j str| id.trim_start_matches("act_");
    let is_asked = |of: &str| ids.iter().any(|id| id.trim_start_matches("act_") == of);
    let knows = lists().any(|(id, _)| is_asked(plain(id)));
    let asked = lists().filter(|(id, _)| !knows || is_asked(plain(id)));
    asked.flat_map(|(_, list)| list).filter_map(Value::as_object).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_ms(text: &str, ids: &[&str]) -> (Option<i64>, u32) {
        let usage = read(text, ids, 1_000);
        (usage.pause_until_ms.map(|until_ms| until_ms - 1_000), usage.ignored)
    }

    #[test]
    fn calls_pause_when_a_budget_is_nearly_used_up_or_the_header_says_for_how_long() {
        for (text, expected) in [
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
            assert_eq!(wait_ms(text, &[]), (expected, 0), "{text}");
        }
    }

    #[test]
    fn of_several_ids_the_call_s_own_counts_where_it_is_there_and_else_the_worst() {
        let text = r#"{"1":[{"call_count":9}],"act_2":[{"call_count":9},{"call_count":99,"estimated_time_to_regain_access":2}],
            "3":[{"call_count":100,"estimated_time_to_regain_access":19}]}"#;
        for (ids, expected) in [
            (&["1"][..], None),
            (&["alice", "2"], Some(2 * 60_000)),
            (&["act_2"], Some(2 * 60_000)),
            (&["4"], Some(19 * 60_000)),
            (&[], Some(19 * 60_000)),
        ] {
            assert_eq!(wait_ms(text, ids), (expected, 0), "{ids:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_ignored_and_counted() {
        for text in ["", "{", "[]", r#"{"used":5}"#, "28", r#"{"call_count":-1}"#, r#"{"1":[{"call_count":"many"}]}"#] {
            assert_eq!(wait_ms(text, &[]), (None, 1), "{text}");
        }
        let never = r#"{"1":[{"call_count":100,"total_time":-3,"estimated_time_to_regain_access":99999999}]}"#;
        assert_eq!(wait_ms(never, &[]), (Some(PAUSE_MS), 2), "the rest counts");
        let enough = r#"{"1":[{"call_count":9,"estimated_time_to_regain_access":99999999}]}"#;
        assert_eq!(wait_ms(enough, &[]), (None, 1));
    }
}
