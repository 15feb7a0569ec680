//! Columns: which fields, in which order.

use serde_json::value::RawValue;

use crate::fields::Fields;

/// Most columns.
pub const COLUMNS_MAX: usize = 1_000;
/// Longest name of a column that is asked for, in bytes.
const NAME_MAX_BYTES: usize = 500;

/// Columns that were asked for: names of fields, or ways to fields within fields (`author.id`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns(Vec<String>);

/// Columns that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ColumnsError {
    /// Nothing between two commas.
    #[error("expected names of fields, such as id,author.id; found an empty one")]
    Empty,
    /// A name twice.
    #[error("{0} is named twice")]
    Twice(String),
    /// Longer than any field's name is.
    #[error("expected names of at most {NAME_MAX_BYTES} bytes")]
    Long,
    /// Too many of them.
    #[error("expected at most {COLUMNS_MAX} columns, found {0}")]
    Many(usize),
}

impl Columns {
    /// Out of a list such as `id,name,author.id`.
    ///
    /// # Errors
    /// [`ColumnsError`].
    pub fn parse(text: &str) -> Result<Self, ColumnsError> {
        let mut names: Vec<String> = Vec::new();
        for name in text.split(',').map(str::trim) {
            if name.is_empty() {
                return Err(ColumnsError::Empty);
            }
            if name.len() > NAME_MAX_BYTES {
                return Err(ColumnsError::Long);
            }
            if names.iter().any(|known| known == name) {
                return Err(ColumnsError::Twice(name.to_owned()));
            }
            names.push(name.to_owned());
            if names.len() > COLUMNS_MAX {
                return Err(ColumnsError::Many(text.split(',').count()));
            }
        }
        Ok(Self(names))
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// Each column's value of an item. A field whose own name has dots comes before a way of that name.
    pub fn values<'a>(&self, fields: &Fields<'a>) -> impl Iterator<Item = Option<&'a RawValue>> {
        self.0.iter().map(|name| find(fields, name))
    }
}

/// A way may be as long as its name is: that is its limit.
fn find<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a RawValue> {
    if let Some(value) = fields.get(name) {
        return Some(value);
    }
    let mut split = 0;
    loop {
        split += name.get(split..)?.find('.')?;
        if let Some(inner) = fields.get(&name[..split]).filter(|value| value.get().starts_with('{')) {
            return find(&Fields::of(inner.get().as_bytes()), &name[split + 1..]);
        }
        split += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_column_is_a_field_or_a_field_within() {
        let item = br#"{"id":1,"author":{"id":"x","home":{"city":"Ulm"}},"a.b":2,"a":{"b":3,"c":4},"list":[{"id":5}]}"#;
        let columns = Columns::parse("id, author.id,author.home.city,a.b,a.c,author.none,list.id,none").unwrap();
        let fields = Fields::of(item);
        let values: Vec<_> = columns.values(&fields).map(|value| value.map_or("-", RawValue::get)).collect();
        assert_eq!(values, ["1", "\"x\"", "\"Ulm\"", "2", "4", "-", "-", "-"]);
    }

    #[test]
    fn columns_that_cannot_be_are_refused() {
        assert_eq!(Columns::parse(""), Err(ColumnsError::Empty));
        assert_eq!(Columns::parse("a,,b"), Err(ColumnsError::Empty));
        assert_eq!(Columns::parse("a,b,a"), Err(ColumnsError::Twice("a".to_owned())));
        assert_eq!(Columns::parse(&"x".repeat(501)), Err(ColumnsError::Long));
        let many = (0..=COLUMNS_MAX).map(|n| n.to_string()).collect::<Vec<_>>().join(",");
        assert_eq!(Columns::parse(&many), Err(ColumnsError::Many(COLUMNS_MAX + 1)));
    }
}
