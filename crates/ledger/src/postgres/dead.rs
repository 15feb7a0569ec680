//! Statements about dead letters.

use async_trait::async_trait;
use tidegate_contracts::DeadId;
use uuid::Uuid;

use super::PostgresLedger;
use super::lend::{in_transaction, on_connection};
use super::rows::{count, small};
use crate::LedgerError;
use crate::dead::{DeadBounds, DeadFilter, DeadLetters, DeadRow, NewDead};

/// A letter as it is read.
macro_rules! dead_row {
    ($row:expr) => {
        DeadRow {
            id: $row.id.into(),
            queue: $row.queue,
            kind: $row.kind,
            job: $row.job_id.map(Into::into),
            reason: $row.reason,
            redelivered: small($row.redelivered, "redelivered")?,
            died_at_ms: $row.died_at_ms,
            kept_at_ms: $row.kept_at_ms,
            bytes: count($row.bytes, "bytes")?,
            replayed_at_ms: $row.replayed_at_ms,
        }
    };
}

#[async_trait]
impl DeadLetters for PostgresLedger {
    async fn keep_dead(&self, letters: &[NewDead], now_ms: i64) -> Result<(), LedgerError> {
        in_transaction!(self, tx => async {
            // One by one: they are rare, and may be large.
            for letter in letters {
                let kept = sqlx::query!(
                    "/* keep_dead */
                    INSERT INTO dead_letters (id, queue, kind, job_id, reason, redelivered, died_at_ms, kept_at_ms, bytes, body)
                    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (id) DO NOTHING",
                    Uuid::from(letter.id),
                    letter.queue,
                    letter.kind.as_deref(),
                    letter.job.map(Uuid::from),
                    letter.shown(),
                    i64::from(letter.redelivered),
                    letter.died_at_ms,
                    now_ms,
                    i64::try_from(letter.body.len()).unwrap_or(i64::MAX),
                    letter.kept(),
                );
                kept.execute(&mut *tx).await?;
            }
            Ok::<_, LedgerError>(())
        })
    }

    async fn prune_dead(&self, bounds: &DeadBounds, now_ms: i64) -> Result<(u64, u64), LedgerError> {
        on_connection!(self, connection => async {
            let pruned = sqlx::query!(
                "/* prune_dead */
                DELETE FROM dead_letters WHERE kept_at_ms < $1 OR seq IN (
                    SELECT seq FROM (
                        SELECT seq, row_number() OVER newest AS place, sum(octet_length(body)) OVER newest AS bytes
                        FROM dead_letters WINDOW newest AS (ORDER BY seq DESC)) ranked
                    WHERE place > $2 OR bytes > $3)",
                now_ms.saturating_sub(bounds.age_ms),
                i64::from(bounds.letters),
                i64::try_from(bounds.bytes).unwrap_or(i64::MAX),
            );
            let pruned = pruned.execute(&mut *connection).await?.rows_affected();
            let left = sqlx::query_scalar!(r#"/* count_dead */ SELECT count(*) AS "left!" FROM dead_letters"#);
            Ok((pruned, count(left.fetch_one(connection).await?, "letters")?))
        })
    }

    async fn dead(&self, filter: &DeadFilter) -> Result<Vec<DeadRow>, LedgerError> {
        on_connection!(self, connection => async {
            let rows = sqlx::query!(
                "/* dead */
                SELECT id, queue, kind, job_id, reason, redelivered, died_at_ms, kept_at_ms, bytes, replayed_at_ms
                FROM dead_letters
                WHERE ($1::text IS NULL OR queue = $1) AND ($2::uuid IS NULL OR job_id = $2)
                    AND ($3::uuid IS NULL OR seq < (SELECT seq FROM dead_letters WHERE id = $3))
                ORDER BY seq DESC LIMIT $4",
                filter.queue.as_deref(),
                filter.job.map(Uuid::from),
                filter.before.map(Uuid::from),
                i64::from(filter.limit),
            );
            rows.fetch_all(connection).await?.into_iter().map(|row| Ok(dead_row!(row))).collect()
        })
    }

    async fn dead_letter(&self, id: DeadId) -> Result<Option<(DeadRow, Vec<u8>)>, LedgerError> {
        on_connection!(self, connection => async {
            let row = sqlx::query!(
                "/* dead_letter */
                SELECT id, queue, kind, job_id, reason, redelivered, died_at_ms, kept_at_ms, bytes, replayed_at_ms, body
                FROM dead_letters WHERE id = $1",
                Uuid::from(id),
            );
            let row = row.fetch_optional(connection).await?;
            row.map(|row| Ok((dead_row!(row), row.body))).transpose()
        })
    }

    async fn replayed_dead(&self, id: DeadId, now_ms: i64) -> Result<bool, LedgerError> {
        on_connection!(self, connection => async {
            let replayed = sqlx::query!(
                "/* replayed_dead */ UPDATE dead_letters SET replayed_at_ms = $1 WHERE id = $2",
                now_ms,
                Uuid::from(id),
            );
            Ok(replayed.execute(connection).await?.rows_affected() > 0)
        })
    }

    async fn drop_dead(&self, id: DeadId) -> Result<bool, LedgerError> {
        on_connection!(self, connection => async {
            let dropped = sqlx::query!("/* drop_dead */ DELETE FROM dead_letters WHERE id = $1", Uuid::from(id));
            Ok(dropped.execute(connection).await?.rows_affected() > 0)
        })
    }
}
