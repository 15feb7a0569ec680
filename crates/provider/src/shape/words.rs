//! What a schema wants and what was found instead, in words.

use serde_json::Value;

use super::Shape;
use super::keyword::{admits, constants, is_null, kinds, list};
use crate::node::Tree;
use crate::problem::{FieldPath, choices};

/// Longest piece of a file shown in an error, in characters.
const FOUND_MAX_CHARS: usize = 40;

impl<'a> Shape<'a> {
    pub(super) fn mismatch(&self, schema: &'a Value, found: &Tree, path: &FieldPath) -> String {
        let resolved = self.resolved(schema);
        let unquoted = match found {
            Tree::Number(number) => Some(number.to_string()),
            Tree::Bool(truth) => Some(truth.to_string()),
            _ => None,
        };
        let quoted = unquoted.filter(|_| kinds(resolved).contains(&"string")).map(Tree::Text);
        let hint = quoted.is_some_and(|text| admits(resolved, &text) && self.scalar_fits(resolved, &text));
        mismatch(&self.expected(schema, found), found, path) + if hint { " (put it in quotes)" } else { "" }
    }

    /// What a schema wants, in words.
    fn expected(&self, schema: &'a Value, found: &Tree) -> String {
        let schema = self.resolved(schema);
        let text = |keyword| schema.get(keyword).and_then(Value::as_str);
        if let Some(values) = constants(schema) {
            return self.one_of(&values, found);
        }
        if let Some(title) = text("title").filter(|_| schema != self.root) {
            return title.to_owned();
        }
        let alternatives: Vec<_> = ["oneOf", "anyOf"]
            .into_iter()
            .flat_map(|keyword| list(schema, keyword))
            .map(|one| self.resolved(one))
            .collect();
        if !alternatives.is_empty() && schema.get("type").is_none() {
            return self.expected_of(&alternatives, found);
        }
        match kinds(schema).into_iter().find(|kind| *kind != "null") {
            Some("integer") => format!("a whole number{}", range(schema)),
            Some("number") => format!("a number{}", range(schema)),
            Some("boolean") => "true or false".to_owned(),
            Some("array") => "a list".to_owned(),
            Some("object") => "a map".to_owned(),
            Some("string") => text("pattern").map_or("text".to_owned(), |pattern| format!("text matching {pattern}")),
            _ => "something else".to_owned(),
        }
    }

    pub(super) fn expected_of(&self, all: &[&'a Value], found: &Tree) -> String {
        let named: Vec<&str> = all.iter().filter_map(|one| constants(one)).flatten().collect();
        let others = all.iter().filter(|one| !is_null(one) && constants(one).is_none());
        let mut wanted: Vec<String> = others.map(|one| self.expected(one, found)).collect();
        if !named.is_empty() {
            wanted.insert(0, self.one_of(&named, found));
        }
        if wanted.iter().any(|one| one == "a number") {
            wanted.retain(|one| one != "a whole number");
        }
        wanted.dedup();
        wanted.join(" or ")
    }

    fn one_of(&self, values: &[&str], found: &Tree) -> String {
        choices(if let Tree::Text(text) = found { text } else { "" }, values.iter().copied())
    }
}

pub(super) fn mismatch(expected: &str, found: &Tree, path: &FieldPath) -> String {
    let found = describe(found, path);
    // A suggestion ends the sentence, so what was found goes before it.
    match expected.split_once("; ") {
        Some((expected, suggestion)) => format!("expected {expected}, found {found}; {suggestion}"),
        None => format!("expected {expected}, found {found}"),
    }
}

/// What was found at `path`, in words.
pub(crate) fn describe(found: &Tree, path: &FieldPath) -> String {
    match found {
        Tree::Text(_) if path.may_hold_secret() => "text".to_owned(),
        Tree::Number(_) if path.may_hold_secret() => "a number".to_owned(),
        Tree::Null => "nothing".to_owned(),
        Tree::Bool(value) => value.to_string(),
        Tree::Number(value) => value.to_string(),
        Tree::Text(value) if value.chars().count() > FOUND_MAX_CHARS => {
            format!("{:?}…", value.chars().take(FOUND_MAX_CHARS).collect::<String>())
        }
        Tree::Text(value) => format!("{value:?}"),
        Tree::List(_) => "a list".to_owned(),
        Tree::Map(_) => "a map".to_owned(),
    }
}

fn range(schema: &Value) -> String {
    let bound = |keyword| schema.get(keyword).filter(|bound| bound.is_number());
    match (bound("minimum"), bound("exclusiveMinimum"), bound("maximum")) {
        // What an integer type can hold is no news.
        (Some(min), _, Some(max)) if max.as_u64().is_none_or(|max| max < u64::from(u32::MAX)) => {
            format!(" from {min} to {max}")
        }
        // So does what it can't.
        (Some(min), ..) if min.as_u64() == Some(0) => String::new(),
        (Some(min), ..) => format!(" from {min}"),
        (None, Some(min), _) => format!(" above {min}"),
        (None, None, Some(max)) => format!(" up to {max}"),
        _ => String::new(),
    }
}
