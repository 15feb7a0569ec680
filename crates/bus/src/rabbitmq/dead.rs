//! Looking at the dead letters, which stay where they are.

use std::sync::Arc;

use lapin::Error;
use lapin::message::Delivery;
use lapin::options::{BasicGetOptions, BasicNackOptions};
use tidegate_contracts::topology::Queue;

use super::core::Core;
use super::declare::Need;
use super::link::failed;
use super::wire::{self, Content};
use crate::{BusError, DEAD_MAX, DeadLetter};

/// Bytes of dead letters looked at, together; there may be ten thousand of 1 MiB.
const LOOK_BYTES: usize = 64 << 20;

/// Fetches all of them and gives them back. Who looks at the same time sees the rest.
pub(super) async fn list(core: &Core) -> Result<Vec<DeadLetter>, BusError> {
    let live = tokio::time::timeout(core.config.connect_timeout, core.consuming.ready()).await;
    let live = live.map_err(|late| failed("list dead letters", late))?;
    let look = async {
        live.ensure(&Need::Queue(Queue::Dead)).await?;
        let channel = live.channel(false).await?;
        let name = core.plan.queue(&Queue::Dead);
        let (mut letters, mut bytes, mut last) = (Vec::new(), 0, None);
        while letters.len() < DEAD_MAX
            && bytes < LOOK_BYTES
            && let Some(got) = channel.basic_get(name.as_str().into(), BasicGetOptions::default()).await?
        {
            bytes += got.delivery.data.len();
            last = Some(got.delivery.delivery_tag);
            letters.extend(read(core, &got.delivery));
        }
        if let Some(last) = last {
            channel.basic_nack(last, BasicNackOptions { multiple: true, requeue: true }).await?;
        }
        channel.close(200, "looked".into()).await?;
        Ok::<_, Error>(letters)
    };
    look.await.map_err(|error| failed("list dead letters", error))
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
        let envelope = match content {
            Content::Message(envelope) => Some(Arc::from(envelope)),
            Content::Unreadable { .. } => None,
        };
        let (queue, reason) = (queue.clone(), reason.clone());
        DeadLetter { queue, envelope, redelivered: stamp.redelivered, reason, died_at_ms }
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
