//! Answers to calls that fail.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;
use serde_json::{Value, json};

use crate::{Answers, Canned, SpecError};

/// An answer that is always the same.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Answers to calls that fail.
#[derive(Debug)]
pub(crate) struct Replies {
    pub(crate) limited: Reply,
    pub(crate) unauthorized: Reply,
    pub(crate) not_found: Reply,
    pub(crate) invalid: Reply,
    pub(crate) too_much_data: Reply,
    pub(crate) error_500: Reply,
    pub(crate) error_503: Reply,
    pub(crate) error_in_200: Reply,
}

/// The answers where a spec and its provider file say nothing.
#[derive(Debug)]
pub(crate) struct Usual {
    pub(crate) limited: Canned,
    pub(crate) unauthorized: Canned,
    pub(crate) not_found: Canned,
    pub(crate) invalid: Canned,
    pub(crate) too_much_data: Canned,
    pub(crate) error_500: Canned,
    pub(crate) error_503: Canned,
    pub(crate) error_in_200: Canned,
}

impl Replies {
    pub(crate) fn usual() -> Usual {
        let canned = |status, code: &str, message: &str| Canned {
            status,
            headers: BTreeMap::new(),
            body: json!({ "error": { "code": code, "message": message } }),
        };
        Usual {
            limited: canned(429, "rate_limited", "Too many requests."),
            unauthorized: canned(401, "unauthorized", "The access token is invalid."),
            not_found: canned(404, "not_found", "There is no such thing."),
            invalid: canned(400, "invalid", "A parameter is invalid."),
            too_much_data: canned(413, "too_much_data", "Ask for less data."),
            error_500: canned(500, "internal", "Something went wrong."),
            error_503: canned(503, "unavailable", "Down for a moment."),
            error_in_200: canned(200, "temporary", "Try again."),
        }
    }

    pub(crate) fn of(answers: &Answers) -> Result<Self, SpecError> {
        let usual = Self::usual();
        let reply = |name: &str, given: &Option<Canned>, usual: &Canned| {
            Reply::of(given.as_ref().unwrap_or(usual)).map_err(|why| SpecError::field(format!("answers.{name}"), why))
        };
        let mut error_503 = reply("error_503", &answers.error_503, &usual.error_503)?;
        error_503.headers.entry("retry-after").or_insert(HeaderValue::from_static("1"));
        Ok(Self {
            limited: reply("limited", &answers.limited, &usual.limited)?,
            unauthorized: reply("unauthorized", &answers.unauthorized, &usual.unauthorized)?,
            not_found: reply("not_found", &answers.not_found, &usual.not_found)?,
            invalid: reply("invalid", &answers.invalid, &usual.invalid)?,
            too_much_data: reply("too_much_data", &answers.too_much_data, &usual.too_much_data)?,
            error_500: reply("error_500", &answers.error_500, &usual.error_500)?,
            error_503,
            error_in_200: reply("error_in_200", &answers.error_in_200, &usual.error_in_200)?,
        })
    }
}

impl Reply {
    pub(crate) fn of(canned: &Canned) -> Result<Self, String> {
        let status = StatusCode::from_u16(canned.status).ok().filter(|status| (200..600).contains(&status.as_u16()));
        let mut headers = HeaderMap::new();
        headers.insert("content-type", HeaderValue::from_static("application/json"));
        for (name, value) in &canned.headers {
            let name: HeaderName = name.parse().map_err(|_| format!("`{name}` is no header's name"))?;
            headers
                .insert(name, value.parse().map_err(|_| "a header's value was expected in visible ASCII".to_owned())?);
        }
        Ok(Self {
            status: status.ok_or_else(|| format!("a status from 200 to 599 was expected, not {}", canned.status))?,
            headers,
            body: match &canned.body {
                Value::String(text) => Bytes::from(text.clone()),
                other => Bytes::from(other.to_string()),
            },
        })
    }
}
