//! Reading a page: its items as lines, and the facts that pagination needs.

use std::collections::BTreeMap;

use http::{HeaderMap, StatusCode};
use tidegate_contracts::{Fingerprint, Mark, PageFacts};
use url::Url;
use xxhash_rust::xxh3::xxh3_64;

use crate::body;
use crate::evidence::Evidence;
use crate::expected::Expected;
use crate::finder::{Finder, Found, Items};
use crate::json_path::JsonPath;
use crate::lines::Lines;
use crate::message::{self, Places};
use crate::pages::Pages;
use crate::raw::{self, Scalar};
use crate::selector::Selector;
use crate::told::{Context, Sources};
use crate::unreadable::Unreadable;

/// How the pages of one endpoint are read, compiled once.
#[derive(Debug, Clone)]
pub struct Reader {
    body: Finder,
    sources: Sources,
    /// Looks for what stands in answers that rightly have nothing where their items should be.
    blank: Option<Blank>,
    key: Option<Finder>,
    /// Looks for errors beside no items.
    errors: (Finder, Places),
    /// An answer without a body is right: one item, `null`.
    bodiless: bool,
    /// It tells a total, and has no items.
    counts: bool,
}

/// What tells a page without items from an answer that is none.
#[derive(Debug, Clone)]
struct Blank {
    /// Looks for what the body's finder does, but for items, and for these values after that.
    body: Finder,
    /// By number of the value.
    expected: Vec<(usize, Expected)>,
}

/// A page that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PageRead {
    /// The items, one compact JSON value a line, each ended by `\n`, written as the third party wrote them.
    pub lines: Vec<u8>,
    /// What the page says; never `repeated`, which one page alone can't know.
    pub facts: PageFacts,
    /// The highest value that tells what is new, where the endpoint has one ([`Newness`](crate::Newness)).
    pub top: Option<Mark>,
}

impl PageRead {
    /// Keeps the first `items`, and leaves the rest out.
    pub fn keep(&mut self, items: u32) {
        if items >= self.facts.items {
            return;
        }
        let ends = self.lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
        let end = if items == 0 { 0 } else { ends.clone().nth(items as usize - 1).unwrap_or(self.lines.len()) };
        self.lines.truncate(end);
        self.facts.items = items;
    }
}

impl Reader {
    /// Compiles an endpoint's `items`, `key` and `pages`.
    ///
    /// Without `items` the whole body is one item. A path made of names and indexes leads to a list, whose elements
    /// are the items, or to an object, which is one; any other path selects the items themselves. `key` leads to the
    /// value within an item that makes it the same item on another page. Without `pages` the one answer is all.
    #[must_use]
    pub fn new(items: Option<&JsonPath>, key: Option<&JsonPath>, pages: Option<&Pages>) -> Self {
        let mut values = Vec::new();
        let sources = pages.map_or_else(Sources::default, |pages| Sources::of(pages, &mut values));
        let bodiless = items.is_none() && pages.is_none();
        let body = Finder::new(items.cloned().map_or(Items::Whole, Items::At), values.clone());
        let key = key.map(|key| Finder::new(Items::Unwanted, vec![key.clone()]));
        let mut usual = Vec::new();
        let places = Places::add(&mut usual);
        let errors = (Finder::new(Items::Unwanted, usual), places);
        Self { body, sources, blank: None, key, errors, bodiless, counts: false }
    }

    /// The same, which also takes an answer with nothing where the items should be for a page without any, if all of
    /// this stands in it.
    #[must_use]
    pub fn or_blank(self, conditions: &BTreeMap<JsonPath, Expected>) -> Self {
        if conditions.is_empty() {
            return self;
        }
        let from = self.body.values().len();
        let values = self.body.values().iter().chain(conditions.keys()).cloned().collect();
        let expected = conditions.values().cloned().enumerate().map(|(index, expected)| (from + index, expected));
        let blank = Blank { body: Finder::new(Items::Unwanted, values), expected: expected.collect() };
        Self { blank: Some(blank), ..self }
    }

    /// Compiles a call that tells how many items there are.
    #[must_use]
    pub fn of_count(total: &Selector) -> Self {
        let mut values = Vec::new();
        let pages = Pages { total: Some(total.clone()), ..Pages::default() };
        let sources = Sources::of(&pages, &mut values);
        let body = Finder::new(Items::Unwanted, values);
        Self { body, sources, counts: true, ..Self::new(None, None, None) }
    }

    /// Reads the answer that a call of `url` (where redirects ended) brought.
    ///
    /// Null where the items should be is an empty page; nothing there never is one, unless
    /// [`or_blank`](Self::or_blank) says so, nor are no items beside an error
    /// (`{"data":{"users":null},"errors":[{"message":"…"}]}`, as GraphQL has it). A single endpoint without `items`
    /// takes an answer without a body (204, or 200 to a change) as one item, `null`; any other takes it as broken.
    ///
    /// # Errors
    ///
    /// The answer can't be read for sure; see [`Unreadable`].
    pub fn read(&self, headers: &HeaderMap, body: &[u8], url: &Url) -> Result<PageRead, Unreadable> {
        let found = match body::json_text(body) {
            Err(Unreadable::Empty) if self.counts => Found::default(),
            Err(Unreadable::Empty) if self.bodiless => nothing()?,
            text => self.find(text?)?,
        };
        if found.lines.count == 0
            && let Some(message) = self.error(headers, body)
        {
            return Err(Unreadable::ErrorBeside { message });
        }
        let told = self.sources.read(&Context { headers, found: &found, url })?;
        if self.counts && told.total.is_none() {
            return Err(Unreadable::NoTotal);
        }
        let Lines { bytes, count, .. } = found.lines;
        let facts = PageFacts {
            items: count,
            total: told.total,
            next: told.next,
            has_more: told.has_more,
            fingerprint: self.fingerprint(&bytes, told.total),
            ..PageFacts::default()
        };
        Ok(PageRead { lines: bytes, facts, top: None })
    }

    fn find<'b>(&self, text: &'b str) -> Result<Found<'b>, Unreadable> {
        match (self.body.find(text), &self.blank) {
            (Err(Unreadable::NoItems { path }), Some(blank)) => blank.find(text)?.ok_or(Unreadable::NoItems { path }),
            (found, _) => found,
        }
    }

    /// The same for pages of the same items: by their keys, however else they differ, where the list's size is not known and
    /// nothing else would end it; else by all that they hold.
    fn fingerprint(&self, lines: &[u8], total: Option<u64>) -> Fingerprint {
        let items = || lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let by_key = || items().map(|item| self.item_key(item)).collect::<Option<Vec<_>>>();
        let keys = if self.has_key() && total.is_none() { by_key() } else { None };
        let hash = match keys {
            // In any order.
            Some(keys) => keys.iter().fold(keys.len() as u64, |sum, key| sum.wrapping_add(xxh3_64(key.as_bytes()))),
            None => xxh3_64(lines),
        };
        Fingerprint(hash.cast_signed())
    }

    /// The message in `error`, `errors` or `error_description`.
    fn error(&self, headers: &HeaderMap, body: &[u8]) -> Option<String> {
        let (finder, places) = &self.errors;
        let message = places.of_errors_only(&Evidence::new(StatusCode::OK, headers, body, finder))?;
        Some(message::clean(&message))
    }

    /// Whether items have a key at all.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// What makes the item in `line` the same on another page: a text itself, any other value as it is written.
    ///
    /// None without a key path, and where that selects nothing, null, an empty text, or more than one value: such an
    /// item is never taken for another.
    #[must_use]
    pub fn item_key(&self, line: &[u8]) -> Option<String> {
        let line = std::str::from_utf8(line.trim_ascii()).ok()?;
        let found = self.key.as_ref()?.find(line).ok()?;
        let &[(_, json)] = found.values.as_slice() else { return None };
        let key = match Scalar::of(json) {
            Scalar::Compound => {
                let mut compact = Vec::new();
                raw::compact(json, &mut compact);
                String::from_utf8(compact).ok()?
            }
            scalar => scalar.text()?.into_owned(),
        };
        (!key.is_empty()).then_some(key)
    }
}

impl Blank {
    /// What a page without items says; none if it is no such page.
    fn find<'b>(&self, text: &'b str) -> Result<Option<Found<'b>>, Unreadable> {
        let found = self.body.find(text)?;
        let is_blank = self.expected.iter().all(|(value, expected)| expected.is_met(found.all(*value)));
        Ok(is_blank.then_some(found))
    }
}

fn nothing() -> Result<Found<'static>, Unreadable> {
    let mut found = Found::default();
    found.lines.push("null")?;
    Ok(found)
}

#[cfg(test)]
mod tests;
