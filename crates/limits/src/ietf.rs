//! The IETF's `RateLimit` and `RateLimit-Policy` fields (draft-ietf-httpapi-ratelimit-headers), read tolerantly.
//!
//! ```text
//! RateLimit-Policy: "burst";q=100;w=60, "daily";q=1000;w=86400     from draft 08 on: lists of items
//! RateLimit: "burst";r=50;t=30
//! RateLimit: limit=100, remaining=50, reset=30                     before: a dictionary
//! ```

use crate::headers::Values;
use crate::instant::number;

/// What a `RateLimit` field says; of several policies, the one with the least remaining. None when malformed.
pub(crate) fn values<'h>(rate_limit: &'h str, policy: Option<&'h str>) -> Option<Values<'h>> {
    dictionary(rate_limit).or_else(|| list(rate_limit, policy))
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

fn list<'h>(rate_limit: &'h str, policy: Option<&'h str>) -> Option<Values<'h>> {
    let counts_requests = |item: &Item<'_>| item.param("qu").is_none_or(|unit| unit.trim_matches('"') == "requests");
    let policies: Vec<Item<'_>> = policy.map(items).into_iter().flatten().collect();
    let policy_of = |item: &Item<'_>| policies.iter().find(|policy| policy.name == item.name);
    items(rate_limit)
        .filter(|item| policy_of(item).is_none_or(counts_requests))
        .filter_map(|item| Some((number(item.param("r")?)?, item)))
        .min_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, item)| Values {
            limit: policy_of(&item).and_then(|policy| policy.param("q")),
            remaining: item.param("r"),
            used: None,
            reset: item.param("t"),
        })
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
