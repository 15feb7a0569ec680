//! Storing new jobs.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::shown::shown;
use crate::{LedgerError, NewJob, Submitted, notices, submit};

/// Longest name of a job, in characters.
const NAME_MAX_CHARS: usize = 200;

/// One statement, and another if the job was not stored: of two at once with one key, the second waits at the index for the
/// first one's end.
pub(super) async fn submit(connection: &mut PgConnection, job: &NewJob, now_ms: i64) -> Result<Submitted, LedgerError> {
    let inserted = sqlx::query!(
        "/* submit_job */
        WITH new_job AS (
            INSERT INTO jobs (id, tenant, name, fingerprint, provider, lane, state, submitted_at_ms, idempotency_key, body_hash,
                notify, deadline_ms, deadline_at_ms, max_calls, calls_left, extend, credentials)
            VALUES ($1, $2, $3, $4, $5, $6, 'submitted', $7, $8, $9, $11, $12::bigint, $7 + $12::bigint, $13::bigint,
                $13::bigint, $14, $15)
            ON CONFLICT DO NOTHING RETURNING id)
        INSERT INTO specs (job_id, spec) SELECT id, $10 FROM new_job",
        Uuid::from(job.id),
        job.tenant,
        shown(&job.name, NAME_MAX_CHARS),
        job.fingerprint,
        job.provider,
        job.lane.name(),
        now_ms,
        job.idempotency.as_ref().map(|idempotency| &idempotency.key) as _,
        job.idempotency.as_ref().map(|idempotency| &idempotency.body_hash) as _,
        job.spec,
        notices::wanted(&job.spec) as _,
        job.bounds.deadline_ms as _,
        job.bounds.max_calls as _,
        job.extend,
        submit::credentials(&job.spec) as _,
    )
    .execute(&mut *connection)
    .await?;
    if inserted.rows_affected() > 0 { Ok(Submitted::New) } else { before(connection, job).await }
}

/// Which job was there before, and whether it is the same: by its key if it has one, else by its id.
async fn before(connection: &mut PgConnection, job: &NewJob) -> Result<Submitted, LedgerError> {
    let Some(idempotency) = &job.idempotency else { return Ok(Submitted::Same(job.id)) };
    let found = sqlx::query!(
        "/* job_of_key */ SELECT id, body_hash FROM jobs WHERE tenant = $1 AND idempotency_key = $2",
        job.tenant,
        idempotency.key,
    )
    .fetch_optional(connection)
    .await?;
    Ok(match found {
        None => Submitted::Same(job.id),
        Some(row) if row.body_hash.as_ref() == Some(&idempotency.body_hash) => Submitted::Same(row.id.into()),
        Some(row) => Submitted::Different(row.id.into()),
    })
}
