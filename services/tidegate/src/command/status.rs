//! `tidegate status`: how the jobs of a state file stand.

use tidegate_daemon::clock;
use tidegate_ledger::{JobFilter, JobRow, Ledger};

use super::items::{find_job, open};
use crate::cli::Status;
use crate::exit::Exit;
use crate::report::{FAILURES_SHOWN, Report, RunFigures};
use crate::say;

const JOBS_SHOWN: u32 = 100;

pub(crate) async fn status(args: Status) -> anyhow::Result<Exit> {
    let ledger = open(&args.state).await?;
    let jobs = match &args.job {
        Some(id) => vec![find_job(&ledger, &args.state, Some(id)).await?],
        None => ledger.jobs(&JobFilter::newest(JOBS_SHOWN)).await?,
    };
    let mut reports = Vec::with_capacity(jobs.len());
    for job in jobs {
        reports.push(report(&ledger, job, &args).await?);
    }
    if args.json {
        say::answer(&serde_json::to_string(&reports)?);
    } else if reports.is_empty() {
        say::answer("no jobs");
    } else {
        for report in &reports {
            say::answer(&report.text());
        }
    }
    Ok(Exit::Done)
}

async fn report(ledger: &dyn Ledger, job: JobRow, args: &Status) -> anyhow::Result<Report> {
    let end_ms = job.finished_at_ms.unwrap_or_else(clock::now_ms);
    Ok(Report {
        steps: ledger.steps(job.id).await?,
        failures: ledger.failures(job.id, FAILURES_SHOWN).await?,
        run: RunFigures {
            seconds: (end_ms - job.submitted_at_ms) as f64 / 1_000.0,
            requests: job.counts.requests,
            state: args.state.display().to_string(),
            ..RunFigures::default()
        },
        job,
    })
}
