//! The tracker as a process.

use std::sync::Arc;

use tidegate_ledger::Windows;

use super::Start;
use super::parts::{PATIENCE, Parts};

/// Between two looks for what was lost, in ms. Of several trackers one looks at a time.
const SWEEP_EVERY_MS: u64 = 5_000;
/// Between two looks for dead letters, in ms.
const DEAD_EVERY_MS: u64 = 2_000;

pub(super) async fn serve(start: &Start<'_>) -> anyhow::Result<()> {
    let _health = start.serve_health("tracker").await?;
    let parts = Parts::reach("tracker", start, PATIENCE).await?;
    let deps = tidegate_tracker::Deps {
        bus: Arc::clone(&parts.bus),
        ledger: Arc::clone(&parts.ledger),
        dead: Arc::new(parts.postgres.clone()),
        clock: Arc::clone(&parts.clock),
    };
    let windows = Windows {
        lease_ms: i64::from(start.args.lease_s) * 1_000,
        whale_calls: u64::from(start.args.whale_calls),
        ..Windows::default()
    };
    let config = tidegate_tracker::Config {
        windows,
        sweep_every_ms: SWEEP_EVERY_MS,
        dead_every_ms: DEAD_EVERY_MS,
        ..tidegate_tracker::Config::default()
    };
    let tracker = tidegate_tracker::start(deps, config, &start.shutdown);
    super::run(tracker, parts, start).await
}
