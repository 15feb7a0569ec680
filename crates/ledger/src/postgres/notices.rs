//! Statements about notices.

use async_trait::async_trait;
use tidegate_contracts::JobId;
use uuid::Uuid;

use super::PostgresLedger;
use super::lend::on_connection;
use super::rows::small;
use crate::LedgerError;
use crate::job::parked;
use crate::notices::{Notice, NoticeRow, Notices, Tried, event};

#[async_trait]
impl Notices for PostgresLedger {
    async fn take_due(&self, limit: u32, lease_ms: i64, now_ms: i64) -> Result<Vec<Notice>, LedgerError> {
        on_connection!(self, connection => async {
            let rows = sqlx::query!(
                "/* take_notices */
                UPDATE notices SET attempts = attempts + 1, due_at_ms = $1::bigint + $2::bigint
                WHERE (job_id, event, at_ms) IN (
                    SELECT job_id, event, at_ms FROM notices
                    WHERE state = 'waiting' AND due_at_ms <= $1 ORDER BY due_at_ms LIMIT $3
                    FOR UPDATE SKIP LOCKED)
                RETURNING job_id, event, at_ms, attempts, parked",
                now_ms,
                lease_ms,
                i64::from(limit),
            );
            let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
                Ok(Notice {
                    job: row.job_id.into(),
                    event: event(&row.event)?,
                    at_ms: row.at_ms,
                    parked: parked(row.parked.as_deref())?,
                    attempt: small(row.attempts.into(), "attempts")?,
                })
            });
            rows.collect()
        })
    }

    async fn tried(&self, notice: &Notice, tried: &Tried, now_ms: i64) -> Result<(), LedgerError> {
        let (state, due_at_ms, ended_at_ms) = tried.then.columns(now_ms);
        let (last, attempt) = (tried.shown(), i32::try_from(notice.attempt).unwrap_or(i32::MAX));
        on_connection!(self, connection => async {
            let told = sqlx::query!(
                "/* notice_tried */
                UPDATE notices SET state = $1, due_at_ms = coalesce($2::bigint, due_at_ms), ended_at_ms = $3::bigint, last = $4
                WHERE job_id = $5 AND event = $6 AND at_ms = $7 AND attempts = $8 AND state = 'waiting'",
                state,
                due_at_ms as _,
                ended_at_ms as _,
                last,
                Uuid::from(notice.job),
                notice.event.name(),
                notice.at_ms,
                attempt,
            );
            told.execute(connection).await?;
            Ok(())
        })
    }

    async fn notices(&self, job: JobId) -> Result<Vec<NoticeRow>, LedgerError> {
        on_connection!(self, connection => async {
            let rows = sqlx::query!(
                "/* notices */
                SELECT event, at_ms, state, attempts, due_at_ms, ended_at_ms, last
                FROM notices WHERE job_id = $1 ORDER BY at_ms, event",
                Uuid::from(job),
            );
            let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
                Ok(NoticeRow {
                    event: event(&row.event)?,
                    at_ms: row.at_ms,
                    next_at_ms: (row.state == "waiting").then_some(row.due_at_ms),
                    state: row.state,
                    attempts: small(row.attempts.into(), "attempts")?,
                    ended_at_ms: row.ended_at_ms,
                    last: row.last,
                })
            });
            rows.collect()
        })
    }
}
