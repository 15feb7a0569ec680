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
/// after 30 s, each 2 s sooner or later, for 45 s in all: what was used of all that was allowed, and what was refused. The runner of
/// the peers' benchmark does the same, to the second; here a change meets any part of a cycle.
pub(crate) fn sudden(seed: u64, answer_ms: f64) -> (f64, f64) {
    let learner = Learner::new(&Learn { start_per_s: 50.0, ..Learn::default() });
    let mut drive = Drive::new(learner, Hidden::bucket(100.0, 20.0), answer_ms, Chance::new(seed));
    let mut chance = Chance::new(seed + 5_000_000);
    let (down_ms, up_ms) = (13e3 + 4e3 * chance.even(), 28e3 + 4e3 * chance.even());
    let mut allowed = 20.0;
    for (factor, ms) in [(1.0, down_ms), (0.5, up_ms - down_ms), (3.0, 45e3 - up_ms)] {
        drive.hidden.change(factor);
        drive.run(ms);
        allowed += drive.hidden.per_s() * ms / 1e3;
    }
    (drive.count.accepted as f64 / allowed, drive.count.refused_share())
}

/// Buckets of 20 to 300 calls a second and bursts of 5 to 60, begun at 0.2 to 1 times that, for 90 s: each 10 to 40 s they allow 0.3
/// to 4 times what they did. What was used and what was refused, as above.
pub(crate) fn drawn(seed: u64, answer_ms: f64) -> (f64, f64) {
    let mut chance = Chance::new(seed);
    let (per_s, burst) = (chance.ratio(20.0, 300.0), chance.ratio(5.0, 60.0).floor());
    let learner = Learner::new(&Learn { start_per_s: per_s * chance.ratio(0.2, 1.0), ..Learn::default() });
    let mut drive = Drive::new(learner, Hidden::bucket(per_s, burst), answer_ms, Chance::new(seed + 1_000_000));
    let (mut left_s, mut allowed) = (90.0, burst);
    while left_s > 0.0 {
        let for_s = chance.ratio(10.0, 40.0).min(left_s);
        drive.run(for_s * 1e3);
        let now_per_s = drive.hidden.per_s();
        allowed += now_per_s * for_s;
        left_s -= for_s;
        drive.hidden.change((now_per_s * chance.ratio(0.3, 4.0)).clamp(10.0, 600.0) / now_per_s);
    }
    (drive.count.accepted as f64 / allowed, drive.count.refused_share())
}

/// Says how runs of such a kind went, with answers in so many ms.
fn say(name: &str, run: fn(u64, f64) -> (f64, f64), answer_ms: f64) {
    let runs: Vec<(f64, f64)> = (0..100).map(|seed| run(seed, answer_ms)).collect();
    let met = runs.iter().filter(|(used, refused)| *used >= 0.95 && *refused <= 0.01).count();
    let sorted = |of: fn(&(f64, f64)) -> f64| {
        let mut sorted: Vec<f64> = runs.iter().map(|run| of(run) * 100.0).collect();
        sorted.sort_by(f64::total_cmp);
        sorted
    };
    let (used, refused) = (sorted(|run| run.0), sorted(|run| run.1));
    let mean = |sorted: &[f64]| sorted.iter().sum::<f64>() / sorted.len() as f64;
    println!(
        "{name}, answers in {answer_ms} ms, {met} of 100 runs well: used mean {:.1} %, a tenth below {:.1} %, least {:.1} %; \
         refused mean {:.2} %, a tenth above {:.2} %, most {:.2} %",
        mean(&used),
        used[10],
        used[0],
        mean(&refused),
        refused[89],
        refused[99],
    );
}

pub(crate) fn check() {
    for answer_ms in [2.0, 5.0, 15.0, 50.0] {
        say("bucket 100/s, 50/s after 15 s, 150/s after 30 s", sudden, answer_ms);
    }
    for answer_ms in [2.0, 5.0, 15.0, 50.0] {
        say("drawn buckets", drawn, answer_ms);
    }
    for Adapted { name, down_s, up_s, window_s, refused } in all() {
        println!("{name}: down in {down_s} s, up in {up_s} s (window {window_s} s); {:.2} % refused", refused * 100.0);
    }
}
