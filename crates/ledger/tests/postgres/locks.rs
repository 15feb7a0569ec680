//! Transactions in each other's way.

use std::time::{Duration, Instant};

use sqlx::{Connection, PgConnection};
use tidegate_ledger::{JobState, Ledger, LedgerError, PostgresConfig, PostgresLedger};
use uuid::Uuid;

use crate::database::Database;
use crate::job::{NOW, begin, ok, page, windows};

const LOCK_JOB: &str = "SELECT 1 FROM jobs WHERE id = $1 FOR UPDATE";

/// Until somebody waits for a lock in this database.
async fn somebody_waits(database: &Database) {
    let mut connection = database.connection().await;
    let sql = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let deadline = Instant::now() + Duration::from_secs(10);
    while sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut connection).await.expect("reads") == 0 {
        assert!(Instant::now() < deadline, "nobody waits");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_commit_that_is_given_up_for_a_deadlock_is_made_again() {
    let database = Database::migrated().await;
    let ledger = database.ledger().await;
    let mut jobs = [begin(&ledger, 1, 9).await, begin(&ledger, 1, 9).await];
    jobs.sort_by_key(|(job, _)| *job);
    let calls = [&jobs[0].1[0], &jobs[1].1[0]];
    ledger.put_pages(&calls.map(page), NOW).await.expect("stores");

    // Somebody holds the second job and wants the first, while the commit holds the first and wants the second.
    let mut connection = database.connection().await;
    let mut other = connection.begin().await.expect("begins");
    sqlx::query(LOCK_JOB).bind(Uuid::from(jobs[1].0)).execute(&mut *other).await.expect("locks");
    let plans = calls.map(ok);
    let commit = {
        let ledger = ledger.clone();
        tokio::spawn(async move { ledger.commit(&plans, &windows(9), NOW).await })
    };
    somebody_waits(&database).await;
    sqlx::query(LOCK_JOB).bind(Uuid::from(jobs[0].0)).execute(&mut *other).await.expect("is not the one given up");
    other.commit().await.expect("commits");
    let committed = commit.await.expect("ends").expect("commits in the end");
    assert_eq!(committed.finished.len(), 2);
    let sql = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    let deadline = Instant::now() + Duration::from_secs(10);
    while sqlx::query_scalar::<_, i64>(sql).fetch_one(&mut connection).await.expect("reads") == 0 {
        assert!(Instant::now() < deadline, "there was no deadlock");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(ledger.audit().await.expect("counts"), Vec::<String>::new());
    ledger.close().await;
}

#[tokio::test]
async fn a_lock_that_is_held_too_long_is_told_and_costs_nothing() {
    let database = Database::migrated().await;
    let short = Duration::from_secs(3);
    let config =
        PostgresConfig { connections: 1, acquire_timeout: short / 3, lock_timeout: short, ..database.config() };
    let ledger = PostgresLedger::connect(&config).await.expect("connects");
    let (job, calls) = begin(&ledger, 1, 9).await;
    ledger.put_pages(&[page(&calls[0])], NOW).await.expect("stores");

    let mut connection: PgConnection = database.connection().await;
    let mut other = connection.begin().await.expect("begins");
    sqlx::query(LOCK_JOB).bind(Uuid::from(job)).execute(&mut *other).await.expect("locks");
    let commit = {
        let (ledger, plan) = (ledger.clone(), ok(&calls[0]));
        tokio::spawn(async move { ledger.commit(&[plan], &windows(9), NOW).await })
    };
    somebody_waits(&database).await;
    // Whoever asks meanwhile hears at once that there is no connection.
    let error = ledger.job(job).await.expect_err("has no connection left");
    assert!(matches!(error, LedgerError::Unavailable(sqlx::Error::PoolTimedOut)), "{error:?}");
    let error = commit.await.expect("ends").expect_err("has no lock");
    assert!(matches!(error, LedgerError::Unavailable(_)) && error.is_passing(), "{error:?}");
    // A reader waits for nobody.
    assert_eq!(ledger.job(job).await.expect("reads").map(|row| row.state), Some(JobState::Running));
    other.rollback().await.expect("lets go");
    assert_eq!(ledger.commit(&[ok(&calls[0])], &windows(9), NOW).await.expect("commits").finished, [job]);
    ledger.close().await;
}

#[tokio::test]
async fn pages_are_stored_while_their_job_is_locked() {
    let database = Database::migrated().await;
    let ledger = database.ledger().await;
    let (job, calls) = begin(&ledger, 3, 9).await;
    let mut connection = database.connection().await;
    let mut other = connection.begin().await.expect("begins");
    sqlx::query(LOCK_JOB).bind(Uuid::from(job)).execute(&mut *other).await.expect("locks");
    let pages: Vec<_> = calls.iter().map(page).collect();
    ledger.put_pages(&pages, NOW).await.expect("waits for nobody");
    assert_eq!(ledger.pages_after(job, 0, 10).await.expect("reads").len(), 3);
    // A sweep leaves what is locked to whoever has it.
    assert_eq!(ledger.sweep(false, &windows(9), NOW + 60_000).await.expect("sweeps").calls.len(), 3);
    other.rollback().await.expect("lets go");
    ledger.close().await;
}
