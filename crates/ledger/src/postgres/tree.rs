//! Statements that show the tree, page by page.

use sqlx::PgConnection;
use tidegate_contracts::{FetchId, JobId};
use uuid::Uuid;

use super::rows::{count, json, small};
use crate::{FailedCall, FailedFilter, FetchFilter, FetchRow, LedgerError};

/// A row of fetches, as it is shown.
struct Row {
    id: Uuid,
    parent_id: Option<Uuid>,
    step: String,
    params: String,
    total: Option<i64>,
    fetch_end: Option<String>,
    calls_planned: i64,
    calls_open: i64,
    calls_succeeded: i64,
    calls_skipped: i64,
    calls_failed: i64,
    calls_cancelled: i64,
    children_open: i64,
    blockers_open: i64,
    items: i64,
    created_at_ms: i64,
    finished_at_ms: Option<i64>,
}

macro_rules! select_fetches {
    ($which:literal, $($bind:expr),*) => {
        sqlx::query_as!(
            Row,
            "/* fetches */
            SELECT id, parent_id, step, params, total, fetch_end, calls_planned, calls_open, calls_succeeded, calls_skipped,
                calls_failed, calls_cancelled, children_open, blockers_open, items, created_at_ms, finished_at_ms
            FROM fetches " + $which,
            $($bind),*
        )
    };
}

pub(super) async fn fetches(
    connection: &mut PgConnection,
    job: JobId,
    filter: &FetchFilter,
) -> Result<Vec<FetchRow>, LedgerError> {
    let rows = select_fetches!(
        "WHERE job_id = $1 AND (parent_id = $2 OR ($2::uuid IS NULL AND parent_id IS NULL))
            AND ($3::text IS NULL OR step = $3)
            AND ($4::uuid IS NULL OR seq > (SELECT after.seq FROM fetches AS after WHERE after.id = $4))
        ORDER BY seq LIMIT $5",
        Uuid::from(job),
        filter.parent.map(Uuid::from) as _,
        filter.step.as_ref() as _,
        filter.after.map(Uuid::from) as _,
        i64::from(filter.limit)
    );
    rows.fetch_all(connection).await?.into_iter().map(read_fetch).collect()
}

pub(super) async fn fetch(
    connection: &mut PgConnection,
    job: JobId,
    fetch: FetchId,
) -> Result<Option<FetchRow>, LedgerError> {
    let row = select_fetches!("WHERE id = $1 AND job_id = $2", Uuid::from(fetch), Uuid::from(job));
    row.fetch_optional(connection).await?.map(read_fetch).transpose()
}

fn read_fetch(row: Row) -> Result<FetchRow, LedgerError> {
    Ok(FetchRow {
        id: row.id.into(),
        parent: row.parent_id.map(FetchId::from),
        step: row.step,
        params: row.params,
        total: row.total.map(|total| count(total, "total")).transpose()?,
        fetch_end: row.fetch_end,
        calls_planned: count(row.calls_planned, "calls_planned")?,
        calls_open: count(row.calls_open, "calls_open")?,
        calls_succeeded: count(row.calls_succeeded, "calls_succeeded")?,
        calls_skipped: count(row.calls_skipped, "calls_skipped")?,
        calls_failed: count(row.calls_failed, "calls_failed")?,
        calls_cancelled: count(row.calls_cancelled, "calls_cancelled")?,
        children_open: count(row.children_open, "children_open")?,
        blockers_open: count(row.blockers_open, "blockers_open")?,
        items: count(row.items, "items")?,
        created_at_ms: row.created_at_ms,
        finished_at_ms: row.finished_at_ms,
    })
}

pub(super) async fn failed_calls(
    connection: &mut PgConnection,
    job: JobId,
    filter: &FailedFilter,
) -> Result<Vec<FailedCall>, LedgerError> {
    let rows = sqlx::query!(
        r#"/* failed_calls */
        SELECT calls.id, calls.fetch_id, fetches.step, fetches.params, calls.pointer, calls.state, calls.class AS "class!",
            calls.status, coalesce(calls.message, '') AS "message!", calls.attempt
        FROM calls JOIN fetches ON fetches.id = calls.fetch_id
        WHERE calls.job_id = $1 AND calls.state IN ('skipped', 'failed')
            AND ($2::uuid IS NULL OR calls.fetch_id = $2) AND ($3::text IS NULL OR fetches.step = $3)
            AND ($4::text IS NULL OR calls.class = $4)
            AND ($5::uuid IS NULL OR calls.seq > (SELECT after.seq FROM calls AS after WHERE after.id = $5))
        ORDER BY calls.seq LIMIT $6"#,
        Uuid::from(job),
        filter.fetch.map(Uuid::from) as _,
        filter.step.as_ref() as _,
        filter.class.as_ref() as _,
        filter.after.map(Uuid::from) as _,
        i64::from(filter.limit),
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        Ok(FailedCall {
            call: row.id.into(),
            fetch: row.fetch_id.into(),
            step: row.step,
            params: row.params,
            pointer: json(&row.pointer, "a page pointer")?,
            state: row.state,
            class: row.class,
            status: row.status.and_then(|status| u16::try_from(status).ok()),
            message: row.message,
            attempt: small(row.attempt, "attempt")?,
        })
    });
    rows.collect()
}
