//! The arbiter over a real Redis, over HTTP, and as an executor asks it.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails there")]

mod away;
mod client;
mod http;
mod kit;
mod model;
mod outage;
mod store;
