//! `tidegate items`: what a state file holds.

use std::path::Path;
use std::sync::Arc;

use tidegate_contracts::JobId;
use tidegate_ledger::{JobFilter, JobRow, Ledger, SqliteLedger, Sync};
use tidegate_specs::Specs;

use crate::cli::{Items, Output};
use crate::exit::Exit;
use crate::files::FilesError;
use crate::output::{OutputError, Writer, told};
use crate::{files, say};

const PAGES_READ: u32 = 64;

pub(crate) async fn items(args: Items) -> anyhow::Result<Exit> {
    let state = args.state.clone();
    with_ledger(&state, async |ledger| of_state(Arc::new(ledger), args).await).await
}

async fn of_state(ledger: Arc<dyn Ledger>, args: Items) -> anyhow::Result<Exit> {
    let job = find_job(&*ledger, &args.state, args.job.as_deref()).await?;
    let spec = Arc::clone(&Specs::new(Arc::clone(&ledger)).get(job.id).await?.spec);
    files::check_steps(&args.output.steps, &spec)?;
    let output = Output { output: Some(args.output.output.unwrap_or_else(|| "-".into())), ..args.output };
    let Some(mut writer) = Writer::open(&output, spec)? else { return Ok(Exit::Done) };
    match write(&*ledger, job.id, &mut writer).await {
        Ok(()) => {
            let written = writer.finish()?;
            told(&written.left_out).iter().for_each(|text| say::note(text));
            Ok(Exit::Done)
        }
        Err(error) => {
            let gone = error.downcast_ref::<OutputError>().is_some_and(OutputError::is_broken_pipe);
            if gone { Ok(Exit::Output) } else { Err(error) }
        }
    }
}

async fn write(ledger: &dyn Ledger, job: JobId, writer: &mut Writer) -> anyhow::Result<()> {
    let mut seq = 0;
    loop {
        let pages = ledger.pages_after(job, seq, PAGES_READ).await?;
        let Some(last) = pages.last() else { return Ok(writer.flush()?) };
        seq = last.seq;
        pages.iter().try_for_each(|page| writer.page(page))?;
    }
}

/// Opens a state file that must be there, works on it, and closes it, whatever came of the work.
pub(crate) async fn with_ledger<T>(
    path: &Path,
    work: impl AsyncFnOnce(SqliteLedger) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    if !path.is_file() {
        return Err(FilesError::one(format!("there is no state file {}", path.display())).into());
    }
    let ledger = SqliteLedger::open(path, Sync::Full).await?;
    let done = work(ledger.clone()).await;
    ledger.close().await;
    done
}

/// The job that was named, else the newest.
pub(crate) async fn find_job(ledger: &dyn Ledger, state: &Path, id: Option<&str>) -> anyhow::Result<JobRow> {
    let job = match id {
        Some(text) => {
            let id: JobId = text.parse().map_err(|error| FilesError::one(format!("--job {text}: {error}")))?;
            ledger.job(id).await?
        }
        None => ledger.jobs(&JobFilter::newest(1)).await?.into_iter().next(),
    };
    Ok(job.ok_or_else(|| FilesError::one(format!("{} holds no such job", state.display())))?)
}
