//! How many requests at once, and for how long.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tidegate_telemetry::set_parent;
use tracing::Instrument as _;

use super::Shared;
use super::problem::Problem;

/// Turns a request away at once where others would make it wait: who asks comes back, or asks another arbiter.
pub(super) async fn pass(State(shared): State<Arc<Shared>>, request: Request, next: Next) -> Response {
    let Ok(_place) = shared.gate.try_acquire() else {
        return Problem::busy(shared.config.max_requests).into_response();
    };
    let within = shared.config.request_within;
    let span = tracing::info_span!("decide", http.path = request.uri().path());
    if let Some(caller) = request.headers().get("traceparent").and_then(|caller| caller.to_str().ok()) {
        set_parent(&span, caller);
    }
    match tokio::time::timeout(within, next.run(request).instrument(span)).await {
        Ok(response) => response,
        Err(_) => Problem::too_slow(within).into_response(),
    }
}

/// One line for each request, for those who look closely.
pub(super) async fn note(request: Request, next: Next) -> Response {
    let (started, path) = (Instant::now(), request.uri().path().to_owned());
    let response = next.run(request).await;
    tracing::debug!(path, status = response.status().as_u16(), duration_us = started.elapsed().as_micros(), "answered");
    response
}
