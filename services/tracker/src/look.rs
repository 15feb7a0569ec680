//! Looking at jobs that run, for metrics: whether they stall, and when they are said to be done.

use std::time::Duration;

use anyhow::Context;
use tidegate_daemon::Shutdown;
use tidegate_ledger::{JobFilter, JobRow, JobState};
use tidegate_progress::Looker;

use crate::Deps;
use crate::metrics::Metrics;

/// Between two looks.
const EVERY: Duration = Duration::from_secs(5);
/// Most jobs that are looked at, the newest ones.
const JOBS_MAX: u32 = 1_000;
/// Most jobs of which an estimate is made with each look: a few reads each.
const ESTIMATES_MAX: usize = 20;

/// Looks until the shutdown is requested; not at all where nothing that is measured leaves the process. A job has stalled
/// when nothing of it has ended for `lease_ms`, and nothing waits.
pub(crate) async fn look_on(deps: Deps, lease_ms: i64, shutdown: Shutdown) -> anyhow::Result<()> {
    if !tidegate_metrics::is_exported() {
        shutdown.requested().await;
        return Ok(());
    }
    let looker = Looker::default();
    loop {
        if let Err(error) = look(&deps, &looker, lease_ms).await {
            tracing::debug!(error = format!("{error:#}"), "jobs can't be measured; trying again");
        }
        tokio::select! {
            () = shutdown.requested() => return Ok(()),
            () = tokio::time::sleep(EVERY) => {}
        }
    }
}

async fn look(deps: &Deps, looker: &Looker, lease_ms: i64) -> anyhow::Result<()> {
    let (metrics, now_ms) = (Metrics::get(), (deps.clock)());
    let filter = JobFilter { states: vec![JobState::Running], ..JobFilter::newest(JOBS_MAX) };
    let jobs = deps.ledger.jobs(&filter).await.context("can't read jobs")?;
    metrics.foresight().run(&jobs, now_ms);
    let quiet: Vec<JobRow> = metrics.foresight().quiet(&jobs, lease_ms, now_ms).into_iter().cloned().collect();
    let mut stalled = Vec::new();
    for job in quiet {
        if deps.ledger.waiting(job.id, now_ms).await.context("can't read what a job waits for")?.is_empty() {
            stalled.push(job);
        } else {
            metrics.foresight().waits(job.id, now_ms);
        }
    }
    metrics.stalled(&stalled);
    for job in jobs.iter().take(ESTIMATES_MAX) {
        let look = looker.look(&*deps.ledger, job, now_ms).await.context("can't estimate a job")?;
        if let Some(eta_ms) = look.estimate.eta_ms {
            metrics.foresight().foretold(job.id, eta_ms, now_ms);
        }
    }
    Ok(())
}
