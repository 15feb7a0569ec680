//! Taking the dead letters, which stay where they are until somebody else keeps them.

use std::sync::Arc;

use async_trait::async_trait;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicGetOptions, BasicNackOptions};
use lapin::{Channel, Error};
use tidegate_contracts::topology::Queue;

use super::core::Core;
use super::declare::Need;
use super::link::failed;
use super::wire::{self, Content};
use crate::{BusError, DeadLetter, DeadLetters, Forget};

/// Bytes of dead letters taken together; there may be ten thousand of 1 MiB.
const TAKEN_BYTES: usize = 64 << 20;

/// Takes the oldest. Who takes at the same time takes others.
pub(super) async fn take(core: &Core, max: usize) -> Result<DeadLetters, BusError> {
    let live = tokio::time::timeout(core.config.connect_timeout, core.consuming.ready()).await;
    let live = live.map_err(|late| failed("take dead letters", late))?;
    let take = async {
        live.ensure(&Need::Queue(Queue::Dead)).await?;
        let channel = live.channel(false).await?;
        let name = core.plan.queue(&Queue::Dead);
        let (mut letters, mut count, mut bytes, mut last) = (Vec::new(), 0, 0, None);
        while count < max.max(1)
            && bytes < TAKEN_BYTES
            && let Some(got) = channel.basic_get(name.as_str().into(), BasicGetOptions::default()).await?
        {
            count += 1;
            bytes += got.delivery.data.len();
            last = Some(got.delivery.delivery_tag);
            letters.extend(read(core, &got.delivery));
        }
        let Some(last) = last else {
            channel.close(200, "nothing".into()).await?;
            return Ok(DeadLetters::new(letters, None));
        };
        Ok::<_, Error>(DeadLetters::new(letters, Some(Box::new(Taken { channel: Some(channel), last }))))
    };
    take.await.map_err(|error| failed("take dead letters", error))
}

/// Letters that were taken over a channel of their own.
struct Taken {
    channel: Option<Channel>,
    /// The last one's tag.
    last: u64,
}

#[async_trait]
impl Forget for Taken {
    async fn forget(mut self: Box<Self>) -> Result<(), BusError> {
        let Some(channel) = self.channel.take() else { return Ok(()) };
        let forget = async {
            channel.basic_ack(self.last, BasicAckOptions { multiple: true }).await?;
            channel.close(200, "kept".into()).await
        };
        forget.await.map_err(|error| failed("forget dead letters", error))
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let (Some(channel), Ok(runtime)) = (self.channel.take(), tokio::runtime::Handle::try_current()) else { return };
        let last = self.last;
        runtime.spawn(async move {
            // If the link is lost, they come back by that.
            channel.basic_nack(last, BasicNackOptions { multiple: true, requeue: true }).await.ok();
            channel.close(200, "put back".into()).await.ok();
        });
    }
}

/// The letters of a message: one that the broker itself put there may be a batch.
fn read(core: &Core, delivery: &Delivery) -> Vec<DeadLetter> {
    let opened = wire::open(delivery);
    let stamp = opened.stamp;
    let (reason, name, died_at_ms) = match (stamp.death, wire::broker_death(delivery)) {
        (Some((reason, died_at_ms)), _) => (reason, stamp.address, died_at_ms),
        (None, Some((reason, queue, died_at_ms))) => {
            let name = queue.strip_prefix(&core.config.prefix).unwrap_or(&queue).to_owned();
            (explain(&reason).to_owned(), stamp.address.or(Some(name)), died_at_ms)
        }
        (None, None) => ("unknown: published by hand".to_owned(), stamp.address, 0),
    };
    let queue = name.and_then(|name| Queue::from_name(&name)).unwrap_or(Queue::Dead);
    let letter = |content| {
        let (envelope, bytes) = match content {
            Content::Message(envelope) => (Some(Arc::from(envelope)), Vec::new()),
            Content::Unreadable { bytes, .. } => (None, bytes),
        };
        let (queue, reason) = (queue.clone(), reason.clone());
        DeadLetter { queue, envelope, bytes, redelivered: stamp.redelivered, reason, died_at_ms }
    };
    opened.contents.into_iter().map(letter).collect()
}

/// What the broker's reasons mean here.
fn explain(reason: &str) -> &str {
    match reason {
        "expired" => "came due when its queue was gone",
        "delivery_limit" => "came back to the broker too often",
        other => other,
    }
}
