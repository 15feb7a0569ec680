//! Marks: how far runs of a job have seen what its fetches ask for.

use serde::Serialize;
use tidegate_contracts::{JobId, Mark, MarkId};

/// A mark.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MarkRow {
    /// Its id, the same for whatever asks for the same.
    pub id: MarkId,
    /// Name of the jobs whose mark it is.
    pub job_name: String,
    /// Their step.
    pub step: String,
    /// Parameters of the fetch, JSON.
    pub params: String,
    /// The highest value seen.
    pub value: Mark,
    /// The job that has seen it.
    pub job: JobId,
    /// When that job had finished, Unix ms.
    pub moved_at_ms: i64,
}

/// Which marks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MarkFilter {
    /// Of this tenant.
    pub tenant: String,
    /// Of jobs of exactly this name only.
    pub job_name: Option<String>,
    /// Of this step only.
    pub step: Option<String>,
    /// Those after this one: the last of the page before, by the name of its jobs and its id.
    pub after: Option<(String, MarkId)>,
    /// At most so many.
    pub limit: u32,
}
