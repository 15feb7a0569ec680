//! What is wrong with a file, and where it stands there.

use std::borrow::Cow;
use std::fmt;

/// One step down into a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    Key(String),
    Index(usize),
}

/// The way to a field: `limits[0].window.calls`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldPath {
    segments: Vec<Segment>,
    /// The name itself is meant, not what stands under it.
    name: bool,
}

impl FieldPath {
    /// The whole file.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// The field `key` of what this path leads to.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.to_owned()))
    }

    /// The entry at `index`, from 0, of the list this path leads to.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    /// The name `key` itself, as where it should not stand at all.
    #[must_use]
    pub fn name(&self, key: &str) -> Self {
        Self { name: true, ..self.key(key) }
    }

    /// The way to `inner`, which was found below this one.
    #[must_use]
    pub fn join(&self, inner: &Self) -> Self {
        Self { segments: self.segments.iter().chain(&inner.segments).cloned().collect(), name: inner.name }
    }

    /// What stands here may be a secret that somebody wrote into the file, and is not to be shown.
    pub(crate) fn may_hold_secret(&self) -> bool {
        let named = |segment: &Segment| matches!(segment, Segment::Key(key) if matches!(key.as_str(), "auth" | "headers" | "query"));
        self.segments.iter().any(named)
    }

    /// As a JSON pointer (RFC 6901): `/limits/0/window/calls`.
    #[must_use]
    pub fn pointer(&self) -> String {
        let token = |segment: &Segment| match segment {
            Segment::Index(index) => format!("/{index}"),
            Segment::Key(key) => format!("/{}", shortened(key).replace('~', "~0").replace('/', "~1")),
        };
        self.segments.iter().map(token).collect()
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    pub(crate) fn is_name(&self) -> bool {
        self.name
    }

    fn with(&self, segment: Segment) -> Self {
        Self { segments: self.segments.iter().cloned().chain([segment]).collect(), name: false }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, segment) in self.segments.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(f, "[{index}]")?,
                Segment::Key(key) => {
                    let dot = if place == 0 { "" } else { "." };
                    write!(f, "{dot}{}", shortened(key))?;
                }
            }
        }
        Ok(())
    }
}

/// Which of the two files a problem is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The provider file.
    Provider,
    /// The job file.
    Job,
}

/// Something wrong with a declaration, before it is known where in a text it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{message}", .field, if .field.segments().is_empty() { "" } else { ": " })]
pub struct Problem {
    /// The file it is in.
    pub part: Part,
    /// The field.
    pub field: FieldPath,
    /// What was expected and what was found.
    pub message: String,
}

/// Something wrong with a file, with its place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {}{}{message}", .field, if .field.is_empty() { "" } else { ": " })]
pub struct FileError {
    /// The file's name, as the caller gave it.
    pub file: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// The field, such as `endpoints.search.pages.size.max`; empty for the whole file.
    pub field: String,
    /// The field as a JSON pointer (RFC 6901), such as `/endpoints/search/pages/size/max`.
    pub pointer: String,
    /// What was expected and what was found.
    pub message: String,
}

/// Most problems told of a file at once; the rest follows when these are mended.
pub(crate) const PROBLEMS_MAX: usize = 100;
/// Longest name shown, in characters.
const NAME_MAX_CHARS: usize = 64;

/// Problems of one file, collected instead of stopping at the first.
#[derive(Debug)]
pub(crate) struct Problems {
    part: Part,
    found: Vec<Problem>,
}

impl Problems {
    pub(crate) fn of(part: Part) -> Self {
        Self { part, found: Vec::new() }
    }

    pub(crate) fn add(&mut self, field: FieldPath, message: impl fmt::Display) {
        if self.found.len() == PROBLEMS_MAX {
            return;
        }
        self.found.push(Problem { part: self.part, field, message: message.to_string() });
    }

    pub(crate) fn into_vec(self) -> Vec<Problem> {
        self.found
    }
}

/// `one of a, b and c; did you mean b?` for a name that is none of `known`.
pub(crate) fn choices<'a>(found: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    /// Longest list of names shown.
    const SHOWN_MAX: usize = 20;
    let known: Vec<&str> = known.into_iter().collect();
    let listed = match known.as_slice() {
        [] => return "nothing here".to_owned(),
        [only] => (*only).to_owned(),
        some if some.len() > SHOWN_MAX => {
            format!("one of {} and {} more", some[..SHOWN_MAX].join(", "), some.len() - SHOWN_MAX)
        }
        some => format!("one of {}", some.join(", ")),
    };
    match nearest(found, &known) {
        Some(near) if known.len() > 1 => format!("{listed}; did you mean {near}?"),
        _ => listed,
    }
}

/// A name out of a file, cut where it is longer than names are.
pub(crate) fn shortened(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(NAME_MAX_CHARS) {
        Some((end, _)) => format!("{}…", &name[..end]).into(),
        None => name.into(),
    }
}

/// The known name that is a slip of the pen away.
pub(crate) fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    // To compare costs the product of both lengths.
    if found.len() > 4 * NAME_MAX_CHARS {
        return None;
    }
    let slips_max = (found.chars().count() / 3).max(1);
    let by_slips = known.iter().map(|name| (strsim::damerau_levenshtein(found, name), *name));
    by_slips.filter(|(slips, _)| *slips <= slips_max).min().map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_reads_like_the_file() {
        let path = FieldPath::root().key("limits").index(1).key("window").key("calls");
        assert_eq!(path.to_string(), "limits[1].window.calls");
        assert_eq!((path.pointer().as_str(), FieldPath::root().pointer().as_str()), ("/limits/1/window/calls", ""));
        assert_eq!(FieldPath::root().key("a/b~c").key("accounts.followers").pointer(), "/a~1b~0c/accounts.followers");
    }

    #[test]
    fn a_slip_of_the_pen_gets_a_suggestion_and_a_stranger_none() {
        assert_eq!(choices("limt", ["limit", "offset"]), "one of limit, offset; did you mean limit?");
        assert_eq!(choices("colour", ["limit", "offset"]), "one of limit, offset");
        assert_eq!(choices("x", []), "nothing here");
    }
}
