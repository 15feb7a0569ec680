//! The provider file.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_answer::ErrorRule;
use tidegate_contracts::Primitive;

use super::{Auth, CredentialPool, Endpoint, EndpointName, Limit, Name, Period, Size, Version};

/// Describes an API: its address, authentication, endpoints, limits and errors.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderFile {
    /// The version of the file format.
    pub tidegate: Version,
    /// The provider's name.
    pub provider: Name,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Name or relative path of a provider file to inherit from: errors, limits, headers, timeouts, body and retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extends: Option<String>,
    /// Where the API is: a template over `config`. Only a file for others to extend goes without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_url: Option<String>,
    /// How requests are authenticated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Auth>,
    /// Whether one job may use several credentials, and how; it may not unless said. For the provider's terms to allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential_pool: Option<CredentialPool>,
    /// Headers of every request: templates over `config` and `credential`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Query parameters of every request: templates over `config` and `credential`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub query: BTreeMap<String, String>,
    /// Deadlines of requests.
    #[serde(default, skip_serializing_if = "Timeouts::is_empty")]
    pub timeouts: Timeouts,
    /// How large answers may be.
    #[serde(default, skip_serializing_if = "Body::is_empty")]
    pub body: Body,
    /// How failed calls are repeated.
    #[serde(default, skip_serializing_if = "Retry::is_empty")]
    pub retry: Retry,
    /// A public host may be called over plain HTTP: everything, credentials included, travels readable.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure_http: bool,
    /// What a job may set, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, Option<ConfigField>>,
    /// Limits. Every one that matches a call applies; without any, what answers' headers tell is obeyed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub limits: Vec<Limit>,
    /// Error rules; the first that matches says what an answer means.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1000))]
    pub errors: Vec<ErrorRule>,
    /// What can be called, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 1000))]
    pub endpoints: BTreeMap<EndpointName, Endpoint>,
}

/// Something a job may set.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConfigField {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its value where a job sets none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<Primitive>,
    /// A job has to set it. The same as having no default and being used; said for its readers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

/// Deadlines of a request.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// Until connected; 5s unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<Period>,
    /// Until the answer begins; 30s unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_byte: Option<Period>,
    /// Between two pieces of the answer; 30s unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idle: Option<Period>,
    /// For all of it; 120s unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Period>,
}

impl Timeouts {
    /// Nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Each deadline as said here, else as said by `base`.
    #[must_use]
    pub fn or(self, base: Self) -> Self {
        Self {
            connect: self.connect.or(base.connect),
            first_byte: self.first_byte.or(base.first_byte),
            idle: self.idle.or(base.idle),
            total: self.total.or(base.total),
        }
    }
}

/// How large answers may be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Body {
    /// Largest answer once unpacked; 50MiB unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<Size>,
    /// Most bytes out of one packed byte, once an answer is above 1 MiB; 100 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_ratio: Option<u32>,
}

impl Body {
    /// Nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How failed calls are repeated: with growing, random pauses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Retry {
    /// Attempts in all, from 1; 6 unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub attempts: Option<u32>,
    /// From the first failure to the last attempt; 30m unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget: Option<Period>,
    /// Longest first pause; 500ms unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Period>,
    /// Longest pause of all; 60s unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<Period>,
}

impl Retry {
    /// Nothing is said.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
