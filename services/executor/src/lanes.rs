//! Which queues an executor takes calls from.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context;
use tidegate_contracts::Lane;
use tidegate_contracts::topology::Queue;
use tidegate_daemon::Shutdown;
use tokio::task::JoinSet;

use crate::service::{Shared, take_calls};

/// Between two looks for lanes that jobs have come to, at most: should an event be missed.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// And at least, however many jobs go on.
const LOOK_AFTER: Duration = Duration::from_millis(50);
/// A lane without jobs keeps its consumer for so long: jobs come again, and the first call should not wait for a look.
const KEPT_FOR: Duration = Duration::from_mins(10);

/// Providers and lanes to take calls of.
#[derive(Debug, Clone)]
pub enum Lanes {
    /// These.
    Fixed(Vec<(String, Lane)>),
    /// Those that have jobs, as the ledger says.
    Open,
}

struct Taken {
    shutdown: Shutdown,
    open_at: Instant,
}

/// Takes calls of the lanes that have jobs, until the shutdown is requested or one of them fails.
pub(crate) async fn follow(shared: Arc<Shared>, prefetch: u16, shutdown: Shutdown) -> anyhow::Result<()> {
    let mut consumers: JoinSet<anyhow::Result<()>> = JoinSet::new();
    let mut taken: HashMap<(String, Lane), Taken> = HashMap::new();
    let mut looked_at: Option<Instant> = None;
    loop {
        let look = async {
            let Some(looked_at) = looked_at else { return };
            tokio::time::sleep_until((looked_at + LOOK_AFTER).into()).await;
            let _ = tokio::time::timeout_at((looked_at + LOOK_EVERY).into(), shared.progress.notified()).await;
        };
        tokio::select! {
            biased;
            () = shutdown.requested() => break,
            Some(ended) = consumers.join_next() => ended.context("taking calls died")??,
            () = look => {
                for open in shared.deps.ledger.lanes_open().await.context("can't look for lanes")? {
                    let taken = taken.entry((open.provider.clone(), open.lane)).or_insert_with(|| {
                        let queue = Queue::Calls { provider: open.provider, lane: open.lane };
                        let shutdown = shutdown.child();
                        consumers.spawn(take_calls(Arc::clone(&shared), queue, prefetch, shutdown.clone()));
                        Taken { shutdown, open_at: Instant::now() }
                    });
                    taken.open_at = Instant::now();
                }
                looked_at = Some(Instant::now());
                taken.retain(|_, taken| {
                    let keep = taken.open_at.elapsed() < KEPT_FOR;
                    if !keep {
                        taken.shutdown.request();
                    }
                    keep
                });
            }
        }
    }
    while let Some(ended) = consumers.join_next().await {
        ended.context("taking calls died")??;
    }
    Ok(())
}
