//! Parameters of a fetch: names and primitives.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A value that may travel in a message: text, number or truth value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Primitive {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A number with a fraction.
    Float(f64),
    /// Text.
    Text(String),
}

impl fmt::Display for Primitive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(value) => value.fmt(f),
            Self::Integer(value) => value.fmt(f),
            Self::Float(value) => value.fmt(f),
            Self::Text(value) => value.fmt(f),
        }
    }
}

impl From<i64> for Primitive {
    fn from(value: i64) -> Self {
        Self::Integer(value)
    }
}

impl From<&str> for Primitive {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

/// Parameters by name, in order of name.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Params(pub BTreeMap<String, Primitive>);

impl Params {
    /// Longest [`Params::canonical`], in bytes: it is stored with its fetch and travels with each of its calls.
    pub const CANONICAL_MAX_BYTES: usize = 16_384;

    /// One text for equal parameters: JSON with names in order. Ids are derived from it.
    #[must_use]
    pub fn canonical(&self) -> String {
        // A map of primitives always serialises; were it not to, the id would still be a function of its input.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Primitive> {
        self.0.get(name)
    }
}

impl<N: Into<String>, V: Into<Primitive>> FromIterator<(N, V)> for Params {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        Self(pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}
