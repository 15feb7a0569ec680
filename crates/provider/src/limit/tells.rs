//! What an answer tells of the limits that a call touched, in its headers and in its body.

use std::collections::BTreeMap;

use http::HeaderMap;
use tidegate_answer::Values;
use tidegate_limits::headers::{asides, counts};
use tidegate_limits::share::share;
use tidegate_limits::{HeaderNames, Rate, Reading, headers};

use crate::file::{BodyTells, Limit};

/// Fields that are lists: several lines of them are one, with commas between (RFC 9110, section 5.3).
const LISTS: [&str; 2] = ["RateLimit", "RateLimit-Policy"];

/// Where answers speak of a limit.
#[derive(Debug, Default)]
pub(crate) struct Tells {
    pub(crate) headers: Option<HeaderNames>,
    body: Option<InBody>,
    /// The file says nothing of headers: the usual ones are tried.
    is_guess: bool,
}

/// Places in bodies, by what stands there.
#[derive(Debug)]
struct InBody {
    names: HeaderNames,
    places: Vec<&'static str>,
    values: Values,
}

/// A limit that a call touched, and that answers speak of.
#[derive(Debug)]
pub(crate) struct Listener<'a> {
    pub(crate) tells: &'a Tells,
    pub(crate) rate: &'a Rate,
    /// What the limit is of, as in its budget's key.
    pub(crate) ids: Vec<&'a str>,
}

/// What each of a call's limits hears of its answer. Headers that the file names for one of them alone speak of that one; for
/// others it is found out which.
pub(crate) fn hear(listeners: &[Listener<'_>], sent: &HeaderMap, body: &[u8], now_ms: i64) -> Vec<Reading> {
    let joined = joined(sent);
    let header = |name: &str| match joined.iter().find(|(list, _)| list.eq_ignore_ascii_case(name)) {
        Some((_, lines)) => Some(lines.as_str()),
        None => sent.get(name).and_then(|value| value.to_str().ok()),
    };
    let names = |number: &usize| listeners.get(*number)?.tells.headers.as_ref();
    let mut heard = BTreeMap::new();
    let mut silent: Vec<usize> = (0..listeners.len()).filter(|number| names(number).is_some()).collect();
    while let Some(first) = silent.first().and_then(names) {
        let (alike, others) =
            silent.iter().partition(|number| names(number).is_some_and(|other| first.counts_as(other)));
        silent = others;
        let alike: Vec<usize> = alike;
        let mut said = counts(first, now_ms, &header);
        let is_guess = alike.first().and_then(|number| listeners.get(*number)).is_none_or(|one| one.tells.is_guess);
        let is_sure = alike.len() == 1 && !is_guess && said.len() < 2;
        let readings = if is_sure {
            vec![said.pop().unwrap_or_default().reading]
        } else {
            let rates: Vec<&Rate> = alike.iter().filter_map(|number| Some(listeners.get(*number)?.rate)).collect();
            share(said, &rates, now_ms)
        };
        heard.extend(alike.into_iter().zip(readings));
    }
    let whole = |(number, listener): (usize, &Listener<'_>)| {
        let asides = listener.tells.headers.as_ref().map(|names| asides(names, now_ms, &header, &listener.ids));
        let in_body = listener.tells.body.as_ref().map(|place| place.read(body, now_ms));
        let heard = heard.remove(&number).unwrap_or_default();
        heard.or(asides.unwrap_or_default()).or(in_body.unwrap_or_default())
    };
    listeners.iter().enumerate().map(whole).collect()
}

/// Lists of which there are several lines.
fn joined(sent: &HeaderMap) -> Vec<(&'static str, String)> {
    let lines = |name: &'static str| {
        let lines: Vec<&str> = sent.get_all(name).iter().filter_map(|value| value.to_str().ok()).collect();
        (lines.len() > 1).then(|| (name, lines.join(", ")))
    };
    LISTS.into_iter().filter_map(lines).collect()
}

impl Tells {
    pub(crate) fn of(limit: &Limit) -> Self {
        Self { headers: limit.headers.clone(), body: limit.body.as_ref().map(InBody::of), is_guess: false }
    }

    pub(crate) fn standard() -> Self {
        Self { headers: Some(HeaderNames::standard()), body: None, is_guess: true }
    }

    pub(crate) fn is_silent(&self) -> bool {
        self.headers.is_none() && self.body.is_none()
    }
}

impl InBody {
    fn of(tells: &BodyTells) -> Self {
        let BodyTells { limit, remaining, used, reset, reset_as, cost } = tells;
        let (mut places, mut paths) = (Vec::new(), Vec::new());
        let mut place = |name, path: &Option<_>| {
            let path = Option::clone(path)?;
            places.push(name);
            paths.push(path);
            Some(String::from(name))
        };
        let names = HeaderNames {
            limit: place("limit", limit),
            remaining: place("remaining", remaining),
            used: place("used", used),
            reset: place("reset", reset),
            cost: place("cost", cost),
            reset_as: *reset_as,
            ..HeaderNames::default()
        };
        Self { names, places, values: Values::new(paths) }
    }

    /// As headers are read: their names are the places'.
    fn read(&self, body: &[u8], now_ms: i64) -> Reading {
        let texts = self.values.texts(body);
        let text = |name: &str| texts.get(self.places.iter().position(|place| *place == name)?)?.as_deref();
        headers::read(&self.names, now_ms, &text)
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};
    use serde_json::json;

    use super::*;

    /// 2026-01-01T00:00:00Z.
    const NOW_MS: i64 = 1_767_225_600_000;

    /// What limits, as in a file, hear of lines of headers: limit and remaining.
    fn heard(limits: serde_json::Value, lines: &[(&str, &str)]) -> Vec<(Option<u64>, Option<f64>)> {
        let limits: Vec<Limit> = serde_json::from_value(limits).unwrap();
        let tells = |limit: &Limit| if limit.headers.is_some() { Tells::of(limit) } else { Tells::standard() };
        let tells: Vec<Tells> = limits.iter().map(tells).collect();
        let listened = limits.iter().zip(&tells);
        let listeners: Vec<_> =
            listened.map(|(limit, tells)| Listener { tells, rate: &limit.rate, ids: Vec::new() }).collect();
        let mut sent = HeaderMap::new();
        for (name, value) in lines {
            sent.append(HeaderName::try_from(*name).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        hear(&listeners, &sent, b"", NOW_MS).into_iter().map(|reading| (reading.limit, reading.remaining)).collect()
    }

    fn burst_and_day(burst: serde_json::Value, day: serde_json::Value) -> serde_json::Value {
        json!([
            { "id": "burst", "window": { "calls": 100, "per": "1m" }, "headers": burst },
            { "id": "day", "window": { "calls": 1000, "per": "1d" }, "headers": day }
        ])
    }

    #[test]
    fn each_limit_hears_its_own_policy_by_name_or_by_size_and_length_over_however_many_lines() {
        let lines = [
            ("RateLimit", r#""b";r=50;t=30"#),
            ("RateLimit", r#""d";r=9;t=3600"#),
            ("RateLimit-Policy", r#""b";q=100;w=60"#),
            ("RateLimit-Policy", r#""d";q=1000;w=86400"#),
        ];
        let own = [(Some(100), Some(50.0)), (Some(1000), Some(9.0))];
        assert_eq!(heard(burst_and_day(json!({}), json!({})), &lines), own);
        assert_eq!(heard(burst_and_day(json!({ "policy": "b" }), json!({ "policy": "d" })), &lines), own);
        let crossed = heard(burst_and_day(json!({ "policy": "d" }), json!({ "policy": "b" })), &lines);
        assert_eq!(crossed, [own[1], own[0]], "the file knows best");
    }

    #[test]
    fn headers_that_the_file_gives_to_one_limit_alone_are_believed_whatever_they_say() {
        let own = json!({ "limit": "X-Limit", "remaining": "X-Left" });
        for size in [3, 100_000] {
            let expected = [(Some(size), Some(2.0)), (None, None)];
            let lines = [("X-Limit", &*size.to_string()), ("X-Left", "2")];
            assert_eq!(heard(burst_and_day(own.clone(), json!({})), &lines), expected);
            let lines = [("X-RateLimit-Limit", &*size.to_string()), ("X-RateLimit-Remaining", "2")];
            assert_eq!(heard(burst_and_day(json!({}), own.clone()), &lines), expected);
        }
    }

    #[test]
    fn usual_headers_are_no_size_of_a_limit_that_they_do_not_fit() {
        let burst = json!({ "id": "burst", "bucket": { "calls": 5, "restore_per_s": 1.0 }, "headers": {} });
        let hour = json!({ "id": "hour", "window": { "calls": 5000, "per": "1h" }, "headers": {} });
        let lines = [("X-RateLimit-Limit", "5000"), ("X-RateLimit-Remaining", "4990")];
        assert_eq!(heard(json!([burst, hour]), &lines), [(None, None), (Some(5000), Some(4990.0))]);
        let unmapped = json!({ "id": "burst", "bucket": { "calls": 5, "restore_per_s": 1.0 } });
        assert_eq!(heard(json!([unmapped]), &lines), [(None, None)]);
    }
}
