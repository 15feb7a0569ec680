//! The executor as a process.

use std::sync::Arc;

use anyhow::Context;
use tidegate_egress::EgressConfig;
use tidegate_executor::{CourierDeps, Credentials, Gauges, HttpPermits, HttpPermitsConfig, Lanes, WayOut};
use tidegate_registry::{SealingKeys, Vault};
use tidegate_specs::Specs;

use super::Start;
use super::parts::{PATIENCE, Parts};
use super::secret::optional;
use super::vault_credentials::VaultCredentials;
use crate::files;

pub(super) async fn serve(start: &Start<'_>) -> anyhow::Result<()> {
    let args = start.args;
    let config = EgressConfig {
        allow_private: files::allow_private(&args.allow_private)?,
        max_idle_per_host: usize::from(args.max_in_flight),
        ..EgressConfig::default()
    };
    let out = WayOut::all(&files::ways_out(&args.egress)?, &config)?;
    let first = out.first().context("expected at least one way out")?;
    let keys = SealingKeys::load(|name| std::env::var(name).ok())?;
    let permits = HttpPermitsConfig {
        token: optional("TIDEGATE_SERVICE_TOKEN")?,
        ..HttpPermitsConfig::new(args.arbiter.clone())
    };
    let _health = start.serve_health("executor").await?;
    let parts = Parts::reach("executor", start, PATIENCE).await?;
    let vault = Vault::new(Arc::new(parts.registry()), Arc::new(keys));
    let credentials: Arc<dyn Credentials> = Arc::new(VaultCredentials::new(vault, Arc::clone(&parts.clock)));
    let specs = Arc::new(Specs::new(Arc::clone(&parts.ledger)));
    let courier = CourierDeps {
        notices: Arc::new(parts.postgres.clone()),
        ledger: Arc::clone(&parts.ledger),
        specs: Arc::clone(&specs),
        egress: first.egress.clone(),
        credentials: Arc::clone(&credentials),
        clock: Arc::clone(&parts.clock),
    };
    let deps = tidegate_executor::Deps {
        bus: Arc::clone(&parts.bus),
        ledger: Arc::clone(&parts.ledger),
        unmatched: Arc::new(parts.postgres.clone()),
        specs,
        permits: Arc::new(HttpPermits::new(&permits, Arc::clone(&parts.clock))?),
        out,
        credentials,
        clock: Arc::clone(&parts.clock),
    };
    let config = tidegate_executor::Config {
        lanes: Lanes::Open,
        max_in_flight: args.max_in_flight,
        max_choices: args.max_choices,
        push_max_bytes: args.push_max_bytes,
    };
    let mut executor = tidegate_executor::start(deps, config, Arc::new(Gauges::default()), &start.shutdown);
    executor.spawn("courier", tidegate_executor::courier(courier, start.shutdown.clone()));
    super::run(executor, parts, start).await
}
