//! Statements about what waits for what.

use sqlx::PgConnection;
use tidegate_contracts::{FetchId, JobId, NewFetch};
use uuid::Uuid;

use crate::LedgerError;
use crate::tally::{Tally, not_made};

/// Notes what new fetches wait for, as far as it is known. Returns those that nothing holds.
pub(super) async fn plan(tx: &mut PgConnection, fetches: &[(JobId, &NewFetch)]) -> Result<Vec<FetchId>, LedgerError> {
    let pairs = || fetches.iter().flat_map(|(job, new)| new.after.iter().map(move |blocker| (job, new.fetch, blocker)));
    let jobs: Vec<Uuid> = pairs().map(|(job, ..)| (*job).into()).collect();
    let waiting: Vec<Uuid> = pairs().map(|(_, fetch, _)| fetch.into()).collect();
    let blockers: Vec<Uuid> = pairs().map(|(.., blocker)| (*blocker).into()).collect();
    let planned = sqlx::query!(
        "/* plan_barriers */
        INSERT INTO barriers (fetch_id, blocker_id, job_id)
        SELECT new.fetch_id, new.blocker_id, new.job_id
        FROM unnest($1::uuid[], $2::uuid[], $3::uuid[]) AS new (fetch_id, blocker_id, job_id)
            JOIN fetches AS blockers ON blockers.id = new.blocker_id AND blockers.job_id = new.job_id
        WHERE new.fetch_id <> new.blocker_id ON CONFLICT DO NOTHING",
        &waiting,
        &blockers,
        &jobs,
    );
    planned.execute(&mut *tx).await?;
    let ids: Vec<Uuid> = fetches.iter().map(|(_, new)| new.fetch.into()).collect();
    let counted = sqlx::query!(
        "/* count_blockers */
        UPDATE fetches SET blockers_open = (
            SELECT count(*) FROM barriers JOIN fetches AS blockers ON blockers.id = barriers.blocker_id
            WHERE barriers.fetch_id = fetches.id AND blockers.finished_at_ms IS NULL)
        WHERE id = ANY($1) RETURNING id, blockers_open",
        &ids,
    );
    let counted = counted.fetch_all(tx).await?;
    Ok(counted.into_iter().filter(|row| row.blockers_open == 0).map(|row| row.id.into()).collect())
}

/// These fetches finished. Returns those that waited for one of them, and wait for nothing any more.
pub(super) async fn lift(tx: &mut PgConnection, finished: &[FetchId]) -> Result<Vec<FetchId>, LedgerError> {
    let ids: Vec<Uuid> = finished.iter().map(|fetch| (*fetch).into()).collect();
    let lifted = sqlx::query!(
        "/* lift_barriers */
        UPDATE fetches SET blockers_open = fetches.blockers_open - less.blockers
        FROM (SELECT fetch_id, count(*) AS blockers FROM barriers WHERE blocker_id = ANY($1) GROUP BY fetch_id) AS less
        WHERE fetches.id = less.fetch_id AND fetches.finished_at_ms IS NULL AND fetches.calls_open > 0
        RETURNING fetches.id, fetches.blockers_open",
        &ids,
    );
    let lifted = lifted.fetch_all(tx).await?;
    Ok(lifted.into_iter().filter(|row| row.blockers_open == 0).map(|row| row.id.into()).collect())
}

/// Lets the held calls of these fetches go, or gives them up where something failed below a blocker.
pub(super) async fn settle(
    tx: &mut PgConnection,
    free: &[FetchId],
    tally: &mut Tally,
    now_ms: i64,
) -> Result<(), LedgerError> {
    let ids: Vec<Uuid> = free.iter().map(|fetch| (*fetch).into()).collect();
    let spoiled = sqlx::query!(
        r#"/* spoiled_blockers */
        SELECT barriers.fetch_id, min(blockers.step) AS "step!"
        FROM barriers JOIN fetches AS blockers ON blockers.id = barriers.blocker_id AND blockers.spoiled > 0
        WHERE barriers.fetch_id = ANY($1) GROUP BY barriers.fetch_id"#,
        &ids,
    );
    let spoiled = spoiled.fetch_all(&mut *tx).await?;
    let (spoiled, messages): (Vec<Uuid>, Vec<String>) =
        spoiled.into_iter().map(|row| (row.fetch_id, not_made(&row.step))).unzip();
    let lifted = sqlx::query!(
        r#"/* lift_holds */
        UPDATE calls SET held = false, message = lifted.message,
            state = CASE WHEN lifted.message IS NULL THEN 'planned' ELSE 'cancelled' END,
            ended_at_ms = CASE WHEN lifted.message IS NOT NULL THEN $4::bigint END
        FROM (SELECT free.id, spoiled.message FROM unnest($1::uuid[]) AS free (id)
            LEFT JOIN unnest($2::uuid[], $3::text[]) AS spoiled (id, message) ON spoiled.id = free.id) AS lifted
        WHERE calls.fetch_id = lifted.id AND calls.held
        RETURNING calls.job_id, calls.fetch_id, calls.state = 'cancelled' AS "spoiled!""#,
        &ids,
        &spoiled,
        &messages,
        now_ms,
    );
    for row in lifted.fetch_all(tx).await? {
        tally.lift_hold(row.job_id.into(), row.fetch_id.into(), row.spoiled);
    }
    Ok(())
}
