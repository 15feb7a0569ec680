//! How requests are authenticated.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
}
