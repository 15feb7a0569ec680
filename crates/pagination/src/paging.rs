//! How an endpoint pages.

/// What the provider file declares about an endpoint's pages, without names of parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paging {
    /// How pages are pointed at.
    pub kind: Kind,
    /// Most pages of one fetch; a guard, from 1. In a range that is split: of each slice, and most slices.
    pub max_pages: u32,
    /// Pages in flight at once where the size of the list is not known (strided chains), from 1.
    pub parallel: u32,
    /// A page with fewer items than asked for is the last one. Off unless the provider promises it.
    pub short_page_ends: bool,
    /// A page without items ends a chain even when it names a next one.
    pub blank_page_ends: bool,
    /// Items asked for on each page of a chain; `None`: the provider decides.
    pub size: Option<u32>,
    /// Fewest items to ask for when a page is too large; `None`: a page that is too large fails.
    pub min_size: Option<u32>,
    /// A page of a chain that took longer, in ms, makes the next one smaller, down to `min_size`.
    pub slow_ms: Option<u32>,
    /// In a chain, the last item of a page comes again as the first one of the next.
    pub overlaps: bool,
    /// With random access, one page after the other all the same: what appears at the top of the list then moves items to
    /// pages that are still to come, and none is lost.
    pub in_order: bool,
    /// With random access, a call of its own tells the total.
    pub counted: bool,
    /// Most items that can be reached in one slice of a range; `None`: there is no range.
    pub slice_cap: Option<u64>,
    /// Most items of one fetch.
    pub limit: Option<u64>,
}

impl Paging {
    /// `max_pages` where nothing is declared.
    pub const MAX_PAGES_DEFAULT: u32 = 100_000;

    /// Paging of this kind, everything else as by default.
    #[must_use]
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            max_pages: Self::MAX_PAGES_DEFAULT,
            parallel: 1,
            short_page_ends: false,
            blank_page_ends: true,
            size: None,
            min_size: None,
            slow_ms: None,
            overlaps: false,
            in_order: false,
            counted: false,
            slice_cap: None,
            limit: None,
        }
    }

    /// Items on a full page; `None` where the provider decides.
    #[must_use]
    pub fn full_page(&self) -> Option<u32> {
        match self.kind {
            Kind::Single => None,
            Kind::Offset { size } | Kind::Number { size, .. } => Some(size),
            Kind::Chain => self.size,
        }
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
