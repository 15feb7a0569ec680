//! The one way in which pages are pointed at.

use super::Pages;
use crate::selector::Selector;

/// How a page is pointed at, with what is needed for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Way<'p> {
    /// By this parameter, in items.
    Offset(&'p str),
    /// By this parameter, in pages.
    Number(&'p str),
    /// By this parameter, opaque.
    Cursor(&'p str),
    /// By the link with this relation.
    Link(&'p str),
    /// By the address found here.
    Url(&'p Selector),
    /// By the query parameters found here.
    Query(&'p Selector),
}

impl<'p> Way<'p> {
    /// The declared way; the first one where several are.
    pub(crate) fn of(pages: &'p Pages) -> Option<Self> {
        Self::all(pages).into_iter().next()
    }

    /// All declared ways; more than one is a mistake.
    pub(crate) fn all(pages: &'p Pages) -> Vec<Self> {
        let ways = [
            pages.offset.as_deref().map(Self::Offset),
            pages.page.as_deref().map(Self::Number),
            pages.cursor.as_deref().map(Self::Cursor),
            pages.link.as_deref().map(Self::Link),
            pages.next_url.as_ref().map(Self::Url),
            pages.next_query.as_ref().map(Self::Query),
        ];
        ways.into_iter().flatten().collect()
    }

    /// The field that declares it.
    pub(crate) fn field(self) -> &'static str {
        match self {
            Self::Offset(_) => "offset",
            Self::Number(_) => "page",
            Self::Cursor(_) => "cursor",
            Self::Link(_) => "link",
            Self::Url(_) => "next_url",
            Self::Query(_) => "next_query",
        }
    }

    /// Any page can be asked for, not only the one after.
    pub(crate) fn is_random_access(self) -> bool {
        matches!(self, Self::Offset(_) | Self::Number(_))
    }
}
