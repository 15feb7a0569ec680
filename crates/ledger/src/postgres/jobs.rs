//! Statements about jobs.

use std::collections::HashMap;

use sqlx::PgConnection;
use tidegate_contracts::{JobId, Lane};
use uuid::Uuid;

use super::marks;
use super::rows::{count, lane, small};
use crate::head::{Head, Heads};
use crate::job::parked;
use crate::shown::shown;
use crate::tally::Tally;
use crate::{Bounds, JobCounts, JobFilter, JobRow, JobState, LedgerError, OpenLane, SpecRow, Windows};

/// Longest reason kept, in characters.
const REASON_MAX_CHARS: usize = 1_000;

/// That no new call of a job may go out: as what it will end, and why.
#[derive(Debug, Clone)]
pub(super) struct Stop {
    pub(super) state: &'static str,
    pub(super) reason: String,
}

/// Jobs that a transaction stops.
pub(super) type Stops = HashMap<JobId, Stop>;

/// A row of jobs, as it is shown.
struct Row {
    id: Uuid,
    tenant: String,
    name: String,
    provider: String,
    lane: String,
    lane_asked: Option<String>,
    state: String,
    extend: bool,
    reason: Option<String>,
    submitted_at_ms: i64,
    started_at_ms: Option<i64>,
    finished_at_ms: Option<i64>,
    paused_at_ms: Option<i64>,
    parked: Option<String>,
    pruned_at_ms: Option<i64>,
    calls_planned: i64,
    calls_open: i64,
    calls_released: i64,
    calls_held: i64,
    calls_succeeded: i64,
    calls_skipped: i64,
    calls_failed: i64,
    calls_tolerated: i64,
    calls_cancelled: i64,
    fetches_planned: i64,
    fetches_open: i64,
    items: i64,
    requests: i64,
}

macro_rules! select_jobs {
    ($which:literal, $($bind:expr),*) => {
        sqlx::query_as!(
            Row,
            "/* jobs */
            SELECT id, tenant, name, provider, lane, lane_asked, state, extend, reason, submitted_at_ms, started_at_ms, finished_at_ms,
                paused_at_ms, parked, pruned_at_ms, calls_planned, calls_open, calls_released, calls_held, calls_succeeded, calls_skipped, calls_failed, calls_tolerated,
                calls_cancelled, fetches_planned, fetches_open, items, requests
            FROM jobs " + $which,
            $($bind),*
        )
    };
}

pub(super) async fn by_id(connection: &mut PgConnection, id: JobId) -> Result<Option<JobRow>, LedgerError> {
    let found = select_jobs!("WHERE id = $1", Uuid::from(id)).fetch_optional(connection).await?;
    found.map(read).transpose()
}

pub(super) async fn by_fingerprint(
    connection: &mut PgConnection,
    fingerprint: &str,
) -> Result<Option<JobRow>, LedgerError> {
    let newest = select_jobs!("WHERE fingerprint = $1 ORDER BY seq DESC LIMIT 1", fingerprint);
    newest.fetch_optional(connection).await?.map(read).transpose()
}

pub(super) async fn runs(connection: &mut PgConnection, fingerprint: &str) -> Result<Vec<JobRow>, LedgerError> {
    let runs = select_jobs!(
        "WHERE fingerprint = $1 AND seq >= coalesce(
            (SELECT max(whole.seq) FROM jobs AS whole WHERE whole.fingerprint = $1 AND NOT whole.extend), 0)
        ORDER BY seq",
        fingerprint
    );
    runs.fetch_all(connection).await?.into_iter().map(read).collect()
}

pub(super) async fn filtered(connection: &mut PgConnection, filter: &JobFilter) -> Result<Vec<JobRow>, LedgerError> {
    let states: Vec<String> = filter.states.iter().map(|state| state.name().to_owned()).collect();
    let rows = select_jobs!(
        "WHERE ($1::text IS NULL OR tenant = $1) AND ($2::text IS NULL OR provider = $2) AND ($3::text IS NULL OR name = $3)
            AND (cardinality($4::text[]) = 0 OR state = ANY($4))
            AND ($5::uuid IS NULL OR seq < (SELECT before.seq FROM jobs AS before WHERE before.id = $5))
            AND ($7::text IS NULL OR position(lower($7 COLLATE \"C\") IN lower(name COLLATE \"C\")) > 0)
        ORDER BY seq DESC LIMIT $6",
        filter.tenant.as_ref() as _,
        filter.provider.as_ref() as _,
        filter.name.as_ref() as _,
        &states,
        filter.before.map(Uuid::from) as _,
        i64::from(filter.limit),
        filter.search.as_ref() as _
    );
    rows.fetch_all(connection).await?.into_iter().map(read).collect()
}

fn read(row: Row) -> Result<JobRow, LedgerError> {
    Ok(JobRow {
        id: row.id.into(),
        tenant: row.tenant,
        name: row.name,
        provider: row.provider,
        lane: lane(&row.lane)?,
        lane_asked: row.lane_asked.as_deref().map(lane).transpose()?,
        state: JobState::from_name(&row.state).ok_or_else(|| LedgerError::corrupt("a job's state", &row.state))?,
        extend: row.extend,
        reason: row.reason,
        submitted_at_ms: row.submitted_at_ms,
        started_at_ms: row.started_at_ms,
        finished_at_ms: row.finished_at_ms,
        paused_at_ms: row.paused_at_ms,
        parked: parked(row.parked.as_deref())?,
        pruned_at_ms: row.pruned_at_ms,
        counts: JobCounts {
            calls_planned: count(row.calls_planned, "calls_planned")?,
            calls_open: count(row.calls_open, "calls_open")?,
            calls_released: count(row.calls_released, "calls_released")?,
            calls_held: count(row.calls_held, "calls_held")?,
            calls_succeeded: count(row.calls_succeeded, "calls_succeeded")?,
            calls_skipped: count(row.calls_skipped, "calls_skipped")?,
            calls_failed: count(row.calls_failed, "calls_failed")?,
            calls_tolerated: count(row.calls_tolerated, "calls_tolerated")?,
            calls_cancelled: count(row.calls_cancelled, "calls_cancelled")?,
            fetches_planned: count(row.fetches_planned, "fetches_planned")?,
            fetches_open: count(row.fetches_open, "fetches_open")?,
            items: count(row.items, "items")?,
            requests: count(row.requests, "requests")?,
        },
    })
}

pub(super) async fn spec(connection: &mut PgConnection, id: JobId) -> Result<Option<SpecRow>, LedgerError> {
    let found = sqlx::query_as!(
        SpecRow,
        r#"/* spec */
        SELECT spec, tenant, stop IS NOT NULL OR finished_at_ms IS NOT NULL AS "stopped!",
            paused_at_ms IS NOT NULL OR parked IS NOT NULL AS "paused!"
        FROM specs JOIN jobs ON jobs.id = specs.job_id WHERE job_id = $1"#,
        Uuid::from(id)
    );
    Ok(found.fetch_optional(connection).await?)
}

pub(super) async fn stopped(connection: &mut PgConnection, jobs: &[JobId]) -> Result<Vec<JobId>, LedgerError> {
    let ids: Vec<Uuid> = jobs.iter().map(|job| (*job).into()).collect();
    let found = sqlx::query_scalar!(
        r#"/* stopped */
        SELECT asked.id AS "id!" FROM unnest($1::uuid[]) AS asked (id) WHERE NOT EXISTS (
            SELECT 1 FROM jobs WHERE jobs.id = asked.id AND stop IS NULL AND finished_at_ms IS NULL)"#,
        &ids
    );
    Ok(found.fetch_all(connection).await?.into_iter().map(JobId::from).collect())
}

pub(super) async fn lanes_open(connection: &mut PgConnection) -> Result<Vec<OpenLane>, LedgerError> {
    let rows = sqlx::query!(
        r#"/* lanes_open */
        SELECT provider, lane, count(*) FILTER (WHERE paused_at_ms IS NULL AND parked IS NULL) AS "jobs!",
            count(paused_at_ms) AS "paused!", count(*) FILTER (WHERE paused_at_ms IS NULL AND parked IS NOT NULL) AS "parked!",
            sum(calls_open)::bigint AS "calls_open!", sum(calls_released)::bigint AS "calls_out!"
        FROM jobs WHERE finished_at_ms IS NULL GROUP BY provider, lane"#,
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        Ok(OpenLane {
            provider: row.provider,
            lane: lane(&row.lane)?,
            jobs: small(row.jobs, "jobs")?,
            paused: small(row.paused, "paused")?,
            parked: small(row.parked, "parked")?,
            calls_open: count(row.calls_open, "calls_open")?,
            calls_out: count(row.calls_out, "calls_out")?,
        })
    });
    let mut lanes = rows.collect::<Result<Vec<OpenLane>, LedgerError>>()?;
    lanes.sort_unstable();
    Ok(lanes)
}

/// Heads of those of these jobs that exist, locked until the end of the transaction, always in the same order: two
/// transactions of the same jobs take turns. Not against readers, nor against rows that refer to them.
pub(super) async fn lock(tx: &mut PgConnection, ids: &[Uuid]) -> Result<Heads, LedgerError> {
    let rows = sqlx::query!(
        r#"/* lock_jobs */
        SELECT id, provider, lane, state = 'submitted' AS "submitted!",
            stop IS NOT NULL OR finished_at_ms IS NOT NULL AS "stopped!", paused_at_ms IS NOT NULL OR parked IS NOT NULL AS "paused!", calls_open,
            calls_released, calls_held, deadline_ms, deadline_at_ms, max_calls, calls_left
        FROM jobs WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE"#,
        ids,
    );
    let rows = rows.fetch_all(tx).await?.into_iter().map(|row| {
        let head = Head {
            provider: row.provider,
            lane: lane(&row.lane)?,
            submitted: row.submitted,
            stopped: row.stopped,
            paused: row.paused,
            open: row.calls_open,
            released: row.calls_released,
            held: row.calls_held,
            bounds: Bounds { deadline_ms: row.deadline_ms, max_calls: row.max_calls },
            deadline_at_ms: row.deadline_at_ms,
            left: row.calls_left,
        };
        Ok((row.id.into(), head))
    });
    rows.collect()
}

/// Locks jobs that have planned calls and room in their windows, but for those that somebody else has locked, who fills
/// them.
pub(super) async fn lock_stalled(tx: &mut PgConnection, windows: &Windows) -> Result<Heads, LedgerError> {
    let lanes = Lane::ALL.map(|lane| lane.name().to_owned());
    let rooms = Lane::ALL.map(|lane| i64::from(windows.most(lane)));
    let rows = sqlx::query!(
        "/* lock_stalled_jobs */
        SELECT id, provider, lane, calls_open, calls_released, calls_held, deadline_ms, deadline_at_ms, max_calls, calls_left
        FROM jobs
        WHERE finished_at_ms IS NULL AND state = 'running' AND stop IS NULL AND paused_at_ms IS NULL AND parked IS NULL
            AND coalesce(calls_left, 1) > 0
            AND calls_released < least(calls_open - calls_held, ($2::bigint[])[array_position($1::text[], lane)])
        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED",
        &lanes[..],
        &rooms[..],
    );
    let rows = rows.fetch_all(tx).await?.into_iter().map(|row| {
        let head = Head {
            provider: row.provider,
            lane: lane(&row.lane)?,
            submitted: false,
            stopped: false,
            paused: false,
            open: row.calls_open,
            released: row.calls_released,
            held: row.calls_held,
            bounds: Bounds { deadline_ms: row.deadline_ms, max_calls: row.max_calls },
            deadline_at_ms: row.deadline_at_ms,
            left: row.calls_left,
        };
        Ok((row.id.into(), head))
    });
    rows.collect()
}

/// Adds to jobs, starts those that had not, stops some, and finishes those with nothing open. Returns the finished ones.
pub(super) async fn add(
    tx: &mut PgConnection,
    tally: &Tally,
    stops: &Stops,
    now_ms: i64,
) -> Result<Vec<JobId>, LedgerError> {
    if tally.jobs.is_empty() {
        return Ok(Vec::new());
    }
    let (ids, deltas): (Vec<Uuid>, Vec<_>) = tally.jobs.iter().map(|(job, delta)| (Uuid::from(*job), delta)).unzip();
    let each = |pick: fn(&crate::tally::JobDelta) -> i64| deltas.iter().map(|delta| pick(delta)).collect::<Vec<i64>>();
    let stopped = |job: &JobId| stops.get(job);
    let states: Vec<_> = tally.jobs.keys().map(|job| stopped(job).map(|stop| stop.state.to_owned())).collect();
    let reasons: Vec<_> =
        tally.jobs.keys().map(|job| stopped(job).map(|stop| shown(&stop.reason, REASON_MAX_CHARS))).collect();
    let finished = sqlx::query_scalar!(
        r#"/* add_to_jobs */
        WITH added AS (
            UPDATE jobs SET
                calls_planned = jobs.calls_planned + more.planned, calls_open = jobs.calls_open + more.open,
                calls_released = jobs.calls_released + more.released, calls_held = jobs.calls_held + more.held,
                calls_left = jobs.calls_left - more.begun,
                calls_succeeded = jobs.calls_succeeded + more.succeeded, calls_skipped = jobs.calls_skipped + more.skipped,
                calls_failed = jobs.calls_failed + more.failed, calls_tolerated = jobs.calls_tolerated + more.tolerated,
                calls_cancelled = jobs.calls_cancelled + more.cancelled,
                fetches_planned = jobs.fetches_planned + more.fetches_planned,
                fetches_open = jobs.fetches_open + more.fetches_open,
                items = jobs.items + more.items, requests = jobs.requests + more.requests,
                started_at_ms = coalesce(jobs.started_at_ms, $16::bigint),
                stop = coalesce(more.stop, jobs.stop),
                reason = CASE WHEN more.stop IS NULL THEN jobs.reason ELSE more.reason END,
                finished_at_ms = CASE WHEN jobs.fetches_open + more.fetches_open = 0 THEN $16::bigint END,
                paused_at_ms = CASE WHEN jobs.fetches_open + more.fetches_open > 0 THEN jobs.paused_at_ms END,
                parked = CASE WHEN jobs.fetches_open + more.fetches_open > 0 THEN jobs.parked END,
                state = CASE
                    WHEN jobs.fetches_open + more.fetches_open > 0 THEN 'running'
                    WHEN more.stop IS NOT NULL THEN more.stop
                    WHEN jobs.stop IS NOT NULL THEN jobs.stop
                    WHEN jobs.calls_failed + more.failed > jobs.calls_tolerated + more.tolerated THEN 'failed'
                    ELSE 'succeeded' END
            FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                    $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[], $13::bigint[], $14::text[],
                    $15::text[], $17::bigint[], $18::bigint[])
                AS more (id, planned, open, released, succeeded, skipped, failed, tolerated, cancelled, fetches_planned,
                    fetches_open, items, requests, stop, reason, held, begun)
            WHERE jobs.id = more.id
            RETURNING jobs.id, jobs.finished_at_ms)
        SELECT id FROM added WHERE finished_at_ms IS NOT NULL"#,
        &ids,
        &each(|delta| delta.planned),
        &each(|delta| delta.open),
        &each(|delta| delta.released),
        &each(|delta| delta.succeeded),
        &each(|delta| delta.skipped),
        &each(|delta| delta.failed),
        &each(|delta| delta.tolerated),
        &each(|delta| delta.cancelled),
        &each(|delta| delta.fetches_planned),
        &each(|delta| delta.fetches_open),
        &each(|delta| delta.items),
        &each(|delta| delta.requests),
        &states as _,
        &reasons as _,
        now_ms,
        &each(|delta| delta.held),
        &each(|delta| delta.begun),
    );
    let finished: Vec<JobId> = finished.fetch_all(&mut *tx).await?.into_iter().map(JobId::from).collect();
    marks::advance(tx, &finished, now_ms).await?;
    Ok(finished)
}

/// Locks jobs that are not stopped, and whose time is over, but for those that somebody else has locked, who sees it too or
/// leaves them to the next sweep. Returns them with the time that they had, in ms.
pub(super) async fn lock_overdue(tx: &mut PgConnection, now_ms: i64) -> Result<Vec<(JobId, i64)>, LedgerError> {
    let found = sqlx::query!(
        r#"/* lock_overdue_jobs */
        SELECT id, deadline_ms AS "deadline_ms!" FROM jobs
        WHERE finished_at_ms IS NULL AND stop IS NULL AND deadline_at_ms <= $1
        ORDER BY id FOR NO KEY UPDATE SKIP LOCKED"#,
        now_ms,
    );
    Ok(found.fetch_all(tx).await?.into_iter().map(|row| (row.id.into(), row.deadline_ms)).collect())
}

pub(super) async fn unplanned(connection: &mut PgConnection) -> Result<Vec<JobId>, LedgerError> {
    let found = sqlx::query_scalar!(
        "/* unplanned_jobs */ SELECT id FROM jobs WHERE finished_at_ms IS NULL AND state = 'submitted' ORDER BY seq"
    );
    Ok(found.fetch_all(connection).await?.into_iter().map(JobId::from).collect())
}
