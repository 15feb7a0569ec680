//! From one page to the next ones.

use tidegate_contracts::{FetchEnd, NewPages, Next, PageFacts, PagePointer};

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
    fn end(why: FetchEnd) -> Self {
        Self { pages: Vec::new(), end: Some(why) }
    }

    fn to(pages: NewPages) -> Self {
        Self { pages: vec![pages], end: None }
    }
}

/// The page that a fetch begins with.
#[must_use]
pub fn begin(paging: &Paging) -> NewPages {
    let pointer = match paging.kind {
        Kind::Single | Kind::Chain => PagePointer::First,
        Kind::Offset { size } => PagePointer::Offset { offset: 0, size },
        Kind::Number { size, first } => PagePointer::Number { page: first, size },
    };
    NewPages::One { pointer, ordinal: 0 }
}

/// The pages that follow from the page at `pointer`, the `ordinal`-th of its fetch (from 0).
#[must_use]
pub fn advance(paging: &Paging, pointer: &PagePointer, ordinal: u32, facts: &PageFacts) -> Advance {
    match (paging.kind, pointer) {
        (Kind::Single, _) => Advance::end(FetchEnd::LastPage),
        (Kind::Offset { .. }, PagePointer::Offset { offset, size }) => {
            Grid { paging, at: offset / u64::from((*size).max(1)), start: *offset, size: *size, ordinal, facts }
                .advance()
        }
        (Kind::Number { first, .. }, PagePointer::Number { page, size }) => {
            let at = page.saturating_sub(first);
            Grid { paging, at, start: at * u64::from(*size), size: *size, ordinal, facts }.advance()
        }
        // A chain; also a list by offset or number whose answer led elsewhere.
        _ => chain(paging, pointer, ordinal, facts),
    }
}

fn chain(paging: &Paging, pointer: &PagePointer, ordinal: u32, facts: &PageFacts) -> Advance {
    if facts.items == 0 && paging.blank_page_ends {
        return Advance::end(FetchEnd::BlankPage);
    }
    let next = match &facts.next {
        Some(next) if facts.has_more != Some(false) => next,
        _ => return Advance::end(FetchEnd::LastPage),
    };
    let next = match next.clone() {
        Next::Cursor(cursor) => PagePointer::Cursor { cursor },
        Next::Url(url) => PagePointer::Url { url },
    };
    if next == *pointer {
        return Advance::end(FetchEnd::RepeatedPointer);
    }
    if facts.repeated {
        return Advance::end(FetchEnd::RepeatedPage);
    }
    if ordinal + 1 >= paging.max_pages {
        return Advance::end(FetchEnd::PageCap);
    }
    Advance::to(NewPages::One { pointer: next, ordinal: ordinal + 1 })
}

/// One page of a list with random access. Offsets and page numbers differ only in how a pointer is written.
struct Grid<'a> {
    paging: &'a Paging,
    /// Pages before this one.
    at: u64,
    /// Items before this page.
    start: u64,
    /// Items asked for.
    size: u32,
    ordinal: u32,
    facts: &'a PageFacts,
}

impl Grid<'_> {
    fn advance(&self) -> Advance {
        let Self { facts, paging, .. } = self;
        if facts.items == 0 {
            return Advance::end(FetchEnd::BlankPage);
        }
        let reached = self.start + u64::from(facts.items.max(if self.ordinal == 0 { 0 } else { self.size }));
        let total = self.total();
        if facts.has_more == Some(false) || total.is_some_and(|total| reached >= total && !self.told_more()) {
            return Advance::end(FetchEnd::LastPage);
        }
        if total.is_none() && paging.short_page_ends && facts.items < self.size {
            return Advance::end(FetchEnd::LastPage);
        }
        if facts.repeated && total.is_none() {
            return Advance::end(FetchEnd::RepeatedPage);
        }
        match total {
            Some(total) if self.ordinal == 0 && total > reached => self.all_up_to(total),
            // The first page planned all; a page after the told end goes on alone while the answers say there is more.
            Some(_) if !self.beyond_total() => Advance::default(),
            Some(_) => self.stride(1),
            None if self.ordinal == 0 => self.open_strides(),
            // Believed until here, so nobody has asked for a page after this one.
            None if facts.total.is_some() => self.stride(1),
            None => self.stride(u64::from(paging.parallel.max(1))),
        }
    }

    /// The list's size, unless the pages belie it: the first one has more items, or one stands where none should be. Such
    /// is a total of pages, or one that is always 0. A page in between may well hold more than was counted, as an
    /// advertisement. By page number, where a later page begins is a guess if the provider grants less than was asked for.
    fn total(&self) -> Option<u64> {
        let Self { facts, .. } = self;
        let place_is_known = facts.items == self.size || matches!(self.paging.kind, Kind::Offset { .. });
        facts.total.filter(|total| match self.ordinal {
            0 => u64::from(facts.items) <= *total,
            _ => self.start < *total || !place_is_known,
        })
    }

    /// The answer itself says that another page follows, whatever the total says.
    fn told_more(&self) -> bool {
        self.facts.has_more == Some(true) || self.facts.next.is_some()
    }

    fn beyond_total(&self) -> bool {
        self.told_more() && self.facts.total.is_some_and(|total| self.start + u64::from(self.size) >= total)
    }

    /// Items on each further page: what the first page really held, where the provider caps pages below what was asked.
    /// A first page that is short for another reason costs calls, never items.
    fn step(&self) -> u32 {
        if self.ordinal == 0 { self.facts.items.min(self.size).max(1) } else { self.size }
    }

    fn all_up_to(&self, total: u64) -> Advance {
        let step = u64::from(self.step());
        let cap = u64::from(self.paging.max_pages);
        let pages = total.div_ceil(step);
        let range = self.range(1, pages.min(cap));
        Advance {
            pages: if range.count() > 0 { vec![range] } else { Vec::new() },
            end: (pages > cap).then_some(FetchEnd::PageCap),
        }
    }

    fn open_strides(&self) -> Advance {
        let last = u64::from(self.paging.parallel.max(1)).min(u64::from(self.paging.max_pages) - 1);
        if last == 0 {
            return Advance::end(FetchEnd::PageCap);
        }
        Advance::to(self.range(1, last + 1))
    }

    fn stride(&self, stride: u64) -> Advance {
        let to = self.at + stride;
        if to >= u64::from(self.paging.max_pages) {
            return Advance::end(FetchEnd::PageCap);
        }
        Advance::to(self.range(to, to + 1))
    }

    /// Pages `from` up to, but not including, `until`, counted from 0.
    fn range(&self, from: u64, until: u64) -> NewPages {
        let size = self.step();
        let ordinal = u32::try_from(from).unwrap_or(u32::MAX);
        match self.paging.kind {
            Kind::Number { first, .. } => {
                NewPages::Numbers { from: first + from, until: first + until, size: self.number_size(), ordinal }
            }
            _ => NewPages::Offsets { from: from * u64::from(size), until: until * u64::from(size), size, ordinal },
        }
    }

    /// A page number keeps the size that was asked for: the provider counts pages by what it grants for that size.
    fn number_size(&self) -> u32 {
        self.size
    }
}

#[cfg(test)]
#[path = "advance_tests.rs"]
mod tests;
