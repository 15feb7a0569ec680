//! Statements about samples of answers that no error rule speaks of.

use async_trait::async_trait;
use sqlx::Row;

use super::SqliteLedger;
use super::rows::count;
use crate::LedgerError;
use crate::unmatched::{NewUnmatched, UNMATCHED_AGE_MS, UNMATCHED_MAX, UnmatchedAnswers, UnmatchedRow};

#[async_trait]
impl UnmatchedAnswers for SqliteLedger {
    async fn keep_unmatched(&self, samples: &[NewUnmatched], now_ms: i64) -> Result<(), LedgerError> {
        let keep = "/* keep_unmatched */
            INSERT INTO unmatched_answers (tenant, provider, fingerprint, sample, count, first_seen_ms, last_seen_ms)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6)
            ON CONFLICT (tenant, provider, fingerprint) DO UPDATE SET
                count = count + excluded.count, last_seen_ms = max(last_seen_ms, excluded.last_seen_ms)";
        let forget = "/* forget_unmatched */
            DELETE FROM unmatched_answers WHERE tenant = ?1 AND provider = ?2 AND (last_seen_ms < ?3
                OR fingerprint NOT IN (
                    SELECT fingerprint FROM unmatched_answers WHERE tenant = ?1 AND provider = ?2
                    ORDER BY last_seen_ms DESC, fingerprint LIMIT ?4))";
        let mut tx = self.begin().await?;
        for sample in samples {
            sqlx::query(keep)
                .bind(&sample.tenant)
                .bind(&sample.provider)
                .bind(sample.fingerprint)
                .bind(&sample.sample)
                .bind(i64::try_from(sample.count).unwrap_or(i64::MAX))
                .bind(sample.last_seen_ms)
                .execute(&mut *tx)
                .await?;
        }
        for sample in samples {
            sqlx::query(forget)
                .bind(&sample.tenant)
                .bind(&sample.provider)
                .bind(now_ms.saturating_sub(UNMATCHED_AGE_MS))
                .bind(UNMATCHED_MAX)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    async fn unmatched(&self, tenant: &str, provider: &str) -> Result<Vec<UnmatchedRow>, LedgerError> {
        let sql = "/* unmatched */
            SELECT fingerprint, sample, count, first_seen_ms, last_seen_ms FROM unmatched_answers
            WHERE tenant = ?1 AND provider = ?2 ORDER BY last_seen_ms DESC, fingerprint";
        let rows = sqlx::query(sql).bind(tenant).bind(provider).fetch_all(&self.readers).await?;
        rows.iter()
            .map(|row| {
                Ok(UnmatchedRow {
                    fingerprint: row.try_get("fingerprint")?,
                    sample: row.try_get("sample")?,
                    count: count(row, "count")?,
                    first_seen_ms: row.try_get("first_seen_ms")?,
                    last_seen_ms: row.try_get("last_seen_ms")?,
                })
            })
            .collect()
    }
}
