//! What a token endpoint's answer means.

use http::StatusCode;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::Value;

use super::life::{EXPIRES_AT, REFRESHED_AT};
use crate::Credential;

/// Longest text of a refusal that is kept, in characters.
const MESSAGE_MAX_CHARS: usize = 300;
/// Longest time that a token is believed to last.
const EXPIRES_IN_MAX_S: f64 = 10.0 * 366.0 * 86_400.0;

/// Codes that speak of the endpoint's own trouble. The first two are of RFC 6749, section 4.1.2.1, the third of RFC 8628;
/// the others were met.
const PASSING: [&str; 6] = [
    "temporarily_unavailable",
    "server_error",
    "slow_down",
    "rate_limit_exceeded",
    "too_many_requests",
    "internal_failure",
];

/// What came of asking for a token.
#[derive(Debug)]
pub enum TokenAnswer {
    /// There is one.
    Tokens(Tokens),
    /// It is refused for good: asking again with the same credential would not help. Why, as the endpoint says; it may quote
    /// secrets.
    Refused(String),
    /// It is trouble that passes; what, for people. It may quote secrets.
    Later(String),
}

/// A new token. Neither shown nor serialised.
#[derive(Debug)]
pub struct Tokens {
    access_token: SecretString,
    refresh_token: Option<SecretString>,
    expires_in_ms: Option<i64>,
}

impl TokenAnswer {
    /// Reads an answer (RFC 6749, sections 5.1 and 5.2). Some providers refuse with a 200, so what is in it goes before the
    /// status.
    #[must_use]
    pub fn read(status: StatusCode, body: &[u8]) -> Self {
        let json: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let code = match &json["error"] {
            Value::String(code) => Some(code.as_str()),
            Value::Null => None,
            _ => Some(""),
        };
        let refused = code.is_some() || json["ok"] == false;
        if status.is_success() && !refused {
            return match Tokens::read(&json) {
                Some(tokens) => Self::Tokens(tokens),
                None => Self::Later(format!("status {status}: no access_token in the answer")),
            };
        }
        let text = describe(status, &json, code);
        let passes = code.is_some_and(|code| PASSING.contains(&code))
            || matches!(status.as_u16(), 408 | 425 | 429 | 500..)
            // Of a firewall before the endpoint, perhaps.
            || (status == StatusCode::FORBIDDEN && !json.is_object())
            || !(status.is_client_error() || status.is_success());
        if passes { Self::Later(text) } else { Self::Refused(text) }
    }
}

fn describe(status: StatusCode, json: &Value, code: Option<&str>) -> String {
    let said = [&json["error_description"], &json["message"], &json["error"]["message"]];
    let said = said.into_iter().find_map(Value::as_str).unwrap_or_default();
    let parts = [code.unwrap_or_default(), said].into_iter().filter(|part| !part.is_empty());
    let text = parts.collect::<Vec<_>>().join(": ");
    let text = if text.is_empty() { format!("status {status}") } else { text };
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE_MAX_CHARS).collect()
}

impl Tokens {
    fn read(json: &Value) -> Option<Self> {
        let text = |name: &str| json[name].as_str().filter(|text| !text.is_empty()).map(SecretString::from);
        // Some send the number as text.
        let seconds = match &json["expires_in"] {
            Value::Number(number) => number.as_f64(),
            Value::String(text) => text.parse().ok(),
            _ => None,
        };
        let seconds = seconds.filter(|seconds: &f64| (0.0..=EXPIRES_IN_MAX_S).contains(seconds) && *seconds > 0.0);
        Some(Self {
            access_token: text("access_token")?,
            refresh_token: text("refresh_token"),
            expires_in_ms: seconds.map(|seconds| (seconds * 1_000.0) as i64),
        })
    }

    /// The credential with the new token in the place of the one before, and the new refresh token, if there is one.
    /// `asked_at_ms`: when it was asked for, Unix ms, from which on its time is counted.
    #[must_use]
    pub fn renew(&self, credential: &Credential, asked_at_ms: i64) -> Credential {
        let replaced = ["access_token", EXPIRES_AT, REFRESHED_AT];
        let replaced =
            |name: &str| replaced.contains(&name) || (name == "refresh_token" && self.refresh_token.is_some());
        let kept = credential.fields().filter(|(name, _)| !replaced(name));
        let mut fields: Vec<(String, SecretString)> =
            kept.map(|(name, secret)| (name.to_owned(), secret.clone())).collect();
        let mut add = |name: &str, secret: &str| fields.push((name.to_owned(), SecretString::from(secret)));
        add("access_token", self.access_token.expose_secret());
        add(REFRESHED_AT, &asked_at_ms.to_string());
        if let Some(refresh_token) = &self.refresh_token {
            add("refresh_token", refresh_token.expose_secret());
        }
        if let Some(expires_in_ms) = self.expires_in_ms {
            add(EXPIRES_AT, &asked_at_ms.saturating_add(expires_in_ms).to_string());
        }
        Credential::new(credential.name(), fields)
    }
}
