//! The tracker: commits plans to the ledger, releases calls into windows, and finds what was lost. It
//! also takes dead letters off the bus, and keeps them for people, and tells how much waits where.
//!
//! The one writer of fetches and calls. A plan is acknowledged after it is committed and the calls it released are on
//! the bus; should the process die in between, the sweeper releases them again.

mod dead;
mod foresight;
mod look;
mod metrics;
mod queues;
mod service;
mod sweep;

pub use service::{Config, Deps, start};
pub use sweep::sweep;
