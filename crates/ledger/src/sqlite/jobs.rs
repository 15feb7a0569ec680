//! Statements about jobs.

use std::collections::BTreeSet;

use serde_json::json;
use sqlx::sqlite::SqliteRow;
use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use tidegate_contracts::{JobId, Lane};

use super::marks;
use super::rows::{count, job_id, small};
use crate::head::{Head, Heads};
use crate::job::parked;
use crate::tally::{Tally, with_id};
use crate::{Bounds, JobCounts, JobFilter, JobRow, JobState, LedgerError, OpenLane, SpecRow};

pub(super) async fn by_id(connection: &mut SqliteConnection, id: JobId) -> Result<Option<JobRow>, LedgerError> {
    let sql = "/* job */ SELECT * FROM jobs WHERE id = ?1";
    sqlx::query(sql).bind(&id.as_bytes()[..]).fetch_optional(connection).await?.as_ref().map(read).transpose()
}

pub(super) async fn filtered(
    connection: &mut SqliteConnection,
    filter: &JobFilter,
) -> Result<Vec<JobRow>, LedgerError> {
    let mut sql = QueryBuilder::<Sqlite>::new("/* jobs */ SELECT * FROM jobs WHERE true");
    for (column, wanted) in [("tenant", &filter.tenant), ("provider", &filter.provider), ("name", &filter.name)] {
        if let Some(wanted) = wanted {
            sql.push(format_args!(" AND {column} = ")).push_bind(wanted);
        }
    }
    if let Some(search) = &filter.search {
        sql.push(" AND instr(lower(name), lower(").push_bind(search).push(")) > 0");
    }
    if !filter.states.is_empty() {
        let states: Vec<&str> = filter.states.iter().map(|state| state.name()).collect();
        sql.push(" AND state IN (SELECT value FROM json_each(").push_bind(json!(states).to_string()).push("))");
    }
    if let Some(job) = &filter.before {
        sql.push(" AND seq < (SELECT seq FROM jobs WHERE id = ").push_bind(&job.as_bytes()[..]).push(")");
    }
    sql.push(" ORDER BY seq DESC LIMIT ").push_bind(filter.limit);
    sql.build().fetch_all(connection).await?.iter().map(read).collect()
}

pub(super) async fn lanes_open(connection: &mut SqliteConnection) -> Result<Vec<OpenLane>, LedgerError> {
    let sql = "/* lanes_open */
        SELECT provider, lane, count(*) FILTER (WHERE paused_at_ms IS NULL AND parked IS NULL) AS jobs,
            count(paused_at_ms) AS paused, count(*) FILTER (WHERE paused_at_ms IS NULL AND parked IS NOT NULL) AS parked,
            sum(calls_open) AS calls_open, sum(calls_released) AS calls_out
        FROM jobs WHERE finished_at_ms IS NULL GROUP BY provider, lane";
    let rows = sqlx::query(sql).fetch_all(connection).await?;
    let mut lanes = rows
        .iter()
        .map(|row| {
            let (provider, lane) = (row.try_get("provider")?, lane(row.try_get("lane")?)?);
            Ok(OpenLane {
                provider,
                lane,
                jobs: small(row, "jobs")?,
                paused: small(row, "paused")?,
                parked: small(row, "parked")?,
                calls_open: count(row, "calls_open")?,
                calls_out: count(row, "calls_out")?,
            })
        })
        .collect::<Result<Vec<OpenLane>, LedgerError>>()?;
    lanes.sort_unstable();
    Ok(lanes)
}

pub(super) async fn by_fingerprint(
    connection: &mut SqliteConnection,
    fingerprint: &str,
) -> Result<Option<JobRow>, LedgerError> {
    let sql = "/* job_like */ SELECT * FROM jobs WHERE fingerprint = ?1 ORDER BY seq DESC LIMIT 1";
    sqlx::query(sql).bind(fingerprint).fetch_optional(connection).await?.as_ref().map(read).transpose()
}

pub(super) async fn runs(connection: &mut SqliteConnection, fingerprint: &str) -> Result<Vec<JobRow>, LedgerError> {
    let sql = "/* runs */
        SELECT * FROM jobs WHERE fingerprint = ?1 AND seq >= coalesce(
            (SELECT max(seq) FROM jobs WHERE fingerprint = ?1 AND extend = 0), 0)
        ORDER BY seq";
    sqlx::query(sql).bind(fingerprint).fetch_all(connection).await?.iter().map(read).collect()
}

pub(super) async fn spec(connection: &mut SqliteConnection, id: JobId) -> Result<Option<SpecRow>, LedgerError> {
    let sql = "/* spec */
        SELECT spec, tenant, stop IS NOT NULL OR finished_at_ms IS NOT NULL AS stopped, paused_at_ms IS NOT NULL OR parked IS NOT NULL AS paused
        FROM jobs WHERE id = ?1";
    let row = sqlx::query(sql).bind(&id.as_bytes()[..]).fetch_optional(connection).await?;
    row.map(|row| {
        Ok(SpecRow {
            spec: row.try_get("spec")?,
            tenant: row.try_get("tenant")?,
            stopped: row.try_get("stopped")?,
            paused: row.try_get("paused")?,
        })
    })
    .transpose()
}

pub(super) async fn stopped(connection: &mut SqliteConnection, jobs: &[JobId]) -> Result<Vec<JobId>, LedgerError> {
    let ids: Vec<String> = jobs.iter().map(JobId::hex).collect();
    let sql = "/* stopped */
        SELECT unhex(value) AS id FROM json_each(?1) WHERE NOT EXISTS (
            SELECT 1 FROM jobs WHERE jobs.id = unhex(value) AND stop IS NULL AND finished_at_ms IS NULL)";
    let rows = sqlx::query(sql).bind(json!(ids).to_string()).fetch_all(connection).await?;
    rows.iter().map(|row| job_id(row, "id")).collect()
}

/// Heads of those of these jobs that exist.
pub(super) async fn heads(tx: &mut SqliteConnection, ids: BTreeSet<JobId>) -> Result<Heads, LedgerError> {
    let ids: Vec<String> = ids.iter().map(JobId::hex).collect();
    let sql = "/* job_heads */
        SELECT id, provider, lane, state = 'submitted' AS submitted, stop IS NOT NULL OR finished_at_ms IS NOT NULL AS stopped,
            paused_at_ms IS NOT NULL OR parked IS NOT NULL AS paused, calls_open, calls_released, calls_held, deadline_ms, deadline_at_ms,
            max_calls, calls_left
        FROM jobs WHERE id IN (SELECT unhex(value) FROM json_each(?1))";
    let rows = sqlx::query(sql).bind(json!(ids).to_string()).fetch_all(tx).await?;
    rows.iter()
        .map(|row| {
            let head = Head {
                provider: row.try_get("provider")?,
                lane: lane(row.try_get("lane")?)?,
                submitted: row.try_get("submitted")?,
                stopped: row.try_get("stopped")?,
                paused: row.try_get("paused")?,
                open: row.try_get("calls_open")?,
                released: row.try_get("calls_released")?,
                held: row.try_get("calls_held")?,
                bounds: Bounds { deadline_ms: row.try_get("deadline_ms")?, max_calls: row.try_get("max_calls")? },
                deadline_at_ms: row.try_get("deadline_at_ms")?,
                left: row.try_get("calls_left")?,
            };
            Ok((job_id(row, "id")?, head))
        })
        .collect()
}

/// From now on no new call of the job may go out.
pub(super) async fn stop(tx: &mut SqliteConnection, job: JobId, stop: &str, reason: &str) -> Result<(), LedgerError> {
    let sql = "/* stop_job */ UPDATE jobs SET stop = ?2, reason = substr(?3, 1, 1000) WHERE id = ?1";
    sqlx::query(sql).bind(&job.as_bytes()[..]).bind(stop).bind(reason).execute(tx).await?;
    Ok(())
}

/// Adds to jobs, which starts those that were only submitted, and finishes those with nothing open. Returns the finished
/// ones.
pub(super) async fn add(tx: &mut SqliteConnection, tally: &Tally, now_ms: i64) -> Result<Vec<JobId>, LedgerError> {
    let rows: Vec<_> = tally.jobs.iter().map(|(job, delta)| with_id(job.hex(), delta)).collect();
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let sql = "/* add_to_jobs */
        UPDATE jobs SET
            calls_planned = calls_planned + more.planned, calls_open = calls_open + more.open,
            calls_released = calls_released + more.released, calls_held = calls_held + more.held,
            calls_left = calls_left - more.begun, calls_succeeded = calls_succeeded + more.succeeded,
            calls_skipped = calls_skipped + more.skipped, calls_failed = calls_failed + more.failed,
            calls_tolerated = calls_tolerated + more.tolerated, calls_cancelled = calls_cancelled + more.cancelled,
            fetches_planned = jobs.fetches_planned + more.fetches_planned, fetches_open = jobs.fetches_open + more.fetches_open,
            items = jobs.items + more.items, requests = jobs.requests + more.requests,
            started_at_ms = coalesce(started_at_ms, ?2),
            finished_at_ms = iif(jobs.fetches_open + more.fetches_open = 0, ?2, NULL),
            paused_at_ms = iif(jobs.fetches_open + more.fetches_open = 0, NULL, paused_at_ms),
            parked = iif(jobs.fetches_open + more.fetches_open = 0, NULL, parked),
            state = CASE
                WHEN jobs.fetches_open + more.fetches_open > 0 THEN 'running'
                WHEN stop IS NOT NULL THEN stop
                WHEN calls_failed + more.failed > calls_tolerated + more.tolerated THEN 'failed'
                ELSE 'succeeded' END
        FROM (SELECT unhex(value ->> 'id') AS id, value ->> 'planned' AS planned, value ->> 'open' AS open,
                value ->> 'released' AS released, value ->> 'held' AS held, value ->> 'begun' AS begun,
                value ->> 'succeeded' AS succeeded, value ->> 'skipped' AS skipped,
                value ->> 'failed' AS failed, value ->> 'tolerated' AS tolerated, value ->> 'cancelled' AS cancelled,
                value ->> 'fetches_planned' AS fetches_planned, value ->> 'fetches_open' AS fetches_open,
                value ->> 'items' AS items, value ->> 'requests' AS requests FROM json_each(?1)) AS more
        WHERE jobs.id = more.id
        RETURNING jobs.id AS id, jobs.finished_at_ms AS finished_at_ms";
    let rows =
        sqlx::query(sql).bind(serde_json::Value::from(rows).to_string()).bind(now_ms).fetch_all(&mut *tx).await?;
    let mut finished = Vec::new();
    for row in &rows {
        if row.try_get::<Option<i64>, _>("finished_at_ms")?.is_some() {
            finished.push(job_id(row, "id")?);
        }
    }
    marks::advance(tx, &finished, now_ms).await?;
    Ok(finished)
}

/// Jobs that have planned calls which may go out, as far as their time goes.
pub(super) async fn stalled(tx: &mut SqliteConnection) -> Result<BTreeSet<JobId>, LedgerError> {
    let sql = "/* stalled_jobs */
        SELECT id FROM jobs
        WHERE finished_at_ms IS NULL AND state = 'running' AND stop IS NULL AND paused_at_ms IS NULL AND parked IS NULL
            AND calls_open > calls_released + calls_held AND coalesce(calls_left, 1) > 0";
    sqlx::query(sql).fetch_all(tx).await?.iter().map(|row| job_id(row, "id")).collect()
}

/// Jobs that are not stopped, and whose time is over, with the time that they had, in ms.
pub(super) async fn overdue(tx: &mut SqliteConnection, now_ms: i64) -> Result<Vec<(JobId, i64)>, LedgerError> {
    let sql = "/* overdue_jobs */
        SELECT id, deadline_ms FROM jobs WHERE finished_at_ms IS NULL AND stop IS NULL AND deadline_at_ms <= ?1";
    let rows = sqlx::query(sql).bind(now_ms).fetch_all(tx).await?;
    rows.iter().map(|row| Ok((job_id(row, "id")?, row.try_get("deadline_ms")?))).collect()
}

pub(super) async fn unplanned(tx: &mut SqliteConnection) -> Result<Vec<JobId>, LedgerError> {
    let sql =
        "/* unplanned_jobs */ SELECT id FROM jobs WHERE finished_at_ms IS NULL AND state = 'submitted' ORDER BY seq";
    sqlx::query(sql).fetch_all(tx).await?.iter().map(|row| job_id(row, "id")).collect()
}

fn read(row: &SqliteRow) -> Result<JobRow, LedgerError> {
    let state: &str = row.try_get("state")?;
    Ok(JobRow {
        id: job_id(row, "id")?,
        tenant: row.try_get("tenant")?,
        name: row.try_get("name")?,
        provider: row.try_get("provider")?,
        lane: lane(row.try_get("lane")?)?,
        lane_asked: row.try_get::<Option<&str>, _>("lane_asked")?.map(lane).transpose()?,
        state: JobState::from_name(state).ok_or_else(|| LedgerError::corrupt("a job's state", state))?,
        extend: row.try_get("extend")?,
        reason: row.try_get("reason")?,
        submitted_at_ms: row.try_get("submitted_at_ms")?,
        started_at_ms: row.try_get("started_at_ms")?,
        finished_at_ms: row.try_get("finished_at_ms")?,
        paused_at_ms: row.try_get("paused_at_ms")?,
        parked: parked(row.try_get("parked")?)?,
        pruned_at_ms: row.try_get("pruned_at_ms")?,
        counts: JobCounts {
            calls_planned: count(row, "calls_planned")?,
            calls_open: count(row, "calls_open")?,
            calls_released: count(row, "calls_released")?,
            calls_held: count(row, "calls_held")?,
            calls_succeeded: count(row, "calls_succeeded")?,
            calls_skipped: count(row, "calls_skipped")?,
            calls_failed: count(row, "calls_failed")?,
            calls_tolerated: count(row, "calls_tolerated")?,
            calls_cancelled: count(row, "calls_cancelled")?,
            fetches_planned: count(row, "fetches_planned")?,
            fetches_open: count(row, "fetches_open")?,
            items: count(row, "items")?,
            requests: count(row, "requests")?,
        },
    })
}

pub(super) fn lane(name: &str) -> Result<Lane, LedgerError> {
    Lane::ALL.into_iter().find(|lane| lane.name() == name).ok_or_else(|| LedgerError::corrupt("a lane", name))
}
