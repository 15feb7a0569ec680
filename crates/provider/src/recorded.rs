//! What was recorded of a provider, and whether a provider file makes of it what it should.

use std::collections::BTreeMap;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tidegate_answer::{Classifier, ErrorRule, Verdict};
use tidegate_contracts::{Class, Primitive};

use crate::limit::{Listener, Tells, hear, may_tell};

use crate::file::{EndpointName, Limit, Name, ProviderFile};

/// Between two moments that are taken for one: headers tell whole seconds.
const SAME_MS: i64 = 1;

/// What was recorded of a provider.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Recorded {
    /// What a job sets for the provider.
    pub config: BTreeMap<String, Primitive>,
    /// Answers that are failures, and some that are not.
    pub answers: Vec<RecordedAnswer>,
    /// What headers say of limits.
    pub limits: Vec<RecordedLimit>,
    /// How endpoints are called in a rehearsal, where it takes more than made-up parameters.
    pub calls: BTreeMap<EndpointName, RecordedCall>,
    /// What a simulator can't tell from the provider file: fields of a simulation file.
    pub simulate: Value,
}

/// An answer, and what it means.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedAnswer {
    /// Its status.
    pub status: u16,
    /// Its headers, as far as they matter.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// Its body: a text as it is, anything else as JSON.
    #[serde(default)]
    pub body: Value,
    /// The endpoint that answered, where it has rules of its own.
    #[serde(default)]
    pub endpoint: Option<EndpointName>,
    /// What it means.
    pub means: Meaning,
    /// The limit that refused.
    #[serde(default)]
    pub scope: Option<String>,
    /// When to come back, as the answer says it.
    #[serde(default)]
    pub retry_after: Option<String>,
}

/// What an answer means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Meaning {
    /// A failure of this class.
    Failure(Class),
    /// A page.
    Page(Page),
}

/// The word for no failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Page {
    /// A page, if it can be read.
    Page,
}

/// Headers, and what they say of a limit.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedLimit {
    /// The limit that they speak of.
    pub limit: Name,
    /// When the answer came, as in `2026-01-31T12:00:00Z`.
    pub at: String,
    /// The headers.
    #[serde(default)]
    pub headers: BTreeMap<String, String>,
    /// The body, where it speaks of the limit.
    #[serde(default)]
    pub body: Value,
    /// What the call is for, as in the limit's key.
    #[serde(default)]
    pub ids: Vec<String>,
    /// What they say.
    pub says: Said,
}

/// What headers say of a limit. What is not named here they must not say.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Said {
    /// Calls that fit.
    pub limit: Option<u64>,
    /// Calls that remain.
    pub remaining: Option<f64>,
    /// When the window ends.
    pub reset: Option<String>,
    /// Until when to pause.
    pub pause: Option<String>,
    /// What the call cost.
    pub cost: Option<u64>,
}

/// How an endpoint is called in a rehearsal.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RecordedCall {
    /// Its parameters.
    pub with: BTreeMap<String, Primitive>,
}

impl Recorded {
    /// Reads YAML or JSON.
    ///
    /// # Errors
    /// What is wrong, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        serde_saphyr::from_str(text).map_err(|error| error.to_string().replacen("error: ", "", 1))
    }

    /// What of it `file`, with all that it extends merged in, makes something else of; empty if nothing.
    #[must_use]
    pub fn check(&self, file: &ProviderFile) -> Vec<String> {
        let answers = self.answers.iter().enumerate().filter_map(|(index, answer)| {
            answer.check(file).err().map(|why| format!("answers[{index}] ({}): {why}", answer.status))
        });
        let limits = self.limits.iter().enumerate().filter_map(|(index, limit)| {
            limit.check(file).err().map(|why| format!("limits[{index}] ({}): {why}", limit.limit))
        });
        answers.chain(limits).collect()
    }

    /// Error rules of `file` that none of these answers meets.
    #[must_use]
    pub fn unmet<'f>(&self, file: &'f ProviderFile) -> Vec<&'f ErrorRule> {
        let met: Vec<ErrorRule> = self.answers.iter().filter_map(|answer| answer.rule(file).cloned()).collect();
        let own = file.endpoints.values().flat_map(|endpoint| &endpoint.errors);
        own.chain(&file.errors).filter(|rule| !met.contains(rule)).collect()
    }

    /// Limits of `file` whose headers none of these samples shows.
    #[must_use]
    pub fn silent<'f>(&self, file: &'f ProviderFile) -> Vec<&'f str> {
        let told = file.limits.iter().filter(|limit| limit.headers.is_some());
        told.map(|limit| limit.id.as_str())
            .filter(|id| self.limits.iter().all(|sample| sample.limit.as_str() != *id))
            .collect()
    }
}

impl RecordedAnswer {
    fn check(&self, file: &ProviderFile) -> Result<(), String> {
        let (found, scope, retry_after) = match self.classify(file)? {
            Verdict::Page => (Meaning::Page(Page::Page), None, None),
            Verdict::Failure(failure) => (Meaning::Failure(failure.class), failure.scope, failure.retry_after),
        };
        if found != self.means {
            return Err(format!("expected {}, found {found}", self.means));
        }
        if scope != self.scope {
            return Err(format!("expected the limit {}, found {}", named(&self.scope), named(&scope)));
        }
        match &self.retry_after {
            Some(wanted) if retry_after.as_ref() != Some(wanted) => {
                Err(format!("expected to be told to come back at {wanted}, found {}", named(&retry_after)))
            }
            _ => Ok(()),
        }
    }

    fn classify(&self, file: &ProviderFile) -> Result<Verdict, String> {
        let status = StatusCode::from_u16(self.status).map_err(|_| "expected a status from 100 to 999".to_owned())?;
        let body = match &self.body {
            Value::Null => Vec::new(),
            Value::String(text) => text.clone().into_bytes(),
            json => json.to_string().into_bytes(),
        };
        let success = self.endpoint(file).and_then(|endpoint| endpoint.success.as_ref());
        Ok(Classifier::new(&self.rules(file), success).classify(status, &header_map(&self.headers)?, &body))
    }

    fn rules(&self, file: &ProviderFile) -> Vec<ErrorRule> {
        let own = self.endpoint(file).map(|endpoint| endpoint.errors.as_slice()).unwrap_or_default();
        own.iter().chain(&file.errors).cloned().collect()
    }

    fn endpoint<'f>(&self, file: &'f ProviderFile) -> Option<&'f crate::file::Endpoint> {
        file.endpoints.get(self.endpoint.as_ref()?)
    }

    /// The rule that it meets.
    fn rule<'f>(&self, file: &'f ProviderFile) -> Option<&'f ErrorRule> {
        let Ok(Verdict::Failure(failure)) = self.classify(file) else { return None };
        let own = self.endpoint(file).map(|endpoint| endpoint.errors.as_slice()).unwrap_or_default();
        own.iter().chain(&file.errors).nth(failure.matched?)
    }
}

impl RecordedLimit {
    fn check(&self, file: &ProviderFile) -> Result<(), String> {
        let Some(limit) = file.limits.iter().find(|limit| limit.id == self.limit) else {
            return Err("the provider has no such limit".to_owned());
        };
        let tells = told_together(file, limit);
        let ids: Vec<&str> = self.ids.iter().map(String::as_str).collect();
        let listeners: Vec<Listener<'_>> =
            tells.iter().map(|(of, tells)| Listener { tells, rate: &of.rate, ids: ids.clone() }).collect();
        let (headers, body) = (header_map(&self.headers)?, self.body.to_string().into_bytes());
        let heard = hear(&listeners, &headers, &body, moment(&self.at)?);
        let mut of_limit = tells.iter().zip(heard).filter(|((of, _), _)| of.id == limit.id);
        let (_, reading) = of_limit.next().ok_or("no answer speaks of it")?;
        let at = |text: &Option<String>| text.as_deref().map(moment).transpose();
        let same = |wanted: Option<i64>, found: Option<i64>| match (wanted, found) {
            (Some(wanted), Some(found)) => wanted.abs_diff(found) <= SAME_MS.unsigned_abs(),
            (wanted, found) => wanted == found,
        };
        let Said { limit, remaining, cost, .. } = self.says;
        let told = (reading.limit, reading.remaining, reading.cost) == (limit, remaining, cost)
            && same(at(&self.says.reset)?, reading.reset_at_ms)
            && same(at(&self.says.pause)?, reading.pause_until_ms);
        if told { Ok(()) } else { Err(format!("expected {:?}, found {reading:?}", self.says)) }
    }
}

/// The limits that an answer to a call which touches this one may speak of.
fn told_together<'f>(file: &'f ProviderFile, limit: &Limit) -> Vec<(&'f Limit, Tells)> {
    let meets =
        |other: &Limit| file.endpoints.keys().any(|name| [limit, other].iter().all(|one| one.is_of(name.as_str())));
    let told: Vec<_> = file.limits.iter().map(|limit| (limit, Tells::of(limit))).collect();
    let is_open = told.iter().all(|(_, tells)| tells.is_silent());
    let named = |(other, tells): (&'f Limit, Tells)| match is_open {
        true if may_tell(other) => Some((other, Tells::standard())),
        _ if tells.is_silent() => None,
        _ => Some((other, tells)),
    };
    told.into_iter().filter_map(named).filter(|(other, _)| other.id == limit.id || meets(other)).collect()
}

pub(crate) fn header_map(headers: &BTreeMap<String, String>) -> Result<HeaderMap, String> {
    let header = |(name, value): (&String, &String)| {
        let wrong = || format!("expected a header, found {name}: {value}");
        Ok((name.parse::<HeaderName>().map_err(|_| wrong())?, value.parse::<HeaderValue>().map_err(|_| wrong())?))
    };
    headers.iter().map(header).collect()
}

/// Unix ms.
fn moment(text: &str) -> Result<i64, String> {
    let wrong = || format!("expected a moment such as 2026-01-31T12:00:00Z, found {text}");
    let time = humantime::parse_rfc3339(text).map_err(|_| wrong())?;
    let since = time.duration_since(std::time::UNIX_EPOCH).map_err(|_| wrong())?;
    i64::try_from(since.as_millis()).map_err(|_| wrong())
}

fn named(name: &Option<String>) -> &str {
    name.as_deref().unwrap_or("none")
}

impl std::fmt::Display for Meaning {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failure(class) => class.fmt(f),
            Self::Page(_) => f.write_str("page"),
        }
    }
}
