//! Where in an answer a value stands.

use std::fmt;

use http::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::json_path::{JsonPath, ParseJsonPathError};

/// Where in an answer a value stands: a JSONPath into the body (`"$.meta.next"`), `{ header: Next-Page }`, or
/// `{ last_item: "$.id" }`, a path into the page's last item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Form", into = "Form")]
pub enum Selector {
    /// In the body.
    Body(JsonPath),
    /// The first header of this name.
    Header(HeaderField),
    /// In the last item of the page.
    LastItem(JsonPath),
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body(path) => write!(f, "{path}"),
            Self::Header(name) => write!(f, "header {}", name.as_str()),
            Self::LastItem(path) => write!(f, "last item's {path}"),
        }
    }
}

/// As it is written. Kept apart so that a wrong path gets its own message, not that of "no form fits".
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(
    untagged,
    expecting = "expected a JSONPath such as \"$.meta.next\", { header: Name } or { last_item: JSONPath }"
)]
enum Form {
    /// A JSONPath (RFC 9535) into the body, such as `$.meta.next`.
    Body(String),
    Header(InHeader),
    LastItem(InLastItem),
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct InHeader {
    /// Name of a header; the first one of that name counts.
    header: String,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct InLastItem {
    /// A JSONPath (RFC 9535) into the page's last item, such as `$.id`.
    last_item: String,
}

/// Why a selector can't be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ParseSelectorError {
    #[error(transparent)]
    Path(#[from] ParseJsonPathError),
    #[error(transparent)]
    Header(#[from] ParseHeaderFieldError),
}

impl TryFrom<Form> for Selector {
    type Error = ParseSelectorError;

    fn try_from(form: Form) -> Result<Self, Self::Error> {
        Ok(match form {
            Form::Body(path) => Self::Body(JsonPath::parse(&path)?),
            Form::Header(InHeader { header }) => Self::Header(header.try_into()?),
            Form::LastItem(InLastItem { last_item }) => Self::LastItem(JsonPath::parse(&last_item)?),
        })
    }
}

impl From<Selector> for Form {
    fn from(selector: Selector) -> Self {
        match selector {
            Selector::Body(path) => Self::Body(path.into()),
            Selector::Header(name) => Self::Header(InHeader { header: name.into() }),
            Selector::LastItem(path) => Self::LastItem(InLastItem { last_item: path.into() }),
        }
    }
}

/// The name of a header; case does not matter.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct HeaderField(HeaderName);

/// A text is no header's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected the name of a header such as `X-Total-Count`, found `{found}`")]
pub struct ParseHeaderFieldError {
    /// What was found.
    pub found: String,
}

impl HeaderField {
    /// The name.
    #[must_use]
    pub fn name(&self) -> &HeaderName {
        &self.0
    }

    /// The name, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

impl TryFrom<String> for HeaderField {
    type Error = ParseHeaderFieldError;

    fn try_from(found: String) -> Result<Self, Self::Error> {
        found.parse().map(Self).map_err(|_| ParseHeaderFieldError { found })
    }
}

impl From<HeaderField> for String {
    fn from(field: HeaderField) -> Self {
        field.0.as_str().to_owned()
    }
}

impl PartialOrd for HeaderField {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for HeaderField {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_selector_is_read_from_each_of_its_forms() {
        let read = |json| serde_json::from_value::<Selector>(json).unwrap();
        assert_eq!(read(json!("$.a")), Selector::Body(JsonPath::parse("$.a").unwrap()));
        assert_eq!(read(json!({"last_item": "$.id"})), Selector::LastItem(JsonPath::parse("$.id").unwrap()));
        let Selector::Header(name) = read(json!({"header": "Next-Page"})) else { panic!("expected a header") };
        assert_eq!(name.name(), "next-page");
    }

    #[test]
    fn a_wrong_selector_says_what_was_expected() {
        let forms = "expected a JSONPath such as \"$.meta.next\", { header: Name } or { last_item: JSONPath }";
        let table = [
            (json!(7), forms),
            (json!({"heder": "X"}), forms),
            (json!({"header": "X", "last_item": "$"}), forms),
            (json!({"header": "X Y"}), "expected the name of a header such as `X-Total-Count`, found `X Y`"),
            (json!("a.b"), "expected a JSONPath such as `$.data.items[*]`, found `a.b`"),
        ];
        for (json, error) in table {
            assert_eq!(serde_json::from_value::<Selector>(json).unwrap_err().to_string(), error);
        }
    }

    #[test]
    fn a_selector_is_written_as_it_was_read() {
        for json in [json!("$.a"), json!({"header": "x-next"}), json!({"last_item": "$.id"})] {
            let selector: Selector = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(serde_json::to_value(&selector).unwrap(), json);
        }
    }
}
