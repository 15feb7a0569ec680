//! The suite over Postgres: each check as a test, and more simulations.

use tidegate_ledger::conformance;

use crate::database::Database;

/// Simulations, each of another tree and other mishaps. Set `TIDEGATE_SEED` to run one of them alone.
const SEEDS: u64 = 6;

macro_rules! tests {
    ($($check:ident)*) => { $(
        #[tokio::test]
        async fn $check() {
            let database = Database::migrated().await;
            let ledger = database.ledger().await;
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
        Err(_) => (100..100 + SEEDS).collect(),
    };
    for seed in seeds {
        let database = Database::migrated().await;
        let ledger = database.ledger().await;
        conformance::simulate(&ledger, seed).await;
        ledger.close().await;
    }
}
