//! Headers and query parameters of requests: rendered once where they never vary.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{ACCEPT, AUTHORIZATION};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::compile::Compiler;
use crate::expression::RenderError;
use crate::file::Auth;
use crate::problem::FieldPath;
use crate::scope::{Root, Scope};
use crate::template::Template;

/// What headers and query parameters of the provider may see.
pub(crate) const PROVIDER_ROOTS: &[Root] = &[Root::Config, Root::Credential];
/// What those of an endpoint may see.
pub(crate) const ENDPOINT_ROOTS: &[Root] = &[Root::Config, Root::Credential, Root::Params];

/// Said of authentication with a constant: provider files are shared, secrets are not.
pub(crate) const NO_CREDENTIAL: &str =
    "expected a template that names a credential, such as {{ credential.token }}, found none";

/// A header or query parameter could not be made. Its value is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Its template failed.
    #[error("{field} can't be rendered")]
    Render {
        /// `header x-token`, `query parameter key`.
        field: String,
        /// Why.
        #[source]
        source: RenderError,
    },
    /// The value holds a line break or another control character.
    #[error("{field}: expected text without line breaks and control characters")]
    Control {
        /// `header x-token`.
        field: String,
    },
}

/// Headers of an endpoint's requests.
#[derive(Debug, Clone, Default)]
pub(crate) struct Headers {
    fixed: HeaderMap,
    varying: Vec<(HeaderName, Arc<Text>)>,
}

/// How a header's value is made.
#[derive(Debug)]
enum Text {
    Template(Template),
    Basic(Template, Template),
}

/// A query parameter that is sent with every request.
#[derive(Debug)]
pub(crate) struct QueryField {
    pub(crate) name: String,
    pub(crate) secret: bool,
    value: Value,
}

#[derive(Debug)]
enum Value {
    Fixed(String),
    Template(Template),
}

impl Headers {
    /// Asks for JSON, the one thing that answers are read as.
    pub(crate) fn of_json() -> Self {
        let fixed = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static("application/json"))]);
        Self { fixed, varying: Vec::new() }
    }

    /// Adds declared headers; one that is there already gives way.
    pub(crate) fn add(
        &mut self,
        declared: &BTreeMap<String, String>,
        roots: &[Root],
        at: &FieldPath,
        compiler: &mut Compiler<'_>,
    ) {
        for (name, source) in declared {
            let field = at.key(name);
            let header = header_name(name, &at.name(name), compiler);
            let template = compiler.template(source, roots, &field);
            if let (Some(header), Some(template)) = (header, template) {
                self.put(header, Text::Template(template), &field, compiler);
            }
        }
    }

    /// Adds what authenticates, where that is a header.
    pub(crate) fn add_auth(&mut self, auth: &Auth, at: &FieldPath, compiler: &mut Compiler<'_>) {
        let mut template = |source: &str, field: &FieldPath| compiler.template(source, PROVIDER_ROOTS, field);
        let (field, name, text) = match auth {
            Auth::Bearer(token) => {
                let field = at.key("bearer");
                let text = template(&format!("Bearer {token}"), &field).map(Text::Template);
                (field, Some(AUTHORIZATION), text)
            }
            Auth::Basic { username, password } => {
                let field = at.key("basic");
                let user = template(username, &field.key("username"));
                let password = template(password, &field.key("password"));
                (field, Some(AUTHORIZATION), user.zip(password).map(|(user, password)| Text::Basic(user, password)))
            }
            Auth::Header { name, value } => {
                let field = at.key("header").key("value");
                let text = template(value, &field).map(Text::Template);
                (field, header_name(name, &at.key("header").key("name"), compiler), text)
            }
            // Of the last one, what authenticates calls comes here by itself.
            Auth::Query { .. } | Auth::Oauth2(_) => return,
        };
        if let (Some(name), Some(text)) = (name, text) {
            if !text.is_secret() {
                compiler.add(&field, NO_CREDENTIAL);
            }
            self.put(name, text, &field, compiler);
        }
    }

    fn put(&mut self, name: HeaderName, text: Text, field: &FieldPath, compiler: &mut Compiler<'_>) {
        self.varying.retain(|(there, _)| *there != name);
        self.fixed.remove(&name);
        if text.roots().any(|root| root != Root::Config) {
            self.varying.push((name, Arc::new(text)));
            return;
        }
        match text.render(&name, &compiler.config_scope()) {
            Err(FieldError::Render { source: RenderError::Missing(_), .. }) if !compiler.complete => {}
            result => {
                if let Some(value) = compiler.take(field, result) {
                    self.fixed.insert(name, value);
                }
            }
        }
    }

    /// Takes over all of `other`; what is there already by the same name gives way.
    pub(crate) fn append(&mut self, other: &Self) {
        let names = || other.fixed.keys().chain(other.varying.iter().map(|(name, _)| name));
        self.varying.retain(|(there, _)| !names().any(|name| name == there));
        names().for_each(|name| drop(self.fixed.remove(name)));
        self.fixed.extend(other.fixed.clone());
        self.varying.extend(other.varying.iter().cloned());
    }

    pub(crate) fn render(&self, scope: &Scope<'_>) -> Result<HeaderMap, FieldError> {
        let mut headers = self.fixed.clone();
        for (name, text) in &self.varying {
            headers.insert(name, text.render(name, scope)?);
        }
        Ok(headers)
    }
}

impl Text {
    fn roots(&self) -> impl Iterator<Item = Root> {
        let (first, second) = match self {
            Self::Template(template) => (template, None),
            Self::Basic(user, password) => (user, Some(password)),
        };
        first.roots().chain(second.into_iter().flat_map(Template::roots))
    }

    fn is_secret(&self) -> bool {
        self.roots().any(|root| root == Root::Credential)
    }

    fn render(&self, name: &HeaderName, scope: &Scope<'_>) -> Result<HeaderValue, FieldError> {
        let field = || format!("header {name}");
        let text = self.render_text(scope).map_err(|source| FieldError::Render { field: field(), source })?;
        let value = HeaderValue::try_from(text);
        let mut value = value.map_err(|_| FieldError::Control { field: field() })?;
        value.set_sensitive(self.is_secret());
        Ok(value)
    }

    fn render_text(&self, scope: &Scope<'_>) -> Result<String, RenderError> {
        match self {
            Self::Template(template) => template.render_text(scope),
            Self::Basic(user, password) => {
                let pair = format!("{}:{}", user.render_text(scope)?, password.render_text(scope)?);
                Ok(format!("Basic {}", STANDARD.encode(pair)))
            }
        }
    }
}

pub(crate) fn header_name(name: &str, field: &FieldPath, compiler: &mut Compiler<'_>) -> Option<HeaderName> {
    let header = HeaderName::from_bytes(name.as_bytes()).ok();
    if header.is_none() {
        compiler.add(field, format!("expected the name of a header, found {name:?}"));
    }
    header
}

impl QueryField {
    pub(crate) fn compile(
        (name, source): (&str, &str),
        roots: &[Root],
        field: &FieldPath,
        compiler: &mut Compiler<'_>,
    ) -> Option<Self> {
        let template = compiler.template(source, roots, field)?;
        let secret = template.roots().any(|root| root == Root::Credential);
        let value = if template.roots().all(|root| root == Root::Config) {
            Value::Fixed(compiler.fixed(&template, field)?.to_string())
        } else {
            Value::Template(template)
        };
        Some(Self { name: name.to_owned(), secret, value })
    }

    pub(crate) fn render(&self, scope: &Scope<'_>) -> Result<Cow<'_, str>, FieldError> {
        match &self.value {
            Value::Fixed(text) => Ok(text.into()),
            Value::Template(template) => match template.render_text(scope) {
                Ok(text) => Ok(text.into()),
                Err(source) => Err(FieldError::Render { field: format!("query parameter {}", self.name), source }),
            },
        }
    }
}
