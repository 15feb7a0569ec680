//! Statements that show the tree, page by page.

use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use tidegate_contracts::{FetchId, JobId, PagePointer};

use super::rows::{call_id, count, fetch_id, small};
use crate::{FailedCall, FailedFilter, FetchFilter, FetchRow, LedgerError};

pub(super) async fn fetches(
    connection: &mut SqliteConnection,
    job: JobId,
    filter: &FetchFilter,
) -> Result<Vec<FetchRow>, LedgerError> {
    let mut sql = QueryBuilder::<Sqlite>::new("/* fetches */ SELECT * FROM fetches WHERE job_id = ");
    sql.push_bind(&job.as_bytes()[..]);
    sql.push(" AND parent_id IS ").push_bind(filter.parent.as_ref().map(|parent| &parent.as_bytes()[..]));
    if let Some(step) = &filter.step {
        sql.push(" AND step = ").push_bind(step);
    }
    if let Some(after) = &filter.after {
        sql.push(" AND seq > (SELECT seq FROM fetches WHERE id = ").push_bind(&after.as_bytes()[..]).push(")");
    }
    sql.push(" ORDER BY seq LIMIT ").push_bind(filter.limit);
    sql.build().fetch_all(connection).await?.iter().map(read_fetch).collect()
}

pub(super) async fn fetch(
    connection: &mut SqliteConnection,
    job: JobId,
    fetch: FetchId,
) -> Result<Option<FetchRow>, LedgerError> {
    let sql = "/* fetch */ SELECT * FROM fetches WHERE id = ?1 AND job_id = ?2";
    let row = sqlx::query(sql).bind(&fetch.as_bytes()[..]).bind(&job.as_bytes()[..]).fetch_optional(connection).await?;
    row.as_ref().map(read_fetch).transpose()
}

fn read_fetch(row: &SqliteRow) -> Result<FetchRow, LedgerError> {
    let has_parent = row.try_get::<Option<&[u8]>, _>("parent_id")?.is_some();
    let has_total = row.try_get::<Option<i64>, _>("total")?.is_some();
    Ok(FetchRow {
        id: fetch_id(row, "id")?,
        parent: has_parent.then(|| fetch_id(row, "parent_id")).transpose()?,
        step: row.try_get("step")?,
        params: row.try_get("params")?,
        total: has_total.then(|| count(row, "total")).transpose()?,
        fetch_end: row.try_get("fetch_end")?,
        calls_planned: count(row, "calls_planned")?,
        calls_open: count(row, "calls_open")?,
        calls_succeeded: count(row, "calls_succeeded")?,
        calls_skipped: count(row, "calls_skipped")?,
        calls_failed: count(row, "calls_failed")?,
        calls_cancelled: count(row, "calls_cancelled")?,
        children_open: count(row, "children_open")?,
        blockers_open: count(row, "blockers_open")?,
        items: count(row, "items")?,
        created_at_ms: row.try_get("created_at_ms")?,
        finished_at_ms: row.try_get("finished_at_ms")?,
    })
}

pub(super) async fn failed_calls(
    connection: &mut SqliteConnection,
    job: JobId,
    filter: &FailedFilter,
) -> Result<Vec<FailedCall>, LedgerError> {
    let mut sql = QueryBuilder::<Sqlite>::new(
        "/* failed_calls */
        SELECT calls.id, calls.fetch_id, fetches.step, fetches.params, calls.pointer, calls.state, calls.class,
            calls.status, coalesce(calls.message, '') AS message, calls.attempt
        FROM calls JOIN fetches ON fetches.id = calls.fetch_id
        -- As its index says it.
        WHERE calls.state IN ('skipped', 'failed', 'cancelled') AND calls.state <> 'cancelled' AND calls.job_id = ",
    );
    sql.push_bind(&job.as_bytes()[..]);
    if let Some(fetch) = &filter.fetch {
        sql.push(" AND calls.fetch_id = ").push_bind(&fetch.as_bytes()[..]);
    }
    if let Some(step) = &filter.step {
        sql.push(" AND fetches.step = ").push_bind(step);
    }
    if let Some(class) = &filter.class {
        sql.push(" AND calls.class = ").push_bind(class);
    }
    if let Some(after) = &filter.after {
        sql.push(" AND calls.seq > (SELECT seq FROM calls WHERE id = ").push_bind(&after.as_bytes()[..]).push(")");
    }
    sql.push(" ORDER BY calls.seq LIMIT ").push_bind(filter.limit);
    sql.build().fetch_all(connection).await?.iter().map(read_call).collect()
}

fn read_call(row: &SqliteRow) -> Result<FailedCall, LedgerError> {
    let pointer: Json<PagePointer> = row.try_get("pointer")?;
    Ok(FailedCall {
        call: call_id(row, "id")?,
        fetch: fetch_id(row, "fetch_id")?,
        step: row.try_get("step")?,
        params: row.try_get("params")?,
        pointer: pointer.0,
        state: row.try_get("state")?,
        class: row.try_get("class")?,
        status: row.try_get::<Option<i64>, _>("status")?.and_then(|status| u16::try_from(status).ok()),
        message: row.try_get("message")?,
        attempt: small(row, "attempt")?,
    })
}
