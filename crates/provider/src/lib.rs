//! Provider files and job files: what an API is like, and what to fetch from it.
//!
//! ```text
//! text ──parse_provider──▶ ProviderFile ──inherit──▶ ProviderFile ──┐
//! text ──parse_job───────▶ JobFile ─────────────────────────────────┴─Spec::compile──▶ Spec
//! ```
//!
//! Files are read over their published JSON Schema ([`provider_schema`], [`job_schema`]), so every error has a line,
//! a column and a field. A [`Spec`] is what planner and executor work from: parameters of a fetch, the request of a
//! call, what the call takes from each limit, how its answer is read.
//!
//! Pure: no clock, no network, no async; [`load`] alone reads files, for the command line. Secrets live in
//! [`Credential`] and in requests; templates of a job can't name them, and nothing here shows them.
//!
//! *To add a field*: to its struct under `file/`, to what compiles it, and to `schemas/`, which
//! `cargo run -p tidegate-provider --example schemas` writes.

mod access;
mod barrier;
mod check;
mod compile;
mod credential;
mod document;
mod endpoint;
mod expression;
mod extend;
pub mod file;
mod header;
mod limit;
pub mod load;
mod node;
mod oauth2;
mod pack;
mod path;
mod problem;
mod range;
mod recorded;
mod redact;
mod request;
mod schema;
mod scope;
mod shape;
mod source;
mod spec;
mod step;
mod template;
mod unmatched;

pub use barrier::{Barrier, FOR_EACH_DEPTH_MAX};
pub use check::{check_job, check_provider, is_path, refuse_push};
pub use credential::{Credential, CredentialError};
pub use endpoint::{Deadlines, Endpoint};
pub use expression::{FUEL, RenderError};
pub use extend::inherit;
pub use file::{JobFile, OnFailure, ProviderFile};
pub use header::FieldError;
pub use limit::{Buckets, CallShape, Caller, ChargeError};
pub use node::FILE_MAX_BYTES;
pub use oauth2::{Due, FRESH_MS, Oauth2, TokenAnswer, Tokens};
pub use pack::{PACKS, Pack, pack};
pub use path::PathError;
pub use problem::{FieldPath, FileError, Part, Problem};
pub use range::RangeError;
pub use recorded::{Meaning, Page, Recorded, RecordedAnswer, RecordedCall, RecordedLimit, Said};
pub use redact::{redact, redact_credential};
pub use request::{RequestError, RequestParts};
pub use schema::{job_schema, provider_schema};
pub use source::{JobWithProvider, Source, parse_job, parse_job_with_provider, parse_provider};
pub use spec::{BodyLimits, RetryPolicy, Spec};
pub use step::{Step, TemplateError, WhenError};
pub use template::OUTPUT_MAX_BYTES;
pub use unmatched::Unmatched;
