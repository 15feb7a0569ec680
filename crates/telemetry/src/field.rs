//! Names of fields, the same in every log line and span: `tracing::info!({ field::JOB_ID } = %job, "…")`.
//!
//! None of them may be a metric's label where its values are unbounded (ids): those belong to traces.

/// The job, as `job_…`.
pub const JOB_ID: &str = "job.id";
/// The fetch, as `fetch_…`.
pub const FETCH_ID: &str = "fetch.id";
/// The call, as `call_…`.
pub const CALL_ID: &str = "call.id";
/// Name of the provider.
pub const PROVIDER: &str = "provider";
/// The job's lane.
pub const LANE: &str = "lane";
/// The job's step.
pub const STEP: &str = "step";
/// Attempts spent on a call, the running one included.
pub const ATTEMPT: &str = "attempt";
/// How long it took, in whole milliseconds.
pub const DURATION_MS: &str = "duration_ms";
/// Class of a failure.
pub const CLASS: &str = "class";
/// Id of the limit that made a call wait.
pub const LIMIT: &str = "limit";
/// Whether the span's work failed: `ERROR`. For traces alone.
pub const STATUS: &str = "otel.status_code";
