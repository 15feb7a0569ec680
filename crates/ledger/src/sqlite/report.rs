//! Statements for people.

use serde_json::json;
use sqlx::types::Json;
use sqlx::{Row, SqliteConnection};
use tidegate_contracts::{JobId, Plan, WaitReason};

use super::rows::count;
use crate::{FailureGroup, LedgerError, Waiting};

pub(super) async fn failures(
    connection: &mut SqliteConnection,
    job: JobId,
    limit: u32,
) -> Result<Vec<FailureGroup>, LedgerError> {
    let sql = "/* failures */
        SELECT fetches.step, calls.state, coalesce(calls.class, calls.state) AS class, calls.status,
            coalesce(calls.message, '') AS message,
            count(*) AS calls, min(fetches.params) AS example
        FROM calls JOIN fetches ON fetches.id = calls.fetch_id
        WHERE calls.job_id = ?1 AND calls.state IN ('skipped', 'failed', 'cancelled')
            -- Those that a stop gave up say nothing.
            AND (calls.state <> 'cancelled' OR calls.message IS NOT NULL)
        GROUP BY fetches.step, calls.state, calls.class, calls.status, calls.message
        ORDER BY calls.state = 'cancelled', calls.state, count(*) DESC, fetches.step, calls.class LIMIT ?2";
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

/// Counts what plans leave out.
pub(super) async fn leave_out(tx: &mut SqliteConnection, plans: &[&Plan]) -> Result<(), LedgerError> {
    let rows = crate::tally::left_out(plans);
    if rows.is_empty() {
        return Ok(());
    }
    let rows = rows.iter().map(|((job, step), fetches)| json!([job.hex(), step, fetches]));
    let sql = "/* leave_out */
        INSERT INTO left_out (job_id, step, fetches)
        SELECT unhex(value ->> 0), value ->> 1, value ->> 2 FROM json_each(?1) WHERE true
        ON CONFLICT (job_id, step) DO UPDATE SET fetches = left_out.fetches + excluded.fetches";
    sqlx::query(sql).bind(serde_json::Value::from_iter(rows).to_string()).execute(tx).await?;
    Ok(())
}

pub(super) async fn waiting(
    connection: &mut SqliteConnection,
    job: JobId,
    now_ms: i64,
) -> Result<Vec<Waiting>, LedgerError> {
    let sql = "/* waiting */
        SELECT wait -> 'reason' AS reason, count(*) AS calls, min(wait ->> 'until_ms') AS until_ms,
            max(wait ->> 'until_ms') AS last_until_ms
        FROM calls WHERE job_id = ?1 AND state = 'released' AND wait ->> 'until_ms' > ?2
        GROUP BY wait -> 'reason' ORDER BY count(*) DESC, min(wait ->> 'until_ms') DESC LIMIT 100";
    let rows = sqlx::query(sql).bind(&job.as_bytes()[..]).bind(now_ms).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            let reason: Json<WaitReason> = row.try_get("reason")?;
            let (until_ms, last_until_ms) = (row.try_get("until_ms")?, row.try_get("last_until_ms")?);
            Ok(Waiting { reason: reason.0, calls: count(row, "calls")?, until_ms, last_until_ms })
        })
        .collect()
}
