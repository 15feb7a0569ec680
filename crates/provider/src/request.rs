//! The request that makes a call.

use std::borrow::Cow;
use std::fmt;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Method};
use serde_json::{Map, Value};
use tidegate_contracts::{PagePointer, Params, Primitive};
use url::Url;

use crate::Credential;
use crate::endpoint::Endpoint;
use crate::file::Placement;
use crate::header::FieldError;
use crate::path::PathError;
use crate::redact::MASK;
use crate::scope::Scope;

/// A request, ready to send. Shown without its secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct RequestParts {
    /// The method.
    pub method: Method,
    /// Of the origin of the provider's `base_url`.
    pub url: Url,
    /// Those that hold a secret are marked sensitive.
    pub headers: HeaderMap,
    /// What is sent.
    pub body: Option<Vec<u8>>,
    /// Names of query parameters whose values are secret.
    pub secret_query: Vec<String>,
}

/// A call's request could not be made. No values are shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// A parameter can't stand in the path.
    #[error(transparent)]
    Path(#[from] PathError),
    /// A header or query parameter could not be made.
    #[error(transparent)]
    Field(#[from] FieldError),
    /// The next page's address is none.
    #[error("the next page's address can't be read")]
    Pointer(#[source] url::ParseError),
    /// The next page's address is elsewhere: secrets would go to strangers.
    #[error("the next page is at {found}, expected it at {expected}")]
    ForeignOrigin {
        /// The provider's.
        expected: String,
        /// The page's.
        found: String,
    },
}

/// What a request is made of.
pub(crate) struct Ask<'a> {
    pub(crate) base_url: &'a Url,
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) pointer: &'a PagePointer,
    pub(crate) params: &'a Params,
    /// What headers and query parameters may see.
    pub(crate) scope: Scope<'a>,
}

impl Ask<'_> {
    pub(crate) fn request(&self) -> Result<RequestParts, RequestError> {
        let endpoint = self.endpoint;
        let page = endpoint.page_query(self.pointer);
        let (url, secret_query) = match self.pointer.place() {
            PagePointer::Url { url } => self.url_of_pointer(url, &page)?,
            _ => self.url(&page)?,
        };
        let mut headers = endpoint.headers.render(&self.scope)?;
        let body = self.body(&page);
        if body.is_some() && !headers.contains_key(CONTENT_TYPE) {
            let form = endpoint.placement == Placement::Form;
            let kind = if form { "application/x-www-form-urlencoded" } else { "application/json" };
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        Ok(RequestParts { method: endpoint.method.clone(), url, headers, body, secret_query })
    }

    fn url(&self, page: &[(String, String)]) -> Result<(Url, Vec<String>), RequestError> {
        let mut url = self.base_url.clone();
        let mut path = String::with_capacity(128);
        path.push_str(url.path().trim_end_matches('/'));
        self.endpoint.path_of(self.pointer).render_to(self.params, &mut path)?;
        url.set_path(&path);
        let mut pairs: Vec<(&str, Cow<'_, str>)> = Vec::new();
        for field in &self.endpoint.query {
            pairs.push((&field.name, field.render(&self.scope)?));
        }
        if self.endpoint.placement == Placement::Query {
            pairs.extend(self.params_beside(page).map(|(name, value)| (name, text(value))));
            pairs.extend(page.iter().map(|(name, value)| (name.as_str(), value.as_str().into())));
        }
        if !pairs.is_empty() {
            url.query_pairs_mut().extend_pairs(pairs);
        }
        let secret = self.endpoint.query.iter().filter(|field| field.secret).map(|field| field.name.clone());
        Ok((url, secret.collect()))
    }

    /// The address stands as it is, but for another page size; only what authenticates is added, where the provider left
    /// it out.
    fn url_of_pointer(&self, pointer: &str, page: &[(String, String)]) -> Result<(Url, Vec<String>), RequestError> {
        let mut url = Url::parse(pointer).map_err(RequestError::Pointer)?;
        let (expected, found) = (self.base_url.origin(), url.origin());
        if found != expected || !url.username().is_empty() || url.password().is_some() {
            let (expected, found) = (expected.ascii_serialization(), found.ascii_serialization());
            return Err(RequestError::ForeignOrigin { expected, found });
        }
        url.set_fragment(None);
        for (name, value) in page {
            replace_query(&mut url, name, value);
        }
        let mut names = Vec::new();
        for field in self.endpoint.query.iter().filter(|field| field.secret) {
            names.push(field.name.clone());
            if !url.query_pairs().any(|(name, _)| name == field.name) {
                let value = field.render(&self.scope)?;
                url.query_pairs_mut().append_pair(&field.name, &value);
            }
        }
        Ok((url, names))
    }

    fn body(&self, page: &[(String, String)]) -> Option<Vec<u8>> {
        match self.endpoint.placement {
            Placement::Query => None,
            Placement::Form => {
                let mut form = url::form_urlencoded::Serializer::new(String::new());
                form.extend_pairs(self.params_beside(page).map(|(name, value)| (name, text(value))));
                form.extend_pairs(page);
                Some(form.finish().into_bytes())
            }
            Placement::Json => {
                let params = self.params_beside(page).map(|(name, value)| (name, json(value)));
                // A cursor is text, however it looks, unless it is said to be a number; offsets, page numbers and sizes
                // are numbers.
                let text = !self.endpoint.cursor_is_number();
                let is_cursor =
                    |place| text && place == 0 && matches!(self.pointer.place(), PagePointer::Cursor { .. });
                let page = page.iter().enumerate().map(|(place, (name, value))| {
                    let number = value.parse::<u64>().ok().filter(|_| !is_cursor(place));
                    (name.as_str(), number.map_or_else(|| Value::String(value.clone()), Value::from))
                });
                let mut body = Value::Object(Map::new());
                for (name, value) in params.chain(page) {
                    put(&mut body, name, value);
                }
                Some(body.to_string().into_bytes())
            }
        }
    }

    /// Parameters that are not in the path and that the page does not set itself.
    fn params_beside<'s>(&'s self, page: &'s [(String, String)]) -> impl Iterator<Item = (&'s str, &'s Primitive)> {
        let in_path = |name: &str| self.endpoint.params.get(name).is_some_and(|known| known.in_path);
        let beside = move |name: &str| !in_path(name) && !page.iter().any(|(of_page, _)| of_page == name);
        self.params.0.iter().map(|(name, value)| (name.as_str(), value)).filter(move |(name, _)| beside(name))
    }
}

/// Puts a value into a JSON object; dots in its name lead inwards, as in `variables.after`.
fn put(object: &mut Value, name: &str, value: Value) {
    if !object.is_object() {
        *object = Value::Object(Map::new());
    }
    let Value::Object(fields) = object else { return };
    match name.split_once('.').filter(|(outer, inner)| !outer.is_empty() && !inner.is_empty()) {
        Some((outer, inner)) => put(fields.entry(outer).or_insert(Value::Null), inner, value),
        None => {
            fields.insert(name.to_owned(), value);
        }
    }
}

/// Gives a query parameter of an address another value.
fn replace_query(url: &mut Url, name: &str, value: &str) {
    let kept: Vec<(String, String)> =
        url.query_pairs().filter(|(other, _)| other != name).map(|(name, value)| (name.into(), value.into())).collect();
    url.query_pairs_mut().clear().extend_pairs(kept).append_pair(name, value);
}

fn text(value: &Primitive) -> Cow<'_, str> {
    match value {
        Primitive::Text(text) => text.into(),
        other => other.to_string().into(),
    }
}

fn json(value: &Primitive) -> Value {
    match value {
        Primitive::Bool(value) => (*value).into(),
        Primitive::Integer(value) => (*value).into(),
        Primitive::Float(value) => (*value).into(),
        Primitive::Text(value) => value.as_str().into(),
    }
}

/// The address of a next page without what authenticates: it is stored and travels in messages, secrets do not.
/// [`Ask::request`] adds it again. What is no address stays as it is.
pub(crate) fn strip_secrets(address: &str, endpoint: &Endpoint, credential: Option<&Credential>) -> String {
    let Ok(mut url) = Url::parse(address) else { return address.to_owned() };
    let secret = |name: &str, value: &str| {
        endpoint.query.iter().any(|field| field.secret && field.name == name)
            || credential.is_some_and(|credential| credential.secrets().any(|secret| secret == value))
    };
    if !url.query_pairs().any(|(name, value)| secret(&name, &value)) {
        return address.to_owned();
    }
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(name, value)| !secret(name, value))
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    url.into()
}

impl RequestParts {
    /// The address with secret values as `***`.
    #[must_use]
    pub fn masked_url(&self) -> String {
        if self.secret_query.is_empty() {
            return self.url.to_string();
        }
        let mut url = self.url.clone();
        let masked = |name: &str, value: Cow<'_, str>| {
            if self.secret_query.iter().any(|secret| secret == name) { MASK.to_owned() } else { value.into_owned() }
        };
        let pairs: Vec<(String, String)> =
            self.url.query_pairs().map(|(name, value)| (name.to_string(), masked(&name, value))).collect();
        url.query_pairs_mut().clear().extend_pairs(pairs);
        url.into()
    }

    /// The request as text for people, with secrets as `***`.
    #[must_use]
    pub fn describe(&self) -> String {
        use fmt::Write as _;
        let mut text = format!("{} {}\n", self.method, self.masked_url());
        for (name, value) in &self.headers {
            let shown = if value.is_sensitive() { MASK.into() } else { String::from_utf8_lossy(value.as_bytes()) };
            // Writing to a String never fails.
            let _ = writeln!(text, "{name}: {shown}");
        }
        if let Some(body) = &self.body {
            let _ = writeln!(text, "\n{}", String::from_utf8_lossy(body));
        }
        text
    }
}

impl fmt::Debug for RequestParts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestParts")
            .field("method", &self.method)
            .field("url", &self.masked_url())
            .field("headers", &self.headers)
            .field("body_bytes", &self.body.as_ref().map(Vec::len))
            .finish_non_exhaustive()
    }
}
