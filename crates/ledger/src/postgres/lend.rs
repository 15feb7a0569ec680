//! Connections on loan, and work that is tried again.
//!
//! A pool gets back only what is known to be well. A connection whose work failed, or was given up in the middle (the
//! caller went away, the time was over), is dropped, which frees its place at once: sqlx itself would first ask such a
//! connection whether it is well, and on a link that is silently dead wait for the answer with the place taken, until no
//! place is left (<https://github.com/transact-rs/sqlx/issues/4349>).

use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::{PgConnection, Postgres};

use super::PostgresLedger;
use crate::LedgerError;

/// Times that work is tried when another transaction was in its way, or its connection turns out to be broken.
pub(super) const TRIES_MAX: u32 = 5;

/// Pause before the second try; each one after is twice as long.
const TRY_AGAIN_AFTER: Duration = Duration::from_millis(5);

/// Statements that one piece of work may wait for one after the other, each for the statement timeout, before its
/// connection is given up for dead.
const STATEMENTS_SLOW_MAX: u32 = 4;

/// Longest time that a connection may take to say that it is well when it comes back, which sqlx always asks it. Its place is
/// taken meanwhile.
const RETURN_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection on loan.
pub(super) struct Lent {
    connection: Option<PoolConnection<Postgres>>,
}

impl Lent {
    /// The connection.
    pub(super) fn connection(&mut self) -> &mut PgConnection {
        self.connection.as_mut().expect("it is there until it is given back, which takes the loan")
    }

    /// Its work went well: somebody else may have it.
    fn give_back(mut self) {
        if let Some(mut connection) = self.connection.take() {
            tokio::spawn(tokio::time::timeout(RETURN_TIMEOUT, connection.return_to_pool()));
        }
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(connection.detach());
        }
    }
}

impl PostgresLedger {
    pub(super) async fn lend(&self) -> Result<Lent, LedgerError> {
        Ok(Lent { connection: Some(self.pool.acquire().await?) })
    }

    /// How long a piece of work may take in all.
    pub(super) fn work_timeout(&self) -> Duration {
        self.statement_timeout * STATEMENTS_SLOW_MAX
    }
}

/// What came of one try: the result, or that there is to be another.
pub(super) enum Tried<T> {
    Done(Result<T, LedgerError>),
    Again,
}

/// Takes a connection back, and decides whether the work is tried again. All of it is idempotent.
pub(super) async fn settle<T>(lent: Lent, worked: Result<T, LedgerError>, tries: &mut u32) -> Tried<T> {
    *tries += 1;
    match worked {
        Ok(done) => {
            lent.give_back();
            Tried::Done(Ok(done))
        }
        Err(error) if *tries < TRIES_MAX && (error.is_conflict() || error.is_broken_link()) => {
            drop(lent);
            tracing::debug!(error = &error as &dyn std::error::Error, tries, "work on the ledger is tried again");
            tokio::time::sleep(TRY_AGAIN_AFTER * 2_u32.pow(*tries - 1)).await;
            Tried::Again
        }
        Err(error) => Tried::Done(Err(error)),
    }
}

/// `on_connection!(ledger, connection => work)`: does the work, a future of a `Result`, on a connection of the pool, within
/// its time, and again when another transaction was in its way. A macro, since no bound of a closure says what this needs.
macro_rules! on_connection {
    ($ledger:expr, $connection:ident => $work:expr) => {{
        let (ledger, mut tries) = ($ledger, 0);
        loop {
            let mut lent = ledger.lend().await?;
            let timeout = ledger.work_timeout();
            let worked = {
                let $connection = lent.connection();
                let work = async { $work.await };
                tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| Err(LedgerError::no_answer(timeout)))
            };
            match $crate::postgres::lend::settle(lent, worked, &mut tries).await {
                $crate::postgres::lend::Tried::Done(done) => break done,
                $crate::postgres::lend::Tried::Again => {}
            }
        }
    }};
}

/// As [`on_connection!`], in a transaction.
macro_rules! in_transaction {
    ($ledger:expr, $tx:ident => $work:expr) => {
        on_connection!($ledger, connection => async {
            let mut transaction = sqlx::Connection::begin(connection).await?;
            let done = {
                let $tx = &mut *transaction;
                $work.await?
            };
            transaction.commit().await?;
            Ok::<_, LedgerError>(done)
        })
    };
}

pub(super) use {in_transaction, on_connection};
