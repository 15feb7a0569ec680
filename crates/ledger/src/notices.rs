//! What is told of finished jobs, and how far that has come.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidegate_contracts::JobId;

use crate::{JobState, LedgerError};

/// Notices that wait to be delivered. They are made in the transaction that finishes a job whose file says `notify`.
#[async_trait]
pub trait Notices: Send + std::marker::Sync {
    /// Takes notices that are due at `now_ms`, the longest due first, at most `limit`. Each counts one attempt more, and
    /// is due again after `lease_ms`, should nobody say what came of it ([`Notices::tried`]).
    async fn take_due(&self, limit: u32, lease_ms: i64, now_ms: i64) -> Result<Vec<Notice>, LedgerError>;

    /// What came of an attempt. Idempotent by the notice's key and attempt: what is told late changes nothing.
    async fn tried(&self, notice: &Notice, tried: &Tried, now_ms: i64) -> Result<(), LedgerError>;

    /// All notices of a job, in the order of its finishing.
    async fn notices(&self, job: JobId) -> Result<Vec<NoticeRow>, LedgerError>;
}

/// A notice that was taken to be delivered. Its key is job, event and time of finishing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Of this job.
    pub job: JobId,
    /// As what it finished.
    pub event: JobState,
    /// When it finished, Unix ms.
    pub finished_at_ms: i64,
    /// Which attempt this is, from 1.
    pub attempt: u32,
}

/// What came of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tried {
    /// For people, with no secret in it; at most 500 characters are kept.
    pub last: String,
    /// What is next.
    pub then: Then,
}

/// What is next for a notice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It was taken.
    Delivered,
    /// Nobody wants it, or it was tried often enough.
    GivenUp,
    /// Another attempt at this time, Unix ms.
    Again {
        /// When.
        at_ms: i64,
    },
}

/// How far a notice has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NoticeRow {
    /// As what the job finished: `succeeded`, `failed`, `cancelled`.
    pub event: JobState,
    /// When the job finished, Unix ms.
    pub finished_at_ms: i64,
    /// `waiting`, `delivered` or `given_up`.
    pub state: String,
    /// Attempts that were begun.
    pub attempts: u32,
    /// When the next attempt begins, Unix ms; `None` when there is none.
    pub next_at_ms: Option<i64>,
    /// When it was delivered or given up, Unix ms.
    pub ended_at_ms: Option<i64>,
    /// What came of the last attempt.
    pub last: Option<String>,
}

impl Then {
    /// State, time of the next attempt, and time of the end, as stored.
    pub(crate) fn columns(self, now_ms: i64) -> (&'static str, Option<i64>, Option<i64>) {
        match self {
            Self::Delivered => ("delivered", None, Some(now_ms)),
            Self::GivenUp => ("given_up", None, Some(now_ms)),
            Self::Again { at_ms } => ("waiting", Some(at_ms), None),
        }
    }
}

/// The ends that a job's specification asks to be told of, as stored: known names, each once. `None`: none.
pub(crate) fn wanted(spec: &str) -> Option<String> {
    #[derive(Deserialize)]
    struct Spec {
        job: Job,
    }
    #[derive(Deserialize)]
    struct Job {
        notify: Option<Notify>,
    }
    #[derive(Deserialize)]
    struct Notify {
        on: Vec<String>,
    }
    let on = serde_json::from_str::<Spec>(spec).ok()?.job.notify?.on;
    let ends = [JobState::Succeeded, JobState::Failed, JobState::Cancelled].map(JobState::name);
    let named: Vec<&str> = ends.into_iter().filter(|end| on.iter().any(|name| name == end)).collect();
    (!named.is_empty()).then(|| named.join(","))
}

/// Longest text kept of an attempt, in characters.
const LAST_MAX_CHARS: usize = 500;

impl Tried {
    /// What is kept of its text: stores have no room for NUL.
    pub(crate) fn shown(&self) -> String {
        let shown = |char| if char == '\0' { char::REPLACEMENT_CHARACTER } else { char };
        self.last.chars().take(LAST_MAX_CHARS).map(shown).collect()
    }
}

pub(crate) fn event(name: &str) -> Result<JobState, LedgerError> {
    JobState::from_name(name).ok_or_else(|| LedgerError::corrupt("a notice's event", name))
}
