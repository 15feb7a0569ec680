//! A JSON Schema as tables.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::{cell, text};

/// The fields of the file, then each definition.
pub(super) fn page(schema: &Value) -> String {
    let mut page = String::new();
    fields(&mut page, schema);
    for (name, definition) in schema["$defs"].as_object().into_iter().flatten() {
        // Writing to a String never fails.
        let _ = write!(page, "\n## {name}\n\n");
        definition_of(&mut page, definition);
    }
    page
}

/// What a definition is.
pub(super) fn definition_of(page: &mut String, definition: &Value) {
    for said in [text(definition, "description"), text(definition, "title")] {
        if !said.is_empty() {
            let _ = writeln!(page, "{}", sentence(said));
            break;
        }
    }
    if definition["properties"].is_object() {
        let _ = writeln!(page);
        fields(page, definition);
    }
    let alternatives: Vec<&Value> = alternatives(definition).filter(|one| !is_null(one)).collect();
    if !alternatives.is_empty() {
        let _ = writeln!(page);
    }
    for one in alternatives {
        let said = sentence(text(one, "description"));
        let _ = writeln!(page, "* {}{}{said}", kind(one), if said.is_empty() { "" } else { ": " });
        nested(page, one);
    }
}

/// Fields of the fields of an alternative that says more than their names.
fn nested(page: &mut String, alternative: &Value) {
    for (name, field) in alternative["properties"].as_object().into_iter().flatten() {
        for (inner, schema) in field["properties"].as_object().into_iter().flatten() {
            let said = sentence(text(schema, "description"));
            let _ = writeln!(page, "  * `{name}.{inner}`, {}: {said}", kind(schema));
        }
    }
}

fn fields(page: &mut String, of: &Value) {
    let required: Vec<&str> = of["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    let nothing = Map::new();
    let properties = of["properties"].as_object().unwrap_or(&nothing);
    let _ = writeln!(page, "| field | is | |\n| --- | --- | --- |");
    for (name, schema) in properties {
        let must = if required.contains(&name.as_str()) { " **must be there**" } else { "" };
        let unless = match &schema["default"] {
            Value::Null => String::new(),
            Value::Object(fields) if fields.is_empty() => String::new(),
            Value::Array(items) if items.is_empty() => String::new(),
            default => format!(" Unless said: `{default}`."),
        };
        let said = cell(&format!("{}{unless}", text(schema, "description")));
        let _ = writeln!(page, "| `{name}`{must} | {} | {said} |", cell(&kind(schema)));
    }
}

/// What a value is, in words.
pub(super) fn kind(schema: &Value) -> String {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return format!("[{name}](#{})", name.to_lowercase());
    }
    for exactly in [Some(&schema["const"]), schema["enum"].as_array().and_then(|values| values.first())] {
        if let Some(value) = exactly.filter(|value| !value.is_null()) {
            return format!("`{}`", value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned));
        }
    }
    let several: Vec<String> = alternatives(schema).filter(|one| !is_null(one)).map(kind).collect();
    if !several.is_empty() {
        return several.join(" or ");
    }
    let types: Vec<&str> = match &schema["type"] {
        Value::String(one) => vec![one],
        Value::Array(types) => types.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect(),
        _ => return "anything".to_owned(),
    };
    types.iter().map(|name| of_type(name, schema)).collect::<Vec<_>>().join(" or ")
}

fn of_type(name: &str, schema: &Value) -> String {
    match name {
        "string" => match schema["maxLength"].as_u64() {
            Some(max) => format!("text of at most {max} characters"),
            None => "text".to_owned(),
        },
        "integer" | "number" => {
            let what = if name == "integer" { "whole number" } else { "number" };
            match (schema.get("minimum"), schema.get("maximum")) {
                (Some(min), Some(max)) => format!("{what} from {min} to {max}"),
                (Some(min), None) if min.as_f64() != Some(0.0) => format!("{what} from {min}"),
                _ => what.to_owned(),
            }
        }
        "boolean" => "`true` or `false`".to_owned(),
        "array" => format!("list of {}", kind(&schema["items"])),
        "object" => match (&schema["properties"], &schema["additionalProperties"]) {
            (Value::Object(fields), _) => {
                let names: Vec<&str> = fields.keys().map(String::as_str).collect();
                format!("`{{ {} }}`", names.iter().map(|name| format!("{name}: …")).collect::<Vec<_>>().join(", "))
            }
            (_, values @ Value::Object(_)) => format!("by name: {}", kind(values)),
            _ => match schema["patternProperties"].as_object().and_then(|values| values.values().next()) {
                Some(values) => format!("by name: {}", kind(values)),
                None => "object".to_owned(),
            },
        },
        other => other.to_owned(),
    }
}

fn alternatives(schema: &Value) -> impl Iterator<Item = &Value> {
    ["oneOf", "anyOf"].into_iter().filter_map(|name| schema[name].as_array()).flatten()
}

fn is_null(schema: &Value) -> bool {
    schema["type"] == "null"
}

/// With a capital and a full stop.
fn sentence(said: &str) -> String {
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut chars = said.chars();
    let Some(first) = chars.next() else { return said };
    let end = if said.ends_with('.') { "" } else { "." };
    format!("{}{}{end}", first.to_uppercase(), chars.as_str())
}
