//! How limits speak in an answer's headers.

use axum::http::{HeaderMap, HeaderName, HeaderValue};

use crate::counter::View;
use crate::limit::Rule;
use crate::{HeaderNames, ResetAs};

/// Writes what `names` names; a header that is already there is left, so the first limit written is the one that shows.
pub(crate) fn write(headers: &mut HeaderMap, (id, names): (&str, &HeaderNames), rule: &Rule, view: View, now_us: u64) {
    let allowed = rule.allowed();
    let used = allowed.saturating_sub(view.remaining);
    let told = [
        (&names.limit, allowed.to_string()),
        (&names.remaining, view.remaining.to_string()),
        (&names.used, used.to_string()),
        (&names.used_of_limit, format!("{used}/{allowed}")),
        (&names.reset, moment(names.reset_as, view.reset_us, now_us)),
        (&names.usage, usage(used, allowed)),
        (&names.id, id.to_owned()),
        (&names.policy, format!("{allowed};w={}", rule.per_us().div_ceil(1_000_000))),
    ];
    for (name, value) in told {
        let name = name.as_ref().and_then(|name| name.parse::<HeaderName>().ok());
        if let (Some(name), Ok(value)) = (name, HeaderValue::from_str(&value)) {
            headers.entry(name).or_insert(value);
        }
    }
}

fn usage(used: u64, allowed: u64) -> String {
    let percent = used.saturating_mul(100) / allowed.max(1);
    format!(r#"{{"call_count":{percent},"total_time":{percent},"total_cputime":{percent}}}"#)
}

/// `Retry-After` (RFC 9110 10.2.3) for a call that may be made at `free_us`: whole seconds, rounded up.
pub(crate) fn write_retry_after(headers: &mut HeaderMap, free_us: u64, now_us: u64) {
    headers.insert("retry-after", HeaderValue::from(free_us.saturating_sub(now_us).div_ceil(1_000_000)));
}

fn moment(reset_as: ResetAs, at_us: u64, now_us: u64) -> String {
    let ahead_us = at_us.saturating_sub(now_us);
    match reset_as {
        // Rounded up: whoever comes back at that second is let in.
        ResetAs::EpochS => at_us.div_ceil(1_000_000).to_string(),
        ResetAs::EpochMs => at_us.div_ceil(1_000).to_string(),
        ResetAs::DeltaS => ahead_us.div_ceil(1_000_000).to_string(),
        ResetAs::DeltaMs => ahead_us.div_ceil(1_000).to_string(),
        ResetAs::Iso8601 => {
            let moment = jiff::Timestamp::from_microsecond(at_us as i64).unwrap_or_default();
            format!("{moment:.6}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Aligned, LimitHeaders, Preset};

    #[test]
    fn a_moment_is_written_in_each_way() {
        let (at, now) = (1_700_000_000_250_000, 1_699_999_990_000_000);
        for (reset_as, text) in [
            (ResetAs::EpochS, "1700000001"),
            (ResetAs::EpochMs, "1700000000250"),
            (ResetAs::DeltaS, "11"),
            (ResetAs::DeltaMs, "10250"),
            (ResetAs::Iso8601, "2023-11-14T22:13:20.250000Z"),
        ] {
            assert_eq!(moment(reset_as, at, now), text);
        }
    }

    #[test]
    fn the_first_limit_written_is_the_one_that_shows() {
        let rule = |calls| Rule::Window { calls, per_us: 60_000_000, aligned: Aligned::Epoch };
        let view = |remaining| View { remaining, reset_us: 90_000_000, free_us: 0 };
        let names =
            HeaderNames { id: Some("RateLimit-Bucket".into()), ..LimitHeaders::Preset(Preset::Ratelimit).names() };
        let mut headers = HeaderMap::new();
        write(&mut headers, ("short", &names), &rule(300), view(7), 60_000_000);
        write(&mut headers, ("long", &names), &rule(1500), view(900), 60_000_000);
        let text = |name: &str| headers[name].to_str().unwrap();
        assert_eq!((text("ratelimit-limit"), text("ratelimit-remaining")), ("300", "7"));
        assert_eq!(text("ratelimit-bucket"), "short");
        assert_eq!((text("ratelimit-reset"), text("ratelimit-policy")), ("30", "300;w=60"));
        write_retry_after(&mut headers, 61_200_000, 60_000_000);
        assert_eq!(headers["retry-after"], "2");
    }
}
