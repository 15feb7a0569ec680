//! Jobs of a gateway.

use tidegate_client::{Job, JobDetail, JobQuery};
use tidegate_daemon::clock;

use crate::cli::{JobOf, Jobs, Retry};
use crate::exit::Exit;
use crate::live::progress;
use crate::say;

/// With which code a finished job ends.
pub(super) fn exit(job: &Job) -> Exit {
    if job.state == "succeeded" { Exit::Done } else { Exit::JobFailed }
}

/// `tidegate jobs`.
pub(crate) async fn jobs(args: Jobs) -> anyhow::Result<Exit> {
    let client = super::connect(&args.gateway)?;
    let states = args.state.into_iter().collect();
    let query = JobQuery { states, provider: args.provider, name: args.name, after: None, limit: Some(args.limit) };
    let jobs = client.jobs(&query).await?.jobs;
    if args.json {
        say::answer(&serde_json::to_string(&jobs)?);
    } else {
        jobs.iter().for_each(|job| say::answer(&line(job)));
    }
    Ok(Exit::Done)
}

/// A job in one line.
pub(super) fn line(job: &Job) -> String {
    let Job { id, name, provider, counts, .. } = job;
    let state = match () {
        () if job.paused_at_ms.is_some() => "paused",
        () if job.parked.is_some() => "parked",
        () => &job.state,
    };
    let done = counts.calls_planned.saturating_sub(counts.calls_open);
    format!("{id}  {state:<9}  {done}/{} calls  {} items  {provider}  {name}", counts.calls_planned, counts.items)
}

/// `tidegate status JOB`.
pub(crate) async fn status(args: JobOf) -> anyhow::Result<Exit> {
    let detail = super::connect(&args.gateway)?.job(args.id).await?;
    say::answer(&if args.json { serde_json::to_string(&detail)? } else { text(&detail) });
    Ok(Exit::Done)
}

fn text(detail: &JobDetail) -> String {
    let mut lines = vec![line(&detail.job)];
    lines.extend(detail.job.reason.as_ref().map(|reason| format!("  {reason}")));
    lines.extend(detail.job.parked.as_ref().map(|parked| format!("  waits for {parked}")));
    let told = detail.progress.as_ref().filter(|_| !detail.job.is_final());
    let told =
        told.and_then(|told| Some((progress(told.fraction, told.eta_ms, clock::now_ms())?, told.basis.as_str())));
    lines.extend(told.map(|(progress, basis)| format!("  {progress} ({basis})")));
    for step in &detail.steps {
        let (fetches, done) = (step.fetches, step.calls_planned.saturating_sub(step.calls_open));
        lines.push(format!(
            "  {:<16} {:>9} items  {:>7}/{fetches} fetches  {done:>7}/{} pages",
            step.step, step.items, step.fetches_done, step.calls_planned
        ));
        let economy = detail.economy.iter().find(|economy| economy.step == step.step);
        if let Some((calls, fewest)) = economy.and_then(|economy| Some((economy.calls, economy.fewest?)))
            && calls > fewest
        {
            lines.push(format!("    {} calls more than the fewest that could do, {fewest}", calls - fewest));
        }
        let guards = step.guards.iter();
        lines.extend(guards.map(|guard| format!("    {} fetches ended early: {}", guard.fetches, guard.guard)));
    }
    lines.extend(detail.waiting.iter().map(|wait| format!("  {} calls wait: {}", wait.calls, wait.reason)));
    for group in &detail.failures {
        let status = group.status.map(|status| format!(" {status}")).unwrap_or_default();
        let (calls, state, step, class) = (group.calls, &group.state, &group.step, &group.class);
        lines.push(format!("  {calls} {state} {step}: {class}{status} {}", group.message));
    }
    for told in &detail.notifications {
        let last = told.last.as_ref().map(|last| format!(" ({last})")).unwrap_or_default();
        lines.push(format!("  told of {}: {} after {} attempts{last}", told.event, told.state, told.attempts));
    }
    lines.join("\n")
}

/// `tidegate cancel`.
pub(crate) async fn cancel(args: JobOf) -> anyhow::Result<Exit> {
    let job = super::connect(&args.gateway)?.cancel(args.id).await?;
    say::answer(&if args.json { serde_json::to_string(&job)? } else { line(&job) });
    Ok(Exit::Done)
}

/// `tidegate pause`.
pub(crate) async fn pause(args: JobOf) -> anyhow::Result<Exit> {
    let job = super::connect(&args.gateway)?.pause(args.id).await?;
    say::answer(&if args.json { serde_json::to_string(&job)? } else { line(&job) });
    Ok(Exit::Done)
}

/// `tidegate resume`.
pub(crate) async fn resume(args: JobOf) -> anyhow::Result<Exit> {
    let job = super::connect(&args.gateway)?.resume(args.id).await?;
    say::answer(&if args.json { serde_json::to_string(&job)? } else { line(&job) });
    Ok(Exit::Done)
}

/// `tidegate retry`.
pub(crate) async fn retry(args: Retry) -> anyhow::Result<Exit> {
    let Retry { of, step, class, status, message, fetch } = args;
    let alike = [
        ("fetch", fetch.map(|fetch| fetch.to_string())),
        ("step", step),
        ("class", class),
        ("status", status.map(|status| status.to_string())),
        ("message", message),
    ];
    let alike: Vec<_> = alike.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let retried = super::connect(&of.gateway)?.retry_failed(of.id, &alike).await?;
    let told = || format!("{} calls are made again", retried.calls);
    say::answer(&if of.json { serde_json::to_string(&retried)? } else { told() });
    Ok(Exit::Done)
}
