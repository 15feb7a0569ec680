//! Committing plans: end calls, plan what follows, roll the counts up, release, finish.

use std::collections::{HashMap, HashSet};

use sqlx::SqliteConnection;
use tidegate_contracts::{CallEnd, CallId, End, FetchEnd, FetchId, JobId, NewFetch, NewPages, Plan};

use super::{barriers, calls, fetches, jobs, pause, release, report, steps, stop};
use crate::head::{Failing, Heads, start_and_stop, stop_exhausted, waiting};
use crate::tally::{Open, Tally, is_held};
use crate::{Committed, LedgerError, Windows};

pub(super) async fn commit(
    tx: &mut SqliteConnection,
    plans: &[Plan],
    windows: &Windows,
    now_ms: i64,
) -> Result<Committed, LedgerError> {
    let mut heads = jobs::heads(tx, plans.iter().map(|plan| plan.job).collect()).await?;
    let mut tally = Tally::default();
    let effective = end_calls(tx, plans, &heads, &mut tally, windows, now_ms).await?;
    plan_pages(tx, &effective, &mut tally).await?;
    let free = plan_fetches(tx, &effective, &mut tally, now_ms).await?;
    report::leave_out(tx, &effective).await?;
    let (mut failing, stopped) = start_and_stop(&effective, &mut heads, &mut tally, now_ms);
    give_up_planned(tx, stopped, &mut tally, now_ms).await?;
    let waiting = waiting(&heads, &tally);
    fetches::add(tx, &mut tally, free, &waiting, now_ms).await?;
    let exhausted = stop_exhausted(&mut heads, &mut tally);
    give_up_planned(tx, exhausted.keys().copied(), &mut tally, now_ms).await?;
    fetches::add(tx, &mut tally, Vec::new(), &HashSet::new(), now_ms).await?;
    failing.extend(exhausted);
    stop_failing(tx, &failing).await?;
    steps::add(tx, &tally).await?;
    let released = release::fill(tx, &heads, &mut tally, windows, now_ms).await?;
    let finished = jobs::add(tx, &tally, now_ms).await?;
    let (progressed, stopped) = (heads.into_keys().collect(), failing.into_keys().collect());
    Ok(Committed { released, receipt: None, progressed, stopped, finished })
}

/// Ends the calls of the plans that are still open. Returns the plans that take effect: those whose call this commit
/// ends, and first plans of jobs that have none.
async fn end_calls<'a>(
    tx: &mut SqliteConnection,
    plans: &'a [Plan],
    heads: &Heads,
    tally: &mut Tally,
    windows: &Windows,
    now_ms: i64,
) -> Result<Vec<&'a Plan>, LedgerError> {
    let mut open = calls::open(tx, plans.iter().filter_map(|plan| Some(plan.ended.as_ref()?.call))).await?;
    let mut effective: Vec<&Plan> = Vec::with_capacity(plans.len());
    let mut begun: HashSet<JobId> = HashSet::new();
    let mut ends: Vec<&CallEnd> = Vec::with_capacity(plans.len());
    let (mut deferrals, mut returned) = (Vec::new(), Vec::new());
    for plan in plans {
        let Some(ended) = &plan.ended else {
            if heads.get(&plan.job).is_some_and(|head| head.submitted) && begun.insert(plan.job) {
                effective.push(plan);
            }
            continue;
        };
        match &ended.end {
            End::Deferred { wait } => deferrals.push((ended.requests, wait.until_ms, plan.job, ended)),
            End::Returned => returned.push(plan),
            // From before the job was tried again. The call is made when its lease is past.
            End::Cancelled if heads.get(&plan.job).is_some_and(|head| !head.stopped) => {}
            _ => {
                if let Some(was) = open.remove(&ended.call) {
                    tally.end_call(plan.job, ended, was);
                    ends.push(ended);
                    effective.push(plan);
                }
            }
        }
    }
    calls::end(tx, &ends, now_ms).await?;
    effective.extend(take_back(tx, returned, &mut open, heads, tally).await?);
    // Plans come in any order; the latest deferral of a call is the one that counts.
    deferrals.sort_by_key(|(requests, until_ms, ..)| (*requests, *until_ms));
    let mut latest: HashMap<CallId, &CallEnd> = HashMap::new();
    for (requests, _, job, ended) in deferrals {
        if let Some(was) = open.get_mut(&ended.call).filter(|was| was.released) {
            tally.job(job).requests += was.count_requests(requests);
            latest.insert(ended.call, ended);
        }
    }
    calls::defer(tx, latest.into_values(), windows.lease_ms).await?;
    Ok(effective)
}

/// Plans calls again that came back unmade. Returns the plans of stopped jobs, whose planned calls are given up.
async fn take_back<'a>(
    tx: &mut SqliteConnection,
    returned: Vec<&'a Plan>,
    open: &mut HashMap<CallId, Open>,
    heads: &Heads,
    tally: &mut Tally,
) -> Result<Vec<&'a Plan>, LedgerError> {
    let (mut back, mut of_stopped) = (Vec::new(), Vec::new());
    for plan in returned {
        let Some(ended) = &plan.ended else { continue };
        let Some(was) = open.get_mut(&ended.call).filter(|was| was.released) else { continue };
        was.released = false;
        tally.take_back(plan.job, was.count_requests(ended.requests));
        back.push(ended);
        of_stopped.extend(heads.get(&plan.job).is_some_and(|head| head.stopped).then_some(plan));
    }
    pause::take_back(tx, &back).await?;
    Ok(of_stopped)
}

async fn plan_pages(tx: &mut SqliteConnection, plans: &[&Plan], tally: &mut Tally) -> Result<(), LedgerError> {
    // One statement for all single pages of a job; ranges, which may be long, each on their own.
    let mut singles: HashMap<JobId, Vec<calls::NewCall>> = HashMap::new();
    for plan in plans {
        let Some(ended) = &plan.ended else { continue };
        let delta = tally.fetch(ended.fetch);
        delta.total = plan.total.or(delta.total);
        if let Some(end) = plan.fetch_end {
            delta.end_paging(end);
        }
        for pages in &plan.pages {
            if let NewPages::One { pointer, ordinal } = pages {
                singles.entry(plan.job).or_default().push((ended.fetch, pointer.clone(), *ordinal, false));
            } else {
                let mut pages = pages.pointers().map(|(pointer, ordinal)| (ended.fetch, pointer, ordinal, false));
                let new = calls::plan(tx, plan.job, &mut pages).await?;
                tally.plan_calls(plan.job, ended.fetch, new);
            }
        }
    }
    for (job, pages) in singles {
        let mut new = calls::plan_named(tx, job, &pages).await?;
        for (fetch, pointer, ..) in &pages {
            // Named twice in this batch, it is new once.
            if new.remove(&CallId::derive(*fetch, pointer)) {
                tally.plan_calls(job, *fetch, 1);
            } else if pointer.is_named() {
                // The chain leads back to where it has been.
                tally.fetch(*fetch).end_paging(FetchEnd::RepeatedPointer);
            }
        }
    }
    Ok(())
}

/// Plans the fetches that are new. Returns those whose calls are held though nothing holds them.
async fn plan_fetches(
    tx: &mut SqliteConnection,
    plans: &[&Plan],
    tally: &mut Tally,
    now_ms: i64,
) -> Result<Vec<FetchId>, LedgerError> {
    let mut free = Vec::new();
    // In the order of the plans, so that calls are released in that order too.
    let (mut by_job, mut named) = (HashMap::<JobId, Vec<&NewFetch>>::new(), HashSet::<FetchId>::new());
    for plan in plans {
        let new = plan.fetches.iter().filter(|fetch| named.insert(fetch.fetch));
        by_job.entry(plan.job).or_default().extend(new);
    }
    for (job, fetches) in by_job {
        let inserted = fetches::insert(tx, job, &fetches, now_ms).await?;
        let begun: Vec<&NewFetch> = fetches.into_iter().filter(|fetch| inserted.contains(&fetch.fetch)).collect();
        for fetch in &begun {
            tally.plan_fetch(job, fetch);
            if let Some(failure) = &fetch.failure {
                calls::plan_failed(tx, job, fetch, failure, now_ms).await?;
            }
        }
        let mut pages = begun.iter().copied().filter(|fetch| fetch.failure.is_none()).flat_map(first_pages);
        calls::plan(tx, job, &mut pages).await?;
        let held: Vec<&NewFetch> = begun.iter().copied().filter(|fetch| is_held(fetch)).collect();
        if !held.is_empty() {
            free.extend(barriers::plan(tx, job, &held).await?);
        }
    }
    Ok(free)
}

fn first_pages(fetch: &NewFetch) -> impl Iterator<Item = calls::NewCall> + Send {
    let (id, held) = (fetch.fetch, is_held(fetch));
    fetch.pages.iter().flat_map(NewPages::pointers).map(move |(pointer, ordinal)| (id, pointer, ordinal, held))
}

/// Stops jobs as failed.
async fn stop_failing(tx: &mut SqliteConnection, failing: &Failing) -> Result<(), LedgerError> {
    for (job, reason) in failing {
        jobs::stop(tx, *job, "failed", reason).await?;
    }
    Ok(())
}

async fn give_up_planned(
    tx: &mut SqliteConnection,
    stopped: impl IntoIterator<Item = JobId>,
    tally: &mut Tally,
    now_ms: i64,
) -> Result<(), LedgerError> {
    for job in stopped {
        stop::give_up_planned(tx, job, tally, now_ms).await?;
    }
    Ok(())
}
