//! Statements about calls.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use tidegate_contracts::{CallEnd, CallId, End, FetchId, JobId, NewFetch, PagePointer, Wait};
use uuid::Uuid;

use super::rows::to_json;
use crate::LedgerError;
use crate::shown::shown;
use crate::tally::{GivenUp, Open};

/// Calls in one statement: bounds the memory of a plan for very many pages.
pub(super) const CALLS_PER_STATEMENT: usize = 2_000;

/// Longest message kept, in characters.
const MESSAGE_MAX_CHARS: usize = 1_000;

/// Ends those of these calls that are open. Returns them, as they were. A held one can't have been made: what is told of it
/// is from before its job was tried again, and it is told again when its turn has come.
pub(super) async fn end(
    tx: &mut PgConnection,
    ends: &[(JobId, &CallEnd)],
    now_ms: i64,
) -> Result<HashMap<CallId, Open>, LedgerError> {
    if ends.is_empty() {
        return Ok(HashMap::new());
    }
    let ids: Vec<Uuid> = ends.iter().map(|(_, ended)| ended.call.into()).collect();
    let jobs: Vec<Uuid> = ends.iter().map(|(job, _)| (*job).into()).collect();
    let attempts: Vec<i64> = ends.iter().map(|(_, ended)| ended.attempt.into()).collect();
    let requests: Vec<i64> = ends.iter().map(|(_, ended)| ended.requests.into()).collect();
    let (mut states, mut classes, mut statuses, mut messages, mut tolerated) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (_, ended) in ends {
        let (state, failure, is_tolerated) = match &ended.end {
            End::Skipped { failure } => ("skipped", Some(failure), false),
            End::Failed { failure, tolerated } => ("failed", Some(failure), *tolerated),
            End::Cancelled => ("cancelled", None, false),
            End::Succeeded { .. } | End::Deferred { .. } | End::Returned => ("succeeded", None, false),
        };
        states.push(state.to_owned());
        classes.push(failure.map(|failure| failure.class.name().to_owned()));
        statuses.push(failure.and_then(|failure| failure.status).map(i32::from));
        messages.push(failure.map(|failure| shown(&failure.message, MESSAGE_MAX_CHARS)));
        tolerated.push(is_tolerated);
    }
    let ended = sqlx::query!(
        r#"/* end_calls */
        UPDATE calls SET state = ended.state, attempt = ended.attempt, requests = greatest(open.requests, ended.requests),
            class = ended.class, status = ended.status, message = ended.message, tolerated = ended.tolerated,
            ended_at_ms = $10, lost_at_ms = NULL, wait_until_ms = NULL, wait_reason = NULL
        FROM unnest($1::uuid[], $2::uuid[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::int[], $8::text[],
                $9::bool[]) AS ended (id, job_id, state, attempt, requests, class, status, message, tolerated)
            JOIN calls AS open ON open.id = ended.id AND open.job_id = ended.job_id
                AND open.state IN ('planned', 'released') AND NOT open.held
        WHERE calls.id = open.id
        RETURNING calls.id, open.state = 'released' AS "released!", open.requests"#,
        &ids,
        &jobs,
        &states,
        &attempts,
        &requests,
        &classes as _,
        &statuses as _,
        &messages as _,
        &tolerated,
        now_ms,
    );
    let ended = ended.fetch_all(tx).await?;
    Ok(ended.into_iter().map(|row| (row.id.into(), Open { released: row.released, requests: row.requests })).collect())
}

/// Notes that released calls wait, each named once. What was said earlier never takes the place of what was said later.
/// Returns how many more requests were told of, by job.
pub(super) async fn defer(
    tx: &mut PgConnection,
    deferred: &[(JobId, &CallEnd, &Wait)],
    lease_ms: i64,
) -> Result<Vec<(JobId, i64)>, LedgerError> {
    if deferred.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<Uuid> = deferred.iter().map(|(_, ended, _)| ended.call.into()).collect();
    let jobs: Vec<Uuid> = deferred.iter().map(|(job, ..)| (*job).into()).collect();
    let attempts: Vec<i64> = deferred.iter().map(|(_, ended, _)| ended.attempt.into()).collect();
    let requests: Vec<i64> = deferred.iter().map(|(_, ended, _)| ended.requests.into()).collect();
    let until: Vec<i64> = deferred.iter().map(|(.., wait)| wait.until_ms).collect();
    let reasons: Vec<String> = deferred.iter().map(|(.., wait)| to_json(&wait.reason)).collect();
    let lost: Vec<i64> = until.iter().map(|until_ms| until_ms.saturating_add(lease_ms)).collect();
    let rows = sqlx::query!(
        r#"/* defer_calls */
        UPDATE calls SET attempt = late.attempt, requests = late.requests, wait_until_ms = late.until_ms,
            wait_reason = late.reason, lost_at_ms = late.lost_at_ms
        FROM unnest($1::uuid[], $2::uuid[], $3::bigint[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[])
                AS late (id, job_id, attempt, requests, until_ms, reason, lost_at_ms)
            JOIN calls AS open ON open.id = late.id AND open.job_id = late.job_id AND open.state = 'released'
        WHERE calls.id = open.id AND (late.requests, late.until_ms) >= (open.requests, coalesce(open.wait_until_ms, 0))
        RETURNING calls.job_id, late.requests - open.requests AS "more!""#,
        &ids,
        &jobs,
        &attempts,
        &requests,
        &until,
        &reasons,
        &lost,
    );
    Ok(rows.fetch_all(tx).await?.into_iter().map(|row| (row.job_id.into(), row.more)).collect())
}

/// A page to plan: its fetch, where it stands, and its place.
#[derive(Debug, Clone)]
pub(super) struct NewCall {
    pub(super) id: CallId,
    pub(super) job: JobId,
    pub(super) fetch: FetchId,
    pub(super) pointer: PagePointer,
    pub(super) ordinal: u32,
    /// Counted with its fetch, which is new.
    pub(super) of_new_fetch: bool,
    /// Named by the page before it.
    pub(super) single: bool,
    /// Its fetch waits.
    pub(super) held: bool,
}

/// Plans pages of any fetches and jobs, at most [`CALLS_PER_STATEMENT`], in order. Returns which calls were new: a page
/// that is known already keeps its call.
pub(super) async fn plan(tx: &mut PgConnection, calls: &[NewCall]) -> Result<HashSet<CallId>, LedgerError> {
    let ids: Vec<Uuid> = calls.iter().map(|call| call.id.into()).collect();
    let jobs: Vec<Uuid> = calls.iter().map(|call| call.job.into()).collect();
    let fetches: Vec<Uuid> = calls.iter().map(|call| call.fetch.into()).collect();
    let pointers: Vec<String> = calls.iter().map(|call| to_json(&call.pointer)).collect();
    let ordinals: Vec<i64> = calls.iter().map(|call| call.ordinal.into()).collect();
    let held: Vec<bool> = calls.iter().map(|call| call.held).collect();
    let inserted = sqlx::query_scalar!(
        "/* plan_calls */
        INSERT INTO calls (id, job_id, fetch_id, pointer, ordinal, held, state)
        SELECT new.id, new.job_id, new.fetch_id, new.pointer, new.ordinal, new.held, 'planned'
        FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::bigint[], $6::bool[])
            WITH ORDINALITY AS new (id, job_id, fetch_id, pointer, ordinal, held, place)
        ORDER BY new.place ON CONFLICT (id) DO NOTHING RETURNING id",
        &ids,
        &jobs,
        &fetches,
        &pointers,
        &ordinals,
        &held,
    );
    Ok(inserted.fetch_all(tx).await?.into_iter().map(CallId::from).collect())
}

/// Records the one call of each fetch that can't begin.
pub(super) async fn plan_failed(
    tx: &mut PgConnection,
    fetches: &[(JobId, &NewFetch)],
    now_ms: i64,
) -> Result<(), LedgerError> {
    for (job, fetch) in fetches {
        let Some(failure) = &fetch.failure else { continue };
        sqlx::query!(
            "/* plan_failed_call */
            INSERT INTO calls (id, job_id, fetch_id, pointer, ordinal, state, class, message, tolerated, ended_at_ms)
            VALUES ($1, $2, $3, $4, 0, 'failed', $5, $6, $7, $8) ON CONFLICT (id) DO NOTHING",
            Uuid::from(CallId::derive(fetch.fetch, &PagePointer::First)),
            Uuid::from(*job),
            Uuid::from(fetch.fetch),
            to_json(&PagePointer::First),
            failure.class.name(),
            shown(&failure.message, MESSAGE_MAX_CHARS),
            fetch.tolerated,
            now_ms,
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Gives up the planned calls of jobs.
pub(super) async fn cancel(
    tx: &mut PgConnection,
    jobs: &[JobId],
    now_ms: i64,
) -> Result<Vec<(JobId, GivenUp)>, LedgerError> {
    let jobs: Vec<Uuid> = jobs.iter().copied().map(Uuid::from).collect();
    let cancelled = sqlx::query!(
        r#"/* cancel_calls */
        WITH cancelled AS (
            UPDATE calls SET state = 'cancelled', held = false, ended_at_ms = $2
            FROM (SELECT id, held FROM calls WHERE job_id = ANY($1) AND state = 'planned') AS planned
            WHERE calls.id = planned.id
            RETURNING calls.job_id, calls.fetch_id, planned.held AS was_held)
        SELECT job_id, fetch_id, count(*) AS "calls!", count(*) FILTER (WHERE was_held) AS "held!"
        FROM cancelled GROUP BY job_id, fetch_id"#,
        &jobs,
        now_ms,
    );
    let cancelled = cancelled.fetch_all(tx).await?;
    let given_up = cancelled.into_iter().map(|row| {
        let (fetch, calls, held) = (row.fetch_id.into(), row.calls, row.held);
        (row.job_id.into(), GivenUp { fetch, calls, held, released: 0 })
    });
    Ok(given_up.collect())
}

/// Gives up the parked calls of jobs: those that nobody makes before a time that has not come.
pub(super) async fn cancel_parked(
    tx: &mut PgConnection,
    jobs: &[JobId],
    now_ms: i64,
) -> Result<Vec<(JobId, GivenUp)>, LedgerError> {
    let jobs: Vec<Uuid> = jobs.iter().copied().map(Uuid::from).collect();
    let cancelled = sqlx::query!(
        r#"/* cancel_parked_calls */
        WITH cancelled AS (
            UPDATE calls SET state = 'cancelled', ended_at_ms = $2, lost_at_ms = NULL, wait_until_ms = NULL,
                wait_reason = NULL
            WHERE job_id = ANY($1) AND state = 'released' AND wait_until_ms > $2
            RETURNING job_id, fetch_id)
        SELECT job_id, fetch_id, count(*) AS "calls!" FROM cancelled GROUP BY job_id, fetch_id"#,
        &jobs,
        now_ms,
    );
    let given_up = cancelled.fetch_all(tx).await?.into_iter().map(|row| {
        let (fetch, calls) = (row.fetch_id.into(), row.calls);
        (row.job_id.into(), GivenUp { fetch, calls, held: 0, released: calls })
    });
    Ok(given_up.collect())
}
