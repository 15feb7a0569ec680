//! Limits that change: halved, and then raised.

use tidegate_limits::learn::{Learn, Learner};

use super::chance::Chance;
use super::drive::{Drive, learner};
use super::hidden::Hidden;

/// Calls are counted over this time to see whether the new limit is used.
const LOOK_MS: f64 = 5e3;

/// How long it takes after a change until 95 % of the new limit are used with at most 3 % refused, s.
#[derive(Debug)]
pub(crate) struct Adapted {
    pub(crate) name: &'static str,
    pub(crate) down_s: f64,
    pub(crate) up_s: f64,
    pub(crate) window_s: f64,
    pub(crate) refused: f64,
}

pub(crate) fn adapt(name: &'static str, hidden: Hidden, up: f64) -> Adapted {
    let window_ms = if matches!(hidden, Hidden::Bucket { .. }) { 0.0 } else { hidden.memory_ms() };
    let mut drive = Drive::new(learner(), hidden, 100.0, Chance::new(7));
    drive.run(1_200e3);
    let down_s = time_after_change(&mut drive, 0.5, window_ms);
    drive.run(600e3);
    let up_s = time_after_change(&mut drive, up, window_ms);
    Adapted { name, down_s, up_s, window_s: window_ms / 1e3, refused: drive.count.refused_share() }
}

fn time_after_change(drive: &mut Drive<tidegate_limits::learn::Learner>, factor: f64, window_ms: f64) -> f64 {
    drive.hidden.change(factor);
    let (changed_ms, look_ms) = (drive.now_ms, LOOK_MS.max(window_ms));
    let step_ms = LOOK_MS;
    let mut counts = vec![drive.count];
    loop {
        drive.run(step_ms);
        counts.push(drive.count);
        let back = (look_ms / step_ms) as usize;
        let took_ms = drive.now_ms - changed_ms;
        if counts.len() > back {
            let count = drive.count.since(counts[counts.len() - 1 - back]);
            let used = count.accepted as f64 * 1e3 / look_ms / drive.hidden.per_s();
            if (used >= 0.95 && count.refused_share() <= 0.03) || took_ms > 3_600e3 {
                // What was looked at began when it had adapted.
                return (took_ms - look_ms) / 1e3;
            }
        }
    }
}

pub(crate) fn all() -> [Adapted; 3] {
    [
        adapt("bucket 100/s, halved, doubled", Hidden::bucket(100.0, 20.0), 2.0),
        adapt("window 1000/10 s, halved, doubled", Hidden::window(1_000, 10e3, Some(0.0)), 2.0),
        adapt("sliding 600/60 s, halved, doubled", Hidden::sliding(600, 60e3, false), 2.0),
    ]
}

/// A bucket of 100 a second and a burst of 20 that nobody knows, begun at 50 a second; halved after 15 s, then three times as much
/// after 30 s, for 45 s in all: what was used of all that was allowed, and what was refused. The runner of the peers' benchmark does the same.
pub(crate) fn sudden(seed: u64, answer_ms: f64) -> (f64, f64) {
    let learner = Learner::new(&Learn { start_per_s: 50.0, ..Learn::default() });
    let mut drive = Drive::new(learner, Hidden::bucket(100.0, 20.0), answer_ms, Chance::new(seed));
    for factor in [1.0, 0.5, 3.0] {
        drive.hidden.change(factor);
        drive.run(15e3);
    }
    (drive.count.accepted as f64 / 4_520.0, drive.count.refused_share())
}

pub(crate) fn check() {
    for answer_ms in [2.0, 5.0, 15.0, 50.0] {
        let runs: Vec<(f64, f64)> = (0..100).map(|seed| sudden(seed, answer_ms)).collect();
        let mean = |of: fn(&(f64, f64)) -> f64| runs.iter().map(of).sum::<f64>() / runs.len() as f64 * 100.0;
        let least = runs.iter().map(|run| run.0).fold(1.0, f64::min) * 100.0;
        let most = runs.iter().map(|run| run.1).fold(0.0, f64::max) * 100.0;
        println!(
            "bucket 100/s, 50/s after 15 s, 150/s after 30 s, answers in {answer_ms} ms, 100 runs of 45 s: \
             {:.1} % used (least {least:.1} %), {:.2} % refused (most {most:.2} %)",
            mean(|run| run.0),
            mean(|run| run.1),
        );
    }
    for Adapted { name, down_s, up_s, window_s, refused } in all() {
        println!("{name}: down in {down_s} s, up in {up_s} s (window {window_s} s); {:.2} % refused", refused * 100.0);
    }
}
