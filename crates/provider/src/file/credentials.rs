//! The credentials that a job names, and whether a provider takes several.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use super::Name;

/// The credentials that a job's calls are made with: one name, or a pool of several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Names", into = "Names")]
pub struct CredentialNames(Vec<Name>);

/// As written.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Names {
    One(Name),
    Several(Vec<Name>),
}

impl CredentialNames {
    /// Most credentials of a pool.
    pub const MAX: usize = 16;
    const TITLE: &'static str = "a credential's name, or a list of such";

    /// The names, at least one, each once, in the order of the file.
    #[must_use]
    pub fn as_slice(&self) -> &[Name] {
        &self.0
    }

    /// The same whatever their order.
    #[must_use]
    pub(crate) fn sorted(&self) -> Self {
        let mut names = self.0.clone();
        names.sort();
        Self(names)
    }
}

impl From<Name> for CredentialNames {
    fn from(name: Name) -> Self {
        Self(vec![name])
    }
}

impl TryFrom<Names> for CredentialNames {
    type Error = String;

    fn try_from(names: Names) -> Result<Self, String> {
        let names = match names {
            Names::One(name) => vec![name],
            Names::Several(names) => names,
        };
        if !(1..=Self::MAX).contains(&names.len()) {
            return Err(format!("expected 1 to {} names of credentials, found {}", Self::MAX, names.len()));
        }
        match names.iter().enumerate().find(|(place, name)| names[..*place].contains(name)) {
            Some((_, twice)) => Err(format!("expected each credential once, found {twice} a second time")),
            None => Ok(Self(names)),
        }
    }
}

impl From<CredentialNames> for Names {
    fn from(CredentialNames(mut names): CredentialNames) -> Self {
        match names.pop() {
            Some(name) if names.is_empty() => Self::One(name),
            last => Self::Several(names.into_iter().chain(last).collect()),
        }
    }
}

impl JsonSchema for CredentialNames {
    fn schema_name() -> Cow<'static, str> {
        "CredentialNames".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let name = generator.subschema_for::<Name>();
        json_schema!({
            "title": Self::TITLE,
            "anyOf": [name, {
                "type": "array", "title": "names of credentials", "items": name,
                "minItems": 1, "maxItems": Self::MAX, "uniqueItems": true,
            }],
        })
    }
}

/// Whether one job may use several credentials of the provider, which its terms have to allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CredentialPool {
    /// It may not.
    Refused,
    /// Each call takes the one with the most room left, but the pages of a chain, each of which names the next, are all asked for
    /// with one of them.
    ByChain,
    /// Each call takes the one with the most room left: what the answer to one names as the next page is one for all of them.
    ByCall,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_name_or_several_read_as_written_and_come_back_the_same() {
        for (text, names) in [("\"alice\"", &["alice"][..]), ("[\"bob\",\"alice\"]", &["bob", "alice"])] {
            let read: CredentialNames = serde_json::from_str(text).unwrap();
            assert_eq!(read.as_slice().iter().map(Name::as_str).collect::<Vec<_>>(), names);
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
        for (text, error) in [
            ("[]", "expected 1 to 16 names of credentials, found 0"),
            ("[\"a\",\"b\",\"a\"]", "expected each credential once, found a a second time"),
        ] {
            assert_eq!(serde_json::from_str::<CredentialNames>(text).unwrap_err().to_string(), error);
        }
    }
}
