//! The planner over the bus.

use std::collections::HashMap;
use std::sync::Arc;

use anyhow::Context;
use tidegate_bus::{Bus, Delivery, ack_all, or_redelivered};
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Envelope, JobId, Message, Outcome, Plan};
use tidegate_daemon::{Clock, Handle, Shutdown};
use tidegate_ledger::{Ledger, LedgerError};
use tidegate_specs::{Specs, SpecsError};
use tidegate_telemetry::{inject, span_link};
use tracing::Instrument as _;

use crate::metrics::Metrics;

/// Outcomes planned and published together.
const BATCH: usize = 256;
/// Unacknowledged outcomes in hand.
const PREFETCH: u16 = 512;

/// What the planner works with.
pub struct Deps {
    /// Outcomes come, plans go.
    pub bus: Arc<dyn Bus>,
    /// Pages, for steps made for each item.
    pub ledger: Arc<dyn Ledger>,
    /// Specifications by job.
    pub specs: Arc<Specs>,
    /// For the time of sending.
    pub clock: Clock,
}

/// Runs the planner until the shutdown is requested or the bus is closed.
pub fn start(deps: Deps, shutdown: &Shutdown) -> Handle {
    let mut handle = Handle::new(shutdown.clone());
    handle.spawn("planner", run(deps, shutdown.clone()));
    handle
}

async fn run(deps: Deps, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut outcomes = deps.bus.consume(&Queue::Outcomes, PREFETCH).await.context("can't take outcomes")?;
    let metrics = Metrics::new();
    loop {
        let batch = tokio::select! {
            biased;
            () = shutdown.requested() => return Ok(()),
            batch = outcomes.next_batch(BATCH) => batch,
        };
        if batch.is_empty() {
            return Ok(());
        }
        let span = tracing::info_span!("plan", outcomes = batch.len());
        for sender in batch.iter().filter_map(|delivery| delivery.envelope.traceparent.as_deref()) {
            span_link(&span, sender);
        }
        handle_outcomes(&deps, &metrics, batch).instrument(span).await?;
    }
}

/// Decode, load, decide, emit, acknowledge. Idempotent: the plans of an outcome are the same each time, and the
/// tracker commits them once, by call.
async fn handle_outcomes(deps: &Deps, metrics: &Metrics, batch: Vec<Delivery>) -> anyhow::Result<()> {
    let mut plans: HashMap<Queue, Vec<Envelope>> = HashMap::new();
    let mut done = Vec::with_capacity(batch.len());
    for delivery in batch {
        let plan = match &delivery.envelope.message {
            Message::JobSubmitted(submitted) => begin(deps, submitted.job).await,
            Message::Outcome(outcome) => decide(deps, outcome).await,
            _ => Err(NoPlan::Never("not a message for the planner".to_owned())),
        };
        let plan = match plan {
            Ok(plan) => plan,
            Err(NoPlan::Never(reason)) => {
                delivery.reject(&reason).await?;
                continue;
            }
            Err(NoPlan::NotNow(error)) => return Err(error.into()),
        };
        metrics.planned(&plan);
        let queue = Queue::plans_of(plan.job);
        plans.entry(queue).or_default().push(Envelope::new(Message::Plan(plan), (deps.clock)(), inject()));
        done.push(delivery);
    }
    for (queue, messages) in plans {
        deps.bus.publish(&queue, messages).await.context("can't send plans")?;
    }
    Ok(or_redelivered(ack_all(done).await)?)
}

/// Why there is no plan.
enum NoPlan {
    /// The message makes no sense to this deployment. It goes to the dead letters: what ends the planner comes again, and
    /// would end it again.
    Never(String),
    /// What is needed can't be read; ending the planner brings the message back.
    NotNow(LedgerError),
}

impl From<SpecsError> for NoPlan {
    fn from(error: SpecsError) -> Self {
        match error {
            SpecsError::Ledger(error) => error.into(),
            error @ (SpecsError::Unknown(_) | SpecsError::Unusable { .. }) => Self::Never(error.to_string()),
        }
    }
}

impl From<LedgerError> for NoPlan {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Corrupt { .. } => Self::Never(error.to_string()),
            error => Self::NotNow(error),
        }
    }
}

async fn begin(deps: &Deps, job: JobId) -> Result<Plan, NoPlan> {
    Ok(crate::begin(&*deps.specs.get(job).await?, job))
}

async fn decide(deps: &Deps, outcome: &Outcome) -> Result<Plan, NoPlan> {
    let call = outcome.call();
    let spec = deps.specs.get(call.job).await?;
    let lines = if crate::needs_items(&spec, outcome) {
        let packed = deps.ledger.page_lines(call.job, call.call).await?;
        let packed = packed.ok_or_else(|| NoPlan::Never(format!("the page of {} is not stored", call.call)))?;
        packed.unpack()?
    } else {
        Vec::new()
    };
    Ok(crate::plan(&spec, outcome, &lines))
}
