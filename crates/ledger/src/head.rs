//! What a transaction knows of the jobs that it changes, and which of them it stops: pure, the same for every ledger.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use tidegate_contracts::{JobId, Lane, Plan};

use crate::submit::{Bounds, exhausted, overdue};
use crate::tally::Tally;

/// What a transaction needs to know of a job.
#[derive(Debug, Clone)]
pub(crate) struct Head {
    pub(crate) provider: String,
    pub(crate) lane: Lane,
    pub(crate) submitted: bool,
    /// No new call may go out, nor later unless the job is tried again.
    pub(crate) stopped: bool,
    /// No new call may go out until the job is resumed, or its credential renewed.
    pub(crate) paused: bool,
    pub(crate) open: i64,
    pub(crate) released: i64,
    pub(crate) held: i64,
    pub(crate) bounds: Bounds,
    pub(crate) deadline_at_ms: Option<i64>,
    /// Calls that may still be released.
    pub(crate) left: Option<i64>,
}

impl Head {
    /// Its time is over.
    pub(crate) fn is_overdue(&self, now_ms: i64) -> bool {
        self.deadline_at_ms.is_some_and(|deadline_at_ms| deadline_at_ms <= now_ms)
    }

    /// Planned calls may go out.
    pub(crate) fn may_release(&self, now_ms: i64) -> bool {
        !self.submitted && !self.stopped && !self.paused && !self.is_overdue(now_ms)
    }
}

/// By job.
pub(crate) type Heads = BTreeMap<JobId, Head>;

/// Jobs that end as failed, and why.
pub(crate) type Failing = BTreeMap<JobId, String>;

/// A job starts with its first plan. Of a stopped job nothing new goes out: what was planned for it is given up, so that
/// trying again finds it. Returns the jobs that stop here, and all that are stopped.
pub(crate) fn start_and_stop(
    plans: &[&Plan],
    heads: &mut Heads,
    tally: &mut Tally,
    now_ms: i64,
) -> (Failing, BTreeSet<JobId>) {
    let (mut failing, mut stopped) = (Failing::new(), BTreeSet::new());
    for plan in plans {
        let Some(head) = heads.get_mut(&plan.job) else { continue };
        // Named, so that it starts, and finishes though it has nothing to do.
        tally.job(plan.job);
        head.submitted = false;
        let overdue = head.bounds.deadline_ms.filter(|_| head.is_overdue(now_ms)).map(overdue);
        if let Some(reason) = plan.fail_job.clone().or(overdue).filter(|_| !head.stopped) {
            head.stopped = true;
            failing.insert(plan.job, reason);
        }
        if head.stopped {
            stopped.insert(plan.job);
        }
    }
    (failing, stopped)
}

/// Jobs some of whose calls are held.
pub(crate) fn waiting(heads: &Heads, tally: &Tally) -> HashSet<JobId> {
    let more = |job: &JobId| tally.jobs.get(job).map_or(0, |delta| delta.held);
    heads.iter().filter(|(job, head)| head.held + more(job) > 0).map(|(job, _)| *job).collect()
}

/// Stops jobs that have made all calls they may, once none is out any more, if there are more to make. Returns them.
pub(crate) fn stop_exhausted(heads: &mut Heads, tally: &mut Tally) -> Failing {
    let mut failing = Failing::new();
    for (job, head) in heads.iter_mut().filter(|(_, head)| !head.stopped && head.left.is_some()) {
        let delta = tally.job(*job);
        let (out, open) = (head.released + delta.released, head.open + delta.open);
        if out == 0 && open > 0 && head.left == Some(delta.begun) {
            head.stopped = true;
            failing.insert(*job, exhausted(head.bounds.max_calls.unwrap_or_default()));
        }
    }
    failing
}
