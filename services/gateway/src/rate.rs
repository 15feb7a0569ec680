//! How often a key may do something, such as submit.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// Most keys whose use is remembered; above it, those that may submit as much as they like again are forgotten.
const KEYS_MAX: usize = 100_000;
const MINUTE_MS: i64 = 60_000;

/// A bucket for each key: it holds what may be submitted in a minute, and fills evenly.
pub(crate) struct Rates {
    per_minute: u32,
    /// When the bucket will be full again (a leaky bucket by its time, as GCRA has it), Unix ms.
    full_at_ms: Mutex<HashMap<String, i64>>,
}

/// How a key stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    /// It may not, now.
    pub(crate) refused: bool,
    /// In a minute.
    pub(crate) quota: u32,
    /// What it may do at once, after this.
    pub(crate) remaining: u32,
    /// Until it may do more: the next one if refused, else everything. In seconds, rounded up.
    pub(crate) reset_s: u64,
}

impl Rates {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self { per_minute: per_minute.max(1), full_at_ms: Mutex::default() }
    }

    /// Takes one for this key, if one is left.
    pub(crate) fn take(&self, key: &str, now_ms: i64) -> Standing {
        let each_ms = (MINUTE_MS / i64::from(self.per_minute)).max(1);
        let mut buckets = self.full_at_ms.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= KEYS_MAX {
            buckets.retain(|_, full_at_ms| *full_at_ms > now_ms);
        }
        // A clock that was set back would else leave the bucket empty for that long.
        let full_at_ms = buckets.get(key).copied().unwrap_or(now_ms).clamp(now_ms, now_ms + MINUTE_MS);
        let after_ms = full_at_ms + each_ms - now_ms;
        let (refused, full_in_ms) = if after_ms > MINUTE_MS { (true, after_ms - each_ms) } else { (false, after_ms) };
        if !refused {
            buckets.insert(key.to_owned(), now_ms + full_in_ms);
        }
        let reset_ms = if refused { after_ms - MINUTE_MS } else { full_in_ms };
        let remaining = u32::try_from((MINUTE_MS - full_in_ms) / each_ms).unwrap_or(0).min(self.per_minute);
        let reset_s = u64::try_from(reset_ms).unwrap_or(0).div_ceil(1_000);
        Standing { refused, quota: self.per_minute, remaining, reset_s }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_submit_a_minutes_worth_at_once_and_then_evenly() {
        let rates = Rates::new(60);
        for left in (0..60).rev() {
            let standing = rates.take("a", 1_000_000);
            assert_eq!((standing.refused, standing.remaining), (false, left));
        }
        let refused = rates.take("a", 1_000_000);
        assert_eq!(refused, Standing { refused: true, quota: 60, remaining: 0, reset_s: 1 });
        assert!(!rates.take("b", 1_000_000).refused, "others are not hit");
        assert!(rates.take("a", 1_000_999).refused);
        assert!(!rates.take("a", 1_001_000).refused);
        assert!(rates.take("a", 1_001_000).refused);
        assert!(!rates.take("a", 2_000_000).refused);
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_nobody_out_for_long() {
        let rates = Rates::new(1);
        assert!(!rates.take("a", 9_000_000).refused);
        assert!(rates.take("a", 1_000_000).refused);
        assert_eq!(rates.take("a", 1_000_000).reset_s, 60);
    }
}
