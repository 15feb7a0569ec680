//! The shape of an answer: where in the body the items stand, and where what it says of the others.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where things stand in an answer. Paths are of names only: `$.data.items[*]`, `$.meta['next page']`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Shape {
    /// Each item; `$.items[*]` unless given. What follows `[*]` wraps each item (`$.edges[*].node`). Without `[*]` the
    /// answer holds a single item there, unless the endpoint pages.
    pub items: Option<String>,
    /// Number of items in the whole list; not told unless given.
    pub total: Option<String>,
    /// Cursor, offset, page number or address of the next page; `$.next` for opaque cursors and `style: next_url`
    /// unless given, else not told.
    pub next: Option<String>,
    /// Whether there are more; not told unless given.
    pub has_more: Option<String>,
    /// Response header with the number of items in the whole list.
    pub total_header: Option<String>,
    /// Response header with the cursor, offset, page number or address of the next page.
    pub next_header: Option<String>,
    /// Response header that says whether there are more, `true` or `false`.
    pub has_more_header: Option<String>,
    /// How the last page says that no page follows.
    pub no_next: NoNext,
    /// What every body holds besides, such as `{"ok": true}`.
    pub body: Option<Map<String, Value>>,
}

/// How the last page says that no page follows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum NoNext {
    /// Nothing at the path.
    #[default]
    Absent,
    /// `null`.
    Null,
    /// `""`.
    Empty,
}

/// A path to write at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Path(Vec<Step>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Name(String),
    /// The one element of a list.
    Only,
}

/// A [`Shape`] whose paths were read and found to go together.
#[derive(Debug, Clone)]
pub(crate) struct Envelope {
    /// Path of the list, or of the single item.
    items: Path,
    /// What wraps each item of a list; none where the answer holds a single item.
    wrap: Option<Path>,
    total: Option<Path>,
    next: Option<Path>,
    has_more: Option<Path>,
    no_next: NoNext,
    body: Map<String, Value>,
}

/// What a body says besides its items.
#[derive(Debug, Clone, Default)]
pub(crate) struct Said {
    pub(crate) total: u64,
    pub(crate) next: Option<Value>,
    pub(crate) has_more: bool,
}

/// A body without its items: they go between `before` and `after`, each between `open` and `close`, with commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) before: String,
    pub(crate) after: String,
    pub(crate) open: String,
    pub(crate) close: String,
}

/// Marks where the items go; no other text of a body holds a NUL.
const MARK: &str = "\0";

impl Envelope {
    pub(crate) fn read(shape: &Shape) -> Result<Self, String> {
        let (items, wrap) =
            read_items(shape.items.as_deref().unwrap_or("$.items[*]")).map_err(|why| format!("items: {why}"))?;
        let path = |name, text: &Option<String>| {
            text.as_deref().map(Path::read).transpose().map_err(|why| format!("{name}: {why}"))
        };
        let envelope = Self {
            items,
            wrap,
            total: path("total", &shape.total)?,
            next: path("next", &shape.next)?,
            has_more: path("has_more", &shape.has_more)?,
            no_next: shape.no_next,
            body: shape.body.clone().unwrap_or_default(),
        };
        envelope.value(&Said { next: Some(Value::from("")), ..Said::default() })?;
        Ok(envelope)
    }

    /// The answer holds one item instead of a list.
    pub(crate) fn is_single(&self) -> bool {
        self.wrap.is_none()
    }

    pub(crate) fn frame(&self, said: &Said) -> Frame {
        // An envelope was read with all its values once, so they fit; a body that lost one is still a body.
        let text = self.value(said).unwrap_or_else(|_| Value::from(MARK)).to_string();
        let (before, after) = text.split_once("\"\\u0000\"").unwrap_or(("", ""));
        let list = |text: &str, mark| if self.wrap.is_some() { format!("{text}{mark}") } else { text.to_owned() };
        let wrap = self
            .wrap
            .as_ref()
            .and_then(|path| path.put(Value::Null, Value::from(MARK)).ok())
            .unwrap_or(Value::from(MARK))
            .to_string();
        let (open, close) = wrap.split_once("\"\\u0000\"").unwrap_or(("", ""));
        Frame {
            before: list(before, "["),
            after: if self.wrap.is_some() { format!("]{after}") } else { after.to_owned() },
            open: open.to_owned(),
            close: close.to_owned(),
        }
    }

    fn value(&self, said: &Said) -> Result<Value, String> {
        let mut body = if self.body.is_empty() { Value::Null } else { Value::Object(self.body.clone()) };
        body = self.items.put(body, Value::from(MARK)).map_err(|why| format!("items: {why}"))?;
        let next = match (&said.next, self.no_next) {
            (Some(next), _) => Some(next.clone()),
            (None, NoNext::Absent) => None,
            (None, NoNext::Null) => Some(Value::Null),
            (None, NoNext::Empty) => Some(Value::from("")),
        };
        let told = [
            ("total", &self.total, Some(Value::from(said.total))),
            ("next", &self.next, next),
            ("has_more", &self.has_more, Some(Value::from(said.has_more))),
        ];
        for (name, path, value) in told {
            if let (Some(path), Some(value)) = (path, value) {
                body = path.put(body, value).map_err(|why| format!("{name}: {why}"))?;
            }
        }
        Ok(body)
    }
}

fn read_items(text: &str) -> Result<(Path, Option<Path>), String> {
    match text.split_once("[*]") {
        Some((list, wrap)) => Ok((Path::read(list)?, Some(Path::read(&format!("${wrap}"))?))),
        None => Ok((Path::read(text)?, None)),
    }
}

impl Path {
    /// Reads `$`, `$.a.b` or `$['a'].b`.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        Self::read_with_lists(text).ok().filter(|path| !path.0.contains(&Step::Only)).ok_or_else(|| {
            format!("`{text}` is too complex to write at; a path of names such as `$.data.next` was expected")
        })
    }

    /// Reads what [`read`](Self::read) does, and `[0]` or `[*]`: lists of one element.
    pub(crate) fn read_with_lists(text: &str) -> Result<Self, String> {
        let complex = || format!("`{text}` is too complex to write at");
        let mut rest = text.strip_prefix('$').ok_or_else(complex)?;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let (step, after) = next_step(rest).ok_or_else(complex)?;
            steps.push(step);
            rest = after;
        }
        Ok(Self(steps))
    }

    /// `body` with `value` at this path.
    pub(crate) fn put(&self, mut body: Value, value: Value) -> Result<Value, String> {
        let mut at = &mut body;
        for step in &self.0 {
            let taken = || "what stands above it is already something else".to_owned();
            at = match step {
                Step::Name(name) => {
                    if at.is_null() {
                        *at = Value::Object(Map::new());
                    }
                    at.as_object_mut().ok_or_else(taken)?.entry(name).or_insert(Value::Null)
                }
                Step::Only => {
                    if at.is_null() {
                        *at = Value::Array(vec![Value::Null]);
                    }
                    at.get_mut(0).ok_or_else(taken)?
                }
            };
        }
        if !at.is_null() {
            return Err("something else already stands there".to_owned());
        }
        *at = value;
        Ok(body)
    }
}

/// The first step of what is left of a path, and what is left after it.
fn next_step(rest: &str) -> Option<(Step, &str)> {
    if let Some(after) = rest.strip_prefix("[*]").or_else(|| rest.strip_prefix("[0]")) {
        return Some((Step::Only, after));
    }
    let quote =
        ['\'', '"'].into_iter().find(|quote| rest.strip_prefix('[').is_some_and(|rest| rest.starts_with(*quote)));
    let (name, after) = match quote {
        Some(quote) => {
            let (name, after) = rest[2..].split_once(quote)?;
            (name, after.strip_prefix(']')?)
        }
        None => {
            let rest = rest.strip_prefix('.')?;
            rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()))
        }
    };
    let plain = !name.is_empty() && !name.contains(['*', '?', '\\', '(', '@', '\0']);
    plain.then(|| (Step::Name(name.to_owned()), after))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(shape: &Shape, said: &Said, items: &[&str]) -> String {
        let Frame { before, after, open, close } = Envelope::read(shape).unwrap().frame(said);
        let items: Vec<_> = items.iter().map(|item| format!("{open}{item}{close}")).collect();
        format!("{before}{}{after}", items.join(","))
    }

    fn shape(items: &str) -> Shape {
        Shape { items: Some(items.to_owned()), ..Shape::default() }
    }

    #[test]
    fn items_and_what_is_said_stand_at_their_paths() {
        let shape = Shape {
            total: Some("$.meta['total count']".into()),
            next: Some("$.meta.next".into()),
            has_more: Some("$.more".into()),
            body: serde_json::from_str(r#"{"ok":true}"#).unwrap(),
            ..shape("$.data.users.edges[*].node")
        };
        let said = Said { total: 9, next: Some("c".into()), has_more: true };
        assert_eq!(
            body(&shape, &said, &["1", "2"]),
            r#"{"ok":true,"data":{"users":{"edges":[{"node":1},{"node":2}]}},"meta":{"total count":9,"next":"c"},"more":true}"#
        );
    }

    #[test]
    fn the_root_may_be_the_list_or_the_item() {
        assert_eq!(body(&shape("$[*]"), &Said::default(), &["1", "2"]), "[1,2]");
        assert_eq!(body(&shape("$"), &Said::default(), &["1"]), "1");
        assert_eq!(body(&shape("$.user"), &Said::default(), &["1"]), r#"{"user":1}"#);
    }

    #[test]
    fn the_last_page_says_so_in_its_own_way() {
        for (no_next, expected) in [
            (NoNext::Absent, r#"{"items":[]}"#),
            (NoNext::Null, r#"{"items":[],"next":null}"#),
            (NoNext::Empty, r#"{"items":[],"next":""}"#),
        ] {
            let shape = Shape { next: Some("$.next".into()), no_next, ..Shape::default() };
            assert_eq!(body(&shape, &Said::default(), &[]), expected);
        }
    }

    #[test]
    fn a_path_that_cannot_be_written_at_is_an_error_that_says_so() {
        for path in ["$.a[0]", "$..a", "$.a[?(@.b)]", "a.b", "$.a.*", "$.a['b'", "$."] {
            let shape = Shape { next: Some(path.to_owned()), ..Shape::default() };
            let why = Envelope::read(&shape).unwrap_err();
            assert!(why.starts_with("next: ") && why.contains("too complex"), "{path}: {why}");
        }
    }

    #[test]
    fn paths_that_get_in_each_others_way_are_an_error() {
        let of = |items: &str, total: &str| Envelope::read(&Shape { total: Some(total.into()), ..shape(items) });
        assert!(of("$[*]", "$.total").unwrap_err().starts_with("total: "));
        assert!(of("$.items[*]", "$.items.total").unwrap_err().starts_with("total: "));
        assert!(of("$.items[*]", "$.items").unwrap_err().starts_with("total: "));
        assert!(of("$.items[*]", "$.total").is_ok());
    }
}
