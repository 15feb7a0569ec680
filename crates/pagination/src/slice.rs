//! Ranges, where only so many items can be reached at once: split into slices, until each is within reach.

use tidegate_contracts::{FetchEnd, NewPages, PageFacts, PagePointer};

use crate::Paging;
use crate::advance::{Advance, advance, first};
use crate::grid::span;

/// Most parts that a slice is split into at once.
const PARTS_MAX: u64 = 16;

/// One slice: what lies in `from..until`.
pub(crate) struct Slice<'a> {
    pub(crate) paging: &'a Paging,
    pub(crate) from: i64,
    pub(crate) until: i64,
    /// Slices that it may become, itself included.
    pub(crate) budget: u32,
}

/// The page that a fetch of a range begins with; none where the range is empty.
#[must_use]
pub fn begin_range(paging: &Paging, from: i64, until: i64) -> Option<NewPages> {
    (from < until).then(|| Slice { paging, from, until, budget: paging.max_pages }.begin())
}

impl Slice<'_> {
    /// Its first page.
    fn begin(&self) -> NewPages {
        let within = NewPages::One { pointer: first(self.paging), ordinal: 0 };
        self.sliced(within)
    }

    fn sliced(&self, within: NewPages) -> NewPages {
        NewPages::Sliced { from: self.from, until: self.until, budget: self.budget, within: Box::new(within) }
    }

    /// Its first page says that it holds more than is within reach, and there is a way to split it.
    pub(crate) fn is_split_first(&self, place: &PagePointer, ordinal: u32, facts: &PageFacts) -> bool {
        ordinal == 0 && !place.is_named() && facts.total.is_some_and(|total| total > self.cap()) && self.can_split()
    }

    fn cap(&self) -> u64 {
        self.paging.slice_cap.unwrap_or(u64::MAX)
    }

    fn can_split(&self) -> bool {
        self.until.saturating_sub(self.from) >= 2 && self.budget >= 2
    }

    pub(crate) fn advance(&self, place: &PagePointer, ordinal: u32, facts: &PageFacts) -> Advance {
        let cap = self.cap();
        if self.is_split_first(place, ordinal, facts) {
            // One more than items that are spread evenly would need, which hardly any are.
            return self.split(facts.total.unwrap_or(cap).div_ceil(cap) + 1);
        }
        // Pages of the slice that this is a part of may hold just these items; what is within reach is few pages.
        let facts = &PageFacts { repeated: false, ..facts.clone() };
        let is_more = facts.total.is_none_or(|total| total > cap);
        let within = Paging { limit: Some(cap), ..self.paging.clone() };
        let Advance { pages, end } = advance(&within, place, ordinal, facts);
        let pages = pages.into_iter().map(|pages| self.sliced(pages)).collect();
        // A stride may lead beyond what is within reach from a page that does not.
        let is_at_cap = match place.place() {
            place @ (PagePointer::Offset { .. } | PagePointer::Number { .. }) => {
                let (start, size) = span(self.paging, place);
                start + u64::from(size) >= cap
            }
            _ => true,
        };
        match end {
            Some(FetchEnd::Limit) if !is_at_cap => Advance { pages, end: Some(FetchEnd::LastPage) },
            // No total told that there is more: what came is asked for again in the parts.
            Some(FetchEnd::Limit) if facts.total.is_none() && self.can_split() => self.split(2),
            Some(FetchEnd::Limit) if is_more => Advance { pages, end: Some(FetchEnd::DepthCap) },
            Some(FetchEnd::Limit) => Advance { pages, end: Some(FetchEnd::LastPage) },
            // Too thin to be split, and more in it than is within reach.
            None if ordinal == 0 && facts.total.is_some_and(|total| total > cap) => {
                Advance { pages, end: Some(FetchEnd::DepthCap) }
            }
            end => Advance { pages, end },
        }
    }

    /// `parts` slices as wide as each other, or as many as can be had.
    fn split(&self, parts: u64) -> Advance {
        let width = self.until.abs_diff(self.from);
        let parts = parts.clamp(2, PARTS_MAX).min(width).min(u64::from(self.budget));
        // No loss: a part of the width is no more than the width.
        let cut = |part: u64| {
            self.from.saturating_add_unsigned((u128::from(width) * u128::from(part) / u128::from(parts)) as u64)
        };
        let budget = self.budget / u32::try_from(parts).unwrap_or(u32::MAX).max(1);
        let slice = |part| Self { from: cut(part), until: cut(part + 1), budget, ..*self }.begin();
        Advance { pages: (0..parts).map(slice).collect(), end: None }
    }
}
