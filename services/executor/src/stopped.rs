//! Jobs that were stopped, or will be, and jobs that are paused or wait for a credential: none of their calls is made.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tidegate_bus::Consumer;
use tidegate_contracts::{Event, JobId, Message};
use tidegate_ledger::{Ledger, LedgerError};
use tokio::sync::{Notify, watch};

use crate::credentials::Credentials;

/// Most stopped jobs remembered. Forgetting one costs calls that its owner no longer wants, nothing else.
const MAX: usize = 100_000;
/// The tracker is heard within this time, or the job's calls go on.
const HEARD_WITHIN: Duration = Duration::from_secs(2);

/// What is known of a job's stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// A call failed in a way that stops the job, and the tracker has yet to say so.
    Expected,
    /// The tracker said so.
    Told,
    /// The job is paused, or its credential parked: its calls go back.
    Paused,
}

/// Jobs that were stopped, as the tracker's events tell, and those that are about to be.
///
/// Events are told once and may be missed, so the ledger is asked too: when a job is first met, and now and then.
#[derive(Debug, Default)]
pub(crate) struct Stopped {
    stops: watch::Sender<HashMap<JobId, Stop>>,
    met: Mutex<HashSet<JobId>>,
}

impl Stopped {
    pub(crate) fn contains(&self, job: JobId) -> bool {
        self.stops.borrow().get(&job) == Some(&Stop::Told)
    }

    pub(crate) fn is_paused(&self, job: JobId) -> bool {
        self.stops.borrow().get(&job) == Some(&Stop::Paused)
    }

    pub(crate) fn is_expected(&self, job: JobId) -> bool {
        self.stops.borrow().get(&job) == Some(&Stop::Expected)
    }

    /// The job is met; whether that is for the first time.
    pub(crate) fn meet(&self, job: JobId) -> bool {
        let mut met = self.met.lock().unwrap_or_else(PoisonError::into_inner);
        if met.len() >= MAX {
            met.clear();
        }
        met.insert(job)
    }

    /// No new call of the job may go out.
    pub(crate) fn tell(&self, job: JobId) {
        self.stops.send_modify(|stops| {
            if stops.len() < MAX || stops.contains_key(&job) {
                stops.insert(job, Stop::Told);
            }
        });
    }

    /// No call of the job goes out until it is resumed. What stops it for good stays.
    pub(crate) fn pause(&self, job: JobId) {
        self.stops.send_modify(|stops| {
            if stops.len() < MAX && stops.get(&job) != Some(&Stop::Told) {
                stops.insert(job, Stop::Paused);
            }
        });
    }

    /// The job goes on, if it was paused.
    pub(crate) fn resume(&self, job: JobId) {
        self.stops.send_modify(|stops| {
            if stops.get(&job) == Some(&Stop::Paused) {
                stops.remove(&job);
            }
        });
    }

    /// The job goes on, with what its credential is now: it may have been renewed.
    fn go_on(&self, job: JobId, credentials: &dyn Credentials) {
        credentials.look_again();
        self.resume(job);
    }

    /// Asks the ledger about the jobs in hand and those believed to be stopped or paused, and believes it.
    pub(crate) async fn check(
        &self,
        (ledger, credentials): (&dyn Ledger, &dyn Credentials),
        in_hand: HashSet<JobId>,
    ) -> Result<(), LedgerError> {
        let believed = self.believed(Stop::Told);
        let believed_paused = self.believed(Stop::Paused);
        let asked: Vec<JobId> = in_hand.union(&believed).chain(&believed_paused).copied().collect();
        if asked.is_empty() {
            return Ok(());
        }
        let paused: HashSet<JobId> = ledger.paused(&asked).await?.into_iter().collect();
        paused.difference(&believed_paused).for_each(|job| self.pause(*job));
        believed_paused.difference(&paused).for_each(|job| self.go_on(*job, credentials));
        let stopped: HashSet<JobId> = ledger.stopped(&asked).await?.into_iter().collect();
        stopped.difference(&believed).for_each(|job| self.tell(*job));
        believed.difference(&stopped).for_each(|job| self.forget(*job));
        Ok(())
    }

    fn believed(&self, what: Stop) -> HashSet<JobId> {
        self.stops.borrow().iter().filter_map(|(job, stop)| (*stop == what).then_some(*job)).collect()
    }

    /// A call failed in a way that stops its job. Others of the job are held until the tracker has said so: between the
    /// failure and its commit many more would fail the same way.
    pub(crate) fn expect(&self, job: JobId) {
        self.stops.send_modify(|stops| {
            if stops.len() < MAX {
                stops.entry(job).or_insert(Stop::Expected);
            }
        });
    }

    /// It does not fail that way after all.
    pub(crate) fn expect_no_more(&self, job: JobId) {
        self.stops.send_if_modified(|stops| {
            let expected = stops.get(&job) == Some(&Stop::Expected);
            expected && stops.remove(&job).is_some()
        });
    }

    /// Returns once no stop of the job is expected: it was told, or it does not come.
    pub(crate) async fn settled(&self, job: JobId) {
        if !self.is_expected(job) {
            return;
        }
        let mut stops = self.stops.subscribe();
        let told = stops.wait_for(|stops| stops.get(&job) != Some(&Stop::Expected));
        if tokio::time::timeout(HEARD_WITHIN, told).await.is_err() {
            tracing::warn!(job.id = %job, "a failure should have stopped the job, and did not; going on with it");
            self.forget(job);
        }
    }

    /// Listens until the bus is closed. Says `progress` when a job goes on: it may be the first of its lane.
    pub(crate) async fn listen(
        &self,
        mut events: Box<dyn Consumer>,
        (progress, credentials): (&Notify, &dyn Credentials),
    ) {
        while let Some(delivery) = events.next().await {
            match &delivery.envelope.message {
                Message::Event(Event::JobProgressed { .. }) => progress.notify_one(),
                Message::Event(Event::JobStopped { job }) => self.tell(*job),
                Message::Event(Event::JobPaused { job }) => self.pause(*job),
                Message::Event(Event::JobResumed { job }) => self.go_on(*job, credentials),
                Message::Event(Event::JobFinished { job }) => self.forget(*job),
                _ => {}
            }
        }
    }

    fn forget(&self, job: JobId) {
        self.stops.send_modify(|stops| _ = stops.remove(&job));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_paused_job_goes_on_when_it_is_resumed_and_a_stopped_one_does_not() {
        let (stopped, job) = (Stopped::default(), JobId::new());
        stopped.pause(job);
        assert!(stopped.is_paused(job) && !stopped.contains(job));
        stopped.resume(job);
        assert!(!stopped.is_paused(job));
        stopped.pause(job);
        stopped.tell(job);
        stopped.pause(job);
        stopped.resume(job);
        assert!(stopped.contains(job) && !stopped.is_paused(job), "what stops it for good stays");
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_held_until_an_expected_stop_is_told_and_no_longer_than_it_may_take() {
        let (stopped, job, other) = (Stopped::default(), JobId::new(), JobId::new());
        stopped.settled(job).await;
        stopped.expect(job);
        stopped.settled(other).await;
        assert!(stopped.is_expected(job) && !stopped.contains(job));
        let told = async {
            tokio::time::sleep(HEARD_WITHIN / 2).await;
            stopped.tell(job);
        };
        tokio::join!(stopped.settled(job), told);
        assert!(stopped.contains(job));
        stopped.expect(job);
        assert!(stopped.contains(job), "what was told stays");
        stopped.expect(other);
        stopped.settled(other).await;
        assert!(!stopped.is_expected(other) && !stopped.contains(other));
    }
}
