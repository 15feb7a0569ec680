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
    /// The page at `place`, with what the pages that follow from it must know.
    Along {
        /// Where.
        place: Box<PagePointer>,
        /// What came before it, and how it is to be asked for.
        #[serde(flatten)]
        trail: Trail,
    },
    /// A page of one slice of a range: what lies in `from..until`, in the units of the range.
    Slice {
        /// First unit.
        from: i64,
        /// End, exclusive.
        until: i64,
        /// Slices that this one may become, itself included.
        budget: u32,
        /// Where in the slice.
        place: Box<PagePointer>,
    },
    /// No page: how many items there are, asked by a call of its own.
    Count,
}

/// What a page's pointer knows of the pages before it. Nothing of it but `size` tells a page from another.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct Trail {
    /// Items to ask for where a pointer of this kind does not say, and it is not as many as declared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<u32>,
    /// Items on the pages before, in its chain.
    #[serde(skip_serializing_if = "is_zero")]
    pub before: u64,
    /// Pages in a row that came easily at this size.
    #[serde(skip_serializing_if = "is_zero")]
    pub calm: u32,
    /// Such pages that it takes until larger ones are asked for; 0: as many as usual.
    #[serde(skip_serializing_if = "is_zero")]
    pub patience: u32,
    /// Nearly empty pages in a row, after as many items as were told of.
    #[serde(skip_serializing_if = "is_zero")]
    pub tiny: u32,
    /// Items in the list, as counted before its first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// The list's last page, as far as was known when it was planned.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub last: bool,
    /// The page that was too large, of which this is a part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part_of: Option<Box<PagePointer>>,
}

/// Whether a number need not be written.
fn is_zero<T: Default + PartialEq>(number: &T) -> bool {
    *number == T::default()
}

impl PagePointer {
    /// This place with a trail; itself where there is nothing to know.
    #[must_use]
    pub fn along(self, trail: Trail) -> Self {
        if trail == Trail::default() { self } else { Self::Along { place: Box::new(self), trail } }
    }

    /// The page of one slice.
    #[must_use]
    pub fn within(self, from: i64, until: i64, budget: u32) -> Self {
        Self::Slice { from, until, budget, place: Box::new(self) }
    }

    /// The place alone: neither [`Along`](Self::Along) nor [`Slice`](Self::Slice).
    #[must_use]
    pub fn place(&self) -> &Self {
        match self {
            Self::Along { place, .. } | Self::Slice { place, .. } => place.place(),
            place => place,
        }
    }

    /// What is known of the pages before; none where nothing is.
    #[must_use]
    pub fn trail(&self) -> Option<&Trail> {
        match self {
            Self::Along { trail, .. } => Some(trail),
            Self::Slice { place, .. } => place.trail(),
            _ => None,
        }
    }

    /// Only the page before could name it: a cursor or an address.
    #[must_use]
    pub fn is_named(&self) -> bool {
        matches!(self.place(), Self::Cursor { .. } | Self::Url { .. })
    }

    /// Items to ask for, where the pointer says.
    #[must_use]
    pub fn size(&self) -> Option<u32> {
        match self.place() {
            Self::Offset { size, .. } | Self::Number { size, .. } => Some(*size),
            _ => self.trail().and_then(|trail| trail.size),
        }
    }

    /// One text for each pointer; call ids are derived from it.
    #[must_use]
    pub fn canonical(&self) -> String {
        match self {
            Self::First => "first".to_owned(),
            Self::Offset { offset, size } => format!("offset:{offset}:{size}"),
            Self::Number { page, size } => format!("number:{page}:{size}"),
            Self::Cursor { cursor } => format!("cursor:{cursor}"),
            Self::Url { url } => format!("url:{url}"),
            Self::Along { place, trail } => match trail.size {
                None => place.canonical(),
                Some(size) => format!("sized:{size}:{}", place.canonical()),
            },
            Self::Slice { from, until, place, .. } => format!("slice:{from}:{until}:{}", place.canonical()),
            Self::Count => "count".to_owned(),
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
            Self::Along { place, trail: Trail { size: Some(size), .. } } => write!(f, "{place}, {size} items"),
            Self::Along { place, .. } => place.fmt(f),
            Self::Slice { from, until, place, .. } => write!(f, "{from} to {until}: {place}"),
            Self::Count => f.write_str("number of items"),
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

/// A hash of a page's items, or of their keys; equal for equal pages.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub i64);

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// What the planner needs to know of a page; the items themselves stay in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// How long the call took, in ms, where that decides how many items are asked for next.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u32>,
    /// Items left out, since earlier runs have seen them; not among `items`.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub seen: u32,
    /// The last item in the answer is one of those.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ends_seen: bool,
}

impl PageFacts {
    /// As the answer had it, with what was left out: pagination goes by what the provider holds.
    #[must_use]
    pub fn as_answered(&self) -> Self {
        Self { items: self.items.saturating_add(self.seen), ..self.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_page_knows_of_others_does_not_make_it_another_page_but_its_size_does() {
        let cursor = PagePointer::Cursor { cursor: "a".to_owned() };
        let along = |trail| cursor.clone().along(trail).canonical();
        assert_eq!(along(Trail { before: 7, tiny: 1, calm: 2, patience: 3, ..Trail::default() }), cursor.canonical());
        assert_ne!(along(Trail { size: Some(5), ..Trail::default() }), cursor.canonical());
        let slice = |budget, until| cursor.clone().within(0, until, budget).canonical();
        assert_eq!(slice(1, 5), slice(9, 5));
        assert_ne!(slice(1, 5), slice(1, 6));
    }

    #[test]
    fn a_pointer_with_a_trail_reads_back_as_it_was_written() {
        let part_of = Some(Box::new(PagePointer::Offset { offset: 0, size: 10 }));
        let trail = Trail { before: 7, size: Some(3), total: Some(9), last: true, part_of, ..Trail::default() };
        let pointer = PagePointer::First.along(trail).within(-5, 5, 100);
        let text = serde_json::to_string(&pointer).unwrap();
        assert_eq!(serde_json::from_str::<PagePointer>(&text).unwrap(), pointer, "{text}");
        assert_eq!((pointer.place(), pointer.size()), (&PagePointer::First, Some(3)));
    }
}
