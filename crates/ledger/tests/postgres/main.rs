//! The ledger on Postgres: the suite, several processes at once, and what servers and networks do.
//!
//! Needs a server (`TIDEGATE_TEST_POSTGRES`, by default `postgres://postgres@127.0.0.1:5432`) on which it may make databases,
//! and for the tests that restart a server the programs of one (`TIDEGATE_TEST_POSTGRES_BIN`, by default the newest below
//! `/usr/lib/postgresql`).

mod connect;
mod database;
mod job;
mod links;
mod locks;
mod restart;
mod several;
mod suite;
