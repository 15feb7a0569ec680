//! A file's text, read: what gives every problem its place.
//!
//! Typed reading goes over this tree instead of straight into structs: so every problem, of syntax, shape or
//! meaning, gets its line and column, and several are found at once.

use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_saphyr::{MessageFormatter as _, UserMessageFormatter};

use crate::node::{FILE_MAX_BYTES, Node, Tree, read, small};
use crate::problem::{FieldPath, FileError, Part, Problem, Segment};
use crate::shape::{self, Shape};

/// A file's text, read but not yet given a meaning.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    file: String,
    part: Part,
    /// Where in its text it stands, if it is not all of it.
    base: FieldPath,
    root: Node,
}

impl Document {
    /// Reads YAML or JSON. `file` is the name that errors show.
    pub(crate) fn parse(text: &str, file: &str, part: Part) -> Result<Self, FileError> {
        let refuse = |line, column, message| {
            let (field, pointer) = (String::new(), String::new());
            FileError { file: file.to_owned(), line, column, field, pointer, message }
        };
        if text.len() > FILE_MAX_BYTES {
            // What was read may not be all of it, so how much there is is not known here.
            return Err(refuse(1, 1, format!("expected a file of at most {FILE_MAX_BYTES} bytes, found more")));
        }
        match read(text) {
            Ok(root) => Ok(Self { file: file.to_owned(), part, base: FieldPath::root(), root }),
            Err(error) => {
                let at = error.location();
                let (line, column) = at.map_or((1, 1), |at| (small(at.line()).max(1), small(at.column()).max(1)));
                let message = UserMessageFormatter.format_message(error.without_snippet());
                let printable = |c: char| if c.is_control() { ' ' } else { c };
                Err(refuse(line, column, message.chars().map(printable).collect()))
            }
        }
    }

    /// Takes the map under `key` out, as a document of its own; the text under the same key in there stands in its place.
    pub(crate) fn take_map(&mut self, key: &str, part: Part) -> Option<Self> {
        let Tree::Map(entries) = &mut self.root.tree else { return None };
        let value = &mut entries.iter_mut().find(|entry| entry.key == key)?.value;
        let Tree::Map(inner) = &value.tree else { return None };
        let name = inner.iter().find(|entry| entry.key == key).and_then(|entry| match &entry.value.tree {
            Tree::Text(text) => Some(text.clone()),
            _ => None,
        });
        let (line, column) = (value.line, value.column);
        let text = Node { line, column, tree: Tree::Text(name.unwrap_or_default()) };
        let root = std::mem::replace(value, text);
        Some(Self { file: self.file.clone(), part, base: self.base.key(key), root })
    }

    /// Every departure of the tree from a JSON schema.
    pub(crate) fn departures(&self, schema: &Value) -> Vec<FileError> {
        self.locate_all(&Shape::new(schema, self.part).check(&self.root))
    }

    /// Reads what stands at `at` as a `T`; of a map, `fields` alone where any are named. What is not there is no
    /// error here.
    ///
    /// Parts of a file are read so before the whole: it finds an error in each of them instead of only the first,
    /// and sees into what the whole reads as a flattened enum, of which only the outer place would be known.
    pub(crate) fn read_at<T: DeserializeOwned>(&self, at: &FieldPath, fields: &[&str]) -> Result<Option<T>, FileError> {
        let Some(node) = self.root.at(at) else { return Ok(None) };
        let json = match node.to_json() {
            Value::Object(map) if !fields.is_empty() => {
                Value::Object(map.into_iter().filter(|(name, _)| fields.contains(&name.as_str())).collect())
            }
            json => json,
        };
        serde_path_to_error::deserialize(json).map(Some).map_err(|error| {
            let field = error.path().iter().fold(at.clone(), |path, segment| match segment {
                serde_path_to_error::Segment::Seq { index } => path.index(*index),
                serde_path_to_error::Segment::Map { key } => path.key(key),
                serde_path_to_error::Segment::Enum { variant } => path.key(variant),
                serde_path_to_error::Segment::Unknown => path,
            });
            self.locate(&Problem { part: self.part, field, message: error.into_inner().to_string() })
        })
    }

    /// Names or places of what a list or map at `at` holds.
    pub(crate) fn children(&self, at: &FieldPath) -> Vec<FieldPath> {
        match self.root.at(at).map(|node| &node.tree) {
            Some(Tree::List(nodes)) => (0..nodes.len()).map(|index| at.index(index)).collect(),
            Some(Tree::Map(entries)) => entries.iter().map(|entry| at.key(&entry.key)).collect(),
            _ => Vec::new(),
        }
    }

    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    /// Gives problems their places, in the order of the text.
    pub(crate) fn locate_all(&self, problems: &[Problem]) -> Vec<FileError> {
        let mut errors: Vec<_> = problems.iter().map(|problem| self.locate(problem)).collect();
        errors.sort_by_key(|error| (error.line, error.column));
        errors
    }

    /// Gives a problem its place: that of its value or, for a list or map or what is missing, of the nearest name.
    /// Where the message does not say what was found, and that is neither list nor map, it is added.
    pub(crate) fn locate(&self, problem: &Problem) -> FileError {
        let mut error = self.place_only(problem);
        let found = self.root.at(&problem.field).map(|node| &node.tree).filter(|tree| tree.is_scalar());
        if let Some(found) = found
            && error.message.starts_with("expected")
            && !error.message.contains(", found ")
        {
            error.message = format!("{}, found {}", error.message, shape::describe(found, &problem.field));
        }
        error
    }

    /// The same without showing anything of the text, which may be secret.
    pub(crate) fn place_only(&self, problem: &Problem) -> FileError {
        let (line, column) = self.place(&problem.field);
        let field = self.base.join(&problem.field);
        FileError {
            file: self.file.clone(),
            line,
            column,
            field: field.to_string(),
            pointer: field.pointer(),
            message: problem.message.clone(),
        }
    }

    fn place(&self, field: &FieldPath) -> (u32, u32) {
        let mut node = &self.root;
        let mut name = (node.line, node.column);
        let last = field.segments().len().saturating_sub(1);
        for (depth, segment) in field.segments().iter().enumerate() {
            match (segment, &node.tree) {
                (Segment::Key(key), Tree::Map(entries)) => {
                    let Some(entry) = entries.iter().find(|entry| entry.key == *key) else { return name };
                    name = (entry.line, entry.column);
                    node = &entry.value;
                }
                (Segment::Index(index), Tree::List(nodes)) => {
                    let Some(inner) = nodes.get(*index) else { return name };
                    name = (inner.line, inner.column);
                    node = inner;
                }
                _ => break,
            }
            if depth == last && field.is_name() {
                return name;
            }
        }
        match node.tree {
            Tree::Null | Tree::List(_) | Tree::Map(_) => name,
            _ => (node.line, node.column),
        }
    }
}
