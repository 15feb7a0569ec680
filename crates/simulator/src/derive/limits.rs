//! Limits as a provider file declares them, to be enforced by this crate's own counters.

use tidegate_limits::{
    Aligned as DeclaredAligned, HeaderNames as DeclaredNames, Period as DeclaredPeriod, Rate,
    ResetAs as DeclaredResetAs,
};
use tidegate_provider::file::{Cost, Factor, Limit, ProviderFile};

use super::answers::{self, Recordings};
use crate::{
    Aligned, Bucket, By, Each, HeaderNames, LimitHeaders, LimitSpec, Period, Quota, ResetAs, Sliding, Whose, Window,
};

/// The file's limits over the simulated `endpoints`, and those that are `known` beside the file, in whose place they
/// stand where they have the same id. What is left out is noted.
pub(super) fn derive(
    file: &ProviderFile,
    known: Vec<LimitSpec>,
    recorded: &Recordings<'_>,
    (endpoints, notes): (&[&str], &mut Vec<String>),
) -> Vec<LimitSpec> {
    let with_answer = |limit: LimitSpec| {
        let answer = || answers::of_limit(recorded, limit.id.as_deref()?);
        LimitSpec { answer: limit.answer.clone().or_else(answer), ..limit }
    };
    let mut limits: Vec<LimitSpec> = known.into_iter().map(with_answer).collect();
    for declared in &file.limits {
        if limits.iter().any(|limit| limit.id.as_deref() == Some(declared.id.as_str())) {
            continue;
        }
        match limit(recorded, declared, endpoints) {
            Ok(limit) => limits.push(limit),
            Err(why) => notes.push(format!("limit {} is not simulated: {why}", declared.id)),
        }
    }
    limits
}

fn limit(recorded: &Recordings<'_>, declared: &Limit, endpoints: &[&str]) -> Result<LimitSpec, String> {
    let matched: Vec<String> = match declared.endpoints.as_slice() {
        [] => Vec::new(),
        patterns => {
            let fits = |name: &&&str| patterns.iter().any(|pattern| fits(pattern, name));
            endpoints.iter().filter(fits).map(|name| (*name).to_owned()).collect()
        }
    };
    if matched.is_empty() && !declared.endpoints.is_empty() {
        return Err("none of its endpoints is".to_owned());
    }
    let limit = LimitSpec {
        id: Some(declared.id.to_string()),
        by: whose(&declared.key),
        endpoints: matched,
        further_pages_only: further_pages_only(declared.when.as_deref())?,
        headers: declared.headers.as_ref().map_or(LimitHeaders::NONE, headers),
        answer: answers::of_limit(recorded, declared.id.as_str()),
        ..rate(&declared.rate)?
    };
    let allowed = limit.rule()?.allowed();
    // A cost above the whole limit counts as the whole of it.
    Ok(LimitSpec { cost: cost(declared.cost.as_ref())?.clamp(1, allowed), ..limit })
}

fn rate(rate: &Rate) -> Result<LimitSpec, String> {
    let none = LimitSpec::default();
    Ok(match *rate {
        Rate::Window { calls, per, aligned } => {
            let aligned = match aligned {
                DeclaredAligned::Epoch => Aligned::Epoch,
                DeclaredAligned::FirstCall | DeclaredAligned::Told => Aligned::FirstCall,
            };
            LimitSpec { window: Some(Window { calls: calls.into(), per: Period(per), aligned }), ..none }
        }
        Rate::Quota { calls, per, ref zone } => {
            let per = match per {
                DeclaredPeriod::Day => Each::Day,
                DeclaredPeriod::Week => Each::Week,
                DeclaredPeriod::Month => Each::Month,
            };
            LimitSpec { quota: Some(Quota { calls: calls.into(), per, zone: zone.to_string() }), ..none }
        }
        Rate::Sliding { calls, per } => {
            LimitSpec { sliding: Some(Sliding { calls: calls.into(), per: Period(per) }), ..none }
        }
        Rate::Bucket { calls, restore_per_s } => {
            LimitSpec { bucket: Some(Bucket { capacity: calls.into(), refill_per_s: restore_per_s }), ..none }
        }
        Rate::Concurrency { learn: Some(_), .. } => return Err("it has no number of its own".to_owned()),
        Rate::Concurrency { calls, .. } => LimitSpec { concurrency: Some(calls.into()), ..none },
        Rate::Learn(_) | Rate::Breaker(_) | Rate::Told {} => return Err("it has no number of its own".to_owned()),
    })
}

fn whose(key: &[Factor]) -> Whose {
    let factors = key.iter().filter_map(|factor| match factor {
        Factor::Credential => Some(By::Token),
        Factor::Egress => Some(By::Ip),
        Factor::Endpoint => Some(By::Endpoint),
        Factor::Param(_) => Some(By::Parent),
        // The simulated third party knows one app and one provider, and neither tenants nor methods.
        Factor::App | Factor::Tenant | Factor::Method | Factor::Provider => None,
    });
    Whose::Each(factors.collect())
}

/// Of the expressions that a file may hold, only those about further pages are simulated.
fn further_pages_only(when: Option<&str>) -> Result<bool, String> {
    let Some(when) = when else { return Ok(false) };
    match when.split_whitespace().collect::<String>().as_str() {
        "call.page>1" | "call.page>=2" | "call.page!=1" => Ok(true),
        _ => Err(format!("the condition `{when}` is too complex")),
    }
}

fn cost(cost: Option<&Cost>) -> Result<u64, String> {
    match cost {
        None => Ok(1),
        Some(Cost::Fixed(cost)) => Ok((*cost).into()),
        Some(Cost::Expression(cost)) => Err(format!("the cost `{cost}` is too complex")),
    }
}

fn headers(names: &DeclaredNames) -> LimitHeaders {
    let reset_as = match names.reset_as {
        DeclaredResetAs::Auto | DeclaredResetAs::EpochS => ResetAs::EpochS,
        DeclaredResetAs::EpochMs => ResetAs::EpochMs,
        DeclaredResetAs::DeltaS => ResetAs::DeltaS,
        DeclaredResetAs::Iso8601 => ResetAs::Iso8601,
    };
    let DeclaredNames { limit, remaining, used, reset, usage, bucket: id, .. } = names.clone();
    if [&limit, &remaining, &used, &reset, &usage].iter().all(|name| name.is_none()) {
        return LimitHeaders::Names(HeaderNames { reset_as, id, ..LimitHeaders::default().names() });
    }
    // A header of calls used that stands alone speaks of both, as `32/40`.
    let alone = limit.is_none() && remaining.is_none();
    let (used, used_of_limit) = if alone { (None, used) } else { (used, None) };
    LimitHeaders::Names(HeaderNames { limit, remaining, used, used_of_limit, reset, reset_as, policy: None, usage, id })
}

/// `*` stands for any text.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((start, rest)) => name.strip_prefix(start).is_some_and(|after| {
            (0..=after.len()).any(|skipped| after.get(skipped..).is_some_and(|after| fits(rest, after)))
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, is) in [
            ("a.*", "a.b.c", true),
            ("*.b", "a.b", true),
            ("a*c*", "abcd", true),
            ("a", "ab", false),
            ("*", "", true),
            ("b*", "ab", false),
        ] {
            assert_eq!(fits(pattern, name), is, "{pattern} {name}");
        }
    }
}
