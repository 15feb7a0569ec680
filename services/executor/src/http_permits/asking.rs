//! Questions on their way.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use tidegate_daemon::Clock;
use tidegate_limits::http::{PERMITS_PATH, PermitsReply, PermitsRequest};
use tidegate_limits::{Decision, Permit, Question, Report};
use tidegate_telemetry::span_link;
use tokio::sync::{Semaphore, mpsc};
use tracing::Instrument as _;

use super::alike::{Group, group};
use super::arbiters::Arbiters;
use super::{Asked, Told};
use crate::permits::PermitsError;

/// However short the time is within which a permit is to be used, it is not late before this, in ms, nor the second time:
/// else a call of a short limit would never go out where answers are slow.
const LATE_MS: i64 = 100;
/// Most questions that are remembered as tight; beyond, all are forgotten, which costs some of them a second question.
const TIGHT_MAX: usize = 1_024;

#[derive(Clone)]
pub(super) struct Asking {
    pub(super) arbiters: Arc<Arbiters>,
    pub(super) clock: Clock,
    /// Where permits go that nobody waits for.
    pub(super) back: mpsc::WeakSender<Told>,
    pub(super) tight: Arc<Tight>,
}

/// Questions that were not granted all that they wanted: their calls ask one by one, so that each has its place in line,
/// until one is granted.
#[derive(Debug, Default)]
pub(super) struct Tight(Mutex<HashSet<String>>);

impl Tight {
    fn contains(&self, question: &Question) -> bool {
        self.0.lock().is_ok_and(|tight| !tight.is_empty() && tight.contains(&name(question)))
    }

    fn learn(&self, question: &Question, is_tight: bool) {
        let Ok(mut tight) = self.0.lock() else { return };
        if !is_tight {
            if !tight.is_empty() {
                tight.remove(&name(question));
            }
            return;
        }
        if tight.len() >= TIGHT_MAX {
            tight.clear();
        }
        tight.insert(name(question));
    }
}

/// For whom a question asks, and of which budgets.
fn name(question: &Question) -> String {
    let job = question.by.iter().map(|by| by.job.as_str());
    job.chain(question.charges.iter().map(|charge| charge.key.as_str())).collect::<Vec<_>>().join(" ")
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
        // Those that were left out of what was granted ask again, one by one.
        while !batch.is_empty() {
            let span = tracing::info_span!("permits", questions = batch.len());
            batch.iter().filter_map(|asked| asked.traceparent.as_deref()).for_each(|call| span_link(&span, call));
            batch = self.ask_together(batch).instrument(span).await;
        }
    }

    /// Asks, those that are alike as one, and returns who was left out.
    async fn ask_together(&self, batch: Vec<Asked>) -> Vec<Asked> {
        let groups = group(batch, |question| !self.tight.contains(question));
        let request = PermitsRequest { questions: groups.iter().map(Group::question).collect() };
        let asked_at = Instant::now();
        let decisions = match self.decide(&request).await {
            Ok(decisions) => decisions,
            Err(PermitsError(reason)) => {
                for asked in groups.into_iter().flat_map(|group| group.asked) {
                    // Who waits no longer needs no reason.
                    let _ = asked.decided.send(Err(PermitsError(reason.clone())));
                }
                return Vec::new();
            }
        };
        let took_ms = i64::try_from(asked_at.elapsed().as_millis()).unwrap_or(i64::MAX);
        let mut left_out = Vec::new();
        for ((group, question), decision) in groups.into_iter().zip(&request.questions).zip(decisions) {
            let mut waiting = group.asked.into_iter();
            let granted = match decision {
                Decision::Granted(permit) => {
                    let calls = permit.calls;
                    for permit in permit.each() {
                        left_out.extend(self.hand(waiting.next(), permit, took_ms).await);
                    }
                    calls
                }
                wait @ Decision::Wait { .. } => {
                    // Who waits no longer needs no answer.
                    let _ = waiting.next().map(|first| first.decided.send(Ok(wait)));
                    0
                }
            };
            self.tight.learn(question, granted < question.want);
            left_out.extend(waiting);
        }
        left_out
    }

    /// Decisions, with times by our clock: late by what the answer took, never early.
    async fn decide(&self, request: &PermitsRequest) -> Result<Vec<Decision>, PermitsError> {
        let answer = self.arbiters.post(PERMITS_PATH, request).await?;
        let reply: PermitsReply = serde_json::from_slice(&answer)
            .map_err(|error| PermitsError(format!("its answer makes no sense: {error}")))?;
        if reply.decisions.len() != request.questions.len() {
            let (found, asked) = (reply.decisions.len(), request.questions.len());
            return Err(PermitsError(format!("it decided {found} of {asked} questions")));
        }
        let ahead_ms = (self.clock)().saturating_sub(reply.now_ms);
        Ok(reply.decisions.into_iter().map(|decision| decision.by_clock(ahead_ms)).collect())
    }

    /// Gives a permit to who waits for it; back, if nobody does any more, or it came too late to be used: then who waits asks
    /// once more, and is returned.
    async fn hand(&self, waiting: Option<Asked>, permit: Permit, took_ms: i64) -> Option<Asked> {
        let is_late = permit.use_within_ms.is_some_and(|within_ms| took_ms > within_ms.max(LATE_MS));
        let (unused, again) = match waiting {
            Some(asked) if is_late && !asked.asks_again => (Some(permit), Some(Asked { asks_again: true, ..asked })),
            Some(asked) => match asked.decided.send(Ok(Decision::Granted(permit))) {
                Err(Ok(Decision::Granted(permit))) => (Some(permit), None),
                _ => (None, None),
            },
            None => (Some(permit), None),
        };
        if let Some(permit) = unused {
            self.give_back(Report { permit, sent: false, answer: None, health: None, took_us: None }).await;
        }
        again
    }

    async fn give_back(&self, report: Report) {
        if let Some(back) = self.back.upgrade() {
            // Where nobody takes reports any more, the lease ends.
            let _ = back.send(Told { report, told: None }).await;
        }
    }
}
