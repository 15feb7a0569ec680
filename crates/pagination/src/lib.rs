//! Pagination, pure: which pages a fetch begins with, and which follow from a page that came in.
//!
//! No selectors, no HTTP: [`PageFacts`](tidegate_contracts::PageFacts) say what an answer told, [`Paging`] says what the
//! provider file declares. Every decision is a function of one page alone, so it may be taken twice, late or out of order:
//! pages are named by [`PagePointer`](tidegate_contracts::PagePointer)s, and the same pointer is the same call. What must be
//! known of pages before travels with the pointer ([`Trail`](tidegate_contracts::Trail)).
//!
//! | known | strategy |
//! | --- | --- |
//! | random access and a total | all remaining pages at once |
//! | random access, no total | `parallel` strided chains, each ends on a blank page |
//! | random access to a list that grows at its top | one page after the other |
//! | a next pointer only | one chain |
//! | a range, and only so many items of it within reach | slices, split until each is within reach |
//!
//! | module | what |
//! | --- | --- |
//! | `advance` | from one page to the next ones |
//! | `grid` | lists with random access |
//! | `chain` | lists where each page names the next |
//! | `slice` | ranges |
//! | `shrink` | the same items in smaller pages |
//! | `keep` | which items of a page are wanted |

mod advance;
mod chain;
mod grid;
mod keep;
mod paging;
mod shrink;
mod slice;

pub use advance::{Advance, advance, begin};
pub use keep::keep;
pub use paging::{Kind, Paging};
pub use shrink::shrink;
pub use slice::begin_range;
