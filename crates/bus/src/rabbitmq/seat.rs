//! A consumer's place at the broker: what it has in hand of one channel, and how that is settled.
//!
//! One message of the broker's may carry many of ours (a bundle). It is acknowledged when all of them are settled. What
//! is dropped comes back to the seat while its consumer is there, without the broker; when the consumer goes, what it
//! leaves is published anew, with its count, and a bundle that nobody touched is simply given back.
//!
//! All of that belongs to one channel: when the link is lost, everything in hand is lost with it, and comes again.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::StreamExt as _;
use lapin::Channel;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicCancelOptions, BasicNackOptions};
use tidegate_contracts::Envelope;
use tidegate_contracts::topology::Queue;
use tokio::sync::Notify;

use super::core::Core;
use super::link::{Live, failed};
use super::wire::{Content, open};
use crate::{BusError, Parcel, Settle, Tag};

/// Bits of a tag that say which of its bundle's messages it is.
const PLACE_BITS: u32 = 16;
/// How long the broker may take to let a consumer go.
const FAREWELL: Duration = Duration::from_secs(5);

/// One consumer's channel.
pub(super) struct Seat {
    core: Arc<Core>,
    live: Arc<Live>,
    channel: Channel,
    queue: Queue,
    prefetch: usize,
    state: Mutex<State>,
    /// One acknowledges at a time, so that what is said of many tags is true when it is sent.
    acknowledging: tokio::sync::Mutex<()>,
    /// Something came back, or there is room for more, or less is in hand.
    pub(super) nudge: Notify,
}

#[derive(Default)]
struct State {
    /// To be handed out, by place.
    ready: VecDeque<Parcel>,
    /// By the broker's delivery tag: every message that came and is not acknowledged.
    bundles: BTreeMap<u64, Bundle>,
    /// Bundles of which all is settled.
    settled: Vec<u64>,
    /// Parcels handed out.
    out: usize,
    /// The link was lost, or failed to take an acknowledgement: what was in hand comes again.
    lost: bool,
    /// The channel was closed in order, with all acknowledged.
    left: bool,
}

impl State {
    /// Nothing is in hand, and nothing is left to tell the broker.
    fn is_done(&self) -> bool {
        self.out == 0 && self.ready.is_empty() && self.bundles.is_empty() && self.settled.is_empty()
    }
}

struct Bundle {
    /// Messages not settled.
    left: usize,
    /// One of them was handed out.
    touched: bool,
}

/// What never reaches a handler.
enum Aside {
    /// It came before it is due: it waits longer than the ladder is high, or the sender's clock is ahead.
    Early {
        envelope: Box<Envelope>,
        due_ms: i64,
    },
    Unreadable {
        bytes: Vec<u8>,
        reason: String,
    },
}

impl Seat {
    pub(super) fn new(core: Arc<Core>, (live, channel): (Arc<Live>, Channel), queue: Queue, prefetch: usize) -> Self {
        let (state, acknowledging, nudge) = (Mutex::default(), tokio::sync::Mutex::default(), Notify::new());
        Self { core, live, channel, queue, prefetch, state, acknowledging, nudge }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether its channel lives. The connection is the first to know that it does not.
    pub(super) fn lives(&self) -> bool {
        self.channel.status().connected() && self.live.connection.status().connected()
    }

    /// Takes in what the broker delivered. What can't be read, and what is not due, never reaches a handler.
    pub(super) fn accept(self: &Arc<Self>, delivery: Delivery) {
        let opened = open(&delivery);
        let bundle = delivery.delivery_tag;
        let early = opened.stamp.due_ms.filter(|due_ms| *due_ms > self.core.now_ms());
        let mut state = self.state();
        state.bundles.insert(bundle, Bundle { left: opened.contents.len(), touched: false });
        if opened.contents.is_empty() {
            state.bundles.remove(&bundle);
            state.settled.push(bundle);
        }
        for (place, content) in opened.contents.into_iter().enumerate() {
            let tag = bundle << PLACE_BITS | place as u64;
            let redelivered = opened.stamp.redelivered;
            let aside = match (content, early) {
                (Content::Message(envelope), None) => {
                    state.ready.push_back(Parcel { envelope: Arc::from(envelope), redelivered, tag });
                    continue;
                }
                (Content::Message(envelope), Some(due_ms)) => Aside::Early { envelope, due_ms },
                (Content::Unreadable { bytes, reason }, _) => Aside::Unreadable { bytes, reason },
            };
            touch(&mut state, bundle);
            tokio::spawn(self.clone().put_aside(tag, aside, redelivered));
        }
    }

    /// Parks what is not due again, and buries what can't be read.
    async fn put_aside(self: Arc<Self>, tag: Tag, aside: Aside, redelivered: u32) {
        let done = match aside {
            Aside::Early { envelope, due_ms } => self.core.park(&self.queue, &envelope, due_ms, redelivered).await,
            Aside::Unreadable { bytes, reason } => self.core.bury_bytes(&self.queue, bytes, redelivered, &reason).await,
        };
        let done = match done {
            Ok(()) => self.settle(&[tag], 0).await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            tracing::warn!(queue = %self.queue, %error, "a message could not be put aside; it will come again");
            self.give_back(tag >> PLACE_BITS).await;
        }
    }

    /// Messages ready to be handed out.
    pub(super) fn ready(&self) -> usize {
        self.state().ready.len()
    }

    /// Whether another may be handed out.
    pub(super) fn has_room(&self) -> bool {
        self.state().out < self.prefetch
    }

    /// Hands out at most `max`.
    pub(super) fn take(&self, max: usize) -> Vec<Parcel> {
        let mut state = self.state();
        let count = max.min(self.prefetch.saturating_sub(state.out)).min(state.ready.len());
        let taken: Vec<Parcel> = state.ready.drain(..count).collect();
        state.out += taken.len();
        taken.iter().for_each(|parcel| touch(&mut state, parcel.tag >> PLACE_BITS));
        taken
    }

    /// These are done, and `handed_out` of them were out.
    async fn settle(&self, tags: &[Tag], handed_out: usize) -> Result<(), BusError> {
        {
            let mut state = self.state();
            state.out -= handed_out;
            for tag in tags {
                let key = tag >> PLACE_BITS;
                let Some(bundle) = state.bundles.get_mut(&key) else { continue };
                bundle.left -= 1;
                if bundle.left == 0 {
                    state.bundles.remove(&key);
                    state.settled.push(key);
                }
            }
        }
        let acknowledged = self.acknowledge().await;
        self.nudge.notify_one();
        acknowledged
    }

    /// Tells the broker of the bundles that are settled: in one message those before which nothing is open.
    async fn acknowledge(&self) -> Result<(), BusError> {
        let _turn = self.acknowledging.lock().await;
        let (settled, first_open) = {
            let mut state = self.state();
            state.lost |= !self.lives() && !state.left;
            if state.lost {
                return Err(failed("take an acknowledgement", "the link it came over is lost"));
            }
            let first_open = state.bundles.keys().next().copied().unwrap_or(u64::MAX);
            (std::mem::take(&mut state.settled), first_open)
        };
        let (together, apart): (Vec<u64>, Vec<u64>) = settled.into_iter().partition(|tag| *tag < first_open);
        let last = together.iter().max().map(|tag| (*tag, together.len() > 1));
        for (tag, multiple) in last.into_iter().chain(apart.into_iter().map(|tag| (tag, false))) {
            if let Err(error) = self.channel.basic_ack(tag, BasicAckOptions { multiple }).await {
                self.state().lost = true;
                return Err(failed("take an acknowledgement", error));
            }
        }
        Ok(())
    }

    /// Gives a bundle back to the broker as it came.
    async fn give_back(&self, bundle: u64) {
        let _turn = self.acknowledging.lock().await;
        if self.state().bundles.remove(&bundle).is_some() {
            // If the link is lost, it comes back by that.
            self.channel.basic_nack(bundle, BasicNackOptions { multiple: false, requeue: true }).await.ok();
        }
    }

    /// Leaves, when the consumer is gone: takes no more, brings back what was not handed out and what is dropped, and
    /// stays while anything is out.
    pub(super) async fn leave(self: Arc<Self>, mut deliveries: lapin::Consumer) {
        if matches!(self.queue, Queue::Plans(_)) {
            // Its place goes to the next consumer at once, and no two may work at a time.
            self.until_nothing_is_out().await;
        }
        let tag = deliveries.tag();
        let cancel = self.channel.basic_cancel(tag, BasicCancelOptions::default());
        // If the link is lost, there is nothing to cancel.
        let _ = tokio::time::timeout(FAREWELL, cancel).await;
        while let Ok(Some(Ok(delivery))) = tokio::time::timeout(FAREWELL, deliveries.next()).await {
            self.accept(delivery);
        }
        while self.lives() {
            self.bring_back().await;
            let heard = self.nudge.notified();
            let turn = self.acknowledging.lock().await;
            if self.state().is_done() {
                // While nobody acknowledges: what is settled has been said. If the link is lost, it is closed.
                self.state().left = true;
                self.channel.close(200, "done".into()).await.ok();
                return;
            }
            drop(turn);
            let _ = tokio::time::timeout(FAREWELL, heard).await;
        }
    }

    async fn until_nothing_is_out(&self) {
        while self.lives() && self.state().out > 0 {
            // The link may be lost without a nudge.
            let _ = tokio::time::timeout(FAREWELL, self.nudge.notified()).await;
        }
    }

    /// Brings back what is here: untouched bundles as they are, the rest published anew, those that follow each other
    /// with the same count together.
    async fn bring_back(&self) {
        let (whole, parts) = {
            let mut state = self.state();
            let ready: Vec<Parcel> = state.ready.drain(..).collect();
            let untouched =
                |parcel: &Parcel| state.bundles.get(&(parcel.tag >> PLACE_BITS)).is_some_and(|bundle| !bundle.touched);
            let (whole, parts): (Vec<Parcel>, Vec<Parcel>) = ready.into_iter().partition(untouched);
            let mut whole: Vec<u64> = whole.into_iter().map(|parcel| parcel.tag >> PLACE_BITS).collect();
            whole.dedup();
            (whole, parts)
        };
        for same in parts.chunk_by(|one, next| one.redelivered == next.redelivered) {
            let envelopes: Vec<_> = same.iter().map(|parcel| &*parcel.envelope).collect();
            let tags: Vec<Tag> = same.iter().map(|parcel| parcel.tag).collect();
            let sent = self.core.again(&self.queue, &envelopes, same[0].redelivered).await;
            match sent {
                Ok(()) => drop(self.settle(&tags, 0).await),
                Err(error) => {
                    tracing::warn!(queue = %self.queue, %error, "messages could not be brought back; they will come again");
                    for tag in tags {
                        self.give_back(tag >> PLACE_BITS).await;
                    }
                }
            }
        }
        for bundle in whole {
            self.give_back(bundle).await;
        }
    }
}

fn touch(state: &mut State, bundle: u64) {
    if let Some(bundle) = state.bundles.get_mut(&bundle) {
        bundle.touched = true;
    }
}

#[async_trait]
impl Settle for Seat {
    async fn ack(&self, tags: &[Tag]) -> Result<(), BusError> {
        self.settle(tags, tags.len()).await
    }

    async fn reject(&self, parcel: Parcel, reason: &str) -> Result<(), BusError> {
        if let Err(error) = self.core.bury(&self.queue, &parcel, reason).await {
            self.put_back(parcel);
            return Err(error);
        }
        self.settle(&[parcel.tag], 1).await
    }

    fn put_back(&self, parcel: Parcel) {
        let mut state = self.state();
        state.out -= 1;
        let place = state.ready.partition_point(|other| other.tag < parcel.tag);
        let redelivered = parcel.redelivered.saturating_add(1);
        state.ready.insert(place, Parcel { redelivered, ..parcel });
        drop(state);
        self.nudge.notify_one();
    }
}
