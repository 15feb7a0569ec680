//! Around every request: its trace, its deadline, its metrics, and the one form of what goes wrong.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt as _;
use tidegate_telemetry::{inject, set_parent};
use tracing::Instrument as _;

use crate::app::App;
use crate::auth::RoutePath;
use crate::problem::{Kind, Problem};
use crate::{health, metrics};

/// Longest text of the framework's own that is told on, in bytes.
const REASON_MAX_BYTES: usize = 2_048;

/// Runs a request to its answer.
pub(crate) async fn finish(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let method = request.method().clone();
    let span = tracing::info_span!("request", http.method = %method, http.path = request.uri().path());
    if let Some(parent) = request.headers().get("traceparent").and_then(|parent| parent.to_str().ok()) {
        set_parent(&span, parent);
    }
    async {
        let trace_id = trace_id();
        let run = AssertUnwindSafe(next.run(request)).catch_unwind();
        let response = match tokio::time::timeout(app.config.request_timeout, run).await {
            Ok(Ok(response)) => response,
            // What it said is on standard error already, by the panic's own hook.
            Ok(Err(_)) => Problem::new(Kind::Internal, Kind::Internal.title()).into_response(),
            Err(_) => Problem::new(Kind::TimedOut, "the request was given up").into_response(),
        };
        let response = write(response, &trace_id).await;
        let route = response.extensions().get::<RoutePath>().map_or("other", |route| route.0);
        let (status, elapsed) = (response.status(), started.elapsed());
        metrics::answered(&method, route, status, elapsed);
        let (status, duration_ms) = (status.as_u16(), elapsed.as_millis());
        if health::ROUTES.contains(&route) {
            tracing::debug!(status, duration_ms, trace_id, "request");
        } else {
            tracing::info!(status, duration_ms, trace_id, "request");
        }
        response
    }
    .instrument(span)
    .await
}

/// Of the trace, where there is one; else a new one, which the log has.
fn trace_id() -> String {
    let traced = inject().and_then(|parent| parent.split('-').nth(1).map(str::to_owned));
    traced.unwrap_or_else(|| uuid::Uuid::now_v7().simple().to_string())
}

/// Writes what went wrong, by us or by the framework, as a problem.
async fn write(mut response: Response, trace_id: &str) -> Response {
    response.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let status = response.status();
    let problem = match response.extensions_mut().remove::<Problem>() {
        Some(problem) => problem,
        None if (status.is_client_error() || status.is_server_error()) && !is_written(response.headers()) => {
            let body = std::mem::replace(response.body_mut(), Body::empty());
            let reason = to_bytes(body, REASON_MAX_BYTES).await.unwrap_or_default();
            of_framework(status, &String::from_utf8_lossy(&reason))
        }
        None => return response,
    };
    if let Some(seconds) = problem.retry_after_s {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    if problem.kind == Kind::Unauthorized {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"tidegate\""));
    }
    *response.status_mut() = problem.kind.status();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.remove(axum::http::header::CONTENT_LENGTH);
    let written = serde_json::to_vec(&problem.written(trace_id)).unwrap_or_default();
    *response.body_mut() = written.into();
    response
}

/// It is written as it should be: JSON of a handler's, or a page.
fn is_written(headers: &HeaderMap) -> bool {
    let is = |kind: &HeaderValue, media: &[u8]| kind.as_bytes().starts_with(media);
    headers.get(CONTENT_TYPE).is_some_and(|kind| is(kind, b"application/json") || is(kind, b"text/html"))
}

fn of_framework(status: StatusCode, reason: &str) -> Problem {
    let kind = Kind::ALL.iter().find(|kind| kind.status() == status).copied();
    let kind = kind.unwrap_or(if status.is_client_error() { Kind::Malformed } else { Kind::Internal });
    Problem::new(kind, if reason.is_empty() { kind.title() } else { reason })
}
