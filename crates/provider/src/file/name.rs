//! Names and the version mark.

use std::borrow::{Borrow, Cow};
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Longest name, in characters.
const NAME_MAX_CHARS: usize = 64;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $title:literal, $pattern:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = String;

            fn try_from(text: String) -> Result<Self, String> {
                let allowed: fn(char) -> bool = $allowed;
                if (1..=NAME_MAX_CHARS).contains(&text.len()) && text.chars().all(allowed) {
                    return Ok(Self(text));
                }
                Err(format!("expected {}, found {text:?}", $title))
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "title": $title, "pattern": $pattern })
            }
        }
    };
}

name! {
    /// Name of a provider, step, limit or credential: `[a-z0-9_-]{1,64}`.
    Name,
    "a name of 1 to 64 of a-z, 0-9, _ and -",
    "^[a-z0-9_-]{1,64}$",
    |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-'
}

name! {
    /// Name of an endpoint: `[A-Za-z0-9_.-]{1,64}`, such as `accounts.followers`.
    EndpointName,
    "a name of 1 to 64 letters, digits, _, - and .",
    "^[A-Za-z0-9_.-]{1,64}$",
    |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

/// The version of the file format: 1.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u64", into = "u64")]
pub struct Version;

impl TryFrom<u64> for Version {
    type Error = String;

    fn try_from(version: u64) -> Result<Self, String> {
        if version == 1 { Ok(Self) } else { Err(format!("expected 1, the version this build reads, found {version}")) }
    }
}

impl From<Version> for u64 {
    fn from(_: Version) -> Self {
        1
    }
}

impl JsonSchema for Version {
    fn schema_name() -> Cow<'static, str> {
        "Version".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "title": "1, the version of the file format", "const": 1 })
    }
}
