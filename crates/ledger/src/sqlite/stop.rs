//! Stopping jobs: what has not gone out is given up, what is out comes back.

use sqlx::SqliteConnection;
use tidegate_contracts::JobId;

use super::{calls, fetches, jobs};
use crate::LedgerError;
use crate::tally::Tally;

pub(super) async fn cancel(
    tx: &mut SqliteConnection,
    job: JobId,
    reason: &str,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let sql = "/* job_to_cancel */
        SELECT 1 FROM jobs WHERE id = ?1 AND state IN ('submitted', 'running') AND stop IS NULL";
    if sqlx::query(sql).bind(&job.as_bytes()[..]).fetch_optional(&mut *tx).await?.is_none() {
        return Ok(());
    }
    jobs::stop(tx, job, "cancelled", reason).await?;
    let mut tally = Tally::default();
    tally.job(job);
    give_up_planned(tx, job, &mut tally, now_ms).await?;
    fetches::add(tx, &mut tally, now_ms).await?;
    jobs::add(tx, &tally, now_ms).await?;
    Ok(())
}

/// Cancels the planned calls of a job, those of this very transaction too.
pub(super) async fn give_up_planned(
    tx: &mut SqliteConnection,
    job: JobId,
    tally: &mut Tally,
    now_ms: i64,
) -> Result<(), LedgerError> {
    for (fetch, cancelled) in calls::cancel(tx, job, now_ms).await? {
        tally.cancel_calls(job, fetch, cancelled);
    }
    Ok(())
}
