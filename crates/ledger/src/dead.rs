//! Messages that could not be handled, kept for people to look at, and to send again.

use async_trait::async_trait;
use tidegate_contracts::{DeadId, Failure, JobId};

use crate::LedgerError;
use crate::shown::shown;

/// Bytes kept of a letter; of what is longer, which is no message, the beginning.
pub const DEAD_BODY_MAX_BYTES: usize = 1 << 20;

/// Dead letters that were taken off the bus. The trackers keep them; the gateway shows them, sends them again, and drops
/// them.
#[async_trait]
pub trait DeadLetters: Send + std::marker::Sync {
    /// Keeps letters, in this order. Idempotent by id: the first one stays.
    async fn keep_dead(&self, letters: &[NewDead], now_ms: i64) -> Result<(), LedgerError>;

    /// Forgets what is beyond the bounds, oldest first. Returns how many were forgotten, and how many are left.
    async fn prune_dead(&self, bounds: &DeadBounds, now_ms: i64) -> Result<(u64, u64), LedgerError>;

    /// Letters, newest first.
    async fn dead(&self, filter: &DeadFilter) -> Result<Vec<DeadRow>, LedgerError>;

    /// A letter, and what is kept of its bytes.
    async fn dead_letter(&self, id: DeadId) -> Result<Option<(DeadRow, Vec<u8>)>, LedgerError>;

    /// A letter was sent again. Whether it is there. Idempotent.
    async fn replayed_dead(&self, id: DeadId, now_ms: i64) -> Result<bool, LedgerError>;

    /// Forgets a letter. Whether it was there. Idempotent.
    async fn drop_dead(&self, id: DeadId) -> Result<bool, LedgerError>;
}

/// A letter to keep.
#[derive(Debug, Clone)]
pub struct NewDead {
    /// Its id.
    pub id: DeadId,
    /// Where it was to be handled.
    pub queue: String,
    /// Kind of message; `None` when nobody could read it.
    pub kind: Option<String>,
    /// The job it speaks of.
    pub job: Option<JobId>,
    /// Why it could not be handled.
    pub reason: String,
    /// How often it had come back before.
    pub redelivered: u32,
    /// Unix ms.
    pub died_at_ms: i64,
    /// The message as it travels, or what came instead; at most [`DEAD_BODY_MAX_BYTES`] of it are kept.
    pub body: Vec<u8>,
}

/// How much is kept.
#[derive(Debug, Clone, Copy)]
pub struct DeadBounds {
    /// Letters; default 10,000.
    pub letters: u32,
    /// Bytes of all of them together; default 256 MiB.
    pub bytes: u64,
    /// How long after they came, in ms; default 30 days.
    pub age_ms: i64,
}

impl Default for DeadBounds {
    fn default() -> Self {
        Self { letters: 10_000, bytes: 256 << 20, age_ms: 30 * 86_400_000 }
    }
}

/// Which letters.
#[derive(Debug, Clone, Default)]
pub struct DeadFilter {
    /// Of this queue.
    pub queue: Option<String>,
    /// Of this job.
    pub job: Option<JobId>,
    /// Those that came before this one; before one that is not there comes nothing.
    pub before: Option<DeadId>,
    /// At most so many.
    pub limit: u32,
}

/// A letter, without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadRow {
    /// Its id.
    pub id: DeadId,
    /// Where it was to be handled.
    pub queue: String,
    /// Kind of message; `None` when nobody could read it.
    pub kind: Option<String>,
    /// The job it speaks of, which need not be there.
    pub job: Option<JobId>,
    /// Why it could not be handled.
    pub reason: String,
    /// How often it had come back before.
    pub redelivered: u32,
    /// Unix ms; 0 when unknown.
    pub died_at_ms: i64,
    /// Unix ms.
    pub kept_at_ms: i64,
    /// Bytes that it had when it came.
    pub bytes: u64,
    /// When it was last sent again, Unix ms.
    pub replayed_at_ms: Option<i64>,
}

impl NewDead {
    /// What is kept of its bytes.
    pub(crate) fn kept(&self) -> &[u8] {
        &self.body[..self.body.len().min(DEAD_BODY_MAX_BYTES)]
    }

    /// What is kept of its reason: stores have no room for NUL.
    pub(crate) fn shown(&self) -> String {
        shown(&self.reason, Failure::MESSAGE_MAX_CHARS)
    }
}
