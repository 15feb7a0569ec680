//! Who watches which job.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tidegate_contracts::{Event, JobId};
use tokio::sync::watch;

/// Whether the last that happened was its end.
type Jobs = Arc<Mutex<HashMap<JobId, watch::Sender<bool>>>>;

/// Tells those who watch a job that something happened with it. What happened is in the ledger: so any number of events
/// that nobody has looked at yet are as one.
#[derive(Default)]
pub(crate) struct Hub(Jobs);

/// Hears of one job.
pub(crate) struct Watcher {
    job: JobId,
    news: watch::Receiver<bool>,
    jobs: Jobs,
}

impl Hub {
    /// Hears of this job from now on.
    pub(crate) fn watch(&self, job: JobId) -> Watcher {
        let mut jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let news = jobs.entry(job).or_insert_with(|| watch::channel(false).0).subscribe();
        Watcher { job, news, jobs: Arc::clone(&self.0) }
    }

    /// Something happened.
    pub(crate) fn tell(&self, event: &Event) {
        let jobs = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(news) = jobs.get(&event.job()) {
            news.send_replace(matches!(event, Event::JobFinished { .. }));
        }
    }
}

impl Watcher {
    /// Until something happened since the last time.
    pub(crate) async fn news(&mut self) {
        // The sender is there as long as this is.
        if self.news.changed().await.is_err() {
            std::future::pending().await
        }
    }

    /// Until it finished since the last time, unless something else happened right after.
    pub(crate) async fn finished(&mut self) {
        loop {
            self.news().await;
            if *self.news.borrow_and_update() {
                return;
            }
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        // This one still counts.
        if jobs.get(&self.job).is_some_and(|news| news.receiver_count() <= 1) {
            jobs.remove(&self.job);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn watchers_hear_of_their_own_job_and_leave_nothing_behind() {
        let hub = Hub::default();
        let (one, other) = (JobId::new(), JobId::new());
        let (mut watcher, second) = (hub.watch(one), hub.watch(one));
        hub.tell(&Event::JobProgressed { job: other });
        assert!(futures_util::FutureExt::now_or_never(watcher.news()).is_none());
        hub.tell(&Event::JobProgressed { job: one });
        hub.tell(&Event::JobFinished { job: one });
        watcher.news().await;
        assert!(futures_util::FutureExt::now_or_never(watcher.news()).is_none(), "two events, one piece of news");
        hub.tell(&Event::JobProgressed { job: one });
        assert!(futures_util::FutureExt::now_or_never(watcher.finished()).is_none());
        hub.tell(&Event::JobFinished { job: one });
        watcher.finished().await;
        assert!(futures_util::FutureExt::now_or_never(watcher.finished()).is_none(), "it finished once");
        drop(watcher);
        assert_eq!(hub.0.lock().unwrap().len(), 1);
        drop(second);
        assert!(hub.0.lock().unwrap().is_empty());
    }
}
