//! Statements about pages.
//!
//! A reader follows a job's pages by their numbers, and must not pass one that is still being stored: numbers are given
//! when a page is written, and seen when its transaction has ended, which may be after one with a larger number. So those who
//! write pages of a job share a lock until their end, and a reader takes it alone for the moment in which it looks how far it
//! may read: at that moment nobody is under way.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use tidegate_contracts::{CallId, FetchId, Fingerprint, JobId, Mark, PageFacts};
use uuid::Uuid;

use super::rows::{json, small, to_json};
use crate::{LedgerError, NewPage, Packed, PageRow};

/// Pages and bytes in one statement: bound its memory, here and there.
const PAGES_PER_STATEMENT: usize = 512;
const BYTES_PER_STATEMENT: usize = 16 << 20;

/// The lock of a job's pages: the random part of its id. Jobs that share it would wait for each other, no more.
fn lock_of(job: Uuid) -> i64 {
    i64::from_be_bytes(job.as_u64_pair().1.to_be_bytes())
}

/// A page with the rows it belongs to.
struct Placed<'a> {
    page: &'a NewPage,
    call_seq: i64,
    fetch_seq: i64,
    job: Uuid,
}

/// Two round trips for up to [`PAGES_PER_STATEMENT`] pages that are new, and one more for those that are not. In a
/// transaction when it takes more than one statement to write; else the statement is one.
pub(super) async fn put(
    connection: &mut PgConnection,
    pages: &[NewPage],
    now_ms: i64,
) -> Result<Vec<PageFacts>, LedgerError> {
    if pages.is_empty() {
        return Ok(Vec::new());
    }
    let mut placed = place(connection, pages).await?;
    let mut stored = HashMap::with_capacity(pages.len());
    let mut statements = Vec::new();
    while !placed.is_empty() {
        let mut bytes = 0;
        let fitting = placed.iter().take(PAGES_PER_STATEMENT).take_while(|placed| {
            bytes += placed.page.lines.as_bytes().len();
            bytes <= BYTES_PER_STATEMENT
        });
        let rest = placed.split_off(fitting.count().max(1));
        statements.push(std::mem::replace(&mut placed, rest));
    }
    if let [statement] = statements.as_slice() {
        insert(connection, statement, now_ms, &mut stored).await?;
    } else {
        let mut tx = sqlx::Connection::begin(&mut *connection).await?;
        for statement in &statements {
            insert(&mut tx, statement, now_ms, &mut stored).await?;
        }
        tx.commit().await?;
    }
    answer(connection, pages, stored).await
}

/// Finds the rows that pages belong to. A page of a call that was never planned is refused with its whole batch.
async fn place<'a>(connection: &mut PgConnection, pages: &'a [NewPage]) -> Result<Vec<Placed<'a>>, LedgerError> {
    let ids: Vec<Uuid> = pages.iter().map(|page| page.call.into()).collect();
    let rows = sqlx::query!(
        "/* calls_of_pages */
        SELECT calls.id, calls.seq AS call_seq, fetches.seq AS fetch_seq, calls.job_id
        FROM calls JOIN fetches ON fetches.id = calls.fetch_id WHERE calls.id = ANY($1)",
        &ids,
    );
    let rows = rows.fetch_all(connection).await?;
    let known: HashMap<Uuid, _> = rows.into_iter().map(|row| (row.id, row)).collect();
    let places = pages.iter().zip(ids).map(|(page, id)| {
        let row = known.get(&id).ok_or_else(|| LedgerError::corrupt("a page", "its call was never planned"))?;
        Ok(Placed { page, call_seq: row.call_seq, fetch_seq: row.fetch_seq, job: row.job_id })
    });
    places.collect()
}

/// Inserts pages; notes of those that are new whether they repeat one of their fetch, of before or of this batch.
async fn insert(
    connection: &mut PgConnection,
    pages: &[Placed<'_>],
    now_ms: i64,
    stored: &mut HashMap<CallId, bool>,
) -> Result<(), LedgerError> {
    let mut locks: Vec<i64> = pages.iter().map(|placed| lock_of(placed.job)).collect();
    locks.sort_unstable();
    locks.dedup();
    let calls: Vec<i64> = pages.iter().map(|placed| placed.call_seq).collect();
    let fetches: Vec<i64> = pages.iter().map(|placed| placed.fetch_seq).collect();
    let jobs: Vec<Uuid> = pages.iter().map(|placed| placed.job).collect();
    let items: Vec<i64> = pages.iter().map(|placed| placed.page.facts.items.into()).collect();
    let fingerprints: Vec<i64> = pages.iter().map(|placed| placed.page.facts.fingerprint.0).collect();
    let facts: Vec<String> = pages.iter().map(|placed| to_json(&placed.page.facts)).collect();
    let tops: Vec<Option<&str>> = pages.iter().map(|placed| placed.page.top.as_ref().map(Mark::as_str)).collect();
    let lines: Vec<&[u8]> = pages.iter().map(|placed| placed.page.lines.as_bytes()).collect();
    // Rows come as `unnest` gives them; the lock is had before the first of them, and so before its number.
    let rows = sqlx::query!(
        r#"/* put_pages */
        WITH locked AS MATERIALIZED (
            SELECT count(pg_advisory_xact_lock_shared(lock)) FROM unnest($1::bigint[]) AS locks (lock))
        INSERT INTO pages (call_seq, fetch_seq, job_id, items, fingerprint, facts, top, stored_at_ms, lines)
        SELECT new.call_seq, new.fetch_seq, new.job_id, new.items, new.fingerprint, new.facts, new.top, $2, new.lines
        FROM locked CROSS JOIN LATERAL unnest($3::bigint[], $4::bigint[], $5::uuid[], $6::bigint[], $7::bigint[],
            $8::text[], $9::bytea[], $10::text[]) AS new (call_seq, fetch_seq, job_id, items, fingerprint, facts, lines, top)
        ON CONFLICT (call_seq) DO NOTHING
        RETURNING call_seq, seq, items > 0 AND EXISTS (
            SELECT 1 FROM pages AS other WHERE other.fetch_seq = pages.fetch_seq AND other.items > 0
                AND other.fingerprint = pages.fingerprint AND other.seq < pages.seq) AS "repeated!""#,
        &locks,
        now_ms,
        &calls,
        &fetches,
        &jobs,
        &items,
        &fingerprints,
        &facts,
        &lines as _,
        &tops as _,
    );
    let mut rows = rows.fetch_all(connection).await?;
    rows.sort_unstable_by_key(|row| row.seq);
    let mut by_call: HashMap<i64, &Placed<'_>> = HashMap::with_capacity(pages.len());
    for placed in pages {
        by_call.entry(placed.call_seq).or_insert(placed);
    }
    // The statement does not see its own rows.
    let mut seen = HashSet::<(i64, Fingerprint)>::new();
    for row in rows {
        let Some(Placed { page, fetch_seq, .. }) = by_call.get(&row.call_seq) else { continue };
        let again = page.facts.items > 0 && !seen.insert((*fetch_seq, page.facts.fingerprint));
        stored.insert(page.call, row.repeated || again);
    }
    Ok(())
}

/// Facts in the order of the pages: of those that were there before, or are in this batch twice, the first one's.
async fn answer(
    connection: &mut PgConnection,
    pages: &[NewPage],
    mut stored: HashMap<CallId, bool>,
) -> Result<Vec<PageFacts>, LedgerError> {
    let mut told: Vec<Option<PageFacts>> = Vec::with_capacity(pages.len());
    for page in pages {
        let repeated = stored.remove(&page.call);
        told.push(repeated.map(|repeated| PageFacts { repeated, ..page.facts.clone() }));
    }
    let unknown: Vec<CallId> =
        pages.iter().zip(&told).filter(|(_, told)| told.is_none()).map(|(page, _)| page.call).collect();
    let before = if unknown.is_empty() { HashMap::new() } else { facts(connection, &unknown).await? };
    let answers = pages.iter().zip(told).map(|(page, told)| {
        told.or_else(|| before.get(&page.call).cloned())
            .ok_or_else(|| LedgerError::corrupt("a page", "neither stored now nor before"))
    });
    answers.collect()
}

/// Facts of these calls' pages, of those that are stored.
pub(super) async fn facts(
    connection: &mut PgConnection,
    calls: &[CallId],
) -> Result<HashMap<CallId, PageFacts>, LedgerError> {
    let ids: Vec<Uuid> = calls.iter().copied().map(Uuid::from).collect();
    let rows = sqlx::query!(
        r#"/* page_facts */
        SELECT calls.id, pages.facts, pages.items > 0 AND EXISTS (
            SELECT 1 FROM pages AS other WHERE other.fetch_seq = pages.fetch_seq AND other.items > 0
                AND other.fingerprint = pages.fingerprint AND other.seq < pages.seq) AS "repeated!"
        FROM calls JOIN pages ON pages.call_seq = calls.seq WHERE calls.id = ANY($1)"#,
        &ids,
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        let facts: PageFacts = json(&row.facts, "a page's facts")?;
        Ok((row.id.into(), PageFacts { repeated: row.repeated, ..facts }))
    });
    rows.collect()
}

pub(super) async fn lines(
    connection: &mut PgConnection,
    job: JobId,
    call: CallId,
) -> Result<Option<Packed>, LedgerError> {
    let bytes = sqlx::query_scalar!(
        "/* page_lines */ SELECT pages.lines FROM calls JOIN pages ON pages.call_seq = calls.seq
        WHERE calls.id = $1 AND calls.job_id = $2",
        Uuid::from(call),
        Uuid::from(job),
    );
    Ok(bytes.fetch_optional(connection).await?.map(Packed::from_bytes))
}

/// Whether a job has a page after `seq`: what a reader that waits asks again and again, so it takes no lock.
pub(super) async fn is_more(connection: &mut PgConnection, job: JobId, seq: i64) -> Result<bool, LedgerError> {
    let is_more = sqlx::query_scalar!(
        r#"/* has_pages_after */ SELECT EXISTS (SELECT 1 FROM pages WHERE job_id = $1 AND seq > $2) AS "is_more!""#,
        Uuid::from(job),
        seq,
    );
    Ok(is_more.fetch_one(connection).await?)
}

/// The last page of a job up to which all are there.
pub(super) async fn last(tx: &mut PgConnection, job: JobId) -> Result<i64, LedgerError> {
    let id = Uuid::from(job);
    sqlx::query!("/* lock_pages */ SELECT pg_advisory_xact_lock($1)", lock_of(id)).execute(&mut *tx).await?;
    let last = sqlx::query_scalar!("/* last_page */ SELECT max(seq) FROM pages WHERE job_id = $1", id);
    Ok(last.fetch_one(tx).await?.unwrap_or(0))
}

/// Pages after `seq` up to `last`, at most `limit`.
pub(super) async fn between(
    connection: &mut PgConnection,
    job: JobId,
    seq: i64,
    last: i64,
    limit: u32,
) -> Result<Vec<PageRow>, LedgerError> {
    let rows = sqlx::query!(
        "/* pages_after */
        SELECT pages.seq, fetches.id AS fetch_id, fetches.step, pages.items, fetches.params, pages.lines
        FROM pages JOIN fetches ON fetches.seq = pages.fetch_seq
        WHERE pages.job_id = $1 AND pages.seq > $2 AND pages.seq <= $3 ORDER BY pages.seq LIMIT $4",
        Uuid::from(job),
        seq,
        last,
        i64::from(limit),
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        Ok(PageRow {
            seq: row.seq,
            fetch: FetchId::from(row.fetch_id),
            step: row.step,
            items: small(row.items, "items")?,
            params: row.params,
            lines: Packed::from_bytes(row.lines),
        })
    });
    rows.collect()
}
