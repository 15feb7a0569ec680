//! Jobs that are paused, or whose credential is parked: no new call goes out, what is out comes back and is planned.

use sqlx::PgConnection;
use tidegate_contracts::{CallEnd, CallId, JobId};
use uuid::Uuid;

use crate::LedgerError;

pub(super) async fn paused(connection: &mut PgConnection, jobs: &[JobId]) -> Result<Vec<JobId>, LedgerError> {
    let ids: Vec<Uuid> = jobs.iter().map(|job| (*job).into()).collect();
    let found = sqlx::query_scalar!(
        "/* paused */
        SELECT id FROM jobs WHERE id = ANY($1) AND (paused_at_ms IS NOT NULL OR parked IS NOT NULL)",
        &ids,
    );
    Ok(found.fetch_all(connection).await?.into_iter().map(JobId::from).collect())
}

pub(super) async fn parked(
    connection: &mut PgConnection,
    tenant: &str,
    credential: &str,
) -> Result<Vec<JobId>, LedgerError> {
    let found = sqlx::query_scalar!(
        "/* parked */
        SELECT id FROM jobs WHERE tenant = $1 AND finished_at_ms IS NULL AND credentials IS NOT NULL
            AND $2 = ANY (string_to_array(credentials, ',')) AND parked IS NOT NULL AND paused_at_ms IS NULL",
        tenant,
        credential,
    );
    Ok(found.fetch_all(connection).await?.into_iter().map(JobId::from).collect())
}

/// Whether the job is paused now. One that is paused stays so since when it was.
pub(super) async fn pause(connection: &mut PgConnection, job: JobId, now_ms: i64) -> Result<bool, LedgerError> {
    let paused = sqlx::query!(
        "/* pause_job */
        UPDATE jobs SET paused_at_ms = coalesce(paused_at_ms, $2)
        WHERE id = $1 AND finished_at_ms IS NULL AND stop IS NULL",
        Uuid::from(job),
        now_ms,
    );
    Ok(paused.execute(connection).await?.rows_affected() > 0)
}

pub(super) async fn resume(connection: &mut PgConnection, job: JobId) -> Result<(), LedgerError> {
    let resumed = sqlx::query!(
        "/* resume_job */ UPDATE jobs SET paused_at_ms = NULL WHERE id = $1 AND paused_at_ms IS NOT NULL",
        Uuid::from(job),
    );
    resumed.execute(connection).await?;
    Ok(())
}

/// Plans calls of locked jobs again that came back unmade, each named once. Returns, for each that was out, its id,
/// its job, and how many more requests were told of.
pub(super) async fn take_back(
    tx: &mut PgConnection,
    returned: &[(JobId, &CallEnd)],
) -> Result<Vec<(CallId, JobId, i64)>, LedgerError> {
    if returned.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = returned.iter().map(|(_, call)| call.call.into()).collect();
    let jobs: Vec<Uuid> = returned.iter().map(|(job, _)| (*job).into()).collect();
    let attempts: Vec<i64> = returned.iter().map(|(_, call)| call.attempt.into()).collect();
    let requests: Vec<i64> = returned.iter().map(|(_, call)| call.requests.into()).collect();
    let back = sqlx::query!(
        r#"/* take_back_calls */
        UPDATE calls SET state = 'planned', again = true, attempt = greatest(calls.attempt, back.attempt),
            requests = greatest(calls.requests, back.requests), lost_at_ms = NULL, wait_until_ms = NULL,
            wait_reason = NULL
        FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[]) AS back (id, job_id, attempt, requests)
            JOIN calls AS out ON out.id = back.id AND out.job_id = back.job_id AND out.state = 'released'
        WHERE calls.id = out.id
        RETURNING calls.id, calls.job_id, greatest(back.requests - out.requests, 0) AS "more!""#,
        &ids,
        &jobs,
        &attempts,
        &requests,
    );
    Ok(back.fetch_all(tx).await?.into_iter().map(|row| (row.id.into(), row.job_id.into(), row.more)).collect())
}
