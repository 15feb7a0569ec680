//! The fields of an item, as they were written.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The name that an item has which is no object.
const VALUE: &str = "value";

/// Names and values of an item, in its order; of a name that comes twice, the last counts.
#[derive(Debug, Default)]
pub struct Fields<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

#[derive(Deserialize, PartialEq, Eq)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Fields<'a> {
    /// The fields of an item; one that is no object is the field `value`. What is no JSON, which no store holds, has none.
    #[must_use]
    pub fn of(item: &'a [u8]) -> Self {
        if item.trim_ascii_start().first() == Some(&b'{') {
            return serde_json::from_slice(item).unwrap_or_default();
        }
        let value = serde_json::from_slice::<&RawValue>(item);
        Self(value.into_iter().map(|value| (Cow::Borrowed(VALUE), value)).collect())
    }

    /// Each field.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.0.iter().map(|(name, value)| (&**name, *value))
    }

    /// The field of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&'a RawValue> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| *value)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reading;
        impl<'de> Visitor<'de> for Reading {
            type Value = Fields<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut fields: Vec<(Cow<'de, str>, &'de RawValue)> = Vec::new();
                while let Some(Name(name)) = map.next_key::<Name<'de>>()? {
                    fields.push((name, map.next_value().map_err(A::Error::custom)?));
                }
                Ok(Fields(fields))
            }
        }
        deserializer.deserialize_map(Reading)
    }
}

/// What a value says, for a reader who knows no JSON: a text without its quotes, nothing for `null`, anything else as it
/// was written.
#[must_use]
pub fn text(value: &RawValue) -> Cow<'_, str> {
    match value.get() {
        "null" => Cow::Borrowed(""),
        text if text.starts_with('"') => serde_json::from_str(text).map_or(Cow::Borrowed(text), |Name(text)| text),
        other => Cow::Borrowed(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_as_they_were_written() {
        let fields = Fields::of(
            br#" {"a": 1.10, "b\"\u00e9": "x\ny", "c": {"d" : [1, 2]}, "n": null, "a": 12345678901234567890123} "#,
        );
        let all: Vec<_> = fields.iter().map(|(name, value)| (name, value.get())).collect();
        assert_eq!(all[0], ("a", "1.10"));
        assert_eq!(all[1], ("b\"é", r#""x\ny""#));
        assert_eq!(all[2], ("c", r#"{"d" : [1, 2]}"#));
        assert_eq!(fields.get("a").map(RawValue::get), Some("12345678901234567890123"));
        assert_eq!(fields.get("b\"é").map(text).as_deref(), Some("x\ny"));
        assert_eq!(fields.get("n").map(text).as_deref(), Some(""));
        assert_eq!(fields.get("z").map(RawValue::get), None);
        assert_eq!(Fields::of(b"[1]").get("value").map(RawValue::get), Some("[1]"));
    }
}
