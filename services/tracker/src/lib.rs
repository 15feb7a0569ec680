//! The tracker: commits plans to the ledger, releases calls into windows, and finds what was lost. It
//! also takes dead letters off the bus, and keeps them for people.
//!
//! The one writer of fetches and calls. A plan is acknowledged after it is committed and the calls it released are on
//! the bus; should the process die in between, the sweeper releases them again.

mod dead;
mod metrics;
mod service;
mod sweep;

pub use service::{Config, Deps, start};
pub use sweep::sweep;
