//! Names and arguments of every exchange and queue, in one place.
//!
//! A queue's arguments can't change once it exists, so its name carries a version. `docs/topology.md`
//! is written from [`EXCHANGES`] and [`QUEUES`]; a test keeps the two equal.

use std::fmt;

use crate::{JobId, Lane};

/// Partitions of the plans queue; one job always goes to the same one, which has one consumer at a time.
pub const PLAN_PARTITIONS: u32 = 8;
/// Levels of the delay ladder; what is parked on level N waits there for 2^N s.
pub const DELAY_LEVELS: u32 = 17;
/// Longest wait in one piece, in seconds; a longer one is parked again.
pub const DELAY_MAX_S: u64 = (1 << DELAY_LEVELS) - 1;
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
    ExchangeRow { name: "tidegate.plans", kind: "direct", from: "planner, gateway", carries: "plan" },
    ExchangeRow { name: "tidegate.calls", kind: "direct", from: "tracker", carries: "call" },
    ExchangeRow {
        name: "tidegate.delay.level-NN",
        kind: "topic",
        from: "executor, tracker",
        carries: "call, parked; NN from 16 down to 00",
    },
    ExchangeRow {
        name: "tidegate.delivery",
        kind: "topic",
        from: "delay levels",
        carries: "call, due; one without a queue goes on to `tidegate.dead`",
    },
    ExchangeRow { name: "tidegate.events", kind: "topic", from: "tracker", carries: "event" },
    ExchangeRow {
        name: "tidegate.results",
        kind: "topic",
        from: "executor",
        carries: "pages of jobs that push them, by `TENANT.JOB-NAME.STEP`; queues are bound by whoever wants them",
    },
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
    /// AMQP arguments with their defaults, as declared but for the deployment's prefix.
    pub arguments: &'static str,
}

/// All queues.
pub const QUEUES: &[QueueRow] = &[
    QueueRow {
        name: "tidegate.outcomes.1",
        key: "outcomes",
        to: "planner",
        arguments: "x-queue-type=quorum, x-dead-letter-exchange=tidegate.dead, x-dead-letter-strategy=at-least-once, \
                    x-delivery-limit=100, x-max-length=1000000, x-overflow=reject-publish",
    },
    QueueRow {
        name: "tidegate.plans.1.P",
        key: "P (0 to 7, from the job id)",
        to: "tracker",
        arguments: "x-queue-type=quorum, x-dead-letter-exchange=tidegate.dead, x-dead-letter-strategy=at-least-once, \
                    x-delivery-limit=100, x-max-length=1000000, x-overflow=reject-publish, \
                    x-single-active-consumer=true",
    },
    QueueRow {
        name: "tidegate.calls.1.PROVIDER.LANE",
        key: "PROVIDER.LANE",
        to: "executor",
        arguments: "x-queue-type=quorum, x-dead-letter-exchange=tidegate.dead, x-dead-letter-strategy=at-least-once, \
                    x-delivery-limit=100, x-max-length=1000000, x-overflow=reject-publish",
    },
    QueueRow {
        name: "tidegate.delay.1.level-NN",
        key: "by the bits of the delay in seconds",
        to: "level NN-1, and after level 00 `tidegate.delivery`",
        arguments: "x-queue-type=quorum, x-dead-letter-exchange=tidegate.delay.level-(NN-1), \
                    x-dead-letter-strategy=at-least-once, x-max-length=1000000, x-message-ttl=2^NN s, \
                    x-overflow=reject-publish",
    },
    QueueRow {
        name: "tidegate.events.1.WATCHER",
        key: "#",
        to: "gateway, executor, command line",
        arguments: "exclusive, auto-delete, x-queue-type=classic, x-max-length=4096, x-overflow=drop-head",
    },
    QueueRow {
        name: "tidegate.dead.1",
        key: "#",
        to: "tracker, which keeps them for people",
        arguments: "x-queue-type=quorum, x-delivery-limit=1000000000, x-max-length=10000, x-overflow=drop-head",
    },
];

/// Whole seconds of a wait, rounded up: from 1 to [`DELAY_MAX_S`].
#[must_use]
pub fn delay_s(wait_ms: i64) -> u64 {
    u64::try_from(wait_ms).unwrap_or(0).div_ceil(1_000).clamp(1, DELAY_MAX_S)
}

/// The level of the ladder on which a wait begins: that of the highest bit of its seconds.
#[must_use]
pub fn delay_level(wait_ms: i64) -> u32 {
    delay_s(wait_ms).ilog2()
}

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
    /// Pages, for others: queues are bound by whoever wants them, and none is ours.
    Results,
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

impl Queue {
    /// Reads what [`Queue`] displays as.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        if let Some(partition) = name.strip_prefix("tidegate.plans.1.") {
            return partition.parse().ok().map(Self::Plans);
        }
        if let Some(rest) = name.strip_prefix("tidegate.calls.1.") {
            let (provider, lane) = rest.rsplit_once('.')?;
            let lane = Lane::ALL.into_iter().find(|known| known.name() == lane)?;
            return Some(Self::Calls { provider: provider.to_owned(), lane });
        }
        [Self::Outcomes, Self::Events, Self::Results, Self::Dead].into_iter().find(|queue| queue.to_string() == name)
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
            Self::Results => f.write_str("tidegate.results"),
            Self::Dead => f.write_str("tidegate.dead.1"),
        }
    }
}
