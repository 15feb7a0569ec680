//! The token endpoint (OAuth 2.0): what is asked of it, and what it does wrong.

use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::Period;
use crate::connection::Caller;
use crate::issuer::{Asked, Issued};
use crate::route::Params;
use crate::visit::Site;

/// A token endpoint: refresh tokens and client credentials (RFC 6749, sections 6 and 4.4). All of it is made up: this file is
/// no place for secrets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TokensSpec {
    /// Its path; `/oauth/token` unless given.
    pub path: String,
    /// How long a token is taken; `1h` unless given.
    pub expires_in: Period,
    /// Its answers say how long; they do unless told otherwise.
    pub tells_expiry: bool,
    /// Each refresh brings a new refresh token; one that comes twice is taken for stolen. It does unless told otherwise.
    pub rotates: bool,
    /// How long a refresh token may come again after it was replaced; not at all unless given.
    pub grace: Period,
    /// The client; any unless given.
    pub client_id: Option<String>,
    /// The client's secret; any unless given.
    pub client_secret: Option<String>,
    /// The first refresh token; any unless given.
    pub refresh_token: Option<String>,
    /// Calls are let in with tokens that were issued here alone. If not, any other will do too, as long as it was not issued
    /// here.
    pub only: bool,
    /// Time to an answer; none unless given.
    pub latency: Period,
}

impl Default for TokensSpec {
    fn default() -> Self {
        Self {
            path: "/oauth/token".to_owned(),
            expires_in: Period::from_ms(3_600_000),
            tells_expiry: true,
            rotates: true,
            grace: Period::default(),
            client_id: None,
            client_secret: None,
            refresh_token: None,
            only: false,
            latency: Period::default(),
        }
    }
}

/// What a token endpoint does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TokenEndpoint {
    /// What it should.
    #[default]
    Works,
    /// Answers 503.
    Down,
    /// Issues tokens, and loses the answers.
    LosesAnswers,
}

impl TokensSpec {
    pub(crate) fn is_asked(&self, method: &Method, path: &str) -> bool {
        method == Method::POST && path == self.path
    }
}

/// Answers a request for a token.
pub(crate) async fn answer(site: &Site, spec: &TokensSpec, parts: &Parts, body: &Bytes, caller: Caller) -> Response {
    let params = Params::read("", body);
    let basic = parts.headers.get(AUTHORIZATION).and_then(|value| basic(value.to_str().ok()?));
    let in_body = ["client_id", "client_secret"].map(|name| params.get(name));
    let (id, secret) = basic.map_or_else(|| in_body.into(), |(id, secret)| (Some(id), Some(secret)));
    let (grant, refresh_token) = (params.get("grant_type").unwrap_or_default(), params.get("refresh_token"));
    let asked = Asked {
        grant: &grant,
        client_id: id.as_deref(),
        client_secret: secret.as_deref(),
        refresh_token: refresh_token.as_deref(),
    };
    let (endpoint, issued) = {
        let mut book = site.book();
        let endpoint = book.token_endpoint;
        book.issuer.stats.requests += 1;
        match endpoint {
            TokenEndpoint::Down => (endpoint, Err("temporarily_unavailable")),
            _ => (endpoint, book.issuer.ask(spec, site.seed, asked, site.clock.now_us())),
        }
    };
    tokio::time::sleep(spec.latency.0).await;
    match (endpoint, issued) {
        (TokenEndpoint::LosesAnswers, _) => {
            caller.cut.reset();
            StatusCode::BAD_GATEWAY.into_response()
        }
        (_, Ok(issued)) => tell(spec, &issued),
        (TokenEndpoint::Down, Err(code)) => refuse(StatusCode::SERVICE_UNAVAILABLE, code),
        (_, Err("invalid_client")) => refuse(StatusCode::UNAUTHORIZED, "invalid_client"),
        (_, Err(code)) => refuse(StatusCode::BAD_REQUEST, code),
    }
}

fn tell(spec: &TokensSpec, issued: &Issued) -> Response {
    let mut body = json!({ "access_token": issued.access_token, "token_type": "bearer" });
    if let Some(token) = &issued.refresh_token {
        body["refresh_token"] = token.as_str().into();
    }
    if spec.tells_expiry {
        body["expires_in"] = spec.expires_in.0.as_secs_f64().into();
    }
    ([(CACHE_CONTROL, "no-store")], Json(body)).into_response()
}

fn refuse(status: StatusCode, code: &str) -> Response {
    (status, Json(json!({ "error": code, "error_description": "No token is issued." }))).into_response()
}

/// Id and secret of `Basic …`, each encoded as in a form (RFC 6749, section 2.3.1).
fn basic(value: &str) -> Option<(String, String)> {
    let pair = STANDARD.decode(value.strip_prefix("Basic ")?).ok()?;
    let text = String::from_utf8(pair).ok()?;
    let (id, secret) = text.split_once(':')?;
    let decoded = |text: &str| {
        let pairs = format!("x={text}");
        url::form_urlencoded::parse(pairs.as_bytes()).next().map(|(_, value)| value.into_owned())
    };
    Some((decoded(id)?, decoded(secret)?))
}
