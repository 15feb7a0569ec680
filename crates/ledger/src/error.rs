//! What can go wrong with a ledger.

/// What can go wrong with a ledger.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The file can't be opened or made.
    #[error("can't open the state file {path}")]
    Open {
        /// Its path.
        path: String,
        /// Why.
        #[source]
        source: sqlx::Error,
    },
    /// The file was written by a newer build.
    #[error("the state file was written by a newer tidegate (schema {0}); upgrade, or use another --state")]
    Newer(i64),
    /// Bringing the schema up to date failed.
    #[error("can't bring the state file's schema up to date")]
    Migrate(#[source] sqlx::migrate::MigrateError),
    /// No room left.
    #[error("the disk of the state file is full; what was committed before is safe")]
    Full(#[source] sqlx::Error),
    /// The file can't be written.
    #[error("the state file can't be written")]
    ReadOnly(#[source] sqlx::Error),
    /// A statement failed.
    #[error("the ledger refused a statement")]
    Statement(#[source] sqlx::Error),
    /// Something stored does not read back.
    #[error("{what} in the ledger can't be read: {why}")]
    Corrupt {
        /// What was read.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
}

/// Primary result codes of SQLite (<https://www.sqlite.org/rescode.html>).
const SQLITE_READONLY: i64 = 8;
const SQLITE_FULL: i64 = 13;

impl From<sqlx::Error> for LedgerError {
    fn from(error: sqlx::Error) -> Self {
        let code = error.as_database_error().and_then(|e| e.code()).and_then(|code| code.parse::<i64>().ok());
        match code.map(|extended| extended & 0xff) {
            Some(SQLITE_FULL) => Self::Full(error),
            Some(SQLITE_READONLY) => Self::ReadOnly(error),
            _ => Self::Statement(error),
        }
    }
}

impl LedgerError {
    pub(crate) fn corrupt(what: &'static str, why: impl ToString) -> Self {
        Self::Corrupt { what, why: why.to_string() }
    }
}
