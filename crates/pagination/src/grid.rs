//! Lists with random access: by number of items before a page, or by page number.

use tidegate_contracts::{FetchEnd, NewPages, PageFacts, PagePointer, Trail};

use crate::advance::Advance;
use crate::{Kind, Paging};

/// One page of a list with random access. Offsets and page numbers differ only in how a pointer is written.
pub(crate) struct Grid<'a> {
    paging: &'a Paging,
    /// Pages before this one.
    at: u64,
    /// Items before this page.
    start: u64,
    /// Items asked for; of a part, by the page that it is a part of.
    size: u32,
    /// Items asked for by this very page.
    asked: u32,
    /// Items before the rest of the page that it is a part of, where there is a rest.
    rest: Option<u64>,
    ordinal: u32,
    facts: &'a PageFacts,
    trail: Trail,
}

/// Items before the page at a place, and items asked for there.
pub(crate) fn span(paging: &Paging, place: &PagePointer) -> (u64, u32) {
    match (place, paging.kind) {
        (PagePointer::Offset { offset, size }, _) => (*offset, *size),
        (PagePointer::Number { page, size }, Kind::Number { first, .. }) => {
            (page.saturating_sub(first).saturating_mul(u64::from(*size)), *size)
        }
        _ => (0, 1),
    }
}

impl<'a> Grid<'a> {
    pub(crate) fn of(paging: &'a Paging, pointer: &PagePointer, ordinal: u32, facts: &'a PageFacts) -> Self {
        let trail = pointer.trail().cloned().unwrap_or_default();
        let (own_start, asked) = span(paging, pointer.place());
        // A part stands for the whole page, whose place the strides go by.
        let (start, size) = trail.part_of.as_deref().map_or((own_start, asked), |whole| span(paging, whole));
        let own_end = own_start + u64::from(asked);
        let rest = Some(own_end).filter(|own_end| *own_end < start + u64::from(size));
        let at = start / u64::from(size.max(1));
        Self { paging, at, start, size, asked, rest, ordinal, facts, trail }
    }

    pub(crate) fn advance(&self) -> Advance {
        let Self { facts, paging, .. } = self;
        let total = self.total();
        if let Some(rest) = self.rest
            && let Some(part) = self.next_part(rest, total)
        {
            return Advance::to(part);
        }
        let end = self.start + u64::from(self.size);
        // Of a list that is read in order a blank page may stand in the middle.
        let is_blank = facts.items == 0 && self.trail.before == 0;
        if is_blank && !(paging.in_order && total.is_some_and(|total| total > end)) {
            return Advance::end(FetchEnd::BlankPage);
        }
        let reached = if self.ordinal == 0 { self.start + u64::from(facts.items) } else { end };
        if paging.limit.is_some_and(|limit| reached >= limit) {
            return Advance::end(FetchEnd::Limit);
        }
        let reached = reached.max(self.start + u64::from(facts.items));
        if facts.has_more == Some(false) || total.is_some_and(|total| reached >= total && !self.told_more()) {
            return Advance::end(FetchEnd::LastPage);
        }
        if total.is_none() && paging.short_page_ends && facts.items < self.asked {
            return Advance::end(FetchEnd::LastPage);
        }
        if facts.repeated && total.is_none() {
            return Advance::end(FetchEnd::RepeatedPage);
        }
        match total {
            _ if paging.in_order => self.stride(1),
            Some(total) if total > reached && self.ordinal == 0 => self.all_up_to(1, total),
            // The list has grown since this was planned as its last page.
            Some(total) if total > reached && self.trail.last => self.all_up_to(self.at + 1, total),
            // The first page planned all; a page after the told end goes on alone while the answers say there is more.
            Some(_) if !self.beyond_total() => Advance::default(),
            Some(_) => self.stride(1),
            // All was planned by what was counted; it goes on where pages have more than that.
            None if paging.counted && self.ordinal > 0 && !self.trail.last => Advance::default(),
            None if paging.counted && facts.items < self.asked => Advance::end(FetchEnd::LastPage),
            None if paging.counted => self.stride(1),
            None if self.ordinal == 0 => self.open_strides(),
            // Believed until here, so nobody has asked for a page after this one.
            None if facts.total.is_some() => self.stride(1),
            None => self.stride(u64::from(paging.parallel.max(1))),
        }
    }

    /// The next part of the page that this one is a part of, unless the list ends before it.
    fn next_part(&self, rest: u64, total: Option<u64>) -> Option<NewPages> {
        let is_end = self.facts.has_more == Some(false)
            || total.is_some_and(|total| rest >= total && !self.told_more())
            || self.paging.limit.is_some_and(|limit| rest >= limit);
        if is_end {
            return None;
        }
        let left = u32::try_from(self.start + u64::from(self.size) - rest).unwrap_or(u32::MAX);
        let place = match self.paging.kind {
            Kind::Number { first, .. } => {
                PagePointer::Number { page: first + rest / u64::from(self.asked.max(1)), size: self.asked }
            }
            _ => PagePointer::Offset { offset: rest, size: self.asked.min(left) },
        };
        let before = self.trail.before + u64::from(self.facts.items);
        let pointer = place.along(Trail { before, ..self.trail.clone() });
        Some(NewPages::One { pointer, ordinal: self.ordinal })
    }

    /// The list's size, unless the pages belie it: the first one has more items, or one stands where none should be. Such
    /// is a total of pages, or one that is always 0. A page in between may well hold more than was counted, as an
    /// advertisement; but the last one is not full, unless that is where the list ends. By page number, where a later page begins is a guess if the provider grants less than was asked for.
    fn total(&self) -> Option<u64> {
        let Self { facts, .. } = self;
        let place_is_known = facts.items == self.asked || matches!(self.paging.kind, Kind::Offset { .. });
        facts.total.or(self.trail.total).filter(|total| match self.ordinal {
            0 => u64::from(facts.items) <= *total,
            // One after the other, nobody has planned what may lie beyond a guess; a blank page ends it.
            _ if self.paging.in_order && !place_is_known && facts.items > 0 => false,
            _ if self.overflows(*total) => false,
            _ => self.start < *total || !place_is_known || facts.items == 0,
        })
    }

    /// A full page stands where so many items leave room for a part of one only.
    fn overflows(&self, total: u64) -> bool {
        let is_full = self.asked == self.size && self.facts.items >= self.asked;
        is_full && self.start < total && self.start + u64::from(self.size) > total
    }

    /// The answer itself says that another page follows, whatever the total says.
    fn told_more(&self) -> bool {
        self.facts.has_more == Some(true) || self.facts.next.is_some()
    }

    fn beyond_total(&self) -> bool {
        let total = self.facts.total.or(self.trail.total);
        self.told_more() && total.is_some_and(|total| self.start + u64::from(self.size) >= total)
    }

    /// Items on each further page: what the first page really held, where the provider caps pages below what was asked.
    /// A first page that is short for another reason costs calls, never items.
    fn step(&self) -> u32 {
        if self.ordinal == 0 && self.facts.items > 0 { self.facts.items.min(self.size) } else { self.size }
    }

    /// All pages from the `from`-th up to the end of a list of `total` items. The last one looks further.
    fn all_up_to(&self, from: u64, total: u64) -> Advance {
        let wanted = total.min(self.paging.limit.unwrap_or(total));
        let cap = u64::from(self.paging.max_pages);
        let pages = wanted.div_ceil(u64::from(self.step()));
        let until = pages.min(cap);
        let end = (pages > cap).then_some(FetchEnd::PageCap);
        if from >= until {
            return Advance { pages: Vec::new(), end };
        }
        let mut planned = Vec::with_capacity(2);
        if from + 1 < until {
            planned.push(self.range(from, until - 1));
        }
        let trail = Trail { last: wanted == total && end.is_none(), ..self.onward() };
        for (pointer, ordinal) in self.range(until - 1, until).pointers() {
            planned.push(NewPages::One { pointer: pointer.along(trail.clone()), ordinal });
        }
        Advance { pages: planned, end }
    }

    fn open_strides(&self) -> Advance {
        let last = self.clip(u64::from(self.paging.parallel.max(1)) + 1).min(u64::from(self.paging.max_pages));
        if last <= 1 {
            return Advance::end(FetchEnd::PageCap);
        }
        Advance::to(self.range(1, last))
    }

    fn stride(&self, stride: u64) -> Advance {
        let to = self.at + stride;
        if self.clip(to + 1) <= to {
            return Advance::end(FetchEnd::Limit);
        }
        if to >= u64::from(self.paging.max_pages) {
            return Advance::end(FetchEnd::PageCap);
        }
        let range = self.range(to, to + 1);
        let trail = self.onward();
        if trail == Trail::default() {
            return Advance::to(range);
        }
        let one =
            |(pointer, ordinal): (PagePointer, u32)| NewPages::One { pointer: pointer.along(trail.clone()), ordinal };
        Advance { pages: range.pointers().map(one).collect(), end: None }
    }

    /// What the pages that follow from this one know: a total that was counted, and that they are the last.
    fn onward(&self) -> Trail {
        Trail { total: self.trail.total, last: self.paging.counted, ..Trail::default() }
    }

    /// `until`, or the number of the first page beyond what is wanted, if that is less.
    fn clip(&self, until: u64) -> u64 {
        self.paging.limit.map_or(until, |limit| until.min(limit.div_ceil(u64::from(self.step()))))
    }

    /// Pages `from` up to, but not including, `until`, counted from 0.
    fn range(&self, from: u64, until: u64) -> NewPages {
        let size = self.step();
        let ordinal = u32::try_from(from).unwrap_or(u32::MAX);
        match self.paging.kind {
            // A page number keeps the size that was asked for: the provider counts pages by what it grants for that.
            Kind::Number { first, .. } => {
                NewPages::Numbers { from: first + from, until: first + until, size: self.size, ordinal }
            }
            _ => NewPages::Offsets { from: from * u64::from(size), until: until * u64::from(size), size, ordinal },
        }
    }
}
