//! Answers that the error rules of a provider file tell apart as they should.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use tidegate_answer::{BodyKind, Classifier, ErrorRule, Expected, ScalarValue, Verdict};
use tidegate_contracts::Class;

use super::sample::sample;
use crate::reply::Replies;
use crate::shape::Path;
use crate::{Answers, Canned};

/// Where an error's message stands if a rule does not say; a classifier looks there of its own.
const MESSAGE_PATHS: [&str; 2] = ["$.error.message", "$.message"];

/// An answer for each kind of failure that a rule knows. Where none does, the usual answer stays, and a note is made if
/// the rules take that for something else.
pub(super) fn derive(rules: &[ErrorRule], notes: &mut Vec<String>) -> Answers {
    let usual = Replies::usual();
    let mut answer = |name: &str, classes: &[Class], usual: &Canned| {
        let found = classes.iter().find_map(|class| canned(rules, *class, None, usual.status));
        if found.is_none() && !classes.iter().any(|class| is_told(rules, usual, *class, None)) {
            notes.push(format!("answers.{name}: the provider file's error rules take it for something else"));
        }
        found
    };
    Answers {
        limited: answer("limited", &[Class::RateLimited, Class::QuotaExhausted], &usual.limited),
        unauthorized: answer("unauthorized", &[Class::AuthRevoked, Class::AuthExpired], &usual.unauthorized),
        not_found: answer("not_found", &[Class::NotFound, Class::Gone], &usual.not_found),
        invalid: answer("invalid", &[Class::Invalid], &usual.invalid),
        too_much_data: answer("too_much_data", &[Class::TooMuchData], &usual.too_much_data),
        error_500: answer("error_500", &[Class::Transient], &usual.error_500),
        error_503: None,
        // Where no rule knows of such an answer, it is told apart by what it lacks.
        error_in_200: [Class::Suspect, Class::Transient].into_iter().find_map(|class| canned(rules, class, None, 200)),
    }
}

/// The refusal that a rule takes for one by limit `id`.
pub(super) fn of_limit(rules: &[ErrorRule], id: &str) -> Option<Canned> {
    [Class::RateLimited, Class::QuotaExhausted].into_iter().find_map(|class| canned(rules, class, Some(id), 429))
}

/// An answer that the rules take for a failure of `class`, by limit `scope` if there is one.
fn canned(rules: &[ErrorRule], class: Class, scope: Option<&str>, status: u16) -> Option<Canned> {
    let fit = rules.iter().filter(|rule| rule.class == class && (scope.is_none() || rule.scope.as_deref() == scope));
    // For an error in a 200 no other status will do; another failure would rather have the usual one.
    let made = fit.filter_map(|rule| made(rule, status)).filter(|canned| status != 200 || canned.status == 200);
    let mut told: Vec<Canned> = made.filter(|canned| is_told(rules, canned, class, scope)).collect();
    told.sort_by_key(|canned| canned.status != status);
    told.into_iter().next()
}

/// Whether the rules take `canned` for a failure of `class`.
fn is_told(rules: &[ErrorRule], canned: &Canned, class: Class, scope: Option<&str>) -> bool {
    let Ok(status) = StatusCode::from_u16(canned.status) else { return false };
    let headers: HeaderMap = canned.headers.iter().filter_map(header).collect();
    match Classifier::new(rules, None).classify(status, &headers, canned.body.to_string().as_bytes()) {
        Verdict::Failure(failure) => failure.class == class && (scope.is_none() || failure.scope.as_deref() == scope),
        Verdict::Page => false,
    }
}

fn header((name, value): (&String, &String)) -> Option<(HeaderName, HeaderValue)> {
    Some((name.parse().ok()?, value.parse().ok()?))
}

/// The answer that meets each condition of `rule`, if one can be made up.
fn made(rule: &ErrorRule, usual: u16) -> Option<Canned> {
    if rule.body.is_some_and(|body| body != BodyKind::Json) {
        return None;
    }
    let status = match &rule.status {
        None => usual,
        Some(statuses) => {
            [usual].into_iter().chain(400..600).chain(200..400).find(|status| statuses.contains(*status))?
        }
    };
    let mut headers = BTreeMap::new();
    for (name, pattern) in &rule.header {
        headers.insert(name.as_str().to_owned(), sample(pattern)?);
    }
    let mut body = Value::Null;
    for (path, expected) in &rule.json {
        if let Some(value) = met(expected)? {
            body = Path::read_with_lists(path.as_str()).ok()?.put(body, value).ok()?;
        }
    }
    let message = match &rule.message {
        Some(pattern) => sample(pattern)?,
        None => format!("Simulated: {}.", rule.class.name().replace('_', " ")),
    };
    let own_path = rule.message_path.as_ref().map(|path| path.as_str());
    let paths = own_path.into_iter().chain(MESSAGE_PATHS);
    let with_message = |path| Path::read_with_lists(path).ok()?.put(body.clone(), message.clone().into()).ok();
    match paths.into_iter().find_map(with_message) {
        Some(body) => Some(Canned { status, headers, body }),
        // Not every body has room for a message, and not every rule wants one.
        None => rule.message.is_none().then_some(Canned { status, headers, body }),
    }
}

/// A value that is as expected; none of it where nothing is to be there.
fn met(expected: &Expected) -> Option<Option<Value>> {
    match expected {
        Expected::OneOf(values) => values.first().map(|value| Some(json(value))),
        Expected::Match(pattern) => sample(pattern).map(|text| Some(Value::from(text))),
        Expected::Exists(true) => Some(Some(Value::from("simulated"))),
        Expected::Exists(false) => Some(None),
    }
}

fn json(value: &ScalarValue) -> Value {
    match value {
        ScalarValue::Null(()) => Value::Null,
        ScalarValue::Bool(value) => Value::from(*value),
        ScalarValue::Number(number) => Value::Number(number.clone()),
        ScalarValue::Text(text) => Value::from(text.as_str()),
    }
}
