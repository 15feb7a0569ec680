//! Answers that the error rules of a provider file tell apart as they should.

use std::collections::{BTreeMap, BTreeSet};

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::Value;
use tidegate_answer::{BodyKind, Classifier, ErrorRule, Expected, JsonPath, ScalarValue, Selector, Verdict};
use tidegate_contracts::Class;
use tidegate_provider::file::ProviderFile;
use tidegate_provider::{Meaning, Recorded, RecordedAnswer};

use super::sample::sample;
use crate::reply::Replies;
use crate::shape::Path;
use crate::{Answers, Canned};

/// Where an error's message stands if a rule does not say; a classifier looks there of its own.
const MESSAGE_PATHS: [&str; 2] = ["$.error.message", "$.message"];

/// What was recorded of the provider, beside the rules that tell it apart.
pub(super) struct Recordings<'a> {
    rules: &'a [ErrorRule],
    answers: Vec<(Class, Option<&'a str>, Canned)>,
}

impl<'a> Recordings<'a> {
    pub(super) fn of(file: &'a ProviderFile, recorded: &'a Recorded) -> Self {
        let dated = Dated::of(file);
        let answers = recorded.answers.iter().filter_map(|answer| match answer.means {
            Meaning::Failure(class) => Some((class, answer.scope.as_deref(), dated.freshen(answer))),
            Meaning::Page(_) => None,
        });
        Self { rules: &file.errors, answers: answers.collect() }
    }

    /// The answer that was recorded for one of these classes, if any: of the first class before those that come after,
    /// of the usual status before others.
    fn find(&self, classes: &[Class], scope: Option<&str>, usual: u16) -> Option<Canned> {
        let place = |class: &Class| classes.iter().position(|wanted| wanted == class);
        let fit = self.answers.iter().filter(|(_, of, _)| scope.is_none() || *of == scope);
        let fit = fit.filter_map(|(class, _, canned)| Some((place(class)?, canned)));
        fit.min_by_key(|(place, canned)| (*place, canned.status != usual)).map(|(_, canned)| canned.clone())
    }
}

/// What in answers had its time: when to come back, and what was left of limits.
struct Dated {
    headers: BTreeSet<String>,
    fields: Vec<JsonPath>,
}

impl Dated {
    fn of(file: &ProviderFile) -> Self {
        let of_limits = file.limits.iter().filter_map(|limit| limit.headers.as_ref()).flat_map(|names| {
            [&names.limit, &names.remaining, &names.used, &names.reset, &names.pause, &names.usage].map(Clone::clone)
        });
        let mut dated =
            Self { headers: of_limits.flatten().map(|name| name.to_ascii_lowercase()).collect(), fields: Vec::new() };
        dated.headers.insert("retry-after".to_owned());
        for until in file.errors.iter().filter_map(|rule| rule.until.as_ref()) {
            match until {
                Selector::Header(name) => _ = dated.headers.insert(name.as_str().to_ascii_lowercase()),
                Selector::Body(path) => dated.fields.push(path.clone()),
                Selector::LastItem(_) => {}
            }
        }
        dated
    }

    fn freshen(&self, answer: &RecordedAnswer) -> Canned {
        let mut body = answer.body.clone();
        for path in &self.fields {
            remove(&mut body, path.as_str());
        }
        let kept = answer.headers.iter().filter(|(name, _)| !self.headers.contains(&name.to_ascii_lowercase()));
        Canned {
            status: answer.status,
            headers: kept.map(|(name, value)| (name.clone(), value.clone())).collect(),
            body,
        }
    }
}

/// Removes what stands at a path of names; at any other path nothing.
fn remove(body: &mut Value, path: &str) {
    let Some(names) = path.strip_prefix("$.") else { return };
    let (above, name) = names.rsplit_once('.').map_or((None, names), |(above, name)| (Some(above), name));
    let place = above.into_iter().flat_map(|above| above.split('.')).try_fold(body, |at, name| at.get_mut(name));
    if let Some(Value::Object(fields)) = place {
        fields.remove(name);
    }
}

/// An answer for each kind of failure that was recorded, or that a rule knows. Where there is none, the usual answer
/// stays, and a note is made if the rules take that for something else.
pub(super) fn derive(recorded: &Recordings<'_>, notes: &mut Vec<String>) -> Answers {
    let (usual, rules) = (Replies::usual(), recorded.rules);
    let mut answer = |name: &str, classes: &[Class], usual: &Canned| {
        let made = || classes.iter().find_map(|class| canned(rules, *class, None, usual.status));
        let found = recorded.find(classes, None, usual.status).or_else(made);
        if found.is_none() && !classes.iter().any(|class| is_told(rules, usual, *class, None)) {
            notes.push(format!("answers.{name}: the provider file's error rules take it for something else"));
        }
        found
    };
    let in_200 = [Class::Suspect, Class::Transient];
    Answers {
        limited: answer("limited", &[Class::RateLimited, Class::QuotaExhausted], &usual.limited),
        unauthorized: answer("unauthorized", &[Class::AuthRevoked, Class::AuthExpired], &usual.unauthorized),
        not_found: answer("not_found", &[Class::NotFound, Class::Gone], &usual.not_found),
        invalid: answer("invalid", &[Class::Invalid], &usual.invalid),
        too_much_data: answer("too_much_data", &[Class::TooMuchData], &usual.too_much_data),
        error_500: answer("error_500", &[Class::Transient], &usual.error_500),
        error_503: None,
        // Where no rule knows of such an answer, it is told apart by what it lacks.
        error_in_200: recorded
            .find(&in_200, None, 200)
            .filter(|canned| canned.status == 200)
            .or_else(|| in_200.into_iter().find_map(|class| canned(rules, class, None, 200))),
    }
}

/// The refusal by limit `id`, as it was recorded, else one that a rule takes for that.
pub(super) fn of_limit(recorded: &Recordings<'_>, id: &str) -> Option<Canned> {
    let classes = [Class::RateLimited, Class::QuotaExhausted];
    let made = || classes.into_iter().find_map(|class| canned(recorded.rules, class, Some(id), 429));
    recorded.find(&classes, Some(id), 429).or_else(made)
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
