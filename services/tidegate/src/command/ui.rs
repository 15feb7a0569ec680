//! The web page beside a run: on loopback, for the one who started it.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tidegate::embedded::{Parts, State};
use tidegate_daemon::{Handle, Health, Shutdown};
use tidegate_gateway::{Config, Deps, LocalPass};
use tidegate_ledger::DEFAULT_TENANT;
use tidegate_registry::{SealingKeys, Tenant, Vault};
use tokio::net::TcpListener;

use crate::say;
use crate::serve::budgets::InProcessBudgets;

/// Longest time that requests in hand are waited for at the end.
pub(super) const DRAIN: Duration = Duration::from_secs(2);

/// Serves the page at `port` of loopback (0: any that is free) over a run's parts, and prints its address, which lets one
/// in once. Sessions end with the process, since the keys that seal them do.
pub(super) async fn start(parts: &Parts, state: &State, port: u16, shutdown: &Shutdown) -> anyhow::Result<Handle> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))?;
    let tenant: Tenant = DEFAULT_TENANT.parse().context("the default tenant")?;
    let pass = LocalPass::generate(tenant);
    say::note(&format!("the page, for you once: {}", pass.address(listener.local_addr()?)));
    let registry = state.registry().await?;
    let keys = SealingKeys::parse(&SealingKeys::generate("run"))?;
    let deps = Deps {
        bus: Arc::clone(&parts.bus),
        ledger: Arc::clone(&parts.ledger),
        notices: Arc::clone(&parts.notices),
        dead: Arc::clone(&parts.dead),
        unmatched: Arc::clone(&parts.unmatched),
        vault: Vault::new(registry.clone(), Arc::new(keys)),
        registry,
        budgets: Arc::new(InProcessBudgets(Arc::clone(&parts.arbiter))),
        clock: Arc::clone(&parts.clock),
        health: Health::new(),
    };
    let config = Config { local_pass: Some(pass), drain: DRAIN, ..Config::default() };
    Ok(tidegate_gateway::start(deps, config, listener, shutdown))
}

/// Until it is asked to end; what still goes on then ends with it.
pub(super) async fn stay(shutdown: &Shutdown) {
    say::note("the page stays until Ctrl-C");
    shutdown.requested().await;
}
