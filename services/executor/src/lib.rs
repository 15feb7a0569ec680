//! The executor: makes calls, one for each message.
//!
//! The way of a call, each stage the next one's input:
//!
//! `Call` → [`ways`](ways::ways) of making it, each [`prepare`](prepare::prepare)d → permit for one of them →
//! `Permitted` → egress → `Answered` → [`judge`](judge::judge) → `Judged` → page stored → `Outcome` emitted → acknowledged.
//!
//! Waiting is not failing: a short wait is slept where it stands, without a slot; a longer one is parked on the bus. A call
//! whose credential is parked goes back to the ledger.
//! What is decided without I/O stands apart: [`judge`], [`retry`].

mod attempt;
mod buckets;
mod courier;
mod credentials;
mod gauges;
mod handle_call;
mod http_permits;
mod in_hand;
mod judge;
mod lanes;
mod lend;
mod metrics;
mod pages;
mod permits;
mod prepare;
mod probe;
mod push;
mod refresh;
mod retry;
mod samples;
mod service;
mod sleepers;
mod stopped;
mod troubles;
mod ways;

pub use courier::{CourierDeps, courier};
pub use credentials::{Credentials, CredentialsError, FixedCredentials, Lent, Parking, Turn, Version};
pub use gauges::{Gauges, Sleeping};
pub use http_permits::{HttpPermits, HttpPermitsConfig};
pub use lanes::Lanes;
pub use permits::{Permits, PermitsError};
pub use probe::{Probe, ProbeAnswer, ProbePage, Prober};
pub use service::{Config, Deps, start};
pub use ways::WayOut;
