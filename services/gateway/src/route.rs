//! A route: what answers it, who may use it, and how it is described.

use std::sync::Arc;

use axum::handler::Handler;
use axum::routing::{MethodFilter, MethodRouter, on};
use tidegate_registry::Scope;

use crate::app::App;

/// A route, and its description for the OpenAPI document.
pub(crate) struct Route {
    pub(crate) method: &'static str,
    pub(crate) path: &'static str,
    pub(crate) handler: MethodRouter<Arc<App>>,
    /// What a key needs; `None`: nobody needs a key.
    pub(crate) scope: Option<Scope>,
    pub(crate) summary: &'static str,
    pub(crate) description: &'static str,
    pub(crate) query: &'static [Parameter],
    pub(crate) headers: &'static [Parameter],
    pub(crate) body: Option<Content>,
    pub(crate) answers: Vec<Answer>,
    /// Statuses of problems, beside those that follow from the rest.
    pub(crate) problems: &'static [u16],
}

/// A parameter of the query or a header.
pub(crate) struct Parameter {
    pub(crate) name: &'static str,
    /// `string`, `integer` or `boolean`.
    pub(crate) kind: &'static str,
    pub(crate) description: &'static str,
}

/// What a body is.
#[derive(Clone, Copy)]
pub(crate) enum Content {
    /// JSON of this schema.
    Json(&'static str),
    /// A file of this schema, as JSON or YAML.
    File(&'static str),
    /// Of this media type.
    Media(&'static str),
    /// Of one of these media types.
    OneOf(&'static [&'static str]),
}

/// A success.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) description: &'static str,
    pub(crate) content: Option<Content>,
}

macro_rules! methods {
    ($($name:ident $filter:ident)*) => { $(
        #[doc = concat!(stringify!($filter), " on `path`.")]
        pub(crate) fn $name<H: Handler<T, Arc<App>>, T: 'static>(path: &'static str, handler: H) -> Self {
            Self::new(stringify!($filter), path, on(MethodFilter::$filter, handler))
        }
    )* };
}

impl Route {
    methods! { get GET post POST put PUT delete DELETE }

    fn new(method: &'static str, path: &'static str, handler: MethodRouter<Arc<App>>) -> Self {
        let (summary, description, query, headers, problems) = ("", "", &[], &[], &[]);
        let (scope, body, answers) = (None, None, Vec::new());
        Self { method, path, handler, scope, summary, description, query, headers, body, answers, problems }
    }

    /// A key of this scope is needed.
    pub(crate) fn needs(self, scope: Scope) -> Self {
        Self { scope: Some(scope), ..self }
    }

    /// A line on what it does.
    pub(crate) fn summary(self, summary: &'static str) -> Self {
        Self { summary, ..self }
    }

    /// What else there is to know.
    pub(crate) fn description(self, description: &'static str) -> Self {
        Self { description, ..self }
    }

    pub(crate) fn query(self, query: &'static [Parameter]) -> Self {
        Self { query, ..self }
    }

    pub(crate) fn headers(self, headers: &'static [Parameter]) -> Self {
        Self { headers, ..self }
    }

    pub(crate) fn body(self, body: Content) -> Self {
        Self { body: Some(body), ..self }
    }

    pub(crate) fn answers(mut self, status: u16, description: &'static str, content: Option<Content>) -> Self {
        self.answers.push(Answer { status, description, content });
        self
    }

    pub(crate) fn problems(self, problems: &'static [u16]) -> Self {
        Self { problems, ..self }
    }
}
