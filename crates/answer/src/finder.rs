//! Finding items and values in a body: in one walk where all paths are simple, else in a tree.

use crate::json_path::{JsonPath, Nothing};
use crate::lines::Lines;
use crate::raw;
use crate::tree::Node;
use crate::unreadable::Unreadable;
use crate::walk::{Take, Wanted};

/// What is looked for in a body, compiled.
#[derive(Debug, Clone)]
pub(crate) struct Finder {
    items: Items,
    values: Vec<JsonPath>,
    /// All of it, where all paths are simple.
    walk: Option<Wanted>,
}

/// Which items are looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Items {
    /// None.
    Unwanted,
    /// The whole body is one.
    Whole,
    /// Those at a path.
    At(JsonPath),
}

/// What was found in a body.
#[derive(Debug, Default)]
pub(crate) struct Found<'b> {
    /// Numbers of paths, and values as they were written.
    pub(crate) values: Vec<(usize, &'b str)>,
    pub(crate) lines: Lines<'b>,
    pub(crate) items: ItemsFound,
}

/// Where the items should be.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ItemsFound {
    /// There is nothing.
    #[default]
    Absent,
    /// There they are, if any.
    Here,
    /// There is another kind of thing.
    Other(&'static str),
}

impl<'b> Found<'b> {
    /// All values of path number `path`, as they were written.
    pub(crate) fn all(&self, path: usize) -> impl Iterator<Item = &'b str> {
        self.values.iter().filter(move |(number, _)| *number == path).map(|(_, json)| *json)
    }

    /// The first value of path number `path`, as it was written.
    pub(crate) fn first(&self, path: usize) -> Option<&'b str> {
        self.all(path).next()
    }
}

impl Finder {
    /// Compiles; values are numbered in the order given.
    pub(crate) fn new(items: Items, values: Vec<JsonPath>) -> Self {
        let walk = wanted(&items, &values);
        Self { items, values, walk }
    }

    /// The values that are looked for, in order.
    pub(crate) fn values(&self) -> &[JsonPath] {
        &self.values
    }

    /// The same, never by a walk.
    #[cfg(test)]
    pub(crate) fn by_tree(self) -> Self {
        Self { walk: None, ..self }
    }

    /// Looks into `text`, without white space in front.
    ///
    /// # Errors
    ///
    /// The text is not JSON, breaks off or nests too deeply, or there are no items where they should be, or too many.
    pub(crate) fn find<'b>(&self, text: &'b str) -> Result<Found<'b>, Unreadable> {
        let lines = if self.items == Items::Unwanted { Lines::default() } else { Lines::of(text) };
        let mut found = Found { lines, ..Found::default() };
        match &self.walk {
            Some(wanted) => wanted.walk(text, &mut found)?,
            None => self.decode(text, &mut found)?,
        }
        match (&self.items, found.items) {
            (Items::At(path), ItemsFound::Absent) => Err(Unreadable::NoItems { path: path.to_string() }),
            (Items::At(path), ItemsFound::Other(found)) => Err(Unreadable::NotItems { path: path.to_string(), found }),
            _ => Ok(found),
        }
    }

    fn decode<'b>(&self, text: &'b str, found: &mut Found<'b>) -> Result<(), Unreadable> {
        let root = Node::read(text)?;
        match &self.items {
            Items::Unwanted => {}
            Items::Whole => found.lines.push(root.raw())?,
            Items::At(path) if path.is_singular() => take_singular(path, &root, found)?,
            Items::At(path) => take_many(path, &root, found)?,
        }
        for (number, path) in self.values.iter().enumerate() {
            found.values.extend(path.select(&root).into_iter().map(|node| (number, node.raw())));
        }
        Ok(())
    }
}

/// A list's elements, an object as one item, nothing for `null`.
fn take_singular<'b>(path: &JsonPath, root: &Node<'b>, found: &mut Found<'b>) -> Result<(), Unreadable> {
    found.items = match path.select(root).first() {
        None => ItemsFound::Absent,
        Some(node) if node.is_list() => {
            node.elements().iter().try_for_each(|item| found.lines.push(item.raw()))?;
            ItemsFound::Here
        }
        Some(node) if node.is_object() => {
            found.lines.push(node.raw())?;
            ItemsFound::Here
        }
        Some(node) if node.is_null() => ItemsFound::Here,
        Some(node) => ItemsFound::Other(raw::kind(node.raw())),
    };
    Ok(())
}

/// Each selected value is an item.
fn take_many<'b>(path: &JsonPath, root: &Node<'b>, found: &mut Found<'b>) -> Result<(), Unreadable> {
    let items = path.select(root);
    found.items = match items.as_slice() {
        [] => match path.nothing(root) {
            Nothing::Blank => ItemsFound::Here,
            Nothing::Absent => ItemsFound::Absent,
            Nothing::NotList(kind) => ItemsFound::Other(kind),
        },
        items => {
            items.iter().try_for_each(|item| found.lines.push(item.raw()))?;
            ItemsFound::Here
        }
    };
    Ok(())
}

fn wanted(items: &Items, values: &[JsonPath]) -> Option<Wanted> {
    let mut wanted = Wanted::nothing();
    match items {
        Items::Unwanted => {}
        Items::Whole => wanted.items(Take::Whole, &[]),
        Items::At(path) => {
            let (names, each) = path.simple()?;
            wanted.items(if each { Take::Each } else { Take::Elements }, &names);
        }
    }
    for (number, path) in values.iter().enumerate() {
        let (names, false) = path.simple()? else { return None };
        wanted.value(number, &names);
    }
    Some(wanted)
}

#[cfg(test)]
mod tests {
    use jsonpath_rust::JsonPath as _;
    use proptest::prelude::*;
    use serde_json::{Map, Value};

    use super::*;

    fn path(text: &str) -> JsonPath {
        JsonPath::parse(text).unwrap()
    }

    /// Documents that often have the names that [`some_path`] asks for.
    fn some_json() -> impl Strategy<Value = Value> {
        let text = prop_oneof![Just("a".to_owned()), Just("b".to_owned()), "[ab\\\\\"{\\[\n é]{0,4}"];
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            (-1e9..1e9_f64).prop_map(Value::from),
            text.clone().prop_map(Value::from),
        ];
        leaf.prop_recursive(5, 60, 6, move |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                proptest::collection::vec((text.clone(), inner), 0..5)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
            ]
        })
    }

    fn some_path() -> impl Strategy<Value = JsonPath> {
        ("(\\.a|\\.b|\\['a'\\]|\\[\"b\"\\]){0,3}", prop_oneof![Just(""), Just("[*]")])
            .prop_map(|(names, each)| path(&format!("${names}{each}")))
    }

    fn some_value_path() -> impl Strategy<Value = JsonPath> {
        "(\\.a|\\.b){1,3}".prop_map(|names| path(&format!("${names}")))
    }

    fn written(json: &Value, pretty: bool) -> String {
        if pretty { serde_json::to_string_pretty(json).unwrap() } else { json.to_string() }
    }

    fn compacted(json: &str) -> String {
        let mut compact = Vec::new();
        raw::compact(json, &mut compact);
        String::from_utf8(compact).unwrap()
    }

    /// What RFC 9535 and the rules for items say, computed from the decoded document.
    fn oracle(json: &Value, items: &JsonPath) -> Option<Vec<String>> {
        let selected = json.query(items.as_str()).unwrap();
        let line = |items: &[&Value]| Some(items.iter().map(|item| item.to_string()).collect());
        match (items.simple()?, selected.as_slice()) {
            ((_, false), [Value::Array(items)]) => line(&items.iter().collect::<Vec<_>>()),
            ((_, false), [Value::Object(_)]) => line(&selected),
            ((_, false), [Value::Null]) => line(&[]),
            ((_, true), [_, ..]) => line(&selected),
            ((_, true), []) => {
                let of = json.query(items.as_str().strip_suffix("[*]")?).unwrap();
                matches!(of.as_slice(), [Value::Null | Value::Array(_) | Value::Object(_)]).then(Vec::new)
            }
            _ => None,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1500))]

        #[test]
        fn the_walk_finds_what_the_tree_finds_and_what_the_rfc_says(
            json in some_json(), pretty: bool, items in some_path(),
            values in proptest::collection::vec(some_value_path(), 0..4),
        ) {
            let text = written(&json, pretty);
            let finder = Finder::new(Items::At(items.clone()), values.clone());
            let walked = finder.find(&text);
            match (&walked, finder.clone().by_tree().find(&text)) {
                (Ok(walked), Ok(by_tree)) => {
                    prop_assert_eq!(&walked.lines.bytes, &by_tree.lines.bytes);
                    prop_assert_eq!((walked.lines.count, walked.lines.last), (by_tree.lines.count, by_tree.lines.last));
                    for (number, path) in values.iter().enumerate() {
                        prop_assert_eq!(walked.first(number), by_tree.first(number));
                        let selected = json.query(path.as_str()).unwrap().first().map(ToString::to_string);
                        prop_assert_eq!(walked.first(number).map(compacted), selected);
                    }
                }
                (Err(walked), Err(by_tree)) => prop_assert_eq!(walked, &by_tree),
                (walked, by_tree) => prop_assert!(false, "walked: {:?}\nby tree: {:?}", walked, by_tree),
            }
            let lines = walked.ok().map(|found| String::from_utf8(found.lines.bytes).unwrap());
            let ended = |lines: Vec<String>| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
            let expected = oracle(&json, &items).map(ended);
            prop_assert_eq!(lines, expected);
        }

        #[test]
        fn damaged_json_is_refused_or_read_alike_and_never_panics(
            json in some_json(), pretty: bool, items in some_path(),
            at in any::<prop::sample::Index>(), damage in prop_oneof![
                Just(None), proptest::sample::select(r#"{}[]",:\x0 "#.chars().collect::<Vec<_>>()).prop_map(Some)
            ],
        ) {
            let mut text: Vec<char> = written(&json, pretty).chars().collect();
            let at = at.index(text.len());
            match damage {
                Some(char) => text[at] = char,
                None => text.truncate(at),
            }
            let text: String = text.into_iter().collect();
            let text = text.trim_ascii();
            let finder = Finder::new(Items::At(items), vec![path("$.a"), path("$.b.a")]);
            let (walked, by_tree) = (finder.find(text), finder.clone().by_tree().find(text));
            let is_json = serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
            prop_assert!(is_json || walked.is_err());
            prop_assert_eq!(walked.map(|found| found.lines.bytes).ok(), by_tree.map(|found| found.lines.bytes).ok());
        }

        #[test]
        fn any_bytes_are_refused_or_read_but_never_panic(body in proptest::collection::vec(any::<u8>(), 0..60)) {
            let text = String::from_utf8_lossy(&body);
            for items in ["$", "$.a[*]", "$..a", "$[?@.a > 1]"] {
                let _ = Finder::new(Items::At(path(items)), vec![path("$.a")]).find(&text);
            }
        }
    }
}
