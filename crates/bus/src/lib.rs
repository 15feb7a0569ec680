//! The bus: how messages get from one service to the next, whatever carries them.
//!
//! [`Bus`] is at-least-once. A message is taken when [`Bus::publish`] returns, is delivered until somebody
//! acknowledges or rejects it, and comes back when a [`Delivery`] is dropped without either; so whoever
//! handles one must make twice harmless. [`InProcess`] carries messages inside of one process, [`RabbitMq`]
//! between them.
//!
//! *To add another bus*: implement [`Bus`], [`Consumer`] and [`Settle`], and run [`conformance`] over it.

pub mod conformance;
mod dead;
mod delivery;
mod error;
mod inprocess;
mod metrics;
mod rabbitmq;

use async_trait::async_trait;
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Envelope, PushedPage};

pub use dead::{DeadLetter, DeadLetters, Forget};
pub use delivery::{Delivery, Parcel, Settle, Tag, ack_all, or_redelivered};
pub use error::BusError;
pub use inprocess::{InProcess, InProcessConfig, QUEUES_MAX};
pub use rabbitmq::{RabbitConfig, RabbitMq};

/// Dead letters kept; beyond, the oldest is forgotten.
pub const DEAD_MAX: usize = 10_000;

/// Carries messages from services to services.
#[async_trait]
pub trait Bus: Send + Sync {
    /// Sends messages to a queue, in this order. They are safe with the bus once this returns; on an error
    /// some may be there all the same, so sending again may send twice. While the queue takes nothing this waits, for as long as
    /// the bus was told to; what comes in parts meanwhile may be out of order.
    ///
    /// # Errors
    /// [`BusError::Full`] with not all sent (in-process: with nothing sent) when that is over, [`BusError::Closed`],
    /// [`BusError::Refused`] for [`Queue::Dead`], [`Queue::Results`] and for what is too large, [`BusError::Broker`].
    async fn publish(&self, queue: &Queue, messages: Vec<Envelope>) -> Result<(), BusError>;

    /// Parks a message: it is delivered when `due_ms` (Unix time in milliseconds) is reached, not before and
    /// a little later (over a broker up to a second). One that is due already is delivered like any other. Holds no consumer.
    ///
    /// # Errors
    /// As [`Bus::publish`]; also [`BusError::Refused`] for [`Queue::Events`], since nobody waits for old news.
    async fn publish_later(&self, queue: &Queue, message: Envelope, due_ms: i64) -> Result<(), BusError>;

    /// Whether there is a results exchange to push pages to. Not within one process.
    fn pushes(&self) -> bool;

    /// Pushes a page to the results exchange. When this returns, every queue that is bound for it has it on disk; where
    /// none is, it is dropped. It takes a few seconds at most.
    ///
    /// # Errors
    /// [`BusError::Broker`] also when a bound queue refuses it: some queues may have it all the same, so pushing again may
    /// push twice. [`BusError::Closed`]; [`BusError::Refused`] where there is no such exchange.
    async fn push(&self, page: PushedPage) -> Result<(), BusError>;

    /// Starts to take messages from a queue, at most `prefetch` of them unacknowledged at a time (0 is
    /// taken for 1; [`Queue::Events`] knows no limit, as nothing is acknowledged there). Of several consumers
    /// each message goes to one, but each of [`Queue::Events`] gets all, and of [`Queue::Plans`] one gets
    /// all while the others wait until it is gone with all of its deliveries.
    ///
    /// # Errors
    /// [`BusError::Closed`], [`BusError::Refused`] for [`Queue::Dead`] and [`Queue::Results`], [`BusError::Broker`].
    async fn consume(&self, queue: &Queue, prefetch: u16) -> Result<Box<dyn Consumer>, BusError>;

    /// How many messages a queue holds, as far as the bus can tell; all zero for [`Queue::Events`] and [`Queue::Results`]. A look,
    /// outdated at once.
    ///
    /// # Errors
    /// [`BusError::Closed`], [`BusError::Broker`].
    async fn depth(&self, queue: &Queue) -> Result<QueueDepth, BusError>;

    /// How many messages are parked, on each of the [`DELAY_LEVELS`](tidegate_contracts::topology::DELAY_LEVELS): on `N` those
    /// that came there with 2^N s or more to wait, and less than twice that. A look, outdated at once.
    ///
    /// # Errors
    /// [`BusError::Closed`], [`BusError::Broker`].
    async fn parked(&self) -> Result<Vec<usize>, BusError>;

    /// Takes messages that were rejected, oldest first, of at most `max` (0 is taken for 1) of the carrier's messages. They
    /// stay where they are until they are acknowledged.
    ///
    /// # Errors
    /// [`BusError::Broker`].
    async fn dead(&self, max: usize) -> Result<DeadLetters, BusError>;

    /// Ends the bus: consumers end, nothing more is taken. Deliveries that are out may still be settled.
    async fn close(&self);
}

/// Takes messages from one queue. Dropping it stops that; what it fetched and did not hand out goes back,
/// what it handed out stays with whoever has it.
#[async_trait]
pub trait Consumer: Send {
    /// Waits for a message; `None` when the bus is closed. Cancelling the wait loses nothing.
    async fn next(&mut self) -> Option<Delivery>;

    /// Waits for a message, then takes what is there without waiting, at most `max` (0 is taken for 1) and
    /// at most what is left of the prefetch. Empty when the bus is closed. Cancelling the wait loses nothing.
    async fn next_batch(&mut self, max: usize) -> Vec<Delivery>;
}

/// How many messages a queue holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct QueueDepth {
    /// To be delivered now.
    pub ready: usize,
    /// Delivered, and neither acknowledged nor rejected nor back.
    pub unacked: usize,
    /// Parked until due.
    pub delayed: usize,
}
