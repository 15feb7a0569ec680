//! Limits as a provider file declares them.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use tidegate_answer::JsonPath;
use tidegate_contracts::Class;
use tidegate_limits::{HeaderNames, Headroom, Rate, ResetAs};

use super::Name;

/// One of the provider's limits. Every limit that matches a call applies to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// Its name, unique in the file.
    pub id: Name,
    /// What it counts by: calls that agree in all of these share it.
    #[serde(default = "by_credential", skip_serializing_if = "is_by_credential")]
    #[schemars(length(min = 1, max = 8))]
    pub key: Vec<Factor>,
    /// An expression over `call.page`, `call.endpoint`, `call.size` and `params`: it applies where this is true.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
    /// Endpoints it applies to, `*` standing for any text; all of them where there is no list.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<String>,
    /// What a call costs; 1 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// Headers of answers that speak of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<HeaderNames>,
    /// Places in answers' bodies that speak of it. Where headers say the same, they count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyTells>,
    /// What of it is kept for the lanes interactive, normal and bulk from those below each, in per cent, at most 90 together, where
    /// that is not what the deployment says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headroom: Option<Headroom>,
    /// Failures by which a breaker takes the provider for ill, and only a breaker: `provider_down`, `timeout` and
    /// `transient` (but for a plain 500) unless said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<Class>,
    /// The time zone of its quota, where a job or the account says that: a template over `config`, such as
    /// `{{ config.zone }}`. It goes before the quota's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// How much of it there is.
    #[serde(flatten)]
    pub rate: Rate,
}

fn by_credential() -> Vec<Factor> {
    vec![Factor::Credential]
}

fn is_by_credential(key: &[Factor]) -> bool {
    key == [Factor::Credential]
}

/// Places in an answer's body that speak of a limit, as JSON paths; the same as those of headers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct BodyTells {
    /// Units that fit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<JsonPath>,
    /// Units that remain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remaining: Option<JsonPath>,
    /// Units that are used.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub used: Option<JsonPath>,
    /// The end of the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reset: Option<JsonPath>,
    /// How `reset` is written.
    pub reset_as: ResetAs,
    /// What the call cost in the end: what its `cost` reserved beyond that is given back, and what it lacked is charged.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<JsonPath>,
}

/// What a call costs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Cost {
    /// Always the same.
    Fixed(u32),
    /// An expression over `call.page`, `call.endpoint`, `call.size` and `params`.
    Expression(String),
}

/// What a limit counts by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Factor {
    /// The app that the credential belongs to: `config.app`, or one for all.
    App,
    /// The credential.
    Credential,
    /// The tenant whose job it is.
    Tenant,
    /// The address that the call leaves from.
    Egress,
    /// The endpoint.
    Endpoint,
    /// The method of the request, such as `GET`.
    Method,
    /// Nothing but the provider: one for all.
    Provider,
    /// The value of a parameter.
    Param(String),
}

impl Factor {
    const TITLE: &'static str = "one of app, credential, tenant, egress, endpoint, method, provider and param:NAME";

    /// Its name in keys: the word, or the parameter's name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::App => "app",
            Self::Credential => "credential",
            Self::Tenant => "tenant",
            Self::Egress => "egress",
            Self::Endpoint => "endpoint",
            Self::Method => "method",
            Self::Provider => "provider",
            Self::Param(name) => name,
        }
    }
}

impl fmt::Display for Factor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if matches!(self, Self::Param(_)) {
            f.write_str("param:")?;
        }
        f.write_str(self.name())
    }
}

impl TryFrom<String> for Factor {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Ok(match (text.as_str(), text.strip_prefix("param:")) {
            ("app", _) => Self::App,
            ("credential", _) => Self::Credential,
            ("tenant", _) => Self::Tenant,
            ("egress", _) => Self::Egress,
            ("endpoint", _) => Self::Endpoint,
            ("method", _) => Self::Method,
            ("provider", _) => Self::Provider,
            (_, Some(name)) if !name.is_empty() => Self::Param(name.to_owned()),
            _ => return Err(format!("expected {}, found {text:?}", Self::TITLE)),
        })
    }
}

impl From<Factor> for String {
    fn from(factor: Factor) -> Self {
        factor.to_string()
    }
}

impl JsonSchema for Factor {
    fn schema_name() -> Cow<'static, str> {
        "Factor".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string", "title": Self::TITLE,
            "pattern": "^(app|credential|tenant|egress|endpoint|method|provider|param:.+)$",
        })
    }
}
