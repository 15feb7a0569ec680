//! The suite over SQLite.

mod parking;

use std::sync::Arc;

use tidegate_ledger::{SqliteLedger, Sync};
use tidegate_registry::{SqliteRegistry, conformance};

macro_rules! tests {
    ($($check:ident)*) => { $(
        #[tokio::test]
        async fn $check() {
            let dir = tempfile::tempdir().expect("a directory");
            let registry = SqliteRegistry::open(&dir.path().join("state.db")).await.expect("opens");
            conformance::$check(Arc::new(registry.clone())).await;
            registry.close().await;
        }
    )* };
}

tidegate_registry::conformance_checks!(tests);

#[tokio::test]
async fn jobs_wait_for_a_parked_credential() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("state.db");
    let ledger = SqliteLedger::open(&path, Sync::Full).await.expect("opens");
    let registry = SqliteRegistry::open(&path).await.expect("opens");
    parking::jobs_wait_for_a_parked_credential(Arc::new(registry.clone()), &ledger).await;
    registry.close().await;
    ledger.close().await;
}
