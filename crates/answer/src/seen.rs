//! Items that came before, known by their keys, in bounded memory.

use std::collections::HashSet;

use tidegate_contracts::FetchId;
use xxhash_rust::xxh3::Xxh3;

use crate::reader::Reader;

/// Leaves out items whose key came before in the same fetch: those that moved to another page while pages were read, or
/// stand on two.
///
/// A key is remembered as a hash of 64 bits, so two keys of a hundred million are taken for the same by a chance of about
/// one in 4,000. The last `max / 2` keys at least are remembered, and at most `max`, in about 20 bytes each: keys are
/// kept in two sets, and when the younger is full the older is forgotten. Items that move while a list is read come
/// again soon, so what is forgotten is what is least likely to come.
#[derive(Debug)]
pub struct Seen {
    young: HashSet<u64>,
    old: HashSet<u64>,
    /// Keys in each of the two sets.
    half: usize,
    left_out: u64,
}

impl Seen {
    /// None yet; remembers at most `max` keys.
    #[must_use]
    pub fn new(max: usize) -> Self {
        Self { young: HashSet::new(), old: HashSet::new(), half: (max / 2).max(1), left_out: 0 }
    }

    /// Items left out so far.
    #[must_use]
    pub fn left_out(&self) -> u64 {
        self.left_out
    }

    /// The items among a page's `lines` that did not come before, each with its place on the page, from 0, and without
    /// the end of its line. An item without a key is never taken for another.
    pub fn fresh<'a>(
        &'a mut self,
        reader: &'a Reader,
        fetch: FetchId,
        lines: &'a [u8],
    ) -> impl Iterator<Item = (usize, &'a [u8])> {
        let items = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate();
        items.filter(move |(_, item)| reader.item_key(item).is_none_or(|key| self.is_new(fetch, &key)))
    }

    /// Whether no item with this key came before in the fetch; from now on one has.
    pub fn is_new(&mut self, fetch: FetchId, key: &str) -> bool {
        let mut hash = Xxh3::new();
        hash.update(fetch.as_bytes());
        hash.update(key.as_bytes());
        let hash = hash.digest();
        if self.young.contains(&hash) || self.old.contains(&hash) {
            self.left_out += 1;
            return false;
        }
        if self.young.len() >= self.half {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(hash);
        true
    }
}

#[cfg(test)]
mod tests {
    use tidegate_contracts::{JobId, Params};

    use super::*;
    use crate::json_path::JsonPath;

    fn fetch(step: &str) -> FetchId {
        let job = JobId::from_slice(&[7; 16]).unwrap();
        FetchId::derive(job, None, step, &Params::default())
    }

    #[test]
    fn an_item_that_came_before_in_its_fetch_is_left_out_and_counted() {
        let reader = Reader::new(None, Some(&JsonPath::parse("$.id").unwrap()), None);
        let mut seen = Seen::new(100);
        let mut fresh = |step, lines: &'static str| {
            seen.fresh(&reader, fetch(step), lines.as_bytes()).map(|(place, _)| place).collect::<Vec<_>>()
        };
        assert_eq!(fresh("a", "{\"id\":1}\n{\"id\":2}\n{\"id\":1}\n"), [0, 1]);
        assert_eq!(fresh("a", "{\"id\":2}\n{\"no\":1}\n{\"no\":1}\n{\"id\":3}\n"), [1, 2, 3]);
        assert_eq!(fresh("b", "{\"id\":1}\n"), [0], "another fetch's item");
        assert_eq!(seen.left_out(), 2);
    }

    #[test]
    fn the_latest_keys_are_remembered_and_never_more_than_the_most() {
        let mut seen = Seen::new(100);
        let fetch = fetch("a");
        for key in 0..10_000_u32 {
            assert!(seen.is_new(fetch, &key.to_string()));
            assert!(seen.young.len() + seen.old.len() <= 100);
            for before in key.saturating_sub(49)..=key {
                assert!(!seen.is_new(fetch, &before.to_string()), "{before} came before {key}");
            }
        }
    }
}
