//! Progress for people, on standard error.

use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use tidegate_executor::Gauges;
use tidegate_ledger::{JobRow, StepRow};
use tidegate_progress::{Look, Looker};

use crate::say;

/// Between two lines where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Shows progress: a line that changes on a terminal, a line now and then elsewhere.
pub(crate) struct Live {
    bar: Option<ProgressBar>,
    started: Instant,
    spoke: Instant,
    /// Requests and items at the start: an earlier process may have made some.
    items_before: u64,
    /// Reads how far the job is.
    pub(crate) looker: Looker,
}

/// What is shown.
pub(crate) struct Now<'a> {
    pub(crate) job: &'a JobRow,
    pub(crate) look: &'a Look,
    pub(crate) gauges: &'a Gauges,
    pub(crate) now_ms: i64,
}

impl Live {
    /// `quiet`: shows nothing.
    pub(crate) fn new(quiet: bool, items_before: u64) -> Self {
        let bar = (!quiet).then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(8));
            bar.set_style(
                ProgressStyle::with_template("{spinner} {wide_msg}")
                    .unwrap_or_else(|_| ProgressStyle::default_spinner()),
            );
            bar
        });
        let now = Instant::now();
        Self { bar, started: now, spoke: now, items_before, looker: Looker::default() }
    }

    /// Whether anything is shown at all.
    pub(crate) fn is_shown(&self) -> bool {
        self.bar.is_some()
    }

    /// Shows how things stand.
    pub(crate) fn show(&mut self, now: &Now<'_>) {
        let Some(bar) = &self.bar else { return };
        if bar.is_hidden() {
            if self.spoke.elapsed() >= LINE_EVERY {
                self.spoke = Instant::now();
                say::note(&self.line(now));
            }
            return;
        }
        bar.set_message(self.line(now));
        bar.tick();
    }

    /// Takes the changing line away.
    pub(crate) fn clear(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn line(&self, now: &Now<'_>) -> String {
        let counts = &now.job.counts;
        let seconds = self.started.elapsed().as_secs_f64().max(0.001);
        let rate = (counts.items.saturating_sub(self.items_before)) as f64 / seconds;
        let steps: Vec<String> = now.look.steps.iter().map(step).collect();
        let mut line = format!(
            "{} · {} items ({rate:.0}/s) · {} in flight",
            steps.join(", "),
            HumanCount(counts.items),
            now.gauges.in_flight.load(std::sync::atomic::Ordering::Relaxed),
        );
        if let Some(progress) = progress(now.look.estimate.fraction, now.look.estimate.eta_ms, now.now_ms) {
            line.push_str(" · ");
            line.push_str(&progress);
        }
        if let Some(wait) = wait(now) {
            line.push_str(" · ");
            line.push_str(&wait);
        }
        line
    }
}

fn step(step: &StepRow) -> String {
    let ended = step.calls_planned - step.calls_open;
    let failed = if step.calls_failed > 0 { format!(", {} failed", step.calls_failed) } else { String::new() };
    format!("{} {}/{} pages{failed}", step.step, HumanCount(ended), HumanCount(step.calls_planned))
}

/// How far, and how long it will still take: `37 %, 2 min left`.
pub(crate) fn progress(fraction: f64, eta_ms: Option<i64>, now_ms: i64) -> Option<String> {
    let left = eta_ms.map(|eta_ms| (eta_ms - now_ms).max(0) / 1_000);
    let left = left.map(|seconds| match seconds {
        0..120 => format!(", {seconds} s left"),
        120..7_200 => format!(", {} min left", seconds / 60),
        7_200..172_800 => format!(", {} h left", seconds / 3_600),
        _ => format!(", {} d left", seconds / 86_400),
    });
    (fraction > 0.0).then(|| format!("{:.0} %{}", (fraction * 100.0).floor(), left.unwrap_or_default()))
}

/// What most calls wait for.
fn wait(now: &Now<'_>) -> Option<String> {
    let parked = now.look.waiting.iter().map(|waiting| (waiting.reason.to_string(), waiting.calls, waiting.until_ms));
    let asleep = now.gauges.sleeping();
    let asleep = asleep.iter().map(|(reason, asleep)| (reason.clone(), asleep.calls, asleep.until_ms));
    let (reason, calls, until_ms) = parked.chain(asleep).max_by_key(|(_, calls, _)| *calls)?;
    let seconds = (until_ms - now.now_ms).max(0) / 1_000;
    Some(format!("{calls} calls wait for {reason}, {seconds} s"))
}
