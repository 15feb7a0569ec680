//! The IETF's `RateLimit` and `RateLimit-Policy` fields (draft-ietf-httpapi-ratelimit-headers), read tolerantly.
//!
//! ```text
//! RateLimit-Policy: "burst";q=100;w=60, "daily";q=1000;w=86400     from draft 08 on: lists of items
//! RateLimit: "burst";r=50;t=30
//! RateLimit: limit=100, remaining=50, reset=30                     before: a dictionary
//! ```

use crate::headers::Values;
use crate::instant::number;

/// What a `RateLimit` field says of each policy that counts requests, or of the one that is asked for. None when malformed.
pub(crate) fn values<'h>(rate_limit: &'h str, policy: Option<&'h str>, asked: Option<&str>) -> Option<Vec<Values<'h>>> {
    dictionary(rate_limit).map(|values| vec![values]).or_else(|| list(rate_limit, policy, asked))
}

/// The length of the window of that many, in the first of these fields that tells it: `100;w=60`.
pub(crate) fn per_s<'h>(limit: &str, fields: &[Option<&'h str>]) -> Option<&'h str> {
    let limit = number(limit)?;
    let mut policies = fields.iter().copied().flatten().flat_map(items);
    policies.find_map(|policy| policy.param("w").filter(|_| number(policy.name) == Some(limit)))
}

fn dictionary(rate_limit: &str) -> Option<Values<'_>> {
    let mut values = Values::default();
    for member in split(rate_limit, ',') {
        let (name, value) = member.split_once('=')?;
        match name.trim() {
            "limit" => values.limit = Some(value),
            "remaining" => values.remaining = Some(value),
            "reset" => values.reset = Some(value),
            _ => {}
        }
    }
    values.is_some().then_some(values)
}

fn list<'h>(rate_limit: &'h str, policy: Option<&'h str>, asked: Option<&str>) -> Option<Vec<Values<'h>>> {
    let counts_requests = |item: &Item<'_>| item.param("qu").is_none_or(|unit| unit.trim_matches('"') == "requests");
    let policies: Vec<Item<'_>> = policy.map(items).into_iter().flatten().collect();
    // A policy may hold for each of several partitions: an answer tells of its call's.
    let policy_of = |item: &Item<'_>| {
        let named = || policies.iter().filter(|policy| policy.name == item.name);
        named().find(|policy| policy.param("pk") == item.param("pk")).or_else(|| named().next())
    };
    let told: Vec<Item<'_>> = items(rate_limit).filter(|item| item.param("r").and_then(number).is_some()).collect();
    if told.is_empty() {
        return None;
    }
    let asked_for = |item: &Item<'_>| match asked {
        Some(name) => item.name == name,
        None => policy_of(item).is_none_or(counts_requests),
    };
    let values = |item: Item<'h>| Values {
        limit: policy_of(&item).and_then(|policy| policy.param("q")),
        remaining: item.param("r"),
        used: None,
        reset: item.param("t"),
        per_s: policy_of(&item).and_then(|policy| policy.param("w")),
    };
    Some(told.into_iter().filter(asked_for).map(values).collect())
}

/// An item of a list: `"name";key=value;…`.
struct Item<'h> {
    name: &'h str,
    params: Vec<(&'h str, &'h str)>,
}

impl<'h> Item<'h> {
    fn param(&self, key: &str) -> Option<&'h str> {
        self.params.iter().find(|(name, _)| *name == key).map(|(_, value)| *value)
    }
}

fn items<'h>(list: &'h str) -> impl Iterator<Item = Item<'h>> {
    split(list, ',').map(|item| {
        let mut parts = split(item, ';');
        let name = parts.next().unwrap_or_default().trim_matches('"');
        let param = |part: &'h str| part.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
        Item { name, params: parts.filter_map(param).collect() }
    })
}

/// Splits where no quoted string is open.
fn split(text: &str, at: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    let parts = text.split(move |c: char| {
        let literal = escaped;
        escaped = quoted && c == '\\' && !literal;
        quoted ^= c == '"' && !literal;
        c == at && !quoted
    });
    parts.map(str::trim)
}
