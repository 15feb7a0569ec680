//! Deleting what finished long ago.

use sqlx::PgConnection;
use tidegate_contracts::JobId;
use uuid::Uuid;

use super::rows::count;
use crate::{LedgerError, Prunable, PruneFilter, PrunePart, PrunedRows};

/// Calls of a block of the table, roughly; more of them are read than deleted, since others' are among them.
const CALLS_OF_BLOCK: u32 = 10;

pub(super) async fn prunable(
    connection: &mut PgConnection,
    filter: &PruneFilter,
) -> Result<Vec<Prunable>, LedgerError> {
    let rows = sqlx::query!(
        r#"/* prunable_jobs */
        SELECT id, name, finished_at_ms AS "finished_at_ms!", calls_planned, items FROM jobs
        WHERE finished_at_ms < $1
            AND (NOT $2 OR pruned_at_ms IS NULL OR EXISTS (SELECT 1 FROM fetches WHERE fetches.job_id = jobs.id))
        ORDER BY finished_at_ms, seq LIMIT $3"#,
        filter.finished_before_ms,
        filter.keep_jobs,
        i64::from(filter.limit),
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        Ok(Prunable {
            id: row.id.into(),
            name: row.name,
            finished_at_ms: row.finished_at_ms,
            calls: count(row.calls_planned, "calls_planned")?,
            items: count(row.items, "items")?,
        })
    });
    rows.collect()
}

pub(super) async fn mark(
    connection: &mut PgConnection,
    jobs: &[JobId],
    now_ms: i64,
) -> Result<Vec<JobId>, LedgerError> {
    let marked = sqlx::query_scalar!(
        "/* mark_pruned */
        UPDATE jobs SET pruned_at_ms = coalesce(pruned_at_ms, $2)
        WHERE id = ANY($1) AND finished_at_ms IS NOT NULL RETURNING id",
        &ids(jobs),
        now_ms,
    );
    Ok(marked.fetch_all(connection).await?.into_iter().map(JobId::from).collect())
}

pub(super) async fn rows(
    tx: &mut PgConnection,
    jobs: &[JobId],
    part: PrunePart,
    rows: u32,
) -> Result<PrunedRows, LedgerError> {
    let (ids, most) = (ids(jobs), i64::from(rows));
    let deleted = match part {
        PrunePart::Pages => {
            let sql = sqlx::query!(
                "/* prune_pages */
                DELETE FROM pages WHERE call_seq = ANY(ARRAY(
                    SELECT pages.call_seq FROM jobs CROSS JOIN LATERAL (
                        SELECT call_seq FROM pages WHERE pages.job_id = jobs.id ORDER BY seq LIMIT $2) AS pages
                    WHERE jobs.id = ANY($1) AND jobs.pruned_at_ms IS NOT NULL LIMIT $2))",
                &ids,
                most,
            );
            sql.execute(tx).await?
        }
        PrunePart::Calls { from } => return calls(tx, &ids, from, rows.div_ceil(CALLS_OF_BLOCK)).await,
        PrunePart::Fetches if barriers(tx, &ids, most).await? > 0 => return Ok(PrunedRows { rows: 0, next: Some(0) }),
        PrunePart::Fetches => {
            let sql = sqlx::query!(
                "/* prune_fetches */
                DELETE FROM fetches WHERE seq = ANY(ARRAY(
                    SELECT fetches.seq FROM jobs JOIN fetches ON fetches.job_id = jobs.id
                    WHERE jobs.id = ANY($1) AND jobs.pruned_at_ms IS NOT NULL LIMIT $2))",
                &ids,
                most,
            );
            sql.execute(tx).await?
        }
        PrunePart::Jobs => {
            let sql = sqlx::query!(
                "/* prune_jobs */
                DELETE FROM jobs WHERE seq = ANY(ARRAY(
                    SELECT seq FROM jobs WHERE id = ANY($1) AND pruned_at_ms IS NOT NULL LIMIT $2))",
                &ids,
                most,
            );
            sql.execute(tx).await?
        }
    };
    let rows = deleted.rows_affected();
    Ok(PrunedRows { rows, next: (rows > 0).then_some(0) })
}

/// What waited for what goes before the fetches.
async fn barriers(tx: &mut PgConnection, jobs: &[Uuid], most: i64) -> Result<u64, LedgerError> {
    let deleted = sqlx::query!(
        "/* prune_barriers */
        DELETE FROM barriers WHERE ctid = ANY(ARRAY(
            SELECT barriers.ctid FROM jobs JOIN barriers ON barriers.job_id = jobs.id
            WHERE jobs.id = ANY($1) AND jobs.pruned_at_ms IS NOT NULL LIMIT $2))",
        jobs,
        most,
    );
    Ok(deleted.execute(tx).await?.rows_affected())
}

/// No index finds all calls of a job, which would cost each call: they are looked for in the order of the table, by blocks.
async fn calls(tx: &mut PgConnection, jobs: &[Uuid], from: i64, blocks: u32) -> Result<PrunedRows, LedgerError> {
    let size = sqlx::query_scalar!(
        r#"/* blocks_of_calls */ SELECT pg_relation_size('calls') / current_setting('block_size')::bigint AS "blocks!""#
    );
    let size = size.fetch_one(&mut *tx).await?;
    let until = from.saturating_add(i64::from(blocks.max(1)));
    let deleted = sqlx::query!(
        "/* prune_calls */
        DELETE FROM calls WHERE ctid >= $2::text::tid AND ctid < $3::text::tid AND job_id = ANY(ARRAY(
            SELECT id FROM jobs WHERE id = ANY($1) AND pruned_at_ms IS NOT NULL))",
        jobs,
        format!("({from},0)"),
        format!("({until},0)"),
    );
    let rows = deleted.execute(tx).await?.rows_affected();
    Ok(PrunedRows { rows, next: (until < size).then_some(until) })
}

fn ids(jobs: &[JobId]) -> Vec<Uuid> {
    jobs.iter().copied().map(Uuid::from).collect()
}
