//! Endpoints: what can be called.

use std::collections::BTreeMap;

use http::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_answer::{ErrorRule, Expected, JsonPath, Pages, Since, Statuses};
use tidegate_contracts::Primitive;

use super::Timeouts;

/// One kind of call that the provider answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// Method and path.
    #[serde(flatten)]
    pub route: Route,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Parameters besides the path's placeholders. What is not named here or there is refused.
    #[serde(default, skip_serializing_if = "Parameters::is_empty")]
    pub params: Parameters,
    /// Where parameters that are not in the path travel.
    #[serde(default, skip_serializing_if = "Placement::is_default")]
    pub send: Placement,
    /// Headers of these requests: templates over `config`, `credential` and `params`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Query parameters of every request: templates over `config`, `credential` and `params`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// `JSONPath` (RFC 9535) of the items in an answer, such as `$.data[*]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<JsonPath>,
    /// What stands in answers that rightly have nothing where the items should be, such as `{ "$.meta.result_count": 0 }`:
    /// they are pages without items. Any other answer without them is taken for broken.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub no_items: BTreeMap<JsonPath, Expected>,
    /// `JSONPath` of what tells an item from others, relative to the item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<JsonPath>,
    /// Statuses of pages; all 2xx unless said. Error rules are asked first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub success: Option<Statuses>,
    /// How it pages; without, one request is all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pages: Option<Pages>,
    /// What is new since earlier runs; without, every run reads all of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Since>,
    /// Deadlines of these requests, before the provider's own.
    #[serde(default, skip_serializing_if = "Timeouts::is_empty")]
    pub timeouts: Timeouts,
    /// Error rules of these answers, before the provider's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub errors: Vec<ErrorRule>,
    /// May be sent again when it is not known whether it arrived. GET and HEAD may, others not, unless said here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotent: Option<bool>,
}

/// Method and path. In the path, `{name}` stands for a parameter, as one path segment or part of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Route {
    /// GET.
    Get(String),
    /// HEAD.
    Head(String),
    /// POST.
    Post(String),
    /// PUT.
    Put(String),
    /// PATCH.
    Patch(String),
    /// DELETE.
    Delete(String),
}

impl Route {
    /// The method.
    #[must_use]
    pub fn method(&self) -> Method {
        match self {
            Self::Get(_) => Method::GET,
            Self::Head(_) => Method::HEAD,
            Self::Post(_) => Method::POST,
            Self::Put(_) => Method::PUT,
            Self::Patch(_) => Method::PATCH,
            Self::Delete(_) => Method::DELETE,
        }
    }

    /// The path, with placeholders.
    #[must_use]
    pub fn path(&self) -> &str {
        match self {
            Self::Get(path)
            | Self::Head(path)
            | Self::Post(path)
            | Self::Put(path)
            | Self::Patch(path)
            | Self::Delete(path) => path,
        }
    }

    /// The method as it is written in a file.
    pub(crate) fn key(&self) -> &'static str {
        match self {
            Self::Get(_) => "get",
            Self::Head(_) => "head",
            Self::Post(_) => "post",
            Self::Put(_) => "put",
            Self::Patch(_) => "patch",
            Self::Delete(_) => "delete",
        }
    }
}

/// Parameters of an endpoint: a list of names, or a map from name to what is known of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Parameters {
    /// Optional ones, by name.
    Names(Vec<String>),
    /// By name, with what is known of each.
    Details(BTreeMap<String, Option<Parameter>>),
}

impl Parameters {
    /// There are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.names().next().is_none()
    }

    /// Their names.
    pub fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Names(names) => Box::new(names.iter().map(String::as_str)),
            Self::Details(details) => Box::new(details.keys().map(String::as_str)),
        }
    }

    /// What is known of each, where anything is.
    pub fn details(&self) -> impl Iterator<Item = (&str, &Parameter)> {
        let details = match self {
            Self::Names(_) => None,
            Self::Details(details) => Some(details),
        };
        details.into_iter().flatten().filter_map(|(name, details)| Some((name.as_str(), details.as_ref()?)))
    }
}

impl Default for Parameters {
    fn default() -> Self {
        Self::Names(Vec::new())
    }
}

/// What is known of a parameter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Parameter {
    /// A step has to give it. Placeholders of the path always are, unless they have a default.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Sent when a step gives none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Primitive>,
}

/// Where parameters that are not in the path travel, those of pages included.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Placement {
    /// In the query.
    #[default]
    Query,
    /// As a JSON object in the body.
    Json,
    /// As a form in the body.
    Form,
}

impl Placement {
    /// It is what it is without being said.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}
