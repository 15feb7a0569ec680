//! Deleting what finished long ago.

use serde_json::json;
use sqlx::{Row, SqliteConnection};
use tidegate_contracts::JobId;

use super::rows::{count, job_id};
use crate::{LedgerError, Prunable, PruneFilter, PrunePart, PrunedRows};

/// Calls that are read for each that may be deleted: most of the table may be of other jobs.
const READ_FOR_ONE: i64 = 5;

pub(super) async fn prunable(
    connection: &mut SqliteConnection,
    filter: &PruneFilter,
) -> Result<Vec<Prunable>, LedgerError> {
    let sql = "/* prunable_jobs */
        SELECT id, name, finished_at_ms, calls_planned, items FROM jobs
        WHERE finished_at_ms < ?1
            AND (NOT ?2 OR pruned_at_ms IS NULL OR EXISTS (SELECT 1 FROM fetches WHERE fetches.job_id = jobs.id))
        ORDER BY finished_at_ms, seq LIMIT ?3";
    let rows = sqlx::query(sql).bind(filter.finished_before_ms).bind(filter.keep_jobs).bind(filter.limit);
    let rows = rows.fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            Ok(Prunable {
                id: job_id(row, "id")?,
                name: row.try_get("name")?,
                finished_at_ms: row.try_get("finished_at_ms")?,
                calls: count(row, "calls_planned")?,
                items: count(row, "items")?,
            })
        })
        .collect()
}

pub(super) async fn mark(tx: &mut SqliteConnection, jobs: &[JobId], now_ms: i64) -> Result<Vec<JobId>, LedgerError> {
    let sql = "/* mark_pruned */
        UPDATE jobs SET pruned_at_ms = coalesce(pruned_at_ms, ?2)
        WHERE id IN (SELECT unhex(value) FROM json_each(?1)) AND finished_at_ms IS NOT NULL RETURNING id";
    let rows = sqlx::query(sql).bind(ids(jobs)).bind(now_ms).fetch_all(tx).await?;
    rows.iter().map(|row| job_id(row, "id")).collect()
}

pub(super) async fn rows(
    tx: &mut SqliteConnection,
    jobs: &[JobId],
    part: PrunePart,
    rows: u32,
) -> Result<PrunedRows, LedgerError> {
    let sql = match part {
        PrunePart::Pages => {
            "/* prune_pages */
            DELETE FROM pages WHERE seq IN (SELECT pages.seq FROM json_each(?1)
                CROSS JOIN jobs ON jobs.id = unhex(value) AND jobs.pruned_at_ms IS NOT NULL
                CROSS JOIN pages ON pages.job_seq = jobs.seq LIMIT ?2)"
        }
        PrunePart::Calls { from } => return calls(tx, jobs, from, i64::from(rows) * READ_FOR_ONE).await,
        PrunePart::Fetches if barriers(tx, jobs, rows).await? > 0 => return Ok(PrunedRows { rows: 0, next: Some(0) }),
        PrunePart::Fetches => {
            "/* prune_fetches */
            DELETE FROM fetches WHERE seq IN (SELECT fetches.seq FROM json_each(?1)
                CROSS JOIN jobs ON jobs.id = unhex(value) AND jobs.pruned_at_ms IS NOT NULL
                CROSS JOIN fetches ON fetches.job_id = jobs.id LIMIT ?2)"
        }
        // One at a time: each looks through the table of calls for what may refer to it.
        PrunePart::Jobs => {
            "/* prune_job */
            DELETE FROM jobs WHERE seq IN (SELECT jobs.seq FROM json_each(?1)
                CROSS JOIN jobs ON jobs.id = unhex(value) AND jobs.pruned_at_ms IS NOT NULL LIMIT min(?2, 1))"
        }
    };
    let deleted = sqlx::query(sql).bind(ids(jobs)).bind(rows).execute(tx).await?.rows_affected();
    Ok(PrunedRows { rows: deleted, next: (deleted > 0).then_some(0) })
}

/// What waited for what goes before the fetches.
async fn barriers(tx: &mut SqliteConnection, jobs: &[JobId], rows: u32) -> Result<u64, LedgerError> {
    let sql = "/* prune_barriers */
        DELETE FROM barriers WHERE (fetch_id, blocker_id) IN (SELECT barriers.fetch_id, barriers.blocker_id FROM json_each(?1)
            CROSS JOIN jobs ON jobs.id = unhex(value) AND jobs.pruned_at_ms IS NOT NULL
            CROSS JOIN barriers ON barriers.job_id = jobs.id LIMIT ?2)";
    Ok(sqlx::query(sql).bind(ids(jobs)).bind(rows).execute(tx).await?.rows_affected())
}

/// No index finds all calls of a job, which would cost each call: they are looked for in the order of the table.
async fn calls(tx: &mut SqliteConnection, jobs: &[JobId], from: i64, read: i64) -> Result<PrunedRows, LedgerError> {
    let sql = "/* prune_calls */
        DELETE FROM calls WHERE seq > ?2 AND seq <= ?3 AND job_id IN (
            SELECT jobs.id FROM json_each(?1) CROSS JOIN jobs ON jobs.id = unhex(value) AND jobs.pruned_at_ms IS NOT NULL)";
    let last: Option<i64> =
        sqlx::query_scalar("/* last_call */ SELECT max(seq) FROM calls").fetch_one(&mut *tx).await?;
    let until = from.saturating_add(read);
    let deleted = sqlx::query(sql).bind(ids(jobs)).bind(from).bind(until).execute(tx).await?.rows_affected();
    Ok(PrunedRows { rows: deleted, next: last.is_some_and(|last| until < last).then_some(until) })
}

fn ids(jobs: &[JobId]) -> String {
    json!(jobs.iter().map(JobId::hex).collect::<Vec<_>>()).to_string()
}
