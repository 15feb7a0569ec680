//! What a key may be used for.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

/// What a key may be used for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// To submit, cancel and repeat jobs.
    Submit,
    /// To see jobs and their items, providers, and the names of credentials.
    Read,
    /// Everything: also providers, credentials and keys.
    Admin,
}

impl Scope {
    const ALL: [Self; 3] = [Self::Submit, Self::Read, Self::Admin];

    /// The name as stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Submit => "submit",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Scopes of a key, at least one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<Scope>);

/// The text names no scopes, or something that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected one or more of submit, read and admin")]
pub struct ScopesError;

impl Scopes {
    /// These scopes.
    ///
    /// # Errors
    /// When there are none.
    pub fn new(scopes: impl IntoIterator<Item = Scope>) -> Result<Self, ScopesError> {
        let scopes: BTreeSet<_> = scopes.into_iter().collect();
        if scopes.is_empty() { Err(ScopesError) } else { Ok(Self(scopes)) }
    }

    /// Whether a key of these scopes may be used for `scope`; one for everything may.
    #[must_use]
    pub fn allow(&self, scope: Scope) -> bool {
        self.0.contains(&scope) || self.0.contains(&Scope::Admin)
    }
}

/// Separated by spaces, as stored.
impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.0.iter().map(|scope| scope.name()).collect();
        f.write_str(&names.join(" "))
    }
}

impl TryFrom<String> for Scopes {
    type Error = ScopesError;

    fn try_from(text: String) -> Result<Self, ScopesError> {
        let scope = |name: &str| Scope::ALL.into_iter().find(|scope| scope.name() == name).ok_or(ScopesError);
        Self::new(text.split_ascii_whitespace().map(scope).collect::<Result<Vec<_>, _>>()?)
    }
}
