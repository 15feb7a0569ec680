//! Why a fetch asked for no more pages.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What ended a fetch's paging. The ordinary ends and the guards against endless lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FetchEnd {
    /// The last page said so, or the total was reached.
    LastPage,
    /// A page without items.
    BlankPage,
    /// Guard: the next page is one that was already asked for.
    RepeatedPointer,
    /// Guard: the same items as on an earlier page.
    RepeatedPage,
    /// Guard: as many pages as allowed (`max_pages`).
    PageCap,
    /// As many items as were wanted (a step's `limit`).
    Limit,
    /// Guard: all items that were told of are there, and nearly empty pages go on and on.
    TinyPages,
    /// Guard: a slice of a range holds more than can be reached in one, and is too thin to be split.
    DepthCap,
    /// What follows was seen by an earlier run (`stop_at_seen`).
    Seen,
}

impl FetchEnd {
    /// The name as stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LastPage => "last_page",
            Self::BlankPage => "blank_page",
            Self::RepeatedPointer => "repeated_pointer",
            Self::RepeatedPage => "repeated_page",
            Self::PageCap => "page_cap",
            Self::Limit => "limit",
            Self::TinyPages => "tiny_pages",
            Self::DepthCap => "depth_cap",
            Self::Seen => "seen",
        }
    }

    /// A guard stopped it: the list may not be whole.
    #[must_use]
    pub fn is_guard(self) -> bool {
        match self {
            Self::LastPage | Self::BlankPage | Self::Limit | Self::Seen => false,
            Self::RepeatedPointer | Self::RepeatedPage | Self::PageCap | Self::TinyPages | Self::DepthCap => true,
        }
    }
}

impl fmt::Display for FetchEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
