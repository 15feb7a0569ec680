//! Statements about marks.

use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use tidegate_contracts::JobId;

use super::rows::{job_id, mark, mark_id};
use crate::{LedgerError, MarkFilter, MarkRow};

/// Moves the marks of what these finished jobs have read whole. A list that ends with a next page that is not there was
/// cut; one whose pages are counted ended.
pub(super) async fn advance(tx: &mut SqliteConnection, finished: &[JobId], now_ms: i64) -> Result<(), LedgerError> {
    if finished.is_empty() {
        return Ok(());
    }
    let sql = r#"/* move_marks */
        WITH RECURSIVE finished (id) AS (SELECT unhex(value) FROM json_each(?1)),
        spoiled (id, parent_id) AS (
            SELECT fetches.id, fetches.parent_id
            FROM finished JOIN calls ON calls.job_id = finished.id JOIN fetches ON fetches.id = calls.fetch_id
            WHERE calls.state IN ('skipped', 'failed', 'cancelled')
                AND (calls.state = 'cancelled' OR (calls.state = 'failed' AND calls.tolerated = 0))
            UNION SELECT above.id, above.parent_id FROM spoiled JOIN fetches AS above ON above.id = spoiled.parent_id),
        cut (id) AS (
            SELECT calls.fetch_id FROM finished JOIN calls ON calls.job_id = finished.id
            WHERE calls.state IN ('skipped', 'failed', 'cancelled') AND calls.state = 'skipped'
                AND calls.class IN ('not_found', 'gone')
                AND (calls.pointer LIKE '%"at":"cursor"%' OR calls.pointer LIKE '%"at":"url"%')),
        whole AS (
            SELECT jobs.tenant, jobs.name, jobs.id AS job_id, fetches.mark_id, fetches.step, fetches.params,
                (SELECT top FROM pages WHERE fetch_seq = fetches.seq AND top IS NOT NULL ORDER BY top DESC LIMIT 1) AS high,
                (SELECT top FROM pages WHERE fetch_seq = fetches.seq AND top IS NOT NULL ORDER BY top LIMIT 1) AS low
            FROM finished JOIN jobs ON jobs.id = finished.id
                JOIN fetches ON fetches.job_id = jobs.id AND fetches.mark_id IS NOT NULL
            WHERE fetches.calls_failed = 0 AND fetches.calls_cancelled = 0
                AND coalesce(fetches.fetch_end, '') NOT IN
                    ('repeated_pointer', 'repeated_page', 'page_cap', 'tiny_pages', 'depth_cap')
                AND (fetches.calls_skipped = 0 OR fetches.id NOT IN (SELECT id FROM cut))
                AND fetches.id NOT IN (SELECT id FROM spoiled))
        INSERT INTO marks (tenant, job_name, id, step, params, value, job_id, moved_at_ms)
        SELECT tenant, name, mark_id, step, params, high, job_id, ?2 FROM whole
        WHERE substr(high, 1, 1) = substr(low, 1, 1)
        ON CONFLICT (tenant, job_name, id) DO UPDATE SET value = excluded.value, job_id = excluded.job_id,
            moved_at_ms = excluded.moved_at_ms
        WHERE excluded.value > marks.value OR substr(excluded.value, 1, 1) <> substr(marks.value, 1, 1)"#;
    let ids: Vec<String> = finished.iter().map(JobId::hex).collect();
    sqlx::query(sql).bind(json!(ids).to_string()).bind(now_ms).execute(tx).await?;
    Ok(())
}

pub(super) async fn filtered(
    connection: &mut SqliteConnection,
    filter: &MarkFilter,
) -> Result<Vec<MarkRow>, LedgerError> {
    let mut sql = QueryBuilder::<Sqlite>::new("/* marks */ SELECT * FROM marks");
    push_which(&mut sql, filter);
    if let Some((name, id)) = &filter.after {
        sql.push(" AND (job_name, id) > (").push_bind(name).push(", ").push_bind(&id.as_bytes()[..]).push(")");
    }
    sql.push(" ORDER BY job_name, id LIMIT ").push_bind(filter.limit);
    sql.build().fetch_all(connection).await?.iter().map(read).collect()
}

pub(super) async fn reset(tx: &mut SqliteConnection, filter: &MarkFilter) -> Result<u64, LedgerError> {
    let mut sql = QueryBuilder::<Sqlite>::new("/* reset_marks */ DELETE FROM marks");
    push_which(&mut sql, filter);
    Ok(sql.build().execute(tx).await?.rows_affected())
}

fn push_which(sql: &mut QueryBuilder<Sqlite>, filter: &MarkFilter) {
    sql.push(" WHERE tenant = ").push_bind(&filter.tenant);
    for (column, wanted) in [("job_name", &filter.job_name), ("step", &filter.step)] {
        if let Some(wanted) = wanted {
            sql.push(format_args!(" AND {column} = ")).push_bind(wanted);
        }
    }
}

fn read(row: &SqliteRow) -> Result<MarkRow, LedgerError> {
    Ok(MarkRow {
        id: mark_id(row, "id")?,
        job_name: row.try_get("job_name")?,
        step: row.try_get("step")?,
        params: row.try_get("params")?,
        value: mark(row.try_get("value")?)?,
        job: job_id(row, "job_id")?,
        moved_at_ms: row.try_get("moved_at_ms")?,
    })
}
