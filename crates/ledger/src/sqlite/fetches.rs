//! Statements about fetches.

use std::collections::HashSet;

use serde_json::json;
use sqlx::{Row, SqliteConnection};
use tidegate_contracts::{FetchId, JobId, NewFetch};

use super::rows::{fetch_id, job_id};
use super::{barriers, steps};
use crate::LedgerError;
use crate::tally::{FetchAfter, NOT_BEGUN, Tally, first_calls, with_id};

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
                u8::from(fetch.failure.is_some() && !fetch.tolerated),
                fetch.mark.map(|mark| mark.hex()),
            ])
        })
        .collect();
    let sql = "/* plan_fetches */
        INSERT INTO fetches (id, job_id, parent_id, step, params, calls_planned, calls_open, calls_failed,
            fetch_end, created_at_ms, finished_at_ms, spoiled, mark_id, since)
        SELECT unhex(value ->> 0), ?2, unhex(value ->> 1), value ->> 2, value ->> 3, value ->> 4 + value ->> 5,
            value ->> 4, value ->> 5, value ->> 6, ?3, iif(value ->> 4 = 0, ?3, NULL), value ->> 7, unhex(value ->> 8),
            (SELECT marks.value FROM jobs JOIN marks ON marks.tenant = jobs.tenant AND marks.job_name = jobs.name
                AND marks.id = unhex(new.value ->> 8) WHERE jobs.id = ?2 AND jobs.extend)
        FROM json_each(?1) AS new WHERE true ON CONFLICT (id) DO NOTHING RETURNING id";
    let rows = sqlx::query(sql)
        .bind(serde_json::Value::from(rows).to_string())
        .bind(&job.as_bytes()[..])
        .bind(now_ms)
        .fetch_all(tx)
        .await?;
    rows.iter().map(|row| fetch_id(row, "id")).collect()
}

/// Adds the tally's counts to fetches, and to their parents as they finish, level by level; takes the finished ones off
/// the tally's jobs. With each that finishes, those that waited for it are settled, and `free` are before: fetches whose
/// calls are held and that wait for nothing. Only fetches of the jobs `waiting` are waited for.
pub(super) async fn add(
    tx: &mut SqliteConnection,
    tally: &mut Tally,
    mut free: Vec<FetchId>,
    waiting: &HashSet<JobId>,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let sql = "/* add_to_fetches */
        UPDATE fetches SET
            calls_planned = calls_planned + more.planned, calls_open = calls_open + more.open,
            calls_succeeded = calls_succeeded + more.succeeded, calls_skipped = calls_skipped + more.skipped,
            calls_failed = calls_failed + more.failed, calls_cancelled = calls_cancelled + more.cancelled,
            children_open = children_open + more.children, items = fetches.items + more.items,
            spoiled = fetches.spoiled + more.spoiled,
            blockers_open = iif(calls_open + more.open = 0, 0, blockers_open),
            total = coalesce(more.total, fetches.total),
            -- A guard stays, as within a transaction.
            fetch_end = iif(fetches.fetch_end IN ('repeated_pointer', 'repeated_page', 'page_cap', 'tiny_pages', 'depth_cap'), fetches.fetch_end,
                coalesce(more.fetch_end, fetches.fetch_end)),
            finished_at_ms = iif(calls_open + more.open + children_open + more.children = 0, ?2, NULL)
        FROM (SELECT unhex(value ->> 'id') AS id, value ->> 'planned' AS planned, value ->> 'open' AS open,
                value ->> 'succeeded' AS succeeded, value ->> 'skipped' AS skipped, value ->> 'failed' AS failed,
                value ->> 'cancelled' AS cancelled, value ->> 'children' AS children, value ->> 'items' AS items,
                value ->> 'spoiled' AS spoiled, value ->> 'total' AS total, value ->> 'end' AS fetch_end FROM json_each(?1)) AS more
        WHERE fetches.id = more.id
        RETURNING fetches.id AS id, fetches.job_id AS job_id, fetches.parent_id AS parent_id, fetches.step AS step,
            fetches.calls_planned AS calls_planned, fetches.calls_open AS calls_open,
            fetches.children_open AS children_open, fetches.spoiled AS spoiled";
    loop {
        if !free.is_empty() {
            barriers::settle(tx, &free, tally, now_ms).await?;
        }
        let level = std::mem::take(&mut tally.fetches);
        if level.is_empty() {
            return Ok(());
        }
        let guarded = steps::guarded(tx, &level).await?;
        let rows: Vec<_> = level.iter().map(|(fetch, delta)| with_id(fetch.hex(), delta)).collect();
        let query = sqlx::query(sql).bind(serde_json::Value::from(rows).to_string()).bind(now_ms);
        let mut awaited = Vec::new();
        for row in query.fetch_all(&mut *tx).await? {
            let (fetch, job) = (fetch_id(&row, "id")?, job_id(&row, "job_id")?);
            let now = FetchAfter {
                planned: row.try_get("calls_planned")?,
                open: row.try_get("calls_open")?,
                children: row.try_get("children_open")?,
            };
            let Some(delta) = level.get(&fetch) else { continue };
            tally.add_to_step(job, row.try_get("step")?, delta, now, guarded.contains(&fetch));
            if now.open + now.children > 0 {
                continue;
            }
            let has_parent = row.try_get::<Option<&[u8]>, _>("parent_id")?.is_some();
            let parent = has_parent.then(|| fetch_id(&row, "parent_id")).transpose()?;
            tally.finish_fetch(job, parent, row.try_get("spoiled")?);
            if waiting.contains(&job) {
                awaited.push(fetch);
            }
        }
        free = if awaited.is_empty() { Vec::new() } else { barriers::lift(tx, &awaited).await? };
    }
}
