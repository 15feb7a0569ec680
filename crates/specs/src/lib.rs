//! Compiled specifications of jobs, kept by job: read from the ledger once, shared by reference afterwards.
//!
//! A job's specification never changes after it was submitted, so what is kept is never stale.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tidegate_contracts::JobId;
use tidegate_ledger::{Ledger, LedgerError};
use tidegate_provider::{JobFile, ProviderFile, Spec};

/// Most specifications kept; the whole store is emptied when it is full, which costs a read each.
pub const SPECS_MAX: usize = 1_000;

/// A job as it is stored: both files, whole.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoredSpec {
    /// The job file.
    pub job: JobFile,
    /// The provider file it names, with what that one extends.
    pub provider: ProviderFile,
}

/// Why there is no specification.
#[derive(Debug, thiserror::Error)]
pub enum SpecsError {
    /// The ledger has no such job.
    #[error("there is no job {0}")]
    Unknown(JobId),
    /// What is stored is not a specification that this build takes.
    #[error("the specification of {job} can't be used: {why}")]
    Unusable {
        /// The job.
        job: JobId,
        /// What is wrong.
        why: String,
    },
    /// The ledger could not be asked.
    #[error("can't read a job's specification")]
    Ledger(#[from] LedgerError),
}

/// A job's specification, compiled.
#[derive(Debug)]
pub struct JobSpec {
    /// What it says.
    pub spec: Arc<Spec>,
    /// Whose job it is.
    pub tenant: String,
    /// When it was read no new call of the job might go out.
    pub was_stopped: bool,
    /// When it was read the job was paused.
    pub was_paused: bool,
}

impl std::ops::Deref for JobSpec {
    type Target = Spec;

    fn deref(&self) -> &Spec {
        &self.spec
    }
}

/// Compiled specifications by job.
pub struct Specs {
    ledger: Arc<dyn Ledger>,
    kept: Mutex<HashMap<JobId, Arc<JobSpec>>>,
}

impl Specs {
    /// None kept yet.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>) -> Self {
        Self { ledger, kept: Mutex::new(HashMap::new()) }
    }

    /// The compiled specification of a job; read from the ledger the first time.
    ///
    /// # Errors
    /// [`SpecsError`].
    pub async fn get(&self, job: JobId) -> Result<Arc<JobSpec>, SpecsError> {
        if let Some(spec) = self.kept().get(&job) {
            return Ok(Arc::clone(spec));
        }
        let row = self.ledger.spec(job).await?.ok_or(SpecsError::Unknown(job))?;
        let unusable = |why: String| SpecsError::Unusable { job, why };
        let stored: StoredSpec = serde_json::from_str(&row.spec).map_err(|error| unusable(error.to_string()))?;
        let spec = Spec::compile(stored.job, stored.provider)
            .map_err(|problems| unusable(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))?;
        let (was_stopped, was_paused) = (row.stopped, row.paused);
        let spec = Arc::new(JobSpec { spec: Arc::new(spec), tenant: row.tenant, was_stopped, was_paused });
        let mut kept = self.kept();
        if kept.len() >= SPECS_MAX {
            kept.clear();
        }
        kept.insert(job, Arc::clone(&spec));
        Ok(spec)
    }

    fn kept(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, Arc<JobSpec>>> {
        // A panic while holding it can only have left the map as it was.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
