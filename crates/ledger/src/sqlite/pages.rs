//! Statements about pages.

use std::collections::HashMap;

use sqlx::{QueryBuilder, Row, Sqlite, SqliteConnection};
use tidegate_contracts::{CallId, JobId, Mark, PageFacts};

use super::rows::{call_id, fetch_id, small};
use crate::{LedgerError, NewPage, Packed, PageRow};

/// Pages in one statement. SQLite takes 32,766 parameters; small enough to keep its text and memory small.
const PAGES_PER_STATEMENT: usize = 32;

pub(super) async fn put(
    tx: &mut SqliteConnection,
    pages: &[NewPage],
    now_ms: i64,
) -> Result<Vec<PageFacts>, LedgerError> {
    let mut repeated = HashMap::with_capacity(pages.len());
    for chunk in pages.chunks(PAGES_PER_STATEMENT) {
        insert(tx, chunk, now_ms, &mut repeated).await?;
    }
    let mut stored = Vec::with_capacity(pages.len());
    for page in pages {
        stored.push(match repeated.remove(&page.call) {
            Some(repeated) => PageFacts { repeated, ..page.facts.clone() },
            // It was there before, or is in this batch twice; the first one stays.
            None => facts(tx, page.call)
                .await?
                .ok_or_else(|| LedgerError::corrupt("a page", "its call was never planned"))?,
        });
    }
    Ok(stored)
}

/// Pages of calls that the ledger has never planned are left out.
async fn insert(
    tx: &mut SqliteConnection,
    pages: &[NewPage],
    now_ms: i64,
    repeated: &mut HashMap<CallId, bool>,
) -> Result<(), LedgerError> {
    let mut sql =
        QueryBuilder::<Sqlite>::new("/* put_pages */ WITH new (call_id, items, fingerprint, facts, top, lines) AS (");
    sql.push_values(pages, |mut row, page| {
        row.push_bind(&page.call.as_bytes()[..])
            .push_bind(page.facts.items)
            .push_bind(page.facts.fingerprint.0)
            .push_bind(sqlx::types::Json(&page.facts))
            .push_bind(page.top.as_ref().map(Mark::as_str))
            .push_bind(page.lines.as_bytes());
    });
    sql.push(
        ") INSERT INTO pages (call_seq, fetch_seq, job_seq, items, fingerprint, facts, top, stored_at_ms, lines)
          SELECT calls.seq, fetches.seq, jobs.seq, new.items, new.fingerprint, new.facts, new.top, ",
    )
    .push_bind(now_ms)
    .push(
        ", new.lines
          FROM new CROSS JOIN calls ON calls.id = new.call_id JOIN fetches ON fetches.id = calls.fetch_id
            JOIN jobs ON jobs.id = calls.job_id
          WHERE true ON CONFLICT (call_seq) DO NOTHING
          RETURNING (SELECT id FROM calls WHERE calls.seq = call_seq) AS call_id, items > 0 AND EXISTS (
            SELECT 1 FROM pages other WHERE other.fetch_seq = pages.fetch_seq AND other.items > 0
              AND other.fingerprint = pages.fingerprint AND other.seq < pages.seq) AS repeated",
    );
    for row in sql.build().fetch_all(tx).await? {
        repeated.insert(call_id(&row, "call_id")?, row.try_get("repeated")?);
    }
    Ok(())
}

pub(super) async fn facts(connection: &mut SqliteConnection, call: CallId) -> Result<Option<PageFacts>, LedgerError> {
    let sql = "/* page_facts */
        SELECT facts, items > 0 AND EXISTS (
            SELECT 1 FROM pages other WHERE other.fetch_seq = pages.fetch_seq AND other.items > 0
              AND other.fingerprint = pages.fingerprint AND other.seq < pages.seq) AS repeated
        FROM pages WHERE call_seq = (SELECT seq FROM calls WHERE id = ?1)";
    let Some(row) = sqlx::query(sql).bind(&call.as_bytes()[..]).fetch_optional(connection).await? else {
        return Ok(None);
    };
    let facts: sqlx::types::Json<PageFacts> = row.try_get("facts")?;
    Ok(Some(PageFacts { repeated: row.try_get("repeated")?, ..facts.0 }))
}

pub(super) async fn lines(
    connection: &mut SqliteConnection,
    job: JobId,
    call: CallId,
) -> Result<Option<Packed>, LedgerError> {
    let sql = "/* page_lines */ SELECT lines FROM pages WHERE call_seq = (SELECT seq FROM calls WHERE id = ?1 AND job_id = ?2)";
    let bytes: Option<Vec<u8>> =
        sqlx::query_scalar(sql).bind(&call.as_bytes()[..]).bind(&job.as_bytes()[..]).fetch_optional(connection).await?;
    Ok(bytes.map(Packed::from_bytes))
}

pub(super) async fn after(
    connection: &mut SqliteConnection,
    job: JobId,
    seq: i64,
    limit: u32,
) -> Result<Vec<PageRow>, LedgerError> {
    let sql = "/* pages_after */
        SELECT pages.seq, fetches.id AS fetch_id, fetches.step, pages.items, fetches.params, pages.lines
        FROM pages JOIN fetches ON fetches.seq = pages.fetch_seq
        WHERE pages.seq > ?1 AND pages.job_seq = (SELECT seq FROM jobs WHERE id = ?2) ORDER BY pages.seq LIMIT ?3";
    let rows = sqlx::query(sql).bind(seq).bind(&job.as_bytes()[..]).bind(limit).fetch_all(connection).await?;
    rows.iter()
        .map(|row| {
            Ok(PageRow {
                seq: row.try_get("seq")?,
                fetch: fetch_id(row, "fetch_id")?,
                step: row.try_get("step")?,
                items: small(row, "items")?,
                params: row.try_get("params")?,
                lines: Packed::from_bytes(row.try_get("lines")?),
            })
        })
        .collect()
}
