//! What a job came to, for people and as JSON.

use std::collections::BTreeMap;
use std::fmt::Write;

use indicatif::{HumanBytes, HumanCount};
use serde::Serialize;
use tidegate_gateway::Economy;
use tidegate_ledger::{FailureGroup, JobRow, JobState, NoticeRow, StepRow};
use tidegate_progress::Estimate;

/// Groups of failures shown.
pub(crate) const FAILURES_SHOWN: u32 = 20;

/// What a job came to.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// The job.
    #[serde(flatten)]
    pub(crate) job: JobRow,
    /// How far it is, if it is not finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<Estimate>,
    /// By step.
    pub(crate) steps: Vec<StepRow>,
    /// Calls against the fewest that could do, by step.
    pub(crate) economy: Vec<Economy>,
    /// Failed and skipped calls, grouped.
    pub(crate) failures: Vec<FailureGroup>,
    /// Who was told of its end.
    pub(crate) notifications: Vec<NoticeRow>,
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
    /// Fields that have no column of their own in CSV, and how many items had them; their values are in `_rest`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) left_out: BTreeMap<String, u64>,
    /// The same for people.
    #[serde(skip)]
    pub(crate) note: Option<String>,
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
        if let Some(told) = &self.progress {
            let at_ms = tidegate_daemon::clock::now_ms();
            if let Some(told) = crate::live::progress(told.fraction, told.eta_ms, at_ms) {
                writeln!(to, "  {told}")?;
            }
        }
        for step in &self.steps {
            writeln!(
                to,
                "  {:<16} {:>9} items  {:>7} fetches  {:>7} pages{}{}{}",
                step.step,
                HumanCount(step.items).to_string(),
                HumanCount(step.fetches).to_string(),
                HumanCount(step.calls_planned - step.calls_open).to_string(),
                counted(step.calls_failed, "failed"),
                counted(step.calls_skipped, "skipped"),
                counted(step.left_out, "left out"),
            )?;
            let economy = self.economy.iter().find(|economy| economy.step == step.step);
            if let Some((more, Some(fewest))) = economy.and_then(|economy| Some((economy.more()?, economy.fewest)))
                && more > 0
            {
                writeln!(
                    to,
                    "    {} calls more than the fewest that could do, {}",
                    HumanCount(more),
                    HumanCount(fewest)
                )?;
            }
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
        for told in &self.notifications {
            let last = told.last.as_ref().map(|last| format!(" ({last})")).unwrap_or_default();
            let event = told.event.name();
            writeln!(to, "  told of {event}: {} after {} attempts{last}", told.state, told.attempts)?;
        }
        if run.duplicates > 0 {
            writeln!(to, "  {} items came more than once and were written once", HumanCount(run.duplicates))?;
        }
        if let Some(note) = &run.note {
            writeln!(to, "  {note}")?;
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
