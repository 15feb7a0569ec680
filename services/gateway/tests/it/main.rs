//! The gateway over real HTTP, with the in-process bus and SQLite.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod auth;
mod bad_input;
mod budgets;
mod client;
mod dead;
mod events;
mod explain;
mod items;
mod jobs;
mod limits;
mod page;
mod resources;
mod secrets;
mod service;
mod stop;
mod tenants;
mod unmatched;
mod world;
