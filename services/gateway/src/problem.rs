//! What went wrong, as RFC 9457 has it.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use tidegate_ledger::LedgerError;
use tidegate_provider::FileError;
use tidegate_registry::{RegistryError, VaultError};

/// Kinds of problems: the last part of `type`, the status, and the title.
macro_rules! kinds {
    ($($kind:ident $status:ident $code:literal $title:literal)*) => {
        /// What kind of problem it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Kind { $(#[doc = $title] $kind,)* }

        impl Kind {
            pub(crate) const ALL: &[Self] = &[$(Self::$kind),*];

            pub(crate) fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status,)* }
            }

            pub(crate) fn code(self) -> &'static str {
                match self { $(Self::$kind => $code,)* }
            }

            pub(crate) fn title(self) -> &'static str {
                match self { $(Self::$kind => $title,)* }
            }
        }
    };
}

kinds! {
    Malformed BAD_REQUEST "malformed" "The request can't be read"
    BadIdempotencyKey BAD_REQUEST "bad-idempotency-key" "The Idempotency-Key can't be used"
    Unauthorized UNAUTHORIZED "unauthorized" "No valid API key"
    Forbidden FORBIDDEN "forbidden" "The API key may not do this"
    NotFound NOT_FOUND "not-found" "There is no such thing"
    Gone GONE "gone" "It was there, and was deleted"
    MethodNotAllowed METHOD_NOT_ALLOWED "method-not-allowed" "This can't be done with it"
    InFlight CONFLICT "in-flight" "A request with this Idempotency-Key is being worked on"
    NotFinished CONFLICT "not-finished" "The job is not finished"
    Finished CONFLICT "finished" "The job is finished, or being stopped"
    Contended CONFLICT "contended" "Others changed the same thing"
    TooLarge PAYLOAD_TOO_LARGE "too-large" "The body is too large"
    UnsupportedMediaType UNSUPPORTED_MEDIA_TYPE "unsupported-media-type" "The body's media type is not taken here"
    Invalid UNPROCESSABLE_ENTITY "invalid" "What was sent can't be taken"
    KeyReused UNPROCESSABLE_ENTITY "idempotency-key-reused" "The Idempotency-Key was used for something else"
    TooManyRequests TOO_MANY_REQUESTS "too-many-requests" "Too many requests"
    TooManyOpen TOO_MANY_REQUESTS "too-many-open" "Too many at once"
    Internal INTERNAL_SERVER_ERROR "internal" "The gateway failed"
    Unavailable SERVICE_UNAVAILABLE "unavailable" "What the gateway needs does not answer"
    TimedOut SERVICE_UNAVAILABLE "timed-out" "It took too long"
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(crate) struct FieldProblem {
    /// JSON pointer (RFC 6901) into the body; empty for all of it.
    pub(crate) pointer: String,
    /// What was expected and what was found.
    pub(crate) detail: String,
    /// Line in the body, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) line: Option<u32>,
    /// Column in the body, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) column: Option<u32>,
}

impl FieldProblem {
    pub(crate) fn new(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), detail: detail.into(), line: None, column: None }
    }
}

impl From<FileError> for FieldProblem {
    fn from(error: FileError) -> Self {
        let FileError { line, column, pointer, message, .. } = error;
        Self { pointer, detail: message, line: Some(line), column: Some(column) }
    }
}

/// What went wrong. As an answer it is bare; `finish.rs` writes it, with the trace's id.
#[derive(Debug, Clone)]
pub(crate) struct Problem {
    pub(crate) kind: Kind,
    pub(crate) detail: String,
    pub(crate) errors: Vec<FieldProblem>,
    /// Seconds after which it is worth trying again.
    pub(crate) retry_after_s: Option<u64>,
}

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), retry_after_s: None }
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("there is no such {what}"))
    }

    /// Some fields can't be taken.
    pub(crate) fn invalid(errors: Vec<FieldProblem>) -> Self {
        let detail = match errors.as_slice() {
            [one] if one.pointer.is_empty() => one.detail.clone(),
            [one] => format!("{}: {}", one.pointer, one.detail),
            several => format!("{} things can't be taken; see errors", several.len()),
        };
        Self { errors, ..Self::new(Kind::Invalid, detail) }
    }

    pub(crate) fn field(pointer: &str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldProblem::new(pointer, detail)])
    }

    pub(crate) fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_s: Some(seconds), ..self }
    }

    /// Something of ours failed; the client is told no more, the log all.
    pub(crate) fn ours(kind: Kind, error: &dyn std::error::Error) -> Self {
        let mut chain = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            chain = format!("{chain}: {error}");
            cause = error.source();
        }
        tracing::error!(error = chain, "a request failed");
        Self::new(kind, kind.title())
    }
}

impl From<Vec<FileError>> for Problem {
    fn from(errors: Vec<FileError>) -> Self {
        Self::invalid(errors.into_iter().map(FieldProblem::from).collect())
    }
}

impl From<LedgerError> for Problem {
    fn from(error: LedgerError) -> Self {
        Self::ours(Kind::Unavailable, &error).retry_after(5)
    }
}

impl From<RegistryError> for Problem {
    fn from(error: RegistryError) -> Self {
        match error {
            RegistryError::TooMany { .. } => Self::new(Kind::TooManyOpen, error.to_string()),
            error => Self::ours(Kind::Unavailable, &error).retry_after(5),
        }
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Registry(error) => error.into(),
            VaultError::TooLarge => Self::new(Kind::TooLarge, error.to_string()),
            VaultError::Contended => Self::new(Kind::Contended, error.to_string()),
            error => Self::ours(Kind::Internal, &error),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// A problem as it is written.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct Written {
    /// What kind it is: an address where it is explained.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// The same in words.
    pub(crate) title: String,
    /// The HTTP status.
    pub(crate) status: u16,
    /// What happened this time.
    pub(crate) detail: String,
    /// The fields it is about.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) errors: Vec<FieldProblem>,
    /// Of this request, to look for in logs and traces.
    pub(crate) trace_id: String,
}

impl Problem {
    pub(crate) fn written(self, trace_id: &str) -> Written {
        Written {
            kind: format!("/docs#problem-{}", self.kind.code()),
            title: self.kind.title().to_owned(),
            status: self.kind.status().as_u16(),
            detail: self.detail,
            errors: self.errors,
            trace_id: trace_id.to_owned(),
        }
    }
}
