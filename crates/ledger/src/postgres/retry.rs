//! Planning failed and cancelled calls again.

use std::collections::HashSet;

use sqlx::PgConnection;
use tidegate_contracts::{FetchId, JobId};
use uuid::Uuid;

use super::jobs::Stops;
use super::{fetches, jobs, steps};
use crate::tally::{NOT_BEGUN, Tally};
use crate::{LedgerError, RetryFilter};

/// Plans failed calls of a finished job again, and with them those that were cancelled; opens their fetches and the job.
/// Calls of fetches that could not begin stay as they are: they have no parameters to call anybody with.
pub(super) async fn retry_failed(
    tx: &mut PgConnection,
    job: JobId,
    which: &RetryFilter,
    now_ms: i64,
) -> Result<u64, LedgerError> {
    let id = Uuid::from(job);
    let found = sqlx::query_scalar!(
        "/* job_to_retry */ SELECT id FROM jobs WHERE id = $1 AND finished_at_ms IS NOT NULL AND pruned_at_ms IS NULL
        FOR NO KEY UPDATE",
        id,
    );
    if found.fetch_optional(&mut *tx).await?.is_none() {
        return Ok(0);
    }
    let failed = plan(tx, id, "failed", which).await?;
    if failed == 0 && !which.is_all() {
        return Ok(0);
    }
    let retried = failed + plan(tx, id, "cancelled", &RetryFilter::default()).await?;
    if retried == 0 {
        return Ok(0);
    }
    reopen_fetches(tx, id).await?;
    steps::recount(tx, id).await?;
    hold_again(tx, id).await?;
    reopen_job(tx, id, now_ms).await?;
    Ok(retried.saturating_sub(settle(tx, job, now_ms).await?))
}

async fn plan(tx: &mut PgConnection, job: Uuid, state: &str, which: &RetryFilter) -> Result<u64, LedgerError> {
    let planned = sqlx::query!(
        "/* retry_calls */
        UPDATE calls SET state = 'planned', again = true, attempt = 0, class = NULL, status = NULL, message = NULL,
            tolerated = false, ended_at_ms = NULL
        FROM fetches
        WHERE calls.job_id = $1 AND calls.state = $2 AND fetches.id = calls.fetch_id AND fetches.fetch_end IS DISTINCT FROM $3
            AND ($4::uuid IS NULL OR calls.fetch_id = $4) AND ($5::text IS NULL OR fetches.step = $5)
            AND ($6::text IS NULL OR calls.class = $6) AND ($7::integer IS NULL OR calls.status = $7)
            AND ($8::text IS NULL OR coalesce(calls.message, '') = $8)",
        job,
        state,
        NOT_BEGUN,
        which.fetch.map(Uuid::from) as _,
        which.step.as_ref() as _,
        which.class.as_ref() as _,
        which.status.map(i32::from) as _,
        which.message.as_ref() as _,
    );
    Ok(planned.execute(tx).await?.rows_affected())
}

/// Lets go what waits for nothing any more, and gives up again what waits for what can't be tried again. Returns how many
/// calls that were.
async fn settle(tx: &mut PgConnection, job: JobId, now_ms: i64) -> Result<u64, LedgerError> {
    let free = sqlx::query_scalar!(
        "/* free_fetches */
        SELECT id FROM fetches WHERE job_id = $1 AND blockers_open = 0 AND finished_at_ms IS NULL
            AND id IN (SELECT fetch_id FROM barriers WHERE job_id = $1)",
        Uuid::from(job),
    );
    let free = free.fetch_all(&mut *tx).await?.into_iter().map(FetchId::from).collect();
    let mut tally = Tally::default();
    fetches::add(tx, &mut tally, free, &HashSet::from([job]), now_ms).await?;
    steps::add(tx, &tally).await?;
    let given_up = tally.job(job).cancelled;
    jobs::add(tx, &tally, &Stops::new(), now_ms).await?;
    Ok(given_up.unsigned_abs())
}

/// Counters are made anew from the calls: this is rare, and a count is clearer than a difference.
async fn reopen_fetches(tx: &mut PgConnection, job: Uuid) -> Result<(), LedgerError> {
    let fetches = sqlx::query!(
        "/* recount_fetches */
        UPDATE fetches SET calls_open = tally.planned, calls_failed = tally.failed, calls_cancelled = 0, finished_at_ms = NULL
        FROM (SELECT fetch_id, count(*) FILTER (WHERE state = 'planned') AS planned,
                count(*) FILTER (WHERE state = 'failed') AS failed
            FROM calls WHERE job_id = $1 AND state IN ('planned', 'failed')
            GROUP BY fetch_id HAVING count(*) FILTER (WHERE state = 'planned') > 0) AS tally
        WHERE fetches.id = tally.fetch_id",
        job,
    );
    fetches.execute(&mut *tx).await?;
    // Ancestors of open fetches are open, and count the children that are.
    let children = sqlx::query!(
        "/* recount_children */
        WITH RECURSIVE opened (id, parent_id) AS (
            SELECT id, parent_id FROM fetches WHERE job_id = $1 AND calls_open > 0
            UNION SELECT above.id, above.parent_id FROM opened JOIN fetches AS above ON above.id = opened.parent_id)
        UPDATE fetches SET children_open = tally.children, finished_at_ms = NULL
        FROM (SELECT parent_id, count(*) AS children FROM opened WHERE parent_id IS NOT NULL GROUP BY parent_id) AS tally
        WHERE fetches.id = tally.parent_id",
        job,
    );
    children.execute(&mut *tx).await?;
    Ok(())
}

/// Recounts what spoils whom, and holds what waits. What failed stays in the account of the first open fetch above it.
async fn hold_again(tx: &mut PgConnection, job: Uuid) -> Result<(), LedgerError> {
    let spoiled = sqlx::query!(
        "/* recount_spoiled */
        WITH RECURSIVE troubled (id, parent_id, finished_at_ms, calls) AS (
            SELECT fetches.id, fetches.parent_id, fetches.finished_at_ms, failed.calls
            FROM (SELECT fetch_id, count(*) AS calls FROM calls
                WHERE job_id = $1 AND state = 'failed' AND NOT tolerated GROUP BY fetch_id) AS failed
                JOIN fetches ON fetches.id = failed.fetch_id
            UNION ALL SELECT above.id, above.parent_id, above.finished_at_ms, troubled.calls
            FROM troubled JOIN fetches AS above ON above.id = troubled.parent_id
            WHERE troubled.finished_at_ms IS NOT NULL),
        sums AS (SELECT id, sum(calls)::bigint AS calls FROM troubled GROUP BY id)
        UPDATE fetches SET spoiled = coalesce((SELECT sums.calls FROM sums WHERE sums.id = fetches.id), 0)
        WHERE job_id = $1 AND (spoiled > 0 OR id IN (SELECT id FROM sums))",
        job,
    );
    spoiled.execute(&mut *tx).await?;
    // A blocker that is not tried again holds nobody up, and who has no calls left is held up by none.
    let blockers = sqlx::query!(
        "/* recount_blockers */
        UPDATE fetches SET blockers_open = CASE WHEN calls_open > 0 THEN tally.blockers ELSE 0 END
        FROM (SELECT barriers.fetch_id, count(*) FILTER (WHERE above.finished_at_ms IS NULL) AS blockers
            FROM barriers JOIN fetches AS above ON above.id = barriers.blocker_id
            WHERE barriers.job_id = $1 GROUP BY barriers.fetch_id) AS tally
        WHERE fetches.id = tally.fetch_id AND fetches.finished_at_ms IS NULL",
        job,
    );
    blockers.execute(&mut *tx).await?;
    let held = sqlx::query!(
        "/* hold_again */
        UPDATE calls SET held = true
        WHERE job_id = $1 AND state = 'planned' AND fetch_id IN (SELECT fetch_id FROM barriers WHERE job_id = $1)",
        job,
    );
    held.execute(tx).await?;
    Ok(())
}

/// Tried again, it has its time and its calls anew.
async fn reopen_job(tx: &mut PgConnection, job: Uuid, now_ms: i64) -> Result<(), LedgerError> {
    let reopened = sqlx::query!(
        "/* reopen_job */
        UPDATE jobs SET state = 'running', stop = NULL, reason = NULL, finished_at_ms = NULL,
            deadline_at_ms = $2::bigint + deadline_ms, calls_left = max_calls,
            calls_open = planned.calls, calls_held = planned.held,
            calls_failed = tally.failed, calls_tolerated = tally.tolerated, calls_cancelled = 0,
            fetches_open = (SELECT count(*) FROM fetches WHERE job_id = $1 AND finished_at_ms IS NULL)
        FROM (SELECT count(*) AS failed, count(*) FILTER (WHERE tolerated) AS tolerated
                FROM calls WHERE job_id = $1 AND state = 'failed') AS tally,
            (SELECT count(*) AS calls, count(*) FILTER (WHERE held) AS held
                FROM calls WHERE job_id = $1 AND state = 'planned') AS planned
        WHERE id = $1",
        job,
        now_ms,
    );
    reopened.execute(tx).await?;
    Ok(())
}
