//! Which columns a table has and of which types, found in the first items.

use std::collections::HashMap;

use serde_json::value::RawValue;
use tidegate_formats::{COLUMNS_MAX, Columns, Fields};

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// `true` and `false`.
    Bool,
    /// Whole numbers of 64 bits.
    Int,
    /// Numbers, as near as 64 bits come to them.
    Double,
    /// Texts.
    Text,
    /// Anything: JSON text.
    Json,
}

/// The columns of a table. The same for all parts of a step.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    pub(crate) names: Vec<String>,
    pub(crate) kinds: Vec<Kind>,
    places: HashMap<String, usize>,
    asked: Option<Columns>,
}

/// A value as its column has it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Double(f64),
    Text(String),
}

impl Schema {
    /// Of these items, which may be none; of these columns only, where they were asked for.
    pub(crate) fn of<'a>(items: impl Iterator<Item = &'a [u8]>, asked: Option<Columns>) -> Self {
        let mut schema = Self { names: Vec::new(), kinds: Vec::new(), places: HashMap::new(), asked };
        schema.names.extend(schema.asked.iter().flat_map(Columns::names).map(str::to_owned));
        let mut found: Vec<Option<Kind>> = vec![None; schema.names.len()];
        for item in items {
            let fields = Fields::of(item);
            if let Some(asked) = &schema.asked {
                asked.values(&fields).zip(&mut found).for_each(|(value, kind)| widen(kind, value));
                continue;
            }
            for (name, value) in fields.iter() {
                let place = match schema.places.get(name) {
                    Some(place) => *place,
                    // Parquet has no two columns whose names differ in nothing; `_rest` is ours.
                    None if schema.names.len() < COLUMNS_MAX && name != crate::table::REST => {
                        schema.places.insert(name.to_owned(), schema.names.len());
                        schema.names.push(name.to_owned());
                        found.push(None);
                        schema.names.len() - 1
                    }
                    None => continue,
                };
                widen(&mut found[place], Some(value));
            }
        }
        // Nothing but null tells nothing.
        schema.kinds = found.into_iter().map(|kind| kind.unwrap_or(Kind::Json)).collect();
        schema
    }

    /// An item's values, and a JSON object of what has no column, or does not fit it.
    pub(crate) fn row(&self, item: &[u8]) -> (Vec<Value>, Option<String>) {
        let fields = Fields::of(item);
        let mut rest = String::new();
        let mut keep = |name: &str, value: &RawValue| {
            rest.push(if rest.is_empty() { '{' } else { ',' });
            rest.push_str(&serde_json::Value::from(name).to_string());
            rest.push(':');
            rest.push_str(value.get());
        };
        let mut row = vec![Value::Null; self.names.len()];
        if let Some(asked) = &self.asked {
            for (place, value) in asked.values(&fields).enumerate() {
                let Some(value) = value else { continue };
                match fit(self.kinds[place], value) {
                    Some(fits) => row[place] = fits,
                    None => keep(&self.names[place], value),
                }
            }
        } else {
            for (name, value) in fields.iter() {
                let place = self.places.get(name);
                match place.and_then(|place| fit(self.kinds[*place], value).map(|fits| (*place, fits))) {
                    Some((place, fits)) => row[place] = fits,
                    None => keep(name, value),
                }
            }
        }
        let rest = (!rest.is_empty()).then(|| rest + "}");
        (row, rest)
    }
}

/// The kind that has room for one more value.
fn widen(kind: &mut Option<Kind>, value: Option<&RawValue>) {
    let Some(more) = value.and_then(kind_of) else { return };
    *kind = Some(match (*kind, more) {
        (None, more) => more,
        (Some(known), more) if known == more => known,
        (Some(Kind::Int | Kind::Double), Kind::Int | Kind::Double) => Kind::Double,
        _ => Kind::Json,
    });
}

/// `None`: null, which every kind has room for.
fn kind_of(value: &RawValue) -> Option<Kind> {
    let text = value.get();
    Some(match text.as_bytes().first()? {
        b'n' => return None,
        b't' | b'f' => Kind::Bool,
        b'"' => Kind::Text,
        b'{' | b'[' => Kind::Json,
        _ if text.parse::<i64>().is_ok() => Kind::Int,
        // A whole number with more digits would lose some.
        _ if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-') => Kind::Json,
        _ => Kind::Double,
    })
}

/// The value as a column of this kind has it, if it fits without loss.
fn fit(kind: Kind, value: &RawValue) -> Option<Value> {
    let Some(found) = kind_of(value) else { return Some(Value::Null) };
    let text = value.get();
    match (kind, found) {
        (Kind::Json, _) => Some(Value::Text(text.to_owned())),
        (Kind::Bool, Kind::Bool) => Some(Value::Bool(text == "true")),
        (Kind::Int, Kind::Int) => text.parse().ok().map(Value::Int),
        (Kind::Double, Kind::Double) => text.parse().ok().filter(|number: &f64| number.is_finite()).map(Value::Double),
        (Kind::Double, Kind::Int) => {
            let whole: i64 = text.parse().ok()?;
            // Up to 2^53 each whole number is a double.
            (whole.unsigned_abs() <= 1 << 53).then_some(Value::Double(whole as f64))
        }
        (Kind::Text, Kind::Text) => Some(Value::Text(tidegate_formats::text(value).into_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(items: &[&str]) -> Schema {
        Schema::of(items.iter().map(|item| item.as_bytes()), None)
    }

    #[test]
    fn a_column_has_the_narrowest_type_that_its_values_fit() {
        let schema = of(&[
            r#"{"b":true,"i":1,"d":1,"t":"x","o":{"a":1},"m":1,"n":null,"big":18446744073709551615}"#,
            r#"{"b":null,"i":-7,"d":2.5,"t":"","o":null,"m":"x","n":null}"#,
        ]);
        assert_eq!(schema.names, ["b", "i", "d", "t", "o", "m", "n", "big"]);
        use Kind::{Bool, Double, Int, Json, Text};
        assert_eq!(schema.kinds, [Bool, Int, Double, Text, Json, Json, Json, Json]);
    }

    #[test]
    fn what_has_no_column_or_does_not_fit_it_is_kept_beside() {
        let schema = of(&[r#"{"i":1,"t":"x","d":0.5}"#]);
        let (row, rest) = schema.row(br#"{"i":"one","t":"\u00e9","d":9007199254740993,"new":[1.10]}"#);
        assert_eq!(row, [Value::Null, Value::Text("é".into()), Value::Null]);
        assert_eq!(rest.as_deref(), Some(r#"{"i":"one","d":9007199254740993,"new":[1.10]}"#));
        let (row, rest) = schema.row(br#"{"d":3,"i":null}"#);
        assert_eq!((row, rest), (vec![Value::Null, Value::Null, Value::Double(3.0)], None));
    }

    #[test]
    fn columns_that_are_asked_for_are_the_columns() {
        let asked = Columns::parse("a.b,none").unwrap();
        let schema = Schema::of([&br#"{"a":{"b":5},"x":1}"#[..]].into_iter(), Some(asked));
        assert_eq!((schema.names.len(), schema.kinds[0]), (2, Kind::Int));
        assert_eq!(schema.row(br#"{"a":{"b":6},"x":1}"#), (vec![Value::Int(6), Value::Null], None));
    }
}
