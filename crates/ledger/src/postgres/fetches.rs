//! Statements about fetches.

use std::collections::HashSet;

use sqlx::PgConnection;
use tidegate_contracts::{FetchEnd, FetchId, JobId, NewFetch};
use uuid::Uuid;

use super::{barriers, steps};
use crate::LedgerError;
use crate::tally::{FetchAfter, FetchDelta, NOT_BEGUN, Tally, first_calls};

/// Fetches in one statement: bounds its memory.
const FETCHES_PER_STATEMENT: usize = 2_000;

/// Inserts fetches of any jobs with the counters of their first pages. Returns those that are new.
pub(super) async fn insert(
    tx: &mut PgConnection,
    fetches: &[(JobId, &NewFetch)],
    now_ms: i64,
) -> Result<HashSet<FetchId>, LedgerError> {
    let mut new = HashSet::with_capacity(fetches.len());
    for chunk in fetches.chunks(FETCHES_PER_STATEMENT) {
        insert_chunk(tx, chunk, now_ms, &mut new).await?;
    }
    Ok(new)
}

async fn insert_chunk(
    tx: &mut PgConnection,
    fetches: &[(JobId, &NewFetch)],
    now_ms: i64,
    new: &mut HashSet<FetchId>,
) -> Result<(), LedgerError> {
    let ids: Vec<Uuid> = fetches.iter().map(|(_, fetch)| fetch.fetch.into()).collect();
    let jobs: Vec<Uuid> = fetches.iter().map(|(job, _)| (*job).into()).collect();
    let parents: Vec<Option<Uuid>> = fetches.iter().map(|(_, fetch)| fetch.parent.map(Uuid::from)).collect();
    let steps: Vec<String> = fetches.iter().map(|(_, fetch)| fetch.step.clone()).collect();
    let params: Vec<String> = fetches.iter().map(|(_, fetch)| fetch.params.canonical()).collect();
    let open: Vec<i64> = fetches.iter().map(|(_, fetch)| first_calls(fetch)).collect();
    let failed: Vec<i64> = fetches.iter().map(|(_, fetch)| i64::from(fetch.failure.is_some())).collect();
    let spoiled: Vec<i64> =
        fetches.iter().map(|(_, fetch)| i64::from(fetch.failure.is_some() && !fetch.tolerated)).collect();
    let marks: Vec<Option<Uuid>> = fetches.iter().map(|(_, fetch)| fetch.mark.map(Uuid::from)).collect();
    let inserted = sqlx::query_scalar!(
        "/* plan_fetches */
        INSERT INTO fetches (id, job_id, parent_id, step, params, calls_planned, calls_open, calls_failed, fetch_end,
            created_at_ms, finished_at_ms, spoiled, mark_id, since)
        SELECT new.id, new.job_id, new.parent_id, new.step, new.params, new.open + new.failed, new.open, new.failed,
            CASE WHEN new.failed > 0 THEN $9 END, $8::bigint, CASE WHEN new.open = 0 THEN $8::bigint END,
            new.spoiled, new.mark_id,
            (SELECT marks.value FROM jobs JOIN marks ON marks.tenant = jobs.tenant AND marks.job_name = jobs.name
                AND marks.id = new.mark_id WHERE jobs.id = new.job_id AND jobs.extend)
        FROM unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6::bigint[], $7::bigint[], $10::bigint[],
                $11::uuid[])
            WITH ORDINALITY AS new (id, job_id, parent_id, step, params, open, failed, spoiled, mark_id, place)
        ORDER BY new.place ON CONFLICT (id) DO NOTHING RETURNING id",
        &ids,
        &jobs,
        &parents as _,
        &steps,
        &params,
        &open,
        &failed,
        now_ms,
        NOT_BEGUN,
        &spoiled,
        &marks as _,
    );
    new.extend(inserted.fetch_all(tx).await?.into_iter().map(FetchId::from));
    Ok(())
}

/// Adds the tally's counts to fetches, and to their parents as they finish, level by level; takes the finished ones off
/// the tally's jobs. With each that finishes, those that waited for it are settled, and `free` are before: fetches whose
/// calls are held and that wait for nothing. Only fetches of the jobs `waiting` are waited for.
pub(super) async fn add(
    tx: &mut PgConnection,
    tally: &mut Tally,
    mut free: Vec<FetchId>,
    waiting: &HashSet<JobId>,
    now_ms: i64,
) -> Result<(), LedgerError> {
    loop {
        if !free.is_empty() {
            barriers::settle(tx, &free, tally, now_ms).await?;
        }
        let level = std::mem::take(&mut tally.fetches);
        if level.is_empty() {
            return Ok(());
        }
        let guarded = steps::guarded(tx, &level).await?;
        let rows: Vec<(FetchId, FetchDelta)> = level.iter().map(|(fetch, delta)| (*fetch, delta.clone())).collect();
        let mut awaited = Vec::new();
        for row in add_level(tx, &rows, now_ms).await? {
            let Some(delta) = level.get(&row.fetch) else { continue };
            tally.add_to_step(row.job, &row.step, delta, row.now, guarded.contains(&row.fetch));
            if row.now.open + row.now.children > 0 {
                continue;
            }
            tally.finish_fetch(row.job, row.parent, row.spoiled);
            if waiting.contains(&row.job) {
                awaited.push(row.fetch);
            }
        }
        free = if awaited.is_empty() { Vec::new() } else { barriers::lift(tx, &awaited).await? };
    }
}

/// A fetch that was added to.
struct Added {
    fetch: FetchId,
    job: JobId,
    parent: Option<FetchId>,
    step: String,
    spoiled: i64,
    now: FetchAfter,
}

/// Returns them as they are then.
async fn add_level(
    tx: &mut PgConnection,
    level: &[(FetchId, FetchDelta)],
    now_ms: i64,
) -> Result<Vec<Added>, LedgerError> {
    let ids: Vec<Uuid> = level.iter().map(|(fetch, _)| (*fetch).into()).collect();
    let each = |pick: fn(&FetchDelta) -> i64| level.iter().map(|(_, delta)| pick(delta)).collect::<Vec<i64>>();
    let totals: Vec<Option<i64>> =
        level.iter().map(|(_, delta)| delta.total.map(|total| i64::try_from(total).unwrap_or(i64::MAX))).collect();
    let ends: Vec<Option<String>> =
        level.iter().map(|(_, delta)| delta.end.map(FetchEnd::name).map(str::to_owned)).collect();
    let added = sqlx::query!(
        "/* add_to_fetches */
            UPDATE fetches SET
                calls_planned = fetches.calls_planned + more.planned, calls_open = fetches.calls_open + more.open,
                calls_succeeded = fetches.calls_succeeded + more.succeeded,
                calls_skipped = fetches.calls_skipped + more.skipped, calls_failed = fetches.calls_failed + more.failed,
                calls_cancelled = fetches.calls_cancelled + more.cancelled,
                children_open = fetches.children_open + more.children, items = fetches.items + more.items,
                spoiled = fetches.spoiled + more.spoiled,
                blockers_open = CASE WHEN fetches.calls_open + more.open = 0 THEN 0 ELSE fetches.blockers_open END,
                total = coalesce(more.total, fetches.total),
                -- A guard stays, as within a transaction.
                fetch_end = CASE WHEN fetches.fetch_end IN ('repeated_pointer', 'repeated_page', 'page_cap', 'tiny_pages', 'depth_cap')
                    THEN fetches.fetch_end ELSE coalesce(more.fetch_end, fetches.fetch_end) END,
                finished_at_ms = CASE WHEN fetches.calls_open + more.open + fetches.children_open + more.children = 0
                    THEN $12::bigint END
            FROM unnest($1::uuid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[],
                    $8::bigint[], $9::bigint[], $10::bigint[], $11::text[], $13::bigint[])
                AS more (id, planned, open, succeeded, skipped, failed, cancelled, children, items, total, fetch_end, spoiled)
            WHERE fetches.id = more.id
            RETURNING fetches.id, fetches.job_id, fetches.parent_id, fetches.step, fetches.calls_planned,
                fetches.calls_open, fetches.children_open, fetches.spoiled",
        &ids,
        &each(|delta| delta.planned),
        &each(|delta| delta.open),
        &each(|delta| delta.succeeded),
        &each(|delta| delta.skipped),
        &each(|delta| delta.failed),
        &each(|delta| delta.cancelled),
        &each(|delta| delta.children),
        &each(|delta| delta.items),
        &totals as _,
        &ends as _,
        now_ms,
        &each(|delta| delta.spoiled),
    );
    let added = added.fetch_all(tx).await?.into_iter().map(|row| Added {
        fetch: row.id.into(),
        job: row.job_id.into(),
        parent: row.parent_id.map(FetchId::from),
        step: row.step,
        spoiled: row.spoiled,
        now: FetchAfter { planned: row.calls_planned, open: row.calls_open, children: row.children_open },
    });
    Ok(added.collect())
}
