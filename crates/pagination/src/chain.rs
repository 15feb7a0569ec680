//! Lists where each page names the next.

use tidegate_contracts::{FetchEnd, NewPages, Next, PageFacts, PagePointer, Trail};

use crate::Paging;
use crate::advance::Advance;

/// Nearly empty pages in a row, after as many items as were told of, that end a chain.
const TINY_PAGES_MAX: u32 = 3;
/// A page with fewer items than one in so many that were asked for is nearly empty.
const TINY_SHARE: u32 = 10;
/// Easy pages in a row until larger ones are asked for again.
pub(crate) const PATIENCE: u32 = 8;

/// What follows from a page of a chain.
pub(crate) fn chain(paging: &Paging, pointer: &PagePointer, ordinal: u32, facts: &PageFacts) -> Advance {
    let trail = pointer.trail().cloned().unwrap_or_default();
    let came_before = u32::from(paging.overlaps && ordinal > 0).min(facts.items);
    let before = trail.before + u64::from(facts.items - came_before);
    if paging.limit.is_some_and(|limit| before >= limit) {
        return Advance::end(FetchEnd::Limit);
    }
    if facts.items == 0 && paging.blank_page_ends {
        return Advance::end(FetchEnd::BlankPage);
    }
    let asked = trail.size.or(paging.size);
    let is_short = asked.is_some_and(|asked| facts.items < asked);
    // Nothing but the item that ended the page before.
    let is_only_overlap = paging.overlaps && ordinal > 0 && facts.items <= 1;
    if is_only_overlap || (is_short && paging.short_page_ends) {
        return Advance::end(FetchEnd::LastPage);
    }
    let next = match facts.next.clone().filter(|_| facts.has_more != Some(false)) {
        Some(Next::Cursor(cursor)) => PagePointer::Cursor { cursor },
        Some(Next::Url(url)) => PagePointer::Url { url },
        None => return Advance::end(FetchEnd::LastPage),
    };
    if next == *pointer.place() {
        return Advance::end(FetchEnd::RepeatedPointer);
    }
    if facts.repeated {
        return Advance::end(FetchEnd::RepeatedPage);
    }
    let told = facts.total.is_some_and(|total| before >= total);
    let is_tiny = facts.items <= asked.unwrap_or(0) / TINY_SHARE || facts.items <= 1;
    let tiny = if told && is_tiny { trail.tiny + 1 } else { 0 };
    if tiny >= TINY_PAGES_MAX {
        return Advance::end(FetchEnd::TinyPages);
    }
    if ordinal + 1 >= paging.max_pages {
        return Advance::end(FetchEnd::PageCap);
    }
    let counts = paging.limit.is_some() || facts.total.is_some() || paging.slice_cap.is_some();
    let trail = Trail { before: if counts { before } else { 0 }, tiny, ..sized(paging, &trail, facts) };
    Advance::to(NewPages::One { pointer: next.along(trail), ordinal: ordinal + 1 })
}

/// How many items to ask for next: fewer after a page that took too long, and twice as many, up to what is declared,
/// after enough easy ones.
fn sized(paging: &Paging, trail: &Trail, facts: &PageFacts) -> Trail {
    let (Some(min), Some(max)) = (paging.min_size, paging.size) else { return Trail::default() };
    let size = trail.size.unwrap_or(max);
    let is_slow = facts.took_ms.zip(paging.slow_ms).is_some_and(|(took, slow)| took > slow);
    let patience = trail.patience.max(PATIENCE);
    let (size, calm) = match trail.calm + 1 {
        _ if is_slow => ((size / 2).max(min).min(max), 0),
        _ if size >= max => return Trail { patience: trail.patience, ..Trail::default() },
        calm if calm >= patience => (size.saturating_mul(2).min(max), 0),
        calm => (size, calm),
    };
    Trail { size: (size < max).then_some(size), calm, patience: trail.patience, ..Trail::default() }
}
