//! Calls that ask, wait and are made, in simulated time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use tidegate_limits::{By, Charge, Decision, Limiter, Permit, Question, Rate, Report, Told};

const START_MS: i64 = 1_700_000_000_000;
const LATENCY_MS: i64 = 50;
/// Calls that may be out of all jobs of a provider and lane, and of one, as the tracker has it.
const OUT: (usize, usize) = (8_192, 256);

/// A job to be.
pub(crate) struct Job {
    pub(crate) lane: u8,
    pub(crate) begin_ms: i64,
    pub(crate) calls: u32,
}

/// What came of it.
pub(crate) struct Done {
    /// For each job, from its beginning to its last answer; 0 where it was not waited for.
    pub(crate) took_ms: Vec<i64>,
    /// Calls granted by then.
    pub(crate) granted: u64,
    /// Questions asked by then.
    pub(crate) asked: u64,
    pub(crate) until_ms: i64,
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Next {
    /// The call of a permit is answered.
    Answer(u64),
    /// A call asks, perhaps after it has waited.
    Ask(bool),
}

/// Drives jobs over one limit until those of `wanted` are done. Who comes at the same time comes in random order.
pub(crate) fn drive(rate: &Rate, jobs: &[Job], in_turns: bool, wanted: Range<usize>) -> Done {
    let mut limiter = Limiter::default();
    let (mut chance, mut granted, mut asked) = (7_u64, 0, 0);
    let mut took_ms = vec![0; jobs.len()];
    let mut left: Vec<(u32, u32)> = jobs.iter().map(|job| (job.calls, job.calls)).collect();
    let mut events = BinaryHeap::new();
    let mut draw = || {
        chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        chance >> 33
    };
    let out = (OUT.0 / jobs.len()).clamp(8, OUT.1);
    for (number, job) in jobs.iter().enumerate() {
        for _ in 0..out.min(job.calls as usize) {
            left[number].0 -= 1;
            events.push(Reverse((START_MS + job.begin_ms, draw(), Next::Ask(false), number)));
        }
    }
    while let Some(Reverse((now_ms, _, next, number))) = events.pop() {
        let job = &jobs[number];
        match next {
            Next::Answer(id) => {
                let permit = Permit::new(id, vec!["limit".to_owned()]);
                limiter.report(
                    now_ms,
                    &Report { permit, sent: true, answer: Some(Told::default()), health: None, took_us: None },
                );
                left[number].1 -= 1;
                if left[number].1 == 0 {
                    took_ms[number] = now_ms - START_MS - job.begin_ms;
                    if wanted.clone().all(|number| left[number].1 == 0) {
                        return Done { took_ms, granted, asked, until_ms: now_ms - START_MS };
                    }
                }
                if left[number].0 > 0 {
                    left[number].0 -= 1;
                    events.push(Reverse((now_ms, draw(), Next::Ask(false), number)));
                }
            }
            Next::Ask(has_waited) => {
                asked += 1;
                let charge = Charge {
                    limit: "limit".to_owned(),
                    key: "limit".to_owned(),
                    rate: rate.clone(),
                    cost: 1,
                    headroom: None,
                };
                let by = By {
                    lane: job.lane,
                    tenant: "one".to_owned(),
                    job: number.to_string(),
                    credential: None,
                    waited_for: has_waited.then(|| "limit".to_owned()),
                };
                let question = Question { by: in_turns.then_some(by), ..Question::new(vec![charge]) };
                match limiter.decide(now_ms, &question) {
                    Decision::Granted(permit) => {
                        granted += 1;
                        events.push(Reverse((now_ms + LATENCY_MS, draw(), Next::Answer(permit.id), number)));
                    }
                    Decision::Wait { until_ms, .. } => {
                        events.push(Reverse((until_ms, draw(), Next::Ask(true), number)));
                    }
                }
            }
        }
    }
    Done { took_ms, granted, asked, until_ms: 0 }
}
