//! Statements for people.

use sqlx::types::Json;
use sqlx::{Row, SqliteConnection};
use tidegate_contracts::{JobId, WaitReason};

use super::rows::count;
use crate::{FailureGroup, LedgerError, StepRow, Waiting};

pub(super) async fn failures(
    connection: &mut SqliteConnection,
    job: JobId,
    limit: u32,
) -> Result<Vec<FailureGroup>, LedgerError> {
    let sql = "/* failures */
        SELECT fetches.step, calls.state, calls.class, calls.status, coalesce(calls.message, '') AS message,
            count(*) AS calls, min(fetches.params) AS example
        FROM calls JOIN fetches ON fetches.id = calls.fetch_id
        WHERE calls.job_id = ?1 AND calls.state IN ('skipped', 'failed')
        GROUP BY fetches.step, calls.state, calls.class, calls.status, calls.message
        ORDER BY calls.state, count(*) DESC, fetches.step, calls.class LIMIT ?2";
    let rows = sqlx::query(sql).bind(&job.as_bytes()[..]).bind(limit).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            Ok(FailureGroup {
                step: row.try_get("step")?,
                state: row.try_get("state")?,
                class: row.try_get("class")?,
                status: row.try_get::<Option<i64>, _>("status")?.and_then(|status| u16::try_from(status).ok()),
                message: row.try_get("message")?,
                calls: count(row, "calls")?,
                example: row.try_get("example")?,
            })
        })
        .collect()
}

pub(super) async fn steps(connection: &mut SqliteConnection, job: JobId) -> Result<Vec<StepRow>, LedgerError> {
    let sql = "/* steps */
        SELECT step, count(*) AS fetches, count(finished_at_ms) AS fetches_done, sum(calls_planned) AS calls_planned,
            sum(calls_open) AS calls_open, sum(calls_failed) AS calls_failed, sum(calls_skipped) AS calls_skipped,
            sum(items) AS items
        FROM fetches WHERE job_id = ?1 GROUP BY step ORDER BY min(seq)";
    let rows = sqlx::query(sql).bind(&job.as_bytes()[..]).fetch_all(&mut *connection).await?;
    let sql = "/* guards */
        SELECT step, fetch_end, count(*) AS fetches FROM fetches
        WHERE job_id = ?1 AND fetch_end IN ('repeated_pointer', 'repeated_page', 'page_cap') GROUP BY step, fetch_end";
    let guards = sqlx::query(sql).bind(&job.as_bytes()[..]).fetch_all(connection).await?;
    let mut steps = Vec::with_capacity(rows.len());
    for row in &rows {
        let step: String = row.try_get("step")?;
        let mut of_step = Vec::new();
        for guard in &guards {
            if guard.try_get::<&str, _>("step")? == step {
                of_step.push((guard.try_get("fetch_end")?, count(guard, "fetches")?));
            }
        }
        steps.push(StepRow {
            step,
            fetches: count(row, "fetches")?,
            fetches_done: count(row, "fetches_done")?,
            calls_planned: count(row, "calls_planned")?,
            calls_open: count(row, "calls_open")?,
            calls_failed: count(row, "calls_failed")?,
            calls_skipped: count(row, "calls_skipped")?,
            items: count(row, "items")?,
            guards: of_step,
        });
    }
    Ok(steps)
}

pub(super) async fn waiting(
    connection: &mut SqliteConnection,
    job: JobId,
    now_ms: i64,
) -> Result<Vec<Waiting>, LedgerError> {
    let sql = "/* waiting */
        SELECT wait -> 'reason' AS reason, count(*) AS calls, min(wait ->> 'until_ms') AS until_ms
        FROM calls WHERE job_id = ?1 AND state = 'released' AND wait ->> 'until_ms' > ?2
        GROUP BY wait -> 'reason' ORDER BY count(*) DESC, min(wait ->> 'until_ms') DESC LIMIT 100";
    let rows = sqlx::query(sql).bind(&job.as_bytes()[..]).bind(now_ms).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let reason: Json<WaitReason> = row.try_get("reason")?;
            Ok(Waiting { reason: reason.0, calls: count(row, "calls")?, until_ms: row.try_get("until_ms")? })
        })
        .collect()
}
