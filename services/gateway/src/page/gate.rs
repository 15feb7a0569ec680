//! Before every page: who is there, what they may, and the headers that keep the page to itself.

use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, HeaderName, HeaderValue, LOCATION, REFERRER_POLICY, SET_COOKIE,
    X_FRAME_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tidegate_registry::{KeyRow, Scope};
use url::form_urlencoded::byte_serialize;

use super::frame;
use super::session::Session;
use crate::app::App;
use crate::auth::RoutePath;
use crate::limits;
use crate::problem::{Kind, Problem};

/// All of the page comes from here, and nothing in it is a script or a style of its own.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
/// What htmx sends with its requests, and what makes it go elsewhere.
const HX_REQUEST: HeaderName = HeaderName::from_static("hx-request");
const HX_REDIRECT: HeaderName = HeaderName::from_static("hx-redirect");

/// What stands before a page.
#[derive(Clone)]
pub(super) struct PageGate {
    pub(super) app: Arc<App>,
    /// What the session's key needs; `None`: nobody needs a session.
    pub(super) scope: Option<Scope>,
    pub(super) path: RoutePath,
}

/// Who looks.
#[derive(Clone)]
pub(super) struct Viewer {
    pub(super) key: Arc<KeyRow>,
    pub(super) session: Arc<Session>,
    /// May look after what is of all tenants.
    pub(super) runs_deployment: bool,
}

impl Viewer {
    /// Whether the key allows it.
    pub(super) fn may(&self, scope: Scope) -> bool {
        self.key.scopes.allow(scope)
    }

    /// As the API's handlers want to know it.
    pub(super) fn caller(&self) -> crate::app::Caller {
        axum::Extension(Arc::clone(&self.key))
    }
}

impl FromRequestParts<Arc<App>> for Viewer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<App>) -> Result<Self, Problem> {
        let viewer = parts.extensions.get::<Self>().cloned();
        viewer.ok_or_else(|| Problem::new(Kind::Unauthorized, Kind::Unauthorized.title()))
    }
}

/// Lets those in who have a session, and says who they are.
pub(super) async fn enter(State(gate): State<PageGate>, mut request: Request, next: Next) -> Response {
    let asked = request.headers().clone();
    let admitted = match gate.scope {
        None => Ok(None),
        Some(scope) => admit(&gate.app, scope, &mut request).await,
    };
    let (mut response, viewer) = match admitted {
        Ok(viewer) => (next.run(request).await, viewer),
        Err(response) => (response, None),
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = frame::problem(viewer.as_ref(), problem);
    }
    if let Some(cookie) = viewer.and_then(|viewer| viewer.session.renewed(&gate.app, &asked))
        && !response.headers().contains_key(SET_COOKIE)
    {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    protect(response.headers_mut());
    response.extensions_mut().insert(gate.path);
    response
}

async fn admit(app: &App, scope: Scope, request: &mut Request) -> Result<Option<Viewer>, Response> {
    let session = Session::of_request(app, request.headers()).await.map_err(IntoResponse::into_response)?;
    let Some((session, key)) = session else { return Err(to_login(request)) };
    let runs_deployment = limits::runs_deployment(app, &key) && key.scopes.allow(Scope::Admin);
    let viewer = Viewer { key, session: Arc::new(session), runs_deployment };
    if !viewer.may(scope) {
        let detail = format!("this needs the scope {scope}; the key has {}", viewer.key.scopes);
        return Err(frame::problem(Some(&viewer), Problem::new(Kind::Forbidden, detail)));
    }
    request.extensions_mut().insert(Arc::clone(&viewer.key));
    request.extensions_mut().insert(viewer.clone());
    Ok(Some(viewer))
}

/// To where one logs in, and from there back to what was looked at.
fn to_login(request: &Request) -> Response {
    let wanted = request.uri().path_and_query().map_or("", |wanted| wanted.as_str());
    let wanted = if request.method() == Method::GET { wanted } else { "" };
    let login: String = format!("/ui/login?then={}", byte_serialize(wanted.as_bytes()).collect::<String>());
    let login = HeaderValue::from_str(&login).unwrap_or_else(|_| HeaderValue::from_static("/ui/login"));
    let accepts_events = request.headers().get("accept").is_some_and(|accept| accept == "text/event-stream");
    if request.headers().contains_key(HX_REQUEST) {
        return (StatusCode::UNAUTHORIZED, [(HX_REDIRECT, HeaderValue::from_static("/ui/login"))]).into_response();
    }
    if accepts_events {
        return StatusCode::NO_CONTENT.into_response();
    }
    (StatusCode::SEE_OTHER, [(LOCATION, login)]).into_response()
}

fn protect(headers: &mut HeaderMap) {
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    if !headers.contains_key(CACHE_CONTROL) {
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}
