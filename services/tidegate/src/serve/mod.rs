//! The services as processes of their own, or the whole ring with its HTTP interface in one.
//!
//! Each process says that it lives as soon as it listens, and that it is ready once what it needs is reached: databases
//! and brokers that are not there yet are waited for. It ends in order on a signal; and by itself, to be started anew,
//! when the broker stays lost.

mod arbiter;
pub(crate) mod budgets;
mod embedded;
mod executor;
mod gateway;
mod health;
mod parts;
mod planner;
mod reach;
mod secret;
mod tracker;
mod vault_credentials;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tidegate_daemon::{Flag, Handle, Health, Shutdown};
use tidegate_limits::Sharing;
use tokio::net::TcpListener;

use crate::cli::{Serve, Service};
use crate::exit::Exit;

pub(crate) use embedded::sealing_keys;
pub(crate) use parts::{migrate, postgres_config};
pub(crate) use secret::{SecretError, optional as optional_secret, secret};
pub(crate) use vault_credentials::VaultCredentials;

/// Longest time that a service's work in hand is waited for at the end.
const DRAIN: Duration = Duration::from_secs(20);

/// What a service starts with.
pub(crate) struct Start<'a> {
    args: &'a Serve,
    health: Health,
    shutdown: Shutdown,
}

pub(crate) async fn serve(args: Serve) -> anyhow::Result<Exit> {
    let shutdown = Shutdown::on_signals()?;
    let start = Start { args: &args, health: Health::new(), shutdown };
    let served = match (args.embedded, args.service) {
        (true, _) => Box::pin(embedded::serve(&start)).await,
        (false, Some(Service::Gateway)) => Box::pin(gateway::serve(&start)).await,
        (false, Some(Service::Planner)) => Box::pin(planner::serve(&start)).await,
        (false, Some(Service::Executor)) => Box::pin(executor::serve(&start)).await,
        (false, Some(Service::Arbiter)) => Box::pin(arbiter::serve(&start)).await,
        (false, Some(Service::Tracker)) => Box::pin(tracker::serve(&start)).await,
        (false, None) => anyhow::bail!("name a service, or say --embedded"),
    };
    match served {
        // Asked to stop before everything was reached.
        Err(error) if error.is::<reach::Stopped>() => Ok(Exit::Done),
        other => other.map(|()| Exit::Done),
    }
}

impl Start<'_> {
    /// The line that every process begins with.
    fn announce(&self, service: &str, address: SocketAddr) {
        tracing::info!(service, %address, version = env!("CARGO_PKG_VERSION"), prefix = self.args.prefix, "starting");
    }

    async fn listen(&self) -> anyhow::Result<TcpListener> {
        let address = self.args.listen;
        TcpListener::bind(address).await.with_context(|| format!("can't listen on {address}"))
    }

    /// What clients can take of the gateway.
    fn gateway_config(&self) -> tidegate_gateway::Config {
        let provider_names_max = usize::from(self.args.provider_names_max);
        let operator = self.args.operator.clone();
        tidegate_gateway::Config { provider_names_max, operator, ..tidegate_gateway::Config::default() }
    }

    /// How lanes and tenants share limits.
    fn sharing(&self) -> anyhow::Result<Sharing> {
        let tenants = self.args.tenant_weights.iter().cloned().collect();
        let sharing = Sharing::new(&self.args.lane_weights, &self.args.lane_headroom, tenants)?;
        Ok(sharing.trickle(self.args.trickle_pace)?)
    }

    /// Answers for a service that has no HTTP interface of its own.
    async fn serve_health(&self, service: &str) -> anyhow::Result<Handle> {
        let listener = self.listen().await?;
        self.announce(service, listener.local_addr()?);
        Ok(health::start(listener, self.health.clone(), &self.shutdown))
    }
}

/// Waits for a service's end, gives its work in hand time to end, then closes what it worked with.
async fn run(service: Handle, parts: parts::Parts, start: &Start<'_>) -> anyhow::Result<()> {
    let mut watch = Handle::new(start.shutdown.clone());
    let (bus, shutdown) = (parts.rabbit.clone(), start.shutdown.clone());
    watch.spawn("bus", async move {
        tokio::select! {
            () = shutdown.requested() => Ok(()),
            () = bus.given_up() => Err(anyhow::anyhow!("the broker stays lost; ending, to be started anew")),
        }
    });
    let answers = Flag::down("not asked yet");
    start.health.register("postgres-answers", Arc::clone(&answers) as _);
    watch.spawn("postgres", parts::beat(parts.postgres.clone(), answers, start.shutdown.clone()));
    let ended = service.join_within(DRAIN).await;
    start.shutdown.request();
    let watched = watch.join_within(Duration::from_secs(1)).await;
    parts.close().await;
    tracing::info!("stopped");
    Ok(ended.and(watched)?)
}
