//! Sets of HTTP statuses.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// HTTP statuses: one (`429`), a hundred of them (`5xx`), or a list of both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Form", into = "Form")]
pub struct Statuses(Vec<Entry>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Code(u16),
    /// All that begin with this digit.
    Hundred(u16),
}

/// As it is written.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a status such as 429, a hundred of them such as 5xx, or a list of these")]
enum Form {
    One(OneForm),
    Several(#[schemars(length(min = 1))] Vec<OneForm>),
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
enum OneForm {
    /// A status, 100 to 599.
    Code(#[schemars(range(min = 100, max = 599))] u16),
    /// A hundred of statuses.
    Hundred(#[schemars(regex(pattern = r"^[1-5][xX]{2}$"))] String),
}

/// Something stands in a list of statuses that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected a status from 100 to 599 or a hundred of them such as 5xx, found {found}")]
pub struct ParseStatusesError {
    /// What was found.
    pub found: String,
}

impl Statuses {
    /// Whether `status` is one of them.
    #[must_use]
    pub fn contains(&self, status: u16) -> bool {
        self.0.iter().any(|entry| match entry {
            Entry::Code(code) => *code == status,
            Entry::Hundred(digit) => status / 100 == *digit,
        })
    }
}

impl TryFrom<OneForm> for Entry {
    type Error = ParseStatusesError;

    fn try_from(form: OneForm) -> Result<Self, Self::Error> {
        match form {
            OneForm::Code(code @ 100..=599) => Ok(Self::Code(code)),
            OneForm::Code(code) => Err(ParseStatusesError { found: code.to_string() }),
            OneForm::Hundred(text) => match text.as_bytes() {
                [digit @ b'1'..=b'5', b'x' | b'X', b'x' | b'X'] => Ok(Self::Hundred(u16::from(digit - b'0'))),
                _ => Err(ParseStatusesError { found: format!("`{text}`") }),
            },
        }
    }
}

impl TryFrom<Form> for Statuses {
    type Error = ParseStatusesError;

    fn try_from(form: Form) -> Result<Self, Self::Error> {
        match form {
            Form::One(one) => Ok(Self(vec![one.try_into()?])),
            Form::Several(several) if several.is_empty() => {
                Err(ParseStatusesError { found: "an empty list".to_owned() })
            }
            Form::Several(several) => several.into_iter().map(Entry::try_from).collect::<Result<_, _>>().map(Self),
        }
    }
}

impl From<Statuses> for Form {
    fn from(Statuses(entries): Statuses) -> Self {
        let form = |entry: &Entry| match entry {
            Entry::Code(code) => OneForm::Code(*code),
            Entry::Hundred(digit) => OneForm::Hundred(format!("{digit}xx")),
        };
        match entries.as_slice() {
            [one] => Self::One(form(one)),
            several => Self::Several(several.iter().map(form).collect()),
        }
    }
}

impl fmt::Display for Statuses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, entry) in self.0.iter().enumerate() {
            let comma = if place == 0 { "" } else { ", " };
            match entry {
                Entry::Code(code) => write!(f, "{comma}{code}")?,
                Entry::Hundred(digit) => write!(f, "{comma}{digit}xx")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn statuses_are_read_from_each_form() {
        let table: [(_, &[u16], &[u16]); 4] = [
            (json!(429), &[429], &[428, 430, 42]),
            (json!("5xx"), &[500, 503, 599], &[499, 600, 5]),
            (json!([401, 403]), &[401, 403], &[402]),
            (json!([429, "5XX"]), &[429, 529], &[428]),
        ];
        for (json, members, others) in table {
            let statuses: Statuses = serde_json::from_value(json.clone()).unwrap();
            assert!(members.iter().all(|status| statuses.contains(*status)), "{json}");
            assert!(!others.iter().any(|status| statuses.contains(*status)), "{json}");
            let again: Statuses = serde_json::from_value(serde_json::to_value(&statuses).unwrap()).unwrap();
            assert_eq!(again, statuses);
        }
    }

    #[test]
    fn what_is_no_status_is_refused_with_what_was_expected() {
        let forms = "expected a status such as 429, a hundred of them such as 5xx, or a list of these";
        let one = "expected a status from 100 to 599 or a hundred of them such as 5xx, found";
        let table = [
            (json!(true), forms.to_owned()),
            (json!({}), forms.to_owned()),
            (json!(99), format!("{one} 99")),
            (json!(600), format!("{one} 600")),
            (json!("6xx"), format!("{one} `6xx`")),
            (json!([429, "many"]), format!("{one} `many`")),
            (json!([]), format!("{one} an empty list")),
        ];
        for (json, error) in table {
            assert_eq!(serde_json::from_value::<Statuses>(json).unwrap_err().to_string(), error);
        }
    }
}
