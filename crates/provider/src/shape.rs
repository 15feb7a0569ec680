//! Compares a file with the JSON Schema that is published for it, and says every difference in plain words.
//!
//! The schema comes from the very structs the file is read into, so what an editor underlines is what is
//! reported here. Understood is what `schemars` writes for those structs, not all of JSON Schema: a keyword
//! that is not known allows anything, and typed reading has the last word.

mod keyword;
mod words;

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};

use regex::Regex;
use serde_json::{Map, Value};

use self::keyword::{admits, is_closed, list, object, tag};
pub(crate) use self::words::describe;
use self::words::mismatch;
use crate::node::{Entry, Node, Tree};
use crate::problem::{FieldPath, Part, Problem, Problems, choices, nearest};

/// A schema to compare files with.
pub(crate) struct Shape<'a> {
    root: &'a Value,
    part: Part,
    patterns: RefCell<HashMap<String, Option<Regex>>>,
}

impl<'a> Shape<'a> {
    pub(crate) fn new(root: &'a Value, part: Part) -> Self {
        Self { root, part, patterns: RefCell::default() }
    }

    /// Every difference, in the order of the file.
    pub(crate) fn check(&self, node: &Node) -> Vec<Problem> {
        let mut problems = Problems::of(self.part);
        self.compare(node, self.root, &FieldPath::root(), &mut problems);
        problems.into_vec()
    }

    fn compare(&self, node: &Node, schema: &'a Value, path: &FieldPath, problems: &mut Problems) {
        if !admits(schema, &node.tree) || !self.scalar_fits(schema, &node.tree) {
            return problems.add(path.clone(), self.mismatch(schema, &node.tree, path));
        }
        if let Some(target) = self.target(schema) {
            self.compare(node, target, path, problems);
        }
        for part in list(schema, "allOf") {
            self.compare(node, part, path, problems);
        }
        for keyword in ["oneOf", "anyOf"] {
            let alternatives: Vec<_> = list(schema, keyword).iter().map(|one| self.resolved(one)).collect();
            if !alternatives.is_empty() {
                self.compare_alternatives((node, &alternatives), is_closed(schema), path, problems);
            }
        }
        match &node.tree {
            Tree::List(nodes) => self.compare_list(nodes, schema, path, problems),
            Tree::Map(entries) => self.compare_map(entries, schema, path, problems),
            _ => {}
        }
    }

    fn compare_list(&self, nodes: &[Node], schema: &'a Value, path: &FieldPath, problems: &mut Problems) {
        check_count(nodes.len(), schema, ("minItems", "maxItems"), path, problems);
        if let Some(items) = schema.get("items") {
            for (index, node) in nodes.iter().enumerate() {
                self.compare(node, items, &path.index(index), problems);
            }
        }
    }

    fn compare_map(&self, entries: &[Entry], schema: &'a Value, path: &FieldPath, problems: &mut Problems) {
        check_count(entries.len(), schema, ("minProperties", "maxProperties"), path, problems);
        for name in list(schema, "required").iter().filter_map(Value::as_str) {
            if !entries.iter().any(|entry| entry.key == name) {
                problems.add(path.clone(), format!("expected a field {name}, found none"));
            }
        }
        let closed = is_closed(schema);
        for entry in entries {
            let inner = path.key(&entry.key);
            if let Some(schema) = self.property(schema, &entry.key) {
                self.compare(&entry.value, schema, &inner, problems);
            } else if closed {
                self.refuse_name(&entry.key, schema, path, problems);
            } else if let Some(schema) = schema.get("additionalProperties") {
                self.compare(&entry.value, schema, &inner, problems);
            }
        }
    }

    fn property(&self, schema: &'a Value, name: &str) -> Option<&'a Value> {
        let by_name = schema.get("properties").and_then(|known| known.get(name));
        by_name.or_else(|| {
            object(schema, "patternProperties")?.iter().find(|(p, _)| self.matches(p, name)).map(|(_, s)| s)
        })
    }

    fn refuse_name(&self, name: &str, schema: &'a Value, path: &FieldPath, problems: &mut Problems) {
        let mut known = BTreeSet::new();
        self.collect_names(schema, &mut known);
        if known.contains(name) {
            return;
        }
        let pattern = object(schema, "patternProperties").and_then(|patterns| patterns.keys().next());
        let message = match pattern {
            Some(pattern) if known.is_empty() => format!("expected a name matching {pattern}"),
            _ => format!("unknown field; expected {}", choices(name, known)),
        };
        problems.add(path.name(name), message);
    }

    /// Names of fields that the schema or one of its alternatives knows.
    fn collect_names(&self, schema: &'a Value, names: &mut BTreeSet<&'a str>) {
        names.extend(object(schema, "properties").into_iter().flat_map(Map::keys).map(String::as_str));
        let parts = ["allOf", "anyOf", "oneOf"].into_iter().flat_map(|keyword| list(schema, keyword));
        for part in parts.chain(self.target(schema)) {
            self.collect_names(part, names);
        }
    }

    /// `closed`: what none of the alternatives knows is refused elsewhere.
    fn compare_alternatives(
        &self,
        (node, all): (&Node, &[&'a Value]),
        closed: bool,
        path: &FieldPath,
        problems: &mut Problems,
    ) {
        if let Tree::Map(entries) = &node.tree {
            let tagged: Vec<(&str, &Value)> = all.iter().filter_map(|one| Some((tag(one)?, *one))).collect();
            let present = || tagged.iter().filter(|(name, _)| entries.iter().any(|entry| entry.key == *name));
            match (tagged.len(), present().count()) {
                (0 | 1, 0) => {}
                (_, 0) => {
                    let known: Vec<&str> = tagged.iter().map(|(name, _)| *name).collect();
                    let slip = entries.iter().find(|entry| nearest(&entry.key, &known).is_some());
                    if !(closed && slip.is_some()) {
                        refuse_tags(slip, known, path, problems);
                    }
                    return;
                }
                (_, 1) => return present().for_each(|(_, one)| self.compare(node, one, path, problems)),
                _ => {
                    return problems.add(path.clone(), format!("expected only one of the fields {}", names(present())));
                }
            }
        }
        let tries = all.iter().filter(|one| admits(one, &node.tree) && self.scalar_fits(one, &node.tree)).map(|one| {
            let mut own = Problems::of(self.part);
            self.compare(node, one, path, &mut own);
            own.into_vec()
        });
        match tries.min_by_key(Vec::len) {
            Some(best) => best.into_iter().for_each(|problem| problems.add(problem.field, problem.message)),
            None => problems.add(path.clone(), mismatch(&self.expected_of(all, &node.tree), &node.tree, path)),
        }
    }

    fn scalar_fits(&self, schema: &Value, tree: &Tree) -> bool {
        match tree {
            Tree::Number(number) => {
                let number = number.as_f64().unwrap_or_default();
                let bound = |keyword| schema.get(keyword).and_then(Value::as_f64);
                bound("minimum").is_none_or(|min| number >= min)
                    && bound("exclusiveMinimum").is_none_or(|min| number > min)
                    && bound("maximum").is_none_or(|max| number <= max)
            }
            Tree::Text(text) => {
                let count = text.chars().count() as u64;
                let bound = |keyword| schema.get(keyword).and_then(Value::as_u64);
                bound("minLength").is_none_or(|min| count >= min)
                    && bound("maxLength").is_none_or(|max| count <= max)
                    && schema.get("pattern").and_then(Value::as_str).is_none_or(|pattern| self.matches(pattern, text))
            }
            _ => true,
        }
    }

    /// A pattern that this reader cannot compile allows anything; typed reading has the last word.
    fn matches(&self, pattern: &str, text: &str) -> bool {
        let mut patterns = self.patterns.borrow_mut();
        let regex = patterns.entry(pattern.to_owned()).or_insert_with(|| Regex::new(pattern).ok());
        regex.as_ref().is_none_or(|regex| regex.is_match(text))
    }

    fn target(&self, schema: &'a Value) -> Option<&'a Value> {
        self.root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)
    }

    /// The schema a mere reference stands for.
    fn resolved(&self, schema: &'a Value) -> &'a Value {
        self.target(schema).unwrap_or(schema)
    }
}

/// A map that has none of the fields of which it should have one.
fn refuse_tags(slip: Option<&Entry>, known: Vec<&str>, path: &FieldPath, problems: &mut Problems) {
    match slip {
        Some(Entry { key, .. }) => {
            problems.add(path.name(key), format!("unknown field; expected {}", choices(key, known)));
        }
        None => problems.add(path.clone(), format!("expected one of the fields {}, found none", known.join(", "))),
    }
}

fn check_count(count: usize, schema: &Value, keywords: (&str, &str), path: &FieldPath, problems: &mut Problems) {
    let bound = |keyword| schema.get(keyword).and_then(Value::as_u64);
    let count = count as u64;
    if let Some(min) = bound(keywords.0).filter(|min| count < *min) {
        problems.add(path.clone(), format!("expected at least {min} of them, found {count}"));
    }
    if let Some(max) = bound(keywords.1).filter(|max| count > *max) {
        problems.add(path.clone(), format!("expected at most {max} of them, found {count}"));
    }
}

fn names<'a, T: 'a>(tagged: impl Iterator<Item = &'a (&'a str, T)>) -> String {
    tagged.map(|(name, _)| *name).collect::<Vec<_>>().join(", ")
}
