//! Taking a job: checked, stored, then told.

use std::sync::Arc;

use tidegate_bus::{Bus, BusError};
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Envelope, JobId, JobSubmitted, Message};
use tidegate_daemon::Clock;
use tidegate_ledger::{Ledger, LedgerError, NewJob};
use tidegate_provider::{JobFile, Problem, ProviderFile, Spec};
use tidegate_specs::StoredSpec;
use tidegate_telemetry::inject;

/// What the gateway works with.
#[derive(Clone)]
pub struct Deps {
    /// Where jobs are told of.
    pub bus: Arc<dyn Bus>,
    /// Where jobs are stored.
    pub ledger: Arc<dyn Ledger>,
    /// Now.
    pub clock: Clock,
}

/// A job to submit.
#[derive(Debug, Clone)]
pub struct Submission {
    /// For people.
    pub name: String,
    /// The job file.
    pub job: JobFile,
    /// The provider file it names, with what that one extends.
    pub provider: ProviderFile,
}

/// Why a job was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// It can't be run.
    #[error("the job can't be run: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Problems(Vec<Problem>),
    /// It can't be written down.
    #[error("the job can't be stored as JSON")]
    Json(#[from] serde_json::Error),
    /// It was not stored.
    #[error("the job was not stored")]
    Ledger(#[from] LedgerError),
    /// It is stored, and its planner not told; the sweeper will.
    #[error("the job is stored, but the planner was not told yet")]
    Bus(#[from] BusError),
}

/// Takes a job. It is stored before anybody hears of it: should the process die in between, the tracker's sweeper finds
/// it. Not idempotent: each submission is a job.
///
/// # Errors
/// [`SubmitError`].
#[tracing::instrument(name = "submit", skip_all)]
pub async fn submit(deps: &Deps, submission: Submission) -> Result<JobId, SubmitError> {
    let Submission { name, job, provider } = submission;
    let spec = Spec::compile(job.clone(), provider.clone()).map_err(SubmitError::Problems)?;
    let id = JobId::new();
    let (lane, provider_name) = (job.lane, provider.provider.to_string());
    let new = NewJob {
        id,
        name: name.chars().take(200).collect(),
        fingerprint: spec.fingerprint().to_owned(),
        spec: serde_json::to_string(&StoredSpec { job, provider })?,
        provider: provider_name,
        lane,
    };
    let now_ms = (deps.clock)();
    deps.ledger.submit(&new, now_ms).await?;
    tracing::info!(job.id = %id, name = new.name, provider = new.provider, %lane, "job submitted");
    crate::metrics::submitted(lane);
    let message = Message::JobSubmitted(JobSubmitted { job: id });
    deps.bus.publish(&Queue::Outcomes, vec![Envelope::new(message, now_ms, inject())]).await?;
    Ok(id)
}
