//! Who may do what: before every handler.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tidegate_registry::{KeyRow, Scope, VerifyError};

use crate::app::App;
use crate::problem::{Kind, Problem};

/// What stands before a route.
#[derive(Clone)]
pub(crate) struct Gate {
    pub(crate) app: Arc<App>,
    /// What a key needs; `None`: nobody needs a key.
    pub(crate) scope: Option<Scope>,
    pub(crate) path: RoutePath,
}

/// The route that answered, as it stands in the table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RoutePath(pub(crate) &'static str);

/// Lets those in whose key allows it, and says whose it is.
pub(crate) async fn enter(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let mut response = match authorize(&gate, &mut request).await {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    response.extensions_mut().insert(gate.path);
    response
}

async fn authorize(gate: &Gate, request: &mut Request) -> Result<(), Problem> {
    let Some(scope) = gate.scope else { return Ok(()) };
    let key = verify(&gate.app, request.headers()).await?;
    if !key.scopes.allow(scope) {
        let detail = format!("this needs the scope {scope}; the key has {}", key.scopes);
        return Err(Problem::new(Kind::Forbidden, detail));
    }
    request.extensions_mut().insert(key);
    Ok(())
}

async fn verify(app: &App, headers: &HeaderMap) -> Result<Arc<KeyRow>, Problem> {
    let refuse = |detail: &str| Problem::new(Kind::Unauthorized, detail);
    let mut sent = headers.get_all(AUTHORIZATION).iter();
    let (Some(header), None) = (sent.next(), sent.next()) else {
        return Err(refuse("send one header Authorization: Bearer and an API key"));
    };
    let text = header.to_str().ok().and_then(|text| text.split_once(' '));
    let bearer = text.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, key)| key.trim());
    let key = bearer.ok_or_else(|| refuse("expected Authorization: Bearer and an API key"))?;
    match app.keys.verify(key, app.now_ms()).await {
        Ok(key) => Ok(key),
        Err(VerifyError::Refused(refusal)) => Err(refuse(&refusal.to_string())),
        Err(VerifyError::Registry(error)) => Err(error.into()),
    }
}
