//! Statements for people.

use sqlx::PgConnection;
use tidegate_contracts::{JobId, Plan};
use uuid::Uuid;

use super::rows::{count, json};
use crate::{FailureGroup, LedgerError, Waiting};

pub(super) async fn failures(
    connection: &mut PgConnection,
    job: JobId,
    limit: u32,
) -> Result<Vec<FailureGroup>, LedgerError> {
    let rows = sqlx::query!(
        r#"/* failures */
        SELECT fetches.step, calls.state, coalesce(calls.class, calls.state) AS "class!", calls.status,
            coalesce(calls.message, '') AS "message!",
            count(*) AS "calls!", min(fetches.params) AS "example!"
        FROM calls JOIN fetches ON fetches.id = calls.fetch_id
        WHERE calls.job_id = $1 AND calls.state IN ('skipped', 'failed', 'cancelled')
            -- Those that a stop gave up say nothing.
            AND (calls.state <> 'cancelled' OR calls.message IS NOT NULL)
        GROUP BY fetches.step, calls.state, calls.class, calls.status, calls.message
        ORDER BY calls.state = 'cancelled', calls.state, count(*) DESC, fetches.step, calls.class LIMIT $2"#,
        Uuid::from(job),
        i64::from(limit),
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        Ok(FailureGroup {
            step: row.step,
            state: row.state,
            class: row.class,
            status: row.status.and_then(|status| u16::try_from(status).ok()),
            message: row.message,
            calls: count(row.calls, "calls")?,
            example: row.example,
        })
    });
    rows.collect()
}

/// Counts what plans leave out.
pub(super) async fn leave_out(tx: &mut PgConnection, plans: &[&Plan]) -> Result<(), LedgerError> {
    let rows = crate::tally::left_out(plans);
    if rows.is_empty() {
        return Ok(());
    }
    let jobs: Vec<Uuid> = rows.keys().map(|(job, _)| (*job).into()).collect();
    let steps: Vec<String> = rows.keys().map(|(_, step)| (*step).to_owned()).collect();
    let fetches: Vec<i64> = rows.into_values().collect();
    let left_out = sqlx::query!(
        "/* leave_out */
        INSERT INTO left_out (job_id, step, fetches)
        SELECT more.job_id, more.step, more.fetches
        FROM unnest($1::uuid[], $2::text[], $3::bigint[]) AS more (job_id, step, fetches)
        ON CONFLICT (job_id, step) DO UPDATE SET fetches = left_out.fetches + excluded.fetches",
        &jobs,
        &steps,
        &fetches,
    );
    left_out.execute(tx).await?;
    Ok(())
}

pub(super) async fn waiting(
    connection: &mut PgConnection,
    job: JobId,
    now_ms: i64,
) -> Result<Vec<Waiting>, LedgerError> {
    let rows = sqlx::query!(
        r#"/* waiting */
        SELECT wait_reason AS "reason!", count(*) AS "calls!", min(wait_until_ms) AS "until_ms!",
            max(wait_until_ms) AS "last_until_ms!"
        FROM calls WHERE job_id = $1 AND state = 'released' AND wait_until_ms > $2
        GROUP BY wait_reason ORDER BY count(*) DESC, min(wait_until_ms) DESC LIMIT 100"#,
        Uuid::from(job),
        now_ms,
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        let reason = json(&row.reason, "why a call waits")?;
        let (until_ms, last_until_ms) = (row.until_ms, row.last_until_ms);
        Ok(Waiting { reason, calls: count(row.calls, "calls")?, until_ms, last_until_ms })
    });
    rows.collect()
}
