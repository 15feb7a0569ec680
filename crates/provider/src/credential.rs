//! Credentials: the secrets that calls are made with.

use std::collections::BTreeMap;
use std::fmt;

use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;

use crate::document::Document;
use crate::node::{Node, Tree};
use crate::problem::{FieldPath, FileError, Part, Problem};

/// The field that a bare token is kept in.
const TOKEN: &str = "token";
/// What variables that hold a credential begin with.
const VARIABLE_PREFIX: &str = "TIDEGATE_CREDENTIAL_";

/// Secrets under one name. Neither shown nor serialised.
#[derive(Clone)]
pub struct Credential {
    name: String,
    fields: BTreeMap<String, SecretString>,
}

/// The text is not a credential. What it holds is not shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CredentialError {
    /// Nothing in it.
    #[error("credential {0} is empty")]
    Empty(String),
    /// It looks like JSON and is not an object of texts.
    #[error("credential {0}: expected a bare token or a JSON object of texts")]
    Malformed(String),
}

impl Credential {
    /// A credential of these fields.
    pub fn new(name: impl Into<String>, fields: impl IntoIterator<Item = (String, SecretString)>) -> Self {
        Self { name: name.into(), fields: fields.into_iter().collect() }
    }

    /// The environment variable that the credential `name` is looked for in: `alice` → `TIDEGATE_CREDENTIAL_ALICE`.
    #[must_use]
    pub fn variable(name: &str) -> String {
        format!("{VARIABLE_PREFIX}{}", name.to_ascii_uppercase().replace('-', "_"))
    }

    /// Reads a variable's value: a bare token (field `token`), or a JSON object of fields.
    ///
    /// # Errors
    /// When it is empty, or begins like a JSON object and is not one of texts.
    pub fn from_text(name: &str, text: &str) -> Result<Self, CredentialError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(CredentialError::Empty(name.to_owned()));
        }
        if !text.starts_with('{') {
            return Ok(Self::new(name, [(TOKEN.to_owned(), SecretString::from(text))]));
        }
        let malformed = || CredentialError::Malformed(name.to_owned());
        let fields: BTreeMap<String, Value> = serde_json::from_str(text).map_err(|_| malformed())?;
        let field = |(field, value)| match value {
            Value::String(secret) => Ok((field, SecretString::from(secret))),
            Value::Number(number) => Ok((field, SecretString::from(number.to_string()))),
            _ => Err(malformed()),
        };
        let fields = fields.into_iter().map(field).collect::<Result<BTreeMap<_, _>, _>>()?;
        if fields.is_empty() { Err(CredentialError::Empty(name.to_owned())) } else { Ok(Self::new(name, fields)) }
    }

    /// Reads a file of credentials by name, YAML or JSON: `{ alice: { token: … }, bob: "bare token" }`.
    ///
    /// # Errors
    /// With the place of what is not a credential; never with what stands there.
    pub fn from_file_text(text: &str, file: &str) -> Result<Vec<Self>, Vec<FileError>> {
        let document = Document::parse(text, file, Part::Provider).map_err(|error| {
            // The parser's own words may quote the text.
            vec![FileError { message: "expected YAML or JSON: a map of credentials by name".to_owned(), ..error }]
        })?;
        let refuse = |field: FieldPath, message: &str| {
            vec![document.place_only(&Problem { part: Part::Provider, field, message: message.to_owned() })]
        };
        let Tree::Map(entries) = &document.root().tree else {
            return Err(refuse(FieldPath::root(), "expected a map of credentials by name"));
        };
        let mut credentials = Vec::new();
        for entry in entries {
            let path = FieldPath::root().key(&entry.key);
            let fields = match &entry.value.tree {
                Tree::Map(fields) => fields
                    .iter()
                    .map(|field| match text_of(&field.value) {
                        Some(secret) => Ok((field.key.clone(), secret)),
                        None => Err(refuse(path.key(&field.key), "expected text")),
                    })
                    .collect::<Result<Vec<_>, _>>()?,
                _ => text_of(&entry.value).map(|secret| (TOKEN.to_owned(), secret)).into_iter().collect(),
            };
            if fields.is_empty() {
                return Err(refuse(path, "expected a token, or a map of fields such as { token: … }"));
            }
            credentials.push(Self::new(entry.key.clone(), fields));
        }
        Ok(credentials)
    }

    /// The name; not secret.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The secret in `field`.
    #[must_use]
    pub fn field(&self, field: &str) -> Option<&SecretString> {
        self.fields.get(field)
    }

    /// The values to keep out of everything that is shown or stored.
    pub fn secrets(&self) -> impl Iterator<Item = &str> {
        self.fields.values().map(ExposeSecret::expose_secret)
    }

    /// The fields and their secrets, in order of name.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &SecretString)> {
        self.fields.iter().map(|(name, secret)| (name.as_str(), secret))
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credential").field("name", &self.name).finish_non_exhaustive()
    }
}

fn text_of(node: &Node) -> Option<SecretString> {
    match &node.tree {
        Tree::Text(text) if !text.is_empty() => Some(SecretString::from(text.as_str())),
        Tree::Number(number) => Some(SecretString::from(number.to_string())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secrets(credential: &Credential) -> Vec<(String, String)> {
        credential.fields().map(|(name, secret)| (name.to_owned(), secret.expose_secret().to_owned())).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, secret)| ((*name).to_owned(), (*secret).to_owned())).collect()
    }

    #[test]
    fn a_variable_holds_a_bare_token_or_an_object() {
        assert_eq!(Credential::variable("my-shop"), "TIDEGATE_CREDENTIAL_MY_SHOP");
        for (text, fields) in [
            (" abc\n", pairs(&[("token", "abc")])),
            (r#"{"user": "u", "password": "p"}"#, pairs(&[("password", "p"), ("user", "u")])),
            (r#"{"token": 12345}"#, pairs(&[("token", "12345")])),
        ] {
            assert_eq!(secrets(&Credential::from_text("a", text).unwrap()), fields);
        }
        for text in ["", "  ", "{}", "{secret", r#"{"token": ["secret"]}"#, r#"{"token": null}"#] {
            let error = Credential::from_text("a", text).unwrap_err();
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_file_holds_credentials_by_name() {
        let found = Credential::from_file_text("alice: { token: abc, id: 7 }\nbob: bare\n", "c.yaml").unwrap();
        assert_eq!(found.iter().map(Credential::name).collect::<Vec<_>>(), ["alice", "bob"]);
        assert_eq!(secrets(&found[0]), pairs(&[("id", "7"), ("token", "abc")]));
        assert_eq!(secrets(&found[1]), pairs(&[("token", "bare")]));
    }

    #[test]
    fn a_wrong_file_is_refused_without_showing_it() {
        for (text, error) in [
            ("- s3cret", "c.yaml:1:1: expected a map of credentials by name"),
            ("s3cret", "c.yaml:1:1: expected a map of credentials by name"),
            ("alice: [s3cret]", "c.yaml:1:1: alice: expected a token, or a map of fields such as { token: … }"),
            ("alice: { token: [s3cret] }", "c.yaml:1:10: alice.token: expected text"),
            ("a: b\nalice: { token: true }", "c.yaml:2:17: alice.token: expected text"),
            ("alice: \"s3cret", "c.yaml:1:8: expected YAML or JSON: a map of credentials by name"),
            ("alice: {}", "c.yaml:1:1: alice: expected a token, or a map of fields such as { token: … }"),
        ] {
            let errors = Credential::from_file_text(text, "c.yaml").unwrap_err();
            assert_eq!(errors.iter().map(ToString::to_string).collect::<Vec<_>>(), [error], "{text}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let credential = Credential::new("alice", [("token".to_owned(), "s3cret".into())]);
        assert_eq!(format!("{credential:?} {:#?}", [&credential]).matches("s3cret").count(), 0);
        assert_eq!(credential.secrets().collect::<Vec<_>>(), ["s3cret"]);
    }
}
