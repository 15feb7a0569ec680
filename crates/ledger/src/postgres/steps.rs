//! Counters by step, kept with those of fetches.

use std::collections::{BTreeMap, HashMap, HashSet};

use sqlx::PgConnection;
use tidegate_contracts::{FetchId, JobId};
use uuid::Uuid;

use super::rows::count;
use crate::tally::{FetchDelta, StepDelta, Tally};
use crate::{LedgerError, StepRow};

/// Those of these fetches that a guard had ended before, of those that one ends now: each fetch counts once.
pub(super) async fn guarded(
    tx: &mut PgConnection,
    deltas: &HashMap<FetchId, FetchDelta>,
) -> Result<HashSet<FetchId>, LedgerError> {
    let now = deltas.iter().filter(|(_, delta)| delta.end.is_some_and(|end| end.is_guard()));
    let now: Vec<Uuid> = now.map(|(fetch, _)| (*fetch).into()).collect();
    if now.is_empty() {
        return Ok(HashSet::new());
    }
    let before = sqlx::query_scalar!(
        "/* guarded_fetches */
        SELECT fetches.id FROM fetches JOIN step_guards ON step_guards.job_id = fetches.job_id
            AND step_guards.step = fetches.step AND step_guards.guard = fetches.fetch_end
        WHERE fetches.id = ANY($1)",
        &now
    );
    Ok(before.fetch_all(tx).await?.into_iter().map(FetchId::from).collect())
}

/// Adds the tally's counts to steps of locked jobs.
pub(super) async fn add(tx: &mut PgConnection, tally: &Tally) -> Result<(), LedgerError> {
    if tally.steps.is_empty() {
        return Ok(());
    }
    let mut steps: Vec<_> = tally.steps.iter().collect();
    steps.sort_by_key(|(_, delta)| delta.place);
    let jobs: Vec<Uuid> = steps.iter().map(|((job, _), _)| (*job).into()).collect();
    let names: Vec<String> = steps.iter().map(|((_, step), _)| step.clone()).collect();
    let each = |pick: fn(&StepDelta) -> i64| steps.iter().map(|(_, delta)| pick(delta)).collect::<Vec<i64>>();
    let added = sqlx::query!(
        "/* add_to_steps */
        WITH more AS (
            SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[])
                WITH ORDINALITY AS more (job_id, step, fetches, done, paged, planned, open, failed, skipped, calls_paged,
                    items, place)),
        known AS (
            UPDATE step_counts SET fetches = step_counts.fetches + more.fetches,
                fetches_done = fetches_done + more.done, fetches_paged = fetches_paged + more.paged,
                calls_planned = calls_planned + more.planned, calls_open = calls_open + more.open,
                calls_failed = calls_failed + more.failed, calls_skipped = calls_skipped + more.skipped,
                calls_paged = step_counts.calls_paged + more.calls_paged, items = step_counts.items + more.items
            FROM more WHERE step_counts.job_id = more.job_id AND step_counts.step = more.step
            RETURNING step_counts.job_id, step_counts.step)
        INSERT INTO step_counts (job_id, step, fetches, fetches_done, fetches_paged, calls_planned, calls_open,
            calls_failed, calls_skipped, calls_paged, items)
        SELECT job_id, step, fetches, done, paged, planned, open, failed, skipped, calls_paged, items FROM more
        WHERE NOT EXISTS (SELECT 1 FROM known WHERE known.job_id = more.job_id AND known.step = more.step)
        ORDER BY place",
        &jobs,
        &names,
        &each(|delta| delta.fetches),
        &each(|delta| delta.done),
        &each(|delta| delta.paged),
        &each(|delta| delta.planned),
        &each(|delta| delta.open),
        &each(|delta| delta.failed),
        &each(|delta| delta.skipped),
        &each(|delta| delta.calls_paged),
        &each(|delta| delta.items),
    );
    added.execute(&mut *tx).await?;
    for ((job, step), delta) in steps {
        for (guard, fetches) in &delta.guards {
            let added = sqlx::query!(
                "/* add_guard */
                INSERT INTO step_guards (job_id, step, guard, fetches) VALUES ($1, $2, $3, $4)
                ON CONFLICT (job_id, step, guard) DO UPDATE SET fetches = step_guards.fetches + excluded.fetches",
                Uuid::from(*job),
                step,
                guard,
                fetches,
            );
            added.execute(&mut *tx).await?;
        }
    }
    Ok(())
}

/// Counts the steps of a locked job anew from its fetches.
pub(super) async fn recount(tx: &mut PgConnection, job: Uuid) -> Result<(), LedgerError> {
    let counted = sqlx::query!(
        "/* recount_steps */
        UPDATE step_counts SET fetches_done = counted.done, fetches_paged = counted.paged, calls_open = counted.open,
            calls_failed = counted.failed, calls_paged = counted.calls_paged
        FROM (SELECT step, count(finished_at_ms) AS done, count(*) FILTER (WHERE calls_open = 0) AS paged,
                sum(calls_open) AS open, sum(calls_failed) AS failed,
                coalesce(sum(calls_planned) FILTER (WHERE calls_open = 0), 0) AS calls_paged
            FROM fetches WHERE job_id = $1 GROUP BY step) AS counted
        WHERE step_counts.job_id = $1 AND step_counts.step = counted.step",
        job,
    );
    counted.execute(tx).await?;
    Ok(())
}

pub(super) async fn steps(connection: &mut PgConnection, job: JobId) -> Result<Vec<StepRow>, LedgerError> {
    let rows = sqlx::query!(
        r#"/* steps */
        SELECT step, fetches, fetches_done, fetches_paged, calls_planned, calls_open, calls_failed, calls_skipped,
            calls_paged, items, ARRAY(SELECT guard FROM step_guards WHERE step_guards.job_id = step_counts.job_id
                AND step_guards.step = step_counts.step ORDER BY guard) AS "guards!",
            ARRAY(SELECT step_guards.fetches FROM step_guards WHERE step_guards.job_id = step_counts.job_id
                AND step_guards.step = step_counts.step ORDER BY guard) AS "guarded!"
        FROM step_counts WHERE job_id = $1 ORDER BY seq"#,
        Uuid::from(job),
    );
    let rows = rows.fetch_all(&mut *connection).await?;
    let left_out = sqlx::query!("/* left_out */ SELECT step, fetches FROM left_out WHERE job_id = $1", Uuid::from(job));
    let left_out = left_out.fetch_all(connection).await?.into_iter();
    let left_out = left_out.map(|row| Ok((row.step, count(row.fetches, "left_out")?)));
    let mut left_out = left_out.collect::<Result<BTreeMap<String, u64>, LedgerError>>()?;
    let rows = rows.into_iter().map(|row| {
        let guards = row.guards.into_iter().zip(row.guarded);
        Ok(StepRow {
            left_out: left_out.remove(&row.step).unwrap_or(0),
            step: row.step,
            fetches: count(row.fetches, "fetches")?,
            fetches_done: count(row.fetches_done, "fetches_done")?,
            fetches_paged: count(row.fetches_paged, "fetches_paged")?,
            calls_planned: count(row.calls_planned, "calls_planned")?,
            calls_open: count(row.calls_open, "calls_open")?,
            calls_failed: count(row.calls_failed, "calls_failed")?,
            calls_skipped: count(row.calls_skipped, "calls_skipped")?,
            calls_paged: count(row.calls_paged, "calls_paged")?,
            items: count(row.items, "items")?,
            guards: guards
                .map(|(guard, fetches)| Ok((guard, count(fetches, "guards")?)))
                .collect::<Result<_, LedgerError>>()?,
        })
    });
    let mut steps = rows.collect::<Result<Vec<StepRow>, LedgerError>>()?;
    steps.extend(left_out.into_iter().map(|(step, fetches)| StepRow::of_none(step, fetches)));
    Ok(steps)
}
