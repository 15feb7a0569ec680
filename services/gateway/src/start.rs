//! Starting the gateway.

use std::sync::Arc;

use anyhow::Context as _;
use tidegate_bus::Bus;
use tidegate_contracts::topology::Queue;
use tidegate_daemon::{Clock, Handle, Health, Shutdown};
use tidegate_ledger::{DeadLetters, Ledger, Notices, UnmatchedAnswers};
use tidegate_registry::{Registry, Vault};
use tokio::net::TcpListener;

use crate::app::App;
use crate::budgets::Budgets;
use crate::{Config, Intake, routes, serve};

/// What the gateway works with.
#[derive(Clone)]
pub struct Deps {
    /// Where jobs are told of, and events come from.
    pub bus: Arc<dyn Bus>,
    /// Where jobs are stored.
    pub ledger: Arc<dyn Ledger>,
    /// Who is told of finished jobs.
    pub notices: Arc<dyn Notices>,
    /// Messages that could not be handled.
    pub dead: Arc<dyn DeadLetters>,
    /// Samples of answers that no error rule speaks of.
    pub unmatched: Arc<dyn UnmatchedAnswers>,
    /// Tenants, keys, provider files.
    pub registry: Arc<dyn Registry>,
    /// Credentials.
    pub vault: Vault,
    /// What calls are held to.
    pub budgets: Arc<dyn Budgets>,
    /// Now.
    pub clock: Clock,
    /// What `/readyz` reports, beside whether the ledger and the registry answer.
    pub health: Health,
}

impl Deps {
    pub(crate) fn intake(&self) -> Intake {
        Intake { bus: Arc::clone(&self.bus), ledger: Arc::clone(&self.ledger), clock: Arc::clone(&self.clock) }
    }
}

/// Serves the API on `listener` until the shutdown is requested: no connection is taken then, streams of events end, and
/// other requests are waited for. It is not ready (`/readyz`) once the shutdown is requested.
pub fn start(deps: Deps, config: Config, listener: TcpListener, shutdown: &Shutdown) -> Handle {
    let mut handle = Handle::new(shutdown.clone());
    deps.health.register("process", Arc::new(shutdown.clone()));
    let app = Arc::new(App::new(deps, config, shutdown.clone()));
    handle.spawn("gateway-events", listen(Arc::clone(&app), shutdown.clone()));
    handle.spawn("gateway", serve::serve(listener, routes::router(&app), app, shutdown.clone()));
    handle
}

/// Tells watchers of their jobs.
async fn listen(app: Arc<App>, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut events = app.deps.bus.consume(&Queue::Events, 0).await.context("can't take events")?;
    loop {
        let delivery = tokio::select! {
            () = shutdown.requested() => return Ok(()),
            delivery = events.next() => delivery,
        };
        let Some(delivery) = delivery else { return Ok(()) };
        if let tidegate_contracts::Message::Event(event) = &delivery.envelope.message {
            app.hub.tell(event);
        }
    }
}
