//! Reading bodies: within bounds, of a media type that is taken, and as UTF-8.

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{FromRequest, Request};
use axum::http::HeaderMap;
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use serde::de::{DeserializeOwned, IgnoredAny};
use zeroize::Zeroizing;

use crate::app::App;
use crate::problem::{FieldProblem, Kind, Problem};

/// A body of JSON or YAML.
pub(crate) struct FileText(pub(crate) String);

/// A body of JSON that is read as a `T`.
pub(crate) struct JsonBody<T>(pub(crate) T);

/// A body of JSON that holds secrets: it is wiped after use, and nothing tells what stands in it.
pub(crate) struct SecretJson(pub(crate) Zeroizing<String>);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Format {
    Json,
    Yaml,
}

impl FromRequest<Arc<App>> for FileText {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (format, text) = read(request, app, &[Format::Json, Format::Yaml]).await?;
        if format == Format::Json {
            check_json(&text)?;
        }
        Ok(Self(text))
    }
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (_, text) = read(request, app, &[Format::Json]).await?;
        check_json(&text)?;
        let mut reader = serde_json::Deserializer::from_str(&text);
        serde_path_to_error::deserialize(&mut reader).map(Self).map_err(|error| {
            let pointer: String = error.path().iter().filter_map(token).collect();
            Problem::field(&pointer, error.inner().to_string())
        })
    }
}

impl FromRequest<Arc<App>> for SecretJson {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, Problem> {
        let (_, text) = read(request, app, &[Format::Json]).await?;
        let text = Zeroizing::new(text);
        match serde_json::from_str::<IgnoredAny>(&text) {
            Ok(_) => Ok(Self(text)),
            Err(_) => Err(Problem::new(Kind::Malformed, "the body is not JSON")),
        }
    }
}

fn token(segment: &serde_path_to_error::Segment) -> Option<String> {
    use serde_path_to_error::Segment;
    match segment {
        Segment::Seq { index } => Some(format!("/{index}")),
        Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
        Segment::Enum { .. } | Segment::Unknown => None,
    }
}

fn check_json(text: &str) -> Result<(), Problem> {
    serde_json::from_str::<IgnoredAny>(text).map(|_| ()).map_err(|error| {
        let place = |number| u32::try_from(number).ok();
        let error = FieldProblem {
            line: place(error.line()),
            column: place(error.column()),
            ..FieldProblem::new("", error.to_string())
        };
        Problem { errors: vec![error], ..Problem::new(Kind::Malformed, "the body is not JSON") }
    })
}

async fn read(request: Request, app: &App, taken: &[Format]) -> Result<(Format, String), Problem> {
    let format = format(request.headers(), taken)?;
    let body = bytes(request, app.config.body_max_bytes).await?;
    match String::from_utf8(body) {
        Ok(text) => Ok((format, text)),
        Err(_) => Err(Problem::new(Kind::Malformed, "the body is not UTF-8")),
    }
}

async fn bytes(request: Request, max: usize) -> Result<Vec<u8>, Problem> {
    let too_large = || Problem::new(Kind::TooLarge, format!("a body has at most {max} bytes here"));
    let length = request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_some_and(|length| length > max as u64) {
        return Err(too_large());
    }
    let body: Body = request.into_body();
    match to_bytes(body, max).await {
        Ok(bytes) => Ok(bytes.into()),
        Err(error) if is_limit(&error) => Err(too_large()),
        Err(_) => Err(Problem::new(Kind::Malformed, "the body did not arrive whole")),
    }
}

/// The framework says so only in words, as the innermost cause.
fn is_limit(error: &dyn std::error::Error) -> bool {
    error.to_string().contains("length limit exceeded") || error.source().is_some_and(is_limit)
}

fn format(headers: &HeaderMap, taken: &[Format]) -> Result<Format, Problem> {
    let sent = headers.get(CONTENT_TYPE).and_then(|sent| sent.to_str().ok()).unwrap_or_default();
    let media = sent.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let format = match media.as_str() {
        "application/json" => Some(Format::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" | "text/x-yaml" => Some(Format::Yaml),
        _ => None,
    };
    format.filter(|format| taken.contains(format)).ok_or_else(|| {
        let names =
            if taken.contains(&Format::Yaml) { "application/json or application/yaml" } else { "application/json" };
        let found = if sent.is_empty() { "none" } else { &media };
        Problem::new(Kind::UnsupportedMediaType, format!("expected Content-Type {names}, found {found}"))
    })
}
