//! Refusals: until when a budget is blocked, and how long to back off when nobody said.
//!
//! Where nobody said, a single call tries first once a pause is over, and the others wait for its answer:
//!
//! ```text
//! refused ── 1 s ── canary, refused ── 2 s ── canary, refused ── … 15 min ── canary, answered: all
//! ```
//!
//! Pauses double: what is lost after a limit has room again is no more than what it had none for. Up to a minute nothing cuts them, since the
//! refusal may be of something that nobody has told of. Longer ones end with the window or the period of a quota: then there
//! should be room, and a single call costs little. It is given up after a minute without an answer, and the next one goes.

use serde::{Deserialize, Serialize};

use crate::concurrency::ASK_AGAIN_MS;
use crate::meter::Ready;

/// Back-off after the first refusal that names no time; doubles with each further one.
const FIRST_BACK_OFF_MS: i64 = 1_000;
/// Up to here back-off does not end with a window.
const LEAST_CUT_MS: i64 = 60_000;
/// The longest back-off.
const LONGEST_BACK_OFF_MS: i64 = 900_000;
/// A canary that is not reported for so long is given up.
const CANARY_MS: i64 = 60_000;
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
    /// Nobody said until when: after the pause a single call tries.
    #[serde(default)]
    is_blind: bool,
    /// The call that tries.
    #[serde(default)]
    canary: Option<Canary>,
}

/// A call that goes alone.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Canary {
    id: u64,
    granted_ms: i64,
}

impl Block {
    pub(crate) fn until_ms(&self) -> i64 {
        self.until_ms
    }

    /// Whether calls go one by one.
    pub(crate) fn is_blind(&self) -> bool {
        self.is_blind
    }

    /// When the next call may go. Who waits for a canary's answer looks again after as long as that has been out.
    pub(crate) fn ready(&self, now_ms: i64) -> Ready {
        let over = Ready::at(self.until_ms);
        let Some(Canary { granted_ms, .. }) = self.canary else { return over };
        let given_up_ms = granted_ms + CANARY_MS;
        let look_ms = now_ms + (now_ms - granted_ms).max(ASK_AGAIN_MS);
        over.and(Ready { until_ms: look_ms.min(given_up_ms), at_latest_ms: given_up_ms })
    }

    /// The call of permit `id` goes.
    pub(crate) fn go(&mut self, id: u64, now_ms: i64) {
        self.canary = self.is_blind.then_some(Canary { id, granted_ms: now_ms });
    }

    /// The calls of so many permits from `id` on are over, whatever came of them.
    pub(crate) fn end(&mut self, id: u64, calls: u32) {
        let is_over = |canary: &Canary| canary.id >= id && canary.id - id < u64::from(calls);
        self.canary = self.canary.filter(|canary| !is_over(canary));
    }

    /// A call was refused, or an answer asked for a pause: `told_ms` when it named a time.
    pub(crate) fn pause_until(&mut self, told_ms: i64, now_ms: i64) {
        self.until_ms = self.until_ms.max(told_ms.min(now_ms + LONGEST_TOLD_MS));
    }

    /// The call of permit `id` was refused; `next_id` is the next permit's, and `ends_ms` when the window ends, if there is one.
    pub(crate) fn refuse(
        &mut self,
        (id, next_id): (u64, u64),
        told_ms: Option<i64>,
        ends_ms: Option<i64>,
        now_ms: i64,
    ) {
        let counts = id >= self.burst_end;
        if counts {
            self.streak = self.streak.saturating_add(1);
            self.burst_end = next_id;
            self.canary = None;
        }
        match told_ms.filter(|&until_ms| until_ms > now_ms) {
            Some(until_ms) => {
                self.pause_until(until_ms, now_ms);
                self.is_blind = false;
            }
            None if counts => {
                let longest_ms = ends_ms.map_or(LONGEST_BACK_OFF_MS, |ends_ms| (ends_ms - now_ms).max(LEAST_CUT_MS));
                self.until_ms = self.until_ms.max(now_ms + back_off_ms(self.streak).min(longest_ms));
                self.is_blind = true;
            }
            None => {}
        }
    }

    /// The call of permit `id` was not refused.
    pub(crate) fn succeed(&mut self, id: u64) {
        if id >= self.burst_end {
            (self.streak, self.is_blind, self.canary) = (0, false, None);
        }
    }
}

/// How long to wait after the last of `streak` refusals in a row.
fn back_off_ms(streak: u32) -> i64 {
    let doublings = streak.saturating_sub(1).min(10); // 2^10 seconds is past the longest.
    (FIRST_BACK_OFF_MS << doublings).min(LONGEST_BACK_OFF_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_off_doubles_from_one_second_to_a_quarter_of_an_hour() {
        let waits: Vec<i64> = (1..=12).map(back_off_ms).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900].map(|s| s * 1_000));
    }

    #[test]
    fn a_burst_of_refusals_counts_once_and_a_success_sent_after_it_ends_the_row() {
        let mut block = Block::default();
        for id in 1..=5 {
            block.refuse((id, 6), None, None, 0);
        }
        assert_eq!(block.until_ms(), 1_000);
        block.succeed(4); // Was in flight with the burst: says nothing of what came after.
        block.refuse((6, 7), None, None, 1_000);
        assert_eq!(block.until_ms(), 3_000);
        block.succeed(7);
        block.refuse((8, 9), None, None, 5_000);
        assert_eq!(block.until_ms(), 6_000);
    }

    #[test]
    fn a_told_time_wins_unless_it_has_passed_and_is_never_shortened() {
        let mut block = Block::default();
        block.refuse((1, 4), Some(30_000), None, 0);
        block.refuse((2, 4), Some(20_000), None, 0);
        block.refuse((3, 4), None, None, 0);
        assert_eq!(block.until_ms(), 30_000);
        block.refuse((4, 5), Some(30_000), None, 30_000);
        assert_eq!(block.until_ms(), 32_000, "the second refusal in a row, with no time worth the name");
        block.refuse((5, 6), Some(i64::MAX), None, 32_000);
        assert_eq!(block.until_ms(), 32_000 + LONGEST_TOLD_MS);
    }

    #[test]
    fn back_off_beyond_a_minute_ends_with_the_window() {
        for (ends_ms, until_ms) in [(None, 900_000), (Some(300_000), 300_000), (Some(5_000), 60_000)] {
            let mut block = Block { streak: 20, ..Block::default() };
            block.refuse((1, 2), None, ends_ms, 0);
            assert_eq!(block.until_ms(), until_ms, "the window ends at {ends_ms:?}");
        }
    }
}
