//! How far a job is and when it will be done, with how much that may be off.

use schemars::JsonSchema;
use serde::Serialize;
use tidegate_contracts::WaitReason;
use tidegate_ledger::{JobRow, Pace, StepRow, Waiting};

use crate::shape::{Rate, Shape};
use crate::work::work;

/// Pages stored lately that are enough to believe the pace they came at.
const PAGES_BELIEVED: u64 = 20;
/// A pace may be off by so much, either way, beside what differs between lately and overall.
const PACE_ERROR: f64 = 0.15;
/// A pace that nobody knows yet may be off so many times, either way.
const PACE_UNKNOWN: f64 = 3.0;
/// Farther in the future than anybody plans: ten years, in ms. What is beyond is not told.
const FAR_MS: f64 = 10.0 * 365.0 * 86_400_000.0;

/// What is known of a job now.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// The job.
    pub job: &'a JobRow,
    /// Counters by step.
    pub steps: &'a [StepRow],
    /// What its parked calls wait for.
    pub waiting: &'a [Waiting],
    /// When its last pages were stored.
    pub pace: Option<Pace>,
    /// Its steps, and its provider's limits.
    pub shape: &'a Shape,
    /// Unix ms.
    pub now_ms: i64,
}

/// What an estimate rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The job is finished.
    Finished,
    /// The job is paused, or its credential parked: it ends at no time.
    Paused,
    /// Nothing has ended yet: there is no pace.
    Nothing,
    /// The pace of late, and calls that are all planned.
    Counted,
    /// The pace of late, and calls that are planned, and such as are expected to follow like those before.
    Expected,
    /// A list does not tell its length: as much is expected to follow as was seen.
    UnknownLength,
    /// The due times of calls that wait for a limit.
    Limit,
}

/// How far a job is, and when it will be done.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
pub struct Estimate {
    /// Part of all calls that has ended, 0 to 1; those that are not unfolded yet are estimated.
    pub fraction: f64,
    /// When it will be done, Unix ms; none while that can't be told.
    pub eta_ms: Option<i64>,
    /// Hardly before then, Unix ms.
    pub eta_low_ms: Option<i64>,
    /// Hardly after then, Unix ms; none where nothing bounds it.
    pub eta_high_ms: Option<i64>,
    /// What it rests on.
    pub basis: Basis,
}

/// How far the job is, and when it will be done.
#[must_use]
pub fn estimate(facts: &Facts<'_>) -> Estimate {
    let counts = &facts.job.counts;
    let none = |fraction, basis| Estimate { fraction, eta_ms: None, eta_low_ms: None, eta_high_ms: None, basis };
    if facts.job.state.is_final() {
        return none(1.0, Basis::Finished);
    }
    let ended = counts.calls_planned.saturating_sub(counts.calls_open) as f64;
    let all = work(facts.shape, facts.steps);
    let left = all.calls.map(|calls| (calls - ended).max(counts.calls_open as f64));
    let fraction = if ended > 0.0 { (ended / (ended + left.mid)).clamp(0.0, 1.0) } else { 0.0 };
    if facts.job.paused_at_ms.is_some() || facts.job.parked.is_some() {
        return none(fraction, Basis::Paused);
    }
    let Some(pace) = paces(facts, ended) else { return none(fraction, Basis::Nothing) };
    let mut in_ms = [left.low / pace.high, left.mid / pace.mid, left.high / pace.low];
    let mut basis = match () {
        () if all.unknown => Basis::UnknownLength,
        () if all.calls.mid - counts.calls_planned as f64 > 0.5 => Basis::Expected,
        () => Basis::Counted,
    };
    if let Some(limited) = by_limit(facts, [left.low, left.mid, left.high], ended) {
        // What waits for a limit is due then and not before; what is faster beside it helps little.
        in_ms = [in_ms[0].max(limited[0]).min(limited[1]), limited[1], in_ms[2].max(limited[2])];
        basis = if all.unknown { Basis::UnknownLength } else { Basis::Limit };
    }
    let at = |ms: f64| (ms <= FAR_MS).then(|| facts.now_ms.saturating_add(ms.round() as i64));
    let eta_high_ms = if all.unknown { None } else { at(in_ms[2]) };
    Estimate { fraction, eta_ms: at(in_ms[1]), eta_low_ms: at(in_ms[0]), eta_high_ms, basis }
}

/// Calls that end in a millisecond.
struct Paces {
    low: f64,
    mid: f64,
    high: f64,
}

/// The pace of late where it is known, and the one overall; where the two differ much, what is between.
fn paces(facts: &Facts<'_>, ended: f64) -> Option<Paces> {
    let since_ms = facts.job.started_at_ms.unwrap_or(facts.job.submitted_at_ms);
    if ended <= 0.0 {
        return None;
    }
    let overall = ended / ((facts.now_ms - since_ms).max(1) as f64);
    let of_late = facts.pace.filter(|pace| pace.pages >= PAGES_BELIEVED && pace.since_ms < facts.now_ms);
    let Some(of_late) = of_late.map(|pace| pace.pages as f64 / (facts.now_ms - pace.since_ms) as f64) else {
        let few = 1.0 + (PACE_UNKNOWN - 1.0) / ended.sqrt();
        return Some(Paces { low: overall / few, mid: overall, high: overall * few });
    };
    let (slower, faster) = (overall.min(of_late), overall.max(of_late));
    // A burst between two waits says nothing of what follows; a start that was slow neither.
    let mid = if faster > 2.0 * slower { (overall * of_late).sqrt() } else { of_late };
    Some(Paces { low: slower * (1.0 - PACE_ERROR), mid, high: faster * (1.0 + PACE_ERROR) })
}

/// In how many ms the job is done by the limit that most of its calls wait for: low, expected and high.
fn by_limit(facts: &Facts<'_>, left: [f64; 3], ended: f64) -> Option<[f64; 3]> {
    let most = facts.waiting.iter().max_by_key(|waiting| waiting.calls)?;
    let WaitReason::Limit(limit) = &most.reason else { return None };
    let out = facts.job.counts.calls_released.max(1);
    // A few calls that wait for something tell nothing of the others.
    if most.calls * 4 < out {
        return None;
    }
    let first = (most.until_ms - facts.now_ms).max(0) as f64;
    let last = (most.last_until_ms - facts.now_ms).max(0) as f64;
    if let Some(Rate { calls, per_ms }) = facts.shape.rates.get(limit).copied().filter(|rate| rate.calls > 0.0) {
        // Of each period its calls go out early on; the last one is over as soon as they have.
        let full = |left: f64| first + ((left / calls).ceil() - 1.0).max(0.0) * per_ms;
        let [low, mid, high] = left;
        return Some([full(low), full(mid).max(last), (full(high) + per_ms).max(last)]);
    }
    let since_ms = facts.job.started_at_ms.unwrap_or(facts.job.submitted_at_ms);
    if last > first + 1_000.0 {
        // They are due one after the other: so fast does the limit let them go.
        let pace = most.calls as f64 / last;
        return Some(left.map(|left| (left / pace).max(last)));
    }
    // They are due together, when a period begins anew; by then so many will have ended since the beginning.
    let period = (most.until_ms - since_ms).max(1) as f64;
    let [low, mid, high] = left.map(|left| (left / ended.max(1.0) * period).max(0.0));
    Some([first, first + (mid - period / 2.0).max(0.0).max(low.min(mid) - period), first + high])
}

#[cfg(test)]
mod tests {
    use tidegate_contracts::{Class, JobId, Lane};
    use tidegate_ledger::{JobCounts, JobState};

    use super::*;
    use crate::shape::StepShape;

    const NOW: i64 = 1_800_000_000_000;

    fn job(planned: u64, open: u64, since_ms: i64) -> JobRow {
        JobRow {
            id: JobId::new(),
            tenant: "a".into(),
            name: "a job".into(),
            provider: "mastodon".into(),
            lane: Lane::Normal,
            lane_asked: None,
            state: JobState::Running,
            extend: false,
            reason: None,
            submitted_at_ms: since_ms,
            started_at_ms: Some(since_ms),
            finished_at_ms: None,
            paused_at_ms: None,
            parked: None,
            pruned_at_ms: None,
            counts: JobCounts {
                calls_planned: planned,
                calls_open: open,
                calls_released: open,
                ..JobCounts::default()
            },
        }
    }

    fn step(step: &str, fetches: (u64, u64), calls: (u64, u64, u64), items: u64) -> StepRow {
        StepRow {
            step: step.into(),
            fetches: fetches.0,
            fetches_done: 0,
            fetches_paged: fetches.1,
            calls_planned: calls.0,
            calls_open: calls.1,
            calls_failed: 0,
            calls_skipped: 0,
            calls_paged: calls.2,
            left_out: 0,
            items,
            guards: vec![],
        }
    }

    fn shape() -> Shape {
        let step = |id: &str, above: Option<&str>| StepShape { id: id.into(), for_each: above.map(str::to_owned) };
        Shape { steps: vec![step("a", None), step("b", Some("a"))], ..Shape::default() }
    }

    #[test]
    fn what_is_all_planned_is_counted_and_ends_at_the_pace_of_late() {
        let (job, steps) = (job(1_000, 500, NOW - 50_000), [step("a", (1, 0), (1_000, 500, 0), 0)]);
        let shape = Shape { steps: vec![shape().steps[0].clone()], ..Shape::default() };
        let pace = Some(Pace { pages: 100, since_ms: NOW - 10_000 });
        let told = estimate(&Facts { job: &job, steps: &steps, waiting: &[], pace, shape: &shape, now_ms: NOW });
        assert_eq!((told.fraction, told.eta_ms, told.basis), (0.5, Some(NOW + 50_000), Basis::Counted));
        assert!(told.eta_low_ms < told.eta_ms && told.eta_ms < told.eta_high_ms);
    }

    #[test]
    fn what_is_not_unfolded_yet_is_expected_to_be_like_what_is() {
        // Two of four pages of ten items; of each item a fetch of three pages.
        let steps = [step("a", (1, 0), (4, 2, 0), 20), step("b", (20, 20), (60, 0, 60), 0)];
        let (job, shape) = (job(64, 2, NOW - 62_000), shape());
        let told = estimate(&Facts { job: &job, steps: &steps, waiting: &[], pace: None, shape: &shape, now_ms: NOW });
        assert_eq!((told.fraction, told.basis), (0.5, Basis::Expected), "124 calls in all");
        assert_eq!(told.eta_ms, Some(NOW + 62_000));
    }

    #[test]
    fn a_chain_that_tells_no_length_has_no_latest_end() {
        let (job, steps) = (job(11, 1, NOW - 10_000), [step("a", (1, 0), (11, 1, 0), 100)]);
        let shape = Shape { steps: vec![shape().steps[0].clone()], ..Shape::default() };
        let told = estimate(&Facts { job: &job, steps: &steps, waiting: &[], pace: None, shape: &shape, now_ms: NOW });
        assert_eq!((told.fraction, told.basis), (0.5, Basis::UnknownLength));
        assert!(told.eta_low_ms < told.eta_ms && told.eta_high_ms.is_none());
    }

    #[test]
    fn calls_that_wait_for_a_limit_end_no_sooner_than_it_lets_them() {
        let (job, steps) = (job(1_000, 700, NOW - 3_000), [step("a", (1, 0), (1_000, 700, 0), 0)]);
        let reason = WaitReason::Limit("token".into());
        let waiting = [Waiting { reason, calls: 700, until_ms: NOW + 57_000, last_until_ms: NOW + 57_000 }];
        let mut shape = Shape { steps: vec![shape().steps[0].clone()], ..Shape::default() };
        shape.rates.insert("token".into(), Rate { calls: 300.0, per_ms: 60_000.0 });
        let facts = Facts { job: &job, steps: &steps, waiting: &waiting, pace: None, shape: &shape, now_ms: NOW };
        let told = estimate(&facts);
        assert_eq!((told.eta_ms, told.basis), (Some(NOW + 57_000 + 120_000), Basis::Limit), "three more windows");
        let unknown = Shape { rates: Default::default(), ..shape.clone() };
        let told = estimate(&Facts { shape: &unknown, ..facts });
        assert!(told.eta_low_ms.is_some_and(|low| low >= NOW + 57_000), "{told:?}");
        let backoff = [Waiting { reason: WaitReason::Backoff(Class::Timeout), ..waiting[0].clone() }];
        assert_eq!(estimate(&Facts { waiting: &backoff, ..facts }).basis, Basis::Counted);
    }

    #[test]
    fn a_job_of_which_nothing_ended_or_that_is_paused_or_done_has_no_end_to_tell() {
        let told = |job: &JobRow| {
            let (steps, shape) = ([step("a", (1, 0), (1, 1, 0), 0)], shape());
            estimate(&Facts { job, steps: &steps, waiting: &[], pace: None, shape: &shape, now_ms: NOW })
        };
        let new = job(1, 1, NOW);
        assert_eq!((told(&new).fraction, told(&new).eta_ms, told(&new).basis), (0.0, None, Basis::Nothing));
        let paused = JobRow { paused_at_ms: Some(NOW), ..job(10, 5, NOW - 10) };
        assert_eq!((told(&paused).eta_ms, told(&paused).basis), (None, Basis::Paused));
        let done = JobRow { state: JobState::Failed, ..new };
        assert_eq!((told(&done).fraction, told(&done).basis), (1.0, Basis::Finished));
    }
}
