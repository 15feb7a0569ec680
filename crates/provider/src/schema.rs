//! JSON Schemas (draft 2020-12) of provider files and job files, for editors and for error messages.

use std::sync::LazyLock;

use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema};
use serde_json::Value;

use crate::file::{JobFile, ProviderFile};

/// The schema of provider files.
#[must_use]
pub fn provider_schema() -> Schema {
    publish::<ProviderFile>("provider", "Tidegate provider file")
}

/// The schema of job files.
#[must_use]
pub fn job_schema() -> Schema {
    publish::<JobFile>("job", "Tidegate job file")
}

pub(crate) fn provider() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| provider_schema().to_value());
    &SCHEMA
}

pub(crate) fn job() -> &'static Value {
    static SCHEMA: LazyLock<Value> = LazyLock::new(|| job_schema().to_value());
    &SCHEMA
}

fn publish<T: JsonSchema>(name: &str, title: &str) -> Schema {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    schema.insert("$id".to_owned(), format!("urn:tidegate:schema:{name}:1").into());
    schema.insert("title".to_owned(), title.into());
    schema
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn published_schemas_are_those_of_this_build() {
        for (name, schema) in [("provider", provider_schema()), ("job", job_schema())] {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("../../schemas/{name}.schema.json"));
            let published = std::fs::read_to_string(path).unwrap();
            let built = serde_json::to_string_pretty(&schema).unwrap() + "\n";
            assert!(published == built, "schemas/ is out of date: cargo run -p tidegate-provider --example schemas");
        }
    }

    #[test]
    fn every_field_is_described() {
        fn undescribed(schema: &Value, at: &str, found: &mut Vec<String>) {
            for (name, property) in schema.get("properties").and_then(Value::as_object).into_iter().flatten() {
                let tag = schema["required"] == serde_json::json!([name]) && schema.get("description").is_some();
                if property.get("description").is_none() && !tag {
                    found.push(format!("{at}.{name}"));
                }
            }
            let inner = schema.as_object().into_iter().flatten();
            let lists = inner
                .clone()
                .flat_map(|(name, value)| value.as_array().into_iter().flatten().map(move |value| (name, value)));
            for (name, value) in inner.chain(lists).filter(|(_, value)| value.is_object()) {
                undescribed(value, &format!("{at}.{name}"), found);
            }
        }
        let mut found = Vec::new();
        undescribed(provider(), "provider", &mut found);
        undescribed(job(), "job", &mut found);
        assert_eq!(found, Vec::<String>::new());
    }
}
