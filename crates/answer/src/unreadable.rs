//! Why an answer could not be read as a page.

use serde_json::error::Category;
use tidegate_contracts::{Class, MarkError};

use crate::lines::ITEMS_MAX;
use crate::raw::DEPTH_MAX;
use crate::told::CURSOR_MAX_BYTES;

/// Why an answer could not be read as a page. Never an empty page: what can't be read for sure says nothing about
/// the list's end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// There is no body, or only white space.
    #[error("the body is empty")]
    Empty,
    /// The body is an HTML page.
    #[error("the body is an HTML page, JSON was expected")]
    Html,
    /// The body is XML of another kind.
    #[error("the body is XML, JSON was expected")]
    Xml,
    /// The body is not UTF-8.
    #[error("the body is not UTF-8: the byte at {at} can't stand there")]
    NotUtf8 {
        /// Bytes before the first wrong one.
        at: usize,
    },
    /// The body is not JSON.
    #[error("the body is not JSON: {problem} at line {line}, column {column}")]
    NotJson {
        /// What the decoder said.
        problem: String,
        /// From 1.
        line: usize,
        /// From 1, in bytes.
        column: usize,
    },
    /// The JSON breaks off.
    #[error("the body breaks off after {bytes} bytes, in the middle of its JSON")]
    Truncated {
        /// Length of what there is.
        bytes: usize,
    },
    /// The JSON nests deeper than [`DEPTH_MAX`].
    #[error("the body's JSON nests deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// There is nothing where the items should be.
    #[error("the body has no `{path}`, where the items should be")]
    NoItems {
        /// The items selector.
        path: String,
    },
    /// A call that asks how many items there are is not told.
    #[error("the answer does not say how many items there are")]
    NoTotal,
    /// There is something else where the items should be.
    #[error("the body has {found} at `{path}`, where a list of items should be")]
    NotItems {
        /// The items selector.
        path: String,
        /// What kind of value, such as "a text".
        found: &'static str,
    },
    /// There are no items, and an error stands beside them.
    #[error("there are no items, and an error beside them: {message}")]
    ErrorBeside {
        /// The third party's text, in one line.
        message: String,
    },
    /// There are more than [`ITEMS_MAX`] items.
    #[error("the page has more than {ITEMS_MAX} items")]
    TooManyItems,
    /// What names the next page is neither a text nor a number.
    #[error("`{source_text}` is {found}, where the next page's cursor or address should be")]
    NextNotText {
        /// The selector.
        source_text: String,
        /// What kind of value.
        found: &'static str,
    },
    /// The last item lacks the field that names the next page.
    #[error("the page's last item has no `{path}`, which names the next page")]
    NoNextInItem {
        /// The path in the item.
        path: String,
    },
    /// The next page's cursor or address is longer than [`CURSOR_MAX_BYTES`].
    #[error("the next page's cursor or address is longer than {CURSOR_MAX_BYTES} bytes")]
    NextTooLong,
    /// The next page's address is none.
    #[error("the next page's address can't be read: {problem}")]
    BadNext {
        /// What is wrong with it.
        problem: String,
    },
    /// The next page's address is of another origin; a token never travels there.
    #[error("the next page's address leads to another origin, {origin}")]
    ForeignNext {
        /// Scheme, host and port; only the scheme if it has no such thing.
        origin: String,
    },
    /// An item lacks the value that tells whether it is new.
    #[error("item {item} has no `{path}`, which tells what is new")]
    NoMark {
        /// The path in the item.
        path: String,
        /// Which on the page, from 1.
        item: usize,
    },
    /// The value that tells whether an item is new is not one, or does not compare with others.
    #[error("`{path}` of item {item}, which tells what is new: {source}")]
    BadMark {
        /// The path in the item.
        path: String,
        /// Which on the page, from 1.
        item: usize,
        /// Why.
        source: MarkError,
    },
}

impl Unreadable {
    /// What it means for the call: `too_large`, `blocked` and `invalid` where the same answer can only come again, else
    /// `suspect`, which is tried again.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::TooDeep | Self::TooManyItems | Self::NextTooLong => Class::TooLarge,
            Self::ForeignNext { .. } => Class::Blocked,
            Self::NoMark { .. } | Self::BadMark { .. } => Class::Invalid,
            _ => Class::Suspect,
        }
    }
}

/// What the decoder's error about `text` means.
pub(crate) fn not_json(text: &str, error: &serde_json::Error) -> Unreadable {
    let shown = error.to_string();
    let problem = shown.split(" at line ").next().unwrap_or_default();
    match error.classify() {
        Category::Eof => Unreadable::Truncated { bytes: text.len() },
        _ if problem.starts_with("recursion limit") => Unreadable::TooDeep,
        _ => Unreadable::NotJson { problem: problem.to_owned(), line: error.line(), column: error.column() },
    }
}
