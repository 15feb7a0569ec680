//! `tidegate items JOB`: a gateway's items, digit for digit as they come, each once though the gateway starts anew
//! meanwhile.
//!
//! They are asked for in answers of a few stored pages. A stored page never changes and pages have an order, so an answer
//! that breaks off is asked for again from where it began, and what came of it before is left out. Other formats than the
//! gateway's NDJSON are made here, so that they too go on after a cut.

use std::path::Path;
use std::time::Duration;

use tidegate_client::{Client, ClientError, ItemQuery};
use tidegate_contracts::JobId;

use super::patience::Patience;
use crate::cli::{Gateway, Output, StepsOf};
use crate::exit::Exit;
use crate::files::FilesError;
use crate::output::{Outlet, OutputError, is_folder, told};
use crate::say;

/// Stored pages in one answer.
const PAGES: u32 = 64;
/// Between two looks for more of a job that is followed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

pub(crate) async fn items(job: JobId, output: &Output, steps: StepsOf, gateway: &Gateway) -> anyhow::Result<Exit> {
    let client = super::connect(gateway)?;
    let path = output.output.as_deref().unwrap_or_else(|| Path::new("-"));
    let step = match output.steps.as_slice() {
        [] => None,
        [step] => Some(step.clone()),
        _ => return Err(FilesError::one("--step: one step at a time from a gateway").into()),
    };
    if is_folder(path) {
        return Err(FilesError::one("--output: one file at a time from a gateway; name it, and its --step").into());
    }
    let query = ItemQuery { step, origin: output.with_origin, pages: Some(PAGES), ..ItemQuery::default() };
    let mut reading = Reading { client, job, query, skip: 0, patience: Patience::default() };
    // That the job is there is known before the file is made.
    let mut ended = reading.has_ended(steps.follow).await?;
    let mut sink = Lines { outlet: Outlet::open(output, path)?, with_origin: output.with_origin, begun: Vec::new() };
    loop {
        match reading.read_on(&mut sink).await {
            Ok(()) if ended => break,
            Ok(()) => {}
            Err(error) if error.downcast_ref().is_some_and(OutputError::is_broken_pipe) => return Ok(Exit::Output),
            Err(error) => return Err(error),
        }
        tokio::time::sleep(LOOK_EVERY).await;
        ended = reading.has_ended(true).await?;
    }
    sink.outlet.finish()?;
    told(&sink.outlet.left_out()).iter().for_each(|text| say::note(text));
    Ok(Exit::Done)
}

/// Puts pieces together to lines again.
struct Lines {
    outlet: Outlet,
    with_origin: bool,
    /// A line that has not ended.
    begun: Vec<u8>,
}

impl Lines {
    fn write(&mut self, piece: &[u8]) -> Result<(), OutputError> {
        for part in piece.split_inclusive(|byte| *byte == b'\n') {
            match part.strip_suffix(b"\n") {
                Some(end) if self.begun.is_empty() => self.outlet.line(end, self.with_origin)?,
                Some(end) => {
                    self.begun.extend_from_slice(end);
                    self.outlet.line(&std::mem::take(&mut self.begun), self.with_origin)?;
                }
                None => self.begun.extend_from_slice(part),
            }
        }
        Ok(())
    }
}

/// Where a reader stands.
struct Reading {
    client: Client,
    job: JobId,
    /// Which answer comes next.
    query: ItemQuery,
    /// Bytes of it that were written already.
    skip: usize,
    patience: Patience,
}

impl Reading {
    /// Whether nothing more will be stored than is stored now; where the job is not followed, that is of no interest.
    async fn has_ended(&mut self, follow: bool) -> Result<bool, ClientError> {
        loop {
            match self.client.job(self.job).await {
                Ok(detail) => {
                    self.patience.restore();
                    return Ok(!follow || detail.job.is_final());
                }
                Err(error) => self.patience.wait(error).await?,
            }
        }
    }

    /// Writes all that is stored by now.
    async fn read_on(&mut self, sink: &mut Lines) -> anyhow::Result<()> {
        loop {
            match self.answer(sink).await {
                Ok(Some(next)) => {
                    self.patience.restore();
                    self.query.after = Some(next);
                    self.skip = 0;
                }
                Ok(None) => return Ok(sink.outlet.flush()?),
                Err(Broken::Gateway(error)) => self.patience.wait(error).await?,
                Err(Broken::Output(error)) => return Err(error.into()),
            }
        }
    }

    /// Writes one answer, but for what was written of it; the cursor of the next one, `None` when there is no more yet.
    async fn answer(&mut self, sink: &mut Lines) -> Result<Option<String>, Broken> {
        let mut items = self.client.items(self.job, &self.query).await?;
        let next = items.next_cursor().map(str::to_owned);
        let mut before = self.skip;
        while let Some(piece) = items.piece().await? {
            let known = before.min(piece.len());
            before -= known;
            sink.write(&piece[known..])?;
            self.skip += piece.len() - known;
        }
        Ok(next)
    }
}

/// Which side an answer broke off on.
#[derive(Debug, thiserror::Error)]
enum Broken {
    #[error(transparent)]
    Gateway(#[from] ClientError),
    #[error(transparent)]
    Output(#[from] OutputError),
}
