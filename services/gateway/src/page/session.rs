//! Who looks at the page: a session, sealed into a cookie.
//!
//! No session is stored: what the cookie seals is the id of the API key that was shown, and every gateway with the same
//! sealing keys opens it. A session ends when it is not used, when it is old, and when its key is revoked or expires.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::{COOKIE, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq as _;
use tidegate_registry::{KeyRow, Scope, Scopes, Tenant, VerifyError};

use crate::app::App;
use crate::problem::{Kind, Problem};

/// The session.
const COOKIE_NAME: &str = "tidegate-session";
/// What sessions are sealed for.
const PURPOSE: &str = "tidegate.session.1";
/// In place of a key's id, which has 12 characters: of one who came by the one-time address.
const LOCAL: &str = "local";
/// A cookie is made anew when it is so old, ms.
const RENEW_MS: i64 = 60_000;

/// The way in for the one who started the program, without a key: `/ui/enter?token=…`, once.
#[derive(Debug, Clone)]
pub struct LocalPass {
    /// What the address has to bear.
    pub token: SecretString,
    /// Whose jobs are shown; everything may be done with them.
    pub tenant: Tenant,
}

impl LocalPass {
    /// A new one, from the system's randomness.
    #[must_use]
    pub fn generate(tenant: Tenant) -> Self {
        Self { token: nonce().into(), tenant }
    }

    /// Where it is used, at a gateway that listens on `address`.
    #[must_use]
    pub fn address(&self, address: SocketAddr) -> String {
        format!("http://{address}/ui/enter?token={}", self.token.expose_secret())
    }
}

/// A session.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Session {
    /// Id of the API key that was shown.
    key: String,
    /// What every form of the session bears.
    pub(super) csrf: String,
    /// When it began, Unix ms.
    since_ms: i64,
    /// When it was last sealed, Unix ms.
    sealed_ms: i64,
}

impl Session {
    /// Of one who has shown this key.
    pub(super) fn of_key(key: &KeyRow, now_ms: i64) -> Self {
        Self { key: key.id.clone(), csrf: nonce(), since_ms: now_ms, sealed_ms: now_ms }
    }

    /// Of one who came by the one-time address.
    pub(super) fn local(now_ms: i64) -> Self {
        Self { key: LOCAL.to_owned(), csrf: nonce(), since_ms: now_ms, sealed_ms: now_ms }
    }

    /// The session that a request bears, if it is still good, and its key.
    ///
    /// # Errors
    /// When the registry can't be asked.
    pub(super) async fn of_request(app: &App, headers: &HeaderMap) -> Result<Option<(Self, Arc<KeyRow>)>, Problem> {
        let (keys, now_ms) = (app.deps.vault.sealing_keys(), app.now_ms());
        let opened = cookie(headers, COOKIE_NAME).and_then(|token| keys.open_token(PURPOSE, token).ok());
        let Some(session) = opened.and_then(|text| serde_json::from_str::<Self>(&text).ok()) else { return Ok(None) };
        if now_ms - session.sealed_ms > ms(app.config.session_idle)
            || now_ms - session.since_ms > ms(app.config.session_max)
        {
            return Ok(None);
        }
        let key = session.key(app, now_ms).await?;
        Ok(key.map(|key| (session, key)))
    }

    async fn key(&self, app: &App, now_ms: i64) -> Result<Option<Arc<KeyRow>>, Problem> {
        if self.key == LOCAL {
            return Ok(app.config.local_pass.as_ref().map(|pass| Arc::new(local_key(pass))));
        }
        match app.keys.still(&self.key, now_ms).await {
            Ok(key) => Ok(Some(key)),
            Err(VerifyError::Refused(_)) => Ok(None),
            Err(VerifyError::Registry(error)) => Err(error.into()),
        }
    }

    /// The cookie, sealed anew, if it is old enough for that.
    pub(super) fn renewed(&self, app: &App, headers: &HeaderMap) -> Option<HeaderValue> {
        let now_ms = app.now_ms();
        let is_due = now_ms - self.sealed_ms >= RENEW_MS;
        is_due.then(|| Self { sealed_ms: now_ms, ..self.clone() }.sealed(app, headers).ok()).flatten()
    }

    /// The cookie.
    ///
    /// # Errors
    /// When it can't be sealed.
    pub(super) fn sealed(&self, app: &App, headers: &HeaderMap) -> Result<HeaderValue, Problem> {
        let text = serde_json::to_string(self).map_err(|error| Problem::ours(Kind::Internal, &error))?;
        let token = app.deps.vault.sealing_keys().seal_token(PURPOSE, &text);
        let token = token.map_err(|error| Problem::ours(Kind::Internal, &error))?;
        Ok(set_cookie(COOKIE_NAME, &token, ms(app.config.session_idle) / 1_000, headers))
    }

    /// Whether a form comes from a page of this session.
    pub(super) fn knows(&self, csrf: &str) -> bool {
        self.csrf.as_bytes().ct_eq(csrf.as_bytes()).into()
    }
}

/// The cookie that ends a session.
pub(super) fn ended(headers: &HeaderMap) -> HeaderValue {
    set_cookie(COOKIE_NAME, "", 0, headers)
}

/// A cookie for the page alone: no script sees it, no other site sends it; where the page came by https, it goes by https.
pub(super) fn set_cookie(name: &str, value: &str, max_age_s: i64, headers: &HeaderMap) -> HeaderValue {
    let is_https = headers.get("x-forwarded-proto").is_some_and(|proto| proto.as_bytes().starts_with(b"https"));
    let secure = if is_https { "; Secure" } else { "" };
    let text = format!("{name}={value}; Path=/ui; Max-Age={max_age_s}; HttpOnly; SameSite=Strict{secure}");
    // Names and values are ours: letters, digits and a few signs.
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The value of a cookie.
pub(super) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let all = headers.get_all(COOKIE).iter().filter_map(|header| header.to_str().ok());
    let mut pairs = all.flat_map(|header| header.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(other, _)| *other == name).map(|(_, value)| value)
}

/// 128 random bits, in letters and digits.
pub(super) fn nonce() -> String {
    format!("{:032x}", rand::random::<u128>())
}

fn ms(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What stands for the key of one who came by the one-time address.
fn local_key(pass: &LocalPass) -> KeyRow {
    #[expect(clippy::expect_used, reason = "one scope is there")]
    let scopes = Scopes::new([Scope::Admin]).expect("one scope");
    KeyRow {
        id: LOCAL.to_owned(),
        tenant: pass.tenant.clone(),
        name: "this machine".to_owned(),
        scopes,
        digest: Vec::new(),
        created_at_ms: 0,
        expires_at_ms: None,
        last_used_at_ms: None,
        revoked_at_ms: None,
    }
}
