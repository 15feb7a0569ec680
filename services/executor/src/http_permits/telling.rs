//! Reports on their way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_daemon::Clock;
use tidegate_limits::http::{REPORTS_PATH, ReportsRequest};
use tokio::sync::{Semaphore, mpsc};

use super::Told;
use super::alike::together;
use super::arbiters::Arbiters;
use crate::permits::pause_ms;

#[derive(Clone)]
pub(super) struct Telling {
    pub(super) arbiters: Arc<Arbiters>,
    pub(super) clock: Clock,
    pub(super) tell_for: Duration,
}

/// Sends reports together until nobody reports any more: at most `batch_max` in a request, and `requests_max` at once.
pub(super) async fn tell_all(
    telling: Telling,
    mut told: mpsc::Receiver<Told>,
    (batch_max, requests_max): (usize, usize),
) {
    let places = Arc::new(Semaphore::new(requests_max));
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let mut batch = Vec::new();
        if told.recv_many(&mut batch, batch_max).await == 0 {
            return;
        }
        let telling = telling.clone();
        tokio::spawn(async move {
            telling.tell(batch).await;
            drop(place);
        });
    }
}

impl Telling {
    /// Tells until it is heard, for a while: a report is idempotent, and a slot that nobody gives back is held for minutes.
    /// What an arbiter refuses is dropped; of many that are refused together each is told alone, for the sake of the others.
    async fn tell(&self, batch: Vec<Told>) {
        let Err((refused, reason)) = self.tell_together(batch).await else { return };
        if let [one] = &refused[..] {
            let keys = one.report.permit.keys.join(" ");
            return tracing::error!(keys, reason, "the arbiter refuses a report; its permit comes back by its lease");
        }
        for one in refused {
            // Never more than one deep: what is alone is dropped above.
            Box::pin(self.tell(vec![one])).await;
        }
    }

    /// Returns what makes no sense to arbiters.
    async fn tell_together(&self, batch: Vec<Told>) -> Result<(), (Vec<Told>, String)> {
        let reports = together(batch.iter().map(|told| told.report.clone()).collect());
        let (until, mut failures) = (Instant::now() + self.tell_for, 0);
        let mut request = ReportsRequest { now_ms: 0, reports };
        loop {
            request.now_ms = (self.clock)();
            let Err(failed) = self.arbiters.post(REPORTS_PATH, &request).await else { break };
            let error = failed.reason;
            if failed.is_refused {
                return Err((batch, error));
            }
            if Instant::now() >= until {
                tracing::warn!(error, reports = request.reports.len(), "permits were not given back");
                return Ok(());
            }
            failures += 1;
            let pause = Duration::from_millis(pause_ms(failures, rand::random()).unsigned_abs());
            tokio::time::sleep(pause).await;
        }
        for waiting in batch.into_iter().filter_map(|told| told.told) {
            // Who waits no longer needs no answer.
            let _ = waiting.send(());
        }
        Ok(())
    }
}
