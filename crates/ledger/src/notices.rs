//! What is told of jobs: that they have finished, or wait for a credential; and how far that has come.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tidegate_contracts::{JobId, Parked};

use crate::LedgerError;
use crate::shown::shown;

/// Notices that wait to be delivered. They are made in the transaction that finishes a job whose file says `notify`, or parks
/// its credential.
#[async_trait]
pub trait Notices: Send + std::marker::Sync {
    /// Takes notices that are due at `now_ms`, the longest due first, at most `limit`. Each counts one attempt more, and
    /// is due again after `lease_ms`, should nobody say what came of it ([`Notices::tried`]).
    async fn take_due(&self, limit: u32, lease_ms: i64, now_ms: i64) -> Result<Vec<Notice>, LedgerError>;

    /// What came of an attempt. Idempotent by the notice's key and attempt: what is told late changes nothing.
    async fn tried(&self, notice: &Notice, tried: &Tried, now_ms: i64) -> Result<(), LedgerError>;

    /// All notices of a job, in the order of what happened.
    async fn notices(&self, job: JobId) -> Result<Vec<NoticeRow>, LedgerError>;
}

/// What is told of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeEvent {
    /// It finished so.
    Succeeded,
    /// It finished so.
    Failed,
    /// It finished so.
    Cancelled,
    /// Its credential is parked: its calls wait until that is renewed.
    CredentialParked,
}

impl NoticeEvent {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Succeeded, Self::Failed, Self::Cancelled, Self::CredentialParked];

    /// As it is stored and shown.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::CredentialParked => "credential_parked",
        }
    }
}

/// A notice that was taken to be delivered. Its key is job, event and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Of this job.
    pub job: JobId,
    /// What happened.
    pub event: NoticeEvent,
    /// When it did, Unix ms.
    pub at_ms: i64,
    /// What was parked, if that is what happened.
    pub parked: Option<Parked>,
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
    /// What happened.
    pub event: NoticeEvent,
    /// When it did, Unix ms.
    pub at_ms: i64,
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

/// What a job's specification asks to be told of, as stored: known names, each once. `None`: nothing.
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
    let events = NoticeEvent::ALL.map(NoticeEvent::name);
    let named: Vec<&str> = events.into_iter().filter(|event| on.iter().any(|name| name == event)).collect();
    (!named.is_empty()).then(|| named.join(","))
}

/// Longest text kept of an attempt, in characters.
const LAST_MAX_CHARS: usize = 500;

impl Tried {
    /// What is kept of its text: stores have no room for NUL.
    pub(crate) fn shown(&self) -> String {
        shown(&self.last, LAST_MAX_CHARS)
    }
}

pub(crate) fn event(name: &str) -> Result<NoticeEvent, LedgerError> {
    let found = NoticeEvent::ALL.into_iter().find(|event| event.name() == name);
    found.ok_or_else(|| LedgerError::corrupt("a notice's event", name))
}
