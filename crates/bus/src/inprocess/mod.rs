//! The bus inside of one process: messages stay in memory, are not serialised, and are gone with the process.
//! Whoever needs them after that asks the ledger, which knows what is unfinished.

mod consumer;
mod dead;
mod line;
mod shelf;
#[cfg(test)]
mod tests;
mod watcher;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use async_trait::async_trait;
use tidegate_contracts::topology::{DELAY_LEVELS, Queue};
use tidegate_contracts::{Envelope, PushedPage};
use tidegate_daemon::Clock;
use tokio::sync::broadcast;

use self::consumer::LineConsumer;
use self::dead::Dead;
use self::line::Line;
use self::watcher::Watcher;
use crate::{Bus, BusError, Consumer, DeadLetters, QueueDepth};

/// Queues a bus may have: four for each provider, and a few.
pub const QUEUES_MAX: usize = 10_000;

/// Bounds of the bus.
#[derive(Debug, Clone)]
pub struct InProcessConfig {
    /// Messages that a queue may hold, ready and parked; default 1,000,000. What is out unacknowledged is
    /// bounded by the consumers' prefetch and not counted, so that it can always come back.
    pub queue_max: usize,
    /// How long a publish waits for room; default 5 min.
    pub publish_timeout: Duration,
    /// Events that a slow watcher may fall behind before it misses some, rounded up to a power of two;
    /// default 4,096. At least 1.
    pub events_max: usize,
}

impl Default for InProcessConfig {
    fn default() -> Self {
        Self { queue_max: 1_000_000, publish_timeout: Duration::from_mins(5), events_max: 4_096 }
    }
}

/// The bus inside of one process. Dropping it closes it.
pub struct InProcess {
    config: InProcessConfig,
    clock: Clock,
    dead: Arc<Dead>,
    open: RwLock<Option<Open>>,
}

/// What there is until the bus is closed.
struct Open {
    lines: HashMap<Queue, Arc<Line>>,
    events: broadcast::Sender<Arc<Envelope>>,
}

impl InProcess {
    /// An empty bus; parked messages are due by `clock`.
    #[must_use]
    pub fn new(config: InProcessConfig, clock: Clock) -> Self {
        let events = broadcast::Sender::new(config.events_max.max(1));
        let open = RwLock::new(Some(Open { lines: HashMap::new(), events }));
        Self { config, clock, dead: Arc::default(), open }
    }

    /// The queue's line, made when it is new.
    fn line(&self, queue: &Queue) -> Result<Arc<Line>, BusError> {
        if let Some(line) = self.existing(queue)? {
            return Ok(line);
        }
        let mut open = self.open.write().unwrap_or_else(PoisonError::into_inner);
        let lines = &mut open.as_mut().ok_or(BusError::Closed)?.lines;
        if lines.len() >= QUEUES_MAX && !lines.contains_key(queue) {
            return Err(refused(queue, "is one too many"));
        }
        let new = || Line::new(queue.clone(), self.config.queue_max, self.clock.clone(), self.dead.clone());
        Ok(lines.entry(queue.clone()).or_insert_with(|| Arc::new(new())).clone())
    }

    fn existing(&self, queue: &Queue) -> Result<Option<Arc<Line>>, BusError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        Ok(open.as_ref().ok_or(BusError::Closed)?.lines.get(queue).cloned())
    }

    /// The sender of events; cloned, so that no lock is held while sending.
    fn events(&self) -> Result<broadcast::Sender<Arc<Envelope>>, BusError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        Ok(open.as_ref().ok_or(BusError::Closed)?.events.clone())
    }

    fn end(&self) {
        let open = self.open.write().unwrap_or_else(PoisonError::into_inner).take();
        for line in open.iter().flat_map(|open| open.lines.values()) {
            line.close();
        }
    }
}

fn refused(queue: &Queue, reason: &'static str) -> BusError {
    BusError::Refused { queue: queue.clone(), reason }
}

#[async_trait]
impl Bus for InProcess {
    async fn publish(&self, queue: &Queue, messages: Vec<Envelope>) -> Result<(), BusError> {
        let messages = messages.into_iter().map(Arc::new);
        match queue {
            Queue::Dead => Err(refused(queue, "takes only what is rejected")),
            Queue::Results => Err(refused(queue, "takes only pages")),
            Queue::Events => {
                let events = self.events()?;
                // An error says that nobody watches.
                messages.for_each(|event| drop(events.send(event)));
                Ok(())
            }
            _ => self.line(queue)?.push(messages.collect(), self.config.publish_timeout).await,
        }
    }

    async fn publish_later(&self, queue: &Queue, message: Envelope, due_ms: i64) -> Result<(), BusError> {
        match queue {
            Queue::Dead => Err(refused(queue, "takes only what is rejected")),
            Queue::Events | Queue::Results => Err(refused(queue, "keeps nothing for later")),
            _ => self.line(queue)?.park(&Arc::new(message), due_ms, self.config.publish_timeout).await,
        }
    }

    fn pushes(&self) -> bool {
        false
    }

    async fn push(&self, _: PushedPage) -> Result<(), BusError> {
        Err(refused(&Queue::Results, "is not there within one process"))
    }

    async fn consume(&self, queue: &Queue, prefetch: u16) -> Result<Box<dyn Consumer>, BusError> {
        match queue {
            Queue::Dead | Queue::Results => Err(refused(queue, "can't be consumed")),
            Queue::Events => Ok(Box::new(Watcher::new(self.events()?.subscribe()))),
            _ => Ok(Box::new(LineConsumer::new(self.line(queue)?, prefetch)?)),
        }
    }

    async fn depth(&self, queue: &Queue) -> Result<QueueDepth, BusError> {
        Ok(match queue {
            Queue::Dead => QueueDepth { ready: self.dead.len(), ..QueueDepth::default() },
            _ => self.existing(queue)?.map(|line| line.depth()).unwrap_or_default(),
        })
    }

    async fn parked(&self) -> Result<Vec<usize>, BusError> {
        let open = self.open.read().unwrap_or_else(PoisonError::into_inner);
        let mut levels = vec![0; DELAY_LEVELS as usize];
        for line in open.as_ref().ok_or(BusError::Closed)?.lines.values() {
            line.count_parked(&mut levels);
        }
        Ok(levels)
    }

    async fn dead(&self, max: usize) -> Result<DeadLetters, BusError> {
        Ok(self.dead.take(max))
    }

    async fn close(&self) {
        self.end();
    }
}

impl Drop for InProcess {
    fn drop(&mut self) {
        self.end();
    }
}
