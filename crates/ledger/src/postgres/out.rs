//! What of a job is out, and how fast its pages come.

use sqlx::PgConnection;
use tidegate_contracts::{FetchId, JobId};
use uuid::Uuid;

use super::rows::{count, json};
use crate::{LedgerError, OutCall, OutGroup, Pace};

pub(super) async fn out(
    connection: &mut PgConnection,
    job: JobId,
    fetch: Option<FetchId>,
    now_ms: i64,
) -> Result<Vec<OutGroup>, LedgerError> {
    let rows = sqlx::query!(
        r#"/* out */
        WITH groups AS (
            SELECT CASE WHEN wait_until_ms > $2 THEN wait_reason END AS reason, count(*) AS calls,
                min(CASE WHEN wait_until_ms > $2 THEN wait_until_ms END) AS first_due_ms,
                max(CASE WHEN wait_until_ms > $2 THEN wait_until_ms END) AS last_due_ms, (array_agg(id))[1] AS example
            FROM calls WHERE job_id = $1 AND state = 'released' AND ($3::uuid IS NULL OR fetch_id = $3)
            GROUP BY 1 ORDER BY count(*) DESC LIMIT 100)
        SELECT groups.reason, groups.calls AS "calls!", groups.first_due_ms, groups.last_due_ms, calls.id, calls.fetch_id,
            calls.pointer, fetches.step
        FROM groups JOIN calls ON calls.id = groups.example JOIN fetches ON fetches.id = calls.fetch_id
        ORDER BY groups.calls DESC"#,
        Uuid::from(job),
        now_ms,
        fetch.map(Uuid::from) as _,
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        let pointer = json(&row.pointer, "a page pointer")?;
        Ok(OutGroup {
            reason: row.reason.map(|reason| json(&reason, "why a call waits")).transpose()?,
            calls: count(row.calls, "calls")?,
            first_due_ms: row.first_due_ms,
            last_due_ms: row.last_due_ms,
            example: Some(OutCall { call: row.id.into(), fetch: row.fetch_id.into(), step: row.step, pointer }),
        })
    });
    rows.collect()
}

pub(super) async fn pace(connection: &mut PgConnection, job: JobId, pages: u32) -> Result<Option<Pace>, LedgerError> {
    let row = sqlx::query!(
        r#"/* pace */
        SELECT count(*) AS "pages!", min(stored_at_ms) AS since_ms FROM (SELECT stored_at_ms FROM pages
            WHERE job_id = $1 ORDER BY seq DESC LIMIT $2) AS last_pages"#,
        Uuid::from(job),
        i64::from(pages),
    );
    let row = row.fetch_one(connection).await?;
    let pages = count(row.pages, "pages")?;
    Ok(row.since_ms.map(|since_ms| Pace { pages, since_ms }))
}
