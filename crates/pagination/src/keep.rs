//! Which items of a page are wanted.

use tidegate_contracts::{PageFacts, PagePointer};

use crate::grid::span;
use crate::slice::Slice;
use crate::{Kind, Paging};

/// How many of a page's items are wanted, from the first one: those up to a fetch's `limit`, and none of a slice that will
/// be split, whose items come again in its parts.
#[must_use]
pub fn keep(paging: &Paging, pointer: &PagePointer, ordinal: u32, facts: &PageFacts) -> u32 {
    if let PagePointer::Slice { from, until, budget, place } = pointer
        && (Slice { paging, from: *from, until: *until, budget: *budget }).is_split_first(place, ordinal, facts)
    {
        return 0;
    }
    let Some(limit) = paging.limit else { return facts.items };
    let before = match (paging.kind, pointer.place()) {
        (_, PagePointer::Count) => return 0,
        (Kind::Single, _) => 0,
        (
            Kind::Offset { .. } | Kind::Number { .. },
            place @ (PagePointer::Offset { .. } | PagePointer::Number { .. }),
        ) => span(paging, place).0,
        // With an overlap the first item is one that was counted.
        _ => {
            let before = pointer.trail().map_or(0, |trail| trail.before);
            before.saturating_sub(u64::from(paging.overlaps && ordinal > 0))
        }
    };
    u32::try_from(limit.saturating_sub(before)).map_or(facts.items, |left| left.min(facts.items))
}
