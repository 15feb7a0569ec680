//! Planning failed and cancelled calls again.

use sqlx::SqliteConnection;
use tidegate_contracts::JobId;

use crate::LedgerError;
use crate::tally::NOT_BEGUN;

/// Plans failed and cancelled calls of a finished job again, opens their fetches and the job. Calls of fetches that
/// could not begin stay as they are: they have no parameters to call anybody with.
pub(super) async fn retry_failed(tx: &mut SqliteConnection, job: JobId) -> Result<u64, LedgerError> {
    let sql = "/* retry_calls */
        UPDATE calls SET state = 'planned', again = 1, attempt = 0, class = NULL, status = NULL, message = NULL,
            tolerated = 0, ended_at_ms = NULL
        WHERE job_id = ?1 AND state IN ('failed', 'cancelled')
            AND EXISTS (SELECT 1 FROM jobs WHERE id = ?1 AND finished_at_ms IS NOT NULL)
            AND NOT EXISTS (SELECT 1 FROM fetches WHERE id = calls.fetch_id AND fetch_end = ?2)";
    let retried = sqlx::query(sql).bind(&job.as_bytes()[..]).bind(NOT_BEGUN).execute(&mut *tx).await?.rows_affected();
    if retried > 0 {
        for sql in REOPEN {
            sqlx::query(sql).bind(&job.as_bytes()[..]).execute(&mut *tx).await?;
        }
    }
    Ok(retried)
}

/// Counters are made anew from the calls: this is rare, and a count is clearer than a difference.
const REOPEN: [&str; 3] = [
    "/* recount_fetches */
     UPDATE fetches SET calls_open = tally.planned, calls_failed = 0, calls_cancelled = 0, finished_at_ms = NULL
     FROM (SELECT fetch_id, count(*) AS planned FROM calls WHERE job_id = ?1 AND state = 'planned' GROUP BY fetch_id) AS tally
     WHERE fetches.id = tally.fetch_id",
    // Ancestors of open fetches are open, and count the children that are.
    "/* recount_children */
     WITH RECURSIVE opened (id, parent_id) AS (
        SELECT id, parent_id FROM fetches WHERE job_id = ?1 AND calls_open > 0
        UNION SELECT above.id, above.parent_id FROM opened JOIN fetches AS above ON above.id = opened.parent_id)
     UPDATE fetches SET children_open = tally.children, finished_at_ms = NULL
     FROM (SELECT parent_id, count(*) AS children FROM opened WHERE parent_id IS NOT NULL GROUP BY parent_id) AS tally
     WHERE fetches.id = tally.parent_id",
    "/* reopen_job */
     UPDATE jobs SET state = 'running', stop = NULL, reason = NULL, finished_at_ms = NULL,
        calls_open = tally.planned, calls_failed = tally.failed, calls_tolerated = tally.tolerated, calls_cancelled = 0,
        fetches_open = (SELECT count(*) FROM fetches WHERE job_id = ?1 AND finished_at_ms IS NULL)
     FROM (SELECT count(*) FILTER (WHERE state = 'planned') AS planned, count(*) FILTER (WHERE state = 'failed') AS failed,
            count(*) FILTER (WHERE tolerated) AS tolerated FROM calls WHERE job_id = ?1) AS tally
     WHERE id = ?1",
];
