//! The same items in smaller pages.

use tidegate_contracts::{NewPages, PagePointer, Trail};

use crate::chain::PATIENCE;
use crate::grid::span;
use crate::{Kind, Paging};

/// Longest wait for larger pages, in easy pages.
const PATIENCE_MAX: u32 = 64;

/// The pages to ask for in place of one that is too large: the same items, each once. `None`: its size is the provider's
/// choice, or as small as it may be, and the call fails.
///
/// A chain goes on from the same place with half as many items. A page of a list with random access is cut into parts, one
/// of which leads to the next; but for the first page, whose size all others take over.
#[must_use]
pub fn shrink(paging: &Paging, pointer: &PagePointer, ordinal: u32) -> Option<Vec<NewPages>> {
    let min = paging.min_size?.max(1);
    if let PagePointer::Slice { from, until, budget, place } = pointer {
        let sliced =
            |within| NewPages::Sliced { from: *from, until: *until, budget: *budget, within: Box::new(within) };
        return Some(shrink(paging, place, ordinal)?.into_iter().map(sliced).collect());
    }
    let trail = pointer.trail().cloned().unwrap_or_default();
    let place = pointer.place();
    let one = |pointer, ordinal| NewPages::One { pointer, ordinal };
    match (place, paging.kind) {
        (PagePointer::Count, _) | (_, Kind::Single) => None,
        (PagePointer::Offset { offset: 0, size }, _) if ordinal == 0 => {
            let size = smaller(*size, min)?;
            Some(vec![one(PagePointer::Offset { offset: 0, size }.along(trail), 0)])
        }
        (PagePointer::Number { page, size }, Kind::Number { first, .. }) if ordinal == 0 && *page == first => {
            let size = smaller(*size, min)?;
            Some(vec![one(PagePointer::Number { page: *page, size }.along(trail), 0)])
        }
        (PagePointer::Offset { offset, size }, _) => {
            let part = PagePointer::Offset { offset: *offset, size: smaller(*size, min)? };
            Some(vec![first_part(place, trail, part, ordinal)])
        }
        (PagePointer::Number { size, .. }, Kind::Number { first, .. }) => {
            // Page numbers count whole pages: only a size that divides this one begins and ends where it does.
            let pieces = (2..=*size).find(|pieces| size.is_multiple_of(*pieces))?;
            let part = Some(size / pieces).filter(|part| *part >= min)?;
            let page = first + span(paging, place).0 / u64::from(part);
            Some(vec![first_part(place, trail, PagePointer::Number { page, size: part }, ordinal)])
        }
        _ => {
            let size = smaller(trail.size.or(paging.size)?, min)?;
            // Too large again as soon as it was made larger: that takes longer the next time.
            let patience = if trail.patience > 0 && trail.calm == 0 {
                (trail.patience * 2).min(PATIENCE_MAX)
            } else {
                trail.patience.max(PATIENCE)
            };
            let trail = Trail { size: Some(size), calm: 0, patience, ..trail };
            Some(vec![one(place.clone().along(trail), ordinal)])
        }
    }
}

fn smaller(size: u32, min: u32) -> Option<u32> {
    Some((size / 2).max(min)).filter(|smaller| *smaller < size)
}

/// The first part of the page at `place`, or of the one that it is a part of itself. Each part leads to the next.
fn first_part(place: &PagePointer, trail: Trail, part: PagePointer, ordinal: u32) -> NewPages {
    let part_of = trail.part_of.clone().unwrap_or_else(|| Box::new(place.clone()));
    NewPages::One { pointer: part.along(Trail { part_of: Some(part_of), ..trail }), ordinal }
}
