//! What a transaction adds to the counters of fetches and jobs, whatever the database. Pure.

use std::collections::{HashMap, HashSet};

use serde::Serialize;
use serde_json::json;
use tidegate_contracts::{CallEnd, End, FetchEnd, FetchId, JobId, NewFetch, NewPages};

/// What stands as the end of a fetch that could not begin: its item lacks what the step's parameters need.
pub(crate) const NOT_BEGUN: &str = "not_begun";

/// An open call.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Open {
    pub(crate) released: bool,
    /// Requests sent for it, as far as they are counted already.
    pub(crate) requests: i64,
}

impl Open {
    /// Requests to count when `sent` in all are told of. What comes late may tell of fewer than are known.
    pub(crate) fn count_requests(&mut self, sent: u32) -> i64 {
        let more = (i64::from(sent) - self.requests).max(0);
        self.requests += more;
        more
    }
}

/// Additions to one fetch.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct FetchDelta {
    pub(crate) planned: i64,
    pub(crate) open: i64,
    pub(crate) succeeded: i64,
    pub(crate) skipped: i64,
    pub(crate) failed: i64,
    pub(crate) cancelled: i64,
    pub(crate) children: i64,
    pub(crate) items: i64,
    pub(crate) total: Option<u64>,
    pub(crate) end: Option<FetchEnd>,
}

/// Additions to one job.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct JobDelta {
    pub(crate) planned: i64,
    pub(crate) open: i64,
    pub(crate) released: i64,
    pub(crate) succeeded: i64,
    pub(crate) skipped: i64,
    pub(crate) failed: i64,
    pub(crate) tolerated: i64,
    pub(crate) cancelled: i64,
    pub(crate) fetches_planned: i64,
    pub(crate) fetches_open: i64,
    pub(crate) items: i64,
    pub(crate) requests: i64,
}

/// Additions by fetch and job.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) fetches: HashMap<FetchId, FetchDelta>,
    pub(crate) jobs: HashMap<JobId, JobDelta>,
}

impl FetchDelta {
    /// Its paging has ended. A guard stays, with whatever the list's other pages end: the list may not be whole.
    pub(crate) fn end_paging(&mut self, end: FetchEnd) {
        if !self.end.is_some_and(FetchEnd::is_guard) {
            self.end = Some(end);
        }
    }
}

impl Tally {
    pub(crate) fn fetch(&mut self, fetch: FetchId) -> &mut FetchDelta {
        self.fetches.entry(fetch).or_default()
    }

    pub(crate) fn job(&mut self, job: JobId) -> &mut JobDelta {
        self.jobs.entry(job).or_default()
    }

    /// `calls` new open calls in a fetch.
    pub(crate) fn plan_calls(&mut self, job: JobId, fetch: FetchId, calls: i64) {
        let of_fetch = self.fetch(fetch);
        of_fetch.planned += calls;
        of_fetch.open += calls;
        let of_job = self.job(job);
        of_job.planned += calls;
        of_job.open += calls;
    }

    /// A new fetch with `calls` open ones. `failed`: it could not begin, which counts as a failed call, tolerated or not.
    pub(crate) fn plan_fetch(&mut self, job: JobId, parent: Option<FetchId>, calls: i64, failed: Option<bool>) {
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
    pub(crate) fn end_call(&mut self, job: JobId, ended: &CallEnd, mut was: Open) {
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
    pub(crate) fn cancel_calls(&mut self, job: JobId, fetch: FetchId, calls: i64) {
        let of_fetch = self.fetch(fetch);
        of_fetch.open -= calls;
        of_fetch.cancelled += calls;
        let of_job = self.job(job);
        of_job.open -= calls;
        of_job.cancelled += calls;
    }
}

/// Open calls that a fetch begins with: its first pages, each once, and none when it can't begin.
pub(crate) fn first_calls(fetch: &NewFetch) -> i64 {
    let pages = match fetch.pages.as_slice() {
        _ if fetch.failure.is_some() => 0,
        [] => 0,
        [pages] => pages.count(),
        several => {
            several.iter().flat_map(NewPages::pointers).map(|(pointer, _)| pointer).collect::<HashSet<_>>().len() as u64
        }
    };
    pages.try_into().unwrap_or(i64::MAX)
}

/// A row of additions, as the statements read it.
pub(crate) fn with_id(id: String, delta: &impl Serialize) -> serde_json::Value {
    let mut row = json!(delta);
    row["id"] = json!(id);
    row
}
