//! What was foretold of jobs, against what came; and jobs that have stalled. Pure: times are arguments.

use std::collections::{BTreeMap, HashMap};

use tidegate_contracts::{JobId, Lane};
use tidegate_ledger::JobRow;

/// Most estimates that are kept of a job; beyond, every second one is let go, and fewer are taken.
const ESTIMATES_MAX: usize = 64;

/// What is known of jobs that run.
#[derive(Debug, Default)]
pub(crate) struct Foresight(HashMap<JobId, Seen>);

/// A job, as it was seen.
#[derive(Debug, Default)]
struct Seen {
    /// When was said when it would be done, Unix ms both, in order.
    estimates: Vec<(i64, i64)>,
    /// From one of them to the next, at least, ms.
    gap_ms: i64,
    /// Calls that had ended, and since when, Unix ms.
    ended: u64,
    since_ms: i64,
}

/// How far an estimate was off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Miss {
    /// As a part of the job's whole time.
    pub(crate) part: f64,
    /// Whether the job ended before it was foretold to.
    pub(crate) earlier: bool,
}

impl Foresight {
    /// These jobs run, and no others: what is known of others is forgotten.
    pub(crate) fn run(&mut self, jobs: &[JobRow], now_ms: i64) {
        let mut before = std::mem::take(&mut self.0);
        for job in jobs {
            let ended = job.counts.calls_planned.saturating_sub(job.counts.calls_open);
            let mut seen =
                before.remove(&job.id).unwrap_or_else(|| Seen { ended, since_ms: now_ms, ..Seen::default() });
            let is_held = job.paused_at_ms.is_some() || job.parked.is_some();
            if seen.ended != ended || is_held {
                (seen.ended, seen.since_ms) = (ended, now_ms);
            }
            self.0.insert(job.id, seen);
        }
    }

    /// Of those jobs the ones in which nothing has ended for so long; whether their calls wait, somebody else knows.
    pub(crate) fn quiet<'a>(&self, jobs: &'a [JobRow], for_ms: i64, now_ms: i64) -> Vec<&'a JobRow> {
        let is_quiet = |job: &&JobRow| self.0.get(&job.id).is_some_and(|seen| now_ms - seen.since_ms >= for_ms);
        jobs.iter().filter(is_quiet).collect()
    }

    /// The job's calls wait, so it is no wonder that none ends.
    pub(crate) fn waits(&mut self, job: JobId, now_ms: i64) {
        if let Some(seen) = self.0.get_mut(&job) {
            seen.since_ms = now_ms;
        }
    }

    /// The job was said to be done at `eta_ms`.
    pub(crate) fn foretold(&mut self, job: JobId, eta_ms: i64, now_ms: i64) {
        let Some(seen) = self.0.get_mut(&job) else { return };
        if seen.estimates.last().is_some_and(|(last_ms, _)| now_ms - last_ms < seen.gap_ms) {
            return;
        }
        seen.estimates.push((now_ms, eta_ms));
        if seen.estimates.len() >= ESTIMATES_MAX {
            let mut keep = false;
            seen.estimates.retain(|_| {
                keep = !keep;
                keep
            });
            let first_ms = seen.estimates.first().map_or(now_ms, |(first_ms, _)| *first_ms);
            seen.gap_ms = (now_ms - first_ms) / seen.estimates.len().max(1) as i64;
        }
    }

    /// How far off the last estimate before half of its time was, of a job that has finished.
    pub(crate) fn finished(&mut self, job: &JobRow) -> Option<Miss> {
        let (seen, finished_ms) = (self.0.remove(&job.id)?, job.finished_at_ms?);
        let started_ms = job.started_at_ms.unwrap_or(job.submitted_at_ms);
        let whole_ms = finished_ms - started_ms;
        let half_ms = started_ms + whole_ms / 2;
        let (_, eta_ms) = seen.estimates.into_iter().rfind(|(at_ms, _)| *at_ms <= half_ms)?;
        let part = (finished_ms - eta_ms).abs() as f64 / whole_ms.max(1) as f64;
        Some(Miss { part, earlier: finished_ms < eta_ms })
    }
}

/// How many jobs of each provider and lane.
pub(crate) fn by_lane<'a>(jobs: impl IntoIterator<Item = &'a JobRow>) -> BTreeMap<(String, Lane), u64> {
    let mut counts = BTreeMap::new();
    for job in jobs {
        *counts.entry((job.provider.clone(), job.lane)).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use tidegate_ledger::{JobCounts, JobState};

    use super::*;

    fn job(id: JobId, ended: u64) -> JobRow {
        JobRow {
            id,
            tenant: "a".into(),
            name: "a job".into(),
            provider: "acme".into(),
            lane: Lane::Normal,
            lane_asked: None,
            state: JobState::Running,
            extend: false,
            reason: None,
            submitted_at_ms: 0,
            started_at_ms: Some(1_000),
            finished_at_ms: None,
            paused_at_ms: None,
            parked: None,
            pruned_at_ms: None,
            counts: JobCounts { calls_planned: 100, calls_open: 100 - ended, ..JobCounts::default() },
        }
    }

    #[test]
    fn the_last_estimate_before_half_time_is_held_against_the_truth() {
        for (eta_ms, part, earlier) in [(11_000, 0.0, false), (12_000, 0.1, true), (6_000, 0.5, false)] {
            let (mut foresight, id) = (Foresight::default(), JobId::new());
            foresight.run(&[job(id, 0)], 0);
            for (at_ms, eta_ms) in [(2_000, 99_000), (5_900, eta_ms), (6_100, 77_000)] {
                foresight.foretold(id, eta_ms, at_ms);
            }
            let ended = JobRow { finished_at_ms: Some(11_000), ..job(id, 100) };
            assert_eq!(foresight.finished(&ended), Some(Miss { part, earlier }));
            assert_eq!(foresight.finished(&ended), None, "it counts once");
        }
    }

    #[test]
    fn a_job_that_was_not_looked_at_before_its_half_counts_nowhere() {
        let (mut foresight, id) = (Foresight::default(), JobId::new());
        foresight.run(&[job(id, 0)], 0);
        foresight.foretold(id, 10_000, 9_000);
        assert_eq!(foresight.finished(&JobRow { finished_at_ms: Some(11_000), ..job(id, 100) }), None);
    }

    #[test]
    fn however_long_a_job_runs_few_estimates_are_kept_and_one_near_its_half_is() {
        let (mut foresight, id) = (Foresight::default(), JobId::new());
        foresight.run(&[job(id, 0)], 0);
        for at in 1..=10_000 {
            foresight.foretold(id, 2 * at * 1_000, at * 1_000);
        }
        assert!(foresight.0[&id].estimates.len() <= ESTIMATES_MAX);
        let ended = JobRow { started_at_ms: Some(0), finished_at_ms: Some(10_000_000), ..job(id, 100) };
        let miss = foresight.finished(&ended).expect("it was looked at");
        assert!(miss.part < 0.1, "{miss:?}");
    }

    #[test]
    fn a_job_is_quiet_when_nothing_of_it_has_ended_for_so_long_and_it_is_not_held() {
        let (mut foresight, id) = (Foresight::default(), JobId::new());
        let quiet = |foresight: &Foresight, jobs: &[JobRow], now_ms| foresight.quiet(jobs, 1_000, now_ms).len();
        let stands = [job(id, 5)];
        foresight.run(&stands, 0);
        foresight.run(&stands, 999);
        assert_eq!((quiet(&foresight, &stands, 999), quiet(&foresight, &stands, 1_000)), (0, 1));
        foresight.waits(id, 1_000);
        assert_eq!(quiet(&foresight, &stands, 1_999), 0);
        foresight.run(&[job(id, 6)], 2_000);
        assert_eq!((quiet(&foresight, &stands, 2_999), quiet(&foresight, &stands, 3_000)), (0, 1));
        let held = [JobRow { paused_at_ms: Some(1), ..job(id, 6) }];
        foresight.run(&held, 3_000);
        assert_eq!(quiet(&foresight, &held, 3_500), 0);
        foresight.run(&[], 4_000);
        assert!(foresight.0.is_empty(), "what runs no more is forgotten");
    }
}
