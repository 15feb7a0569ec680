//! Looking how full limits are, for metrics.

use std::sync::Arc;
use std::time::Duration;

use tidegate_daemon::Shutdown;

use crate::Arbiter;

/// Between two looks, which read every budget in use.
const EVERY: Duration = Duration::from_secs(10);

/// Looks until the shutdown is requested; not at all where nothing that is measured leaves the process.
///
/// # Errors
/// None; what goes wrong is tried again with the next look.
pub async fn look_on(arbiter: Arc<Arbiter>, shutdown: Shutdown) -> anyhow::Result<()> {
    if !tidegate_metrics::is_exported() {
        shutdown.requested().await;
        return Ok(());
    }
    loop {
        if let Err(error) = arbiter.look().await {
            tracing::debug!(%error, "limits can't be measured; trying again");
        }
        tokio::select! {
            () = shutdown.requested() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
