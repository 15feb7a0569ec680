//! The suite over Postgres, with a database for each check.

mod parking;

use std::sync::Arc;

use sqlx::{Connection as _, PgConnection, PgPool};
use tidegate_ledger::{PostgresConfig, PostgresLedger};
use tidegate_registry::{PostgresRegistry, conformance};

/// A database that is dropped in the end.
struct Database {
    admin: String,
    name: String,
    pool: PgPool,
}

impl Database {
    async fn new() -> Self {
        let admin =
            std::env::var("TIDEGATE_TEST_POSTGRES").unwrap_or_else(|_| "postgres://postgres@127.0.0.1:5432".to_owned());
        let name = format!("tidegate_registry_{}", uuid::Uuid::now_v7().simple());
        let mut connection = PgConnection::connect(&format!("{admin}/postgres")).await.expect("a server");
        let sql = sqlx::AssertSqlSafe(format!("CREATE DATABASE {name}"));
        sqlx::raw_sql(sql).execute(&mut connection).await.expect("a database");
        let pool = PgPool::connect(&format!("{admin}/{name}")).await.expect("connects");
        Self { admin, name, pool }
    }

    async fn end(self) {
        self.pool.close().await;
        let mut connection = PgConnection::connect(&format!("{}/postgres", self.admin)).await.expect("a server");
        let sql = sqlx::AssertSqlSafe(format!("DROP DATABASE {} WITH (FORCE)", self.name));
        sqlx::raw_sql(sql).execute(&mut connection).await.expect("dropped");
    }
}

/// Runs a check over a database of its own, which is dropped even when the check fails; the failure is told after that.
async fn over<F: Future<Output = ()> + Send + 'static>(check: impl FnOnce(PostgresRegistry, String) -> F) {
    let database = Database::new().await;
    let registry = PostgresRegistry::new(database.pool.clone());
    registry.migrate().await.expect("migrates");
    let checked = tokio::spawn(check(registry, format!("{}/{}", database.admin, database.name))).await;
    database.end().await;
    if let Err(failed) = checked {
        std::panic::resume_unwind(failed.into_panic());
    }
}

macro_rules! tests {
    ($($check:ident)*) => { $(
        #[tokio::test]
        async fn $check() {
            over(|registry, _| conformance::$check(Arc::new(registry))).await;
        }
    )* };
}

tidegate_registry::conformance_checks!(tests);

#[tokio::test]
async fn jobs_wait_for_a_parked_credential() {
    over(|registry, url| async move {
        let ledger = PostgresLedger::connect(&PostgresConfig::new(url)).await.expect("connects");
        parking::jobs_wait_for_a_parked_credential(Arc::new(registry), &ledger).await;
        ledger.close().await;
    })
    .await;
}
