//! Statements about marks.

use sqlx::PgConnection;
use tidegate_contracts::JobId;
use uuid::Uuid;

use super::rows::mark;
use crate::{LedgerError, MarkFilter, MarkRow};

/// Moves the marks of what these finished jobs have read whole, always in the same order: jobs of one name may finish at
/// once. A list that ends with a next page that is not there was cut; one whose pages are counted ended.
pub(super) async fn advance(tx: &mut PgConnection, finished: &[JobId], now_ms: i64) -> Result<(), LedgerError> {
    if finished.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = finished.iter().map(|job| (*job).into()).collect();
    let moved = sqlx::query!(
        r#"/* move_marks */
        WITH RECURSIVE spoiled (id, parent_id) AS (
            SELECT fetches.id, fetches.parent_id FROM calls JOIN fetches ON fetches.id = calls.fetch_id
            WHERE calls.job_id = ANY($1) AND calls.state IN ('failed', 'cancelled')
                AND (calls.state = 'cancelled' OR NOT calls.tolerated)
            UNION SELECT above.id, above.parent_id FROM spoiled JOIN fetches AS above ON above.id = spoiled.parent_id),
        cut (id) AS (
            SELECT calls.fetch_id FROM calls
            WHERE calls.job_id = ANY($1) AND calls.state = 'skipped' AND calls.class IN ('not_found', 'gone')
                AND (calls.pointer LIKE '%"at":"cursor"%' OR calls.pointer LIKE '%"at":"url"%')),
        whole AS (
            SELECT jobs.tenant, jobs.name, jobs.id AS job_id, fetches.mark_id, fetches.step, fetches.params,
                (SELECT top FROM pages WHERE fetch_seq = fetches.seq AND top IS NOT NULL ORDER BY top DESC LIMIT 1) AS high,
                (SELECT top FROM pages WHERE fetch_seq = fetches.seq AND top IS NOT NULL ORDER BY top LIMIT 1) AS low
            FROM jobs JOIN fetches ON fetches.job_id = jobs.id AND fetches.mark_id IS NOT NULL
            WHERE jobs.id = ANY($1) AND fetches.calls_failed = 0 AND fetches.calls_cancelled = 0
                AND coalesce(fetches.fetch_end, '') NOT IN
                    ('repeated_pointer', 'repeated_page', 'page_cap', 'tiny_pages', 'depth_cap')
                AND (fetches.calls_skipped = 0 OR fetches.id NOT IN (SELECT id FROM cut))
                AND fetches.id NOT IN (SELECT id FROM spoiled))
        INSERT INTO marks (tenant, job_name, id, step, params, value, job_id, moved_at_ms)
        SELECT DISTINCT ON (tenant, name COLLATE "C", mark_id) tenant, name, mark_id, step, params, high, job_id, $2::bigint
        FROM whole WHERE left(high, 1) = left(low, 1) ORDER BY tenant, name COLLATE "C", mark_id, high DESC
        ON CONFLICT (tenant, job_name, id) DO UPDATE SET value = excluded.value, job_id = excluded.job_id,
            moved_at_ms = excluded.moved_at_ms
        WHERE excluded.value > marks.value OR left(excluded.value, 1) <> left(marks.value, 1)"#,
        &ids,
        now_ms,
    );
    moved.execute(tx).await?;
    Ok(())
}

pub(super) async fn filtered(connection: &mut PgConnection, filter: &MarkFilter) -> Result<Vec<MarkRow>, LedgerError> {
    let rows = sqlx::query!(
        "/* marks */
        SELECT id, job_name, step, params, value, job_id, moved_at_ms FROM marks
        WHERE tenant = $1 AND ($2::text IS NULL OR job_name = $2) AND ($3::text IS NULL OR step = $3)
            AND ($4::uuid IS NULL OR (job_name, id) > ($5::text, $4))
        ORDER BY job_name, id LIMIT $6",
        filter.tenant,
        filter.job_name.as_ref() as _,
        filter.step.as_ref() as _,
        filter.after.as_ref().map(|(_, id)| Uuid::from(*id)) as _,
        filter.after.as_ref().map(|(name, _)| name) as _,
        i64::from(filter.limit),
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        Ok(MarkRow {
            id: row.id.into(),
            job_name: row.job_name,
            step: row.step,
            params: row.params,
            value: mark(row.value)?,
            job: row.job_id.into(),
            moved_at_ms: row.moved_at_ms,
        })
    });
    rows.collect()
}

pub(super) async fn reset(connection: &mut PgConnection, filter: &MarkFilter) -> Result<u64, LedgerError> {
    let reset = sqlx::query!(
        "/* reset_marks */
        DELETE FROM marks
        WHERE tenant = $1 AND ($2::text IS NULL OR job_name = $2) AND ($3::text IS NULL OR step = $3)",
        filter.tenant,
        filter.job_name.as_ref() as _,
        filter.step.as_ref() as _,
    );
    Ok(reset.execute(connection).await?.rows_affected())
}
