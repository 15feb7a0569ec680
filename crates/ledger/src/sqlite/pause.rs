//! Jobs that are paused, or whose credential is parked: no new call goes out, what is out comes back and is planned.

use serde_json::json;
use sqlx::SqliteConnection;
use tidegate_contracts::{CallEnd, JobId};

use super::rows::job_id;
use crate::LedgerError;

pub(super) async fn paused(connection: &mut SqliteConnection, jobs: &[JobId]) -> Result<Vec<JobId>, LedgerError> {
    let ids: Vec<String> = jobs.iter().map(JobId::hex).collect();
    let sql = "/* paused */
        SELECT id FROM jobs WHERE id IN (SELECT unhex(value) FROM json_each(?1)) 
            AND (paused_at_ms IS NOT NULL OR parked IS NOT NULL)";
    let rows = sqlx::query(sql).bind(json!(ids).to_string()).fetch_all(connection).await?;
    rows.iter().map(|row| job_id(row, "id")).collect()
}

pub(super) async fn parked(
    connection: &mut SqliteConnection,
    tenant: &str,
    credential: &str,
) -> Result<Vec<JobId>, LedgerError> {
    let sql = "/* parked */
        SELECT id FROM jobs WHERE tenant = ?1 AND finished_at_ms IS NULL AND credentials IS NOT NULL
            AND instr(',' || credentials || ',', ',' || ?2 || ',') > 0 AND parked IS NOT NULL AND paused_at_ms IS NULL";
    let rows = sqlx::query(sql).bind(tenant).bind(credential).fetch_all(connection).await?;
    rows.iter().map(|row| job_id(row, "id")).collect()
}

/// Whether the job is paused now. One that is paused stays so since when it was.
pub(super) async fn pause(tx: &mut SqliteConnection, job: JobId, now_ms: i64) -> Result<bool, LedgerError> {
    let sql = "/* pause_job */
        UPDATE jobs SET paused_at_ms = coalesce(paused_at_ms, ?2)
        WHERE id = ?1 AND finished_at_ms IS NULL AND stop IS NULL";
    let paused = sqlx::query(sql).bind(&job.as_bytes()[..]).bind(now_ms).execute(tx).await?;
    Ok(paused.rows_affected() > 0)
}

pub(super) async fn resume(tx: &mut SqliteConnection, job: JobId) -> Result<(), LedgerError> {
    let sql = "/* resume_job */ UPDATE jobs SET paused_at_ms = NULL WHERE id = ?1";
    sqlx::query(sql).bind(&job.as_bytes()[..]).execute(tx).await?;
    Ok(())
}

/// Plans released calls again that came back unmade.
pub(super) async fn take_back(tx: &mut SqliteConnection, returned: &[&CallEnd]) -> Result<(), LedgerError> {
    if returned.is_empty() {
        return Ok(());
    }
    let row = |call: &&CallEnd| json!([call.call.hex(), call.attempt, call.requests]);
    let rows: Vec<_> = returned.iter().map(row).collect();
    let sql = "/* take_back_calls */
        UPDATE calls SET state = 'planned', again = 1, attempt = max(calls.attempt, back.attempt),
            requests = max(calls.requests, back.requests), lost_at_ms = NULL, wait = NULL
        FROM (SELECT unhex(value ->> 0) AS id, value ->> 1 AS attempt, value ->> 2 AS requests FROM json_each(?1)) AS back
        WHERE calls.id = back.id AND calls.state = 'released'";
    sqlx::query(sql).bind(serde_json::Value::from(rows).to_string()).execute(tx).await?;
    Ok(())
}
