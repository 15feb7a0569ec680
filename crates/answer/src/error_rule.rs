//! Error rules: which answers are failures, and of which class. The declaration.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tidegate_contracts::Class;

use crate::expected::Expected;
use crate::json_path::JsonPath;
use crate::pattern::Pattern;
use crate::problem::Problem;
use crate::selector::{HeaderField, Selector};
use crate::statuses::Statuses;

/// Which answers are failures of a class. All conditions that are given must hold; of several rules the first that
/// matches counts.
///
/// Rules are asked about successful answers (2xx) too, since some providers answer 200 with an error in the body; a
/// rule that only names other statuses costs nothing there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ErrorRule {
    /// Condition: the HTTP status is one of these.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Statuses>,
    /// Condition: for each name here there is a header in which the regular expression is found.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub header: BTreeMap<HeaderField, Pattern>,
    /// Condition: what each JSONPath here selects in the body is as expected.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub json: BTreeMap<JsonPath, Expected>,
    /// Condition: the regular expression is found in the error's message: at `message_path`, else in the usual places
    /// (`error.message`, `message`, `error_description`, `error`, `detail`, `title`, `errors[0].message` and the like),
    /// else anywhere in the body's first 64 KiB. Of a successful answer only `message_path` and what stands under
    /// `error`, `error_description` or `errors` is looked at: `message` or `title` may be an item's own field.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<Pattern>,
    /// Condition: what the body is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<BodyKind>,
    /// What the failure means.
    pub class: Class,
    /// Id of the limit that refused, with `rate_limited` or `quota_exhausted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// Where the answer says when to try again, read like `Retry-After`: seconds, or a date; milliseconds where the
    /// field's name ends in `_ms`. Default: that header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Selector>,
    /// How long the refusal lasts where the answer does not say when to try again, with `rate_limited` or `quota_exhausted`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts: Option<Lasts>,
    /// Where the answer holds the error's message. Default: the usual places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_path: Option<JsonPath>,
}

/// How long a refusal lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Lasts {
    /// Until the limit's window or quota begins anew, such as the day that is used up.
    Period,
}

/// What a body is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BodyKind {
    /// An HTML page.
    Html,
    /// Nothing, or only white space.
    Empty,
    /// JSON.
    Json,
    /// Anything else, HTML and nothing included.
    NotJson,
}

impl ErrorRule {
    /// What is wrong with the rule beyond its shape; empty if nothing is.
    #[must_use]
    pub fn check(&self) -> Vec<Problem> {
        let unconditional = self.status.is_none()
            && self.header.is_empty()
            && self.json.is_empty()
            && self.message.is_none()
            && self.body.is_none();
        let of_limit = matches!(self.class, Class::RateLimited | Class::QuotaExhausted);
        let never_json = self.body.is_some_and(|body| body != BodyKind::Json);
        let table = [
            ("", unconditional, "at least one of status, header, json, message and body"),
            ("json", never_json && !self.json.is_empty(), "it only with body: json, or without body"),
            ("scope", self.scope.is_some() && !of_limit, "it only with class rate_limited or quota_exhausted"),
            ("scope", self.scope.as_deref().is_some_and(|id| id.trim().is_empty()), "the id of a limit"),
            ("lasts", self.lasts.is_some() && !of_limit, "it only with class rate_limited or quota_exhausted"),
            (
                "until",
                matches!(self.until, Some(Selector::LastItem(_))),
                "a JSONPath into the body or { header: Name }; a failure has no items",
            ),
        ];
        table
            .into_iter()
            .filter(|(_, wrong, _)| *wrong)
            .map(|(field, _, expected)| Problem::new(field, expected))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rule_is_read_and_written_as_it_stands_in_a_file() {
        let json = json!({
            "status": [400, "5xx"], "header": {"x-error": "(?i)limit"},
            "json": {"$.error.code": 190, "$.error.error_subcode": [458, 460]},
            "message": "(?i)expired", "body": "json", "class": "rate_limited", "scope": "app",
            "until": {"header": "x-reset"}, "lasts": "period", "message_path": "$.error.error_user_msg"
        });
        let rule: ErrorRule = serde_json::from_value(json.clone()).unwrap();
        assert_eq!(rule.check(), []);
        assert_eq!(serde_json::to_value(&rule).unwrap(), json);
    }

    #[test]
    fn each_mistake_is_named_with_its_field() {
        let bad = [
            (json!({"class": "transient"}), ": expected at least one of status, header, json, message and body"),
            (
                json!({"status": 400, "class": "invalid", "scope": "app"}),
                "scope: expected it only with class rate_limited or quota_exhausted",
            ),
            (json!({"status": 429, "class": "rate_limited", "scope": ""}), "scope: expected the id of a limit"),
            (
                json!({"status": 400, "class": "invalid", "lasts": "period"}),
                "lasts: expected it only with class rate_limited or quota_exhausted",
            ),
            (
                json!({"body": "html", "json": {"$.a": 1}, "class": "suspect"}),
                "json: expected it only with body: json, or without body",
            ),
            (
                json!({"status": 429, "class": "rate_limited", "until": {"last_item": "$.t"}}),
                "until: expected a JSONPath into the body or { header: Name }; a failure has no items",
            ),
        ];
        for (json, problem) in bad {
            let rule: ErrorRule = serde_json::from_value(json.clone()).unwrap();
            assert_eq!(rule.check().iter().map(ToString::to_string).collect::<Vec<_>>(), [problem], "{json}");
        }
    }

    #[test]
    fn what_can_not_be_read_is_refused_with_what_was_expected() {
        let table = [
            (json!({"status": 429}), "missing field `class`"),
            (json!({"status": 429, "class": "rate_limit"}), "unknown variant `rate_limit`, expected one of"),
            (json!({"stauts": 429, "class": "invalid"}), "unknown field `stauts`, expected one of"),
            (json!({"json": {"error.code": 1}, "class": "invalid"}), "expected a JSONPath such as `$.data.items[*]`"),
            (json!({"header": {"a b": "x"}, "class": "invalid"}), "expected the name of a header"),
            (json!({"message": "(", "class": "invalid"}), "expected a regular expression, found `(`"),
            (json!({"body": "xml", "class": "invalid"}), "unknown variant `xml`, expected one of"),
        ];
        for (json, error) in table {
            let found = serde_json::from_value::<ErrorRule>(json).unwrap_err().to_string();
            assert!(found.starts_with(error), "{found}");
        }
    }

    #[test]
    fn the_schema_describes_every_field() {
        let schema = schemars::schema_for!(ErrorRule);
        let fields = schema.as_value()["properties"].as_object().unwrap();
        assert_eq!(fields.len(), 10);
        for (name, field) in fields {
            assert!(field.get("description").is_some(), "{name}: {field}");
        }
        assert_eq!(schema.as_value()["additionalProperties"], false);
    }
}
