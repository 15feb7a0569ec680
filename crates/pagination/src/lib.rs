//! Pagination, pure: which pages a fetch begins with, and which follow from a page that came in.
//!
//! No selectors, no HTTP: [`PageFacts`] say what an answer told, [`Paging`] says what the provider file declares.
//! Every decision is a function of one page alone, so it may be taken twice, late or out of order: pages
//! are named by [`PagePointer`]s, and the same pointer is the same call.
//!
//! | known | strategy |
//! | --- | --- |
//! | random access and a total | all remaining pages at once |
//! | random access, no total | `parallel` strided chains, each ends on a blank page |
//! | a next pointer only | one chain |

mod advance;
mod paging;

pub use advance::{Advance, advance, begin};
pub use paging::{Kind, Paging};
