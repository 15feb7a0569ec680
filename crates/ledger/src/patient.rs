//! A ledger that waits for its database.
//!
//! Every method of [`Ledger`] is idempotent, so what failed because the database could not be reached is simply asked
//! again: services that carry the ring then live through a restart of their database without losing what they hold.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tidegate_contracts::{CallId, FetchId, JobId, PageFacts, Plan};
use tidegate_daemon::{Flag, Status};
use tokio::time::Instant;

use crate::{
    Committed, FailedCall, FailedFilter, FailureGroup, FetchFilter, FetchRow, JobFilter, JobRow, Ledger, LedgerError,
    MarkFilter, MarkRow, NewJob, NewPage, OpenLane, OutGroup, Pace, Packed, PageRow, Prunable, PruneFilter, PrunePart,
    PrunedRows, RetryFilter, SpecRow, StepRow, Submitted, Swept, Waiting, Windows,
};

/// The first pause before asking again; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// The longest pause before asking again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// A ledger that asks again while its database is not available.
pub struct Patient {
    ledger: Arc<dyn Ledger>,
    patience: Duration,
    reached: Arc<Flag>,
}

impl Patient {
    /// Over `ledger`, asking again for `patience` at most. `reached` is down while the database is not available.
    #[must_use]
    pub fn new(ledger: Arc<dyn Ledger>, patience: Duration, reached: Arc<Flag>) -> Self {
        Self { ledger, patience, reached }
    }

    async fn patiently<T, Asked>(&self, ask: impl Fn() -> Asked) -> Result<T, LedgerError>
    where
        Asked: Future<Output = Result<T, LedgerError>>,
    {
        let (started, mut pause) = (Instant::now(), FIRST_PAUSE);
        loop {
            match ask().await {
                Err(error) if error.is_passing() && started.elapsed() < self.patience => {
                    if pause == FIRST_PAUSE {
                        tracing::warn!(error = &error as &dyn std::error::Error, "waiting for the database");
                    }
                    self.reached.set(Status::Down("the database is not available".to_owned()));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
                answer => {
                    if pause > FIRST_PAUSE && answer.is_ok() {
                        tracing::info!(waited_ms = started.elapsed().as_millis(), "the database answers again");
                        self.reached.set(Status::Up);
                    }
                    return answer;
                }
            }
        }
    }
}

macro_rules! ask_patiently {
    ($($name:ident($($argument:ident: $kind:ty),*) -> $answer:ty;)*) => {
        #[async_trait]
        impl Ledger for Patient {
            $(
                async fn $name(&self, $($argument: $kind),*) -> Result<$answer, LedgerError> {
                    self.patiently(|| self.ledger.$name($($argument),*)).await
                }
            )*
        }
    };
}

ask_patiently! {
    submit(job: &NewJob, now_ms: i64) -> Submitted;
    job(id: JobId) -> Option<JobRow>;
    jobs(filter: &JobFilter) -> Vec<JobRow>;
    lanes_open() -> Vec<OpenLane>;
    job_like(fingerprint: &str) -> Option<JobRow>;
    runs(fingerprint: &str) -> Vec<JobRow>;
    marks(filter: &MarkFilter) -> Vec<MarkRow>;
    reset_marks(filter: &MarkFilter) -> u64;
    spec(id: JobId) -> Option<SpecRow>;
    stopped(jobs: &[JobId]) -> Vec<JobId>;
    paused(jobs: &[JobId]) -> Vec<JobId>;
    parked(tenant: &str, credential: &str) -> Vec<JobId>;
    commit(plans: &[Plan], windows: &Windows, now_ms: i64) -> Committed;
    published(receipt: i64) -> ();
    sweep(everything: bool, windows: &Windows, now_ms: i64) -> Swept;
    retry_failed(job: JobId, which: &RetryFilter, now_ms: i64) -> u64;
    cancel(job: JobId, reason: &str, now_ms: i64) -> ();
    pause(job: JobId, now_ms: i64) -> bool;
    resume(job: JobId) -> ();
    put_pages(pages: &[NewPage], now_ms: i64) -> Vec<PageFacts>;
    page_facts(call: CallId) -> Option<PageFacts>;
    page_lines(job: JobId, call: CallId) -> Option<Packed>;
    pages_after(job: JobId, seq: i64, limit: u32) -> Vec<PageRow>;
    failures(job: JobId, limit: u32) -> Vec<FailureGroup>;
    failed_calls(job: JobId, filter: &FailedFilter) -> Vec<FailedCall>;
    fetches(job: JobId, filter: &FetchFilter) -> Vec<FetchRow>;
    steps(job: JobId) -> Vec<StepRow>;
    waiting(job: JobId, now_ms: i64) -> Vec<Waiting>;
    out(job: JobId, fetch: Option<FetchId>, now_ms: i64) -> Vec<OutGroup>;
    fetch(job: JobId, fetch: FetchId) -> Option<FetchRow>;
    pace(job: JobId, pages: u32) -> Option<Pace>;
    prunable(filter: &PruneFilter) -> Vec<Prunable>;
    prune_mark(jobs: &[JobId], now_ms: i64) -> Vec<JobId>;
    prune_rows(jobs: &[JobId], part: PrunePart, rows: u32) -> PrunedRows;
    audit() -> Vec<String>;
    keep(name: &str, value: &str, now_ms: i64) -> ();
    kept(name: &str) -> Option<String>;
}
