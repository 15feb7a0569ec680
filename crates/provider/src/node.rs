//! A YAML or JSON text as a tree that knows where everything stands.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Number, Value};
use serde_saphyr::{Options, Spanned};

use crate::problem::{FieldPath, Segment};

/// Largest file read, in bytes.
pub const FILE_MAX_BYTES: usize = 1024 * 1024;
/// Most values in a file, what aliases repeat included.
const VALUES_MAX: usize = 100_000;
/// Most aliases (`*name`) in a file.
const ALIASES_MAX: usize = 1_000;
/// Deepest nesting of lists and maps.
const DEPTH_MAX: usize = 48;

/// A value and where it begins, both from 1.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) tree: Tree,
}

#[derive(Debug, Clone)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

impl Tree {
    pub(crate) fn is_scalar(&self) -> bool {
        !matches!(self, Self::List(_) | Self::Map(_))
    }
}

/// A name and its value in a map.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) line: u32,
    pub(crate) column: u32,
    pub(crate) value: Node,
}

/// Reads YAML or JSON.
pub(crate) fn read(text: &str) -> Result<Node, serde_saphyr::Error> {
    // JSON may be indented by tabs, which YAML forbids; a string in JSON holds none as such, so columns stay right.
    let spaced = text.trim_start().starts_with('{').then(|| text.replace('\t', " "));
    serde_saphyr::from_str_with_options(spaced.as_deref().unwrap_or(text), options())
}

fn options() -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_documents: 1,
            max_nodes: VALUES_MAX,
            max_events: 4 * VALUES_MAX,
            max_aliases: ALIASES_MAX,
            max_anchors: ALIASES_MAX,
            max_depth: DEPTH_MAX,
            max_total_scalar_bytes: 4 * FILE_MAX_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: VALUES_MAX },
        strict_booleans: true,
        leading_zero_numbers_as_strings: true,
        underscored_numbers_as_strings: true,
        with_snippet: false,
    }
}

pub(crate) fn small(position: u64) -> u32 {
    u32::try_from(position).unwrap_or(u32::MAX)
}

impl Node {
    pub(crate) fn to_json(&self) -> Value {
        match &self.tree {
            Tree::Null => Value::Null,
            Tree::Bool(value) => Value::Bool(*value),
            Tree::Number(value) => Value::Number(value.clone()),
            Tree::Text(value) => Value::String(value.clone()),
            Tree::List(nodes) => Value::Array(nodes.iter().map(Self::to_json).collect()),
            Tree::Map(entries) => {
                Value::Object(entries.iter().map(|entry| (entry.key.clone(), entry.value.to_json())).collect())
            }
        }
    }

    /// What stands at `path`.
    pub(crate) fn at(&self, path: &FieldPath) -> Option<&Self> {
        path.segments().iter().try_fold(self, |node, segment| match (segment, &node.tree) {
            (Segment::Key(key), Tree::Map(entries)) => {
                entries.iter().find(|entry| entry.key == *key).map(|entry| &entry.value)
            }
            (Segment::Index(index), Tree::List(nodes)) => nodes.get(*index),
            _ => None,
        })
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Tree>::deserialize(deserializer)?;
        let at = spanned.referenced;
        Ok(Self { line: small(at.line()), column: small(at.column()), tree: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text, a number, true or false, a list or a map")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_none<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        Tree::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Tree, E> {
        // Above that a parameter would be read as a float, and lose digits.
        i64::try_from(value).map(|value| Tree::Number(value.into())).map_err(|_| {
            E::custom(format_args!("expected a number up to {}, or text in quotes, found {value}", i64::MAX))
        })
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Tree, E> {
        Number::from_f64(value).map(Tree::Number).ok_or_else(|| E::custom("expected a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut nodes = Vec::new();
        while let Some(node) = seq.next_element()? {
            nodes.push(node);
        }
        Ok(Tree::List(nodes))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = map.next_key::<Spanned<String>>()? {
            let (line, column) = (small(key.referenced.line()), small(key.referenced.column()));
            entries.push(Entry { key: key.value, line, column, value: map.next_value()? });
        }
        Ok(Tree::Map(entries))
    }
}
