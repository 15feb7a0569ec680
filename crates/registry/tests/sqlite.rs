//! The suite over SQLite.

use std::sync::Arc;

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
