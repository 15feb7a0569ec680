//! What the bus, its consumers and their deliveries share: links, senders, and how messages are addressed.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use tidegate_contracts::topology::{MESSAGE_MAX_BYTES, PLAN_PARTITIONS, Queue};
use tidegate_contracts::{Envelope, Failure, Message, PushedPage};
use tidegate_daemon::Clock;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::config::RabbitConfig;
use super::consumer::batched;
use super::declare::{Need, Plan};
use super::health::Roster;
use super::ladder;
use super::link::{Link, failed};
use super::sender::{Route, Sender};
use super::wire::{self, Letter, Stamp};
use crate::{BusError, Parcel};

/// Senders for the queues of calls: each queue always has the same, many queues share one.
const CALL_SENDERS: u64 = 4;
/// How long pushing a page may take: whoever pushes does something else then, and comes back.
const PUSH_WITHIN: Duration = Duration::from_secs(10);
/// How long a consumer may be without its subscription before its health check fails.
const RESUBSCRIBE_WITHIN: Duration = Duration::from_secs(10);

pub(super) struct Core {
    pub config: RabbitConfig,
    pub plan: Arc<Plan>,
    pub publishing: Arc<Link>,
    /// Apart from publishing: under an alarm the broker blocks connections that publish, acknowledgements included.
    pub consuming: Arc<Link>,
    pub roster: Roster,
    /// Seats whose consumers are gone, while they bring back what they hold.
    pub leaving: TaskTracker,
    clock: Clock,
    closed: watch::Sender<bool>,
    senders: Senders,
}

/// Who publishes what. Apart, so that none waits behind another's window.
struct Senders {
    outcomes: Sender,
    plans: Vec<Sender>,
    calls: Vec<Sender>,
    events: Sender,
    pages: Sender,
    parked: Sender,
    /// Dead letters and what is brought back.
    aside: Sender,
}

impl Core {
    pub(super) async fn connect(config: RabbitConfig, clock: Clock) -> Result<Self, BusError> {
        let plan = Arc::new(Plan::new(&config));
        let publishing = Arc::new(Link::open("publishing", &config, plan.clone()).await?);
        let consuming = Arc::new(Link::open("consuming", &config, plan.clone()).await?);
        let sender = || Sender::new(publishing.clone());
        let senders = Senders {
            outcomes: sender(),
            plans: (0..PLAN_PARTITIONS).map(|_| sender()).collect(),
            calls: (0..CALL_SENDERS).map(|_| sender()).collect(),
            events: sender(),
            pages: sender(),
            parked: sender(),
            aside: sender(),
        };
        let (roster, closed) = (Roster::new(RESUBSCRIBE_WITHIN, config.poll_within), watch::Sender::new(false));
        let leaving = TaskTracker::new();
        Ok(Self { config, plan, publishing, consuming, roster, leaving, clock, closed, senders })
    }

    pub(super) fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    pub(super) fn close(&self) {
        self.closed.send_replace(true);
    }

    pub(super) fn is_closed(&self) -> bool {
        *self.closed.borrow()
    }

    /// Waits for the end.
    pub(super) async fn closed(&self) {
        // Its sender is here, so it can't be gone.
        let _ = self.closed.subscribe().wait_for(|closed| *closed).await;
    }

    /// Publishes messages to their queue.
    pub(super) async fn publish(&self, queue: &Queue, messages: &[Envelope]) -> Result<(), BusError> {
        let letters = messages.iter().map(|message| letter(queue, message)).collect::<Result<Vec<_>, _>>()?;
        if let Queue::Events = queue {
            return self.announce(messages, letters).await;
        }
        let route = self.route(queue);
        self.sender(queue).send(route, letters, self.stamp(queue, 0), self.deadline()).await
    }

    /// Publishes events, each by its job.
    async fn announce(&self, messages: &[Envelope], letters: Vec<Letter>) -> Result<(), BusError> {
        let (exchange, _) = self.plan.way(&Queue::Events);
        let sends = messages.iter().zip(letters).map(|(message, letter)| {
            let route = Route {
                exchange: exchange.clone(),
                key: event_key(&message.message),
                // Nobody has to watch.
                mandatory: false,
                ..self.route(&Queue::Events)
            };
            self.senders.events.send(route, vec![letter], Stamp::default(), self.deadline())
        });
        futures_util::future::join_all(sends).await.into_iter().collect()
    }

    /// Pushes a page to whoever bound a queue for it.
    pub(super) async fn push(&self, page: PushedPage) -> Result<(), BusError> {
        let route = Route { key: page.routing_key(), mandatory: false, patient: false, ..self.route(&Queue::Results) };
        let letter = wire::page(page, self.now_ms());
        let deadline = Instant::now() + self.config.publish_timeout.min(PUSH_WITHIN);
        match self.senders.pages.send(route, vec![letter], Stamp::default(), deadline).await {
            Err(BusError::Full { .. }) => {
                Err(failed("pass a page on", "a queue that is bound to the exchange is full"))
            }
            pushed => pushed,
        }
    }

    /// Parks a message until it is due.
    pub(super) async fn park(
        &self,
        queue: &Queue,
        message: &Envelope,
        due_ms: i64,
        redelivered: u32,
    ) -> Result<(), BusError> {
        let letter = letter(queue, message)?;
        let wait_ms = due_ms.saturating_sub(self.now_ms());
        if wait_ms <= 0 {
            let stamp = self.stamp(queue, redelivered);
            return self.sender(queue).send(self.route(queue), vec![letter], stamp, self.deadline()).await;
        }
        let name = self.plan.queue(queue);
        let climb = ladder::climb(wait_ms, &ladder::address(&name));
        let route = Route {
            exchange: self.plan.level(Some(climb.level)),
            key: climb.key,
            needs: vec![Need::Due(queue.clone()), Need::Ladder(climb.level)],
            batched: false,
            ..self.route(queue)
        };
        let stamp = Stamp { due_ms: Some(due_ms), ..self.stamp(queue, redelivered) };
        self.senders.parked.send(route, vec![letter], stamp, self.deadline()).await
    }

    /// Publishes messages that were delivered before, with their count.
    pub(super) async fn again(&self, queue: &Queue, messages: &[&Envelope], redelivered: u32) -> Result<(), BusError> {
        let letters = messages.iter().map(|message| letter(queue, message)).collect::<Result<Vec<_>, _>>()?;
        let stamp = self.stamp(queue, redelivered);
        self.senders.aside.send(self.route(queue), letters, stamp, self.deadline()).await
    }

    /// Puts a message to the dead letters, and says so in the log: nobody else might look.
    pub(super) async fn bury(&self, queue: &Queue, parcel: &Parcel, reason: &str) -> Result<(), BusError> {
        let Parcel { envelope, redelivered, .. } = parcel;
        tracing::warn!(%queue, message.id = %envelope.id, redelivered, reason, "message rejected");
        self.to_dead(queue, letter(queue, envelope)?, *redelivered, reason).await
    }

    /// Puts bytes that are no message to the dead letters.
    pub(super) async fn bury_bytes(
        &self,
        queue: &Queue,
        bytes: Vec<u8>,
        redelivered: u32,
        reason: &str,
    ) -> Result<(), BusError> {
        tracing::warn!(%queue, bytes = bytes.len(), reason, "message can't be read");
        let letter = Letter { body: bytes, ..Letter::default() };
        self.to_dead(queue, letter, redelivered, reason).await
    }

    async fn to_dead(&self, queue: &Queue, letter: Letter, redelivered: u32, reason: &str) -> Result<(), BusError> {
        let reason: String = reason.chars().take(Failure::MESSAGE_MAX_CHARS).collect();
        let stamp = Stamp { death: Some((reason, self.now_ms())), ..self.stamp(queue, redelivered) };
        let route = Route { key: queue.to_string(), ..self.route(&Queue::Dead) };
        self.senders.aside.send(route, vec![letter], stamp, self.deadline()).await
    }

    pub(super) fn sender(&self, queue: &Queue) -> &Sender {
        match queue {
            Queue::Outcomes => &self.senders.outcomes,
            Queue::Plans(partition) => &self.senders.plans[(partition % PLAN_PARTITIONS) as usize],
            Queue::Calls { .. } => {
                let mut hasher = DefaultHasher::new();
                queue.hash(&mut hasher);
                &self.senders.calls[usize::try_from(hasher.finish() % CALL_SENDERS).unwrap_or(0)]
            }
            Queue::Events => &self.senders.events,
            Queue::Results => &self.senders.pages,
            Queue::Dead => &self.senders.aside,
        }
    }

    fn route(&self, queue: &Queue) -> Route {
        let (exchange, key) = self.plan.way(queue);
        let queue_max = usize::try_from(self.config.queue_max).unwrap_or(usize::MAX);
        let (needs, batched) = (vec![Need::Queue(queue.clone())], batched(queue));
        Route { exchange, key, queue: queue.clone(), queue_max, needs, batched, mandatory: true, patient: true }
    }

    fn stamp(&self, queue: &Queue, redelivered: u32) -> Stamp {
        Stamp { redelivered, due_ms: None, address: Some(queue.to_string()), death: None }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.config.publish_timeout
    }
}

/// Encodes a message, if it is no larger than one may be.
fn letter(queue: &Queue, message: &Envelope) -> Result<Letter, BusError> {
    let body = message.encode().map_err(|error| failed("be told a message that has no form", error))?;
    if body.len() > MESSAGE_MAX_BYTES {
        return Err(BusError::Refused { queue: queue.clone(), reason: "takes no message of more than 1 MiB" });
    }
    Ok(Letter { body, id: message.id.to_string(), traceparent: message.traceparent.clone(), own: None })
}

/// The job of an event, which is its routing key.
fn event_key(message: &Message) -> String {
    match message {
        Message::Event(event) => event.job().to_string(),
        _ => "other".to_owned(),
    }
}
