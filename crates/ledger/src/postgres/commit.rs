//! Committing plans: end calls, plan what follows, roll the counts up, release, finish.
//!
//! Round trips of a commit, whatever the number of plans and jobs: `BEGIN`, lock the jobs, end calls, add to fetches,
//! add to steps, release, add to jobs, `COMMIT`: eight. One more for each of: deferrals, new fetches and new calls (each
//! 2,000), fetches that can't begin (each), jobs that stop, what is left out, and each level of the tree on which fetches
//! finish. Two more for new fetches that wait for others; in jobs where some wait, one for each such level, and two where
//! some wait no more.

use std::collections::{BTreeSet, HashMap, HashSet};

use sqlx::PgConnection;
use tidegate_contracts::{CallEnd, CallId, End, FetchEnd, FetchId, JobId, NewFetch, NewPages, Plan, Wait};
use uuid::Uuid;

use super::calls::{CALLS_PER_STATEMENT, NewCall};
use super::jobs::{Stop, Stops};
use super::{barriers, calls, fetches, jobs, pause, release, report, steps, stop};
use crate::head::{Heads, start_and_stop, stop_exhausted, waiting};
use crate::tally::{Tally, is_held};
use crate::{Committed, LedgerError, Windows};

pub(super) async fn commit(
    tx: &mut PgConnection,
    plans: &[Plan],
    windows: &Windows,
    now_ms: i64,
) -> Result<Committed, LedgerError> {
    let ids: BTreeSet<Uuid> = plans.iter().map(|plan| plan.job.into()).collect();
    let mut heads = jobs::lock(tx, &ids.into_iter().collect::<Vec<_>>()).await?;
    let mut tally = Tally::default();
    let effective = end_calls(tx, plans, &heads, &mut tally, windows, now_ms).await?;
    let begun = plan_fetches(tx, &effective, &mut tally, now_ms).await?;
    plan_calls(tx, &effective, &begun, &mut tally).await?;
    let held: Vec<_> = begun.iter().copied().filter(|(_, fetch)| is_held(fetch)).collect();
    let free = if held.is_empty() { Vec::new() } else { barriers::plan(tx, &held).await? };
    report::leave_out(tx, &effective).await?;
    let (mut failing, stopped) = start_and_stop(&effective, &mut heads, &mut tally, now_ms);
    stop::give_up_planned(tx, &Vec::from_iter(stopped), &mut tally, now_ms).await?;
    let waiting = waiting(&heads, &tally);
    fetches::add(tx, &mut tally, free, &waiting, now_ms).await?;
    let exhausted = stop_exhausted(&mut heads, &mut tally);
    stop::give_up_planned(tx, &Vec::from_iter(exhausted.keys().copied()), &mut tally, now_ms).await?;
    failing.extend(exhausted);
    let stops: Stops = failing.into_iter().map(|(job, reason)| (job, Stop { state: "failed", reason })).collect();
    fetches::add(tx, &mut tally, Vec::new(), &HashSet::new(), now_ms).await?;
    steps::add(tx, &tally).await?;
    let (released, receipt) = release::fill(tx, &heads, &mut tally, windows, now_ms).await?;
    let finished = jobs::add(tx, &tally, &stops, now_ms).await?;
    let (progressed, stopped) = (heads.into_keys().collect(), stops.into_keys().collect());
    Ok(Committed { released, receipt, progressed, stopped, finished })
}

/// Ends the calls of the plans that are still open. Returns the plans that take effect: those whose call this commit
/// ends, and first plans of jobs that have none.
async fn end_calls<'a>(
    tx: &mut PgConnection,
    plans: &'a [Plan],
    heads: &Heads,
    tally: &mut Tally,
    windows: &Windows,
    now_ms: i64,
) -> Result<Vec<&'a Plan>, LedgerError> {
    let (mut begun, mut named) = (HashSet::<JobId>::new(), HashSet::<CallId>::new());
    let mut deferrals: Vec<(JobId, &CallEnd, &Wait)> = Vec::new();
    let (mut candidates, mut returned) = (Vec::<&Plan>::with_capacity(plans.len()), HashMap::<CallId, &Plan>::new());
    for plan in plans {
        let Some(head) = heads.get(&plan.job) else { continue };
        match &plan.ended {
            None if head.submitted && begun.insert(plan.job) => candidates.push(plan),
            None => {}
            Some(ended) => match &ended.end {
                End::Deferred { wait } => deferrals.push((plan.job, ended, wait)),
                End::Returned => _ = returned.insert(ended.call, plan),
                // From before the job was tried again. The call is made when its lease is past.
                End::Cancelled if !head.stopped => {}
                _ if named.insert(ended.call) => candidates.push(plan),
                _ => {}
            },
        }
    }
    let ends: Vec<_> = candidates.iter().filter_map(|plan| Some((plan.job, plan.ended.as_ref()?))).collect();
    let mut open = calls::end(tx, &ends, now_ms).await?;
    candidates.retain(|plan| {
        let Some(ended) = &plan.ended else { return true };
        let Some(was) = open.remove(&ended.call) else { return false };
        tally.end_call(plan.job, ended, was);
        true
    });
    candidates.extend(take_back(tx, returned, heads, tally).await?);
    // Plans come in any order; the latest deferral of a call is the one that counts.
    deferrals.sort_by_key(|(_, ended, wait)| (ended.requests, wait.until_ms));
    let latest: HashMap<CallId, _> = deferrals.into_iter().map(|deferral| (deferral.1.call, deferral)).collect();
    for (job, more) in calls::defer(tx, &latest.into_values().collect::<Vec<_>>(), windows.lease_ms).await? {
        tally.job(job).requests += more;
    }
    Ok(candidates)
}

/// Plans calls again that came back unmade. Returns the plans of stopped jobs, whose planned calls are given up.
async fn take_back<'a>(
    tx: &mut PgConnection,
    returned: HashMap<CallId, &'a Plan>,
    heads: &Heads,
    tally: &mut Tally,
) -> Result<Vec<&'a Plan>, LedgerError> {
    let back: Vec<_> = returned.values().filter_map(|plan| Some((plan.job, plan.ended.as_ref()?))).collect();
    let mut of_stopped = Vec::new();
    for (call, job, more) in pause::take_back(tx, &back).await? {
        tally.take_back(job, more);
        if heads.get(&job).is_some_and(|head| head.stopped) {
            of_stopped.extend(returned.get(&call).copied());
        }
    }
    Ok(of_stopped)
}

/// Plans the fetches that are new. Returns those that begin.
async fn plan_fetches<'a>(
    tx: &mut PgConnection,
    plans: &[&'a Plan],
    tally: &mut Tally,
    now_ms: i64,
) -> Result<Vec<(JobId, &'a NewFetch)>, LedgerError> {
    let mut fetches = new_fetches(plans);
    let inserted = fetches::insert(tx, &fetches, now_ms).await?;
    fetches.retain(|(_, fetch)| inserted.contains(&fetch.fetch));
    for (job, fetch) in &fetches {
        tally.plan_fetch(*job, fetch);
    }
    calls::plan_failed(tx, &fetches, now_ms).await?;
    fetches.retain(|(_, fetch)| fetch.failure.is_none());
    Ok(fetches)
}

/// Plans more pages of the fetches whose calls ended, and then the first pages of those that begin.
async fn plan_calls(
    tx: &mut PgConnection,
    plans: &[&Plan],
    begun: &[(JobId, &NewFetch)],
    tally: &mut Tally,
) -> Result<(), LedgerError> {
    for plan in plans {
        let Some(ended) = &plan.ended else { continue };
        let delta = tally.fetch(ended.fetch);
        delta.total = plan.total.or(delta.total);
        if let Some(end) = plan.fetch_end {
            delta.end_paging(end);
        }
    }
    let mut calls = new_calls(plans, begun);
    loop {
        let chunk: Vec<NewCall> = calls.by_ref().take(CALLS_PER_STATEMENT).collect();
        if chunk.is_empty() {
            return Ok(());
        }
        let new = calls::plan(tx, &chunk).await?;
        count_planned(&chunk, new, tally);
    }
}

/// The fetches of plans, each once.
fn new_fetches<'a>(plans: &[&'a Plan]) -> Vec<(JobId, &'a NewFetch)> {
    let mut named = HashSet::<FetchId>::new();
    let each = plans.iter().flat_map(|plan| plan.fetches.iter().map(|fetch| (plan.job, fetch)));
    each.filter(|(_, fetch)| named.insert(fetch.fetch)).collect()
}

/// The calls of plans and of fetches that begin, however many. Boxed, since what holds it must be sent between threads.
fn new_calls<'a>(
    plans: &'a [&'a Plan],
    begun: &'a [(JobId, &'a NewFetch)],
) -> Box<dyn Iterator<Item = NewCall> + Send + 'a> {
    let more =
        plans.iter().filter_map(|plan| Some((plan.job, plan.ended.as_ref()?.fetch, &plan.pages, (false, false))));
    let first = begun.iter().map(|(job, fetch)| (*job, fetch.fetch, &fetch.pages, (true, is_held(fetch))));
    Box::new(more.chain(first).flat_map(|(job, fetch, pages, (of_new_fetch, held))| {
        pages.iter().flat_map(move |pages| {
            let single = matches!(pages, NewPages::One { .. });
            pages.pointers().map(move |(pointer, ordinal)| {
                let id = CallId::derive(fetch, &pointer);
                NewCall { id, job, fetch, pointer, ordinal, of_new_fetch, single, held }
            })
        })
    }))
}

/// Counts the calls that are new; one that is named twice is new once.
fn count_planned(calls: &[NewCall], mut new: HashSet<CallId>, tally: &mut Tally) {
    for call in calls.iter().filter(|call| !call.of_new_fetch) {
        if new.remove(&call.id) {
            tally.plan_calls(call.job, call.fetch, 1);
        } else if call.single && call.pointer.is_named() {
            // The chain leads back to where it has been.
            tally.fetch(call.fetch).end_paging(FetchEnd::RepeatedPointer);
        }
    }
}
