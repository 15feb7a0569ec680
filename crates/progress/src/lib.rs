//! How far a job is, when it will be done, and why it is not: purely, out of what the ledger counts.
//!
//! [`estimate`] makes fraction and finishing time of the counters by step, [`explain()`] a sentence and its reasons of what
//! the open calls wait for. Both read numbers that the ledger keeps, so they know as much right after a restart as before.
//! Neither has a clock or does I/O: the time is an argument. [`Looker`] reads from the ledger what they need.

mod estimate;
mod explain;
mod look;
mod shape;
mod work;

pub use estimate::{Basis, Estimate, Facts, estimate};
pub use explain::{Example, Explanation, Kind, Reason, explain, explain_fetch};
pub use look::{Look, Looker};
pub use shape::{Rate, Shape, StepShape};
