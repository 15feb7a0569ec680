//! Budgets survive the process: they are kept in the state file.
//!
//! Kept a few times a second, so a process that is killed forgets at most what it was granted since; the provider's
//! headers, where it has any, put that right with the first answer.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tidegate_arbiter::Arbiter;
use tidegate_daemon::{Clock, Shutdown};
use tidegate_ledger::Ledger;
use tidegate_limits::Snapshot;

const NAME: &str = "limits";
const EVERY: Duration = Duration::from_millis(250);

/// The budgets that an earlier process kept.
pub(crate) async fn kept_limits(ledger: &dyn Ledger) -> anyhow::Result<Option<Snapshot>> {
    let Some(text) = ledger.kept(NAME).await? else { return Ok(None) };
    match serde_json::from_str(&text) {
        Ok(snapshot) => Ok(Some(snapshot)),
        Err(error) => {
            tracing::warn!(%error, "the kept limits can't be read; counting anew");
            Ok(None)
        }
    }
}

/// Keeps the budgets until the shutdown is requested, and once more then.
pub(crate) async fn keep_limits(
    ledger: Arc<dyn Ledger>,
    arbiter: Arc<Arbiter>,
    clock: Clock,
    shutdown: Shutdown,
) -> anyhow::Result<()> {
    let mut kept = String::new();
    loop {
        let last = tokio::select! {
            () = shutdown.requested() => true,
            () = tokio::time::sleep(EVERY) => false,
        };
        arbiter.forget_idle().await?;
        let snapshot = serde_json::to_string(&arbiter.snapshot().await?)?;
        if snapshot != kept {
            ledger.keep(NAME, &snapshot, clock()).await.context("can't keep the limits")?;
            kept = snapshot;
        }
        if last {
            return Ok(());
        }
    }
}
