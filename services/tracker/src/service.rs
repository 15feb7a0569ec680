//! The tracker over the bus.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tidegate_bus::{Bus, Delivery, ack_all, or_redelivered};
use tidegate_contracts::topology::{PLAN_PARTITIONS, Queue};
use tidegate_contracts::{Call, End, Envelope, Event, JobId, Message, Plan};
use tidegate_daemon::{Clock, Handle, Shutdown};
use tidegate_ledger::{Committed, DeadBounds, DeadLetters, Ledger, Windows};
use tidegate_telemetry::{inject, span_link};
use tracing::Instrument as _;

use crate::metrics::Metrics;

/// Plans committed in one transaction.
const BATCH: usize = 256;
/// Unacknowledged plans in hand, for each partition.
const PREFETCH: u16 = 512;

/// Between two looks how many jobs share, where plans come and no job begins.
const SHARE_EVERY: Duration = Duration::from_secs(1);

/// How the tracker works.
#[derive(Debug, Clone)]
pub struct Config {
    /// Calls of one job that are out at once.
    pub windows: Windows,
    /// Between two looks for what was lost, in ms.
    pub sweep_every_ms: u64,
    /// Between two looks for dead letters, in ms.
    pub dead_every_ms: u64,
    /// Between two looks how much waits in queues, in ms; default 15,000.
    pub queues_every_ms: u64,
    /// How many dead letters are kept, and how long.
    pub dead: DeadBounds,
}

impl Default for Config {
    fn default() -> Self {
        let (windows, dead) = (Windows::default(), DeadBounds::default());
        Self { windows, sweep_every_ms: 30_000, dead_every_ms: 1_000, queues_every_ms: 15_000, dead }
    }
}

/// What the tracker works with.
#[derive(Clone)]
pub struct Deps {
    /// Plans come, calls and events go.
    pub bus: Arc<dyn Bus>,
    /// Where plans are committed.
    pub ledger: Arc<dyn Ledger>,
    /// Where dead letters are kept.
    pub dead: Arc<dyn DeadLetters>,
    /// Now.
    pub clock: Clock,
}

/// Runs the tracker until the shutdown is requested or the bus is closed.
pub fn start(deps: Deps, config: Config, shutdown: &Shutdown) -> Handle {
    let mut handle = Handle::new(shutdown.clone());
    for partition in 0..PLAN_PARTITIONS {
        let shares = Shares { windows: config.windows.clone(), shared: Windows::default(), at: None };
        let run = run(deps.clone(), shares, Queue::Plans(partition), shutdown.clone());
        handle.spawn(format!("tracker-{partition}"), run);
    }
    let dead_every = Duration::from_millis(config.dead_every_ms);
    handle.spawn("dead-letters", crate::dead::keep_on(deps.clone(), dead_every, config.dead, shutdown.clone()));
    let queues_every = Duration::from_millis(config.queues_every_ms);
    handle.spawn("queues", crate::queues::look_on(deps.clone(), queues_every, shutdown.clone()));
    handle.spawn("look", crate::look::look_on(deps.clone(), config.windows.lease_ms, shutdown.clone()));
    handle.spawn("sweeper", sweep_on(deps, config, shutdown.clone()));
    handle
}

async fn run(deps: Deps, mut shares: Shares, queue: Queue, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut plans = deps.bus.consume(&queue, PREFETCH).await.context("can't take plans")?;
    loop {
        let batch = tokio::select! {
            biased;
            () = shutdown.requested() => return Ok(()),
            batch = plans.next_batch(BATCH) => batch,
        };
        if batch.is_empty() {
            return Ok(());
        }
        let span = tracing::info_span!("commit", plans = batch.len());
        for sender in batch.iter().filter_map(|delivery| delivery.envelope.traceparent.as_deref()) {
            span_link(&span, sender);
        }
        let begins = batch
            .iter()
            .any(|delivery| matches!(&delivery.envelope.message, Message::Plan(plan) if plan.ended.is_none()));
        let windows = shares.now(&deps, begins).await?;
        handle_plans(&deps, windows, batch).instrument(span).await?;
    }
}

/// Windows, shared by the jobs that there are.
struct Shares {
    windows: Windows,
    shared: Windows,
    at: Option<Instant>,
}

impl Shares {
    /// Shared anew by the time, and when jobs begin: those that come within a second would have whole windows otherwise.
    async fn now(&mut self, deps: &Deps, begins: bool) -> anyhow::Result<&Windows> {
        if begins || self.at.is_none_or(|at| at.elapsed() >= SHARE_EVERY) {
            let lanes = deps.ledger.lanes_open().await.context("can't count jobs")?;
            self.shared = self.windows.shared_by(lanes.clone());
            Metrics::get().looked(&lanes, &self.shared);
            self.at = Some(Instant::now());
        }
        Ok(&self.shared)
    }
}

async fn sweep_on(deps: Deps, config: Config, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut ticks = tokio::time::interval(Duration::from_millis(config.sweep_every_ms));
    ticks.tick().await;
    loop {
        let sweep = async {
            ticks.tick().await;
            crate::sweep(&deps, &config.windows, false).await
        };
        // It may wait long for room on the bus; what it has not sent then is found by the next one.
        tokio::select! {
            () = shutdown.requested() => return Ok(()),
            swept = sweep => swept?,
        };
    }
}

/// Decode, decide and save in one transaction, emit, acknowledge. Idempotent by call: see [`Ledger::commit`].
async fn handle_plans(deps: &Deps, windows: &Windows, batch: Vec<Delivery>) -> anyhow::Result<()> {
    let (mut plans, mut done): (Vec<Plan>, _) = (Vec::with_capacity(batch.len()), Vec::with_capacity(batch.len()));
    for delivery in batch {
        match &delivery.envelope.message {
            Message::Plan(plan) => {
                plans.push(plan.clone());
                done.push(delivery);
            }
            _ => delivery.reject("not a message for the tracker").await?,
        }
    }
    let (metrics, started) = (Metrics::get(), Instant::now());
    let committed = deps.ledger.commit(&plans, windows, (deps.clock)()).await.context("can't commit plans")?;
    metrics.committed(&plans, &committed, started.elapsed());
    let events = events(&plans, &committed);
    publish_calls(deps, committed.released).await?;
    let events = events.into_iter().map(|event| Envelope::new(Message::Event(event), (deps.clock)(), None)).collect();
    let note = async {
        match committed.receipt {
            Some(receipt) => deps.ledger.published(receipt).await.context("can't note that calls are published"),
            None => Ok(()),
        }
    };
    let tell = async { deps.bus.publish(&Queue::Events, events).await.context("can't send events") };
    tokio::try_join!(note, tell)?;
    or_redelivered(ack_all(done).await)?;
    tell_finished(deps, metrics, &committed.finished).await
}

/// Measures jobs that have finished, when everybody else has been told.
pub(crate) async fn tell_finished(deps: &Deps, metrics: &Metrics, finished: &[JobId]) -> anyhow::Result<()> {
    for job in finished {
        if let Some(row) = deps.ledger.job(*job).await.context("can't read a finished job")? {
            metrics.finished(&row);
        }
    }
    Ok(())
}

/// What watchers hear of a commit.
fn events(plans: &[Plan], committed: &Committed) -> Vec<Event> {
    let waits = plans.iter().filter_map(|plan| match &plan.ended.as_ref()?.end {
        End::Deferred { wait } => Some(Event::CallWaiting { job: plan.job, wait: wait.clone() }),
        _ => None,
    });
    let progressed = committed.progressed.iter().map(|job| Event::JobProgressed { job: *job });
    let stopped = committed.stopped.iter().map(|job| Event::JobStopped { job: *job });
    let finished = committed.finished.iter().map(|job| Event::JobFinished { job: *job });
    waits.chain(stopped).chain(progressed).chain(finished).collect()
}

/// Sends calls to the queues of their providers and lanes.
pub(crate) async fn publish_calls(deps: &Deps, calls: Vec<Call>) -> anyhow::Result<()> {
    let mut by_queue: HashMap<Queue, Vec<Envelope>> = HashMap::new();
    for call in calls {
        let queue = Queue::Calls { provider: call.provider.clone(), lane: call.lane };
        by_queue.entry(queue).or_default().push(Envelope::new(Message::Call(call), (deps.clock)(), inject()));
    }
    for (queue, messages) in by_queue {
        deps.bus.publish(&queue, messages).await.context("can't send calls")?;
    }
    Ok(())
}
