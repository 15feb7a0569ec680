//! Connecting, the schema, and what is told when it does not go well.

use std::error::Error;

use sqlx::migrate::Migrator;
use sqlx::{Connection, PgConnection, PgPool};
use tidegate_ledger::{Ledger, LedgerError, PostgresConfig, PostgresLedger};

use crate::database::{Database, server};
use crate::job::new_job;

const MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/postgres");

/// The error with its causes, and all that a log might print of it.
fn told(error: &LedgerError) -> String {
    let mut told = format!("{error:?}: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        told = format!("{told}: {error}");
        cause = error.source();
    }
    told
}

#[tokio::test]
async fn a_database_without_the_schema_is_told_what_to_do() {
    let database = Database::blank().await;
    let error = PostgresLedger::connect(&database.config()).await.expect_err("has no schema");
    assert!(matches!(error, LedgerError::Older { found: None, .. }), "{error:?}");
    assert!(error.to_string().contains("run `tidegate migrate`") && !error.is_passing());
}

#[tokio::test]
async fn the_schema_of_a_newer_build_is_refused() {
    let database = Database::migrated().await;
    let newer = "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time)
                 VALUES (29990101000000, 'newer', true, '\\x00', 0)";
    sqlx::query(newer).execute(&mut database.connection().await).await.expect("inserts");
    let error = PostgresLedger::connect(&database.config()).await.expect_err("is newer");
    assert!(matches!(error, LedgerError::Newer(29_990_101_000_000)) && !error.is_passing(), "{error:?}");
    let error = PostgresLedger::migrate(&database.config()).await.expect_err("is newer");
    assert!(matches!(error, LedgerError::Newer(29_990_101_000_000)), "{error:?}");
}

#[tokio::test]
async fn several_that_migrate_at_once_make_one_schema() {
    let database = Database::blank().await;
    let config = database.config();
    let migrations: Vec<_> = (0..4)
        .map(|_| {
            let config = config.clone();
            tokio::spawn(async move { PostgresLedger::migrate(&config).await })
        })
        .collect();
    for migration in migrations {
        migration.await.expect("ends").map_err(|error| told(&error)).expect("migrates");
    }
    let ledger = database.ledger().await;
    ledger.submit(&new_job(), 1).await.expect("submits");
    ledger.close().await;
}

#[tokio::test]
async fn the_schema_goes_up_and_down_and_up() {
    let database = Database::blank().await;
    let pool = PgPool::connect(&database.url()).await.expect("connects");
    let schema = async || {
        let sql = "SELECT conrelid::regclass || ' ' || pg_get_constraintdef(oid) FROM pg_constraint
                WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text NOT LIKE '\\_sqlx%'
            UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename NOT LIKE '\\_sqlx%'
            UNION ALL SELECT table_name || ' ' || column_name || ' ' || data_type FROM information_schema.columns
                WHERE table_schema = 'public' AND table_name NOT LIKE '\\_sqlx%'
            ORDER BY 1";
        sqlx::query_scalar::<_, String>(sql).fetch_all(&pool).await.expect("reads")
    };
    MIGRATIONS.run(&pool).await.expect("goes up");
    let up = schema().await;
    assert!(up.iter().any(|line| line.starts_with("calls ")));
    MIGRATIONS.undo(&pool, 0).await.expect("goes down");
    assert_eq!(schema().await, Vec::<String>::new());
    MIGRATIONS.run(&pool).await.expect("goes up again");
    assert_eq!(schema().await, up);
    pool.close().await;
}

#[tokio::test]
async fn no_error_shows_the_password() {
    let (_, host) = server().rsplit_once('@').map(|(user, host)| (user.to_owned(), host.to_owned())).expect("a user");
    for (url, passing) in [
        // Nobody there, no such database, no such address.
        ("postgres://postgres:hunter2@127.0.0.1:9/nothing".to_owned(), true),
        (format!("postgres://postgres:hunter2@{host}/tidegate_no_such_database"), false),
        ("postgres://postgres:hunter2@127.0.0.1:port/hunter2".to_owned(), false),
        ("hunter2".to_owned(), false),
    ] {
        let config = PostgresConfig::new(url);
        let error = PostgresLedger::connect(&config).await.expect_err("is not there");
        assert_eq!(error.is_passing(), passing, "{error:?}");
        assert!(!told(&error).contains("hunter2"), "{}", told(&error));
        assert!(!format!("{config:?}").contains("hunter2"));
    }
}

#[tokio::test]
async fn a_ledger_answers_a_ping() {
    let database = Database::migrated().await;
    let ledger = database.ledger().await;
    ledger.ping().await.expect("answers");
    let settings: (String, String) =
        sqlx::query_as("SELECT datname::text, application_name FROM pg_stat_activity WHERE datname = $1")
            .bind(&database.name)
            .fetch_one(&mut PgConnection::connect(&format!("{}/postgres", server())).await.expect("connects"))
            .await
            .expect("is connected");
    assert_eq!(settings, (database.name.clone(), "tidegate".to_owned()));
    ledger.close().await;
    assert!(ledger.ping().await.expect_err("is closed").is_passing());
}
