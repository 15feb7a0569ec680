//! The planner: what an outcome means for the tree.
//!
//! [`plan`] decides, purely; [`start`] runs it over the bus. Stateless: any number of planners may run, and a message
//! that comes twice is planned twice to the same plan.

mod fetches;
mod metrics;
mod plan;
mod service;

pub use plan::{begin, needs_items, plan};
pub use service::{Deps, start};
