//! The ledger in one SQLite file.
//!
//! One connection writes (SQLite has one writer anyway; waiting for a lock in a queue of ours is fair and never
//! answers "busy"), a few read. Write-ahead log, so readers never wait for the writer. What is written together is
//! written by one statement over a JSON array: a statement costs more than a row.

mod audit;
mod barriers;
mod calls;
mod commit;
mod dead;
mod fetches;
mod jobs;
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

use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, Sqlite, Transaction};
use tidegate_contracts::{CallId, FetchId, JobId, PageFacts, Plan};

use crate::{
    Committed, FailedCall, FailedFilter, FailureGroup, FetchFilter, FetchRow, JobFilter, JobRow, Ledger, LedgerError,
    MarkFilter, MarkRow, NewJob, NewPage, OpenLane, OutGroup, Pace, Packed, PageRow, Prunable, PruneFilter, PrunePart,
    PrunedRows, RetryFilter, SpecRow, StepRow, Submitted, Swept, Waiting, Windows,
};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite");

/// Times to try again to open a file that others are making, and the pause before each.
const OPEN_TRIES_MAX: u32 = 100;
const OPEN_AGAIN_AFTER: Duration = Duration::from_millis(20);

/// Readers beside the one writer.
const READERS: u32 = 3;

/// Pages that a file may have: as many as SQLite allows (<https://www.sqlite.org/limits.html#max_page_count>), 17 TB.
const SIZE_MAX_PAGES: u32 = 4_294_967_294;

/// When a commit is on the disk (<https://www.sqlite.org/pragma.html#pragma_synchronous>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sync {
    /// With every commit; it survives a loss of power.
    #[default]
    Full,
    /// With every checkpoint; a loss of power may undo the newest commits, whose calls are then made again.
    Normal,
}

/// The ledger in one SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteLedger {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl SqliteLedger {
    /// Opens the file, makes it if need be, and brings its schema up to date.
    ///
    /// # Errors
    /// [`LedgerError::Open`], [`LedgerError::Newer`], [`LedgerError::Migrate`].
    pub async fn open(path: &Path, sync: Sync) -> Result<Self, LedgerError> {
        Self::open_capped(path, sync, SIZE_MAX_PAGES).await
    }

    /// As [`SqliteLedger::open`], with room for so many pages of the file; for tests of a disk that is full.
    #[doc(hidden)]
    pub async fn open_capped(path: &Path, sync: Sync, size_max_pages: u32) -> Result<Self, LedgerError> {
        let open = |source| LedgerError::Open { path: path.display().to_string(), source };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(match sync {
                Sync::Full => SqliteSynchronous::Full,
                Sync::Normal => SqliteSynchronous::Normal,
            })
            .foreign_keys(true)
            .busy_timeout(Duration::from_secs(10))
            .pragma("max_page_count", size_max_pages.to_string())
            .pragma("journal_size_limit", "67108864");
        let writer = connect(1, options.clone().pragma("temp_store", "memory")).await.map_err(open)?;
        let migrated = migrate(&writer).await.map_err(|error| match error {
            MigrateError::VersionMissing(version) => LedgerError::Newer(version),
            MigrateError::Execute(source) | MigrateError::ExecuteMigration(source, _) => {
                match LedgerError::from(source) {
                    LedgerError::Statement(source) => open(source),
                    full_or_read_only => full_or_read_only,
                }
            }
            other => LedgerError::Migrate(other),
        });
        let opened = match migrated {
            Ok(()) => connect(READERS, options.read_only(true)).await.map_err(open),
            Err(error) => Err(error),
        };
        match opened {
            Ok(readers) => Ok(Self { writer, readers }),
            Err(error) => {
                writer.close().await;
                Err(error)
            }
        }
    }

    /// Closes the file; what was committed is in it. The last of a file to be closed brings the write-ahead log into it and
    /// deletes the log. A process that ends without may be cut off halfway: SQLite mends that by the log, but whoever copies the
    /// file alone copies a broken one.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, LedgerError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }
}

async fn connect(connections: u32, options: SqliteConnectOptions) -> Result<SqlitePool, sqlx::Error> {
    let pool = SqlitePoolOptions::new()
        .max_connections(connections)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        // A transaction that SQLite has undone by itself, as on a full disk, sqlx still believes to be open
        // (<https://www.sqlite.org/lang_transaction.html#response_to_errors_within_a_transaction>), and refuses to begin
        // another. Such a connection is replaced.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }));
    let mut tries = 0;
    loop {
        match pool.clone().connect_with(options.clone()).await {
            // Of two that make a file a write-ahead log at once, one is told that it is locked, whatever its timeout.
            Err(error) if is_locked(&error) && tries < OPEN_TRIES_MAX => {
                tries += 1;
                tokio::time::sleep(OPEN_AGAIN_AFTER).await;
            }
            connected => return connected,
        }
    }
}

fn is_locked(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "5")
}

/// In one transaction, so that of several processes that open a new file at once the others find it made: for SQLite, sqlx
/// has no lock of its own around migrations.
async fn migrate(writer: &SqlitePool) -> Result<(), MigrateError> {
    let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
    // As `run` would; that one can't be sent between threads with a connection ("Acquire is not general enough").
    MIGRATIONS.run_direct(None, &mut *tx, false).await?;
    Ok(tx.commit().await?)
}

#[async_trait]
impl Ledger for SqliteLedger {
    async fn submit(&self, job: &NewJob, now_ms: i64) -> Result<Submitted, LedgerError> {
        let mut tx = self.begin().await?;
        let submitted = submit::submit(&mut tx, job, now_ms).await?;
        tx.commit().await?;
        Ok(submitted)
    }

    async fn job(&self, id: JobId) -> Result<Option<JobRow>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        jobs::by_id(&mut connection, id).await
    }

    async fn jobs(&self, filter: &JobFilter) -> Result<Vec<JobRow>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        jobs::filtered(&mut connection, filter).await
    }

    async fn lanes_open(&self) -> Result<Vec<OpenLane>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        jobs::lanes_open(&mut connection).await
    }

    async fn job_like(&self, fingerprint: &str) -> Result<Option<JobRow>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        jobs::by_fingerprint(&mut connection, fingerprint).await
    }

    async fn runs(&self, fingerprint: &str) -> Result<Vec<JobRow>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        jobs::runs(&mut connection, fingerprint).await
    }

    async fn spec(&self, id: JobId) -> Result<Option<SpecRow>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        jobs::spec(&mut connection, id).await
    }

    async fn stopped(&self, jobs: &[JobId]) -> Result<Vec<JobId>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        jobs::stopped(&mut connection, jobs).await
    }

    async fn paused(&self, jobs: &[JobId]) -> Result<Vec<JobId>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        pause::paused(&mut connection, jobs).await
    }

    async fn parked(&self, tenant: &str, credential: &str) -> Result<Vec<JobId>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        pause::parked(&mut connection, tenant, credential).await
    }

    async fn commit(&self, plans: &[Plan], windows: &Windows, now_ms: i64) -> Result<Committed, LedgerError> {
        let mut tx = self.begin().await?;
        let committed = commit::commit(&mut tx, plans, windows, now_ms).await?;
        tx.commit().await?;
        Ok(committed)
    }

    /// One process works on the file, and begins by releasing everything again.
    async fn published(&self, _receipt: i64) -> Result<(), LedgerError> {
        Ok(())
    }

    async fn sweep(&self, everything: bool, windows: &Windows, now_ms: i64) -> Result<Swept, LedgerError> {
        let mut tx = self.begin().await?;
        let (stopped, finished) = stop::overdue(&mut tx, now_ms).await?;
        whales::settle(&mut tx, windows).await?;
        let mut calls = release::again(&mut tx, everything, windows, now_ms).await?;
        calls.extend(release::stalled(&mut tx, windows, now_ms).await?.into_iter().map(|call| (call, 0)));
        let unplanned = jobs::unplanned(&mut tx).await?;
        tx.commit().await?;
        Ok(Swept { calls, unplanned, stopped, finished })
    }

    async fn retry_failed(&self, job: JobId, which: &RetryFilter, now_ms: i64) -> Result<u64, LedgerError> {
        let mut tx = self.begin().await?;
        let retried = retry::retry_failed(&mut tx, job, which, now_ms).await?;
        tx.commit().await?;
        Ok(retried)
    }

    async fn cancel(&self, job: JobId, reason: &str, now_ms: i64) -> Result<(), LedgerError> {
        let mut tx = self.begin().await?;
        stop::cancel(&mut tx, job, reason, now_ms).await?;
        Ok(tx.commit().await?)
    }

    async fn pause(&self, job: JobId, now_ms: i64) -> Result<bool, LedgerError> {
        let mut tx = self.begin().await?;
        let paused = pause::pause(&mut tx, job, now_ms).await?;
        tx.commit().await?;
        Ok(paused)
    }

    async fn resume(&self, job: JobId) -> Result<(), LedgerError> {
        let mut tx = self.begin().await?;
        pause::resume(&mut tx, job).await?;
        Ok(tx.commit().await?)
    }

    async fn put_pages(&self, pages: &[NewPage], now_ms: i64) -> Result<Vec<PageFacts>, LedgerError> {
        let mut tx = self.begin().await?;
        let facts = pages::put(&mut tx, pages, now_ms).await?;
        tx.commit().await?;
        Ok(facts)
    }

    async fn page_facts(&self, call: CallId) -> Result<Option<PageFacts>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        pages::facts(&mut connection, call).await
    }

    async fn page_lines(&self, job: JobId, call: CallId) -> Result<Option<Packed>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        pages::lines(&mut connection, job, call).await
    }

    async fn pages_after(&self, job: JobId, seq: i64, limit: u32) -> Result<Vec<PageRow>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        pages::after(&mut connection, job, seq, limit).await
    }

    async fn failures(&self, job: JobId, limit: u32) -> Result<Vec<FailureGroup>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        report::failures(&mut connection, job, limit).await
    }

    async fn failed_calls(&self, job: JobId, filter: &FailedFilter) -> Result<Vec<FailedCall>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        tree::failed_calls(&mut connection, job, filter).await
    }

    async fn fetches(&self, job: JobId, filter: &FetchFilter) -> Result<Vec<FetchRow>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        tree::fetches(&mut connection, job, filter).await
    }

    async fn steps(&self, job: JobId) -> Result<Vec<StepRow>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        let mut tx = connection.begin().await?;
        steps::steps(&mut tx, job).await
    }

    async fn waiting(&self, job: JobId, now_ms: i64) -> Result<Vec<Waiting>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        report::waiting(&mut connection, job, now_ms).await
    }

    async fn out(&self, job: JobId, fetch: Option<FetchId>, now_ms: i64) -> Result<Vec<OutGroup>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        out::out(&mut connection, job, fetch, now_ms).await
    }

    async fn fetch(&self, job: JobId, fetch: FetchId) -> Result<Option<FetchRow>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        tree::fetch(&mut connection, job, fetch).await
    }

    async fn pace(&self, job: JobId, pages: u32) -> Result<Option<Pace>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        out::pace(&mut connection, job, pages).await
    }

    async fn marks(&self, filter: &MarkFilter) -> Result<Vec<MarkRow>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        marks::filtered(&mut connection, filter).await
    }

    async fn reset_marks(&self, filter: &MarkFilter) -> Result<u64, LedgerError> {
        let mut tx = self.begin().await?;
        let reset = marks::reset(&mut tx, filter).await?;
        tx.commit().await?;
        Ok(reset)
    }

    async fn prunable(&self, filter: &PruneFilter) -> Result<Vec<Prunable>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        prune::prunable(&mut connection, filter).await
    }

    async fn prune_mark(&self, jobs: &[JobId], now_ms: i64) -> Result<Vec<JobId>, LedgerError> {
        let mut tx = self.begin().await?;
        let marked = prune::mark(&mut tx, jobs, now_ms).await?;
        tx.commit().await?;
        Ok(marked)
    }

    async fn prune_rows(&self, jobs: &[JobId], part: PrunePart, rows: u32) -> Result<PrunedRows, LedgerError> {
        let mut tx = self.begin().await?;
        let pruned = prune::rows(&mut tx, jobs, part, rows).await?;
        tx.commit().await?;
        Ok(pruned)
    }

    async fn audit(&self) -> Result<Vec<String>, LedgerError> {
        let mut connection = self.readers.acquire().await?;
        let mut tx = connection.begin().await?;
        audit::differences(&mut tx).await
    }

    async fn keep(&self, name: &str, value: &str, now_ms: i64) -> Result<(), LedgerError> {
        let sql = "/* keep */ INSERT INTO keepsakes (name, value, kept_at_ms) VALUES (?1, ?2, ?3)
                   ON CONFLICT (name) DO UPDATE SET value = excluded.value, kept_at_ms = excluded.kept_at_ms";
        sqlx::query(sql).bind(name).bind(value).bind(now_ms).execute(&self.writer).await?;
        Ok(())
    }

    async fn kept(&self, name: &str) -> Result<Option<String>, LedgerError> {
        let sql = "/* kept */ SELECT value FROM keepsakes WHERE name = ?1";
        Ok(sqlx::query_scalar(sql).bind(name).fetch_optional(&self.readers).await?)
    }
}
