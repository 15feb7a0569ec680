//! How to reach a ledger on Postgres.

use std::time::Duration;

use secrecy::SecretString;

/// How to reach a ledger on Postgres.
#[derive(Debug, Clone)]
pub struct PostgresConfig {
    /// `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with `?sslmode=verify-full` and the like.
    pub url: SecretString,
    /// Most connections of this process at once. Each commit and each batch of pages takes one.
    pub connections: u32,
    /// Longest wait for a connection.
    pub acquire_timeout: Duration,
    /// Longest time of one statement; the server ends it.
    pub statement_timeout: Duration,
    /// Longest wait of a statement for a lock that another transaction holds; the server ends it.
    pub lock_timeout: Duration,
}

impl PostgresConfig {
    /// With 8 connections, 5 s for a connection, 30 s for a statement, and 10 s for a lock.
    #[must_use]
    pub fn new(url: impl Into<SecretString>) -> Self {
        Self {
            url: url.into(),
            connections: 8,
            acquire_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(30),
            lock_timeout: Duration::from_secs(10),
        }
    }
}
