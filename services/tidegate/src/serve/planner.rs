//! The planner as a process.

use std::sync::Arc;

use tidegate_specs::Specs;

use super::Start;
use super::parts::{PATIENCE, Parts};

pub(super) async fn serve(start: &Start<'_>) -> anyhow::Result<()> {
    let _health = start.serve_health("planner").await?;
    let parts = Parts::reach("planner", start, PATIENCE).await?;
    let deps = tidegate_planner::Deps {
        bus: Arc::clone(&parts.bus),
        ledger: Arc::clone(&parts.ledger),
        specs: Arc::new(Specs::new(Arc::clone(&parts.ledger))),
        clock: Arc::clone(&parts.clock),
    };
    let planner = tidegate_planner::start(deps, &start.shutdown);
    super::run(planner, parts, start).await
}
