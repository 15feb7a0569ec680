//! Storing new jobs.

use sqlx::{Row, SqliteConnection};

use super::rows::job_id;
use crate::{LedgerError, NewJob, Submitted, notices, submit};

pub(super) async fn submit(tx: &mut SqliteConnection, job: &NewJob, now_ms: i64) -> Result<Submitted, LedgerError> {
    let sql = "/* submit_job */
        INSERT INTO jobs (id, tenant, name, fingerprint, spec, provider, lane, state, submitted_at_ms, idempotency_key,
            body_hash, notify, deadline_ms, deadline_at_ms, max_calls, calls_left, extend, credentials)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'submitted', ?8, ?9, ?10, ?11, ?12, ?8 + ?12, ?13, ?13, ?14, ?15)
        ON CONFLICT DO NOTHING";
    let inserted = sqlx::query(sql)
        .bind(&job.id.as_bytes()[..])
        .bind(&job.tenant)
        .bind(&job.name)
        .bind(&job.fingerprint)
        .bind(&job.spec)
        .bind(&job.provider)
        .bind(job.lane.name())
        .bind(now_ms)
        .bind(job.idempotency.as_ref().map(|idempotency| &idempotency.key))
        .bind(job.idempotency.as_ref().map(|idempotency| &idempotency.body_hash))
        .bind(notices::wanted(&job.spec))
        .bind(job.bounds.deadline_ms)
        .bind(job.bounds.max_calls)
        .bind(job.extend)
        .bind(submit::credentials(&job.spec))
        .execute(&mut *tx)
        .await?;
    if inserted.rows_affected() > 0 {
        return Ok(Submitted::New);
    }
    before(tx, job).await
}

/// Which job was there before, and whether it is the same: by its key if it has one, else by its id.
async fn before(tx: &mut SqliteConnection, job: &NewJob) -> Result<Submitted, LedgerError> {
    let Some(idempotency) = &job.idempotency else { return Ok(Submitted::Same(job.id)) };
    let sql = "/* job_of_key */ SELECT id, body_hash FROM jobs WHERE tenant = ?1 AND idempotency_key = ?2";
    let Some(row) = sqlx::query(sql).bind(&job.tenant).bind(&idempotency.key).fetch_optional(tx).await? else {
        return Ok(Submitted::Same(job.id));
    };
    let id = job_id(&row, "id")?;
    let same = row.try_get::<&str, _>("body_hash")? == idempotency.body_hash;
    Ok(if same { Submitted::Same(id) } else { Submitted::Different(id) })
}
