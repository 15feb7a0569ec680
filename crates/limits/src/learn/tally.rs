//! How many calls were accepted, over the last while.

use serde::{Deserialize, Serialize};

/// The most spans that are kept.
const SPANS_MAX: usize = 64;
/// Spans to one memory of the provider's.
const SPANS_TO_A_MEMORY: f64 = 16.0;

/// Accepted calls by the time of their answers, in spans that follow one another.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tally {
    /// Where a span begins (Unix ms), and how many calls it has. The last one is still growing.
    spans: Vec<(f64, f64)>,
}

impl Tally {
    /// Counting begins.
    pub(super) fn begin(&mut self, now_ms: f64) {
        if self.spans.is_empty() {
            self.spans.push((now_ms, 0.0));
        }
    }

    /// So many more, to be kept for some multiples of `memory_ms`.
    pub(super) fn add(&mut self, calls: f64, now_ms: f64, memory_ms: f64) {
        self.begin(now_ms);
        let last = self.spans.len() - 1;
        if now_ms - self.spans[last].0 < memory_ms / SPANS_TO_A_MEMORY {
            self.spans[last].1 += calls;
            return;
        }
        self.spans.push((now_ms, calls));
        if self.spans.len() > SPANS_MAX {
            self.thin_out();
        }
    }

    /// Puts older spans together two by two: the longer ago, the coarser.
    fn thin_out(&mut self) {
        let older = SPANS_MAX / 2;
        for one in 0..older / 2 {
            let (start_ms, calls) = self.spans[2 * one];
            self.spans[one] = (start_ms, calls + self.spans[2 * one + 1].1);
        }
        self.spans.drain(older / 2..older);
    }

    /// Since when calls are counted.
    pub(super) fn known_ms(&self, now_ms: f64) -> f64 {
        self.spans.first().map_or(0.0, |span| now_ms - span.0)
    }

    /// Accepted calls each second, over the last `memory_ms` or since counting began.
    pub(super) fn per_s(&self, now_ms: f64, memory_ms: f64) -> f64 {
        let Some(&(first_ms, _)) = self.spans.first() else { return 0.0 };
        let from_ms = (now_ms - memory_ms).max(first_ms);
        let (mut count, mut end_ms) = (0.0, now_ms);
        for &(start_ms, calls) in self.spans.iter().rev() {
            if start_ms >= from_ms {
                count += calls;
            } else if end_ms > from_ms {
                count += calls * (end_ms - from_ms) / (end_ms - start_ms);
            } else {
                break;
            }
            end_ms = start_ms;
        }
        count * 1_000.0 / (now_ms - from_ms).max(1.0)
    }
}
