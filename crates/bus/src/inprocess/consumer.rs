//! Who takes messages from a line.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::Notify;

use super::line::{Found, Line, SeatId};
use crate::{BusError, Consumer, Delivery, Parcel, Settle, Tag};

/// Longest sleep for a parked message before the clock is asked again: it may be set, or be a test's.
const CLOCK_CHECK_MS: u64 = 50;

/// A consumer's place at a line. Consumer and deliveries share it; when the last of them is gone, so is it.
struct Seat {
    line: Arc<Line>,
    id: SeatId,
    prefetch: usize,
    /// Deliveries that are out. Only the consumer adds to it, anybody may take from it.
    out: AtomicUsize,
    /// It may take messages again, or the line is closed.
    nudge: Arc<Notify>,
}

impl Seat {
    /// Deliveries are in somebody else's hands no more.
    fn freed(&self, count: usize) {
        if self.out.fetch_sub(count, Ordering::AcqRel) == self.prefetch {
            self.nudge.notify_one();
        }
    }
}

#[async_trait]
impl Settle for Seat {
    async fn ack(&self, tags: &[Tag]) -> Result<(), BusError> {
        self.line.settled(tags.len());
        self.freed(tags.len());
        Ok(())
    }

    async fn reject(&self, parcel: Parcel, reason: &str) -> Result<(), BusError> {
        self.line.bury(parcel, reason);
        self.freed(1);
        Ok(())
    }

    fn put_back(&self, parcel: Parcel) {
        self.line.put_back(parcel);
        self.freed(1);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.line.leave(self.id);
    }
}

/// Takes messages from a line.
pub(super) struct LineConsumer {
    seat: Arc<Seat>,
    /// Between taking and handing out, which nothing comes between; kept for its memory.
    buffer: Vec<Parcel>,
}

impl LineConsumer {
    pub(super) fn new(line: Arc<Line>, prefetch: u16) -> Result<Self, BusError> {
        let nudge = Arc::new(Notify::new());
        let id = line.sit(nudge.clone())?;
        let seat = Seat { line, id, prefetch: usize::from(prefetch.max(1)), out: AtomicUsize::new(0), nudge };
        Ok(Self { seat: Arc::new(seat), buffer: Vec::new() })
    }

    /// Waits until there are messages and moves at most `max` of them to the buffer; false at the end.
    async fn fill(&mut self, max: usize) -> bool {
        let seat = &self.seat;
        loop {
            // Made before looking, so that whatever happens after looking is heard.
            let news = seat.line.news.notified();
            let credit = seat.prefetch - seat.out.load(Ordering::Acquire);
            match seat.line.take(seat.id, credit.min(max.max(1)), &mut self.buffer) {
                Found::Messages => {
                    seat.out.fetch_add(self.buffer.len(), Ordering::AcqRel);
                    return true;
                }
                Found::Closed => return false,
                Found::NotItsTurn => seat.nudge.notified().await,
                Found::Nothing { .. } if credit == 0 => seat.nudge.notified().await,
                Found::Nothing { next_due_ms: None } => news.await,
                Found::Nothing { next_due_ms: Some(due_ms) } => {
                    let wait = Duration::from_millis(seat.line.until_ms(due_ms).min(CLOCK_CHECK_MS));
                    // Whether news came or time passed, the next look tells.
                    let _ = tokio::time::timeout(wait, news).await;
                }
            }
        }
    }
}

#[async_trait]
impl Consumer for LineConsumer {
    async fn next(&mut self) -> Option<Delivery> {
        self.fill(1).await;
        self.buffer.pop().map(|parcel| Delivery::new(parcel, self.seat.clone()))
    }

    async fn next_batch(&mut self, max: usize) -> Vec<Delivery> {
        self.fill(max).await;
        self.buffer.drain(..).map(|parcel| Delivery::new(parcel, self.seat.clone())).collect()
    }
}
