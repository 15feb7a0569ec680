//! Budgets in this process.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tidegate_limits::{Decision, Limiter, Override, OverrideKind, Question, Report, Sharing, Snapshot, Usage};

use crate::{LimitStore, StoreError};

/// Budgets in this process, for one arbiter.
#[derive(Debug)]
pub struct MemoryStore {
    limiter: Mutex<Limiter>,
    sharing: Arc<Sharing>,
}

/// The first permit's id is below this, which leaves room for 2^52 more that JSON numbers hold.
const FIRST_ID_MAX: u64 = 1 << 52;

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// No budgets yet. Permits are numbered from a random start: those of an earlier process are nobody's here.
    #[must_use]
    pub fn new() -> Self {
        Self::sharing(Sharing::default())
    }

    /// The same, where lanes and tenants share like this.
    #[must_use]
    pub fn sharing(sharing: Sharing) -> Self {
        let sharing = Arc::new(sharing);
        let limiter = Limiter::starting_at(rand::random_range(1..FIRST_ID_MAX)).sharing(Arc::clone(&sharing));
        Self { limiter: Mutex::new(limiter), sharing }
    }

    fn limiter(&self) -> MutexGuard<'_, Limiter> {
        // Should a decision have panicked, the budgets stand as far as it had come: too low by one call at most.
        self.limiter.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl LimitStore for MemoryStore {
    async fn ask(&self, now_ms: i64, questions: Vec<Question>) -> Result<Vec<Decision>, StoreError> {
        let mut limiter = self.limiter();
        Ok(questions.iter().map(|question| limiter.decide(now_ms, question)).collect())
    }

    async fn report(&self, now_ms: i64, reports: Vec<Report>) -> Result<(), StoreError> {
        let mut limiter = self.limiter();
        reports.iter().for_each(|report| limiter.report(now_ms, report));
        Ok(())
    }

    async fn usage(&self, now_ms: i64) -> Result<Vec<Usage>, StoreError> {
        Ok(self.limiter().usage(now_ms))
    }

    async fn forget_idle(&self, now_ms: i64) -> Result<(), StoreError> {
        self.limiter().forget_idle(now_ms);
        Ok(())
    }

    async fn put_override(&self, now_ms: i64, wanted: Override) -> Result<bool, StoreError> {
        Ok(self.limiter().put_override(wanted, now_ms))
    }

    async fn delete_override(&self, now_ms: i64, key: &str, kind: Option<OverrideKind>) -> Result<bool, StoreError> {
        Ok(self.limiter().delete_override(key, kind, now_ms))
    }

    async fn overrides(&self, now_ms: i64) -> Result<Vec<Override>, StoreError> {
        Ok(self.limiter().overrides(now_ms))
    }

    async fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        Ok(Some(self.limiter().snapshot()))
    }

    async fn restore(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        *self.limiter() = Limiter::restore(snapshot).sharing(Arc::clone(&self.sharing));
        Ok(())
    }
}
