//! Taking dead letters off the bus, to where people can look at them.

use std::time::Duration;

use anyhow::Context;
use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Gauge};
use tidegate_bus::DeadLetter;
use tidegate_contracts::topology::Queue;
use tidegate_daemon::Shutdown;
use tidegate_ledger::{DeadBounds, NewDead};
use tidegate_metrics::table;

use crate::Deps;

/// Letters that are kept in one transaction.
const BATCH: usize = 100;

/// The instruments.
struct Metrics {
    letters: Gauge<f64>,
    kept: Counter<u64>,
}

impl Metrics {
    fn new() -> Self {
        Self { letters: table::DEAD_LETTERS.gauge(), kept: table::DEAD_KEPT.counter() }
    }
}

/// Looks for dead letters until the shutdown is requested, and once more then. What goes wrong is tried again with the next
/// look: letters stay with the bus until they are kept.
pub(crate) async fn keep_on(deps: Deps, every: Duration, bounds: DeadBounds, shutdown: Shutdown) -> anyhow::Result<()> {
    let metrics = Metrics::new();
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let last = tokio::select! {
            () = shutdown.requested() => true,
            _ = ticks.tick() => false,
        };
        if let Err(error) = keep_all(&deps, &bounds, &metrics).await {
            tracing::warn!(error = format!("{error:#}"), "dead letters could not be kept; trying again");
        }
        if last {
            return Ok(());
        }
    }
}

/// Take, keep in one transaction, acknowledge; until there are none. Idempotent by the letter's id.
async fn keep_all(deps: &Deps, bounds: &DeadBounds, metrics: &Metrics) -> anyhow::Result<()> {
    loop {
        let taken = deps.bus.dead(BATCH).await.context("can't take dead letters")?;
        if taken.letters.is_empty() {
            break;
        }
        let letters: Vec<NewDead> = taken.letters.iter().map(letter).collect::<Result<_, _>>()?;
        deps.dead.keep_dead(&letters, (deps.clock)()).await.context("can't keep dead letters")?;
        for letter in &taken.letters {
            metrics.kept.add(1, &[KeyValue::new("queue", family(&letter.queue))]);
        }
        tracing::warn!(letters = letters.len(), first = %letters[0].id, reason = letters[0].reason, "kept dead letters");
        taken.ack().await.context("can't acknowledge dead letters")?;
    }
    let (pruned, left) = deps.dead.prune_dead(bounds, (deps.clock)()).await.context("can't prune dead letters")?;
    if pruned > 0 {
        tracing::warn!(pruned, "forgot dead letters: there are too many, or they are too old");
    }
    metrics.letters.record(left as f64, &[]);
    Ok(())
}

fn letter(letter: &DeadLetter) -> anyhow::Result<NewDead> {
    let (kind, job, body) = match &letter.envelope {
        Some(envelope) => {
            let (kind, job) = (envelope.message.kind().to_owned(), envelope.message.job());
            (Some(kind), Some(job), envelope.encode().context("can't write a dead letter")?)
        }
        None => (None, None, letter.bytes.clone()),
    };
    Ok(NewDead {
        id: letter.id(),
        queue: letter.queue.to_string(),
        kind,
        job,
        reason: letter.reason.clone(),
        redelivered: letter.redelivered,
        died_at_ms: letter.died_at_ms,
        body,
    })
}

/// The queue without what there are many of: a label.
fn family(queue: &Queue) -> &'static str {
    match queue {
        Queue::Outcomes => "outcomes",
        Queue::Plans(_) => "plans",
        Queue::Calls { .. } => "calls",
        Queue::Events => "events",
        Queue::Results => "results",
        Queue::Dead => "dead",
    }
}
