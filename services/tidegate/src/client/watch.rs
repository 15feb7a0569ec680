//! `tidegate watch`: a job's events until it is finished.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use tidegate_client::{Client, ClientError, JobEvent};
use tidegate_contracts::JobId;
use tidegate_daemon::clock;

use super::jobs::{exit, line};
use super::patience::Patience;
use crate::cli::JobOf;
use crate::exit::Exit;
use crate::live::progress as progress_line;
use crate::say;

/// Before a stream is taken up again that the gateway ended, to stop or to start anew.
const AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(crate) async fn watch(args: JobOf) -> anyhow::Result<Exit> {
    let client = super::connect(&args.gateway)?;
    let last = follow(&client, args.id, args.json, Patience::default()).await?;
    say::answer(&if args.json { serde_json::to_string(&last)? } else { line(&last.job) });
    Ok(exit(&last.job))
}

/// Shows how a job goes until it is finished, and returns its last state. A stream that breaks off is taken up again;
/// since every event is all of the job's state, nothing is missed.
pub(super) async fn follow(
    client: &Client,
    job: JobId,
    quiet: bool,
    mut patience: Patience,
) -> Result<JobEvent, ClientError> {
    let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new_spinner() };
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg}") {
        bar.set_style(style);
    }
    loop {
        match stream(client, job, &bar, &mut patience).await {
            Ok(Some(last)) => {
                bar.finish_and_clear();
                return Ok(last);
            }
            Ok(None) => tokio::time::sleep(AGAIN_AFTER).await,
            Err(error) => {
                bar.set_message(format!("{error}; trying again"));
                patience.wait(error).await?;
            }
        }
    }
}

/// One stream; `None` when it ended before the job did.
async fn stream(
    client: &Client,
    job: JobId,
    bar: &ProgressBar,
    patience: &mut Patience,
) -> Result<Option<JobEvent>, ClientError> {
    let Some(mut events) = client.events(job, None).await? else { return Ok(None) };
    while let Some(event) = events.next().await? {
        patience.restore();
        bar.set_message(told(&event));
        bar.tick();
        if event.job.is_final() {
            return Ok(Some(event));
        }
    }
    Ok(None)
}

fn told(event: &JobEvent) -> String {
    let waits = event.waiting.first().map(|wait| format!("  · {} calls wait: {}", wait.calls, wait.reason));
    let progress = event.progress.as_ref();
    let progress = progress.and_then(|told| progress_line(told.fraction, told.eta_ms, clock::now_ms()));
    let progress = progress.map(|progress| format!("  · {progress}"));
    format!("{}{}{}", line(&event.job), progress.unwrap_or_default(), waits.unwrap_or_default())
}
