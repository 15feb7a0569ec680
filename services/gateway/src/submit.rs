//! Taking a job: checked, stored, then told.

use std::sync::Arc;

use tidegate_bus::{Bus, BusError};
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Envelope, JobId, JobSubmitted, Message};
use tidegate_daemon::Clock;
use tidegate_ledger::{Bounds, Idempotency, Ledger, LedgerError, NewJob, Submitted};
use tidegate_provider::{JobFile, Problem, ProviderFile, Spec, refuse_push};
use tidegate_specs::StoredSpec;
use tidegate_telemetry::inject;

/// What a job is taken with.
#[derive(Clone)]
pub struct Intake {
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
    /// Whose it is.
    pub tenant: String,
    /// For people.
    pub name: String,
    /// The job file.
    pub job: JobFile,
    /// The provider file it names, with what that one extends.
    pub provider: ProviderFile,
    /// What makes submitting it twice one submission; without, each is a job.
    pub idempotency: Option<Idempotency>,
    /// It takes only what is new since the last job of its tenant and name.
    pub extend: bool,
}

/// What came of a submission that is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is a new job.
    New(JobId),
    /// The same was submitted before under the same key: that job.
    Before(JobId),
}

impl Taken {
    /// The job.
    #[must_use]
    pub fn job(self) -> JobId {
        match self {
            Self::New(job) | Self::Before(job) => job,
        }
    }
}

/// Why a job was not taken.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// It can't be run.
    #[error("the job can't be run: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Problems(Vec<Problem>),
    /// Something else was submitted under its key.
    #[error("something else was submitted under this key before, as {0}")]
    KeyReused(JobId),
    /// It can't be written down.
    #[error("the job can't be stored as JSON")]
    Json(#[from] serde_json::Error),
    /// It was not stored.
    #[error("the job was not stored")]
    Ledger(#[from] LedgerError),
    /// It is stored, and its planner not told; the sweeper will.
    #[error("the job is stored, but the planner was not told yet")]
    Untold {
        /// The job.
        job: JobId,
        /// Why.
        #[source]
        source: BusError,
    },
}

/// Takes a job. It is stored before anybody hears of it: should the process die in between, the tracker's sweeper finds
/// it. Idempotent by its key, where it has one.
///
/// # Errors
/// [`SubmitError`].
#[tracing::instrument(name = "submit", skip_all)]
pub async fn submit(intake: &Intake, submission: Submission) -> Result<Taken, SubmitError> {
    let Submission { tenant, name, job, provider, idempotency, extend } = submission;
    let spec = Spec::compile(job.clone(), provider.clone()).map_err(SubmitError::Problems)?;
    let refused = if intake.bus.pushes() { Vec::new() } else { refuse_push(&job) };
    if !refused.is_empty() {
        return Err(SubmitError::Problems(refused));
    }
    let id = JobId::new();
    let (lane, provider_name) = (job.lane, provider.provider.to_string());
    let bounds = bounds(&job);
    let new = NewJob {
        id,
        tenant,
        name: name.chars().take(200).collect(),
        fingerprint: spec.fingerprint().to_owned(),
        spec: serde_json::to_string(&StoredSpec { job, provider })?,
        provider: provider_name,
        lane,
        idempotency,
        bounds,
        extend,
    };
    let now_ms = (intake.clock)();
    match intake.ledger.submit(&new, now_ms).await? {
        Submitted::New => {}
        Submitted::Same(job) => return Ok(Taken::Before(job)),
        Submitted::Different(job) => return Err(SubmitError::KeyReused(job)),
    }
    tracing::info!(job.id = %id, name = new.name, provider = new.provider, %lane, "job submitted");
    crate::metrics::submitted(lane);
    let message = Message::JobSubmitted(JobSubmitted { job: id });
    let told = intake.bus.publish(&Queue::Outcomes, vec![Envelope::new(message, now_ms, inject())]).await;
    told.map(|()| Taken::New(id)).map_err(|source| SubmitError::Untold { job: id, source })
}

/// What the job may take, as its file says.
fn bounds(job: &JobFile) -> Bounds {
    let deadline_ms = job.deadline.map(|deadline| i64::try_from(deadline.get().as_millis()).unwrap_or(i64::MAX).max(1));
    Bounds { deadline_ms, max_calls: job.max_calls.map(|calls| i64::try_from(calls).unwrap_or(i64::MAX)) }
}
