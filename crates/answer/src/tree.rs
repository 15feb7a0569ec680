//! A decoded document whose values keep the text they were written in.
//!
//! JSONPath needs something to walk in; `serde_json::Value` would lose how numbers were written.

use std::borrow::Cow;

use jsonpath_rust::query::queryable::Queryable;

use crate::raw::{self, DEPTH_MAX};
use crate::unreadable::{Unreadable, not_json};

/// A value and the text it was written in.
#[derive(Debug, Clone, Default)]
pub(crate) struct Node<'b> {
    /// Empty for what JSONPath makes itself, such as a literal in a filter.
    raw: &'b str,
    value: Value<'b>,
}

#[derive(Debug, Clone, Default)]
enum Value<'b> {
    #[default]
    Null,
    Bool(bool),
    Number {
        /// If it is a whole number of 64 bits.
        whole: Option<i64>,
        float: f64,
    },
    Text(Cow<'b, str>),
    List(Vec<Node<'b>>),
    /// In the order they were written, what is there twice included.
    Object(Vec<(Cow<'b, str>, Node<'b>)>),
}

impl<'b> Node<'b> {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// It is not JSON, breaks off, or nests too deeply.
    pub(crate) fn read(text: &'b str) -> Result<Self, Unreadable> {
        // Neither of the two recurses, so the building below is safe to.
        serde_json::from_str::<serde::de::IgnoredAny>(text).map_err(|error| not_json(text, &error))?;
        if raw::is_deeper(text, DEPTH_MAX) {
            return Err(Unreadable::TooDeep);
        }
        let mut builder = Builder { text, at: 0 };
        Ok(builder.node())
    }

    /// The text it was written in.
    pub(crate) fn raw(&self) -> &'b str {
        self.raw
    }

    pub(crate) fn is_list(&self) -> bool {
        matches!(self.value, Value::List(_))
    }

    pub(crate) fn is_object(&self) -> bool {
        matches!(self.value, Value::Object(_))
    }

    pub(crate) fn is_null(&self) -> bool {
        matches!(self.value, Value::Null)
    }

    /// The elements of a list; none of anything else.
    pub(crate) fn elements(&self) -> &[Self] {
        match &self.value {
            Value::List(elements) => elements,
            _ => &[],
        }
    }
}

/// Builds from text that is known to be JSON: so it need not tell apart what else could stand there.
struct Builder<'b> {
    text: &'b str,
    at: usize,
}

impl<'b> Builder<'b> {
    fn node(&mut self) -> Node<'b> {
        let from = {
            self.skip_space();
            self.at
        };
        let value = match self.byte() {
            b'{' => self.object(),
            b'[' => self.list(),
            b'"' => Value::Text(raw::decoded(self.string())),
            _ => scalar(self.word()),
        };
        Node { raw: self.text.get(from..self.at).unwrap_or_default(), value }
    }

    fn object(&mut self) -> Value<'b> {
        let mut fields = Vec::new();
        while self.enter_next(b'}') {
            let name = raw::decoded(self.string());
            self.skip_space();
            self.at += 1;
            fields.push((name, self.node()));
        }
        Value::Object(fields)
    }

    fn list(&mut self) -> Value<'b> {
        let mut elements = Vec::new();
        while self.enter_next(b']') {
            elements.push(self.node());
        }
        Value::List(elements)
    }

    /// Goes past the opening bracket or comma to the next entry; past the end, and `false`, if there is none.
    fn enter_next(&mut self, end: u8) -> bool {
        self.skip_space();
        if self.byte() != end {
            self.at += 1;
            self.skip_space();
        }
        let more = self.byte() != end && self.at < self.text.len();
        self.at += usize::from(!more);
        more
    }

    fn string(&mut self) -> &'b str {
        let from = self.at;
        self.at += 1;
        while self.at < self.text.len() && self.byte() != b'"' {
            self.at += if self.byte() == b'\\' { 2 } else { 1 };
        }
        self.at += 1;
        self.text.get(from..self.at).unwrap_or_default()
    }

    fn word(&mut self) -> &'b str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest.find([',', ']', '}', ' ', '\t', '\n', '\r']).unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    fn skip_space(&mut self) {
        while matches!(self.byte(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    fn byte(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or_default()
    }
}

fn scalar(word: &str) -> Value<'_> {
    match word {
        "true" => Value::Bool(true),
        "false" => Value::Bool(false),
        "null" => Value::Null,
        number => Value::Number { whole: number.parse().ok(), float: number.parse().unwrap_or(f64::NAN) },
    }
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        match (&self.value, &other.value) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(one), Value::Bool(two)) => one == two,
            (Value::Number { whole: Some(one), .. }, Value::Number { whole: Some(two), .. }) => one == two,
            (Value::Number { float: one, .. }, Value::Number { float: two, .. }) => one == two,
            (Value::Text(one), Value::Text(two)) => one == two,
            (Value::List(one), Value::List(two)) => one == two,
            (Value::Object(one), Value::Object(two)) => {
                one.len() == two.len() && one.iter().all(|(name, value)| other.get(name) == Some(value))
            }
            _ => false,
        }
    }
}

impl Queryable for Node<'_> {
    /// Of a name that is there twice, the last value counts, as in most decoders.
    fn get(&self, key: &str) -> Option<&Self> {
        match &self.value {
            Value::Object(fields) => fields.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    fn as_array(&self) -> Option<&Vec<Self>> {
        match &self.value {
            Value::List(elements) => Some(elements),
            _ => None,
        }
    }

    fn as_object(&self) -> Option<Vec<(&str, &Self)>> {
        match &self.value {
            Value::Object(fields) => Some(fields.iter().map(|(name, value)| (name.as_ref(), value)).collect()),
            _ => None,
        }
    }

    fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    fn as_i64(&self) -> Option<i64> {
        match self.value {
            Value::Number { whole, .. } => whole,
            _ => None,
        }
    }

    fn as_f64(&self) -> Option<f64> {
        match self.value {
            Value::Number { float, .. } => Some(float),
            _ => None,
        }
    }

    fn as_bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(yes) => Some(yes),
            _ => None,
        }
    }

    fn null() -> Self {
        Self::default()
    }
}

impl<'b> From<Value<'b>> for Node<'b> {
    fn from(value: Value<'b>) -> Self {
        Self { raw: "", value }
    }
}

impl From<&str> for Node<'_> {
    fn from(text: &str) -> Self {
        Value::Text(Cow::Owned(text.to_owned())).into()
    }
}

impl From<String> for Node<'_> {
    fn from(text: String) -> Self {
        Value::Text(Cow::Owned(text)).into()
    }
}

impl From<bool> for Node<'_> {
    fn from(yes: bool) -> Self {
        Value::Bool(yes).into()
    }
}

impl From<i64> for Node<'_> {
    fn from(whole: i64) -> Self {
        // Precision: as JSONPath compares numbers, by their 64-bit floating point values.
        Value::Number { whole: Some(whole), float: whole as f64 }.into()
    }
}

impl From<f64> for Node<'_> {
    fn from(float: f64) -> Self {
        Value::Number { whole: None, float }.into()
    }
}

impl From<Vec<Self>> for Node<'_> {
    fn from(elements: Vec<Self>) -> Self {
        Value::List(elements).into()
    }
}
