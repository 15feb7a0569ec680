//! How requests are authenticated.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Period;

/// How requests are authenticated. Values are templates over `credential` and `config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Auth {
    /// `Authorization: Bearer …` (RFC 6750).
    Bearer(String),
    /// A header of the provider's own.
    Header {
        /// The header's name.
        name: String,
        /// Its value.
        value: String,
    },
    /// A query parameter.
    Query {
        /// The parameter's name.
        name: String,
        /// Its value.
        value: String,
    },
    /// `Authorization: Basic …` (RFC 7617).
    Basic {
        /// The user name.
        username: String,
        /// The password.
        password: String,
    },
    /// With tokens that are fetched and refreshed (OAuth 2.0, RFC 6749). A credential with nothing but a `token` is used as
    /// it is, as long as it is taken.
    Oauth2(Oauth2),
}

/// How tokens are fetched and refreshed. Of the credential it reads `client_id`, `client_secret`, `refresh_token`,
/// `access_token` (or `token`) and `expires_at` (Unix seconds, or RFC 3339).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Oauth2 {
    /// Where tokens are fetched: a template over `config`.
    pub token_url: String,
    /// What they are fetched by: the first of these that the credential has the fields for; `refresh_token` unless said.
    #[serde(default = "by_refresh_token", skip_serializing_if = "is_by_refresh_token")]
    #[schemars(length(min = 1, max = 2))]
    pub grants: Vec<Grant>,
    /// How the client says who it is; `basic` unless said.
    #[serde(default, skip_serializing_if = "is_basic")]
    pub client: ClientAuth,
    /// What the token is to be good for; as the provider sees fit unless said.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub scopes: Vec<String>,
    /// Further fields of the request for a token, such as `audience`: templates over `config` and `credential`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub params: BTreeMap<String, String>,
    /// How long before its end a token is refreshed, but never before four fifths of its time are over; 5m unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh_before: Option<Period>,
    /// Where calls carry the token; `Authorization: Bearer …` unless said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub send: Option<SendToken>,
}

/// What a token is fetched by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Grant {
    /// A refresh token, which somebody has got by consenting (RFC 6749, section 6).
    RefreshToken,
    /// The client's own id and secret (RFC 6749, section 4.4).
    ClientCredentials,
}

/// How a client says who it is (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ClientAuth {
    /// By a header `Authorization: Basic …`; without a secret, by the field `client_id`.
    #[default]
    Basic,
    /// By the fields `client_id` and `client_secret`.
    Body,
    /// By what stands under `params`.
    Params,
}

/// Where calls carry the token. Values are templates over `credential` and `config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum SendToken {
    /// A header.
    Header {
        /// The header's name.
        name: String,
        /// Its value, such as `{{ credential.access_token }}`.
        value: String,
    },
    /// A query parameter.
    Query {
        /// The parameter's name.
        name: String,
        /// Its value, such as `{{ credential.access_token }}`.
        value: String,
    },
}

/// A token that was fetched, or one that was given as it is.
const ANY_TOKEN: &str = "{{ credential.access_token or credential.token }}";

impl Oauth2 {
    /// The path of the token endpoint, `/oauth/token` where a template makes it.
    #[must_use]
    pub fn token_path(&self) -> &str {
        let rest = self.token_url.split_once("://").map_or("", |(_, rest)| rest);
        let path = rest.find('/').map_or("", |start| &rest[start..]);
        let path = path.split(['?', '#']).next().unwrap_or_default();
        if path.is_empty() || path.contains("{{") { "/oauth/token" } else { path }
    }

    /// How calls are authenticated once there is a token.
    #[must_use]
    pub fn of_calls(&self) -> Auth {
        match self.send.clone() {
            None => Auth::Bearer(ANY_TOKEN.to_owned()),
            Some(SendToken::Header { name, value }) => Auth::Header { name, value },
            Some(SendToken::Query { name, value }) => Auth::Query { name, value },
        }
    }
}

fn by_refresh_token() -> Vec<Grant> {
    vec![Grant::RefreshToken]
}

fn is_by_refresh_token(grants: &[Grant]) -> bool {
    grants == [Grant::RefreshToken]
}

fn is_basic(client: &ClientAuth) -> bool {
    *client == ClientAuth::Basic
}
