//! Stopping jobs: what has not gone out is given up, what is out comes back.

use std::collections::HashSet;

use sqlx::PgConnection;
use tidegate_contracts::JobId;
use uuid::Uuid;

use super::jobs::{Stop, Stops};
use super::{calls, fetches, jobs, steps};
use crate::LedgerError;
use crate::submit::overdue as overdue_reason;
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
    fetches::add(tx, &mut tally, Vec::new(), &HashSet::new(), now_ms).await?;
    steps::add(tx, &tally).await?;
    let stops = Stops::from([(job, Stop { state: "cancelled", reason: reason.to_owned() })]);
    jobs::add(tx, &tally, &stops, now_ms).await?;
    Ok(())
}

/// Stops jobs whose time is over, and gives up what is parked of them too: it might wait for longer. Returns those that
/// stop, and those of them that are done with that.
pub(super) async fn overdue(tx: &mut PgConnection, now_ms: i64) -> Result<(Vec<JobId>, Vec<JobId>), LedgerError> {
    let overdue = jobs::lock_overdue(tx, now_ms).await?;
    if overdue.is_empty() {
        return Ok((Vec::new(), Vec::new()));
    }
    let jobs: Vec<JobId> = overdue.iter().map(|(job, _)| *job).collect();
    let mut tally = Tally::default();
    for job in &jobs {
        tally.job(*job);
    }
    give_up_planned(tx, &jobs, &mut tally, now_ms).await?;
    for (job, parked) in calls::cancel_parked(tx, &jobs, now_ms).await? {
        tally.cancel_calls(job, parked);
    }
    fetches::add(tx, &mut tally, Vec::new(), &HashSet::new(), now_ms).await?;
    steps::add(tx, &tally).await?;
    let stop = |deadline_ms| Stop { state: "failed", reason: overdue_reason(deadline_ms) };
    let stops = overdue.into_iter().map(|(job, deadline_ms)| (job, stop(deadline_ms))).collect();
    let finished = jobs::add(tx, &tally, &stops, now_ms).await?;
    Ok((jobs, finished))
}

/// Cancels the planned calls of jobs, those of this very transaction too.
pub(super) async fn give_up_planned(
    tx: &mut PgConnection,
    jobs: &[JobId],
    tally: &mut Tally,
    now_ms: i64,
) -> Result<(), LedgerError> {
    if !jobs.is_empty() {
        for (job, given_up) in calls::cancel(tx, jobs, now_ms).await? {
            tally.cancel_calls(job, given_up);
        }
    }
    Ok(())
}
