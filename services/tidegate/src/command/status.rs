//! `tidegate status`: how the jobs of a state file stand.

use tidegate_daemon::clock;
use tidegate_gateway::economy;
use tidegate_ledger::{JobFilter, JobRow, Ledger, Notices, SqliteLedger};
use tidegate_progress::Looker;
use tidegate_provider::Spec;
use tidegate_specs::StoredSpec;

use super::items::{find_job, with_ledger};
use crate::cli::Status;
use crate::exit::Exit;
use crate::report::{FAILURES_SHOWN, Report, RunFigures};
use crate::say;

const JOBS_SHOWN: u32 = 100;

pub(crate) async fn status(args: Status) -> anyhow::Result<Exit> {
    let reports = with_ledger(&args.state, async |ledger| reports(&ledger, &args).await).await?;
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

async fn reports(ledger: &SqliteLedger, args: &Status) -> anyhow::Result<Vec<Report>> {
    let jobs = match &args.job {
        Some(id) => vec![find_job(ledger, &args.state, Some(id)).await?],
        None => ledger.jobs(&JobFilter::newest(JOBS_SHOWN)).await?,
    };
    let mut reports = Vec::with_capacity(jobs.len());
    for job in jobs {
        reports.push(report(ledger, job, args).await?);
    }
    Ok(reports)
}

async fn report(ledger: &SqliteLedger, job: JobRow, args: &Status) -> anyhow::Result<Report> {
    let look = Looker::default().look(ledger, &job, clock::now_ms()).await?;
    let end_ms = job.finished_at_ms.unwrap_or_else(clock::now_ms);
    // Of a job that this build can't read, the counters alone are told.
    let spec = ledger.spec(job.id).await?.and_then(|row| serde_json::from_str::<StoredSpec>(&row.spec).ok());
    let spec = spec.and_then(|stored| Spec::compile(stored.job, stored.provider).ok());
    Ok(Report {
        progress: (!job.state.is_final()).then_some(look.estimate),
        economy: spec.map(|spec| economy(&spec, &look.steps)).unwrap_or_default(),
        steps: look.steps,
        failures: ledger.failures(job.id, FAILURES_SHOWN).await?,
        notifications: ledger.notices(job.id).await?,
        run: RunFigures {
            seconds: (end_ms - job.submitted_at_ms) as f64 / 1_000.0,
            requests: job.counts.requests,
            state: args.state.display().to_string(),
            ..RunFigures::default()
        },
        job,
    })
}
