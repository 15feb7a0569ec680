//! Reading what an estimate needs: the one place here that asks anybody, and only the ledger.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_contracts::JobId;
use tidegate_ledger::{JobRow, Ledger, LedgerError, StepRow, Waiting};

use crate::{Estimate, Facts, Shape, estimate};

/// The last so many pages tell the pace.
const PACE_PAGES: u32 = 100;
/// Most shapes kept; all are forgotten when there are more, which costs a read each.
const SHAPES_MAX: usize = 1_000;

/// How a job stands.
#[derive(Debug, Clone)]
pub struct Look {
    /// Counters by step.
    pub steps: Vec<StepRow>,
    /// What its parked calls wait for, the most first.
    pub waiting: Vec<Waiting>,
    /// How far it is.
    pub estimate: Estimate,
}

/// Shapes of jobs. A job's specification never changes, so what is kept is never stale.
#[derive(Debug, Default)]
pub struct Looker(Mutex<HashMap<JobId, Arc<Shape>>>);

impl Looker {
    /// How the job stands at `now_ms`: a few indexed reads, however large the job is.
    ///
    /// # Errors
    /// What the ledger says.
    pub async fn look(&self, ledger: &dyn Ledger, job: &JobRow, now_ms: i64) -> Result<Look, LedgerError> {
        let steps = ledger.steps(job.id).await?;
        let (mut waiting, mut pace, mut shape) = (Vec::new(), None, Arc::default());
        if !job.state.is_final() {
            waiting = ledger.waiting(job.id, now_ms).await?;
            pace = ledger.pace(job.id, PACE_PAGES).await?;
            shape = self.shape(ledger, job.id).await?;
        }
        let estimate = estimate(&Facts { job, steps: &steps, waiting: &waiting, pace, shape: &shape, now_ms });
        Ok(Look { steps, waiting, estimate })
    }

    async fn shape(&self, ledger: &dyn Ledger, job: JobId) -> Result<Arc<Shape>, LedgerError> {
        if let Some(shape) = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(&job) {
            return Ok(Arc::clone(shape));
        }
        let shape = Arc::new(ledger.spec(job).await?.map(|row| Shape::of_spec(&row.spec)).unwrap_or_default());
        let mut shapes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if shapes.len() >= SHAPES_MAX {
            shapes.clear();
        }
        shapes.insert(job, Arc::clone(&shape));
        Ok(shape)
    }
}
