//! Which runs' items an output file holds already, so that the next run appends its own and each comes out once.
//!
//! What is appended to is copied first, and the copy takes its place when the run has ended: that moment is noted in the
//! state file before and after. If the process dies in between, the copy that is left (`.part`) says that it was before.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tidegate_contracts::JobId;
use tidegate_ledger::{JobRow, Ledger};

use crate::output::part;

/// The last run whose items a file holds.
#[derive(Debug, Serialize, Deserialize)]
struct Held {
    run: JobId,
    /// The file with them is about to take its place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<Option<JobId>>,
}

fn name(path: &Path) -> String {
    format!("output {}", path.display())
}

/// The first of `runs` whose items are to be appended to each of these files; `None`: only those of the newest, since it
/// is not known what the file holds. To be asked before anything is written beside them.
pub(crate) async fn first_runs(
    ledger: &dyn Ledger,
    files: &[PathBuf],
    runs: &[JobRow],
    now_ms: i64,
) -> anyhow::Result<Vec<Option<usize>>> {
    let mut first = Vec::with_capacity(files.len());
    for path in files {
        let held = ledger.kept(&name(path)).await?.and_then(|text| serde_json::from_str::<Held>(&text).ok());
        let run = match held {
            Some(Held { run, before: Some(before) }) => {
                let run = if part(path).exists() { before } else { Some(run) };
                keep(ledger, path, run, now_ms).await?;
                run
            }
            held => held.map(|held| held.run),
        };
        let after = run.and_then(|run| runs.iter().position(|row| row.id == run)).map(|place| place + 1);
        let is_empty = std::fs::metadata(path).map_or(true, |found| found.len() == 0);
        first.push(after.or((run.is_none() && is_empty).then_some(0)));
    }
    Ok(first)
}

/// Notes that these files are about to be put in their places, with the items of `run` and those before it.
pub(crate) async fn begin(ledger: &dyn Ledger, files: &[PathBuf], run: JobId, now_ms: i64) -> anyhow::Result<()> {
    for path in files {
        let held = ledger.kept(&name(path)).await?.and_then(|text| serde_json::from_str::<Held>(&text).ok());
        let held = Held { run, before: Some(held.map(|held| held.run)) };
        ledger.keep(&name(path), &serde_json::to_string(&held)?, now_ms).await?;
    }
    Ok(())
}

/// Notes that they are in their places.
pub(crate) async fn end(ledger: &dyn Ledger, files: &[PathBuf], run: JobId, now_ms: i64) -> anyhow::Result<()> {
    for path in files {
        keep(ledger, path, Some(run), now_ms).await?;
    }
    Ok(())
}

async fn keep(ledger: &dyn Ledger, path: &Path, run: Option<JobId>, now_ms: i64) -> anyhow::Result<()> {
    let text = run.map(|run| serde_json::to_string(&Held { run, before: None })).transpose()?;
    Ok(ledger.keep(&name(path), &text.unwrap_or_default(), now_ms).await?)
}
