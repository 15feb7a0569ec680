//! What can go wrong with a registry.

/// What can go wrong with a registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The database can't be opened.
    #[error("can't open the registry")]
    Open(#[source] sqlx::Error),
    /// Bringing the schema up to date failed.
    #[error("can't bring the registry's schema up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// There is no such tenant.
    #[error("there is no such tenant")]
    NoTenant,
    /// The tenant has as many as it may.
    #[error("a tenant may have at most {max} {what}")]
    TooMany {
        /// Of what, as in "provider files".
        what: &'static str,
        /// How many.
        max: i64,
    },
    /// A statement failed.
    #[error("the registry refused a statement")]
    Statement(#[source] sqlx::Error),
}

impl From<sqlx::Error> for RegistryError {
    fn from(error: sqlx::Error) -> Self {
        // The only foreign keys are those to tenants.
        match error.as_database_error() {
            Some(database) if database.is_foreign_key_violation() => Self::NoTenant,
            _ => Self::Statement(error),
        }
    }
}
