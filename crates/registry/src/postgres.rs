//! The registry in a Postgres database.

use sqlx::PgPool;
use sqlx::migrate::Migrator;
use tidegate_provider::file::Name;

use crate::rows::registry;
use crate::{
    CREDENTIALS_MAX, CredentialRow, KEYS_MAX, KeyRow, LIST_MAX, Leased, NewKey, PROVIDERS_MAX, ProviderInfo,
    ProviderRow, Refresh, RegistryError, SealedRow, Tenant, TenantRow, statement,
};

static MIGRATIONS: Migrator = sqlx::migrate!("../../migrations/postgres");

/// The registry in a Postgres database.
#[derive(Debug, Clone)]
pub struct PostgresRegistry {
    pool: PgPool,
}

impl PostgresRegistry {
    /// Over a pool of connections to a database whose schema is up to date.
    #[must_use]
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// Brings the schema up to date, the ledger's part included; of several at once the others wait.
    ///
    /// # Errors
    /// [`RegistryError::Migrate`].
    pub async fn migrate(&self) -> Result<(), RegistryError> {
        MIGRATIONS.run(&self.pool).await.map_err(RegistryError::Migrate)
    }
}

registry!(PostgresRegistry);
