//! Errors as RFC 9457 writes them, with the field that is wrong where there is one.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use serde_json::json;

use crate::StoreError;

/// What is wrong with a request, or with us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    /// JSON pointer to the field (RFC 6901).
    pointer: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self { status, detail: detail.into(), pointer: None }
    }

    /// The body can't be read as what it should be.
    pub(super) fn malformed(pointer: Option<String>, detail: impl Into<String>) -> Self {
        Self { pointer, ..Self::new(StatusCode::BAD_REQUEST, detail) }
    }

    /// The body was read, and a field has a value that it must not have.
    pub(super) fn invalid(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: Some(pointer.into()), ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, detail) }
    }

    /// The body could not be taken in.
    pub(super) fn body(status: StatusCode, detail: impl Into<String>) -> Self {
        Self::new(status, detail)
    }

    pub(super) fn unauthorized() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "the service's token is missing or wrong")
    }

    pub(super) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "there is nothing here")
    }

    /// There are as many as there may be.
    pub(super) fn full(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail)
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "not with this method")
    }

    pub(super) fn busy(max_requests: usize) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("{max_requests} requests are under way already"))
    }

    pub(super) fn too_slow(within: Duration) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, format!("it took longer than {} ms", within.as_millis()))
    }

    pub(super) fn not_ready(reasons: &str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, reasons)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::warn!(%error, "nothing was granted");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut body = json!({
            "type": "about:blank",
            "title": self.status.canonical_reason(),
            "status": self.status.as_u16(),
            "detail": self.detail,
        });
        if let Some(pointer) = &self.pointer {
            body["errors"] = json!([{ "pointer": format!("#{pointer}"), "detail": self.detail }]);
        }
        let mut response = (self.status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        match self.status {
            StatusCode::UNAUTHORIZED => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            StatusCode::SERVICE_UNAVAILABLE => headers.insert(RETRY_AFTER, HeaderValue::from_static("1")),
            _ => None,
        };
        response
    }
}
