//! One connection to the broker, kept: when it is lost it is dropped and made anew, after a while. Never repaired in
//! place, so that nothing of an old connection lives on as if it were of the new one.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::options::{
    ConfirmSelectOptions, ExchangeBindOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::types::FieldTable;
use lapin::uri::AMQPUri;
use lapin::{Channel, Connection, ConnectionProperties, Error, ErrorKind};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::config::RabbitConfig;
use super::declare::{Need, Plan, Step};
use crate::{BusError, metrics};

/// First wait before connecting again; doubled each time.
const BACKOFF_MIN: Duration = Duration::from_millis(200);
/// Longest wait before connecting again.
const BACKOFF_MAX: Duration = Duration::from_secs(15);
/// Between two looks at a connection that says nothing.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// What is said while an alarm of the broker's lasts.
pub(super) const BLOCKED: &str = "the broker takes no messages: it is short of memory or disk";
/// How long saying goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

/// A connection while it lives.
pub(super) struct Live {
    pub connection: Connection,
    plan: Arc<Plan>,
    timeout: Duration,
    /// What is known to be there. Of this connection: the broker after a restart may be another.
    there: Mutex<HashSet<Need>>,
}

impl Live {
    /// A channel for `what`, which has to be there; `confirms` makes the broker confirm what is published.
    pub(super) async fn channel(&self, confirms: bool) -> Result<Channel, Error> {
        let open = async {
            let channel = self.connection.create_channel().await?;
            if confirms {
                channel.confirm_select(ConfirmSelectOptions::default()).await?;
            }
            Ok(channel)
        };
        self.in_time(open).await
    }

    /// Declares what is not known to be there.
    pub(super) async fn ensure(&self, need: &Need) -> Result<(), Error> {
        if self.there.lock().unwrap_or_else(PoisonError::into_inner).contains(need) {
            return Ok(());
        }
        let declare = async {
            // Its own channel: one that the broker refuses is closed by it.
            let channel = self.connection.create_channel().await?;
            for step in self.plan.steps(need) {
                run(&channel, step).await?;
            }
            channel.close(200, "declared".into()).await
        };
        self.in_time(declare).await?;
        self.there.lock().unwrap_or_else(PoisonError::into_inner).insert(need.clone());
        Ok(())
    }

    /// Declares what is not known to be there, in order.
    pub(super) async fn ensure_all(&self, needs: &[Need]) -> Result<(), Error> {
        for need in needs {
            self.ensure(need).await?;
        }
        Ok(())
    }

    /// It was not there after all.
    pub(super) fn forget(&self, need: &Need) {
        self.there.lock().unwrap_or_else(PoisonError::into_inner).remove(need);
    }

    /// What is known to be there.
    pub(super) fn known(&self) -> Vec<Need> {
        self.there.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }

    pub(super) async fn in_time<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match tokio::time::timeout(self.timeout, work).await {
            Ok(result) => result,
            Err(_) => Err(too_slow()),
        }
    }
}

async fn run(channel: &Channel, step: Step) -> Result<(), Error> {
    match step {
        Step::Exchange { name, kind, arguments } => {
            let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
            channel.exchange_declare(name.into(), kind, options, arguments).await
        }
        Step::Queue { name, exclusive, arguments } => {
            let (durable, auto_delete) = (!exclusive, exclusive);
            let options = QueueDeclareOptions { durable, exclusive, auto_delete, ..QueueDeclareOptions::default() };
            channel.queue_declare(name.into(), options, arguments).await.map(drop)
        }
        Step::Bind { queue, exchange, key } => {
            let (options, none) = (QueueBindOptions::default(), FieldTable::default());
            channel.queue_bind(queue.into(), exchange.into(), key.into(), options, none).await
        }
        Step::BindExchange { to, from, key } => {
            let (options, none) = (ExchangeBindOptions::default(), FieldTable::default());
            channel.exchange_bind(to.into(), from.into(), key.into(), options, none).await
        }
    }
}

fn too_slow() -> Error {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

/// Whether trying again is of no use until people change something: the broker refuses what is asked of it.
pub(super) fn is_refusal(error: &Error) -> bool {
    let ErrorKind::ProtocolError(error) = error.kind() else { return false };
    matches!(
        error.kind(),
        AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED | AMQPSoftError::PRECONDITIONFAILED)
            | AMQPErrorKind::Soft(AMQPSoftError::RESOURCELOCKED)
            | AMQPErrorKind::Hard(AMQPHardError::NOTALLOWED)
    )
}

pub(super) fn failed(what: &'static str, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> BusError {
    BusError::Broker { what, source: source.into() }
}

/// A connection that is made anew when it is lost. Closed when dropped.
pub(super) struct Link {
    state: watch::Receiver<Option<Arc<Live>>>,
    kick: Arc<Notify>,
    lost_since: Arc<Mutex<Option<Instant>>>,
    closing: CancellationToken,
    keeper: tokio::sync::Mutex<JoinHandle<()>>,
}

impl Link {
    /// Tries once, and goes on trying unless the broker refuses; `role` names the connection.
    pub(super) async fn open(role: &'static str, config: &RabbitConfig, plan: Arc<Plan>) -> Result<Self, BusError> {
        let maker = Maker { uri: config.uri()?, name: format!("{} {role}", config.name), plan, config: config.clone() };
        let first = match maker.connect().await {
            Ok(live) => Some(live),
            Err(error) if is_refusal(&error) => return Err(failed("let us in", error)),
            Err(error) => {
                tracing::warn!(connection = maker.name, error = %error, "the broker is out of reach");
                None
            }
        };
        let (sender, state) = watch::channel(None);
        let (kick, lost_since) = (Arc::new(Notify::new()), Arc::new(Mutex::new(Some(Instant::now()))));
        let closing = CancellationToken::new();
        let keeper =
            Keeper { maker, sender, kick: kick.clone(), lost_since: lost_since.clone(), closing: closing.clone() };
        if let Some(live) = &first {
            keeper.up(live);
        }
        let keeper = tokio::sync::Mutex::new(tokio::spawn(keeper.keep(first)));
        Ok(Self { state, kick, lost_since, closing, keeper })
    }

    /// The connection, if it lives.
    pub(super) fn live(&self) -> Option<Arc<Live>> {
        self.state.borrow().clone().filter(|live| live.connection.status().connected())
    }

    /// Waits for the connection to live.
    pub(super) async fn ready(&self) -> Arc<Live> {
        let mut state = self.state.clone();
        loop {
            let seen = state.borrow_and_update().clone();
            match seen {
                Some(live) if live.connection.status().connected() => return live,
                Some(_) => {
                    self.kick.notify_one();
                    // Whether it changed or time passed, the next look tells.
                    let _ = tokio::time::timeout(LOOK_EVERY, state.changed()).await;
                }
                // The keeper outlives all receivers; if the runtime has ended it, nobody waits here either.
                None => match state.changed().await {
                    Ok(()) => {}
                    Err(_) => std::future::pending().await,
                },
            }
        }
    }

    /// Something went wrong with it: look now.
    pub(super) fn look(&self) {
        self.kick.notify_one();
    }

    /// Whether the broker takes nothing over it for now.
    pub(super) fn is_blocked(&self) -> bool {
        self.live().is_some_and(|live| live.connection.status().blocked())
    }

    /// Closes the connection in order, as far as the broker hears it in time, and makes none anew.
    pub(super) async fn close(&self) {
        self.closing.cancel();
        // Who comes second finds it ended.
        let mut keeper = self.keeper.lock().await;
        if !keeper.is_finished() {
            let _ = tokio::time::timeout(2 * GOODBYE, &mut *keeper).await;
        }
    }

    /// How long it has been lost.
    pub(super) fn lost_for(&self) -> Option<Duration> {
        self.lost_since.lock().unwrap_or_else(PoisonError::into_inner).map(|since| since.elapsed())
    }
}

/// Makes connections.
struct Maker {
    uri: AMQPUri,
    name: String,
    plan: Arc<Plan>,
    config: RabbitConfig,
}

impl Maker {
    async fn connect(&self) -> Result<Arc<Live>, Error> {
        let properties = ConnectionProperties::default().with_connection_name(self.name.as_str().into());
        let connecting = Connection::connect_uri(self.uri.clone(), properties);
        let connection = match tokio::time::timeout(self.config.connect_timeout, connecting).await {
            Ok(connection) => connection?,
            Err(_) => return Err(too_slow()),
        };
        let (plan, timeout) = (self.plan.clone(), self.config.connect_timeout);
        Ok(Arc::new(Live { connection, plan, timeout, there: Mutex::default() }))
    }
}

/// Keeps a link.
struct Keeper {
    maker: Maker,
    sender: watch::Sender<Option<Arc<Live>>>,
    kick: Arc<Notify>,
    lost_since: Arc<Mutex<Option<Instant>>>,
    closing: CancellationToken,
}

impl Keeper {
    async fn keep(self, mut first: Option<Arc<Live>>) {
        loop {
            let live = match first.take() {
                Some(live) => live,
                None => match self.again().await {
                    Some(live) => live,
                    None => return,
                },
            };
            self.up(&live);
            let mut blocked = false;
            while live.connection.status().connected() {
                if live.connection.status().blocked() != blocked {
                    blocked = !blocked;
                    self.tell_blocked(blocked);
                }
                tokio::select! {
                    () = self.not_needed() => {
                        // Whether it hears us or not, we are gone.
                        let _ = tokio::time::timeout(GOODBYE, live.connection.close(200, "goodbye".into())).await;
                        return;
                    }
                    () = self.kick.notified() => {}
                    () = tokio::time::sleep(LOOK_EVERY) => {}
                }
            }
            *self.lost_since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            self.sender.send_replace(None);
            tracing::warn!(connection = self.maker.name, "lost the broker; connecting again");
        }
    }

    /// Everybody is gone, or asked for the end.
    async fn not_needed(&self) {
        tokio::select! {
            () = self.sender.closed() => {}
            () = self.closing.cancelled() => {}
        }
    }

    fn tell_blocked(&self, blocked: bool) {
        let connection = &self.maker.name;
        metrics::blocked(connection, blocked);
        if blocked {
            tracing::warn!(connection, "{BLOCKED}; waiting");
        } else {
            tracing::info!(connection, "the broker takes messages again");
        }
    }

    fn up(&self, live: &Arc<Live>) {
        *self.lost_since.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if self.sender.borrow().is_none() {
            tracing::info!(connection = self.maker.name, "connected to the broker");
            metrics::connected(&self.maker.name, true);
            metrics::blocked(&self.maker.name, false);
            self.sender.send_replace(Some(live.clone()));
        }
    }

    /// Connects again and again, with growing waits; `None` when nobody needs it any more. Says each reason once.
    async fn again(&self) -> Option<Arc<Live>> {
        let (mut wait, mut said) = (BACKOFF_MIN, String::new());
        metrics::connected(&self.maker.name, false);
        loop {
            tokio::select! {
                () = self.not_needed() => return None,
                () = tokio::time::sleep(wait.mul_f64(rand::random_range(0.5..1.0))) => {}
            }
            wait = (wait * 2).min(BACKOFF_MAX);
            match self.maker.connect().await {
                Ok(live) => return Some(live),
                Err(error) if error.to_string() == said => {}
                Err(error) => {
                    said = error.to_string();
                    tracing::warn!(connection = self.maker.name, error = said, "the broker is out of reach");
                }
            }
        }
    }
}
