//! The delay ladder: how a message waits at the broker. Pure.
//!
//! A level for each bit of the delay in seconds, each with one queue whose messages expire after `2^level` seconds to
//! the next lower level. The routing key starts with the bits, highest first, and the bindings of each level look at
//! its own: 1 waits there, 0 goes on at once. So one TTL for each queue, which never blocks at its head.

use tidegate_contracts::topology::{DELAY_LEVELS as LEVELS, delay_level, delay_s};

/// How a message takes the ladder.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Climb {
    /// The level it enters at, so that it does not pass those it has no wait on.
    pub level: u32,
    /// Its routing key: the bits, then the address.
    pub key: String,
}

/// The way of a message that is due in `wait_ms` (more than 0), rounded up to whole seconds: it may come late, and never
/// early. Longer than the ladder's longest, it comes back halfway and is parked again.
pub(super) fn climb(wait_ms: i64, address: &str) -> Climb {
    let seconds = delay_s(wait_ms);
    let mut key = String::with_capacity(2 * LEVELS as usize + address.len());
    for level in (0..LEVELS).rev() {
        key.push(if seconds >> level & 1 == 1 { '1' } else { '0' });
        key.push('.');
    }
    key.push_str(address);
    Climb { level: delay_level(wait_ms), key }
}

/// The binding of a level for keys whose bit of that level is `bit`.
pub(super) fn pattern(level: u32, bit: u8) -> String {
    let above = "*.".repeat((LEVELS - 1 - level) as usize);
    format!("{above}{bit}.#")
}

/// A queue's name as the end of a routing key: one word, so that it can't be taken for bits.
pub(super) fn address(queue: &str) -> String {
    queue.replace('.', ":")
}

/// How long messages wait on a level, in milliseconds.
pub(super) fn ttl_ms(level: u32) -> i64 {
    1_000 << level
}

#[cfg(test)]
mod tests {
    use tidegate_contracts::topology::DELAY_MAX_S;

    use super::*;

    /// Where a topic exchange sends a key, in small.
    fn matches(pattern: &str, key: &str) -> bool {
        let (mut words, mut key) = (pattern.split('.'), key.split('.'));
        words.all(|word| word == "#" || key.next().is_some_and(|part| word == "*" || word == part))
    }

    #[test]
    fn a_message_waits_on_the_levels_of_its_bits_and_so_for_its_delay() {
        for (wait_ms, seconds) in [(1, 1), (999, 1), (1_000, 1), (1_001, 2), (3_000, 3), (3_600_000, 3_600)] {
            let Climb { level, key } = climb(wait_ms, "a:b");
            let waits = |level: &u32| matches(&pattern(*level, 1), &key);
            let total: i64 = (0..=level).filter(waits).map(ttl_ms).sum();
            assert_eq!(total, seconds * 1_000, "{wait_ms}");
            assert!(waits(&level) && (level + 1..LEVELS).all(|higher| matches(&pattern(higher, 0), &key)));
        }
    }

    #[test]
    fn a_wait_beyond_the_ladder_takes_all_of_it() {
        assert_eq!(climb(i64::MAX, "a"), climb(i64::try_from(DELAY_MAX_S).expect("small") * 1_000, "a"));
        assert_eq!(climb(i64::MAX, "a").level, 16);
    }
}
