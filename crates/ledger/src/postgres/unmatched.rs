//! Statements about samples of answers that no error rule speaks of.

use async_trait::async_trait;

use super::PostgresLedger;
use super::lend::{in_transaction, on_connection};
use super::rows::count;
use crate::LedgerError;
use crate::unmatched::{NewUnmatched, UNMATCHED_AGE_MS, UNMATCHED_MAX, UnmatchedAnswers, UnmatchedRow};

#[async_trait]
impl UnmatchedAnswers for PostgresLedger {
    async fn keep_unmatched(&self, samples: &[NewUnmatched], now_ms: i64) -> Result<(), LedgerError> {
        // In one order, so that executors never wait for each other in a circle.
        let mut samples: Vec<&NewUnmatched> = samples.iter().collect();
        samples.sort_by_key(|sample| (&sample.tenant, &sample.provider, sample.fingerprint));
        let providers = samples.chunk_by(|one, next| (&one.tenant, &one.provider) == (&next.tenant, &next.provider));
        for of_provider in providers {
            in_transaction!(self, tx => async {
                for sample in of_provider {
                    let kept = sqlx::query!(
                        "/* keep_unmatched */
                        INSERT INTO unmatched_answers AS known
                            (tenant, provider, fingerprint, sample, count, first_seen_ms, last_seen_ms)
                        VALUES ($1, $2, $3, $4, $5, $6, $6)
                        ON CONFLICT (tenant, provider, fingerprint) DO UPDATE SET
                            count = known.count + excluded.count,
                            last_seen_ms = greatest(known.last_seen_ms, excluded.last_seen_ms)",
                        sample.tenant,
                        sample.provider,
                        sample.fingerprint,
                        sample.sample,
                        i64::try_from(sample.count).unwrap_or(i64::MAX),
                        sample.last_seen_ms,
                    );
                    kept.execute(&mut *tx).await?;
                }
                let forgotten = sqlx::query!(
                    "/* forget_unmatched */
                    DELETE FROM unmatched_answers WHERE tenant = $1 AND provider = $2 AND (last_seen_ms < $3
                        OR fingerprint NOT IN (
                            SELECT fingerprint FROM unmatched_answers WHERE tenant = $1 AND provider = $2
                            ORDER BY last_seen_ms DESC, fingerprint LIMIT $4))",
                    of_provider[0].tenant,
                    of_provider[0].provider,
                    now_ms.saturating_sub(UNMATCHED_AGE_MS),
                    i64::from(UNMATCHED_MAX),
                );
                forgotten.execute(&mut *tx).await?;
                Ok::<_, LedgerError>(())
            })?;
        }
        Ok(())
    }

    async fn unmatched(&self, tenant: &str, provider: &str) -> Result<Vec<UnmatchedRow>, LedgerError> {
        on_connection!(self, connection => async {
            let rows = sqlx::query!(
                "/* unmatched */
                SELECT fingerprint, sample, count, first_seen_ms, last_seen_ms FROM unmatched_answers
                WHERE tenant = $1 AND provider = $2 ORDER BY last_seen_ms DESC, fingerprint",
                tenant,
                provider,
            );
            let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
                Ok(UnmatchedRow {
                    fingerprint: row.fingerprint,
                    sample: row.sample,
                    count: count(row.count, "count")?,
                    first_seen_ms: row.first_seen_ms,
                    last_seen_ms: row.last_seen_ms,
                })
            });
            rows.collect()
        })
    }
}
