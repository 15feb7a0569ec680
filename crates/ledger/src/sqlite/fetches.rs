//! Statements about fetches.

use std::collections::HashSet;

use serde_json::json;
use sqlx::{Row, SqliteConnection};
use tidegate_contracts::{FetchId, JobId, NewFetch};

use super::rows::{fetch_id, job_id};
use crate::LedgerError;
use crate::tally::{NOT_BEGUN, Tally, first_calls, with_id};

/// Inserts fetches with the counters of their first pages. Returns those that are new.
pub(super) async fn insert(
    tx: &mut SqliteConnection,
    job: JobId,
    fetches: &[&NewFetch],
    now_ms: i64,
) -> Result<HashSet<FetchId>, LedgerError> {
    if fetches.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<_> = fetches
        .iter()
        .map(|fetch| {
            json!([
                fetch.fetch.hex(),
                fetch.parent.map(|parent| parent.hex()),
                fetch.step,
                fetch.params.canonical(),
                first_calls(fetch),
                u8::from(fetch.failure.is_some()),
                fetch.failure.as_ref().map(|_| NOT_BEGUN),
            ])
        })
        .collect();
    let sql = "/* plan_fetches */
        INSERT INTO fetches (id, job_id, parent_id, step, params, calls_planned, calls_open, calls_failed,
            fetch_end, created_at_ms, finished_at_ms)
        SELECT unhex(value ->> 0), ?2, unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4 + value ->> 5,
            value ->> 4, value ->> 5, value ->> 6, ?3, iif(value ->> 4 = 0, ?3, NULL)
        FROM json_each(?1) WHERE true ON CONFLICT (id) DO NOTHING RETURNING id";
    let rows = sqlx::query(sql)
        .bind(serde_json::Value::from(rows).to_string())
        .bind(&job.as_bytes()[..])
        .bind(now_ms)
        .fetch_all(tx)
        .await?;
    rows.iter().map(|row| fetch_id(row, "id")).collect()
}

/// Adds the tally's counts to fetches, and to their parents as they finish, level by level; takes the finished ones off
/// the tally's jobs.
pub(super) async fn add(tx: &mut SqliteConnection, tally: &mut Tally, now_ms: i64) -> Result<(), LedgerError> {
    let sql = "/* add_to_fetches */
        UPDATE fetches SET
            calls_planned = calls_planned + more.planned, calls_open = calls_open + more.open,
            calls_succeeded = calls_succeeded + more.succeeded, calls_skipped = calls_skipped + more.skipped,
            calls_failed = calls_failed + more.failed, calls_cancelled = calls_cancelled + more.cancelled,
            children_open = children_open + more.children, items = fetches.items + more.items,
            total = coalesce(more.total, fetches.total),
            -- A guard stays, as within a transaction.
            fetch_end = iif(fetches.fetch_end IN ('repeated_pointer', 'repeated_page', 'page_cap'), fetches.fetch_end,
                coalesce(more.fetch_end, fetches.fetch_end)),
            finished_at_ms = iif(calls_open + more.open + children_open + more.children = 0, ?2, NULL)
        FROM (SELECT unhex(value ->> 'id') AS id, value ->> 'planned' AS planned, value ->> 'open' AS open,
                value ->> 'succeeded' AS succeeded, value ->> 'skipped' AS skipped, value ->> 'failed' AS failed,
                value ->> 'cancelled' AS cancelled, value ->> 'children' AS children, value ->> 'items' AS items,
                value ->> 'total' AS total, value ->> 'end' AS fetch_end FROM json_each(?1)) AS more
        WHERE fetches.id = more.id
        RETURNING fetches.job_id AS job_id, fetches.parent_id AS parent_id, fetches.finished_at_ms AS finished_at_ms";
    let mut deltas = std::mem::take(&mut tally.fetches);
    while !deltas.is_empty() {
        let rows: Vec<_> = deltas.drain().map(|(fetch, delta)| with_id(fetch.hex(), &delta)).collect();
        let query = sqlx::query(sql).bind(serde_json::Value::from(rows).to_string()).bind(now_ms);
        for row in query.fetch_all(&mut *tx).await? {
            if row.try_get::<Option<i64>, _>("finished_at_ms")?.is_none() {
                continue;
            }
            tally.job(job_id(&row, "job_id")?).fetches_open -= 1;
            if row.try_get::<Option<&[u8]>, _>("parent_id")?.is_some() {
                deltas.entry(fetch_id(&row, "parent_id")?).or_default().children -= 1;
            }
        }
    }
    Ok(())
}
