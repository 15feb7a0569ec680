//! What can go wrong with the bus.

use tidegate_contracts::topology::Queue;

/// The bus did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The queue holds as many messages as it may, or its broker can't store more, and that did not change while a publish may
    /// take. Not all were sent.
    #[error("queue {queue} takes no messages: it holds {max}, or can't store more")]
    Full {
        /// The queue.
        queue: Queue,
        /// Its bound.
        max: usize,
    },
    /// The bus has been closed.
    #[error("the bus is closed")]
    Closed,
    /// This queue does not do that, now or ever.
    #[error("queue {queue} {reason}")]
    Refused {
        /// The queue.
        queue: Queue,
        /// What it does not do, as in "can't be consumed".
        reason: &'static str,
    },
    /// The broker failed or is out of reach; it is unknown whether the messages were taken.
    #[error("the broker failed to {what}")]
    Broker {
        /// What it was asked to, as in "confirm a message".
        what: &'static str,
        /// Its error.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
