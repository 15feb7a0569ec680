//! Names and arguments of every exchange and queue, in one place.
//!
//! A queue's arguments can't change once it exists, so its name carries a version. `docs/topology.md`
//! is written from [`EXCHANGES`] and [`QUEUES`]; a test keeps the two equal.

use std::fmt;

use crate::{JobId, Lane};

/// Partitions of the plans queue; one job always goes to the same one, which has one consumer at a time.
pub const PLAN_PARTITIONS: u32 = 8;
/// Longest wait in one piece, in seconds; a longer one is parked again (the delay ladder has 17 levels).
pub const DELAY_MAX_S: u64 = (1 << 17) - 1;
/// Largest message, in bytes.
pub const MESSAGE_MAX_BYTES: usize = 1 << 20;

/// An exchange, for the table.
#[derive(Debug)]
pub struct ExchangeRow {
    /// Name on the broker, after the deployment's prefix.
    pub name: &'static str,
    /// AMQP exchange type.
    pub kind: &'static str,
    /// Who publishes to it.
    pub from: &'static str,
    /// What it carries.
    pub carries: &'static str,
}

/// All exchanges.
pub const EXCHANGES: &[ExchangeRow] = &[
    ExchangeRow {
        name: "tidegate.outcomes",
        kind: "direct",
        from: "gateway, executor",
        carries: "job_submitted, outcome",
    },
    ExchangeRow { name: "tidegate.plans", kind: "direct", from: "planner", carries: "plan" },
    ExchangeRow { name: "tidegate.calls", kind: "direct", from: "tracker", carries: "call" },
    ExchangeRow {
        name: "tidegate.delay.level-NN",
        kind: "topic",
        from: "executor",
        carries: "call, parked; NN from 16 down to 00",
    },
    ExchangeRow { name: "tidegate.delivery", kind: "topic", from: "delay levels", carries: "call, due" },
    ExchangeRow { name: "tidegate.events", kind: "topic", from: "tracker", carries: "event" },
    ExchangeRow {
        name: "tidegate.dead",
        kind: "topic",
        from: "any queue",
        carries: "what could not be handled, with its reason",
    },
];

/// A queue, for the table.
#[derive(Debug)]
pub struct QueueRow {
    /// Name on the broker, after the deployment's prefix.
    pub name: &'static str,
    /// Routing key it is bound by.
    pub key: &'static str,
    /// Its consumer.
    pub to: &'static str,
    /// AMQP arguments; all queues are durable and dead-letter to `tidegate.dead`.
    pub arguments: &'static str,
}

/// All queues.
pub const QUEUES: &[QueueRow] = &[
    QueueRow { name: "tidegate.outcomes.1", key: "outcomes", to: "planner", arguments: "x-queue-type=quorum" },
    QueueRow {
        name: "tidegate.plans.1.P",
        key: "P (0 to 7, from the job id)",
        to: "tracker",
        arguments: "x-queue-type=quorum, x-single-active-consumer=true",
    },
    QueueRow {
        name: "tidegate.calls.1.PROVIDER.LANE",
        key: "PROVIDER.LANE",
        to: "executor",
        arguments: "x-queue-type=quorum",
    },
    QueueRow {
        name: "tidegate.delay.1.level-NN",
        key: "by the bits of the delay in seconds",
        to: "next level",
        arguments: "x-queue-type=quorum, x-message-ttl=2^NN s, x-dead-letter-strategy=at-least-once, x-overflow=reject-publish",
    },
    QueueRow { name: "tidegate.events.WATCHER", key: "JOB", to: "gateway", arguments: "exclusive, auto-delete" },
    QueueRow { name: "tidegate.dead.1", key: "#", to: "people, by the gateway", arguments: "x-queue-type=quorum" },
];

/// Where a message goes and is taken from.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Queue {
    /// Outcomes and submitted jobs, for the planner.
    Outcomes,
    /// Plans of one partition's jobs, for the tracker.
    Plans(u32),
    /// Calls to one provider in one lane, for executors.
    Calls {
        /// Provider's name.
        provider: String,
        /// Lane.
        lane: Lane,
    },
    /// Events, for watchers. Every watcher gets each one; one that comes late missed the earlier.
    Events,
    /// What could not be handled.
    Dead,
}

impl Queue {
    /// The plans queue of a job.
    #[must_use]
    pub fn plans_of(job: JobId) -> Self {
        let last = u32::from(job.as_bytes()[15]);
        Self::Plans(last % PLAN_PARTITIONS)
    }
}

impl fmt::Display for Queue {
    /// Name on the broker, after the deployment's prefix.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Outcomes => f.write_str("tidegate.outcomes.1"),
            Self::Plans(partition) => write!(f, "tidegate.plans.1.{partition}"),
            Self::Calls { provider, lane } => write!(f, "tidegate.calls.1.{provider}.{lane}"),
            Self::Events => f.write_str("tidegate.events"),
            Self::Dead => f.write_str("tidegate.dead.1"),
        }
    }
}
