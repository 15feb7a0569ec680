//! JSONPath (RFC 9535), wrapped so that the crate behind it could be replaced.

use std::cmp::Ordering;
use std::fmt;

use jsonpath_rust::parser::model::{JpQuery, Segment, Selector};
use jsonpath_rust::parser::parse_json_path;
use jsonpath_rust::query::js_path_process;
use serde::{Deserialize, Serialize};

use crate::tree::Node;

/// Longest JSONPath accepted, in bytes.
pub const JSON_PATH_MAX_BYTES: usize = 512;

/// A JSONPath (RFC 9535), such as `$.meta.next` or `$.items[*]`.
///
/// At most one `..` per path: each one visits the whole document again for all that was found before it.
#[derive(Clone, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct JsonPath {
    text: String,
    query: JpQuery,
}

/// Why a text is no JSONPath that is accepted here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ParseJsonPathError {
    /// It is not one by RFC 9535.
    #[error("expected a JSONPath such as `$.data.items[*]`, found `{text}`")]
    Syntax {
        /// What was found.
        text: String,
    },
    /// It is longer than [`JSON_PATH_MAX_BYTES`].
    #[error("expected a JSONPath of at most {JSON_PATH_MAX_BYTES} bytes, found {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// It has more than one `..`.
    #[error("expected a JSONPath with at most one `..`, found `{text}`")]
    TooCostly {
        /// What was found.
        text: String,
    },
    /// It calls a function that RFC 9535 does not define.
    #[error("expected one of the functions length, count, match, search and value, found `{name}`")]
    UnknownFunction {
        /// The function.
        name: String,
    },
}

/// What a selection that found nothing means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Nothing {
    /// There is a list, and it is empty or all of it was filtered out.
    Blank,
    /// There is nothing where the path leads.
    Absent,
    /// There is something else than a list: this kind of thing.
    NotList(&'static str),
}

impl JsonPath {
    /// Reads a JSONPath.
    ///
    /// # Errors
    ///
    /// It is none, or one that is not accepted here; see [`ParseJsonPathError`].
    pub fn parse(text: &str) -> Result<Self, ParseJsonPathError> {
        if text.len() > JSON_PATH_MAX_BYTES {
            return Err(ParseJsonPathError::TooLong { bytes: text.len() });
        }
        let syntax = || ParseJsonPathError::Syntax { text: text.to_owned() };
        let query = parse_json_path(text).map_err(|_| syntax())?;
        let bare = without_texts(text);
        if has_split_name(&bare) {
            return Err(syntax());
        }
        if bare.matches("..").count() > 1 {
            return Err(ParseJsonPathError::TooCostly { text: text.to_owned() });
        }
        match functions(&bare).find(|name| !matches!(*name, "length" | "count" | "match" | "search" | "value")) {
            Some(name) => Err(ParseJsonPathError::UnknownFunction { name: name.to_owned() }),
            None => Ok(Self { text: text.to_owned(), query }),
        }
    }

    /// The path to the root's field `name`, which is a plain name such as `error`.
    pub(crate) fn of_name(name: &str) -> Self {
        Self { text: format!("$.{name}"), query: JpQuery::new(vec![Segment::name(name)]) }
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The names of a path of names only, and whether `[*]` ends it; the form that needs no tree.
    pub(crate) fn simple(&self) -> Option<(Vec<&str>, bool)> {
        let (names, each) = match self.query.segments.split_last() {
            Some((Segment::Selector(Selector::Wildcard), names)) => (names, true),
            _ => (self.query.segments.as_slice(), false),
        };
        let name = |segment| match segment {
            &Segment::Selector(Selector::Name(ref name)) => Some(name.as_str()),
            _ => None,
        };
        Some((names.iter().map(name).collect::<Option<_>>()?, each))
    }

    /// Selects at most one value, by names and indexes only.
    pub(crate) fn is_singular(&self) -> bool {
        let singular = |segment: &_| matches!(segment, Segment::Selector(Selector::Name(_) | Selector::Index(_)));
        self.query.segments.iter().all(singular)
    }

    /// The values it selects, in the document's order where RFC 9535 says so.
    pub(crate) fn select<'n, 'b>(&self, root: &'n Node<'b>) -> Vec<&'n Node<'b>> {
        select(&self.query, root)
    }

    /// Why it selects nothing: the first segment that finds nothing decides.
    pub(crate) fn nothing(&self, root: &Node<'_>) -> Nothing {
        let mut before = vec![root];
        for (place, segment) in self.query.segments.iter().enumerate() {
            let found = select(&JpQuery::new(self.query.segments[..=place].to_vec()), root);
            if found.is_empty() {
                return why_nothing(segment, &before);
            }
            before = found;
        }
        Nothing::Absent
    }
}

fn select<'n, 'b>(query: &JpQuery, root: &'n Node<'b>) -> Vec<&'n Node<'b>> {
    // The only error is a query that computes a value instead of selecting one, which the grammar rules out.
    js_path_process(query, root).map(|found| found.into_iter().map(|one| one.val).collect()).unwrap_or_default()
}

/// `[*]` over an object that is not empty always finds something; a filter or slice over one says nothing about
/// a list, so only lists and `null` are let through there.
fn why_nothing(segment: &Segment, before: &[&Node<'_>]) -> Nothing {
    let over_objects = match segment {
        Segment::Selector(Selector::Wildcard) => true,
        Segment::Selector(Selector::Filter(_) | Selector::Slice(..)) => false,
        _ => return Nothing::Absent,
    };
    let lists = |node: &&&Node<'_>| node.is_list() || node.is_null() || (over_objects && node.is_object());
    match before.iter().find(lists) {
        Some(_) => Nothing::Blank,
        None => before.first().map_or(Nothing::Absent, |node| Nothing::NotList(crate::raw::kind(node.raw()))),
    }
}

/// The path with its quoted texts emptied, so that what is left is syntax.
fn without_texts(path: &str) -> String {
    let mut bare = String::with_capacity(path.len());
    let mut quote = None;
    let mut escaped = false;
    for one in path.chars() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some(_) if one == '\\' => escaped = true,
            Some(open) if one == open => quote = None,
            Some(_) => {}
            None => {
                quote = matches!(one, '\'' | '"').then_some(one);
                bare.push(one);
            }
        }
    }
    bare
}

/// Whether only white space stands between two letters or digits. RFC 9535 has no place for that; the parser behind
/// this takes `$.a b` for the name `a b`.
fn has_split_name(bare: &str) -> bool {
    let in_name = |one: Option<char>| one.is_some_and(|one| one.is_alphanumeric() || one == '_' || !one.is_ascii());
    let words = || bare.split_ascii_whitespace();
    words().zip(words().skip(1)).any(|(one, two)| in_name(one.chars().next_back()) && in_name(two.chars().next()))
}

/// The names in front of opening parentheses.
fn functions(bare: &str) -> impl Iterator<Item = &str> {
    let in_name = |one: char| one.is_ascii_alphanumeric() || one == '_';
    bare.match_indices('(')
        .map(move |(at, _)| {
            let before = &bare[..at];
            &before[before.trim_end_matches(in_name).len()..]
        })
        .filter(|name| !name.is_empty())
}

impl TryFrom<String> for JsonPath {
    type Error = ParseJsonPathError;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<JsonPath> for String {
    fn from(path: JsonPath) -> Self {
        path.text
    }
}

impl std::str::FromStr for JsonPath {
    type Err = ParseJsonPathError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for JsonPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonPath({})", self.text)
    }
}

impl PartialEq for JsonPath {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for JsonPath {}

impl PartialOrd for JsonPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for JsonPath {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_made_of_names_are_simple() {
        let names = |names: &[&'static str], each| Some((names.to_vec(), each));
        let table = [
            ("$", names(&[], false)),
            ("$[*]", names(&[], true)),
            ("$.*", names(&[], true)),
            ("$.a.b", names(&["a", "b"], false)),
            ("$['a']", names(&["a"], false)),
            ("$['a.b'][\"c\"][*]", names(&["a.b", "c"], true)),
            ("$['\\u0041']", names(&["A"], false)),
            ("$.a[0]", None),
            ("$.a[*].b", None),
            ("$..a", None),
            ("$['a','b']", None),
            ("$[?@.a]", None),
        ];
        for (path, simple) in table {
            assert_eq!(JsonPath::parse(path).unwrap().simple(), simple, "{path}");
        }
    }

    #[test]
    fn what_is_no_path_is_refused_with_what_was_expected() {
        for text in ["", "a.b", "$.", "$.a[", "$.a b", "$..a b", "$[?@.a b == 1]", "$[?@.a==]", "$.a[01]"] {
            let error = JsonPath::parse(text).unwrap_err();
            assert_eq!(error.to_string(), format!("expected a JSONPath such as `$.data.items[*]`, found `{text}`"));
        }
    }

    #[test]
    fn costly_and_unknown_things_are_refused() {
        assert!(matches!(JsonPath::parse("$..a..b"), Err(ParseJsonPathError::TooCostly { .. })));
        assert!(matches!(JsonPath::parse("$.a[?count(@..b) > 1 && @..c]"), Err(ParseJsonPathError::TooCostly { .. })));
        assert!(JsonPath::parse("$..a['..']").is_ok(), "two dots in a name are a name");
        let long = format!("$.{}", "a".repeat(JSON_PATH_MAX_BYTES));
        assert!(matches!(JsonPath::parse(&long), Err(ParseJsonPathError::TooLong { bytes: 514 })));
        let error = JsonPath::parse("$[?in(@.a, $.b)]").unwrap_err();
        assert_eq!(error, ParseJsonPathError::UnknownFunction { name: "in".to_owned() });
        assert!(JsonPath::parse("$['a b'] .c").is_ok());
        assert!(JsonPath::parse("$[?(@.a == 'in(' && (length(@.b) > 1))]").is_ok());
    }

    #[test]
    fn a_selection_that_finds_nothing_says_why() {
        let json =
            r#"{"list": [], "null": null, "map": {"a": 1}, "none": {}, "text": "x", "groups": [{"members": []}]}"#;
        let root = Node::read(json).unwrap();
        let table = [
            ("$.list[*]", Nothing::Blank),
            ("$.null[*]", Nothing::Blank),
            ("$.none[*]", Nothing::Blank),
            ("$.list[?@.a]", Nothing::Blank),
            ("$.list[0:5]", Nothing::Blank),
            ("$.groups[*].members[*]", Nothing::Blank),
            ("$.gone[*]", Nothing::Absent),
            ("$.gone", Nothing::Absent),
            ("$.groups[*].gone[*]", Nothing::Absent),
            ("$.groups[7].members[*]", Nothing::Absent),
            ("$..gone", Nothing::Absent),
            ("$.list['a','b']", Nothing::Absent),
            ("$.text[*]", Nothing::NotList("a text")),
            ("$.map[?@.b]", Nothing::NotList("an object")),
            ("$.map[0:5]", Nothing::NotList("an object")),
        ];
        for (path, nothing) in table {
            let path = JsonPath::parse(path).unwrap();
            assert!(path.select(&root).is_empty(), "{path}");
            assert_eq!(path.nothing(&root), nothing, "{path}");
        }
    }
}
