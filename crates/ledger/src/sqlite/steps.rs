//! Counters by step, kept with those of fetches.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::json;
use sqlx::{Row, SqliteConnection};
use tidegate_contracts::{FetchId, JobId};

use super::rows::{count, fetch_id};
use crate::tally::{FetchDelta, Tally};
use crate::{LedgerError, StepRow};

/// Those of these fetches that a guard had ended before, of those that one ends now: each fetch counts once.
pub(super) async fn guarded(
    tx: &mut SqliteConnection,
    deltas: &HashMap<FetchId, FetchDelta>,
) -> Result<HashSet<FetchId>, LedgerError> {
    let now = deltas.iter().filter(|(_, delta)| delta.end.is_some_and(|end| end.is_guard()));
    let now: Vec<String> = now.map(|(fetch, _)| fetch.hex()).collect();
    if now.is_empty() {
        return Ok(HashSet::new());
    }
    let sql = "/* guarded_fetches */
        SELECT fetches.id AS id FROM json_each(?1) JOIN fetches ON fetches.id = unhex(value)
            JOIN step_guards ON step_guards.job_id = fetches.job_id AND step_guards.step = fetches.step
                AND step_guards.guard = fetches.fetch_end";
    let rows = sqlx::query(sql).bind(json!(now).to_string()).fetch_all(tx).await?;
    rows.iter().map(|row| fetch_id(row, "id")).collect()
}

/// Adds the tally's counts to steps.
pub(super) async fn add(tx: &mut SqliteConnection, tally: &Tally) -> Result<(), LedgerError> {
    let mut steps: Vec<_> = tally.steps.iter().collect();
    steps.sort_by_key(|(_, delta)| delta.place);
    let (mut rows, mut guards) = (Vec::new(), Vec::new());
    for ((job, step), more) in steps {
        rows.push(json!([
            job.hex(),
            step,
            more.fetches,
            more.done,
            more.paged,
            more.planned,
            more.open,
            more.failed,
            more.skipped,
            more.calls_paged,
            more.items,
        ]));
        guards.extend(more.guards.iter().map(|(guard, fetches)| json!([job.hex(), step, guard, fetches])));
    }
    if rows.is_empty() {
        return Ok(());
    }
    // What is there is added to first: what is inserted must be a sound row by itself, and additions may be below zero.
    let sql = "/* add_to_steps */
        UPDATE step_counts SET fetches = fetches + (more.value ->> 2), fetches_done = fetches_done + (more.value ->> 3),
            fetches_paged = fetches_paged + (more.value ->> 4), calls_planned = calls_planned + (more.value ->> 5),
            calls_open = calls_open + (more.value ->> 6), calls_failed = calls_failed + (more.value ->> 7),
            calls_skipped = calls_skipped + (more.value ->> 8), calls_paged = calls_paged + (more.value ->> 9),
            items = items + (more.value ->> 10)
        FROM json_each(?1) AS more
        WHERE step_counts.job_id = unhex(more.value ->> 0) AND step_counts.step = more.value ->> 1";
    let rows = serde_json::Value::from(rows);
    let known = sqlx::query(sql).bind(rows.to_string()).execute(&mut *tx).await?.rows_affected();
    if known < rows.as_array().map_or(0, Vec::len) as u64 {
        let sql = "/* new_steps */
            INSERT INTO step_counts (job_id, step, fetches, fetches_done, fetches_paged, calls_planned, calls_open,
                calls_failed, calls_skipped, calls_paged, items)
            SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5, value ->> 6,
                value ->> 7, value ->> 8, value ->> 9, value ->> 10
            FROM json_each(?1) WHERE NOT EXISTS (
                SELECT 1 FROM step_counts WHERE job_id = unhex(value ->> 0) AND step = value ->> 1)";
        sqlx::query(sql).bind(rows.to_string()).execute(&mut *tx).await?;
    }
    if !guards.is_empty() {
        let sql = "/* add_guards */
            INSERT INTO step_guards (job_id, step, guard, fetches)
            SELECT unhex(value ->> 0), value ->> 1, value ->> 2, value ->> 3 FROM json_each(?1) WHERE true
            ON CONFLICT (job_id, step, guard) DO UPDATE SET fetches = fetches + excluded.fetches";
        sqlx::query(sql).bind(serde_json::Value::from(guards).to_string()).execute(tx).await?;
    }
    Ok(())
}

/// Counts the steps of a job anew from its fetches.
pub(super) async fn recount(tx: &mut SqliteConnection, job: JobId) -> Result<(), LedgerError> {
    let sql = "/* recount_steps */
        UPDATE step_counts SET fetches_done = counted.done, fetches_paged = counted.paged, calls_open = counted.open,
            calls_failed = counted.failed, calls_paged = counted.calls_paged
        FROM (SELECT step, count(finished_at_ms) AS done, count(*) FILTER (WHERE calls_open = 0) AS paged,
                sum(calls_open) AS open, sum(calls_failed) AS failed,
                coalesce(sum(calls_planned) FILTER (WHERE calls_open = 0), 0) AS calls_paged
            FROM fetches WHERE job_id = ?1 GROUP BY step) AS counted
        WHERE step_counts.job_id = ?1 AND step_counts.step = counted.step";
    sqlx::query(sql).bind(&job.as_bytes()[..]).execute(tx).await?;
    Ok(())
}

pub(super) async fn steps(connection: &mut SqliteConnection, job: JobId) -> Result<Vec<StepRow>, LedgerError> {
    let sql = "/* steps */ SELECT * FROM step_counts WHERE job_id = ?1 ORDER BY seq";
    let rows = sqlx::query(sql).bind(&job.as_bytes()[..]).fetch_all(&mut *connection).await?;
    let sql = "/* guards */ SELECT step, guard, fetches FROM step_guards WHERE job_id = ?1 ORDER BY guard";
    let guards = sqlx::query(sql).bind(&job.as_bytes()[..]).fetch_all(&mut *connection).await?;
    let sql = "/* left_out */ SELECT step, fetches FROM left_out WHERE job_id = ?1";
    let mut left_out = BTreeMap::<String, u64>::new();
    for row in sqlx::query(sql).bind(&job.as_bytes()[..]).fetch_all(connection).await? {
        left_out.insert(row.try_get("step")?, count(&row, "fetches")?);
    }
    let mut steps = Vec::with_capacity(rows.len());
    for row in &rows {
        let step: String = row.try_get("step")?;
        let mut of_step = Vec::new();
        for guard in &guards {
            if guard.try_get::<&str, _>("step")? == step {
                of_step.push((guard.try_get("guard")?, count(guard, "fetches")?));
            }
        }
        steps.push(StepRow {
            left_out: left_out.remove(&step).unwrap_or(0),
            step,
            fetches: count(row, "fetches")?,
            fetches_done: count(row, "fetches_done")?,
            fetches_paged: count(row, "fetches_paged")?,
            calls_planned: count(row, "calls_planned")?,
            calls_open: count(row, "calls_open")?,
            calls_failed: count(row, "calls_failed")?,
            calls_skipped: count(row, "calls_skipped")?,
            calls_paged: count(row, "calls_paged")?,
            items: count(row, "items")?,
            guards: of_step,
        });
    }
    steps.extend(left_out.into_iter().map(|(step, fetches)| StepRow::of_none(step, fetches)));
    Ok(steps)
}
