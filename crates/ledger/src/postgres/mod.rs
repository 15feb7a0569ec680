//! The ledger on Postgres, for several processes at once.
//!
//! Transactions that change a job lock its row first, in the order of ids, so that they take turns; pages are stored
//! without it. What is written together is written by one statement over arrays. `docs/postgres.md` says more.

mod audit;
mod barriers;
mod calls;
mod commit;
mod config;
mod connect;
mod dead;
mod fetches;
mod jobs;
mod lend;
mod marks;
mod notices;
mod out;
mod pages;
mod pause;
mod prune;
mod release;
mod report;
mod retry;
mod rows;
mod steps;
mod stop;
mod submit;
mod tree;
mod unmatched;
mod whales;

use std::time::Duration;

use async_trait::async_trait;
use sqlx::PgPool;
use tidegate_contracts::{CallId, FetchId, JobId, PageFacts, Plan};

use crate::{
    Committed, FailedCall, FailedFilter, FailureGroup, FetchFilter, FetchRow, JobFilter, JobRow, Ledger, LedgerError,
    MarkFilter, MarkRow, NewJob, NewPage, OpenLane, OutGroup, Pace, Packed, PageRow, Prunable, PruneFilter, PrunePart,
    PrunedRows, RetryFilter, SpecRow, StepRow, Submitted, Swept, Waiting, Windows,
};
pub use config::PostgresConfig;
use lend::{in_transaction, on_connection};

/// The ledger on Postgres.
#[derive(Debug, Clone)]
pub struct PostgresLedger {
    pool: PgPool,
    statement_timeout: Duration,
}

impl PostgresLedger {
    /// Connects, and checks that the schema is the one of this build; it does not change it.
    ///
    /// # Errors
    /// [`LedgerError::Address`], [`LedgerError::Refused`], [`LedgerError::Unavailable`], [`LedgerError::Older`],
    /// [`LedgerError::Newer`].
    pub async fn connect(config: &PostgresConfig) -> Result<Self, LedgerError> {
        let ledger = Self { pool: connect::pool(config)?, statement_timeout: config.statement_timeout };
        on_connection!(&ledger, connection => connect::check_schema(connection))?;
        Ok(ledger)
    }

    /// Brings the schema up to date. Of several at once, one does it and the others wait.
    ///
    /// # Errors
    /// [`LedgerError::Address`], [`LedgerError::Refused`], [`LedgerError::Unavailable`], [`LedgerError::Newer`],
    /// [`LedgerError::Migrate`].
    pub async fn migrate(config: &PostgresConfig) -> Result<(), LedgerError> {
        connect::migrate(config).await
    }

    /// Asks the database for an answer, whatever it is; for a check of health.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn ping(&self) -> Result<(), LedgerError> {
        on_connection!(self, connection => async { Ok(sqlx::Connection::ping(connection).await?) })
    }

    /// Why no connection can be made, where that is so: the pool tries again until its time is over, and then knows no
    /// reason.
    pub async fn trouble(&self) -> Option<LedgerError> {
        use sqlx::{Connection as _, PgConnection};
        match PgConnection::connect_with(&self.pool.connect_options()).await {
            Ok(connection) => {
                // It was made; how it ends is no matter.
                connection.close().await.ok();
                None
            }
            Err(error) => Some(error.into()),
        }
    }

    /// The server's version, as it says it.
    ///
    /// # Errors
    /// [`LedgerError::Unavailable`].
    pub async fn version(&self) -> Result<String, LedgerError> {
        on_connection!(self, connection => async {
            let version = sqlx::query_scalar!(r#"/* version */ SELECT current_setting('server_version') AS "version!""#);
            Ok(version.fetch_one(connection).await?)
        })
    }

    /// Its connections, for what else is kept in the database.
    #[must_use]
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// Closes the connections; what was committed is committed.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

#[async_trait]
impl Ledger for PostgresLedger {
    async fn submit(&self, job: &NewJob, now_ms: i64) -> Result<Submitted, LedgerError> {
        on_connection!(self, connection => submit::submit(connection, job, now_ms))
    }

    async fn job(&self, id: JobId) -> Result<Option<JobRow>, LedgerError> {
        on_connection!(self, connection => jobs::by_id(connection, id))
    }

    async fn jobs(&self, filter: &JobFilter) -> Result<Vec<JobRow>, LedgerError> {
        on_connection!(self, connection => jobs::filtered(connection, filter))
    }

    async fn lanes_open(&self) -> Result<Vec<OpenLane>, LedgerError> {
        on_connection!(self, connection => jobs::lanes_open(connection))
    }

    async fn job_like(&self, fingerprint: &str) -> Result<Option<JobRow>, LedgerError> {
        on_connection!(self, connection => jobs::by_fingerprint(connection, fingerprint))
    }

    async fn runs(&self, fingerprint: &str) -> Result<Vec<JobRow>, LedgerError> {
        on_connection!(self, connection => jobs::runs(connection, fingerprint))
    }

    async fn spec(&self, id: JobId) -> Result<Option<SpecRow>, LedgerError> {
        on_connection!(self, connection => jobs::spec(connection, id))
    }

    async fn stopped(&self, jobs: &[JobId]) -> Result<Vec<JobId>, LedgerError> {
        on_connection!(self, connection => jobs::stopped(connection, jobs))
    }

    async fn paused(&self, jobs: &[JobId]) -> Result<Vec<JobId>, LedgerError> {
        on_connection!(self, connection => pause::paused(connection, jobs))
    }

    async fn parked(&self, tenant: &str, credential: &str) -> Result<Vec<JobId>, LedgerError> {
        on_connection!(self, connection => pause::parked(connection, tenant, credential))
    }

    async fn commit(&self, plans: &[Plan], windows: &Windows, now_ms: i64) -> Result<Committed, LedgerError> {
        in_transaction!(self, tx => commit::commit(tx, plans, windows, now_ms))
    }

    async fn published(&self, receipt: i64) -> Result<(), LedgerError> {
        on_connection!(self, connection => release::published(connection, receipt))
    }

    /// Of several at once, one sweeps; the others find nothing.
    async fn sweep(&self, everything: bool, windows: &Windows, now_ms: i64) -> Result<Swept, LedgerError> {
        in_transaction!(self, tx => async {
            if !release::lock_sweep(tx, everything).await? {
                return Ok(Swept::default());
            }
            let (stopped, finished) = stop::overdue(tx, now_ms).await?;
            whales::settle(tx, windows).await?;
            release::give_up_unpublished(tx, now_ms).await?;
            let mut calls = release::again(tx, everything, windows, now_ms).await?;
            calls.extend(release::stalled(tx, windows, now_ms).await?.into_iter().map(|call| (call, 0)));
            let unplanned = jobs::unplanned(tx).await?;
            Ok::<_, LedgerError>(Swept { calls, unplanned, stopped, finished })
        })
    }

    async fn retry_failed(&self, job: JobId, which: &RetryFilter, now_ms: i64) -> Result<u64, LedgerError> {
        in_transaction!(self, tx => retry::retry_failed(tx, job, which, now_ms))
    }

    async fn cancel(&self, job: JobId, reason: &str, now_ms: i64) -> Result<(), LedgerError> {
        in_transaction!(self, tx => stop::cancel(tx, job, reason, now_ms))
    }

    async fn pause(&self, job: JobId, now_ms: i64) -> Result<bool, LedgerError> {
        on_connection!(self, connection => pause::pause(connection, job, now_ms))
    }

    async fn resume(&self, job: JobId) -> Result<(), LedgerError> {
        on_connection!(self, connection => pause::resume(connection, job))
    }

    async fn put_pages(&self, pages: &[NewPage], now_ms: i64) -> Result<Vec<PageFacts>, LedgerError> {
        on_connection!(self, connection => pages::put(connection, pages, now_ms))
    }

    async fn page_facts(&self, call: CallId) -> Result<Option<PageFacts>, LedgerError> {
        on_connection!(self, connection => async { Ok(pages::facts(connection, &[call]).await?.remove(&call)) })
    }

    async fn page_lines(&self, job: JobId, call: CallId) -> Result<Option<Packed>, LedgerError> {
        on_connection!(self, connection => pages::lines(connection, job, call))
    }

    async fn pages_after(&self, job: JobId, seq: i64, limit: u32) -> Result<Vec<PageRow>, LedgerError> {
        if !on_connection!(self, connection => pages::is_more(connection, job, seq))? {
            return Ok(Vec::new());
        }
        let last = in_transaction!(self, tx => pages::last(tx, job))?;
        on_connection!(self, connection => pages::between(connection, job, seq, last, limit))
    }

    async fn failures(&self, job: JobId, limit: u32) -> Result<Vec<FailureGroup>, LedgerError> {
        on_connection!(self, connection => report::failures(connection, job, limit))
    }

    async fn failed_calls(&self, job: JobId, filter: &FailedFilter) -> Result<Vec<FailedCall>, LedgerError> {
        on_connection!(self, connection => tree::failed_calls(connection, job, filter))
    }

    async fn fetches(&self, job: JobId, filter: &FetchFilter) -> Result<Vec<FetchRow>, LedgerError> {
        on_connection!(self, connection => tree::fetches(connection, job, filter))
    }

    async fn steps(&self, job: JobId) -> Result<Vec<StepRow>, LedgerError> {
        on_connection!(self, connection => steps::steps(connection, job))
    }

    async fn waiting(&self, job: JobId, now_ms: i64) -> Result<Vec<Waiting>, LedgerError> {
        on_connection!(self, connection => report::waiting(connection, job, now_ms))
    }

    async fn out(&self, job: JobId, fetch: Option<FetchId>, now_ms: i64) -> Result<Vec<OutGroup>, LedgerError> {
        on_connection!(self, connection => out::out(connection, job, fetch, now_ms))
    }

    async fn fetch(&self, job: JobId, fetch: FetchId) -> Result<Option<FetchRow>, LedgerError> {
        on_connection!(self, connection => tree::fetch(connection, job, fetch))
    }

    async fn pace(&self, job: JobId, pages: u32) -> Result<Option<Pace>, LedgerError> {
        on_connection!(self, connection => out::pace(connection, job, pages))
    }

    async fn marks(&self, filter: &MarkFilter) -> Result<Vec<MarkRow>, LedgerError> {
        on_connection!(self, connection => marks::filtered(connection, filter))
    }

    async fn reset_marks(&self, filter: &MarkFilter) -> Result<u64, LedgerError> {
        on_connection!(self, connection => marks::reset(connection, filter))
    }

    async fn prunable(&self, filter: &PruneFilter) -> Result<Vec<Prunable>, LedgerError> {
        on_connection!(self, connection => prune::prunable(connection, filter))
    }

    async fn prune_mark(&self, jobs: &[JobId], now_ms: i64) -> Result<Vec<JobId>, LedgerError> {
        on_connection!(self, connection => prune::mark(connection, jobs, now_ms))
    }

    async fn prune_rows(&self, jobs: &[JobId], part: PrunePart, rows: u32) -> Result<PrunedRows, LedgerError> {
        in_transaction!(self, tx => prune::rows(tx, jobs, part, rows))
    }

    async fn audit(&self) -> Result<Vec<String>, LedgerError> {
        in_transaction!(self, tx => async {
            sqlx::query("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ").execute(&mut *tx).await?;
            audit::differences(tx).await
        })
    }

    async fn keep(&self, name: &str, value: &str, now_ms: i64) -> Result<(), LedgerError> {
        on_connection!(self, connection => async {
            let kept = sqlx::query!(
                "/* keep */ INSERT INTO keepsakes (name, value, kept_at_ms) VALUES ($1, $2, $3)
                ON CONFLICT (name) DO UPDATE SET value = excluded.value, kept_at_ms = excluded.kept_at_ms",
                name,
                value,
                now_ms,
            );
            kept.execute(connection).await?;
            Ok(())
        })
    }

    async fn kept(&self, name: &str) -> Result<Option<String>, LedgerError> {
        on_connection!(self, connection => async {
            let kept = sqlx::query_scalar!("/* kept */ SELECT value FROM keepsakes WHERE name = $1", name);
            Ok(kept.fetch_optional(connection).await?)
        })
    }
}
