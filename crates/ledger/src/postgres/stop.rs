//! Stopping jobs: what has not gone out is given up, what is out comes back.

use sqlx::PgConnection;
use tidegate_contracts::JobId;
use uuid::Uuid;

use super::jobs::{Stop, Stops};
use super::{calls, fetches, jobs};
use crate::LedgerError;
use crate::tally::Tally;

pub(super) async fn cancel(tx: &mut PgConnection, job: JobId, reason: &str, now_ms: i64) -> Result<(), LedgerError> {
    let found = sqlx::query_scalar!(
        "/* job_to_cancel */
        SELECT id FROM jobs WHERE id = $1 AND state IN ('submitted', 'running') AND stop IS NULL FOR NO KEY UPDATE",
        Uuid::from(job),
    );
    if found.fetch_optional(&mut *tx).await?.is_none() {
        return Ok(());
    }
    let mut tally = Tally::default();
    tally.job(job);
    give_up_planned(tx, &[job], &mut tally, now_ms).await?;
    fetches::add(tx, &mut tally, now_ms).await?;
    let stops = Stops::from([(job, Stop { state: "cancelled", reason: reason.to_owned() })]);
    jobs::add(tx, &tally, &stops, now_ms).await?;
    Ok(())
}

/// Cancels the planned calls of jobs, those of this very transaction too.
pub(super) async fn give_up_planned(
    tx: &mut PgConnection,
    jobs: &[JobId],
    tally: &mut Tally,
    now_ms: i64,
) -> Result<(), LedgerError> {
    if !jobs.is_empty() {
        for (job, fetch, cancelled) in calls::cancel(tx, jobs, now_ms).await? {
            tally.cancel_calls(job, fetch, cancelled);
        }
    }
    Ok(())
}
