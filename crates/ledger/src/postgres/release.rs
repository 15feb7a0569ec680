//! Releasing calls into the windows, and again when they were lost.

use sqlx::PgConnection;
use tidegate_contracts::{Call, JobId, Lane};
use uuid::Uuid;

use super::jobs::{self, Stops};
use super::rows::{json, lane, mark, small};
use crate::head::Heads;
use crate::tally::Tally;
use crate::{LedgerError, Windows};

/// Lost calls that one sweep takes up, unless it is of everything; the next one takes the next.
const LOST_PER_SWEEP: i64 = 10_000;

/// In which time the broker has what a commit released, or is away. Then it gets some of it twice when it is back: of
/// calls that are marked `again`, and looked for before they are made.
const PUBLISHED_WITHIN_MS: i64 = 15_000;

/// Sweepers take turns by this lock, which says "sweep" to a person who looks at `pg_locks`.
const SWEEP_LOCK: i64 = i64::from_be_bytes(*b"tg sweep");

/// Whether it is our turn to sweep, until the end of the transaction. Waits for it if told to.
pub(super) async fn lock_sweep(tx: &mut PgConnection, wait: bool) -> Result<bool, LedgerError> {
    if wait {
        let locked = sqlx::query!("/* lock_sweep */ SELECT pg_advisory_xact_lock($1)", SWEEP_LOCK);
        locked.execute(tx).await?;
        return Ok(true);
    }
    let locked =
        sqlx::query_scalar!(r#"/* try_lock_sweep */ SELECT pg_try_advisory_xact_lock($1) AS "ours!""#, SWEEP_LOCK);
    Ok(locked.fetch_one(tx).await?)
}

/// A call on its way out, as its row and its fetch's say.
struct Row {
    id: Uuid,
    fetch_id: Uuid,
    pointer: String,
    ordinal: i64,
    attempt: i64,
    requests: i64,
    again: bool,
    step: String,
    params: String,
    since: Option<String>,
}

/// Releases planned calls of these locked jobs while their windows have room and their bounds allow, and notes that nobody has them yet: the
/// receipt strikes the note out ([`published`]).
pub(super) async fn fill(
    tx: &mut PgConnection,
    heads: &Heads,
    tally: &mut Tally,
    windows: &Windows,
    now_ms: i64,
) -> Result<(Vec<Call>, Option<i64>), LedgerError> {
    let (mut ids, mut rooms) = (Vec::<Uuid>::new(), Vec::<i64>::new());
    for (job, head) in heads.iter().filter(|(_, head)| head.may_release(now_ms)) {
        let delta = tally.job(*job);
        let out = head.released + delta.released;
        let left = head.left.map_or(i64::MAX, |left| left - delta.begun);
        let planned = head.open + delta.open - out - head.held - delta.held;
        let room = (i64::from(windows.of(&head.provider, head.lane)) - out).min(planned).min(left);
        if room > 0 {
            ids.push((*job).into());
            rooms.push(room);
        }
    }
    if ids.is_empty() {
        return Ok((Vec::new(), None));
    }
    let rows = sqlx::query!(
        r#"/* release_calls */
        WITH due AS MATERIALIZED (
            SELECT planned.id FROM unnest($1::uuid[], $2::bigint[]) AS wanted (job_id, room) CROSS JOIN LATERAL (
                SELECT calls.id FROM calls WHERE calls.job_id = wanted.job_id AND calls.state = 'planned' AND NOT calls.held
                ORDER BY calls.seq LIMIT wanted.room) AS planned),
        released AS (
            UPDATE calls SET state = 'released', lost_at_ms = $3 FROM due WHERE calls.id = due.id
            RETURNING calls.seq, calls.id, calls.job_id, calls.fetch_id, calls.pointer, calls.ordinal, calls.attempt,
                calls.requests, calls.again),
        noted AS (
            INSERT INTO releases (calls, released_at_ms)
            SELECT array_agg(id), $4 FROM released HAVING count(*) > 0 RETURNING seq)
        SELECT released.*, fetches.step, fetches.params, fetches.since, (SELECT seq FROM noted) AS receipt
        FROM released JOIN fetches ON fetches.id = released.fetch_id
        ORDER BY released.seq"#,
        &ids,
        &rooms,
        now_ms + windows.lease_ms,
        now_ms,
    );
    let rows = rows.fetch_all(tx).await?;
    let receipt = rows.first().and_then(|row| row.receipt);
    let calls = rows.into_iter().map(|row| {
        let job = JobId::from(row.job_id);
        tally.job(job).released += 1;
        tally.job(job).begun += 1;
        let head = heads.get(&job).ok_or_else(|| LedgerError::corrupt("a call", "released, and not asked for"))?;
        let call = Row {
            id: row.id,
            fetch_id: row.fetch_id,
            pointer: row.pointer,
            ordinal: row.ordinal,
            attempt: row.attempt,
            requests: row.requests,
            again: row.again,
            step: row.step,
            params: row.params,
            since: row.since,
        };
        read(call, job, &head.provider, head.lane)
    });
    Ok((calls.collect::<Result<_, LedgerError>>()?, receipt))
}

/// The broker has what a commit released. A crash of the database may undo this, which costs nothing but a look.
pub(super) async fn published(connection: &mut PgConnection, receipt: i64) -> Result<(), LedgerError> {
    // Nobody waits for the disk for this.
    let strike = sqlx::query!(
        "/* published */
        DELETE FROM releases USING (SELECT set_config('synchronous_commit', 'off', true)) AS hasty WHERE seq = $1",
        receipt
    );
    strike.execute(connection).await?;
    Ok(())
}

/// Calls that were released, and that the broker should have by now but for all we know does not, are lost.
pub(super) async fn give_up_unpublished(tx: &mut PgConnection, now_ms: i64) -> Result<(), LedgerError> {
    let lost = sqlx::query!(
        "/* give_up_unpublished */
        WITH noted AS (DELETE FROM releases WHERE released_at_ms < $1 RETURNING calls)
        UPDATE calls SET lost_at_ms = $2 FROM (SELECT unnest(calls) AS id FROM noted) AS lost
        WHERE calls.id = lost.id AND calls.state = 'released' AND calls.wait_until_ms IS NULL",
        now_ms - PUBLISHED_WITHIN_MS,
        now_ms,
    );
    let lost = lost.execute(tx).await?.rows_affected();
    if lost > 0 {
        tracing::warn!(calls = lost, "were released by a commit whose tracker did not tell the broker");
    }
    Ok(())
}

/// Releases planned calls that no commit has released though their windows have room: of jobs that are tried again, or
/// whose windows have grown.
pub(super) async fn stalled(tx: &mut PgConnection, windows: &Windows, now_ms: i64) -> Result<Vec<Call>, LedgerError> {
    let heads = jobs::lock_stalled(tx, windows).await?;
    let mut tally = Tally::default();
    // The next sweep finds them by their lease, should this one not tell the broker.
    let (released, receipt) = fill(tx, &heads, &mut tally, windows, now_ms).await?;
    if let Some(receipt) = receipt {
        published(tx, receipt).await?;
    }
    jobs::add(tx, &tally, &Stops::new(), now_ms).await?;
    Ok(released)
}

/// Released calls that are lost, released again, each with the time before which it need not run. What a commit has in
/// hand at the moment is left to it.
pub(super) async fn again(
    tx: &mut PgConnection,
    everything: bool,
    windows: &Windows,
    now_ms: i64,
) -> Result<Vec<(Call, i64)>, LedgerError> {
    let (lost_by_ms, limit) = if everything { (i64::MAX, i64::MAX) } else { (now_ms, LOST_PER_SWEEP) };
    let rows = sqlx::query!(
        r#"/* release_again */
        WITH lost AS MATERIALIZED (
            SELECT calls.id, jobs.provider, jobs.lane FROM jobs JOIN calls ON calls.job_id = jobs.id
            WHERE jobs.finished_at_ms IS NULL AND calls.state = 'released' AND calls.lost_at_ms <= $1
            LIMIT $2 FOR NO KEY UPDATE OF calls SKIP LOCKED),
        released AS (
            UPDATE calls SET again = true, lost_at_ms = greatest(calls.wait_until_ms, $3) + $4
            FROM lost WHERE calls.id = lost.id
            RETURNING calls.seq, calls.id, calls.job_id, calls.fetch_id, calls.pointer, calls.ordinal, calls.attempt,
                calls.requests, calls.again, lost.provider, lost.lane,
                CASE WHEN calls.wait_until_ms > $3 THEN calls.wait_until_ms ELSE 0 END AS due_ms)
        SELECT released.*, fetches.step, fetches.params, fetches.since FROM released JOIN fetches ON fetches.id = released.fetch_id
        ORDER BY released.seq"#,
        lost_by_ms,
        limit,
        now_ms,
        windows.lease_ms,
    );
    let rows = rows.fetch_all(tx).await?.into_iter().map(|row| {
        let call = Row {
            id: row.id,
            fetch_id: row.fetch_id,
            pointer: row.pointer,
            ordinal: row.ordinal,
            attempt: row.attempt,
            requests: row.requests,
            again: row.again,
            step: row.step,
            params: row.params,
            since: row.since,
        };
        Ok((read(call, row.job_id.into(), &row.provider, lane(&row.lane)?)?, row.due_ms.unwrap_or(0)))
    });
    rows.collect()
}

fn read(row: Row, job: JobId, provider: &str, lane: Lane) -> Result<Call, LedgerError> {
    Ok(Call {
        job,
        fetch: row.fetch_id.into(),
        call: row.id.into(),
        step: row.step,
        params: json(&row.params, "parameters")?,
        pointer: json(&row.pointer, "a page pointer")?,
        ordinal: small(row.ordinal, "ordinal")?,
        since: row.since.map(mark).transpose()?,
        attempt: small(row.attempt, "attempt")?,
        requests: small(row.requests, "requests")?,
        failing_since_ms: None,
        waited_for: None,
        again: row.again,
        provider: provider.to_owned(),
        lane,
    })
}
