//! What a transaction adds to the counters of fetches and jobs. Pure.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::json;
use tidegate_contracts::{CallEnd, End, FetchEnd, FetchId, JobId};

use super::calls::Open;

/// Additions to one fetch.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct FetchDelta {
    pub(super) planned: i64,
    pub(super) open: i64,
    pub(super) succeeded: i64,
    pub(super) skipped: i64,
    pub(super) failed: i64,
    pub(super) cancelled: i64,
    pub(super) children: i64,
    pub(super) items: i64,
    pub(super) total: Option<u64>,
    pub(super) end: Option<FetchEnd>,
}

/// Additions to one job.
#[derive(Debug, Default, Clone, Serialize)]
pub(super) struct JobDelta {
    pub(super) planned: i64,
    pub(super) open: i64,
    pub(super) released: i64,
    pub(super) succeeded: i64,
    pub(super) skipped: i64,
    pub(super) failed: i64,
    pub(super) tolerated: i64,
    pub(super) cancelled: i64,
    pub(super) fetches_planned: i64,
    pub(super) fetches_open: i64,
    pub(super) items: i64,
    pub(super) requests: i64,
}

/// Additions by fetch and job.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) fetches: HashMap<FetchId, FetchDelta>,
    pub(super) jobs: HashMap<JobId, JobDelta>,
}

impl FetchDelta {
    /// Its paging has ended. A guard stays, with whatever the list's other pages end: the list may not be whole.
    pub(super) fn end_paging(&mut self, end: FetchEnd) {
        if !self.end.is_some_and(FetchEnd::is_guard) {
            self.end = Some(end);
        }
    }
}

impl Tally {
    pub(super) fn fetch(&mut self, fetch: FetchId) -> &mut FetchDelta {
        self.fetches.entry(fetch).or_default()
    }

    pub(super) fn job(&mut self, job: JobId) -> &mut JobDelta {
        self.jobs.entry(job).or_default()
    }

    /// `calls` new open calls in a fetch.
    pub(super) fn plan_calls(&mut self, job: JobId, fetch: FetchId, calls: i64) {
        let of_fetch = self.fetch(fetch);
        of_fetch.planned += calls;
        of_fetch.open += calls;
        let of_job = self.job(job);
        of_job.planned += calls;
        of_job.open += calls;
    }

    /// A new fetch with `calls` open ones. `failed`: it could not begin, which counts as a failed call, tolerated or not.
    pub(super) fn plan_fetch(&mut self, job: JobId, parent: Option<FetchId>, calls: i64, failed: Option<bool>) {
        let of_job = self.job(job);
        of_job.fetches_planned += 1;
        of_job.planned += calls;
        of_job.open += calls;
        if let Some(tolerated) = failed {
            of_job.planned += 1;
            of_job.failed += 1;
            of_job.tolerated += i64::from(tolerated);
        }
        // Without an open call it is finished at once, and nobody waits for it.
        if calls > 0 {
            of_job.fetches_open += 1;
            if let Some(parent) = parent {
                self.fetch(parent).children += 1;
            }
        }
    }

    /// An open call ended; a deferral is not an end.
    pub(super) fn end_call(&mut self, job: JobId, ended: &CallEnd, mut was: Open) {
        let (of_fetch, of_job) = (self.fetches.entry(ended.fetch).or_default(), self.jobs.entry(job).or_default());
        of_fetch.open -= 1;
        of_job.open -= 1;
        of_job.released -= i64::from(was.released);
        of_job.requests += was.count_requests(ended.requests);
        match &ended.end {
            End::Succeeded { items } => {
                of_fetch.succeeded += 1;
                of_fetch.items += i64::from(*items);
                of_job.succeeded += 1;
                of_job.items += i64::from(*items);
            }
            End::Skipped { .. } => {
                of_fetch.skipped += 1;
                of_job.skipped += 1;
            }
            End::Failed { tolerated, .. } => {
                of_fetch.failed += 1;
                of_job.failed += 1;
                of_job.tolerated += i64::from(*tolerated);
            }
            End::Cancelled => {
                of_fetch.cancelled += 1;
                of_job.cancelled += 1;
            }
            End::Deferred { .. } => {}
        }
    }

    /// `calls` planned calls of a fetch were given up.
    pub(super) fn cancel_calls(&mut self, job: JobId, fetch: FetchId, calls: i64) {
        let of_fetch = self.fetch(fetch);
        of_fetch.open -= calls;
        of_fetch.cancelled += calls;
        let of_job = self.job(job);
        of_job.open -= calls;
        of_job.cancelled += calls;
    }
}

/// A row of additions, as the statements read it.
pub(super) fn with_id(id: String, delta: &impl Serialize) -> serde_json::Value {
    let mut row = json!(delta);
    row["id"] = json!(id);
    row
}
