//! Statements about what waits for what.

use serde_json::json;
use sqlx::{Row, SqliteConnection};
use tidegate_contracts::{FetchId, JobId, NewFetch};

use super::rows::{fetch_id, job_id};
use crate::LedgerError;
use crate::tally::{Tally, not_made};

/// Notes what new fetches wait for, as far as it is known. Returns those that nothing holds.
pub(super) async fn plan(
    tx: &mut SqliteConnection,
    job: JobId,
    fetches: &[&NewFetch],
) -> Result<Vec<FetchId>, LedgerError> {
    let pairs =
        fetches.iter().flat_map(|new| new.after.iter().map(move |blocker| json!([new.fetch.hex(), blocker.hex()])));
    let sql = "/* plan_barriers */
        INSERT INTO barriers (fetch_id, blocker_id, job_id)
        SELECT unhex(value ->> 0), unhex(value ->> 1), ?2 FROM json_each(?1)
        WHERE value ->> 0 <> value ->> 1
            AND EXISTS (SELECT 1 FROM fetches WHERE id = unhex(value ->> 1) AND job_id = ?2)
        ON CONFLICT DO NOTHING";
    let pairs = serde_json::Value::from_iter(pairs).to_string();
    sqlx::query(sql).bind(pairs).bind(&job.as_bytes()[..]).execute(&mut *tx).await?;
    let sql = "/* count_blockers */
        UPDATE fetches SET blockers_open = (
            SELECT count(*) FROM barriers JOIN fetches AS blockers ON blockers.id = barriers.blocker_id
            WHERE barriers.fetch_id = fetches.id AND blockers.finished_at_ms IS NULL)
        WHERE id IN (SELECT unhex(value) FROM json_each(?1)) RETURNING id, blockers_open";
    let ids: Vec<String> = fetches.iter().map(|new| new.fetch.hex()).collect();
    free(sqlx::query(sql).bind(json!(ids).to_string()).fetch_all(tx).await?)
}

/// These fetches finished. Returns those that waited for one of them, and wait for nothing any more.
pub(super) async fn lift(tx: &mut SqliteConnection, finished: &[FetchId]) -> Result<Vec<FetchId>, LedgerError> {
    let sql = "/* lift_barriers */
        UPDATE fetches SET blockers_open = blockers_open - less.blockers
        FROM (SELECT fetch_id, count(*) AS blockers FROM barriers
            WHERE blocker_id IN (SELECT unhex(value) FROM json_each(?1)) GROUP BY fetch_id) AS less
        WHERE fetches.id = less.fetch_id AND fetches.finished_at_ms IS NULL AND fetches.calls_open > 0
        RETURNING fetches.id AS id, fetches.blockers_open AS blockers_open";
    let ids: Vec<String> = finished.iter().map(FetchId::hex).collect();
    free(sqlx::query(sql).bind(json!(ids).to_string()).fetch_all(tx).await?)
}

fn free(rows: Vec<sqlx::sqlite::SqliteRow>) -> Result<Vec<FetchId>, LedgerError> {
    let mut free = Vec::new();
    for row in &rows {
        if row.try_get::<i64, _>("blockers_open")? == 0 {
            free.push(fetch_id(row, "id")?);
        }
    }
    Ok(free)
}

/// Lets the held calls of these fetches go, or gives them up where something failed below a blocker.
pub(super) async fn settle(
    tx: &mut SqliteConnection,
    free: &[FetchId],
    tally: &mut Tally,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let ids: Vec<String> = free.iter().map(FetchId::hex).collect();
    let sql = "/* spoiled_blockers */
        SELECT asked.value AS fetch, min(blockers.step) AS step FROM json_each(?1) AS asked
        JOIN barriers ON barriers.fetch_id = unhex(asked.value)
        JOIN fetches AS blockers ON blockers.id = barriers.blocker_id AND blockers.spoiled > 0
        GROUP BY asked.value";
    let mut messages = serde_json::Map::new();
    for row in sqlx::query(sql).bind(json!(ids).to_string()).fetch_all(&mut *tx).await? {
        messages.insert(row.try_get("fetch")?, not_made(row.try_get("step")?).into());
    }
    let rows = ids.iter().map(|id| json!([id, messages.get(id)]));
    let sql = "/* lift_holds */
        UPDATE calls INDEXED BY calls_held SET held = 0, message = lifted.message,
            state = iif(lifted.message IS NULL, 'planned', 'cancelled'),
            ended_at_ms = iif(lifted.message IS NULL, NULL, ?2)
        FROM (SELECT unhex(value ->> 0) AS fetch_id, value ->> 1 AS message FROM json_each(?1)) AS lifted
        WHERE calls.fetch_id = lifted.fetch_id AND calls.held = 1
        RETURNING calls.job_id AS job_id, calls.fetch_id AS fetch_id, calls.state = 'cancelled' AS spoiled";
    let rows = serde_json::Value::from_iter(rows).to_string();
    for row in &sqlx::query(sql).bind(rows).bind(now_ms).fetch_all(tx).await? {
        tally.lift_hold(job_id(row, "job_id")?, fetch_id(row, "fetch_id")?, row.try_get("spoiled")?);
    }
    Ok(())
}
