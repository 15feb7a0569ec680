//! The whole ring with its HTTP interface in one process, over a state file.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tidegate_executor::Lanes;
use tidegate_ledger::Sync;
use tidegate_registry::{Registry as _, SealingError, SealingKeys, Vault};
use tokio::net::TcpListener;

use super::Start;
use super::budgets::InProcessBudgets;
use super::vault_credentials::VaultCredentials;
use crate::files;
use tidegate::embedded::{Parts, Ring, Settings, State};

/// Longest time to connect to a provider.
const CONNECT: Duration = Duration::from_secs(5);

pub(super) async fn serve(start: &Start<'_>) -> anyhow::Result<()> {
    let args = start.args;
    let listener = start.listen().await?;
    start.announce("embedded", listener.local_addr()?);
    let state = State::open(&args.state, Sync::Full).await?;
    state.close_after(async |state| Box::pin(serve_over(state, listener, start)).await).await
}

async fn serve_over(state: &State, listener: TcpListener, start: &Start<'_>) -> anyhow::Result<()> {
    let args = start.args;
    let keys = sealing_keys(&args.state)?;
    let parts = Parts::new(state, start.sharing()?).await?;
    let registry = state.registry().await?;
    registry.end_leases().await?;
    let vault = Vault::new(registry.clone(), Arc::new(keys));
    let settings = Settings {
        lanes: Lanes::Open,
        max_in_flight: args.max_in_flight,
        whale_calls: u64::from(args.whale_calls),
        connect: CONNECT,
        out: files::ways_out(&args.egress)?,
        allow_private: files::allow_private(&args.allow_private)?,
        credentials: Arc::new(VaultCredentials::new(vault.clone(), Arc::clone(&parts.clock))),
    };
    let ring = Ring::start(&parts, settings, &start.shutdown).await?;
    let deps = tidegate_gateway::Deps {
        bus: Arc::clone(&parts.bus),
        ledger: Arc::clone(&parts.ledger),
        notices: Arc::clone(&parts.notices),
        dead: Arc::clone(&parts.dead),
        unmatched: Arc::clone(&parts.unmatched),
        registry,
        vault,
        budgets: Arc::new(InProcessBudgets(Arc::clone(&parts.arbiter))),
        clock: Arc::clone(&parts.clock),
        health: start.health.clone(),
    };
    let gateway = tidegate_gateway::start(deps, start.gateway_config(), listener, &start.shutdown);
    let served = gateway.join_within(super::DRAIN).await;
    let stopped = ring.stop(&start.shutdown).await;
    tracing::info!("stopped");
    served?;
    stopped
}

/// The sealing keys that the environment names; else those beside the state file, made the first time, readable by their
/// owner only.
pub(crate) fn sealing_keys(state: &Path) -> anyhow::Result<SealingKeys> {
    match SealingKeys::load(|name| std::env::var(name).ok()) {
        Err(SealingError::Missing) => {}
        other => return Ok(other?),
    }
    let path = state.with_extension("sealing-key");
    let unusable = || format!("can't use the sealing key {}", path.display());
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(&path) {
        Ok(mut file) => {
            file.write_all(SealingKeys::generate("embedded").as_bytes()).with_context(unusable)?;
            file.sync_all().with_context(unusable)?;
            tracing::warn!(path = %path.display(), "made a sealing key for credentials; keep it with the state file");
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => return Err(error).with_context(unusable),
    }
    Ok(SealingKeys::parse(&std::fs::read_to_string(&path).with_context(unusable)?)?)
}
