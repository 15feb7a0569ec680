//! Samples of answers that no error rule of their provider speaks of.

use async_trait::async_trait;

use crate::LedgerError;

/// Samples kept of one provider of a tenant; of more, those that were seen last.
pub const UNMATCHED_MAX: u32 = 50;
/// How long a sample is kept after it was last seen, in ms: 90 days.
pub const UNMATCHED_AGE_MS: i64 = 90 * 86_400_000;

/// Samples of answers that no error rule speaks of. Executors write them as they can; what is lost is seen again.
#[async_trait]
pub trait UnmatchedAnswers: Send + std::marker::Sync {
    /// Keeps samples: of one that is known, counts and dates. Not idempotent: what comes twice counts twice.
    async fn keep_unmatched(&self, samples: &[NewUnmatched], now_ms: i64) -> Result<(), LedgerError>;

    /// Samples of a provider, those seen last first.
    async fn unmatched(&self, tenant: &str, provider: &str) -> Result<Vec<UnmatchedRow>, LedgerError>;
}

/// A sample, and how often it was seen since it was last written.
#[derive(Debug, Clone)]
pub struct NewUnmatched {
    /// Whose job asked.
    pub tenant: String,
    /// Who answered.
    pub provider: String,
    /// The same for samples of the same error.
    pub fingerprint: i64,
    /// JSON; at most 64 KiB.
    pub sample: String,
    /// How often.
    pub count: u64,
    /// Unix ms.
    pub last_seen_ms: i64,
}

/// A sample that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnmatchedRow {
    /// The same for samples of the same error.
    pub fingerprint: i64,
    /// The first one, JSON.
    pub sample: String,
    /// How often it was seen.
    pub count: u64,
    /// Unix ms.
    pub first_seen_ms: i64,
    /// Unix ms.
    pub last_seen_ms: i64,
}
