//! Statements about dead letters.

use async_trait::async_trait;
use sqlx::Row;
use sqlx::sqlite::SqliteRow;
use tidegate_contracts::{DeadId, JobId};

use super::SqliteLedger;
use super::rows::{count, dead_id, small};
use crate::LedgerError;
use crate::dead::{DeadBounds, DeadFilter, DeadLetters, DeadRow, NewDead};

#[async_trait]
impl DeadLetters for SqliteLedger {
    async fn keep_dead(&self, letters: &[NewDead], now_ms: i64) -> Result<(), LedgerError> {
        let sql = "/* keep_dead */
            INSERT INTO dead_letters (id, queue, kind, job_id, reason, redelivered, died_at_ms, kept_at_ms, bytes, body)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10) ON CONFLICT (id) DO NOTHING";
        let mut tx = self.begin().await?;
        for letter in letters {
            sqlx::query(sql)
                .bind(&letter.id.as_bytes()[..])
                .bind(&letter.queue)
                .bind(&letter.kind)
                .bind(letter.job.as_ref().map(|job| &job.as_bytes()[..]))
                .bind(letter.shown())
                .bind(letter.redelivered)
                .bind(letter.died_at_ms)
                .bind(now_ms)
                .bind(i64::try_from(letter.body.len()).unwrap_or(i64::MAX))
                .bind(letter.kept())
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    async fn prune_dead(&self, bounds: &DeadBounds, now_ms: i64) -> Result<(u64, u64), LedgerError> {
        let sql = "/* prune_dead */
            DELETE FROM dead_letters WHERE kept_at_ms < ?1 OR seq IN (
                SELECT seq FROM (
                    SELECT seq, row_number() OVER newest AS place, sum(length(body)) OVER newest AS bytes
                    FROM dead_letters WINDOW newest AS (ORDER BY seq DESC))
                WHERE place > ?2 OR bytes > ?3)";
        let pruned = sqlx::query(sql)
            .bind(now_ms.saturating_sub(bounds.age_ms))
            .bind(bounds.letters)
            .bind(i64::try_from(bounds.bytes).unwrap_or(i64::MAX))
            .execute(&self.writer)
            .await?;
        let left = "/* count_dead */ SELECT count(*) AS letters FROM dead_letters";
        Ok((pruned.rows_affected(), count(&sqlx::query(left).fetch_one(&self.writer).await?, "letters")?))
    }

    async fn dead(&self, filter: &DeadFilter) -> Result<Vec<DeadRow>, LedgerError> {
        let sql = "/* dead */
            SELECT id, queue, kind, job_id, reason, redelivered, died_at_ms, kept_at_ms, bytes, replayed_at_ms
            FROM dead_letters
            WHERE (?1 IS NULL OR queue = ?1) AND (?2 IS NULL OR job_id = ?2)
                AND (?3 IS NULL OR seq < (SELECT seq FROM dead_letters WHERE id = ?3))
            ORDER BY seq DESC LIMIT ?4";
        let rows = sqlx::query(sql)
            .bind(&filter.queue)
            .bind(filter.job.as_ref().map(|job| &job.as_bytes()[..]))
            .bind(filter.before.as_ref().map(|id| &id.as_bytes()[..]))
            .bind(filter.limit)
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(read).collect()
    }

    async fn dead_letter(&self, id: DeadId) -> Result<Option<(DeadRow, Vec<u8>)>, LedgerError> {
        let sql = "/* dead_letter */ SELECT * FROM dead_letters WHERE id = ?1";
        let row = sqlx::query(sql).bind(&id.as_bytes()[..]).fetch_optional(&self.readers).await?;
        row.map(|row| Ok((read(&row)?, row.try_get("body")?))).transpose()
    }

    async fn replayed_dead(&self, id: DeadId, now_ms: i64) -> Result<bool, LedgerError> {
        let sql = "/* replayed_dead */ UPDATE dead_letters SET replayed_at_ms = ?1 WHERE id = ?2";
        let replayed = sqlx::query(sql).bind(now_ms).bind(&id.as_bytes()[..]).execute(&self.writer).await?;
        Ok(replayed.rows_affected() > 0)
    }

    async fn drop_dead(&self, id: DeadId) -> Result<bool, LedgerError> {
        let sql = "/* drop_dead */ DELETE FROM dead_letters WHERE id = ?1";
        Ok(sqlx::query(sql).bind(&id.as_bytes()[..]).execute(&self.writer).await?.rows_affected() > 0)
    }
}

fn read(row: &SqliteRow) -> Result<DeadRow, LedgerError> {
    let job: Option<&[u8]> = row.try_get("job_id")?;
    let job = job.map(|bytes| JobId::from_slice(bytes).ok_or_else(|| LedgerError::corrupt("a job id", "not 16 bytes")));
    Ok(DeadRow {
        id: dead_id(row, "id")?,
        queue: row.try_get("queue")?,
        kind: row.try_get("kind")?,
        job: job.transpose()?,
        reason: row.try_get("reason")?,
        redelivered: small(row, "redelivered")?,
        died_at_ms: row.try_get("died_at_ms")?,
        kept_at_ms: row.try_get("kept_at_ms")?,
        bytes: count(row, "bytes")?,
        replayed_at_ms: row.try_get("replayed_at_ms")?,
    })
}
