//! Pages: where a call stands in its fetch, and what its answer said about the others.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Where a call stands in its fetch.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "at", rename_all = "snake_case")]
pub enum PagePointer {
    /// The first page of a chain, or the only one.
    First,
    /// `size` items from `offset` (both in items).
    Offset {
        /// Items before this page.
        offset: u64,
        /// Items asked for.
        size: u32,
    },
    /// Page number `page` of `size` items each.
    Number {
        /// As the provider counts it (from 0 or from 1).
        page: u64,
        /// Items asked for.
        size: u32,
    },
    /// What the page before called the next one.
    Cursor {
        /// Opaque.
        cursor: String,
    },
    /// The address that the page before gave for the next one.
    Url {
        /// Absolute, of the provider's own origin.
        url: String,
    },
}

impl PagePointer {
    /// One text for each pointer; call ids are derived from it.
    #[must_use]
    pub fn canonical(&self) -> String {
        match self {
            Self::First => "first".to_owned(),
            Self::Offset { offset, size } => format!("offset:{offset}:{size}"),
            Self::Number { page, size } => format!("number:{page}:{size}"),
            Self::Cursor { cursor } => format!("cursor:{cursor}"),
            Self::Url { url } => format!("url:{url}"),
        }
    }
}

impl fmt::Display for PagePointer {
    /// Short, for people: never a cursor or address whole (an address may carry what should not be shown).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::First => f.write_str("first page"),
            Self::Offset { offset, size } => write!(f, "items {offset} to {}", offset + u64::from(*size)),
            Self::Number { page, .. } => write!(f, "page {page}"),
            Self::Cursor { .. } => f.write_str("next page by cursor"),
            Self::Url { .. } => f.write_str("next page by address"),
        }
    }
}

/// What a page called the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Next {
    /// An opaque cursor.
    Cursor(String),
    /// An absolute address of the provider's own origin.
    Url(String),
}

/// A hash of a page's items; equal for equal pages.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub i64);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What the planner needs to know of a page; the items themselves stay in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageFacts {
    /// Items on the page.
    pub items: u32,
    /// Items in the whole list, if the answer said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// The next page, if the answer named one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Next>,
    /// Whether there is more, if the answer said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub has_more: Option<bool>,
    /// Hash of the items.
    pub fingerprint: Fingerprint,
    /// The same items were already on another page of this fetch.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
}
