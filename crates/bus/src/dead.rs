//! Messages that were rejected, in somebody's hands.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{DeadId, Envelope};

use crate::BusError;

/// A message that was rejected.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// The queue it was delivered from.
    pub queue: Queue,
    /// The message; `None` when the bytes that came are none, or of a newer build.
    pub envelope: Option<Arc<Envelope>>,
    /// The bytes that came, where they are no message; else empty.
    pub bytes: Vec<u8>,
    /// How often it had come back before.
    pub redelivered: u32,
    /// Why, as given; at most [`tidegate_contracts::Failure::MESSAGE_MAX_CHARS`] characters.
    pub reason: String,
    /// Unix time in milliseconds.
    pub died_at_ms: i64,
}

impl DeadLetter {
    /// The same each time that it is taken; another, when its message is sent again and rejected again.
    #[must_use]
    pub fn id(&self) -> DeadId {
        let message = self.envelope.as_ref().map_or(&self.bytes[..], |envelope| envelope.id.as_bytes());
        DeadId::derive(&self.queue.to_string(), message, self.died_at_ms)
    }
}

/// A bus's side of dead letters that were taken. Dropped, they are there again.
#[async_trait]
pub trait Forget: Send {
    /// They are kept elsewhere, and may go.
    ///
    /// # Errors
    /// [`BusError::Broker`]; they will be taken again.
    async fn forget(self: Box<Self>) -> Result<(), BusError>;
}

/// Dead letters in somebody's hands until they are acknowledged. Dropped without that, they are there again.
#[must_use = "dropping them puts them back"]
pub struct DeadLetters {
    /// Oldest first.
    pub letters: Vec<DeadLetter>,
    forget: Option<Box<dyn Forget>>,
}

impl DeadLetters {
    /// Letters, and who forgets them; `None` where there are none.
    pub fn new(letters: Vec<DeadLetter>, forget: Option<Box<dyn Forget>>) -> Self {
        Self { letters, forget }
    }

    /// They are kept elsewhere: the bus forgets them. To be awaited to its end.
    ///
    /// # Errors
    /// [`BusError::Broker`]; they will be taken again.
    pub async fn ack(self) -> Result<(), BusError> {
        match self.forget {
            Some(forget) => forget.forget().await,
            None => Ok(()),
        }
    }
}

impl fmt::Debug for DeadLetters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.letters, f)
    }
}
