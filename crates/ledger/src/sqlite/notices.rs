//! Statements about notices.

use async_trait::async_trait;
use sqlx::Row;
use tidegate_contracts::JobId;

use super::SqliteLedger;
use super::rows::job_id;
use crate::LedgerError;
use crate::job::parked;
use crate::notices::{Notice, NoticeRow, Notices, Tried, event};

#[async_trait]
impl Notices for SqliteLedger {
    async fn take_due(&self, limit: u32, lease_ms: i64, now_ms: i64) -> Result<Vec<Notice>, LedgerError> {
        // Looked for by a reader first: this is asked every second, and the writer has other things to do.
        let sql = "/* notices_due */ SELECT EXISTS (SELECT 1 FROM notices WHERE state = 'waiting' AND due_at_ms <= ?1)";
        if !sqlx::query_scalar::<_, bool>(sql).bind(now_ms).fetch_one(&self.readers).await? {
            return Ok(Vec::new());
        }
        let sql = "/* take_notices */
            UPDATE notices SET attempts = attempts + 1, due_at_ms = ?1 + ?2
            WHERE (job_id, event, at_ms) IN (
                SELECT job_id, event, at_ms FROM notices
                WHERE state = 'waiting' AND due_at_ms <= ?1 ORDER BY due_at_ms LIMIT ?3)
            RETURNING job_id, event, at_ms, attempts, parked";
        let rows = sqlx::query(sql).bind(now_ms).bind(lease_ms).bind(limit).fetch_all(&self.writer).await?;
        rows.iter()
            .map(|row| {
                Ok(Notice {
                    job: job_id(row, "job_id")?,
                    event: event(row.try_get("event")?)?,
                    at_ms: row.try_get("at_ms")?,
                    parked: parked(row.try_get("parked")?)?,
                    attempt: row.try_get("attempts")?,
                })
            })
            .collect()
    }

    async fn tried(&self, notice: &Notice, tried: &Tried, now_ms: i64) -> Result<(), LedgerError> {
        let (state, due_at_ms, ended_at_ms) = tried.then.columns(now_ms);
        let sql = "/* notice_tried */
            UPDATE notices SET state = ?1, due_at_ms = coalesce(?2, due_at_ms), ended_at_ms = ?3, last = ?4
            WHERE job_id = ?5 AND event = ?6 AND at_ms = ?7 AND attempts = ?8 AND state = 'waiting'";
        sqlx::query(sql)
            .bind(state)
            .bind(due_at_ms)
            .bind(ended_at_ms)
            .bind(tried.shown())
            .bind(&notice.job.as_bytes()[..])
            .bind(notice.event.name())
            .bind(notice.at_ms)
            .bind(notice.attempt)
            .execute(&self.writer)
            .await?;
        Ok(())
    }

    async fn notices(&self, job: JobId) -> Result<Vec<NoticeRow>, LedgerError> {
        let sql = "/* notices */
            SELECT event, at_ms, state, attempts, iif(state = 'waiting', due_at_ms, NULL) AS next_at_ms,
                ended_at_ms, last
            FROM notices WHERE job_id = ?1 ORDER BY at_ms, event";
        let rows = sqlx::query(sql).bind(&job.as_bytes()[..]).fetch_all(&self.readers).await?;
        rows.iter()
            .map(|row| {
                Ok(NoticeRow {
                    event: event(row.try_get("event")?)?,
                    at_ms: row.try_get("at_ms")?,
                    state: row.try_get("state")?,
                    attempts: row.try_get("attempts")?,
                    next_at_ms: row.try_get("next_at_ms")?,
                    ended_at_ms: row.try_get("ended_at_ms")?,
                    last: row.try_get("last")?,
                })
            })
            .collect()
    }
}
