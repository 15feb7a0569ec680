//! Statements about calls.

use std::collections::{HashMap, HashSet};

use serde_json::json;
use sqlx::{Row, SqliteConnection};
use tidegate_contracts::{CallEnd, CallId, End, Failure, FetchId, JobId, NewFetch, PagePointer};

use super::rows::{call_id, fetch_id};
use crate::LedgerError;
use crate::tally::{GivenUp, Open};

/// Calls in one statement: bounds the memory of a plan for very many pages.
const CALLS_PER_STATEMENT: usize = 2_000;

/// Which of these calls are open. A held one can't have been made: what is told of it is from before its job was tried
/// again, and it is told again when its turn has come.
pub(super) async fn open(
    tx: &mut SqliteConnection,
    ids: impl Iterator<Item = CallId>,
) -> Result<HashMap<CallId, Open>, LedgerError> {
    let ids: Vec<String> = ids.map(|id| id.hex()).collect();
    if ids.is_empty() {
        return Ok(HashMap::new());
    }
    let sql = "/* open_calls */
        SELECT id, state = 'released' AS released, requests FROM calls
        WHERE id IN (SELECT unhex(value) FROM json_each(?1)) AND state IN ('planned', 'released') AND held = 0";
    let rows = sqlx::query(sql).bind(json!(ids).to_string()).fetch_all(tx).await?;
    rows.iter()
        .map(|row| {
            let open = Open { released: row.try_get("released")?, requests: row.try_get("requests")? };
            Ok((call_id(row, "id")?, open))
        })
        .collect()
}

/// Ends open calls.
pub(super) async fn end(tx: &mut SqliteConnection, ends: &[&CallEnd], now_ms: i64) -> Result<(), LedgerError> {
    if ends.is_empty() {
        return Ok(());
    }
    let rows: Vec<_> = ends
        .iter()
        .map(|ended| {
            let (state, failure, tolerated) = match &ended.end {
                End::Skipped { failure } => ("skipped", Some(failure), false),
                End::Failed { failure, tolerated } => ("failed", Some(failure), *tolerated),
                End::Cancelled => ("cancelled", None, false),
                End::Succeeded { .. } | End::Deferred { .. } | End::Returned => ("succeeded", None, false),
            };
            json!({
                "id": ended.call.hex(), "state": state, "attempt": ended.attempt, "requests": ended.requests,
                "tolerated": tolerated,
                "class": failure.map(|f| f.class), "status": failure.and_then(|f| f.status),
                "message": failure.map(|f| &f.message),
            })
        })
        .collect();
    let sql = "/* end_calls */
        UPDATE calls SET state = ended.state, attempt = ended.attempt, requests = max(calls.requests, ended.requests),
            class = ended.class, status = ended.status, message = ended.message, tolerated = ended.tolerated, ended_at_ms = ?2, lost_at_ms = NULL, wait = NULL
        FROM (SELECT unhex(value ->> 'id') AS id, value ->> 'state' AS state, value ->> 'attempt' AS attempt,
                value ->> 'requests' AS requests, value ->> 'class' AS class, value ->> 'status' AS status,
                substr(value ->> 'message', 1, 1000) AS message, value ->> 'tolerated' AS tolerated FROM json_each(?1)) AS ended
        WHERE calls.id = ended.id";
    sqlx::query(sql).bind(serde_json::Value::from(rows).to_string()).bind(now_ms).execute(tx).await?;
    Ok(())
}

/// Notes that released calls wait. What was said earlier never takes the place of what was said later.
pub(super) async fn defer(
    tx: &mut SqliteConnection,
    deferred: impl Iterator<Item = &CallEnd>,
    lease_ms: i64,
) -> Result<(), LedgerError> {
    let rows: Vec<_> = deferred
        .filter_map(|ended| match &ended.end {
            End::Deferred { wait } => Some(json!({
                "id": ended.call.hex(), "attempt": ended.attempt, "requests": ended.requests, "wait": wait,
                "lost": wait.until_ms.saturating_add(lease_ms),
            })),
            _ => None,
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    let sql = "/* defer_calls */
        UPDATE calls SET attempt = late.attempt, requests = late.requests, wait = late.wait, lost_at_ms = late.lost
        FROM (SELECT unhex(value ->> 'id') AS id, value ->> 'attempt' AS attempt, value ->> 'requests' AS requests,
                value ->> 'wait' AS wait, value ->> 'lost' AS lost FROM json_each(?1)) AS late
        WHERE calls.id = late.id AND calls.state = 'released'
            AND (late.requests, late.wait ->> 'until_ms') >= (calls.requests, coalesce(calls.wait ->> 'until_ms', 0))";
    sqlx::query(sql).bind(serde_json::Value::from(rows).to_string()).execute(tx).await?;
    Ok(())
}

/// A page to plan: its fetch, where it stands, its place, and whether it is held.
pub(super) type NewCall = (FetchId, PagePointer, u32, bool);

macro_rules! plan_calls {
    ($returning:literal) => {
        concat!(
            "/* plan_calls */
             INSERT INTO calls (id, job_id, fetch_id, pointer, ordinal, state, held)
             SELECT unhex(value ->> 0), ?2, unhex(value ->> 1), value ->> 2, value ->> 3, 'planned', value ->> 4
             FROM json_each(?1)
             WHERE true ON CONFLICT (id) DO NOTHING ",
            $returning
        )
    };
}

/// Plans pages of any fetches of one job, however many. Returns how many were new: a page that is known already keeps
/// its call.
pub(super) async fn plan(
    tx: &mut SqliteConnection,
    job: JobId,
    pages: &mut (dyn Iterator<Item = NewCall> + Send),
) -> Result<i64, LedgerError> {
    let mut new = 0;
    loop {
        let chunk: Vec<NewCall> = (&mut *pages).take(CALLS_PER_STATEMENT).collect();
        if chunk.is_empty() {
            return Ok(i64::try_from(new).unwrap_or(i64::MAX));
        }
        let query = sqlx::query(plan_calls!("")).bind(plan_rows(&chunk)).bind(&job.as_bytes()[..]);
        new += query.execute(&mut *tx).await?.rows_affected();
    }
}

/// As [`plan`]; returns which calls were new.
pub(super) async fn plan_named(
    tx: &mut SqliteConnection,
    job: JobId,
    pages: &[NewCall],
) -> Result<HashSet<CallId>, LedgerError> {
    let mut new = HashSet::with_capacity(pages.len());
    for chunk in pages.chunks(CALLS_PER_STATEMENT) {
        let query = sqlx::query(plan_calls!("RETURNING id")).bind(plan_rows(chunk)).bind(&job.as_bytes()[..]);
        for row in query.fetch_all(&mut *tx).await? {
            new.insert(call_id(&row, "id")?);
        }
    }
    Ok(new)
}

fn plan_rows(pages: &[NewCall]) -> String {
    let row = |(fetch, pointer, ordinal, held): &NewCall| {
        json!([CallId::derive(*fetch, pointer).hex(), fetch.hex(), pointer, ordinal, u8::from(*held)])
    };
    serde_json::Value::from_iter(pages.iter().map(row)).to_string()
}

/// Records the one call of a fetch that can't begin.
pub(super) async fn plan_failed(
    tx: &mut SqliteConnection,
    job: JobId,
    fetch: &NewFetch,
    failure: &Failure,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let sql = "/* plan_failed_call */
        INSERT INTO calls (id, job_id, fetch_id, pointer, ordinal, state, class, message, tolerated, ended_at_ms)
        VALUES (?1, ?2, ?3, ?4, 0, 'failed', ?5, substr(?6, 1, 1000), ?7, ?8) ON CONFLICT (id) DO NOTHING";
    sqlx::query(sql)
        .bind(&CallId::derive(fetch.fetch, &PagePointer::First).as_bytes()[..])
        .bind(&job.as_bytes()[..])
        .bind(&fetch.fetch.as_bytes()[..])
        .bind(json!(PagePointer::First).to_string())
        .bind(failure.class.name())
        .bind(&failure.message)
        .bind(fetch.tolerated)
        .bind(now_ms)
        .execute(tx)
        .await?;
    Ok(())
}

/// Gives up the planned calls of a job.
pub(super) async fn cancel(tx: &mut SqliteConnection, job: JobId, now_ms: i64) -> Result<Vec<GivenUp>, LedgerError> {
    let sql = "/* count_planned_calls */
        SELECT fetch_id, count(*) AS calls, sum(held) AS held FROM calls WHERE job_id = ?1 AND state = 'planned' GROUP BY fetch_id";
    let rows = sqlx::query(sql).bind(&job.as_bytes()[..]).fetch_all(&mut *tx).await?;
    let sql = "/* cancel_calls */
        UPDATE calls SET state = 'cancelled', held = 0, ended_at_ms = ?2 WHERE job_id = ?1 AND state = 'planned'";
    sqlx::query(sql).bind(&job.as_bytes()[..]).bind(now_ms).execute(tx).await?;
    rows.iter()
        .map(|row| {
            let (calls, held) = (row.try_get("calls")?, row.try_get("held")?);
            Ok(GivenUp { fetch: fetch_id(row, "fetch_id")?, calls, held, released: 0 })
        })
        .collect()
}

/// Gives up the parked calls of a job: those that nobody makes before a time that has not come.
pub(super) async fn cancel_parked(
    tx: &mut SqliteConnection,
    job: JobId,
    now_ms: i64,
) -> Result<Vec<GivenUp>, LedgerError> {
    let sql = "/* cancel_parked_calls */
        UPDATE calls SET state = 'cancelled', ended_at_ms = ?2, lost_at_ms = NULL, wait = NULL
        WHERE job_id = ?1 AND state = 'released' AND wait ->> 'until_ms' > ?2 RETURNING fetch_id";
    let rows = sqlx::query(sql).bind(&job.as_bytes()[..]).bind(now_ms).fetch_all(tx).await?;
    rows.iter().map(|row| Ok(GivenUp { fetch: fetch_id(row, "fetch_id")?, calls: 1, held: 0, released: 1 })).collect()
}
