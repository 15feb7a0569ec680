//! The way in and out: an API key once, then a session.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::HeaderMap;
use axum::http::header::{LOCATION, SET_COOKIE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use maud::{Markup, html};
use secrecy::ExposeSecret as _;
use serde::Deserialize;
use subtle::ConstantTimeEq as _;
use tidegate_registry::{ApiKey, Scope, VerifyError};

use super::HOME;
use super::form::{CSRF, Fields, Form, foreign};
use super::frame::{self, Page};
use super::session::{Session, cookie, ended, nonce, set_cookie};
use crate::app::App;
use crate::problem::{Kind, Problem};
use crate::route::Route;

/// Bears what the form of the login has to bear, since there is no session yet.
const COOKIE_NAME: &str = "tidegate-login";
/// How long a login may take, s.
const LOGIN_S: i64 = 3_600;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/ui/login", show),
        Route::post("/ui/login", login),
        Route::get("/ui/enter", enter),
        Route::post("/ui/logout", logout).needs(Scope::Read),
    ]
}

#[derive(Deserialize)]
struct Wanted {
    /// Where to go then.
    #[serde(default)]
    then: String,
}

async fn show(Query(wanted): Query<Wanted>, headers: HeaderMap) -> Response {
    asked(&headers, &wanted.then, None).into_response()
}

/// The form, with why it is shown again.
fn asked(headers: &HeaderMap, then: &str, refusal: Option<&str>) -> ([(axum::http::HeaderName, HeaderValue); 1], Page) {
    let nonce = nonce();
    let main: Markup = html! {
        h1 { "Log in" }
        form.card method="post" action="/ui/login" {
            input type="hidden" name=(CSRF) value=(nonce);
            input type="hidden" name="then" value=(then);
            label for="key" { "API key" }
            input #key type="password" name="key" required autofocus autocomplete="current-password" spellcheck="false"
                aria-describedby="about-key" aria-invalid=[refusal.map(|_| "true")];
            @if let Some(refusal) = refusal { p.error role="alert" { (refusal) } }
            p #about-key.note { "It begins with tg_. It is not kept: the session ends by itself, or when you log out." }
            button type="submit" { "Log in" }
        }
    };
    let cookie = set_cookie(COOKIE_NAME, &nonce, LOGIN_S, headers);
    ([(SET_COOKIE, cookie)], frame::outside("Log in", &main))
}

async fn login(State(app): State<Arc<App>>, headers: HeaderMap, request: Request) -> Result<Response, Problem> {
    let fields = Fields::read(request).await?;
    let expected = cookie(&headers, COOKIE_NAME).unwrap_or_default();
    if expected.is_empty() || !bool::from(expected.as_bytes().ct_eq(fields.get(CSRF).as_bytes())) {
        return Err(foreign());
    }
    let (key, then, now_ms) = (fields.get("key"), fields.get("then"), app.now_ms());
    let again = |refusal: &str| (StatusCode::FORBIDDEN, asked(&headers, then, Some(refusal))).into_response();
    // What is malformed costs nobody anything. Guessing is by key: others are not kept out.
    if let Some(parsed) = ApiKey::parse(key) {
        let standing = app.logins.take(parsed.id(), now_ms);
        if standing.refused {
            let detail = format!("at most {} logins of a key in a minute", standing.quota);
            return Err(Problem::new(Kind::TooManyRequests, detail).retry_after(standing.reset_s));
        }
    }
    let key = match app.keys.verify(key, now_ms).await {
        Ok(key) => key,
        Err(VerifyError::Refused(refusal)) => return Ok(again(&refusal.to_string())),
        Err(VerifyError::Registry(error)) => return Err(error.into()),
    };
    if !key.scopes.allow(Scope::Read) {
        return Ok(again(&format!("the page needs a key with the scope read; this one has {}", key.scopes)));
    }
    tracing::info!(key.id = key.id, "logged in to the page");
    begin(&app, &Session::of_key(&key, now_ms), &headers, then)
}

/// By the one-time address of a program that one started oneself.
async fn enter(
    State(app): State<Arc<App>>,
    Query(wanted): Query<Token>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let nothing = || Problem::new(Kind::Forbidden, "this address was used before, or never was one: see the terminal");
    let pass = app.config.local_pass.as_ref().ok_or_else(nothing)?;
    let fits = pass.token.expose_secret().as_bytes().ct_eq(wanted.token.as_bytes());
    if !bool::from(fits) || app.local_pass_used.swap(true, std::sync::atomic::Ordering::SeqCst) {
        return Err(nothing());
    }
    begin(&app, &Session::local(app.now_ms()), &headers, HOME)
}

#[derive(Deserialize)]
struct Token {
    token: String,
}

/// Goes on where one wanted to go, if that is a page of ours.
fn begin(app: &App, session: &Session, headers: &HeaderMap, then: &str) -> Result<Response, Problem> {
    let is_ours = then.starts_with("/ui/") && then.bytes().all(|byte| byte.is_ascii_graphic());
    let then = HeaderValue::from_str(if is_ours { then } else { HOME });
    let then = then.unwrap_or_else(|_| HeaderValue::from_static(HOME));
    Ok((StatusCode::SEE_OTHER, [(LOCATION, then), (SET_COOKIE, session.sealed(app, headers)?)]).into_response())
}

async fn logout(headers: HeaderMap, _: Form) -> Response {
    let to = HeaderValue::from_static("/ui/login");
    (StatusCode::SEE_OTHER, [(LOCATION, to), (SET_COOKIE, ended(&headers))]).into_response()
}
