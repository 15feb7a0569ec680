//! The gateway: where jobs come in, the HTTP API to everything a tenant has, and the web page over it.
//!
//! [`start`] serves the API; [`submit`] is what it does with a job, and what the command line uses as it is. Each route
//! stands in a table with its scope and its description (`route.rs`), from which both the router and the OpenAPI document
//! are made, so neither can say what the other does not do.
//!
//! **Invariants.** The tenant comes from the API key and from nothing else; what belongs to another is "not found". A job is
//! stored before it is answered for. Nothing that is posted makes the gateway read a file or a variable, or call anybody.
//! Credentials go in and never come out. Every answer that is no success is `application/problem+json` (RFC 9457).
//!
//! *To add a route*: a handler in its resource's file, and a line in that file's `routes`; then write the document anew:
//! `cargo run -p tidegate-gateway --example openapi`.

mod app;
mod auth;
mod body;
mod budgets;
mod config;
mod credentials;
mod dead;
mod docs;
mod economy;
mod events;
mod explain;
mod finish;
mod health;
mod hub;
mod items;
mod job_id;
mod jobs;
mod keys;
mod limits;
mod metrics;
mod openapi;
mod page;
mod pages;
mod plan;
mod post_job;
mod problem;
mod provider_file;
mod provider_names;
mod providers;
mod quota;
mod rate;
mod route;
mod routes;
mod serve;
mod since;
mod start;
mod stop;
mod submit;
mod tree;
mod unmatched;
mod view;

pub use budgets::{Budgets, BudgetsError, HttpBudgets, HttpBudgetsConfig};
pub use config::Config;
pub use economy::{Economy, economy};
pub use openapi::document as openapi_document;
pub use page::LocalPass;
pub use start::{Deps, start};
pub use submit::{Intake, Submission, SubmitError, Taken, submit};
