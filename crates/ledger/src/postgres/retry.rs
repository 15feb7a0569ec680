//! Planning failed and cancelled calls again.

use sqlx::PgConnection;
use tidegate_contracts::JobId;
use uuid::Uuid;

use crate::LedgerError;
use crate::tally::NOT_BEGUN;

/// Plans failed and cancelled calls of a finished job again, opens their fetches and the job. Calls of fetches that
/// could not begin stay as they are: they have no parameters to call anybody with.
pub(super) async fn retry_failed(tx: &mut PgConnection, job: JobId) -> Result<u64, LedgerError> {
    let id = Uuid::from(job);
    let found = sqlx::query_scalar!(
        "/* job_to_retry */ SELECT id FROM jobs WHERE id = $1 AND finished_at_ms IS NOT NULL FOR NO KEY UPDATE",
        id,
    );
    if found.fetch_optional(&mut *tx).await?.is_none() {
        return Ok(0);
    }
    let retried = sqlx::query!(
        "/* retry_calls */
        UPDATE calls SET state = 'planned', again = true, attempt = 0, class = NULL, status = NULL, message = NULL,
            tolerated = false, ended_at_ms = NULL
        WHERE job_id = $1 AND state IN ('failed', 'cancelled')
            AND NOT EXISTS (SELECT 1 FROM fetches WHERE id = calls.fetch_id AND fetch_end = $2)",
        id,
        NOT_BEGUN,
    );
    let retried = retried.execute(&mut *tx).await?.rows_affected();
    if retried > 0 {
        reopen(tx, id).await?;
    }
    Ok(retried)
}

/// Counters are made anew from the calls: this is rare, and a count is clearer than a difference.
async fn reopen(tx: &mut PgConnection, job: Uuid) -> Result<(), LedgerError> {
    let fetches = sqlx::query!(
        "/* recount_fetches */
        UPDATE fetches SET calls_open = tally.planned, calls_failed = 0, calls_cancelled = 0, finished_at_ms = NULL
        FROM (SELECT fetch_id, count(*) AS planned FROM calls WHERE job_id = $1 AND state = 'planned' GROUP BY fetch_id)
            AS tally
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
    let reopened = sqlx::query!(
        "/* reopen_job */
        UPDATE jobs SET state = 'running', stop = NULL, reason = NULL, finished_at_ms = NULL,
            calls_open = (SELECT count(*) FROM calls WHERE job_id = $1 AND state = 'planned'),
            calls_failed = tally.failed, calls_tolerated = tally.tolerated, calls_cancelled = 0,
            fetches_open = (SELECT count(*) FROM fetches WHERE job_id = $1 AND finished_at_ms IS NULL)
        FROM (SELECT count(*) AS failed, count(*) FILTER (WHERE tolerated) AS tolerated
            FROM calls WHERE job_id = $1 AND state = 'failed') AS tally
        WHERE id = $1",
        job,
    );
    reopened.execute(&mut *tx).await?;
    Ok(())
}
