//! What a transaction adds to the counters of fetches and jobs, whatever the database. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde::Serialize;
use serde_json::json;
use tidegate_contracts::{CallEnd, End, FetchEnd, FetchId, JobId, NewFetch, NewPages, Plan};

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
    /// Calls that failed untolerated, or were given up because a blocker was spoiled; of finished children too.
    pub(crate) spoiled: i64,
    pub(crate) total: Option<u64>,
    pub(crate) end: Option<FetchEnd>,
}

/// Additions to one job.
#[derive(Debug, Default, Clone, Serialize)]
pub(crate) struct JobDelta {
    pub(crate) planned: i64,
    pub(crate) open: i64,
    pub(crate) released: i64,
    pub(crate) held: i64,
    /// Released, less those that came back unmade.
    pub(crate) begun: i64,
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

/// Additions to one step of a job.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct StepDelta {
    /// Among the steps of a transaction, so that they are stored in the order they were first planned in.
    pub(crate) place: usize,
    pub(crate) fetches: i64,
    pub(crate) done: i64,
    pub(crate) paged: i64,
    pub(crate) planned: i64,
    pub(crate) open: i64,
    pub(crate) failed: i64,
    pub(crate) skipped: i64,
    pub(crate) calls_paged: i64,
    pub(crate) items: i64,
    /// Fetches that a guard ended, by guard.
    pub(crate) guards: BTreeMap<&'static str, i64>,
}

/// A fetch after additions to it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchAfter {
    pub(crate) planned: i64,
    pub(crate) open: i64,
    pub(crate) children: i64,
}

/// Additions by fetch, step and job.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) steps: HashMap<(JobId, String), StepDelta>,
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

    fn step(&mut self, job: JobId, step: &str) -> &mut StepDelta {
        let place = self.steps.len();
        self.steps.entry((job, step.to_owned())).or_insert_with(|| StepDelta { place, ..StepDelta::default() })
    }

    /// The new fetch counts with its step: `calls` open ones, or the one that stands for that it could not begin.
    fn plan_in_step(&mut self, job: JobId, step: &str, calls: i64, failed: bool) {
        let (of_step, failed, ended) = (self.step(job, step), i64::from(failed), i64::from(calls == 0));
        of_step.fetches += 1;
        of_step.planned += calls + failed;
        of_step.open += calls;
        of_step.failed += failed;
        of_step.done += ended;
        of_step.paged += ended;
        of_step.calls_paged += ended * failed;
    }

    /// What was added to a fetch is added to its step. `guarded`: a guard had ended it before.
    pub(crate) fn add_to_step(&mut self, job: JobId, step: &str, delta: &FetchDelta, now: FetchAfter, guarded: bool) {
        let of_step = self.step(job, step);
        let (was_open, was_planned) = (now.open - delta.open, now.planned - delta.planned);
        let (was_paged, is_paged) = (was_open == 0, now.open == 0);
        let (was_done, is_done) = (was_paged && now.children == delta.children, is_paged && now.children == 0);
        of_step.planned += delta.planned;
        of_step.open += delta.open;
        of_step.failed += delta.failed;
        of_step.skipped += delta.skipped;
        of_step.items += delta.items;
        of_step.done += i64::from(is_done) - i64::from(was_done);
        of_step.paged += i64::from(is_paged) - i64::from(was_paged);
        of_step.calls_paged += i64::from(is_paged) * now.planned - i64::from(was_paged) * was_planned;
        if let Some(guard) = delta.end.filter(|end| end.is_guard() && !guarded) {
            *of_step.guards.entry(guard.name()).or_default() += 1;
        }
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

    /// A new fetch. One that could not begin counts as a failed call, tolerated or not.
    pub(crate) fn plan_fetch(&mut self, job: JobId, fetch: &NewFetch) {
        let (calls, parent) = (first_calls(fetch), fetch.parent);
        let failed = fetch.failure.as_ref().map(|_| fetch.tolerated);
        self.plan_in_step(job, &fetch.step, calls, failed.is_some());
        if let Some(parent) = parent.filter(|_| failed == Some(false)) {
            self.fetch(parent).spoiled += 1;
        }
        let of_job = self.job(job);
        if is_held(fetch) {
            of_job.held += calls;
        }
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
                of_fetch.spoiled += i64::from(!*tolerated);
                of_job.failed += 1;
                of_job.tolerated += i64::from(*tolerated);
            }
            End::Cancelled => {
                of_fetch.cancelled += 1;
                of_job.cancelled += 1;
            }
            End::Deferred { .. } | End::Returned => {}
        }
    }

    /// Open calls of a fetch were given up.
    pub(crate) fn cancel_calls(&mut self, job: JobId, given_up: GivenUp) {
        let GivenUp { fetch, calls, held, released } = given_up;
        let of_fetch = self.fetch(fetch);
        of_fetch.open -= calls;
        of_fetch.cancelled += calls;
        let of_job = self.job(job);
        of_job.open -= calls;
        of_job.held -= held;
        of_job.released -= released;
        of_job.cancelled += calls;
    }

    /// A held call may be released, or is given up because of what it comes after.
    pub(crate) fn lift_hold(&mut self, job: JobId, fetch: FetchId, spoiled: bool) {
        if spoiled {
            self.cancel_calls(job, GivenUp { fetch, calls: 1, held: 1, released: 0 });
            self.fetch(fetch).spoiled += 1;
        } else {
            self.job(job).held -= 1;
        }
    }

    /// A released call came back unmade, and is planned: it takes none of the calls that the job may make.
    pub(crate) fn take_back(&mut self, job: JobId, requests: i64) {
        let of_job = self.job(job);
        of_job.requests += requests;
        of_job.released -= 1;
        of_job.begun -= 1;
    }

    /// A fetch finished: so its job and its parent count one less.
    pub(crate) fn finish_fetch(&mut self, job: JobId, parent: Option<FetchId>, spoiled: i64) {
        self.job(job).fetches_open -= 1;
        if let Some(parent) = parent {
            let above = self.fetch(parent);
            above.children -= 1;
            above.spoiled += spoiled;
        }
    }
}

/// Open calls of a fetch that are given up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct GivenUp {
    pub(crate) fetch: FetchId,
    /// All of them.
    pub(crate) calls: i64,
    /// Of these: planned and held.
    pub(crate) held: i64,
    /// Of these: released.
    pub(crate) released: i64,
}

/// Whether the first calls of a fetch are planned as held. Those whose blockers are finished, or not there, are let go in
/// the same transaction.
pub(crate) fn is_held(fetch: &NewFetch) -> bool {
    !fetch.after.is_empty() && first_calls(fetch) > 0
}

/// What stands at a call that was not made, since something below a fetch of the step `blocker` failed.
pub(crate) fn not_made(blocker: &str) -> String {
    format!("not made: it comes after step {blocker}, where something failed")
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

/// What plans leave out, by job and step.
pub(crate) fn left_out<'a>(plans: &[&'a Plan]) -> BTreeMap<(JobId, &'a str), i64> {
    let mut sums = BTreeMap::new();
    for plan in plans {
        for (step, fetches) in plan.left_out.iter().filter(|(_, fetches)| **fetches > 0) {
            *sums.entry((plan.job, step.as_str())).or_default() += i64::from(*fetches);
        }
    }
    sums
}

/// A row of additions, as the statements read it.
pub(crate) fn with_id(id: String, delta: &impl Serialize) -> serde_json::Value {
    let mut row = json!(delta);
    row["id"] = json!(id);
    row
}
