//! Stopping jobs: what has not gone out is given up, what is out comes back.

use std::collections::HashSet;

use sqlx::SqliteConnection;
use tidegate_contracts::JobId;

use super::{calls, fetches, jobs, steps};
use crate::LedgerError;
use crate::submit::overdue as overdue_reason;
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
    fetches::add(tx, &mut tally, Vec::new(), &HashSet::new(), now_ms).await?;
    steps::add(tx, &tally).await?;
    jobs::add(tx, &tally, now_ms).await?;
    Ok(())
}

/// Stops jobs whose time is over, and gives up what is parked of them too: it might wait for longer. Returns those that
/// stop, and those of them that are done with that.
pub(super) async fn overdue(tx: &mut SqliteConnection, now_ms: i64) -> Result<(Vec<JobId>, Vec<JobId>), LedgerError> {
    let jobs = jobs::overdue(tx, now_ms).await?;
    let mut tally = Tally::default();
    for (job, deadline_ms) in &jobs {
        jobs::stop(tx, *job, "failed", &overdue_reason(*deadline_ms)).await?;
        tally.job(*job);
        give_up_planned(tx, *job, &mut tally, now_ms).await?;
        for parked in calls::cancel_parked(tx, *job, now_ms).await? {
            tally.cancel_calls(*job, parked);
        }
    }
    fetches::add(tx, &mut tally, Vec::new(), &HashSet::new(), now_ms).await?;
    steps::add(tx, &tally).await?;
    let finished = jobs::add(tx, &tally, now_ms).await?;
    Ok((jobs.into_iter().map(|(job, _)| job).collect(), finished))
}

/// Cancels the planned calls of a job, those of this very transaction too.
pub(super) async fn give_up_planned(
    tx: &mut SqliteConnection,
    job: JobId,
    tally: &mut Tally,
    now_ms: i64,
) -> Result<(), LedgerError> {
    for given_up in calls::cancel(tx, job, now_ms).await? {
        tally.cancel_calls(job, given_up);
    }
    Ok(())
}
