//! The registry in the ledger's SQLite file.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use tidegate_provider::file::Name;

use crate::rows::registry;
use crate::{
    CREDENTIALS_MAX, CredentialRow, KEYS_MAX, KeyRow, LIST_MAX, Leased, NewKey, PROVIDERS_MAX, ProviderInfo,
    ProviderRow, Refresh, RegistryError, SealedRow, Tenant, TenantRow, statement,
};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/sqlite");

/// What is asked and told here is little and rare; the ledger's own connections do the work.
const CONNECTIONS: u32 = 2;
/// The ledger's writer holds the file for a commit at a time.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// The registry in the ledger's SQLite file.
#[derive(Debug, Clone)]
pub struct SqliteRegistry {
    pool: SqlitePool,
}

impl SqliteRegistry {
    /// Opens the file, makes it if need be, and brings its schema up to date, the ledger's part included.
    ///
    /// # Errors
    /// [`RegistryError::Open`], [`RegistryError::Migrate`].
    pub async fn open(path: &Path) -> Result<Self, RegistryError> {
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT);
        let pool = SqlitePoolOptions::new().max_connections(CONNECTIONS);
        let pool = pool.connect_with(options).await.map_err(RegistryError::Open)?;
        match migrate(&pool).await {
            Ok(()) => Ok(Self { pool }),
            Err(error) => {
                pool.close().await;
                Err(RegistryError::Migrate(error))
            }
        }
    }

    /// Closes the file. The last to close it brings the write-ahead log into it; who ends without may leave a file that can't be
    /// copied alone.
    pub async fn close(&self) {
        self.pool.close().await;
    }
}

/// In one transaction: of several processes that open a new file at once the others find it made.
async fn migrate(pool: &SqlitePool) -> Result<(), MigrateError> {
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    MIGRATIONS.run_direct(None, &mut *tx, false).await?;
    Ok(tx.commit().await?)
}

registry!(SqliteRegistry);
