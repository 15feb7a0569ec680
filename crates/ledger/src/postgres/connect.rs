//! Connecting, and the schema.

use std::time::Duration;

use secrecy::ExposeSecret;
use sqlx::migrate::{MigrateError, Migrator};
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::PostgresConfig;
use crate::LedgerError;

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/postgres");

/// A connection is replaced after this long, so that a change of the server's settings or address reaches us.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(30 * 60);

/// Longest time of one statement of a migration: indexes of large tables take their time.
const MIGRATION_TIMEOUT: Duration = Duration::from_secs(60 * 60);

/// How statements are planned. All of ours find their rows by index, by ids that they are given; a plan that was made
/// while tables were small and is kept must not read them whole when they are large. The audit sets them back.
const PLANNING: [(&str, &str); 4] =
    [("enable_seqscan", "off"), ("enable_hashjoin", "off"), ("enable_mergejoin", "off"), ("random_page_cost", "1.1")];

/// When the server gives a client up that is no longer there, in seconds: what it has locked, others wait for.
const CLIENT_GONE: [(&str, &str); 4] = [
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "5"),
    ("tcp_keepalives_count", "3"),
    ("idle_in_transaction_session_timeout", "60000"),
];

fn options(config: &PostgresConfig, statement_timeout: Duration) -> Result<PgConnectOptions, LedgerError> {
    let options: PgConnectOptions = config.url.expose_secret().parse().map_err(|_| LedgerError::Address)?;
    let timeouts = [("statement_timeout", statement_timeout), ("lock_timeout", config.lock_timeout)];
    Ok(options
        .application_name("tidegate")
        .options(timeouts.map(|(name, timeout)| (name, timeout.as_millis())))
        .options(CLIENT_GONE))
}

/// A pool that connects when it is first asked; nothing here waits.
pub(super) fn pool(config: &PostgresConfig) -> Result<PgPool, LedgerError> {
    let options = options(config, config.statement_timeout)?.options(PLANNING);
    let port = options.get_port();
    Ok(PgPoolOptions::new()
        .after_connect(move |_, _| {
            Box::pin(async move {
                if let Err(error) = tidegate_nodelay::set_for_port(port) {
                    tracing::debug!(%error, "TCP_NODELAY can't be set; large statements wait for acknowledgements");
                }
                Ok(())
            })
        })
        .max_connections(config.connections)
        .acquire_timeout(config.acquire_timeout)
        .max_lifetime(CONNECTION_AGE_MAX)
        // A question more for each statement; a connection that broke is told by the statement itself, and replaced.
        .test_before_acquire(false)
        .connect_lazy_with(options))
}

/// Brings the schema up to date. Of two at once, one waits for the other (a lock of sqlx's).
pub(super) async fn migrate(config: &PostgresConfig) -> Result<(), LedgerError> {
    let lock_timeout = config.statement_timeout.max(MIGRATION_TIMEOUT);
    let options = options(&PostgresConfig { lock_timeout, ..config.clone() }, MIGRATION_TIMEOUT)?;
    let pool =
        PgPoolOptions::new().max_connections(1).acquire_timeout(config.acquire_timeout).connect_with(options).await?;
    let migrated = MIGRATIONS.run(&pool).await.map_err(|error| match error {
        MigrateError::VersionMissing(version) => LedgerError::Newer(version),
        MigrateError::Execute(source) => source.into(),
        other => LedgerError::Migrate(other),
    });
    pool.close().await;
    migrated
}

/// Whether the schema is the one of this build.
pub(super) async fn check_schema(connection: &mut sqlx::PgConnection) -> Result<(), LedgerError> {
    let needed = MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0);
    // Not checked by the compiler: this table is sqlx's own, and may be missing.
    let sql = "/* schema_version */ SELECT max(version) FROM _sqlx_migrations WHERE success";
    let found: Option<i64> = match sqlx::query_scalar(sql).fetch_one(connection).await {
        Ok(found) => found,
        Err(error) if is_missing_table(&error) => None,
        Err(error) => return Err(error.into()),
    };
    match found {
        Some(found) if found == needed => Ok(()),
        Some(found) if found > needed => Err(LedgerError::Newer(found)),
        found => Err(LedgerError::Older { found, needed }),
    }
}

fn is_missing_table(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "42P01")
}
