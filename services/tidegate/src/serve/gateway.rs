//! The gateway as a process.

use std::sync::Arc;

use tidegate_registry::{SealingKeys, Vault};

use tidegate_gateway::{HttpBudgets, HttpBudgetsConfig};

use super::parts::{CLIENTS_WAIT, Parts};
use super::secret::optional;
use super::{Start, health};

pub(super) async fn serve(start: &Start<'_>) -> anyhow::Result<()> {
    let keys = SealingKeys::load(|name| std::env::var(name).ok())?;
    let listener = start.listen().await?;
    start.announce("gateway", listener.local_addr()?);
    let (listener, meanwhile) = health::meanwhile(listener, start.health.clone(), &start.shutdown)?;
    let parts = Parts::reach("gateway", start, CLIENTS_WAIT).await?;
    meanwhile.end().await;
    let registry = Arc::new(parts.registry());
    let budgets = HttpBudgetsConfig {
        token: optional("TIDEGATE_SERVICE_TOKEN")?,
        ..HttpBudgetsConfig::new(start.args.arbiter.iter().map(ToString::to_string).collect())
    };
    let deps = tidegate_gateway::Deps {
        bus: Arc::clone(&parts.bus),
        // Clients are told at once when the database is not there.
        ledger: Arc::new(parts.postgres.clone()),
        notices: Arc::new(parts.postgres.clone()),
        dead: Arc::new(parts.postgres.clone()),
        unmatched: Arc::new(parts.postgres.clone()),
        vault: Vault::new(registry.clone(), Arc::new(keys)),
        registry,
        budgets: Arc::new(HttpBudgets::new(budgets, Arc::clone(&parts.clock))?),
        clock: Arc::clone(&parts.clock),
        health: start.health.clone(),
    };
    let gateway = tidegate_gateway::start(deps, start.gateway_config(), listener, &start.shutdown);
    super::run(gateway, parts, start).await
}
