//! Dead letters, the latest of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tidegate_contracts::Failure;
use tidegate_contracts::topology::Queue;

use crate::{BusError, DEAD_MAX, DeadLetter, DeadLetters, Forget, Parcel};

/// The dead letters of a bus.
#[derive(Debug, Default)]
pub(super) struct Dead(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    letters: VecDeque<DeadLetter>,
    /// How many came before the first of them.
    before: u64,
}

impl Dead {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds one, and says so in the log: nobody else might look.
    pub(super) fn add(&self, queue: &Queue, parcel: Parcel, reason: &str, died_at_ms: i64) {
        let Parcel { envelope, redelivered, .. } = parcel;
        tracing::warn!(%queue, message.id = %envelope.id, redelivered, reason, "message rejected");
        let reason = reason.chars().take(Failure::MESSAGE_MAX_CHARS).collect();
        let (queue, envelope, bytes) = (queue.clone(), Some(envelope), Vec::new());
        let letter = DeadLetter { queue, envelope, bytes, redelivered, reason, died_at_ms };
        let mut state = self.state();
        if state.letters.len() == DEAD_MAX {
            state.letters.pop_front();
            state.before += 1;
        }
        state.letters.push_back(letter);
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.state().letters.len()
    }

    /// The oldest of them. Who takes at the same time takes the same.
    pub(super) fn take(self: &Arc<Self>, max: usize) -> DeadLetters {
        let state = self.state();
        let letters: Vec<DeadLetter> = state.letters.iter().take(max.max(1)).cloned().collect();
        let taken = Taken { dead: Arc::clone(self), until: state.before + letters.len() as u64 };
        DeadLetters::new(letters, Some(Box::new(taken)))
    }
}

/// All letters up to the one that was taken last.
struct Taken {
    dead: Arc<Dead>,
    until: u64,
}

#[async_trait]
impl Forget for Taken {
    async fn forget(self: Box<Self>) -> Result<(), BusError> {
        let mut state = self.dead.state();
        while state.before < self.until && state.letters.pop_front().is_some() {
            state.before += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::conformance::message;

    use super::*;

    #[test]
    fn the_oldest_letter_makes_room_and_a_long_reason_is_cut() {
        let dead = Arc::new(Dead::default());
        let total = DEAD_MAX as u128 + 1;
        for n in 0..total {
            let parcel = Parcel { envelope: Arc::new(message(n)), redelivered: 0, tag: 0 };
            dead.add(&Queue::Outcomes, parcel, &"é".repeat(Failure::MESSAGE_MAX_CHARS + 1), 5);
        }
        let letters = dead.take(2 * DEAD_MAX).letters;
        let id = |letter: &DeadLetter| letter.envelope.as_ref().map(|envelope| envelope.id.as_u128());
        assert_eq!((letters.len(), id(&letters[0])), (DEAD_MAX, Some(1)));
        assert_eq!(id(&letters[DEAD_MAX - 1]), Some(total - 1));
        assert_eq!(letters[0].reason.chars().count(), Failure::MESSAGE_MAX_CHARS);
    }

    #[tokio::test]
    async fn what_was_taken_is_forgotten_and_what_came_meanwhile_is_not() {
        let dead = Arc::new(Dead::default());
        let add =
            |n| dead.add(&Queue::Outcomes, Parcel { envelope: Arc::new(message(n)), redelivered: 0, tag: 0 }, "no", 5);
        (0..3).for_each(add);
        let (first, same) = (dead.take(2), dead.take(2));
        assert_eq!(first.letters[1].id(), same.letters[1].id());
        add(3);
        first.ack().await.expect("forgotten");
        assert_eq!(dead.len(), 2);
        same.ack().await.expect("forgotten before");
        assert_eq!(dead.len(), 2, "twice is once");
        drop(dead.take(9));
        assert_eq!(dead.len(), 2, "dropped, they are there again");
    }
}
