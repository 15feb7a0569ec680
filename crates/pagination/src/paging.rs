//! How an endpoint pages.

/// What the provider file declares about an endpoint's pages, without names of parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    /// How pages are pointed at.
    pub kind: Kind,
    /// Most pages of one fetch; a guard, from 1.
    pub max_pages: u32,
    /// Pages in flight at once where the size of the list is not known (strided chains), from 1.
    pub parallel: u32,
    /// A page with fewer items than asked for is the last one. Off unless the provider promises it.
    pub short_page_ends: bool,
    /// A page without items ends a chain even when it names a next one.
    pub blank_page_ends: bool,
}

impl Paging {
    /// `max_pages` where nothing is declared.
    pub const MAX_PAGES_DEFAULT: u32 = 100_000;

    /// Paging of this kind, everything else as by default.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self { kind, max_pages: Self::MAX_PAGES_DEFAULT, parallel: 1, short_page_ends: false, blank_page_ends: true }
    }
}

/// How pages are pointed at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One answer, no pages.
    Single,
    /// Random access by number of items before the page.
    Offset {
        /// Items to ask for, from 1.
        size: u32,
    },
    /// Random access by page number.
    Number {
        /// Items to ask for, from 1.
        size: u32,
        /// Number of the first page, 0 or 1.
        first: u64,
    },
    /// Each page names the next: a cursor, a `Link` header, an address in the body.
    Chain,
}
