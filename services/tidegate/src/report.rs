//! What a job came to, for people and as JSON.

use std::fmt::Write;

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use tidegate_ledger::{FailureGroup, JobRow, JobState, StepRow};

/// Groups of failures shown.
pub(crate) const FAILURES_SHOWN: u32 = 20;

/// What a job came to.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The job.
    #[serde(flatten)]
    pub(crate) job: JobRow,
    /// By step.
    pub(crate) steps: Vec<StepRow>,
    /// Failed and skipped calls, grouped.
    pub(crate) failures: Vec<FailureGroup>,
    /// By this process alone.
    pub(crate) run: RunFigures,
}

/// What this process did.
#[derive(Debug, Default, Serialize)]
pub(crate) struct RunFigures {
    /// How long it ran.
    pub(crate) seconds: f64,
    /// Requests it sent.
    pub(crate) requests: u64,
    /// Requests that limits refused.
    pub(crate) refused: u64,
    /// Bytes of answers on the wire.
    pub(crate) wire_bytes: u64,
    /// Items written to the output.
    pub(crate) written: Option<u64>,
    /// Items left out of the output because they came before, by key.
    pub(crate) duplicates: u64,
    /// Where they were written to.
    pub(crate) output: Option<String>,
    /// Where everything is kept.
    pub(crate) state: String,
}

impl Report {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a String never fails.
        let _ = self.write(&mut text);
        text
    }

    fn write(&self, to: &mut String) -> std::fmt::Result {
        let (job, run) = (&self.job, &self.run);
        let refused =
            if run.refused > 0 { format!(", {} refused by limits", HumanCount(run.refused)) } else { String::new() };
        writeln!(
            to,
            "{} {}: {} items by {} calls in {:.1} s ({} requests, {}{refused})",
            job.name,
            state(job.state),
            HumanCount(job.counts.items),
            HumanCount(job.counts.calls_succeeded),
            run.seconds,
            HumanCount(run.requests),
            HumanBytes(run.wire_bytes),
        )?;
        for step in &self.steps {
            writeln!(
                to,
                "  {:<16} {:>9} items  {:>7} fetches  {:>7} pages{}{}",
                step.step,
                HumanCount(step.items).to_string(),
                HumanCount(step.fetches).to_string(),
                HumanCount(step.calls_planned - step.calls_open).to_string(),
                counted(step.calls_failed, "failed"),
                counted(step.calls_skipped, "skipped"),
            )?;
            for (guard, fetches) in &step.guards {
                writeln!(to, "    {} by guard {guard}: the list may not be whole", counted_fetches(*fetches))?;
            }
        }
        if let Some(reason) = &job.reason {
            writeln!(to, "  stopped: {reason}")?;
        }
        for group in &self.failures {
            let status = group.status.map(|status| format!(" {status}")).unwrap_or_default();
            writeln!(
                to,
                "  {} {}: {} {}{status}: {} (for example {})",
                HumanCount(group.calls),
                group.state,
                group.step,
                group.class,
                group.message,
                group.example,
            )?;
        }
        if run.duplicates > 0 {
            writeln!(to, "  {} items came more than once and were written once", HumanCount(run.duplicates))?;
        }
        if let (Some(written), Some(output)) = (run.written, &run.output) {
            writeln!(to, "  {} items in {output}", HumanCount(written))?;
        }
        write!(to, "  state: {}", run.state)
    }
}

fn counted(calls: u64, what: &str) -> String {
    if calls > 0 { format!("  {} {what}", HumanCount(calls)) } else { String::new() }
}

fn counted_fetches(fetches: u64) -> String {
    if fetches == 1 { "1 fetch stopped".to_owned() } else { format!("{} fetches stopped", HumanCount(fetches)) }
}

fn state(state: JobState) -> &'static str {
    match state {
        JobState::Submitted | JobState::Running => "is not done yet",
        JobState::Succeeded => "is done",
        JobState::Failed => "failed",
        JobState::Cancelled => "was cancelled",
    }
}
