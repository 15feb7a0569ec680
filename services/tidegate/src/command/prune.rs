//! `tidegate prune`: pages and trees of jobs that finished long ago are deleted.

use std::path::Path;
use std::time::Duration;

use tidegate::embedded::State;
use tidegate_daemon::clock;
use tidegate_ledger::{Ledger, PostgresLedger, PruneFilter, Sync, prune as delete};

use crate::cli::Prune;
use crate::exit::Exit;
use crate::files::FilesError;
use crate::{say, serve};

/// Most jobs of one run; the next run goes on.
const JOBS_MAX: u32 = 100_000;

pub(crate) async fn prune(args: Prune) -> anyhow::Result<Exit> {
    match &args.state {
        Some(path) => open(path).await?.close_after(async |state| run(&state.ledger, &args).await).await,
        None => {
            let ledger = PostgresLedger::connect(&serve::postgres_config(&args.stores)?).await?;
            run(&ledger, &args).await
        }
    }
}

/// Nobody else may work on the file meanwhile: it has one writer.
async fn open(path: &Path) -> anyhow::Result<State> {
    if !path.is_file() {
        return Err(FilesError::one(format!("there is no state file {}", path.display())).into());
    }
    State::open(path, Sync::Full).await
}

async fn run(ledger: &dyn Ledger, args: &Prune) -> anyhow::Result<Exit> {
    let now_ms = clock::now_ms();
    let older_ms = i64::try_from(args.older_than.as_millis()).unwrap_or(i64::MAX);
    let finished_before_ms = now_ms.saturating_sub(older_ms);
    let filter = PruneFilter { finished_before_ms, keep_jobs: args.keep_jobs, limit: JOBS_MAX };
    if args.dry_run {
        let jobs = ledger.prunable(&filter).await?;
        for job in &jobs {
            let line = || format!("{}  {} calls  {} items  {}", job.id, job.calls, job.items, job.name);
            say::answer(&if args.json { serde_json::to_string(job)? } else { line() });
        }
        if !args.json {
            say::note(&format!("{} jobs would be pruned", jobs.len()));
        }
        return Ok(Exit::Done);
    }
    let pause = Duration::from_millis(args.pause_ms.into());
    let pruned = delete(ledger, &filter, args.batch, pause, now_ms).await?;
    let told = || {
        format!(
            "pruned {} jobs: {} pages, {} calls, {} fetches",
            pruned.jobs, pruned.pages, pruned.calls, pruned.fetches
        )
    };
    say::answer(&if args.json { serde_json::to_string(&pruned)? } else { told() });
    Ok(Exit::Done)
}
