//! Retention: deleting pages and trees of jobs that finished long ago, in small transactions.
//!
//! A job is marked first (`pruned_at_ms`), so that nobody is shown half of a tree; then its pages go, its calls, its
//! fetches, and at last, unless it is kept, the job itself with its idempotency key. Whoever is interrupted goes on with the
//! next run. Jobs that are not finished are never touched.

use std::time::Duration;

use serde::Serialize;
use tidegate_contracts::JobId;

use crate::{Ledger, LedgerError};

/// Rows that one transaction deletes, unless somebody says otherwise.
pub const PRUNE_ROWS: u32 = 2_000;
/// Jobs that are pruned together: the table of calls is read once for them.
const JOBS_AT_ONCE: u32 = 500;

/// Which jobs to prune.
#[derive(Debug, Clone, Copy)]
pub struct PruneFilter {
    /// Those that finished before then, Unix ms.
    pub finished_before_ms: i64,
    /// Only their pages and trees: the jobs stay, with their counters and idempotency keys. Those without a tree are left
    /// out then.
    pub keep_jobs: bool,
    /// At most so many.
    pub limit: u32,
}

/// A job to prune.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Prunable {
    /// Its id.
    pub id: JobId,
    /// For people.
    pub name: String,
    /// Unix ms.
    pub finished_at_ms: i64,
    /// Calls of its tree.
    pub calls: u64,
    /// Items on its pages.
    pub items: u64,
}

/// What is deleted next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrunePart {
    /// Pages with their items.
    Pages,
    /// Calls, found by reading their table from this place on.
    Calls {
        /// As [`PrunedRows::next`] told; 0 at the beginning.
        from: i64,
    },
    /// Fetches.
    Fetches,
    /// The jobs.
    Jobs,
}

/// What one transaction deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PrunedRows {
    /// How many rows.
    pub rows: u64,
    /// Where to go on, if there may be more.
    pub next: Option<i64>,
}

/// What a run deleted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pruned {
    /// Jobs whose tree is gone.
    pub jobs: u64,
    /// Pages.
    pub pages: u64,
    /// Calls.
    pub calls: u64,
    /// Fetches.
    pub fetches: u64,
}

/// Prunes all jobs of the filter, at most about `rows` rows in a transaction, with a pause after each. Idempotent.
///
/// # Errors
/// What the ledger says; what was deleted by then stays so, and the next run goes on.
pub async fn prune(
    ledger: &dyn Ledger,
    filter: &PruneFilter,
    rows: u32,
    pause: Duration,
    now_ms: i64,
) -> Result<Pruned, LedgerError> {
    let mut pruned = Pruned::default();
    let mut left = filter.limit;
    while left > 0 {
        let group = PruneFilter { limit: left.min(JOBS_AT_ONCE), ..*filter };
        let jobs: Vec<JobId> = ledger.prunable(&group).await?.into_iter().map(|job| job.id).collect();
        let jobs = ledger.prune_mark(&jobs, now_ms).await?;
        if jobs.is_empty() {
            break;
        }
        left = left.saturating_sub(u32::try_from(jobs.len()).unwrap_or(u32::MAX));
        pruned.jobs += jobs.len() as u64;
        pruned.pages += delete(ledger, &jobs, PrunePart::Pages, rows, pause).await?;
        pruned.calls += delete(ledger, &jobs, PrunePart::Calls { from: 0 }, rows, pause).await?;
        pruned.fetches += delete(ledger, &jobs, PrunePart::Fetches, rows, pause).await?;
        if !filter.keep_jobs {
            delete(ledger, &jobs, PrunePart::Jobs, rows, pause).await?;
        }
    }
    Ok(pruned)
}

async fn delete(
    ledger: &dyn Ledger,
    jobs: &[JobId],
    mut part: PrunePart,
    rows: u32,
    pause: Duration,
) -> Result<u64, LedgerError> {
    let mut deleted = 0;
    loop {
        let batch = ledger.prune_rows(jobs, part, rows).await?;
        deleted += batch.rows;
        let Some(next) = batch.next else { return Ok(deleted) };
        if let PrunePart::Calls { from } = &mut part {
            *from = next;
        }
        tokio::time::sleep(pause).await;
    }
}
