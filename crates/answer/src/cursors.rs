//! Several cursors as one: the query parameters of the next page, kept with its pointer as a JSON object of texts.

use std::collections::BTreeMap;

use serde_json::Value;

/// The object in `json`, as it is kept: sorted, its values as texts. `Some(None)` where nothing is to be asked for.
///
/// `None`: it is no object of texts, numbers and truth values.
pub(crate) fn keep(json: &str) -> Option<Option<String>> {
    let fields: Option<BTreeMap<String, Value>> = serde_json::from_str(json).ok()?;
    let text = |value| match value {
        Value::String(text) => Some(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(is) => Some(is.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    };
    let fields = fields.unwrap_or_default().into_iter().map(|(name, value)| Some((name, text(value)?)));
    let fields: BTreeMap<String, String> = fields.collect::<Option<_>>()?;
    Some(if fields.is_empty() { None } else { serde_json::to_string(&fields).ok() })
}

/// Names and values of what [`keep`] kept; of anything else none.
pub(crate) fn read(kept: &str) -> Vec<(String, String)> {
    serde_json::from_str::<BTreeMap<String, String>>(kept).unwrap_or_default().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_kept_with_all_of_its_fields_and_nothing_else_is() {
        let kept = keep(r#"{ "gapcontinue": "Tide\"s", "continue": "gap||", "n": 7 }"#).flatten();
        assert_eq!(kept.as_deref(), Some(r#"{"continue":"gap||","gapcontinue":"Tide\"s","n":"7"}"#));
        let read = read(&kept.unwrap_or_default());
        let expected = [("continue", "gap||"), ("gapcontinue", "Tide\"s"), ("n", "7")];
        assert_eq!(read, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!((keep("{}"), keep("null")), (Some(None), Some(None)));
        for other in [r#""text""#, "[1]", "7", r#"{ "a": { "b": 1 } }"#, r#"{ "a": null }"#] {
            assert_eq!(keep(other), None, "{other}");
        }
    }
}
