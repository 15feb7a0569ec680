//! Hidden limiters, drawn by chance.

use super::chance::Chance;
use super::drive::{Drive, Pacer, Steady};
use super::hidden::Hidden;

/// One hidden limiter, and how far away it is.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) name: String,
    pub(crate) hidden: Hidden,
    pub(crate) answer_ms: f64,
}

/// 0.3 to 300 calls a second, windows of 1 s to 1 h, bursts of 1 to what 30 s restore, round trips of 20 ms to 1 s; all
/// of them evenly on a scale of ratios.
pub(crate) fn draw(seed: u64) -> Case {
    let mut chance = Chance::new(seed);
    let kind = seed % 4;
    let per_s = chance.ratio(0.3, 300.0);
    let per_ms = chance.ratio(1e3, 3.6e6).max(1e3 / per_s);
    let calls = (per_s * per_ms / 1e3).round().max(1.0);
    let answer_ms = chance.ratio(20.0, 1e3);
    let phase = chance.even();
    let by_clock = chance.even() < 0.5;
    let burst = chance.ratio(1.0, (per_s * 30.0).max(2.0)).floor();
    let each = format!("{calls}/{:.1}s", per_ms / 1e3);
    let (name, hidden) = match kind {
        0 => (format!("bucket {per_s:.2}/s burst {burst}"), Hidden::bucket(per_s, burst)),
        1 => {
            let edge_ms = by_clock.then_some(phase * per_ms);
            let from = if by_clock { "clock" } else { "first call" };
            (format!("window {each} from {from}"), Hidden::window(calls as u64, per_ms, edge_ms))
        }
        2 => (format!("sliding {each}"), Hidden::sliding(calls as u64, per_ms, false)),
        _ => (format!("sliding {each}, refused count"), Hidden::sliding(calls as u64, per_ms, true)),
    };
    let rate = hidden.per_s();
    Case { seed, name: format!("{name} ({rate:.2}/s), answers in {answer_ms:.0} ms"), hidden, answer_ms }
}

impl Case {
    /// What learning may take: three windows, ten minutes or 300 calls, whichever is longest.
    pub(crate) fn warm_up_ms(&self) -> f64 {
        let windows = if matches!(self.hidden, Hidden::Bucket { .. }) { 0.0 } else { 3.0 * self.hidden.memory_ms() };
        windows.max(600e3).max(300e3 / self.hidden.per_s())
    }

    /// What is measured afterwards: ten windows, half an hour or 3,000 calls, whichever is longest.
    pub(crate) fn measured_ms(&self) -> f64 {
        (10.0 * self.hidden.memory_ms()).max(1_800e3).max(3_000e3 / self.hidden.per_s())
    }
}

/// How a case went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Score {
    /// Of what was allowed, after the warm-up.
    pub(crate) used: f64,
    /// Of the calls, after the warm-up.
    pub(crate) refused: f64,
    /// Of the calls, in the warm-up.
    pub(crate) refused_in_warm_up: f64,
}

impl Score {
    /// What is aimed at.
    pub(crate) fn meets(self) -> bool {
        self.used >= 0.95 && self.refused <= 0.01
    }
}

impl Case {
    pub(crate) fn score(&self, pacer: impl Pacer) -> Score {
        let mut drive = Drive::new(pacer, self.hidden.clone(), self.answer_ms, Chance::new(self.seed + 1_000_000));
        drive.run(self.warm_up_ms());
        let warm = drive.count;
        drive.run(self.measured_ms());
        let count = drive.count.since(warm);
        let allowed = self.hidden.per_s() * self.measured_ms() / 1e3;
        Score {
            used: count.accepted as f64 / allowed,
            refused: count.refused_share(),
            refused_in_warm_up: warm.refused_share(),
        }
    }

    /// Whether somebody who knows the rate, and goes steadily at some share of it, can do what is aimed at.
    pub(crate) fn is_possible(&self) -> bool {
        [0.955, 0.965, 0.975, 0.985, 0.995].into_iter().any(|share| {
            let every_ms = 1e3 / (self.hidden.per_s() * share);
            self.score(Steady { every_ms, due_ms: 0.0 }).meets()
        })
    }
}
