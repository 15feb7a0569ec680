//! How much waits in the ring's queues, and on the delay ladder: looked at now and then, told as metrics.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use opentelemetry::KeyValue;
use opentelemetry::metrics::AsyncInstrument;
use tidegate_contracts::topology::{PLAN_PARTITIONS, Queue};
use tidegate_daemon::Shutdown;
use tidegate_ledger::OpenLane;
use tidegate_metrics::{Metric, table};

use crate::Deps;

/// A count with its labels.
type Counted = Vec<(Vec<KeyValue>, usize)>;

/// What was seen at the last look.
#[derive(Default)]
struct Seen {
    ready: Counted,
    parked: Counted,
}

/// Looks until the shutdown is requested. What goes wrong is tried again with the next look.
pub(crate) async fn look_on(deps: Deps, every: Duration, shutdown: Shutdown) -> anyhow::Result<()> {
    let seen = Arc::<Mutex<Seen>>::default();
    watch(&seen, table::QUEUE_READY, |seen| &seen.ready);
    watch(&seen, table::QUEUE_PARKED, |seen| &seen.parked);
    let mut ticks = tokio::time::interval(every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            () = shutdown.requested() => return Ok(()),
            _ = ticks.tick() => {}
        }
        match look(&deps).await {
            Ok(looked) => *seen.lock().unwrap_or_else(PoisonError::into_inner) = looked,
            Err(error) => tracing::warn!(error = format!("{error:#}"), "messages could not be counted; trying again"),
        }
    }
}

/// Tells what was seen last.
fn watch(seen: &Arc<Mutex<Seen>>, metric: Metric, of: impl Fn(&Seen) -> &Counted + Send + Sync + 'static) {
    let seen = Arc::clone(seen);
    metric.watch(move |gauge: &dyn AsyncInstrument<f64>| {
        for (labels, count) in of(&seen.lock().unwrap_or_else(PoisonError::into_inner)) {
            gauge.observe(*count as f64, labels);
        }
    });
}

async fn look(deps: &Deps) -> anyhow::Result<Seen> {
    let mut plans = 0;
    for partition in 0..PLAN_PARTITIONS {
        plans += ready(deps, &Queue::Plans(partition)).await?;
    }
    let queue = |name: &'static str| KeyValue::new("queue", name);
    let mut counted = vec![
        (vec![queue("outcomes")], ready(deps, &Queue::Outcomes).await?),
        (vec![queue("plans")], plans),
        (vec![queue("dead")], ready(deps, &Queue::Dead).await?),
    ];
    // Calls wait where jobs are open; a queue that no job needs any more is empty.
    let lanes = deps.ledger.lanes_open().await.context("can't list lanes")?;
    for OpenLane { provider, lane, .. } in lanes {
        let calls = ready(deps, &Queue::Calls { provider: provider.clone(), lane }).await?;
        let labels = vec![queue("calls"), KeyValue::new("provider", provider), KeyValue::new("lane", lane.name())];
        counted.push((labels, calls));
    }
    let parked = deps.bus.parked().await.context("can't count parked messages")?;
    let parked = parked.into_iter().zip(0_i64..).map(|(count, level)| (vec![KeyValue::new("level", level)], count));
    Ok(Seen { ready: counted, parked: parked.collect() })
}

async fn ready(deps: &Deps, queue: &Queue) -> anyhow::Result<usize> {
    Ok(deps.bus.depth(queue).await.with_context(|| format!("can't count messages of {queue}"))?.ready)
}
