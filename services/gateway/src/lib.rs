//! The gateway: where jobs come in.
//!
//! Its HTTP interface comes with the services' own processes; what it does with a job is here, and the command line
//! uses it as it is.

mod metrics;
mod submit;

pub use submit::{Deps, Submission, SubmitError, submit};
