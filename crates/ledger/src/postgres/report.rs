//! Statements for people.

use sqlx::PgConnection;
use tidegate_contracts::JobId;
use uuid::Uuid;

use super::rows::{count, json};
use crate::{FailureGroup, LedgerError, StepRow, Waiting};

pub(super) async fn failures(
    connection: &mut PgConnection,
    job: JobId,
    limit: u32,
) -> Result<Vec<FailureGroup>, LedgerError> {
    let rows = sqlx::query!(
        r#"/* failures */
        SELECT fetches.step, calls.state, calls.class AS "class!", calls.status, coalesce(calls.message, '') AS "message!",
            count(*) AS "calls!", min(fetches.params) AS "example!"
        FROM calls JOIN fetches ON fetches.id = calls.fetch_id
        WHERE calls.job_id = $1 AND calls.state IN ('skipped', 'failed')
        GROUP BY fetches.step, calls.state, calls.class, calls.status, calls.message
        ORDER BY calls.state, count(*) DESC, fetches.step, calls.class LIMIT $2"#,
        Uuid::from(job),
        i64::from(limit),
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        Ok(FailureGroup {
            step: row.step,
            state: row.state,
            class: row.class,
            status: row.status.and_then(|status| u16::try_from(status).ok()),
            message: row.message,
            calls: count(row.calls, "calls")?,
            example: row.example,
        })
    });
    rows.collect()
}

pub(super) async fn steps(connection: &mut PgConnection, job: JobId) -> Result<Vec<StepRow>, LedgerError> {
    let rows = sqlx::query!(
        r#"/* steps */
        SELECT step, count(*) AS "fetches!", count(finished_at_ms) AS "fetches_done!",
            sum(calls_planned)::bigint AS "calls_planned!", sum(calls_open)::bigint AS "calls_open!",
            sum(calls_failed)::bigint AS "calls_failed!", sum(calls_skipped)::bigint AS "calls_skipped!",
            sum(items)::bigint AS "items!",
            count(*) FILTER (WHERE fetch_end = 'repeated_pointer') AS "repeated_pointer!",
            count(*) FILTER (WHERE fetch_end = 'repeated_page') AS "repeated_page!",
            count(*) FILTER (WHERE fetch_end = 'page_cap') AS "page_cap!"
        FROM fetches WHERE job_id = $1 GROUP BY step ORDER BY min(seq)"#,
        Uuid::from(job),
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        let guards = [
            ("repeated_pointer", row.repeated_pointer),
            ("repeated_page", row.repeated_page),
            ("page_cap", row.page_cap),
        ];
        let guards = guards.into_iter().filter(|(_, fetches)| *fetches > 0);
        Ok(StepRow {
            step: row.step,
            fetches: count(row.fetches, "fetches")?,
            fetches_done: count(row.fetches_done, "fetches_done")?,
            calls_planned: count(row.calls_planned, "calls_planned")?,
            calls_open: count(row.calls_open, "calls_open")?,
            calls_failed: count(row.calls_failed, "calls_failed")?,
            calls_skipped: count(row.calls_skipped, "calls_skipped")?,
            items: count(row.items, "items")?,
            guards: guards
                .map(|(guard, fetches)| Ok((guard.to_owned(), count(fetches, guard)?)))
                .collect::<Result<_, LedgerError>>()?,
        })
    });
    rows.collect()
}

pub(super) async fn waiting(
    connection: &mut PgConnection,
    job: JobId,
    now_ms: i64,
) -> Result<Vec<Waiting>, LedgerError> {
    let rows = sqlx::query!(
        r#"/* waiting */
        SELECT wait_reason AS "reason!", count(*) AS "calls!", min(wait_until_ms) AS "until_ms!"
        FROM calls WHERE job_id = $1 AND state = 'released' AND wait_until_ms > $2
        GROUP BY wait_reason ORDER BY count(*) DESC, min(wait_until_ms) DESC LIMIT 100"#,
        Uuid::from(job),
        now_ms,
    );
    let rows = rows.fetch_all(connection).await?.into_iter().map(|row| {
        let reason = json(&row.reason, "why a call waits")?;
        Ok(Waiting { reason, calls: count(row.calls, "calls")?, until_ms: row.until_ms })
    });
    rows.collect()
}
