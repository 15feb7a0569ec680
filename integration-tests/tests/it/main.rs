//! The whole ring as its user runs it: the real `tidegate`, against third parties that this process plays or starts.
//!
//! A test makes a [`World`](world::World), writes the files of a job into it, runs the program, and ends with
//! [`finish`](world::World::finish), which recounts what the state files hold.

#![expect(clippy::unwrap_used, reason = "what is wrong in a test may panic anywhere in it")]

mod bad_input;
mod barriers;
mod buckets;
mod busy;
mod client;
mod closed;
mod cluster;
mod commands;
mod credentials;
mod deploy;
mod door;
mod export;
mod faults;
mod foreign;
mod formats;
mod guards;
mod hostile;
mod impostor;
mod kills;
mod limits;
mod names;
mod notify;
mod outages;
mod packs;
mod page;
mod page_kinds;
mod pagination;
mod parked;
mod plan;
mod pools;
mod process;
mod quirks;
mod sealing;
mod since;
mod stops;
mod tap;
mod telemetry;
mod tokens;
mod trees;
mod unmatched;
mod window;
mod world;
