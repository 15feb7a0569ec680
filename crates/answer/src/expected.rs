//! What a value must be for an error rule to match.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Number;

use crate::pattern::{ParsePatternError, Pattern};
use crate::raw::Scalar;

/// What a value must be: a value (`190`), one of a list (`[458, 460]`), `{ match: "^rate" }` for a regular expression
/// in its text, or `{ exists: true }` for anything but null.
///
/// A number also stands for the text that shows it, and the other way round: `190` is `"190"`. Where the path selects
/// several values, one of them is enough.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "Form", into = "Form")]
pub enum Expected {
    /// One of these.
    OneOf(Vec<ScalarValue>),
    /// A text, number or truth value in whose text this is found.
    Match(Pattern),
    /// Whether there is something that is not null.
    Exists(bool),
}

/// A value that is no list and no object.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a text, a number, true, false or null")]
pub enum ScalarValue {
    /// `null`, which must stand there.
    Null(()),
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(String),
}

/// As it is written.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a value, a list of values, { match: expression } or { exists: true }")]
enum Form {
    Match(MatchForm),
    Exists(ExistsForm),
    OneOf(Vec<ScalarValue>),
    One(ScalarValue),
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct MatchForm {
    /// A regular expression, searched for in the value's text.
    r#match: String,
}

#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
struct ExistsForm {
    /// Whether there is something that is not null.
    exists: bool,
}

impl Expected {
    /// Whether `values`, as they were written, hold what is expected.
    pub(crate) fn is_met<'v>(&self, mut values: impl Iterator<Item = &'v str>) -> bool {
        match self {
            Self::OneOf(wanted) => values.any(|json| {
                let found = Scalar::of(json);
                wanted.iter().any(|wanted| wanted.is(&found))
            }),
            Self::Match(pattern) => values.any(|json| Scalar::of(json).text().is_some_and(|text| pattern.is_in(&text))),
            Self::Exists(yes) => values.any(|json| Scalar::of(json) != Scalar::Null) == *yes,
        }
    }
}

impl ScalarValue {
    fn is(&self, found: &Scalar<'_>) -> bool {
        match (self, found) {
            (Self::Null(()), Scalar::Null) => true,
            (Self::Bool(wanted), Scalar::Bool(found)) => wanted == found,
            (Self::Text(wanted), Scalar::Text(found)) => wanted == found,
            (Self::Text(wanted), Scalar::Number(found)) => wanted == found,
            (Self::Number(wanted), Scalar::Number(found)) => is_number(wanted, found),
            (Self::Number(wanted), Scalar::Text(found)) => is_number(wanted, found),
            _ => false,
        }
    }
}

fn is_number(wanted: &Number, found: &str) -> bool {
    match (wanted.as_i64(), found.parse::<i64>()) {
        (Some(wanted), Ok(found)) => wanted == found,
        _ => wanted.as_f64().is_some_and(|wanted| found.parse() == Ok(wanted)),
    }
}

impl TryFrom<Form> for Expected {
    type Error = ParsePatternError;

    fn try_from(form: Form) -> Result<Self, Self::Error> {
        Ok(match form {
            Form::Match(MatchForm { r#match }) => Self::Match(Pattern::parse(&r#match)?),
            Form::Exists(ExistsForm { exists }) => Self::Exists(exists),
            Form::OneOf(values) => Self::OneOf(values),
            Form::One(value) => Self::OneOf(vec![value]),
        })
    }
}

impl From<Expected> for Form {
    fn from(expected: Expected) -> Self {
        match expected {
            Expected::Match(pattern) => Self::Match(MatchForm { r#match: pattern.into() }),
            Expected::Exists(exists) => Self::Exists(ExistsForm { exists }),
            Expected::OneOf(values) => match <[ScalarValue; 1]>::try_from(values) {
                Ok([one]) => Self::One(one),
                Err(values) => Self::OneOf(values),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_form_meets_what_it_says() {
        let table: [(_, &[&str], &[&str]); 11] = [
            (json!(190), &["190", "190.0", "1.9e2", r#""190""#], &["191", "[190]", "null", r#""x190""#]),
            (json!(9_007_199_254_740_993_i64), &["9007199254740993"], &["9007199254740992"]),
            (json!("190"), &[r#""190""#, "190", r#""\u0031\u0039\u0030""#], &["191", "true"]),
            (json!(false), &["false"], &["true", "null", "0", r#""false""#]),
            (json!(null), &["null"], &["false", r#""""#]),
            (json!([458, "460", null]), &["458", "460", "null"], &["459"]),
            (json!([]), &[], &["1", "null"]),
            (json!({"match": "^4[56]"}), &["458", r#""46x""#], &["345", "null", "[458]"]),
            (json!({"match": ""}), &[r#""""#, "true", "0"], &["null", "{}"]),
            (json!({"exists": true}), &["[]", "{}", "0", r#""""#, "false"], &["null"]),
            (json!({"exists": false}), &["null"], &["1", "[]"]),
        ];
        for (json, met, unmet) in table {
            let expected: Expected = serde_json::from_value(json.clone()).unwrap();
            for found in met {
                assert!(expected.is_met([*found].into_iter()), "{json} {found}");
            }
            for found in unmet {
                assert!(!expected.is_met([*found].into_iter()), "{json} {found}");
            }
            assert_eq!(serde_json::to_value(&expected).unwrap(), json);
        }
    }

    #[test]
    fn one_of_several_values_is_enough_and_none_is_none() {
        let expected: Expected = serde_json::from_value(json!("THROTTLED")).unwrap();
        assert!(expected.is_met(["1", r#""THROTTLED""#].into_iter()));
        assert!(!expected.is_met(std::iter::empty()));
        assert!(Expected::Exists(false).is_met(std::iter::empty()));
        assert!(!Expected::Exists(true).is_met(std::iter::empty()));
    }

    #[test]
    fn a_wrong_expectation_says_what_was_expected() {
        let forms = "expected a value, a list of values, { match: expression } or { exists: true }";
        for json in [json!({"matches": "x"}), json!([[1]]), json!({"match": "x", "exists": true}), json!({"match": 5})]
        {
            assert_eq!(serde_json::from_value::<Expected>(json).unwrap_err().to_string(), forms);
        }
        let error = serde_json::from_value::<Expected>(json!({"match": "("})).unwrap_err().to_string();
        assert_eq!(error, "expected a regular expression, found `(`: unclosed group");
    }
}
