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
    /// It was written by a newer build.
    #[error("the ledger was written by a newer tidegate (schema {0}); upgrade, or use another --state")]
    Newer(i64),
    /// The database's schema is not there, or of an older build.
    #[error("the database's schema is {}, this tidegate needs {needed}; run `tidegate migrate`", found.map_or("not there".to_owned(), |version| version.to_string()))]
    Older {
        /// Its version; `None`: there is none.
        found: Option<i64>,
        /// The version of this build.
        needed: i64,
    },
    /// The database's address can't be read. Without its cause, which might show a part of it.
    #[error("the database's address can't be read; expected postgres://USER:PASSWORD@HOST:PORT/DATABASE")]
    Address,
    /// The database is there and lets us not in.
    #[error("the database refuses the connection")]
    Refused(#[source] sqlx::Error),
    /// The database can't be reached, does not answer in time, has no room, or is busy with others; try again.
    /// What was asked for may have happened all the same: everything is idempotent, ask again.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// Bringing the schema up to date failed.
    #[error("can't bring the ledger's schema up to date")]
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
        let Some(database) = error.as_database_error() else {
            return if is_link(&error) { Self::Unavailable(error) } else { Self::Statement(error) };
        };
        let code = database.code().unwrap_or_default().into_owned();
        if database.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
            return of_postgres(&code, error);
        }
        match code.parse::<i64>().map(|extended| extended & 0xff) {
            Ok(SQLITE_FULL) => Self::Full(error),
            Ok(SQLITE_READONLY) => Self::ReadOnly(error),
            _ => Self::Statement(error),
        }
    }
}

/// The way to the database is broken, or there was no turn on it.
fn is_link(error: &sqlx::Error) -> bool {
    use sqlx::Error::{Io, PoolClosed, PoolTimedOut, Protocol, WorkerCrashed};
    matches!(error, Io(_) | PoolTimedOut | PoolClosed | Protocol(_) | WorkerCrashed)
}

/// By SQLSTATE (<https://www.postgresql.org/docs/current/errcodes-appendix.html>).
fn of_postgres(code: &str, error: sqlx::Error) -> LedgerError {
    match code {
        // Serialisation failures and deadlocks, a lock not had in time, a statement out of time, a server that is only
        // read from (as after a fail-over).
        "40001" | "40P01" | "55P03" | "57014" | "25006" => LedgerError::Unavailable(error),
        // Broken connections, no room (memory, disk, connections), a server that stops or starts, its disks.
        _ if ["08", "53", "57P", "58"].iter().any(|class| code.starts_with(class)) => LedgerError::Unavailable(error),
        // Wrong user or password, no such database.
        _ if ["28", "3D"].iter().any(|class| code.starts_with(class)) => LedgerError::Refused(error),
        _ => LedgerError::Statement(error),
    }
}

impl LedgerError {
    /// It may go better later: try again. Anything else stays as it is until somebody does something about it.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full(_))
    }

    /// Of two transactions that were in each other's way, this one was given up.
    pub(crate) fn is_conflict(&self) -> bool {
        let Self::Unavailable(error) = self else { return false };
        error.as_database_error().and_then(|error| error.code()).is_some_and(|code| code == "40001" || code == "40P01")
    }

    /// The connection is of no use any more.
    pub(crate) fn is_broken_link(&self) -> bool {
        matches!(self, Self::Unavailable(sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::WorkerCrashed))
            || matches!(self, Self::Unavailable(error) if error.as_database_error().and_then(|error| error.code())
                .is_some_and(|code| code.starts_with("57P") || code.starts_with("08")))
    }

    pub(crate) fn corrupt(what: &'static str, why: impl ToString) -> Self {
        Self::Corrupt { what, why: why.to_string() }
    }

    /// Nothing came back in this time.
    pub(crate) fn no_answer(after: std::time::Duration) -> Self {
        let why = format!("no answer within {} s", after.as_secs());
        Self::Unavailable(sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::TimedOut, why)))
    }
}
