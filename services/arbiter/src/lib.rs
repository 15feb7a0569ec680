//! The arbiter: decides for all executors when a call may go.
//!
//! What it decides is in `tidegate_limits`, purely; this is the service around it: a store of budgets behind
//! [`LimitStore`], the time of asking, and [`http`] for executors in other processes.
//!
//! *To add a store*: a file with an `impl LimitStore`, and a test that holds it to [`conformance::check`].

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_daemon::Clock;
use tidegate_limits::http::{LimitsQuery, LimitsReply};
use tidegate_limits::{Decision, Override, OverrideKind, Question, Report, Snapshot, Usage};

use crate::metrics::Metrics;

pub mod conformance;
pub mod http;
mod look;
mod memory;
mod metrics;
mod redis;

pub use look::look_on;
pub use memory::MemoryStore;
pub use redis::{RedisConfig, RedisStore, WhileAway};

/// The store of budgets can't be asked. Nothing was granted.
#[derive(Debug, thiserror::Error)]
#[error("the store of limits can't be asked: {0}")]
pub struct StoreError(pub String);

/// Budgets. One question is decided in one step, over all of its limits.
///
/// What [`conformance::check`] says holds for every store, however many ask at a time. `now_ms` is Unix time in ms.
#[async_trait]
pub trait LimitStore: Send + Sync {
    /// Decides questions, each on its own, in this order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn ask(&self, now_ms: i64, questions: Vec<Question>) -> Result<Vec<Decision>, StoreError>;

    /// Takes permits back. Idempotent by permit.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn report(&self, now_ms: i64, reports: Vec<Report>) -> Result<(), StoreError>;

    /// Every budget in use.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn usage(&self, now_ms: i64) -> Result<Vec<Usage>, StoreError>;

    /// Drops budgets that nobody has used for long.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn forget_idle(&self, now_ms: i64) -> Result<(), StoreError>;

    /// Sets what is wanted of budgets, for all who ask. Idempotent by key and kind. False if the provider's budgets have as
    /// many overrides as they may have.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn put_override(&self, now_ms: i64, wanted: Override) -> Result<bool, StoreError>;

    /// Ends what is wanted of a key, of one kind or of all. Idempotent; whether there was anything.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn delete_override(&self, now_ms: i64, key: &str, kind: Option<OverrideKind>) -> Result<bool, StoreError>;

    /// All that is wanted of budgets, by key.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn overrides(&self, now_ms: i64) -> Result<Vec<Override>, StoreError>;

    /// Whether it can be asked, for readiness; takes no longer than a question.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn ping(&self) -> Result<(), StoreError> {
        Ok(())
    }

    /// What to save; none of a store that keeps its budgets itself.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        Ok(None)
    }

    /// Goes on from what was saved; a store that keeps its budgets itself does nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn restore(&self, _snapshot: Snapshot) -> Result<(), StoreError> {
        Ok(())
    }
}

/// The arbiter.
pub struct Arbiter {
    store: Arc<dyn LimitStore>,
    clock: Clock,
    metrics: Metrics,
}

impl Arbiter {
    /// An arbiter over a store, with the time of `clock`.
    #[must_use]
    pub fn new(store: Arc<dyn LimitStore>, clock: Clock) -> Self {
        Self { store, clock, metrics: Metrics::new() }
    }

    /// Whether calls may be made now; one decision for each question, in order.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was granted.
    pub async fn ask(&self, questions: Vec<Question>) -> Result<Vec<Decision>, StoreError> {
        let providers: Vec<String> = questions.iter().map(metrics::provider).collect();
        let decisions = self.store.ask((self.clock)(), questions).await?;
        self.metrics.decided(&providers, &decisions);
        Ok(decisions)
    }

    /// Takes permits back and believes what answers said. Reporting twice does no harm.
    ///
    /// # Errors
    /// [`StoreError`]; permits come back by their leases.
    pub async fn report(&self, reports: Vec<Report>) -> Result<(), StoreError> {
        self.metrics.reported(&reports);
        self.store.report((self.clock)(), reports).await
    }

    /// Now, by the arbiter's clock: by it, decisions are told and reports are read. Unix ms.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// Whether the store can be asked.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.store.ping().await
    }

    /// Every budget in use.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn usage(&self) -> Result<Vec<Usage>, StoreError> {
        self.store.usage((self.clock)()).await
    }

    /// Measures budgets and what is wanted of them; to be called now and then.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn look(&self) -> Result<(), StoreError> {
        let (usage, overrides) = (self.usage().await?, self.overrides().await?);
        self.metrics.looked(&usage, &overrides);
        Ok(())
    }

    /// Budgets in use and what is wanted of them, as far as somebody asks for.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn limits(&self, query: &LimitsQuery) -> Result<LimitsReply, StoreError> {
        let (usage, overrides) = (self.usage().await?, self.overrides().await?);
        Ok(query.reply(self.now_ms(), usage, overrides))
    }

    /// Sets what is wanted of budgets. False if the provider's have as many overrides as they may have.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn put_override(&self, wanted: Override) -> Result<bool, StoreError> {
        self.store.put_override((self.clock)(), wanted).await
    }

    /// Ends what is wanted of a key, of one kind or of all; whether there was anything.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_override(&self, key: &str, kind: Option<OverrideKind>) -> Result<bool, StoreError> {
        self.store.delete_override((self.clock)(), key, kind).await
    }

    /// All that is wanted of budgets.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn overrides(&self) -> Result<Vec<Override>, StoreError> {
        self.store.overrides((self.clock)()).await
    }

    /// Drops budgets that nobody has used for long; to be called now and then.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn forget_idle(&self) -> Result<(), StoreError> {
        self.store.forget_idle((self.clock)()).await
    }

    /// What to save; none when the store keeps it itself.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn snapshot(&self) -> Result<Option<Snapshot>, StoreError> {
        self.store.snapshot().await
    }

    /// Goes on from what was saved.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn restore(&self, snapshot: Snapshot) -> Result<(), StoreError> {
        self.store.restore(snapshot).await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};
    use std::time::Duration;

    use tidegate_limits::{Aligned, Charge, Rate};

    use super::*;

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn the_memory_store_is_a_limit_store() {
        conformance::check(async || Arc::new(MemoryStore::new()) as Arc<dyn LimitStore>).await;
    }

    #[tokio::test]
    async fn the_arbiter_goes_by_its_clock() {
        let rate = Rate::Window { calls: 1, per: Duration::from_mins(1), aligned: Aligned::Epoch };
        let charges = vec![Charge { limit: "minute".to_owned(), key: "key".to_owned(), rate, cost: 1, headroom: None }];
        let once_a_minute = Question::new(charges);
        let now_ms = Arc::new(AtomicI64::new(59_999));
        let hand = Arc::clone(&now_ms);
        let arbiter = Arbiter::new(Arc::new(MemoryStore::new()), Arc::new(move || hand.load(Ordering::Relaxed)));

        let decisions = arbiter.ask(vec![once_a_minute.clone(), once_a_minute.clone()]).await.unwrap();
        let [Decision::Granted(permit), Decision::Wait { until_ms: 60_000, .. }] = &decisions[..] else {
            panic!("{decisions:?}");
        };
        arbiter
            .report(vec![Report { permit: permit.clone(), sent: true, answer: None, health: None, took_us: None }])
            .await
            .unwrap();
        now_ms.store(60_000, Ordering::Relaxed);
        let decisions = arbiter.ask(vec![once_a_minute]).await.unwrap();
        assert!(matches!(decisions[..], [Decision::Granted(_)]), "{decisions:?}");

        assert_eq!(arbiter.usage().await.unwrap().len(), 1);
        now_ms.store(30 * 60_000, Ordering::Relaxed);
        arbiter.forget_idle().await.unwrap();
        assert!(arbiter.usage().await.unwrap().is_empty());
    }
}
