//! The budgets of the arbiter in this process.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_arbiter::{Arbiter, StoreError};
use tidegate_gateway::{Budgets, BudgetsError};
use tidegate_limits::http::{LimitsQuery, LimitsReply};
use tidegate_limits::{Override, OverrideKind};

/// Asks the arbiter of this process.
pub(crate) struct InProcessBudgets(pub(crate) Arc<Arbiter>);

fn unavailable(error: StoreError) -> BudgetsError {
    BudgetsError::Unavailable(error.0)
}

#[async_trait]
impl Budgets for InProcessBudgets {
    async fn limits(&self, query: &LimitsQuery) -> Result<LimitsReply, BudgetsError> {
        self.0.limits(query).await.map_err(unavailable)
    }

    async fn put_override(&self, wanted: Override) -> Result<bool, BudgetsError> {
        self.0.put_override(wanted).await.map_err(unavailable)
    }

    async fn delete_override(&self, key: &str, kind: Option<OverrideKind>) -> Result<bool, BudgetsError> {
        self.0.delete_override(key, kind).await.map_err(unavailable)
    }
}
