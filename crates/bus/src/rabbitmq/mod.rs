//! The bus over RabbitMQ: from 3.10 on, with nothing that 4.x refuses.
//!
//! * Queues are durable quorum queues, published to with confirms and dead-lettered at least once; names and arguments
//!   are those of `docs/topology.md`, declared when first needed.
//! * Outcomes and plans share the broker's messages, up to 256 in one: three confirmed hops for each call are too
//!   dear. Such a message is acknowledged when all in it are settled, so if a process dies, some that were
//!   acknowledged come again.
//! * A delivery that is dropped comes back first while its consumer is there; after that it goes to the end of its
//!   queue, counted by a header of our own. What restarts and cut links bring back counts as once, up to ten times.
//! * A parked message waits on a ladder of queues, in whole seconds rounded up.
//! * Pages are pushed to a topic exchange, for queues of others: nobody has to bind one.
//! * A lost connection is dropped and made anew. Publishing goes on within its deadline, consumers subscribe again by
//!   themselves, and what was in hand fails to be acknowledged and comes again.

mod config;
mod consumer;
mod core;
mod dead;
mod declare;
mod health;
mod ladder;
mod link;
mod seat;
mod sender;
#[cfg(test)]
mod tests;
mod watcher;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{ExchangeDeleteOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use tidegate_contracts::topology::{DELAY_LEVELS, PLAN_PARTITIONS, Queue};
use tidegate_contracts::{Envelope, PushedPage};
use tidegate_daemon::{Check, Clock};

use self::consumer::QueueConsumer;
use self::core::Core;
use self::declare::{Need, Step};
use self::health::Connected;
use self::link::{Live, failed};
use self::watcher::Watcher;
use crate::{Bus, BusError, Consumer, DeadLetters, QueueDepth};

pub use self::config::RabbitConfig;

/// Longest name of a queue, in bytes: with the bits of a delay it has to fit in a routing key of 255.
const QUEUE_NAME_MAX: usize = 200;
/// How long consumers may take to bring back what they hold, when the connections are closed.
const LEAVE_WITHIN: Duration = Duration::from_secs(5);
/// Between two looks how long the broker has been lost.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The bus over RabbitMQ. Its connections are closed when it is dropped with its consumers and their deliveries.
pub struct RabbitMq {
    core: Arc<Core>,
}

impl RabbitMq {
    /// Connects, or if the broker is out of reach goes on trying; parked messages are due by `clock`.
    ///
    /// # Errors
    /// [`BusError::Broker`] when the address makes no sense or the broker refuses the user, password or vhost.
    pub async fn connect(config: RabbitConfig, clock: Clock) -> Result<Self, BusError> {
        Ok(Self { core: Arc::new(Core::connect(config, clock).await?) })
    }

    /// Health checks, by name: both connections, and that every consumer is subscribed and polled.
    #[must_use]
    pub fn checks(&self) -> Vec<(&'static str, Arc<dyn Check>)> {
        vec![
            ("bus-publishing", Arc::new(Connected(self.core.publishing.clone()))),
            ("bus-consuming", Arc::new(Connected(self.core.consuming.clone()))),
            ("bus-consumers", Arc::new(self.core.roster.clone())),
        ]
    }

    /// How long either connection has been lost; `None` while both are there.
    #[must_use]
    pub fn lost_for(&self) -> Option<Duration> {
        self.core.publishing.lost_for().max(self.core.consuming.lost_for())
    }

    /// Waits until the broker has been lost for [`RabbitConfig::give_up_after`]. A process then better ends and is
    /// started anew than hangs on.
    pub async fn given_up(&self) {
        while self.lost_for().is_none_or(|lost| lost < self.core.config.give_up_after) {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Closes the bus and then its connections, in order and in bounded time: for the end of a process. Deliveries that
    /// are still out come again.
    pub async fn disconnect(&self) {
        self.core.close();
        self.core.leaving.close();
        if self.lost_for().is_none() && tokio::time::timeout(LEAVE_WITHIN, self.core.leaving.wait()).await.is_err() {
            tracing::warn!("messages are still in hand; they come again");
        }
        tokio::join!(self.core.publishing.close(), self.core.consuming.close());
    }

    /// Deletes the queues and exchanges of the prefix, with all that is in them; of the queues of calls, those that this
    /// bus has used. For tests, and to take a deployment down.
    ///
    /// # Errors
    /// [`BusError::Broker`].
    pub async fn delete_all(&self) -> Result<(), BusError> {
        let link = &self.core.consuming;
        let live = tokio::time::timeout(self.core.config.connect_timeout, link.ready()).await;
        let live = live.map_err(|late| failed("delete queues", late))?;
        let fixed =
            (0..PLAN_PARTITIONS).map(Queue::Plans).chain([Queue::Outcomes, Queue::Events, Queue::Results, Queue::Dead]);
        let fixed = fixed.map(Need::Queue).chain([Need::Ladder(DELAY_LEVELS - 1)]);
        let published = self.core.publishing.live().map(|live| live.known()).unwrap_or_default();
        let needs = fixed.chain(published).chain(live.known());
        let steps = needs.flat_map(|need| self.core.plan.steps(&need));
        // To delete what is not there is no error.
        let mut names: Vec<(bool, String)> = steps.filter_map(named).collect();
        names.sort();
        names.dedup();
        let delete = async {
            let channel = live.channel(false).await?;
            for (is_queue, name) in names {
                if is_queue {
                    channel.queue_delete(name.into(), QueueDeleteOptions::default()).await?;
                } else {
                    channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await?;
                }
            }
            channel.close(200, "deleted".into()).await
        };
        delete.await.map_err(|error| failed("delete queues", error))
    }

    /// The connection to count messages over.
    async fn counting(&self) -> Result<Arc<Live>, BusError> {
        let live = tokio::time::timeout(self.core.config.connect_timeout, self.core.consuming.ready()).await;
        live.map_err(|late| failed("count messages", late))
    }

    fn admit(&self, queue: &Queue) -> Result<(), BusError> {
        if self.core.is_closed() {
            return Err(BusError::Closed);
        }
        let fits = self.core.plan.queue(queue).len() <= QUEUE_NAME_MAX;
        if fits { Ok(()) } else { Err(refused(queue, "has too long a name")) }
    }
}

/// Whether a step makes a queue, and the name. Watchers' queues go by themselves.
fn named(step: Step) -> Option<(bool, String)> {
    match step {
        Step::Queue { name, exclusive: false, .. } => Some((true, name)),
        Step::Exchange { name, .. } => Some((false, name)),
        _ => None,
    }
}

/// Messages that a queue has ready; `None` if there is no such queue.
async fn ready(live: &Live, name: String) -> Result<Option<usize>, BusError> {
    let count = async {
        let channel = live.channel(false).await?;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        match channel.queue_declare(name.into(), options, FieldTable::default()).await {
            Ok(queue) => {
                channel.close(200, "counted".into()).await?;
                Ok(Some(usize::try_from(queue.message_count()).unwrap_or(usize::MAX)))
            }
            // It is not there, and the channel is closed by that.
            Err(error) if error.is_amqp_soft_error() => Ok(None),
            Err(error) => Err(error),
        }
    };
    count.await.map_err(|error| failed("count messages", error))
}

fn refused(queue: &Queue, reason: &'static str) -> BusError {
    BusError::Refused { queue: queue.clone(), reason }
}

#[async_trait]
impl Bus for RabbitMq {
    async fn publish(&self, queue: &Queue, messages: Vec<Envelope>) -> Result<(), BusError> {
        self.admit(queue)?;
        match queue {
            Queue::Dead => Err(refused(queue, "takes only what is rejected")),
            Queue::Results => Err(refused(queue, "takes only pages")),
            _ if messages.is_empty() => Ok(()),
            _ => self.core.publish(queue, &messages).await,
        }
    }

    async fn publish_later(&self, queue: &Queue, message: Envelope, due_ms: i64) -> Result<(), BusError> {
        self.admit(queue)?;
        match queue {
            Queue::Dead => Err(refused(queue, "takes only what is rejected")),
            Queue::Events | Queue::Results => Err(refused(queue, "keeps nothing for later")),
            _ => self.core.park(queue, &message, due_ms, 0).await,
        }
    }

    fn pushes(&self) -> bool {
        true
    }

    async fn push(&self, page: PushedPage) -> Result<(), BusError> {
        self.admit(&Queue::Results)?;
        self.core.push(page).await
    }

    async fn consume(&self, queue: &Queue, prefetch: u16) -> Result<Box<dyn Consumer>, BusError> {
        self.admit(queue)?;
        match queue {
            Queue::Dead | Queue::Results => Err(refused(queue, "can't be consumed")),
            Queue::Events => Ok(Box::new(Watcher::new(self.core.clone()).await?)),
            _ => Ok(Box::new(QueueConsumer::new(self.core.clone(), queue.clone(), prefetch).await?)),
        }
    }

    /// What AMQP tells: the broker's messages that are ready, each of which may carry many. What is out or parked it
    /// does not tell, and is given as 0.
    async fn depth(&self, queue: &Queue) -> Result<QueueDepth, BusError> {
        self.admit(queue)?;
        if let Queue::Events | Queue::Results = queue {
            return Ok(QueueDepth::default());
        }
        let live = self.counting().await?;
        let ready = ready(&live, self.core.plan.queue(queue)).await?.unwrap_or(0);
        Ok(QueueDepth { ready, ..QueueDepth::default() })
    }

    /// Of each level what its queue holds; those that are not there are made.
    async fn parked(&self) -> Result<Vec<usize>, BusError> {
        if self.core.is_closed() {
            return Err(BusError::Closed);
        }
        let (live, ladder) = (self.counting().await?, Need::Ladder(DELAY_LEVELS - 1));
        live.ensure(&ladder).await.map_err(|error| failed("make the delay ladder", error))?;
        let mut levels = Vec::with_capacity(DELAY_LEVELS as usize);
        for level in 0..DELAY_LEVELS {
            let count = ready(&live, self.core.plan.level_queue(level)).await?;
            if count.is_none() {
                // Deleted by somebody: the next look makes it anew.
                live.forget(&ladder);
            }
            levels.push(count.unwrap_or(0));
        }
        Ok(levels)
    }

    async fn dead(&self, max: usize) -> Result<DeadLetters, BusError> {
        dead::take(&self.core, max).await
    }

    async fn close(&self) {
        self.core.close();
    }
}

impl Drop for RabbitMq {
    fn drop(&mut self) {
        self.core.close();
    }
}
