//! Telling pages from failures, and failures from each other.

use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};
use tidegate_contracts::Class;

use crate::default_class::default_class;
use crate::error_rule::{BodyKind, ErrorRule, Lasts};
use crate::evidence::Evidence;
use crate::expected::Expected;
use crate::finder::{Finder, Items};
use crate::json_path::JsonPath;
use crate::message::{self, BODY_MAX_BYTES, Places};
use crate::pattern::Pattern;
use crate::raw::Scalar;
use crate::selector::{HeaderField, Selector};
use crate::statuses::Statuses;

/// How one endpoint's answers are told apart, compiled once.
#[derive(Debug, Clone)]
pub struct Classifier {
    rules: Vec<Rule>,
    success: Option<Statuses>,
    /// Looks for all that the rules ask for, and for messages.
    finder: Finder,
    places: Places,
}

/// What an answer is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// A page, if it can be read.
    Page,
    /// A failure.
    Failure(Classified),
}

/// A failed answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Classified {
    /// What it means.
    pub class: Class,
    /// Id of the limit that refused, if the rule names one.
    pub scope: Option<String>,
    /// When to try again, as the answer says it: what the rule's `until` selects, else the `Retry-After` header.
    /// Read it with [`tidegate_limits::headers::retry_after`].
    pub retry_after: Option<String>,
    /// How long a refusal lasts where the answer does not say.
    pub lasts: Option<Lasts>,
    /// HTTP status.
    pub status: u16,
    /// For people: one line of at most `Failure::MESSAGE_MAX_CHARS` characters. It is the third party's text, and may
    /// repeat what was sent, a token included.
    pub message: String,
    /// Number of the rule that matched, from 0; none if the status alone decided.
    pub matched: Option<usize>,
}

/// A rule whose paths are numbers of values in the finder.
#[derive(Debug, Clone)]
struct Rule {
    status: Option<Statuses>,
    headers: Vec<(HeaderField, Pattern)>,
    body: Option<BodyKind>,
    json: Vec<(usize, Expected)>,
    message: Option<Pattern>,
    message_path: Option<usize>,
    class: Class,
    scope: Option<String>,
    until: Option<Until>,
    lasts: Option<Lasts>,
}

#[derive(Debug, Clone)]
enum Until {
    Header(HeaderField),
    Body {
        /// Number of the value in the finder.
        value: usize,
        /// It counts milliseconds, not seconds.
        in_ms: bool,
    },
}

impl Classifier {
    /// Compiles rules, the first of which has the first say. `success` are the statuses that are pages where no rule
    /// matches; without it, all 2xx.
    #[must_use]
    pub fn new(rules: &[ErrorRule], success: Option<&Statuses>) -> Self {
        let mut values = Vec::new();
        let rules = rules.iter().map(|rule| Rule::of(rule, &mut values)).collect();
        let places = Places::add(&mut values);
        Self { rules, success: success.cloned(), finder: Finder::new(Items::Unwanted, values), places }
    }

    /// Whether an answer is a page; if not, what it means.
    ///
    /// The body is not looked at before a rule whose other conditions hold asks for it, so a good answer costs
    /// nothing where no rule is about bodies.
    #[must_use]
    pub fn classify(&self, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Verdict {
        let answer = Evidence::new(status, headers, body, &self.finder);
        let success = self.success.as_ref().map_or(status.is_success(), |success| success.contains(status.as_u16()));
        let matched = self.rules.iter().position(|rule| rule.matches(&answer, success, self.places));
        match matched.and_then(|number| Some((number, self.rules.get(number)?))) {
            Some((number, rule)) => Verdict::Failure(Classified {
                class: rule.class,
                scope: rule.scope.clone(),
                retry_after: rule.retry_after(&answer).or_else(|| retry_after(headers)),
                lasts: rule.lasts,
                status: status.as_u16(),
                message: self.message(rule.own_message(&answer), &answer),
                matched: Some(number),
            }),
            None if success => Verdict::Page,
            None => Verdict::Failure(Classified {
                class: default_class(status, headers),
                scope: None,
                retry_after: retry_after(headers),
                lasts: None,
                status: status.as_u16(),
                message: self.message(None, &answer),
                matched: None,
            }),
        }
    }

    fn message(&self, own: Option<String>, answer: &Evidence<'_>) -> String {
        let found = own.or_else(|| self.places.any(answer));
        message::clean(&found.unwrap_or_else(|| message::stand_in(answer)))
    }
}

impl Rule {
    fn of(rule: &ErrorRule, values: &mut Vec<JsonPath>) -> Self {
        let mut number = |path: &JsonPath| {
            // The same path in several rules is found once.
            values.iter().position(|known| known == path).unwrap_or_else(|| {
                values.push(path.clone());
                values.len() - 1
            })
        };
        Self {
            status: rule.status.clone(),
            headers: rule.header.iter().map(|(name, pattern)| (name.clone(), pattern.clone())).collect(),
            body: rule.body,
            json: rule.json.iter().map(|(path, expected)| (number(path), expected.clone())).collect(),
            message: rule.message.clone(),
            message_path: rule.message_path.as_ref().map(&mut number),
            class: rule.class,
            scope: rule.scope.clone(),
            until: rule.until.as_ref().and_then(|selector| match selector {
                Selector::Header(name) => Some(Until::Header(name.clone())),
                Selector::Body(path) => {
                    Some(Until::Body { value: number(path), in_ms: path.to_string().ends_with("_ms") })
                }
                Selector::LastItem(_) => None,
            }),
            lasts: rule.lasts,
        }
    }

    /// Whether all conditions hold; the cheapest are asked first.
    fn matches(&self, answer: &Evidence<'_>, success: bool, places: Places) -> bool {
        self.status.as_ref().is_none_or(|statuses| statuses.contains(answer.status.as_u16()))
            && self.headers.iter().all(|(name, pattern)| answer.headers(name).any(|value| pattern.is_in(&value)))
            && self.body.is_none_or(|kind| answer.is(kind))
            && self
                .json
                .iter()
                .all(|(path, expected)| answer.is(BodyKind::Json) && expected.is_met(answer.values(*path)))
            && self.message.as_ref().is_none_or(|pattern| self.says(pattern, answer, success, places))
    }

    fn says(&self, pattern: &Pattern, answer: &Evidence<'_>, success: bool, places: Places) -> bool {
        let found = self.own_message(answer).or_else(|| match success {
            true => places.of_errors_only(answer),
            false => places.any(answer).or_else(|| Some(answer.start(BODY_MAX_BYTES))),
        });
        found.is_some_and(|message| pattern.is_in(&message))
    }

    fn own_message(&self, answer: &Evidence<'_>) -> Option<String> {
        answer.values(self.message_path?).find_map(message::text_of)
    }

    fn retry_after(&self, answer: &Evidence<'_>) -> Option<String> {
        match self.until.as_ref()? {
            Until::Header(name) => answer.headers(name).next(),
            Until::Body { value, in_ms } => {
                let told = answer.values(*value).find_map(|json| Scalar::of(json).text())?;
                if *in_ms { seconds(&told) } else { Some(told.into()) }
            }
        }
    }
}

/// Milliseconds, as `Retry-After` would have them.
fn seconds(ms: &str) -> Option<String> {
    let ms: f64 = ms.trim().parse().ok().filter(|ms: &f64| ms.is_finite() && *ms >= 0.0)?;
    Some((ms / 1_000.0).to_string())
}

fn retry_after(headers: &HeaderMap) -> Option<String> {
    headers.get(RETRY_AFTER).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests;
