//! Releasing calls into the windows, and again when they were lost.

use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::types::Json;
use sqlx::{Row, SqliteConnection};
use tidegate_contracts::{Call, JobId, Lane, PagePointer, Params, Wait};

use super::jobs::{self, lane};
use super::rows::{call_id, fetch_id, job_id, mark, small};
use crate::head::Heads;
use crate::tally::Tally;
use crate::{LedgerError, Windows};

/// Releases planned calls of these jobs while their windows have room and their bounds allow.
pub(super) async fn fill(
    tx: &mut SqliteConnection,
    heads: &Heads,
    tally: &mut Tally,
    windows: &Windows,
    now_ms: i64,
) -> Result<Vec<Call>, LedgerError> {
    let sql = "/* release_calls */
        UPDATE calls SET state = 'released', lost_at_ms = ?3
        WHERE seq IN (SELECT seq FROM calls WHERE job_id = ?1 AND state = 'planned' AND held = 0 ORDER BY seq LIMIT ?2)
        RETURNING seq, id, fetch_id, pointer, ordinal, attempt, requests, again,
            (SELECT step FROM fetches WHERE fetches.id = calls.fetch_id) AS step,
            (SELECT params FROM fetches WHERE fetches.id = calls.fetch_id) AS params,
            (SELECT since FROM fetches WHERE fetches.id = calls.fetch_id) AS since";
    let lost_at_ms = now_ms + windows.lease_ms;
    let mut released = Vec::new();
    for (job, head) in heads.iter().filter(|(_, head)| head.may_release(now_ms)) {
        let delta = tally.job(*job);
        let out = head.released + delta.released;
        let left = head.left.map_or(i64::MAX, |left| left - delta.begun);
        let planned = head.open + delta.open - out - head.held - delta.held;
        let room = (i64::from(windows.of(&head.provider, head.lane)) - out).min(planned).min(left);
        if room <= 0 {
            continue;
        }
        let query = sqlx::query(sql).bind(&job.as_bytes()[..]).bind(room).bind(lost_at_ms);
        let mut rows = query.fetch_all(&mut *tx).await?;
        // What an update returns comes in no stated order (<https://www.sqlite.org/lang_returning.html>).
        rows.sort_by_key(|row| row.get::<i64, _>("seq"));
        delta.released += rows.len() as i64;
        delta.begun += rows.len() as i64;
        for row in &rows {
            released.push(read(row, *job, &head.provider, head.lane)?);
        }
    }
    Ok(released)
}

/// Releases planned calls that no commit has released though their windows have room: of jobs that are tried again, or
/// whose windows have grown.
pub(super) async fn stalled(
    tx: &mut SqliteConnection,
    windows: &Windows,
    now_ms: i64,
) -> Result<Vec<Call>, LedgerError> {
    let ids = jobs::stalled(tx).await?;
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let heads = jobs::heads(tx, ids).await?;
    let mut tally = Tally::default();
    let released = fill(tx, &heads, &mut tally, windows, now_ms).await?;
    jobs::add(tx, &tally, now_ms).await?;
    Ok(released)
}

/// Released calls that are lost, released again.
pub(super) async fn again(
    tx: &mut SqliteConnection,
    everything: bool,
    windows: &Windows,
    now_ms: i64,
) -> Result<Vec<(Call, i64)>, LedgerError> {
    let sql = "/* lost_calls */
        SELECT calls.seq, calls.id, calls.job_id, calls.fetch_id, calls.pointer, calls.ordinal, calls.attempt,
            calls.requests, 1 AS again, calls.wait, fetches.step, fetches.params, fetches.since, jobs.provider, jobs.lane
        FROM jobs CROSS JOIN calls ON calls.job_id = jobs.id JOIN fetches ON fetches.id = calls.fetch_id
        WHERE jobs.finished_at_ms IS NULL AND calls.state = 'released' AND calls.lost_at_ms <= ?1 ORDER BY calls.seq";
    let rows = sqlx::query(sql).bind(if everything { i64::MAX } else { now_ms }).fetch_all(&mut *tx).await?;
    let (mut calls, mut leases) = (Vec::new(), Vec::new());
    for row in &rows {
        let wait: Option<Json<Wait>> = row.try_get("wait")?;
        let due_ms = wait.map_or(0, |wait| wait.0.until_ms).max(0);
        let due_ms = if due_ms > now_ms { due_ms } else { 0 };
        let call = read(row, job_id(row, "job_id")?, row.try_get("provider")?, lane(row.try_get("lane")?)?)?;
        leases.push(json!([row.try_get::<i64, _>("seq")?, due_ms.max(now_ms) + windows.lease_ms]));
        calls.push((call, due_ms));
    }
    let sql = "/* lease_again */
        UPDATE calls SET again = 1, lost_at_ms = lease.lost_at_ms
        FROM (SELECT value ->> 0 AS seq, value ->> 1 AS lost_at_ms FROM json_each(?1)) AS lease
        WHERE calls.seq = lease.seq";
    sqlx::query(sql).bind(json!(leases).to_string()).execute(&mut *tx).await?;
    Ok(calls)
}

fn read(row: &SqliteRow, job: JobId, provider: &str, lane: Lane) -> Result<Call, LedgerError> {
    let pointer: Json<PagePointer> = row.try_get("pointer")?;
    let params: Json<Params> = row.try_get("params")?;
    Ok(Call {
        job,
        fetch: fetch_id(row, "fetch_id")?,
        call: call_id(row, "id")?,
        step: row.try_get("step")?,
        params: params.0,
        pointer: pointer.0,
        ordinal: small(row, "ordinal")?,
        since: row.try_get::<Option<String>, _>("since")?.map(mark).transpose()?,
        attempt: small(row, "attempt")?,
        requests: small(row, "requests")?,
        failing_since_ms: None,
        waited_for: None,
        again: row.try_get("again")?,
        provider: provider.to_owned(),
        lane,
    })
}
