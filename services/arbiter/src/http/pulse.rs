//! Whether the store answers, looked at all the time, so that asking for readiness waits for nobody.

use std::sync::Arc;
use std::time::Duration;

use tidegate_daemon::{Flag, Shutdown, Status};

use crate::Arbiter;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(1);
/// After so many looks, idle budgets are dropped.
const LOOKS_PER_SWEEP: u32 = 600;

pub(super) async fn beat(arbiter: Arc<Arbiter>, store: Arc<Flag>, shutdown: Shutdown) -> anyhow::Result<()> {
    let (mut looks, mut told) = (0_u32, String::new());
    loop {
        looks = looks.wrapping_add(1);
        match arbiter.ping().await {
            Ok(()) => {
                if !std::mem::take(&mut told).is_empty() {
                    tracing::info!("the store of limits answers again");
                }
                store.set(Status::Up);
            }
            Err(error) => {
                let reason = error.to_string();
                // Once for each reason, not with every look.
                if reason != told {
                    tracing::warn!(reason, "the store of limits does not answer");
                    told.clone_from(&reason);
                }
                store.set(Status::Down(reason));
            }
        }
        if looks.is_multiple_of(LOOKS_PER_SWEEP)
            && let Err(error) = arbiter.forget_idle().await
        {
            tracing::warn!(%error, "idle budgets stay");
        }
        tokio::select! {
            () = shutdown.requested() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}
