//! Forms that are sent.

use std::collections::HashMap;
use std::sync::Arc;

use axum::body::to_bytes;
use axum::extract::{FromRequest, Request};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use url::form_urlencoded;
use zeroize::Zeroizing;

use super::gate::Viewer;
use crate::app::App;
use crate::problem::{Kind, Problem};

/// Largest form, in bytes.
const FORM_MAX_BYTES: usize = 64 << 10;
/// Name of the field that bears the session's token.
pub(super) const CSRF: &str = "csrf";

/// Fields of a form, as they were sent.
pub(super) struct Fields(HashMap<String, Zeroizing<String>>);

/// Fields of a form that comes from a page of the session.
pub(super) struct Form(pub(super) Fields);

impl Fields {
    /// Reads them from a body.
    ///
    /// # Errors
    /// When it is too large, or no form.
    pub(super) async fn read(request: Request) -> Result<Self, Problem> {
        let media = request.headers().get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if !media.starts_with(b"application/x-www-form-urlencoded") {
            let detail = "expected a form: application/x-www-form-urlencoded";
            return Err(Problem::new(Kind::UnsupportedMediaType, detail));
        }
        let body = to_bytes(request.into_body(), FORM_MAX_BYTES).await;
        let body = body.map_err(|_| {
            Problem::new(
                Kind::TooLarge,
                format!("the form did not come whole, or has more than {FORM_MAX_BYTES} bytes"),
            )
        })?;
        let fields = form_urlencoded::parse(&body);
        Ok(Self(fields.map(|(name, value)| (name.into_owned(), Zeroizing::new(value.into_owned()))).collect()))
    }

    /// A field without white space around it; empty when it is not there.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", |value| value.trim())
    }
}

impl FromRequest<Arc<App>> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &Arc<App>) -> Result<Self, Problem> {
        let viewer = request.extensions().get::<Viewer>().cloned();
        let fields = Fields::read(request).await?;
        match viewer {
            Some(viewer) if viewer.session.knows(fields.get(CSRF)) => Ok(Self(fields)),
            _ => Err(foreign()),
        }
    }
}

/// The form was not sent from a page of this session.
pub(super) fn foreign() -> Problem {
    Problem::new(Kind::Forbidden, "the form is not of this session: load the page again, and send it from there")
}
