//! Who takes messages from a queue of the broker's, over as many connections as it takes.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Error};
use tidegate_contracts::topology::Queue;

use super::core::Core;
use super::declare::Need;
use super::health::Presence;
use super::link::{Live, failed, is_refusal};
use super::seat::Seat;
use crate::{BusError, Consumer, Delivery, Parcel};

/// Largest prefetch of a quorum queue.
const QUORUM_PREFETCH_MAX: u16 = 2_000;
/// Messages of the broker's fetched from a batched queue; each may carry hundreds.
const BATCHED_PREFETCH: u16 = 64;
/// Between two looks whether the channel lives, while nothing comes.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Before subscribing again after it failed.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// What a subscription is, while its link lives.
struct Subscribed {
    seat: Arc<Seat>,
    deliveries: lapin::Consumer,
}

/// Takes messages from one queue. Subscribes anew when its link is lost.
pub(super) struct QueueConsumer {
    core: Arc<Core>,
    queue: Queue,
    prefetch: u16,
    subscribed: Option<Subscribed>,
    presence: Presence,
}

impl QueueConsumer {
    /// Subscribes; while the broker is out of reach, later.
    pub(super) async fn new(core: Arc<Core>, queue: Queue, prefetch: u16) -> Result<Self, BusError> {
        let presence = core.roster.enter(&queue);
        let mut consumer = Self { core, queue, prefetch: prefetch.max(1), subscribed: None, presence };
        match tokio::time::timeout(consumer.core.config.connect_timeout, consumer.subscribe()).await {
            Ok(Err(error)) if is_refusal(&error) => Err(failed("let us consume a queue", error)),
            _ => Ok(consumer),
        }
    }

    async fn subscribe(&mut self) -> Result<(), Error> {
        let prefetch = if batched(&self.queue) { self.prefetch.min(BATCHED_PREFETCH) } else { self.prefetch };
        let name = self.core.plan.queue(&self.queue);
        let need = Need::Queue(self.queue.clone());
        let (link, deliveries) = open(&self.core, &need, &name, prefetch.min(QUORUM_PREFETCH_MAX)).await?;
        let seat = Seat::new(self.core.clone(), link, self.queue.clone(), self.prefetch.into());
        self.subscribed = Some(Subscribed { seat: Arc::new(seat), deliveries });
        self.presence.subscribed(true);
        Ok(())
    }

    /// Lets go of the channel; what is in hand of it is brought back, or lost with the link and comes again.
    fn unsubscribe(&mut self) {
        self.presence.subscribed(false);
        if let Some(Subscribed { seat, deliveries }) = self.subscribed.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            self.core.leaving.spawn_on(seat.leave(deliveries), &runtime);
        }
    }

    /// Waits until there are messages, and takes at most `max`; none at the end.
    async fn fill(&mut self, max: usize) -> Vec<Parcel> {
        let _waiting = self.presence.waiting();
        let core = self.core.clone();
        loop {
            if core.is_closed() {
                return Vec::new();
            }
            let Some(Subscribed { seat, deliveries }) = &mut self.subscribed else {
                tokio::select! {
                    () = core.closed() => {}
                    subscribed = self.subscribe() => if let Err(error) = subscribed {
                        tracing::warn!(queue = %self.queue, %error, "can't subscribe; trying again");
                        tokio::time::sleep(RETRY_PAUSE).await;
                    },
                }
                continue;
            };
            // What is here of a dead channel comes again; handing it out would be work for nothing.
            let mut came = if seat.lives() { None } else { Some(None) };
            while seat.ready() < max.max(1) && came.is_none() {
                match deliveries.next().now_or_never() {
                    Some(Some(Ok(delivery))) => seat.accept(delivery),
                    Some(end) => came = Some(end),
                    None => break,
                }
            }
            if came.is_none() {
                let taken = seat.take(max.max(1));
                if !taken.is_empty() {
                    return taken;
                }
                let room = seat.has_room();
                tokio::select! {
                    () = core.closed() => continue,
                    () = seat.nudge.notified() => continue,
                    delivery = deliveries.next(), if room => came = Some(delivery),
                    () = tokio::time::sleep(LOOK_EVERY) => if seat.lives() { continue },
                }
            }
            match came {
                Some(Some(Ok(delivery))) => seat.accept(delivery),
                Some(Some(Err(error))) => {
                    tracing::warn!(queue = %self.queue, %error, "lost a subscription; subscribing again");
                    core.consuming.look();
                    self.unsubscribe();
                }
                // The queue was deleted, or the broker moves it.
                Some(None) | None => {
                    tracing::warn!(queue = %self.queue, "a subscription ended; subscribing again");
                    core.consuming.look();
                    self.unsubscribe();
                }
            }
        }
    }

    fn hand_out(&self, parcels: Vec<Parcel>) -> Vec<Delivery> {
        let Some(Subscribed { seat, .. }) = &self.subscribed else { return Vec::new() };
        parcels.into_iter().map(|parcel| Delivery::new(parcel, seat.clone())).collect()
    }
}

/// Whether messages of a queue share the broker's.
pub(super) fn batched(queue: &Queue) -> bool {
    matches!(queue, Queue::Outcomes | Queue::Plans(_))
}

/// A channel that consumes a queue.
pub(super) async fn open(
    core: &Core,
    need: &Need,
    name: &str,
    prefetch: u16,
) -> Result<((Arc<Live>, Channel), lapin::Consumer), Error> {
    let live = core.consuming.ready().await;
    live.ensure(need).await?;
    let channel = live.channel(false).await?;
    let subscribe = async {
        channel.basic_qos(prefetch, BasicQosOptions { global: false }).await?;
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        channel.basic_consume(name.into(), "".into(), options, none).await
    };
    let consumer = live.in_time(subscribe).await.inspect_err(|_| live.forget(need))?;
    Ok(((live, channel), consumer))
}

#[async_trait]
impl Consumer for QueueConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        let taken = self.fill(1).await;
        self.hand_out(taken).pop()
    }

    async fn next_batch(&mut self, max: usize) -> Vec<Delivery> {
        let taken = self.fill(max).await;
        self.hand_out(taken)
    }
}

impl Drop for QueueConsumer {
    fn drop(&mut self) {
        self.unsubscribe();
    }
}
