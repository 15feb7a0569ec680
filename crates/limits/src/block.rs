//! Refusals: until when a budget is blocked, and how long to back off when nobody said.

use serde::{Deserialize, Serialize};

/// Back-off after the first refusal that names no time; doubles with each further one.
const FIRST_BACK_OFF_MS: i64 = 1_000;
/// The longest back-off.
const LONGEST_BACK_OFF_MS: i64 = 60_000;
/// The longest that a provider's word is taken for: 32 days, a monthly quota's length and a day.
pub(crate) const LONGEST_TOLD_MS: i64 = 32 * 86_400_000;

/// What refusals did to a budget.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Block {
    /// Unix time in ms; in the past when nothing is blocked.
    until_ms: i64,
    /// Refusals in a row, those in flight together counted once.
    streak: u32,
    /// Permits below this one were out when the last refusal was counted: they are of the same burst.
    burst_end: u64,
}

impl Block {
    pub(crate) fn until_ms(&self) -> i64 {
        self.until_ms
    }

    /// A call was refused, or an answer asked for a pause: `told_ms` when it named a time.
    pub(crate) fn pause_until(&mut self, told_ms: i64, now_ms: i64) {
        self.until_ms = self.until_ms.max(told_ms.min(now_ms + LONGEST_TOLD_MS));
    }

    /// The call of permit `id` was refused; `next_id` is the next permit's.
    pub(crate) fn refuse(&mut self, id: u64, next_id: u64, told_ms: Option<i64>, now_ms: i64) {
        let counts = id >= self.burst_end;
        if counts {
            self.streak = self.streak.saturating_add(1);
            self.burst_end = next_id;
        }
        match told_ms.filter(|&until_ms| until_ms > now_ms) {
            Some(until_ms) => self.pause_until(until_ms, now_ms),
            None if counts => self.until_ms = self.until_ms.max(now_ms + back_off_ms(self.streak)),
            None => {}
        }
    }

    /// The call of permit `id` was not refused.
    pub(crate) fn succeed(&mut self, id: u64) {
        if id >= self.burst_end {
            self.streak = 0;
        }
    }
}

/// How long to wait after the last of `streak` refusals in a row.
fn back_off_ms(streak: u32) -> i64 {
    let doublings = streak.saturating_sub(1).min(6); // 2^6 seconds is past the longest.
    (FIRST_BACK_OFF_MS << doublings).min(LONGEST_BACK_OFF_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_from_one_second_to_a_minute() {
        let waits: Vec<i64> = (1..=9).map(back_off_ms).collect();
        assert_eq!(waits, [1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    }

    #[test]
    fn a_burst_of_refusals_counts_once_and_a_success_sent_after_it_ends_the_row() {
        let mut block = Block::default();
        for id in 1..=5 {
            block.refuse(id, 6, None, 0);
        }
        assert_eq!(block.until_ms(), 1_000);
        block.succeed(4); // Was in flight with the burst: says nothing of what came after.
        block.refuse(6, 7, None, 1_000);
        assert_eq!(block.until_ms(), 3_000);
        block.succeed(7);
        block.refuse(8, 9, None, 5_000);
        assert_eq!(block.until_ms(), 6_000);
    }

    #[test]
    fn a_told_time_wins_unless_it_has_passed_and_is_never_shortened() {
        let mut block = Block::default();
        block.refuse(1, 4, Some(30_000), 0);
        block.refuse(2, 4, Some(20_000), 0);
        block.refuse(3, 4, None, 0);
        assert_eq!(block.until_ms(), 30_000);
        block.refuse(4, 5, Some(30_000), 30_000);
        assert_eq!(block.until_ms(), 32_000, "the second refusal in a row, with no time worth the name");
        block.refuse(5, 6, Some(i64::MAX), 32_000);
        assert_eq!(block.until_ms(), 32_000 + LONGEST_TOLD_MS);
    }
}
