//! What a request must not ask, though it can be read: pure.

use std::collections::{BTreeSet, HashSet};

use tidegate_limits::headers::FARTHEST_MS;
use tidegate_limits::{By, Charge, LEASE_MAX, Override, Permit, Question, Report, Told};

use super::json::escaped;
use super::problem::Problem;
use crate::redis::family;

/// Most limits that one call touches.
const CHARGES_MAX: usize = 32;
/// Longest key of a budget, in bytes.
const KEY_MAX_BYTES: usize = 1_024;
/// The least urgent lane.
const LANE_MAX: u8 = 3;
/// Longest id of a limit, a tenant and a job, in bytes.
const LIMIT_MAX_BYTES: usize = 128;
/// Ids of permits are below this; others are not ours.
const ID_END: u64 = 1 << 53;

/// At most so many questions, of so many choices each.
pub(super) fn questions(questions: &[Question], (max, choices_max): (usize, usize)) -> Result<(), Problem> {
    within("/questions", questions.len(), max)?;
    let each = |(place, asked)| question(&format!("/questions/{place}"), asked, choices_max);
    questions.iter().enumerate().try_for_each(each)
}

/// At most so many reports, told by a clock that says `now_ms`.
pub(super) fn reports(reports: &[Report], now_ms: i64, max: usize) -> Result<(), Problem> {
    within("/reports", reports.len(), max)?;
    let each = |(place, told)| report(&format!("/reports/{place}"), told, now_ms);
    reports.iter().enumerate().try_for_each(each)
}

pub(super) fn wanted(wanted: &Override) -> Result<(), Problem> {
    wanted.check().map_err(|error| {
        Problem::invalid(format!("/wanted/{}", error.field.replace('.', "/")), format!("must be {}", error.expected))
    })
}

fn question(at: &str, question: &Question, choices_max: usize) -> Result<(), Problem> {
    question.by.as_ref().map_or(Ok(()), |by| asker(&format!("{at}/by"), by))?;
    leased(&format!("{at}/want"), question.want)?;
    within(&format!("{at}/alternatives"), question.alternatives.len(), choices_max.saturating_sub(1))?;
    let at_choice = |number: usize| match number {
        0 => format!("{at}/charges"),
        _ => format!("{at}/alternatives/{}", number - 1),
    };
    let mut choices = HashSet::new();
    for (number, charges) in question.choices().enumerate() {
        let at = at_choice(number);
        if !choices.insert(distinct(&at, charges)?) {
            return Err(Problem::invalid(at, "is there already"));
        }
    }
    one_provider(&at_choice(0), question.choices().flatten().map(|charge| charge.key.as_str()))
}

/// The keys of a choice.
fn distinct<'a>(at: &str, charges: &'a [Charge]) -> Result<BTreeSet<&'a str>, Problem> {
    within(at, charges.len(), CHARGES_MAX)?;
    let mut keys = BTreeSet::new();
    for (place, asked) in charges.iter().enumerate() {
        let at = format!("{at}/{place}");
        charge(&at, asked)?;
        if !keys.insert(asked.key.as_str()) {
            return Err(Problem::invalid(format!("{at}/key"), "is there already"));
        }
    }
    Ok(keys)
}

fn asker(at: &str, By { lane, tenant, job, credential, waited_for }: &By) -> Result<(), Problem> {
    if *lane > LANE_MAX {
        return Err(Problem::invalid(format!("{at}/lane"), format!("must be from 0 to {LANE_MAX}")));
    }
    let optional = [("credential", credential.as_ref()), ("waited_for", waited_for.as_ref())];
    for (field, text) in [("tenant", Some(tenant)), ("job", Some(job))].into_iter().chain(optional) {
        if text.is_some_and(|text| text.len() > LIMIT_MAX_BYTES) {
            return Err(Problem::invalid(format!("{at}/{field}"), format!("is longer than {LIMIT_MAX_BYTES} bytes")));
        }
    }
    Ok(())
}

fn leased(at: &str, calls: u32) -> Result<(), Problem> {
    if (1..=LEASE_MAX).contains(&calls) {
        return Ok(());
    }
    Err(Problem::invalid(at, format!("must be from 1 to {LEASE_MAX}")))
}

fn charge(at: &str, charge: &Charge) -> Result<(), Problem> {
    key(&format!("{at}/key"), &charge.key)?;
    if charge.limit.len() > LIMIT_MAX_BYTES {
        return Err(Problem::invalid(format!("{at}/limit"), format!("is longer than {LIMIT_MAX_BYTES} bytes")));
    }
    charge.rate.check().map_err(|error| {
        Problem::invalid(format!("{at}/rate/{}", error.field.replace('.', "/")), format!("must be {}", error.expected))
    })
}

fn report(at: &str, report: &Report, now_ms: i64) -> Result<(), Problem> {
    let Permit { id, keys, calls, .. } = &report.permit;
    if *id >= ID_END {
        return Err(Problem::invalid(format!("{at}/permit/id"), "is not an id of ours"));
    }
    leased(&format!("{at}/permit/calls"), *calls)?;
    let refused = report.answer.as_ref().and_then(|told| told.refused.as_ref());
    let blocked = refused.map_or(&[][..], |refused| &refused.keys);
    for (at, keys) in [(format!("{at}/permit/keys"), &keys[..]), (format!("{at}/answer/refused/keys"), blocked)] {
        within(&at, keys.len(), CHARGES_MAX)?;
        keys.iter().enumerate().try_for_each(|(place, text)| key(&format!("{at}/{place}"), text))?;
    }
    one_provider(&format!("{at}/permit/keys"), keys.iter().chain(blocked).map(String::as_str))?;
    report.answer.as_ref().map_or(Ok(()), |told| answer(&format!("{at}/answer"), told, now_ms))
}

/// What is told once is kept, and shown to all who look: so it has to be what an answer can have said.
fn answer(at: &str, told: &Told, now_ms: i64) -> Result<(), Problem> {
    within(&format!("{at}/readings"), told.readings.len(), CHARGES_MAX)?;
    for (key, reading) in &told.readings {
        reading.check(now_ms).map_err(|error| {
            let at = format!("{at}/readings/{}/{}", escaped(key), error.field);
            Problem::invalid(at, format!("must be {}", error.expected))
        })?;
    }
    match told.refused.as_ref().and_then(|refused| refused.until_ms) {
        Some(until_ms) if until_ms.abs_diff(now_ms) > FARTHEST_MS.unsigned_abs() => Err(Problem::invalid(
            format!("{at}/refused/until_ms"),
            format!("must be at most {FARTHEST_MS} from now_ms"),
        )),
        _ => Ok(()),
    }
}

fn key(at: &str, key: &str) -> Result<(), Problem> {
    if (1..=KEY_MAX_BYTES).contains(&key.len()) {
        return Ok(());
    }
    Err(Problem::invalid(at, format!("must have from 1 to {KEY_MAX_BYTES} bytes")))
}

fn one_provider<'a>(at: &str, mut keys: impl Iterator<Item = &'a str>) -> Result<(), Problem> {
    let Some(first) = keys.next().map(family) else { return Ok(()) };
    if keys.all(|key| family(key) == first) {
        return Ok(());
    }
    Err(Problem::invalid(at, "must be of one provider"))
}

fn within(at: &str, found: usize, max: usize) -> Result<(), Problem> {
    if found <= max {
        return Ok(());
    }
    Err(Problem::invalid(at, format!("has {found} elements; {max} are the most")))
}
