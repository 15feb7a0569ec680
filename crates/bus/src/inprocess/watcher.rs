//! Who hears of events.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_contracts::Envelope;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::{Consumer, Delivery};

/// Gets every event from its beginning on; one that falls behind by more than the bound misses the oldest.
pub(super) struct Watcher {
    events: Receiver<Arc<Envelope>>,
}

impl Watcher {
    pub(super) fn new(events: Receiver<Arc<Envelope>>) -> Self {
        Self { events }
    }
}

#[async_trait]
impl Consumer for Watcher {
    async fn next(&mut self) -> Option<Delivery> {
        loop {
            match self.events.recv().await {
                Ok(envelope) => return Some(Delivery::fleeting(envelope)),
                Err(RecvError::Lagged(missed)) => tracing::debug!(missed, "a watcher is too slow for the events"),
                Err(RecvError::Closed) => return None,
            }
        }
    }

    async fn next_batch(&mut self, max: usize) -> Vec<Delivery> {
        let mut batch: Vec<Delivery> = self.next().await.into_iter().collect();
        while !batch.is_empty() && batch.len() < max {
            match self.events.try_recv() {
                Ok(envelope) => batch.push(Delivery::fleeting(envelope)),
                Err(_) => break,
            }
        }
        batch
    }
}
