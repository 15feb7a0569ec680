//! Questions on their way.

use std::sync::Arc;

use tidegate_daemon::Clock;
use tidegate_limits::http::{PERMITS_PATH, PermitsReply, PermitsRequest};
use tidegate_limits::{Decision, Report};
use tidegate_telemetry::span_link;
use tokio::sync::{Semaphore, mpsc};
use tracing::Instrument as _;

use super::arbiters::Arbiters;
use super::{Asked, Told};
use crate::permits::PermitsError;

#[derive(Clone)]
pub(super) struct Asking {
    pub(super) arbiters: Arc<Arbiters>,
    pub(super) clock: Clock,
    /// Where permits go that nobody waits for.
    pub(super) back: mpsc::WeakSender<Told>,
}

/// Sends questions together until nobody asks any more: at most `batch_max` in a request, and `requests_max` at once.
pub(super) async fn ask_all(
    asking: Asking,
    mut asked: mpsc::Receiver<Asked>,
    (batch_max, requests_max): (usize, usize),
) {
    let places = Arc::new(Semaphore::new(requests_max));
    // The place first: what comes while it is waited for goes along.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let mut batch = Vec::new();
        if asked.recv_many(&mut batch, batch_max).await == 0 {
            return;
        }
        let asking = asking.clone();
        tokio::spawn(async move {
            asking.ask(batch).await;
            drop(place);
        });
    }
}

impl Asking {
    async fn ask(&self, mut batch: Vec<Asked>) {
        batch.retain(|asked| !asked.decided.is_closed());
        if batch.is_empty() {
            return;
        }
        let span = tracing::info_span!("permits", questions = batch.len());
        batch.iter().filter_map(|asked| asked.traceparent.as_deref()).for_each(|call| span_link(&span, call));
        let (questions, waiting): (Vec<_>, Vec<_>) =
            batch.into_iter().map(|asked| (asked.question, asked.decided)).unzip();
        match self.decide(PermitsRequest { questions }).instrument(span).await {
            Ok(decisions) => {
                for (waiting, decision) in waiting.into_iter().zip(decisions) {
                    if let Err(Ok(Decision::Granted(permit))) = waiting.send(Ok(decision)) {
                        self.give_back(Report { permit, sent: false, answer: None, health: None }).await;
                    }
                }
            }
            Err(PermitsError(reason)) => {
                for waiting in waiting {
                    // Who waits no longer needs no reason.
                    let _ = waiting.send(Err(PermitsError(reason.clone())));
                }
            }
        }
    }

    /// Decisions, with times by our clock: late by what the answer took, never early.
    async fn decide(&self, request: PermitsRequest) -> Result<Vec<Decision>, PermitsError> {
        let answer = self.arbiters.post(PERMITS_PATH, &request).await?;
        let reply: PermitsReply = serde_json::from_slice(&answer)
            .map_err(|error| PermitsError(format!("its answer makes no sense: {error}")))?;
        if reply.decisions.len() != request.questions.len() {
            let (found, asked) = (reply.decisions.len(), request.questions.len());
            return Err(PermitsError(format!("it decided {found} of {asked} questions")));
        }
        let ahead_ms = (self.clock)().saturating_sub(reply.now_ms);
        Ok(reply.decisions.into_iter().map(|decision| decision.by_clock(ahead_ms)).collect())
    }

    async fn give_back(&self, report: Report) {
        if let Some(back) = self.back.upgrade() {
            // Where nobody takes reports any more, the lease ends.
            let _ = back.send(Told { report, told: None }).await;
        }
    }
}
