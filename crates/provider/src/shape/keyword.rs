//! Keywords of JSON Schema, read from a schema.

use serde_json::{Map, Value};

use crate::node::Tree;

/// Whether the schema's `type` and constants allow a value of this kind.
pub(super) fn admits(schema: &Value, tree: &Tree) -> bool {
    let kinds = kinds(schema);
    let of_kind = kinds.is_empty()
        || kinds.iter().any(|kind| match tree {
            Tree::Null => *kind == "null",
            Tree::Bool(_) => *kind == "boolean",
            Tree::Number(number) => *kind == "number" || (*kind == "integer" && !number.is_f64()),
            Tree::Text(_) => *kind == "string",
            Tree::List(_) => *kind == "array",
            Tree::Map(_) => *kind == "object",
        });
    let constant = |value: &Value| match tree {
        Tree::Text(text) => value == text,
        Tree::Number(number) => value.as_f64() == number.as_f64(),
        Tree::Bool(truth) => value == truth,
        Tree::Null => value.is_null(),
        _ => false,
    };
    of_kind
        && schema.get("const").is_none_or(constant)
        && schema.get("enum").and_then(Value::as_array).is_none_or(|values| values.iter().any(constant))
}

/// The one field that tells an alternative from the others.
pub(super) fn tag(schema: &Value) -> Option<&str> {
    match list(schema, "required") {
        [Value::String(name)] => Some(name),
        _ => None,
    }
}

pub(super) fn constants(schema: &Value) -> Option<Vec<&str>> {
    let all = schema.get("const").into_iter().chain(list(schema, "enum"));
    let texts: Vec<&str> = all.filter_map(Value::as_str).collect();
    (!texts.is_empty()).then_some(texts)
}

pub(super) fn is_null(schema: &Value) -> bool {
    kinds(schema) == ["null"]
}

pub(super) fn kinds(schema: &Value) -> Vec<&str> {
    match schema.get("type") {
        Some(Value::String(kind)) => vec![kind],
        Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

pub(super) fn list<'a>(schema: &'a Value, keyword: &str) -> &'a [Value] {
    schema.get(keyword).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

pub(super) fn object<'a>(schema: &'a Value, keyword: &str) -> Option<&'a Map<String, Value>> {
    schema.get(keyword).and_then(Value::as_object)
}

pub(super) fn is_closed(schema: &Value) -> bool {
    ["additionalProperties", "unevaluatedProperties"]
        .iter()
        .any(|keyword| schema.get(keyword) == Some(&Value::Bool(false)))
}
