//! Providers' limiters, as nobody tells them. Times are ms.

use std::collections::VecDeque;

/// A limiter that a learner can't look into.
#[derive(Debug, Clone)]
pub(crate) enum Hidden {
    /// A bucket of `burst` calls, restored at `per_s`.
    Bucket { per_s: f64, burst: f64, left: f64, at_ms: f64 },
    /// `calls` in each window, from the clock (`edge_ms` is one of its edges), or from the first call.
    Window { calls: u64, per_ms: f64, edge_ms: Option<f64>, start_ms: f64, used: u64 },
    /// `calls` in any span of `per_ms`; refused ones may count too.
    Sliding { calls: u64, per_ms: f64, counts_refused: bool, log: VecDeque<f64> },
    /// A limit on the pace, and a quota over a longer time, of which a call that the first refuses takes nothing.
    Both { pace: Box<Hidden>, quota: Box<Hidden> },
}

impl Hidden {
    pub(crate) fn bucket(per_s: f64, burst: f64) -> Self {
        Self::Bucket { per_s, burst, left: burst, at_ms: 0.0 }
    }

    pub(crate) fn window(calls: u64, per_ms: f64, edge_ms: Option<f64>) -> Self {
        Self::Window { calls, per_ms, edge_ms, start_ms: f64::MIN, used: 0 }
    }

    pub(crate) fn sliding(calls: u64, per_ms: f64, counts_refused: bool) -> Self {
        Self::Sliding { calls, per_ms, counts_refused, log: VecDeque::new() }
    }

    pub(crate) fn both(pace: Self, quota: Self) -> Self {
        Self::Both { pace: Box::new(pace), quota: Box::new(quota) }
    }

    /// Calls each second that it lets through in the long run.
    pub(crate) fn per_s(&self) -> f64 {
        match self {
            Self::Bucket { per_s, .. } => *per_s,
            Self::Window { calls, per_ms, .. } | Self::Sliding { calls, per_ms, .. } => *calls as f64 * 1e3 / per_ms,
            Self::Both { pace, quota } => pace.per_s().min(quota.per_s()),
        }
    }

    /// How long it remembers.
    pub(crate) fn memory_ms(&self) -> f64 {
        match self {
            Self::Bucket { per_s, burst, .. } => burst * 1e3 / per_s,
            Self::Window { per_ms, .. } | Self::Sliding { per_ms, .. } => *per_ms,
            Self::Both { quota, .. } => quota.memory_ms(),
        }
    }

    /// From now on so many times as much is allowed.
    pub(crate) fn change(&mut self, factor: f64) {
        match self {
            Self::Bucket { per_s, .. } => *per_s *= factor,
            Self::Window { calls, .. } | Self::Sliding { calls, .. } => {
                *calls = (*calls as f64 * factor).round() as u64;
            }
            Self::Both { quota, .. } => quota.change(factor),
        }
    }

    /// A call arrives.
    pub(crate) fn accepts(&mut self, now_ms: f64) -> bool {
        match self {
            Self::Bucket { per_s, burst, left, at_ms } => {
                *left = (*left + (now_ms - *at_ms) * *per_s / 1e3).min(*burst);
                *at_ms = now_ms;
                let accepts = *left >= 1.0;
                *left -= f64::from(u8::from(accepts));
                accepts
            }
            Self::Window { calls, per_ms, edge_ms, start_ms, used } => {
                if now_ms >= *start_ms + *per_ms {
                    let since_edge_ms = edge_ms.map_or(0.0, |edge_ms| (now_ms - edge_ms).rem_euclid(*per_ms));
                    (*start_ms, *used) = (now_ms - since_edge_ms, 0);
                }
                let accepts = *used < *calls;
                *used += u64::from(accepts);
                accepts
            }
            Self::Sliding { calls, per_ms, counts_refused, log } => {
                while log.front().is_some_and(|&at_ms| at_ms <= now_ms - *per_ms) {
                    log.pop_front();
                }
                let accepts = (log.len() as u64) < *calls;
                if accepts || *counts_refused {
                    log.push_back(now_ms);
                }
                accepts
            }
            Self::Both { pace, quota } => pace.accepts(now_ms) && quota.accepts(now_ms),
        }
    }
}
