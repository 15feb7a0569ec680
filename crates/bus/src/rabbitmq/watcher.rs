//! Who hears of events: each has a queue of its own at the broker, which goes away with its connection.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery as Delivered;
use lapin::options::{BasicAckOptions, BasicCancelOptions};
use lapin::{Channel, Error};
use tidegate_contracts::Envelope;
use tidegate_contracts::topology::Queue;
use uuid::Uuid;

use super::consumer::open;
use super::core::Core;
use super::declare::Need;
use super::health::Presence;
use super::link::{failed, is_refusal};
use super::wire::{self, Content};
use crate::{BusError, Consumer, Delivery};

/// Events fetched ahead; what a slow watcher leaves waits at the broker, where it is bounded.
const AHEAD: u16 = 256;
/// How long the broker may take to let a watcher go.
const FAREWELL: std::time::Duration = std::time::Duration::from_secs(1);
/// Before subscribing again after it failed.
const RETRY_PAUSE: std::time::Duration = std::time::Duration::from_millis(500);

/// Gets every event from its beginning on, but those sent while its link was lost or that it was too slow for.
pub(super) struct Watcher {
    core: Arc<Core>,
    subscribed: Option<(Channel, lapin::Consumer)>,
    ready: VecDeque<Arc<Envelope>>,
    presence: Presence,
}

impl Watcher {
    pub(super) async fn new(core: Arc<Core>) -> Result<Self, BusError> {
        let presence = core.roster.enter(&Queue::Events);
        let mut watcher = Self { core, subscribed: None, ready: VecDeque::new(), presence };
        match tokio::time::timeout(watcher.core.config.connect_timeout, watcher.subscribe()).await {
            Ok(Err(error)) if is_refusal(&error) => Err(failed("let us watch events", error)),
            _ => Ok(watcher),
        }
    }

    async fn subscribe(&mut self) -> Result<(), Error> {
        let name = self.core.plan.name(&format!("tidegate.events.1.{}", Uuid::now_v7()));
        let ((_, channel), deliveries) = open(&self.core, &Need::Watcher(name.clone()), &name, AHEAD).await?;
        self.subscribed = Some((channel, deliveries));
        self.presence.subscribed(true);
        Ok(())
    }

    fn accept(&mut self, delivery: &Delivered) {
        for content in wire::open(delivery).contents {
            match content {
                Content::Message(envelope) => self.ready.push_back(Arc::from(envelope)),
                Content::Unreadable { reason, .. } => tracing::warn!(reason, "an event that can't be read"),
            }
        }
    }

    /// Waits until there are events; false at the end.
    async fn fill(&mut self) -> bool {
        let _waiting = self.presence.waiting();
        let core = self.core.clone();
        loop {
            if core.is_closed() {
                return false;
            }
            let Some((channel, deliveries)) = &mut self.subscribed else {
                tokio::select! {
                    () = core.closed() => {}
                    subscribed = self.subscribe() => if let Err(error) = subscribed {
                        tracing::warn!(%error, "can't watch events; trying again");
                        tokio::time::sleep(RETRY_PAUSE).await;
                    },
                }
                continue;
            };
            let channel = channel.clone();
            let mut last = None;
            let mut ended = false;
            let mut came = Vec::new();
            while let Some(next) = deliveries.next().now_or_never() {
                match next {
                    Some(Ok(delivery)) => {
                        last = Some(delivery.delivery_tag);
                        came.push(delivery);
                    }
                    _ => {
                        ended = true;
                        break;
                    }
                }
            }
            came.iter().for_each(|delivery| self.accept(delivery));
            if let Some(last) = last {
                // If this fails, so does the subscription, and events are not kept for anybody.
                channel.basic_ack(last, BasicAckOptions { multiple: true }).await.ok();
            }
            if !self.ready.is_empty() {
                return true;
            }
            let Some((_, deliveries)) = &mut self.subscribed else { continue };
            if !ended {
                let next = tokio::select! {
                    () = core.closed() => continue,
                    next = deliveries.next() => next,
                };
                match next {
                    Some(Ok(delivery)) => {
                        self.accept(&delivery);
                        channel.basic_ack(delivery.delivery_tag, BasicAckOptions::default()).await.ok();
                    }
                    _ => ended = true,
                }
            }
            if ended {
                tracing::warn!("lost the events; watching again");
                self.presence.subscribed(false);
                self.subscribed = None;
                core.consuming.look();
            }
        }
    }
}

/// Its channel is closed in order: a connection that is closed together with channels on their way out is sometimes cut off.
impl Drop for Watcher {
    fn drop(&mut self) {
        if let Some((channel, deliveries)) = self.subscribed.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let leave = async move {
                // If the link is lost, there is nothing to close.
                channel.basic_cancel(deliveries.tag(), BasicCancelOptions::default()).await.ok();
                channel.close(200, "done".into()).await.ok();
            };
            self.core.leaving.spawn_on(tokio::time::timeout(FAREWELL, leave), &runtime);
        }
    }
}

#[async_trait]
impl Consumer for Watcher {
    async fn next(&mut self) -> Option<Delivery> {
        if self.ready.is_empty() && !self.fill().await {
            return None;
        }
        self.ready.pop_front().map(Delivery::fleeting)
    }

    async fn next_batch(&mut self, max: usize) -> Vec<Delivery> {
        if self.ready.is_empty() && !self.fill().await {
            return Vec::new();
        }
        let count = max.max(1).min(self.ready.len());
        self.ready.drain(..count).map(Delivery::fleeting).collect()
    }
}
