//! What a terminal shows of a watched job: how it stands, its steps, its provider's limits, and what happened last.

use std::collections::VecDeque;

use indicatif::HumanCount;
use tidegate_client::{Job, JobDetail, JobEvent, Step, Wait};
use tidegate_limits::Usage;

use super::jobs::line;
use crate::live::progress;
use crate::table::time;

/// Lines of what happened that stay.
const LOG_LINES: usize = 8;
/// Limits that are shown, those that are used most first.
const LIMITS_SHOWN: usize = 6;
/// Characters of a full bar.
const BAR_CHARS: u64 = 20;

/// What was seen of a job, for what is new to be told.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    state: String,
    failed: u64,
    waits_for: Option<String>,
}

/// Remembers what happened.
#[derive(Debug, Default)]
pub(super) struct Screen {
    seen: Option<Seen>,
    log: VecDeque<String>,
}

impl Screen {
    /// What has happened since the event before, a line each; nothing where only counters moved.
    pub(super) fn news(&mut self, event: &JobEvent, now_ms: i64) -> Vec<String> {
        let waits_for = event.waiting.first().map(|wait| wait.reason.clone());
        let seen = Seen { state: state(&event.job).to_owned(), failed: event.job.counts.calls_failed, waits_for };
        let before = self.seen.take().unwrap_or_default();
        let mut news = Vec::new();
        if seen.state != before.state {
            news.push(seen.state.clone());
        }
        if seen.failed > before.failed {
            news.push(format!("{} failed", calls(seen.failed - before.failed)));
        }
        match event.waiting.first() {
            Some(wait) if seen.waits_for != before.waits_for => news.push(waits(wait)),
            None if before.waits_for.is_some() && !event.job.is_final() => news.push("nothing waits".to_owned()),
            _ => {}
        }
        self.seen = Some(seen);
        let news: Vec<_> = news.into_iter().map(|text| format!("{}  {text}", time(now_ms))).collect();
        self.log.extend(news.iter().cloned());
        while self.log.len() > LOG_LINES {
            self.log.pop_front();
        }
        news
    }

    /// All of it.
    pub(super) fn text(&self, event: &JobEvent, detail: Option<&JobDetail>, limits: &[Usage], now_ms: i64) -> String {
        let mut lines = vec![line(&event.job)];
        let told = event.progress.as_ref().and_then(|told| progress(told.fraction, told.eta_ms, now_ms));
        lines.extend(told.map(|told| format!("  {told}")));
        lines.extend(event.waiting.first().map(|wait| format!("  {}", waits(wait))));
        lines.extend(detail.iter().flat_map(|detail| &detail.steps).map(step));
        let mut limits: Vec<_> =
            limits.iter().filter_map(|usage| Some((usage, usage.size.filter(|size| *size > 0)?))).collect();
        limits.sort_by(|(one, size), (other, of)| {
            (other.used * size).cmp(&(one.used * of)).then(one.key.cmp(&other.key))
        });
        if !limits.is_empty() {
            lines.push("limits".to_owned());
            lines.extend(limits.into_iter().take(LIMITS_SHOWN).map(|(usage, size)| limit(usage, size, now_ms)));
        }
        lines.push("log".to_owned());
        lines.extend(self.log.iter().map(|line| format!("  {line}")));
        lines.join("\n")
    }
}

fn state(job: &Job) -> &str {
    if job.paused_at_ms.is_some() { "paused" } else { &job.state }
}

fn calls(number: u64) -> String {
    format!("{number} {}", if number == 1 { "call" } else { "calls" })
}

fn waits(wait: &Wait) -> String {
    let wait_or_waits = if wait.calls == 1 { "waits" } else { "wait" };
    format!("{} {wait_or_waits} for {}, until {}", calls(wait.calls), wait.reason, time(wait.until_ms))
}

fn step(step: &Step) -> String {
    let ended = step.calls_planned.saturating_sub(step.calls_open);
    let failed = if step.calls_failed > 0 { format!("  {} failed", step.calls_failed) } else { String::new() };
    format!(
        "  {:<16} {}  {}/{} pages  {} items{failed}",
        step.step,
        bar(ended, step.calls_planned),
        HumanCount(ended),
        HumanCount(step.calls_planned),
        HumanCount(step.items)
    )
}

fn limit(usage: &Usage, size: u64, now_ms: i64) -> String {
    let left_s = usage.resets_at_ms.map(|at_ms| (at_ms - now_ms).max(0) / 1_000);
    let reset = left_s.map(|left_s| format!("  {left_s} s")).unwrap_or_default();
    format!("  {:<16} {}  {}/{size}{reset}", usage.limit, bar(usage.used, size), usage.used)
}

fn bar(done: u64, of: u64) -> String {
    let full = (done.min(of) * BAR_CHARS).checked_div(of).unwrap_or(0) as usize;
    format!("{}{}", "█".repeat(full), "░".repeat(BAR_CHARS as usize - full))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// 2027-01-15 08:00:00 UTC.
    const NOW: i64 = 1_800_000_000_000;

    fn event(state: &str, failed: u64, waiting: &serde_json::Value) -> JobEvent {
        let counts = json!({
            "calls_planned": 10, "calls_open": 4, "calls_released": 4, "calls_succeeded": 6, "calls_skipped": 0,
            "calls_failed": failed, "calls_tolerated": 0, "calls_cancelled": 0, "fetches_planned": 1, "fetches_open": 1,
            "items": 60, "requests": 6,
        });
        serde_json::from_value(json!({
            "id": "job_01890a5d000070008000000000000000", "name": "a job", "provider": "shop", "lane": "normal", "state": state,
            "reason": null, "submitted_at_ms": NOW, "started_at_ms": NOW, "finished_at_ms": null, "counts": counts,
            "progress": { "fraction": 0.6, "eta_ms": NOW + 60_000, "eta_low_ms": null, "eta_high_ms": null, "basis": "counted" },
            "waiting": waiting,
        }))
        .unwrap()
    }

    #[test]
    fn what_happens_is_told_once_and_the_last_of_it_stays() {
        let mut screen = Screen::default();
        let limit =
            json!([{ "reason": "limit token", "calls": 1, "until_ms": NOW + 5_000, "last_until_ms": NOW + 5_000 }]);
        assert_eq!(screen.news(&event("running", 0, &json!([])), NOW), ["2027-01-15T08:00:00Z  running"]);
        assert!(screen.news(&event("running", 0, &json!([])), NOW).is_empty());
        let waits = "2027-01-15T08:00:00Z  1 call waits for limit token, until 2027-01-15T08:00:05Z";
        assert_eq!(screen.news(&event("running", 0, &limit), NOW), [waits]);
        let news = screen.news(&event("running", 2, &json!([])), NOW);
        assert_eq!(news, ["2027-01-15T08:00:00Z  2 calls failed", "2027-01-15T08:00:00Z  nothing waits"]);
        for failed in 3..20 {
            screen.news(&event("running", failed, &json!([])), NOW);
        }
        let text = screen.text(&event("running", 20, &json!([])), None, &[], NOW);
        assert_eq!(text.matches("1 call failed").count(), LOG_LINES, "{text}");
    }

    #[test]
    fn steps_and_the_limits_that_are_used_most_are_drawn() {
        let step = json!({
            "step": "orders", "fetches": 1, "fetches_done": 0, "calls_planned": 10, "calls_open": 5, "calls_failed": 1,
            "calls_skipped": 0, "items": 1_234,
        });
        let event = event("running", 1, &json!([]));
        let mut detail = serde_json::to_value(&event).unwrap();
        detail.as_object_mut().unwrap().extend(json!({ "steps": [step], "failures": [] }).as_object().unwrap().clone());
        let detail: JobDetail = serde_json::from_value(detail).unwrap();
        let usage = |limit: &str, used: u64| -> Usage {
            let json = json!({ "key": format!("{{shop}}/{limit}/"), "limit": limit, "used": used, "size": 20, "resets_at_ms": NOW + 9_000,
                "blocked_until_ms": null });
            serde_json::from_value(json).unwrap()
        };
        let text = Screen::default().text(&event, Some(&detail), &[usage("app", 1), usage("token", 20)], NOW);
        let lines: Vec<_> = text.lines().skip(1).collect();
        let expected = [
            "  60 %, 60 s left",
            "  orders           ██████████░░░░░░░░░░  5/10 pages  1,234 items  1 failed",
            "limits",
            "  token            ████████████████████  20/20  9 s",
            "  app              █░░░░░░░░░░░░░░░░░░░  1/20  9 s",
            "log",
        ];
        assert_eq!(lines, expected);
    }
}
