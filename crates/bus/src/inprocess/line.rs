//! A queue: a shelf behind a lock, and those who wait for it.
//!
//! Nobody is woken for nothing and nobody is forgotten: a message wakes one consumer, which wakes another
//! when it leaves messages behind. Only consumers that may take a message wait at `news`; one whose prefetch
//! is used up, or whose turn it is not, waits at its own seat.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_contracts::Envelope;
use tidegate_contracts::topology::{Queue, delay_level};
use tidegate_daemon::Clock;
use tokio::sync::Notify;

use super::dead::Dead;
use super::shelf::Shelf;
use crate::{BusError, Parcel, QueueDepth};

/// One queue of the bus.
pub(super) struct Line {
    queue: Queue,
    max: usize,
    clock: Clock,
    dead: Arc<Dead>,
    state: Mutex<State>,
    unacked: AtomicUsize,
    /// Messages are ready, or the time to wait for the next parked one has changed.
    pub(super) news: Notify,
    /// Messages have left.
    room: Notify,
}

#[derive(Default)]
struct State {
    shelf: Shelf,
    /// Consumers in the order they came.
    seats: VecDeque<(SeatId, Arc<Notify>)>,
    next_seat: SeatId,
    closed: bool,
}

pub(super) type SeatId = u64;

/// What a consumer finds.
pub(super) enum Found {
    /// Messages, now in the buffer.
    Messages,
    /// Nothing; the first parked message is due then.
    Nothing { next_due_ms: Option<i64> },
    /// Another consumer's turn.
    NotItsTurn,
    /// The end.
    Closed,
}

impl Line {
    pub(super) fn new(queue: Queue, max: usize, clock: Clock, dead: Arc<Dead>) -> Self {
        let (state, unacked, news, room) = (Mutex::default(), AtomicUsize::new(0), Notify::new(), Notify::new());
        Self { queue, max, clock, dead, state, unacked, news, room }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Locks for `more` messages, if they may come.
    fn admit(&self, more: usize) -> Result<MutexGuard<'_, State>, BusError> {
        let state = self.state();
        if state.closed {
            Err(BusError::Closed)
        } else if state.shelf.ready() + state.shelf.parked() + more > self.max {
            Err(BusError::Full { queue: self.queue.clone(), max: self.max })
        } else {
            Ok(state)
        }
    }

    /// Does that as soon as there is room, within `patience`.
    async fn with_room(
        &self,
        patience: Duration,
        mut add: impl FnMut() -> Result<(), BusError>,
    ) -> Result<(), BusError> {
        let full = match add() {
            Err(full @ BusError::Full { .. }) => full,
            done => return done,
        };
        let trying = async {
            loop {
                let mut room = std::pin::pin!(self.room.notified());
                // What leaves from here on is heard of.
                room.as_mut().enable();
                match add() {
                    Err(BusError::Full { .. }) => room.await,
                    done => return done,
                }
            }
        };
        tokio::time::timeout(patience, trying).await.unwrap_or(Err(full))
    }

    /// Adds messages: all, or on an error none.
    pub(super) async fn push(&self, mut messages: Vec<Arc<Envelope>>, patience: Duration) -> Result<(), BusError> {
        let add = || {
            let mut state = self.admit(messages.len())?;
            messages.drain(..).for_each(|envelope| state.shelf.push(envelope));
            Ok(())
        };
        self.with_room(patience, add).await?;
        self.news.notify_one();
        Ok(())
    }

    /// Parks a message until it is due.
    pub(super) async fn park(&self, message: &Arc<Envelope>, due_ms: i64, patience: Duration) -> Result<(), BusError> {
        let mut first = false;
        let add = || {
            first = self.admit(1)?.shelf.park(Arc::clone(message), due_ms);
            Ok(())
        };
        self.with_room(patience, add).await?;
        if first {
            // Everybody who waits, waits for too long now; who comes later looks first.
            self.news.notify_waiters();
        }
        Ok(())
    }

    /// Moves at most `max` messages to `buffer`, for the consumer at `seat`.
    pub(super) fn take(&self, seat: SeatId, max: usize, buffer: &mut Vec<Parcel>) -> Found {
        let mut state = self.state();
        if state.closed {
            return Found::Closed;
        }
        if self.single_active() && state.seats.front().is_none_or(|(first, _)| *first != seat) {
            return Found::NotItsTurn;
        }
        self.promote(&mut state.shelf);
        buffer.extend(std::iter::from_fn(|| state.shelf.take()).take(max));
        self.unacked.fetch_add(buffer.len(), Ordering::Relaxed);
        let (left, next_due_ms) = (state.shelf.ready() > 0, state.shelf.next_due_ms());
        drop(state);
        if buffer.is_empty() {
            return Found::Nothing { next_due_ms };
        }
        self.room.notify_waiters();
        if left {
            self.news.notify_one();
        }
        Found::Messages
    }

    fn promote(&self, shelf: &mut Shelf) {
        if shelf.parked() > 0 {
            shelf.promote((self.clock)());
        }
    }

    /// Deliveries are settled.
    pub(super) fn settled(&self, count: usize) {
        self.unacked.fetch_sub(count, Ordering::Relaxed);
    }

    /// A delivery comes back.
    pub(super) fn put_back(&self, parcel: Parcel) {
        let mut state = self.state();
        state.shelf.put_back(parcel);
        self.settled(1);
        drop(state);
        self.news.notify_one();
    }

    /// A delivery can't be handled.
    pub(super) fn bury(&self, parcel: Parcel, reason: &str) {
        self.dead.add(&self.queue, parcel, reason, (self.clock)());
        self.settled(1);
    }

    /// A consumer comes.
    pub(super) fn sit(&self, nudge: Arc<Notify>) -> Result<SeatId, BusError> {
        let mut state = self.state();
        if state.closed {
            return Err(BusError::Closed);
        }
        let seat = state.next_seat;
        state.next_seat += 1;
        state.seats.push_back((seat, nudge));
        Ok(seat)
    }

    /// A consumer is gone, with its deliveries; the next one's turn may have come.
    pub(super) fn leave(&self, seat: SeatId) {
        let mut state = self.state();
        state.seats.retain(|(other, _)| *other != seat);
        if self.single_active()
            && let Some((_, nudge)) = state.seats.front()
        {
            nudge.notify_one();
        }
    }

    /// Ends the queue; consumers hear of it at once.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.closed = true;
        state.seats.iter().for_each(|(_, nudge)| nudge.notify_one());
        drop(state);
        self.news.notify_waiters();
        self.room.notify_waiters();
    }

    /// How many messages are where.
    pub(super) fn depth(&self) -> QueueDepth {
        let mut state = self.state();
        self.promote(&mut state.shelf);
        let (ready, delayed) = (state.shelf.ready(), state.shelf.parked());
        QueueDepth { ready, unacked: self.unacked.load(Ordering::Relaxed), delayed }
    }

    /// Adds what is parked to the counts by how long it has still to wait.
    pub(super) fn count_parked(&self, levels: &mut [usize]) {
        let (state, now_ms) = (self.state(), (self.clock)());
        for due_ms in state.shelf.due_ms().filter(|due_ms| *due_ms > now_ms) {
            levels[delay_level(due_ms.saturating_sub(now_ms)) as usize] += 1;
        }
    }

    /// How long until `due_ms`, in milliseconds; 0 when it is past.
    pub(super) fn until_ms(&self, due_ms: i64) -> u64 {
        u64::try_from(due_ms.saturating_sub((self.clock)())).unwrap_or(0)
    }

    fn single_active(&self) -> bool {
        matches!(self.queue, Queue::Plans(_))
    }
}
