//! Planning failed and cancelled calls again.

use std::collections::HashSet;

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};
use tidegate_contracts::JobId;

use super::rows::fetch_id;
use super::{fetches, jobs, steps};
use crate::tally::{NOT_BEGUN, Tally};
use crate::{LedgerError, RetryFilter};

/// Plans failed calls of a finished job again, and with them those that were cancelled; opens their fetches and the job.
/// Calls of fetches that could not begin stay as they are: they have no parameters to call anybody with.
pub(super) async fn retry_failed(
    tx: &mut SqliteConnection,
    job: JobId,
    which: &RetryFilter,
    now_ms: i64,
) -> Result<u64, LedgerError> {
    let failed = plan(tx, job, "failed", which).await?;
    if failed == 0 && !which.is_all() {
        return Ok(0);
    }
    let retried = failed + plan(tx, job, "cancelled", &RetryFilter::default()).await?;
    if retried == 0 {
        return Ok(0);
    }
    for sql in REOPEN {
        sqlx::query(sql).bind(&job.as_bytes()[..]).execute(&mut *tx).await?;
    }
    steps::recount(tx, job).await?;
    sqlx::query(REOPEN_JOB).bind(&job.as_bytes()[..]).bind(now_ms).execute(&mut *tx).await?;
    Ok(retried.saturating_sub(settle(tx, job, now_ms).await?))
}

async fn plan(tx: &mut SqliteConnection, job: JobId, state: &str, which: &RetryFilter) -> Result<u64, LedgerError> {
    let id = &job.as_bytes()[..];
    let mut sql = QueryBuilder::<Sqlite>::new(
        "/* retry_calls */
        UPDATE calls SET state = 'planned', again = 1, attempt = 0, class = NULL, status = NULL, message = NULL,
            tolerated = 0, ended_at_ms = NULL
        WHERE job_id = ",
    );
    sql.push_bind(id).push(" AND state = ").push_bind(state);
    sql.push(" AND EXISTS (SELECT 1 FROM jobs WHERE id = ").push_bind(id);
    sql.push(" AND finished_at_ms IS NOT NULL AND pruned_at_ms IS NULL)");
    sql.push(" AND NOT EXISTS (SELECT 1 FROM fetches WHERE id = calls.fetch_id AND fetch_end = ");
    sql.push_bind(NOT_BEGUN).push(")");
    if let Some(fetch) = &which.fetch {
        sql.push(" AND fetch_id = ").push_bind(&fetch.as_bytes()[..]);
    }
    if let Some(step) = &which.step {
        sql.push(" AND fetch_id IN (SELECT id FROM fetches WHERE job_id = ").push_bind(id);
        sql.push(" AND step = ").push_bind(step).push(")");
    }
    if let Some(class) = &which.class {
        sql.push(" AND class = ").push_bind(class);
    }
    if let Some(status) = which.status {
        sql.push(" AND status = ").push_bind(status);
    }
    if let Some(message) = &which.message {
        sql.push(" AND coalesce(message, '') = ").push_bind(message);
    }
    Ok(sql.build().execute(tx).await?.rows_affected())
}

/// Lets go what waits for nothing any more, and gives up again what waits for what can't be tried again. Returns how many
/// calls that were.
async fn settle(tx: &mut SqliteConnection, job: JobId, now_ms: i64) -> Result<u64, LedgerError> {
    let sql = "/* free_fetches */
        SELECT id FROM fetches WHERE job_id = ?1 AND blockers_open = 0 AND finished_at_ms IS NULL
            AND id IN (SELECT fetch_id FROM barriers WHERE job_id = ?1)";
    let rows = sqlx::query(sql).bind(&job.as_bytes()[..]).fetch_all(&mut *tx).await?;
    let free = rows.iter().map(|row| fetch_id(row, "id")).collect::<Result<Vec<_>, _>>()?;
    let mut tally = Tally::default();
    fetches::add(tx, &mut tally, free, &HashSet::from([job]), now_ms).await?;
    steps::add(tx, &tally).await?;
    let given_up = tally.job(job).cancelled;
    jobs::add(tx, &tally, now_ms).await?;
    Ok(given_up.unsigned_abs())
}

/// Counters are made anew from the calls: this is rare, and a count is clearer than a difference.
const REOPEN: [&str; 5] = [
    "/* recount_fetches */
     UPDATE fetches SET calls_open = tally.planned, calls_failed = tally.failed, calls_cancelled = 0, finished_at_ms = NULL
     FROM (SELECT fetch_id, count(*) FILTER (WHERE state = 'planned') AS planned, count(*) FILTER (WHERE state = 'failed') AS failed
        FROM calls WHERE job_id = ?1 AND state IN ('planned', 'failed')
        GROUP BY fetch_id HAVING count(*) FILTER (WHERE state = 'planned') > 0) AS tally
     WHERE fetches.id = tally.fetch_id",
    // Ancestors of open fetches are open, and count the children that are.
    "/* recount_children */
     WITH RECURSIVE opened (id, parent_id) AS (
        SELECT id, parent_id FROM fetches WHERE job_id = ?1 AND calls_open > 0
        UNION SELECT above.id, above.parent_id FROM opened JOIN fetches AS above ON above.id = opened.parent_id)
     UPDATE fetches SET children_open = tally.children, finished_at_ms = NULL
     FROM (SELECT parent_id, count(*) AS children FROM opened WHERE parent_id IS NOT NULL GROUP BY parent_id) AS tally
     WHERE fetches.id = tally.parent_id",
    // What failed stays in the account of the first open fetch above it.
    "/* recount_spoiled */
     WITH RECURSIVE troubled (id, parent_id, finished_at_ms, calls) AS (
        SELECT fetches.id, fetches.parent_id, fetches.finished_at_ms, failed.calls
        FROM (SELECT fetch_id, count(*) AS calls FROM calls
            WHERE job_id = ?1 AND state = 'failed' AND tolerated = 0 GROUP BY fetch_id) AS failed
            JOIN fetches ON fetches.id = failed.fetch_id
        UNION ALL SELECT above.id, above.parent_id, above.finished_at_ms, troubled.calls
        FROM troubled JOIN fetches AS above ON above.id = troubled.parent_id WHERE troubled.finished_at_ms IS NOT NULL)
     UPDATE fetches SET spoiled = coalesce((SELECT sum(calls) FROM troubled WHERE troubled.id = fetches.id), 0)
     WHERE job_id = ?1 AND (spoiled > 0 OR id IN (SELECT id FROM troubled))",
    // A blocker that is not tried again holds nobody up, and who has no calls left is held up by none.
    "/* recount_blockers */
     UPDATE fetches SET blockers_open = iif(calls_open > 0, tally.blockers, 0)
     FROM (SELECT barriers.fetch_id, count(*) FILTER (WHERE above.finished_at_ms IS NULL) AS blockers
        FROM barriers JOIN fetches AS above ON above.id = barriers.blocker_id
        WHERE barriers.job_id = ?1 GROUP BY barriers.fetch_id) AS tally
     WHERE fetches.id = tally.fetch_id AND fetches.finished_at_ms IS NULL",
    "/* hold_again */
     UPDATE calls SET held = 1
     WHERE job_id = ?1 AND state = 'planned' AND fetch_id IN (SELECT fetch_id FROM barriers WHERE job_id = ?1)",
];

/// Tried again, it has its time and its calls anew.
const REOPEN_JOB: &str = "/* reopen_job */
     UPDATE jobs SET state = 'running', stop = NULL, reason = NULL, finished_at_ms = NULL,
        deadline_at_ms = ?2 + deadline_ms, calls_left = max_calls,
        calls_open = tally.planned, calls_held = tally.held, calls_failed = tally.failed,
        calls_tolerated = tally.tolerated, calls_cancelled = 0,
        fetches_open = (SELECT count(*) FROM fetches WHERE job_id = ?1 AND finished_at_ms IS NULL)
     FROM (SELECT count(*) FILTER (WHERE state = 'planned') AS planned, coalesce(sum(held), 0) AS held, count(*) FILTER (WHERE state = 'failed') AS failed,
            count(*) FILTER (WHERE tolerated) AS tolerated FROM calls WHERE job_id = ?1) AS tally
     WHERE id = ?1";
