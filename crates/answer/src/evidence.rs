//! An answer as rules look at it: nothing is decoded before a rule asks.

use std::cell::OnceCell;

use http::{HeaderMap, StatusCode};

use crate::body;
use crate::error_rule::BodyKind;
use crate::finder::{Finder, Found};
use crate::selector::HeaderField;

/// An answer, and what was found in its body once somebody asked.
pub(crate) struct Evidence<'a> {
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    finder: &'a Finder,
    /// None if the body is not JSON.
    found: OnceCell<Option<Found<'a>>>,
}

impl<'a> Evidence<'a> {
    /// `finder` looks for everything that anybody may ask for.
    pub(crate) fn new(status: StatusCode, headers: &'a HeaderMap, body: &'a [u8], finder: &'a Finder) -> Self {
        Self { status, headers, body, finder, found: OnceCell::new() }
    }

    /// All values of path number `path`, as they were written.
    pub(crate) fn values(&self, path: usize) -> impl Iterator<Item = &'a str> {
        self.found().into_iter().flat_map(move |found| found.all(path))
    }

    /// Whether the body is of this kind.
    pub(crate) fn is(&self, kind: BodyKind) -> bool {
        let trimmed = body::trimmed(self.body);
        match kind {
            BodyKind::Html => body::is_html(trimmed),
            BodyKind::Empty => trimmed.is_empty(),
            BodyKind::Json => self.found().is_some(),
            BodyKind::NotJson => self.found().is_none(),
        }
    }

    /// The values of the headers of this name.
    pub(crate) fn headers(&self, field: &HeaderField) -> impl Iterator<Item = String> {
        let values = self.headers.get_all(field.name()).iter();
        values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    /// The body's start, at most `bytes` of it, as text.
    pub(crate) fn start(&self, bytes: usize) -> String {
        let body = body::trimmed(self.body);
        String::from_utf8_lossy(&body[..body.len().min(bytes)]).into_owned()
    }

    /// Whether the body was searched.
    #[cfg(test)]
    pub(crate) fn was_looked_into(&self) -> bool {
        self.found.get().is_some()
    }

    fn found(&self) -> Option<&Found<'a>> {
        self.found.get_or_init(|| self.finder.find(body::json_text(self.body).ok()?).ok()).as_ref()
    }
}
