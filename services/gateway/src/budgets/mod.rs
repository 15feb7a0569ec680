//! The arbiter's budgets, as people look after them: in the same process, or behind HTTP.

use async_trait::async_trait;
use tidegate_limits::http::{LimitsQuery, LimitsReply};
use tidegate_limits::{Override, OverrideKind};

mod http;

pub use http::{HttpBudgets, HttpBudgetsConfig};

/// Why the arbiter did not do it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BudgetsError {
    /// It, or its store, can't be asked.
    #[error("the arbiter can't be asked: {0}")]
    Unavailable(String),
    /// It makes no sense to it.
    #[error("the arbiter refuses: {0}")]
    Refused(String),
}

/// The arbiter's budgets. Times are by the gateway's clock.
#[async_trait]
pub trait Budgets: Send + Sync {
    /// Budgets in use, and what is wanted of them.
    ///
    /// # Errors
    /// [`BudgetsError`].
    async fn limits(&self, query: &LimitsQuery) -> Result<LimitsReply, BudgetsError>;

    /// Sets an override. Idempotent by key and kind. False if the provider has as many as there may be.
    ///
    /// # Errors
    /// [`BudgetsError`].
    async fn put_override(&self, wanted: Override) -> Result<bool, BudgetsError>;

    /// Ends an override, of one kind or of all; whether there was one.
    ///
    /// # Errors
    /// [`BudgetsError`].
    async fn delete_override(&self, key: &str, kind: Option<OverrideKind>) -> Result<bool, BudgetsError>;
}
