//! Dead letters, the latest of them.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tidegate_contracts::Failure;
use tidegate_contracts::topology::Queue;

use crate::{DEAD_MAX, DeadLetter, Parcel};

/// The dead letters of a bus.
#[derive(Debug, Default)]
pub(super) struct Dead(Mutex<VecDeque<DeadLetter>>);

impl Dead {
    /// Adds one, and says so in the log: nobody else might look.
    pub(super) fn add(&self, queue: &Queue, parcel: Parcel, reason: &str, died_at_ms: i64) {
        let Parcel { envelope, redelivered, .. } = parcel;
        tracing::warn!(%queue, message.id = %envelope.id, redelivered, reason, "message rejected");
        let reason = reason.chars().take(Failure::MESSAGE_MAX_CHARS).collect();
        let letter = DeadLetter { queue: queue.clone(), envelope: Some(envelope), redelivered, reason, died_at_ms };
        let mut letters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if letters.len() == DEAD_MAX {
            letters.pop_front();
        }
        letters.push_back(letter);
    }

    /// All of them, oldest first.
    pub(super) fn list(&self) -> Vec<DeadLetter> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use crate::conformance::message;

    use super::*;

    #[test]
    fn the_oldest_letter_makes_room_and_a_long_reason_is_cut() {
        let dead = Dead::default();
        let total = DEAD_MAX as u128 + 1;
        for n in 0..total {
            let parcel = Parcel { envelope: Arc::new(message(n)), redelivered: 0, tag: 0 };
            dead.add(&Queue::Outcomes, parcel, &"é".repeat(Failure::MESSAGE_MAX_CHARS + 1), 5);
        }
        let letters = dead.list();
        let id = |letter: &DeadLetter| letter.envelope.as_ref().map(|envelope| envelope.id.as_u128());
        assert_eq!((letters.len(), id(&letters[0])), (DEAD_MAX, Some(1)));
        assert_eq!(id(&letters[DEAD_MAX - 1]), Some(total - 1));
        assert_eq!(letters[0].reason.chars().count(), Failure::MESSAGE_MAX_CHARS);
    }
}
