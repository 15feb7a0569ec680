//! Jobs as they are submitted.

use serde::Deserialize;
use tidegate_contracts::{JobId, Lane};

/// The tenant of jobs that nobody in particular submits: those of the command line.
pub const DEFAULT_TENANT: &str = "default";

/// A job to store.
#[derive(Debug, Clone)]
pub struct NewJob {
    /// Its id.
    pub id: JobId,
    /// Whose it is: 1 to 64 characters.
    pub tenant: String,
    /// For people.
    pub name: String,
    /// Equal for equal specifications.
    pub fingerprint: String,
    /// Job and provider, JSON.
    pub spec: String,
    /// Provider's name.
    pub provider: String,
    /// Lane.
    pub lane: Lane,
    /// What makes submitting it twice one submission.
    pub idempotency: Option<Idempotency>,
    /// What it may take.
    pub bounds: Bounds,
    /// It takes only what is new since the last job of its tenant and name.
    pub extend: bool,
}

/// What a job may take, before it ends as failed. Trying it again gives it all anew.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Time since it was submitted, in ms, from 1.
    pub deadline_ms: Option<i64>,
    /// Calls that may be released, from 1: never more. One that is lost and released again is one.
    pub max_calls: Option<i64>,
}

/// The credentials that a job's specification names, as stored. `None`: none.
pub(crate) fn credentials(spec: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Spec {
        job: Job,
    }
    #[derive(Deserialize)]
    struct Job {
        credential: Option<Credentials>,
    }
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Credentials {
        One(String),
        Several(Vec<String>),
    }
    match serde_json::from_str::<Spec>(spec).ok()?.job.credential? {
        Credentials::One(name) => Some(name),
        Credentials::Several(names) => Some(names.join(",")),
    }
}

/// Why a job ends whose time is over.
pub(crate) fn overdue(deadline_ms: i64) -> String {
    let allowed = std::time::Duration::from_millis(deadline_ms.unsigned_abs());
    format!("deadline: not done within {allowed:?}")
}

/// Why a job ends that has made all calls it may.
pub(crate) fn exhausted(max_calls: i64) -> String {
    format!("max_calls: the {max_calls} calls that it may make are made, and more are planned")
}

/// A submission's key, and what was submitted under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// Chosen by the client, unique within its tenant: 1 to 255 characters.
    pub key: String,
    /// SHA-256 of what was submitted: 64 hexadecimal digits.
    pub body_hash: String,
}

/// What came of submitting a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Submitted {
    /// It is stored.
    New,
    /// The same was submitted before, under this key or with this id; nothing was stored, that job is the answer.
    Same(JobId),
    /// Something else was submitted under this key before; nothing was stored.
    Different(JobId),
}
