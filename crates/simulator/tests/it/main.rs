//! The simulator as a client sees it, over real sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod client;
mod connections;
mod derived;
mod determinism;
mod faults;
mod hostile;
mod limits;
mod paging;
mod speed;
mod stats;
