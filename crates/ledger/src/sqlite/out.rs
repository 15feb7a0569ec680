//! What of a job is out, and how fast its pages come.

use sqlx::types::Json;
use sqlx::{Row, SqliteConnection};
use tidegate_contracts::{FetchId, JobId, PagePointer, WaitReason};

use super::rows::{call_id, count, fetch_id};
use crate::{LedgerError, OutCall, OutGroup, Pace};

pub(super) async fn out(
    connection: &mut SqliteConnection,
    job: JobId,
    fetch: Option<FetchId>,
    now_ms: i64,
) -> Result<Vec<OutGroup>, LedgerError> {
    // Beside an aggregate, bare columns are of one row of the group (<https://www.sqlite.org/lang_select.html#bareagg>).
    let sql = "/* out */
        SELECT iif(wait ->> 'until_ms' > ?2, wait -> 'reason', NULL) AS reason, count(*) AS calls, min(seq) AS seq,
            iif(wait ->> 'until_ms' > ?2, min(wait ->> 'until_ms'), NULL) AS first_due_ms,
            iif(wait ->> 'until_ms' > ?2, max(wait ->> 'until_ms'), NULL) AS last_due_ms
        FROM calls WHERE job_id = ?1 AND state = 'released' AND (?3 IS NULL OR fetch_id = ?3)
        GROUP BY 1 ORDER BY count(*) DESC LIMIT 100";
    let rows = sqlx::query(sql)
        .bind(&job.as_bytes()[..])
        .bind(now_ms)
        .bind(fetch.as_ref().map(|fetch| &fetch.as_bytes()[..]))
        .fetch_all(&mut *connection)
        .await?;
    let mut groups = Vec::with_capacity(rows.len());
    for row in &rows {
        let reason: Option<Json<WaitReason>> = row.try_get("reason")?;
        groups.push(OutGroup {
            reason: reason.map(|reason| reason.0),
            calls: count(row, "calls")?,
            first_due_ms: row.try_get("first_due_ms")?,
            last_due_ms: row.try_get("last_due_ms")?,
            example: example(connection, row.try_get("seq")?).await?,
        });
    }
    Ok(groups)
}

async fn example(connection: &mut SqliteConnection, seq: i64) -> Result<Option<OutCall>, LedgerError> {
    let sql = "/* out_example */
        SELECT calls.id, calls.fetch_id, calls.pointer, fetches.step
        FROM calls JOIN fetches ON fetches.id = calls.fetch_id WHERE calls.seq = ?1";
    let Some(row) = sqlx::query(sql).bind(seq).fetch_optional(connection).await? else { return Ok(None) };
    let pointer: Json<PagePointer> = row.try_get("pointer")?;
    let (call, fetch) = (call_id(&row, "id")?, fetch_id(&row, "fetch_id")?);
    Ok(Some(OutCall { call, fetch, step: row.try_get("step")?, pointer: pointer.0 }))
}

pub(super) async fn pace(
    connection: &mut SqliteConnection,
    job: JobId,
    pages: u32,
) -> Result<Option<Pace>, LedgerError> {
    let sql = "/* pace */
        SELECT count(*) AS pages, min(stored_at_ms) AS since_ms FROM (SELECT stored_at_ms FROM pages
            WHERE job_seq = (SELECT seq FROM jobs WHERE id = ?1) ORDER BY seq DESC LIMIT ?2)";
    let row = sqlx::query(sql).bind(&job.as_bytes()[..]).bind(pages).fetch_one(connection).await?;
    let since_ms: Option<i64> = row.try_get("since_ms")?;
    since_ms.map(|since_ms| Ok(Pace { pages: count(&row, "pages")?, since_ms })).transpose()
}
