//! The suite over SQLite: each check as a test, and many more simulations.

use tidegate_ledger::{SqliteLedger, Sync, conformance};

/// Simulations, each of another tree and other mishaps. Set `TIDEGATE_SEED` to run one of them alone.
const SEEDS: u64 = 150;

async fn fresh() -> (tempfile::TempDir, SqliteLedger) {
    let dir = tempfile::tempdir().expect("a directory");
    let ledger = SqliteLedger::open(&dir.path().join("state.db"), Sync::Normal).await.expect("opens");
    (dir, ledger)
}

macro_rules! tests {
    ($($check:ident)*) => { $(
        #[tokio::test]
        async fn $check() {
            let (_dir, ledger) = fresh().await;
            conformance::$check(&ledger).await;
            ledger.close().await;
        }
    )* };
}

tidegate_ledger::conformance_checks!(tests);
tidegate_ledger::notice_checks!(tests);
tidegate_ledger::dead_checks!(tests);
tidegate_ledger::unmatched_checks!(tests);

#[tokio::test]
async fn random_trees_come_to_what_they_should() {
    let seeds = match std::env::var("TIDEGATE_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (0..SEEDS).collect(),
    };
    for seed in seeds {
        let (_dir, ledger) = fresh().await;
        conformance::simulate(&ledger, seed).await;
        ledger.close().await;
    }
}
