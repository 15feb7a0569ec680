//! From one page to the next ones.

use tidegate_contracts::{FetchEnd, NewPages, PageFacts, PagePointer, Trail};

use crate::chain::chain;
use crate::grid::Grid;
use crate::slice::Slice;
use crate::{Kind, Paging};

/// What follows from a page.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Advance {
    /// Pages to ask for. May name pages that were named before; those collapse by their ids.
    pub pages: Vec<NewPages>,
    /// Nothing follows from here, and why. Other strides may still run.
    pub end: Option<FetchEnd>,
}

impl Advance {
    pub(crate) fn end(why: FetchEnd) -> Self {
        Self { pages: Vec::new(), end: Some(why) }
    }

    pub(crate) fn to(pages: NewPages) -> Self {
        Self { pages: vec![pages], end: None }
    }
}

/// The page that a fetch begins with; one of a range begins with [`begin_range`](crate::begin_range).
#[must_use]
pub fn begin(paging: &Paging) -> NewPages {
    let pointer = if paging.counted { PagePointer::Count } else { first(paging) };
    NewPages::One { pointer, ordinal: 0 }
}

/// The first page of a list.
pub(crate) fn first(paging: &Paging) -> PagePointer {
    match paging.kind {
        Kind::Single | Kind::Chain => PagePointer::First,
        Kind::Offset { size } => PagePointer::Offset { offset: 0, size },
        Kind::Number { size, first } => PagePointer::Number { page: first, size },
    }
}

/// The pages that follow from the page at `pointer`, the `ordinal`-th of its fetch (from 0), of whose items those are
/// counted that were kept ([`keep`](crate::keep)).
#[must_use]
pub fn advance(paging: &Paging, pointer: &PagePointer, ordinal: u32, facts: &PageFacts) -> Advance {
    if let PagePointer::Slice { from, until, budget, place } = pointer {
        return Slice { paging, from: *from, until: *until, budget: *budget }.advance(place, ordinal, facts);
    }
    match (paging.kind, pointer.place()) {
        (_, PagePointer::Count) => counted(paging, facts),
        (Kind::Single, _) => Advance::end(FetchEnd::LastPage),
        (Kind::Offset { .. } | Kind::Number { .. }, PagePointer::Offset { .. } | PagePointer::Number { .. }) => {
            Grid::of(paging, pointer, ordinal, facts).advance()
        }
        // A chain; also a list by offset or number whose answer led elsewhere.
        _ => chain(paging, pointer, ordinal, facts),
    }
}

/// The number of items is known, or it is not: the first page then tells how many stand on one.
fn counted(paging: &Paging, facts: &PageFacts) -> Advance {
    if facts.total == Some(0) {
        return Advance::end(FetchEnd::BlankPage);
    }
    let pointer = first(paging).along(Trail { total: facts.total, ..Trail::default() });
    Advance::to(NewPages::One { pointer, ordinal: 0 })
}

#[cfg(test)]
#[path = "advance_tests.rs"]
mod tests;
