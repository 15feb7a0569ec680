//! Reports on their way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tidegate_daemon::Clock;
use tidegate_limits::http::{REPORTS_PATH, ReportsRequest};
use tokio::sync::{Semaphore, mpsc};

use super::Told;
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
    async fn tell(&self, batch: Vec<Told>) {
        let (reports, waiting): (Vec<_>, Vec<_>) = batch.into_iter().map(|told| (told.report, told.told)).unzip();
        let (until, mut failures) = (Instant::now() + self.tell_for, 0);
        let mut request = ReportsRequest { now_ms: 0, reports };
        loop {
            request.now_ms = (self.clock)();
            let Err(error) = self.arbiters.post(REPORTS_PATH, &request).await else { break };
            if Instant::now() >= until {
                return tracing::warn!(%error, reports = request.reports.len(), "permits were not given back");
            }
            failures += 1;
            let pause = Duration::from_millis(pause_ms(failures, rand::random()).unsigned_abs());
            tokio::time::sleep(pause).await;
        }
        for waiting in waiting.into_iter().flatten() {
            // Who waits no longer needs no answer.
            let _ = waiting.send(());
        }
    }
}
