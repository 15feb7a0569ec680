//! The parts of the cluster that services share: Postgres and RabbitMQ.

use std::sync::Arc;
use std::time::Duration;

use tidegate_bus::{Bus, BusError, RabbitConfig, RabbitMq};
use tidegate_daemon::{Clock, Flag, Shutdown, Status, clock};
use tidegate_ledger::{Ledger, LedgerError, Patient, PostgresConfig, PostgresLedger};
use tidegate_registry::PostgresRegistry;

use super::reach::reach;
use super::{Start, secret};
use crate::cli::Stores;
use crate::exit::Exit;

/// How long the database, or the broker, may be lost before a service of the ring ends, to be started anew.
pub(crate) const PATIENCE: Duration = Duration::from_mins(5);
/// Between two looks whether the database answers.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest time that the database has to answer such a look.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long a client waits for the broker before it is told that it is lost.
pub(crate) const CLIENTS_WAIT: Duration = Duration::from_secs(10);

/// What services of the ring work with.
pub(crate) struct Parts {
    /// The broker.
    pub(crate) bus: Arc<dyn Bus>,
    /// The same, to look after.
    pub(crate) rabbit: Arc<RabbitMq>,
    /// Waits for its database.
    pub(crate) ledger: Arc<dyn Ledger>,
    /// Says at once when its database is not available.
    pub(crate) postgres: PostgresLedger,
    pub(crate) clock: Clock,
}

impl Parts {
    /// Reaches both, however long it takes. `publish_within`: how long a message may take to the broker, while that is
    /// away; a service of the ring ends when it is over.
    pub(crate) async fn reach(
        service: &'static str,
        start: &Start<'_>,
        publish_within: Duration,
    ) -> anyhow::Result<Self> {
        let clock = clock::system();
        let config = postgres_config(&start.args.stores)?;
        let watch = (&start.health, &start.shutdown);
        let (postgres, reached) = reach("postgres", watch, may_pass, || PostgresLedger::connect(&config)).await?;
        let rabbit = RabbitConfig {
            prefix: start.args.prefix.clone(),
            name: format!("tidegate-{service}"),
            publish_timeout: publish_within,
            ..RabbitConfig::new(secret("TIDEGATE_RABBITMQ")?)
        };
        let connect = || RabbitMq::connect(rabbit.clone(), Arc::clone(&clock));
        let (rabbit, _) = reach("rabbitmq", watch, |_: &BusError| true, connect).await?;
        rabbit.checks().into_iter().for_each(|(name, check)| start.health.register(name, check));
        let rabbit = Arc::new(rabbit);
        let ledger = Arc::new(Patient::new(Arc::new(postgres.clone()), PATIENCE, reached));
        Ok(Self { bus: Arc::clone(&rabbit) as Arc<dyn Bus>, rabbit, ledger, postgres, clock })
    }

    /// Tenants, keys, provider files and credentials, in the same database.
    pub(crate) fn registry(&self) -> PostgresRegistry {
        PostgresRegistry::new(self.postgres.pool().clone())
    }

    pub(crate) async fn close(self) {
        self.rabbit.disconnect().await;
        self.postgres.close().await;
    }
}

/// Asks the database for an answer all the time, so that a process that has nothing to do notices that it is gone, and
/// one that has says why.
pub(crate) async fn beat(postgres: PostgresLedger, answers: Arc<Flag>, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut told = String::new();
    loop {
        let trouble = tokio::select! {
            () = shutdown.requested() => return Ok(()),
            trouble = trouble(&postgres) => trouble,
        };
        match trouble {
            None => {
                answers.set(Status::Up);
                if !std::mem::take(&mut told).is_empty() {
                    tracing::info!("the database answers again");
                }
            }
            Some(reason) => {
                // The reason may name hosts and users: it is for the log, and each once.
                answers.set(Status::Down("the database does not answer".to_owned()));
                if reason != told {
                    tracing::warn!(reason, "the database does not answer");
                    told = reason;
                }
            }
        }
        tokio::select! {
            () = shutdown.requested() => return Ok(()),
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

/// Why the database does not answer, if it does not.
async fn trouble(postgres: &PostgresLedger) -> Option<String> {
    if let Ok(Ok(())) = tokio::time::timeout(ANSWER_WITHIN, postgres.ping()).await {
        return None;
    }
    let why = tokio::time::timeout(ANSWER_WITHIN, postgres.trouble()).await;
    let late = || format!("no answer within {} ms", ANSWER_WITHIN.as_millis());
    Some(why.ok().flatten().map_or_else(late, |error| format!("{:#}", anyhow::Error::new(error))))
}

/// How Postgres is reached.
pub(crate) fn postgres_config(stores: &Stores) -> anyhow::Result<PostgresConfig> {
    Ok(PostgresConfig { connections: stores.postgres_connections, ..PostgresConfig::new(secret("TIDEGATE_POSTGRES")?) })
}

/// Whether it helps to wait: the database may come up, or be migrated by another process.
fn may_pass(error: &LedgerError) -> bool {
    matches!(error, LedgerError::Unavailable(_) | LedgerError::Older { .. } | LedgerError::Refused(_))
}

/// `tidegate migrate`: brings the database's schema up to date, waiting for the database if need be.
pub(crate) async fn migrate(stores: &Stores) -> anyhow::Result<Exit> {
    let (config, shutdown) = (postgres_config(stores)?, tidegate_daemon::Shutdown::on_signals()?);
    let watch = (&tidegate_daemon::Health::new(), &shutdown);
    let may_pass = |error: &LedgerError| matches!(error, LedgerError::Unavailable(_));
    reach("postgres", watch, may_pass, || PostgresLedger::migrate(&config)).await?;
    tracing::info!("the schema is up to date");
    Ok(Exit::Done)
}
