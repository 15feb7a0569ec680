//! What an arbiter knows of the budgets, should the store lose them: the state of each as it saw it last.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use redis::Value;
use tidegate_limits::Override;

use super::whole;

/// Most budgets of one provider that are kept; others begin anew when the store loses them.
const BUDGETS_MAX: usize = 100_000;

/// A life of the store, as far as one family is concerned, and how far it had come. Nothing is known by default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Life {
    /// When it began, as the store calls it; empty where nobody knows.
    pub(super) began: String,
    /// The last permit's id.
    pub(super) last_id: u64,
}

/// A budget as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seen {
    /// When, by the store's clock, Unix µs.
    pub(super) at_us: i64,
    /// When the store forgets it, by the caller's clock, Unix ms.
    until_ms: i64,
    /// What the functions wrote.
    pub(super) state: Vec<u8>,
    /// When it was asked about or reported on, by the caller's clock, Unix ms.
    asked_ms: i64,
    /// What others made of it since, and when it was looked at, by the store's clock, Unix µs: not to be restored, since it
    /// has those who wait.
    looked: Option<(i64, Vec<u8>)>,
}

/// All that was seen of a family, for who decides without the store.
#[derive(Debug, Clone, Default)]
pub(super) struct Snapshot {
    /// Of each budget when it was seen, by the store's clock, Unix ms, and its state.
    pub(super) budgets: HashMap<String, (i64, Vec<u8>)>,
    /// What people want, by the caller's clock.
    pub(super) overrides: Vec<Override>,
    /// How far the caller's clock is ahead of the store's.
    pub(super) ahead_ms: i64,
    /// When the store was heard of last, by its own clock, Unix ms.
    pub(super) heard_ms: i64,
    /// The last permit's id.
    pub(super) last_id: u64,
}

/// One sight of a family: what a reply says that the caller is to know.
#[derive(Debug)]
pub(super) struct Sight {
    pub(super) life: Life,
    at_us: i64,
    /// Budgets by number, when each was seen in Unix µs, how long it is kept in ms, and its state.
    changed: Vec<(usize, i64, i64, Vec<u8>)>,
}

impl Sight {
    /// What `save_all` in `limiter.lua` writes.
    pub(super) fn read(value: Value) -> Option<Self> {
        let mut values = redis::from_redis_value::<Vec<Value>>(value).ok()?.into_iter();
        let began = redis::from_redis_value(values.next()?).ok()?;
        let at_us = redis::from_redis_value(values.next()?).ok()?;
        let last_id = redis::from_redis_value(values.next()?).ok()?;
        let mut changed = Vec::new();
        while let Some(number) = values.next() {
            let number = redis::from_redis_value(number).ok()?;
            let (at_us, ttl_ms) = (whole(values.next()?)?, whole(values.next()?)?);
            changed.push((number, at_us, ttl_ms, redis::from_redis_value(values.next()?).ok()?));
        }
        Some(Self { life: Life { began, last_id }, at_us, changed })
    }
}

#[derive(Debug, Default)]
struct Family {
    life: Life,
    at_us: i64,
    /// How far the caller's clock is ahead of the store's.
    ahead_ms: i64,
    overrides: Vec<Override>,
    budgets: HashMap<String, Seen>,
}

/// What is known of all families.
#[derive(Debug, Default)]
pub(super) struct Known(Mutex<HashMap<String, Family>>);

impl Known {
    fn families(&self) -> MutexGuard<'_, HashMap<String, Family>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The names of families.
    pub(super) fn names(&self) -> Vec<String> {
        self.families().keys().cloned().collect()
    }

    /// The life of the store that a family is known to be in.
    pub(super) fn life(&self, family: &str) -> Life {
        self.families().get(family).map(|family| family.life.clone()).unwrap_or_default()
    }

    /// Takes in a sight, of budgets that go by these numbers less 1. Sights come in any order.
    pub(super) fn see(&self, family: &str, budgets: &[&str], sight: Sight, now_ms: i64) {
        let mut families = self.families();
        if !families.contains_key(family) {
            families.insert(family.to_owned(), Family::default());
        }
        let Some(known) = families.get_mut(family) else { return };
        if known.life.began == sight.life.began {
            known.life.last_id = known.life.last_id.max(sight.life.last_id);
        } else if known.at_us > sight.at_us {
            return; // Of a life that is over.
        } else {
            known.life = sight.life;
        }
        if known.at_us < sight.at_us {
            (known.at_us, known.ahead_ms) = (sight.at_us, now_ms - sight.at_us / 1_000);
        }
        for (number, at_us, ttl_ms, state) in sight.changed {
            let Some(key) = number.checked_sub(1).and_then(|place| budgets.get(place)) else { continue };
            let until_ms = now_ms.saturating_add(ttl_ms);
            let seen = Seen { at_us, until_ms, state, asked_ms: now_ms, looked: None };
            let is_news = match known.budgets.get(*key) {
                Some(before) => before.at_us <= seen.at_us,
                None => known.budgets.len() < BUDGETS_MAX,
            };
            if is_news {
                known.budgets.insert((*key).to_owned(), seen);
            }
        }
    }

    /// All that is known of a family that was lost, and of which life.
    pub(super) fn of(&self, family: &str) -> (Life, Vec<(String, Seen)>) {
        let families = self.families();
        let Some(family) = families.get(family) else { return Default::default() };
        (family.life.clone(), family.budgets.iter().map(|(key, seen)| (key.clone(), seen.clone())).collect())
    }

    /// Budgets that were asked about since `since_ms`, the last first, at most so many.
    pub(super) fn asked_since(&self, family: &str, since_ms: i64, most: usize) -> Vec<String> {
        let families = self.families();
        let budgets = families.get(family).into_iter().flat_map(|family| &family.budgets);
        let mut asked: Vec<_> = budgets.filter(|(_, seen)| seen.asked_ms >= since_ms).collect();
        asked.sort_by_key(|(_, seen)| std::cmp::Reverse(seen.asked_ms));
        asked.into_iter().take(most).map(|(key, _)| key.clone()).collect()
    }

    /// Takes in what became of budgets, and what people want of the family's.
    pub(super) fn looked(&self, family: &str, at_us: i64, states: Vec<(String, Vec<u8>)>, overrides: Vec<Override>) {
        let mut families = self.families();
        let Some(family) = families.get_mut(family) else { return };
        family.overrides = overrides;
        for (key, state) in states {
            if let Some(seen) = family.budgets.get_mut(&key).filter(|seen| seen.at_us <= at_us) {
                seen.looked = Some((at_us, state));
            }
        }
    }

    /// All that was seen last of a family.
    pub(super) fn snapshot(&self, family: &str) -> Snapshot {
        let families = self.families();
        let Some(family) = families.get(family) else { return Snapshot::default() };
        let last = |(key, seen): (&String, &Seen)| {
            let looked = seen.looked.clone().filter(|(at_us, _)| *at_us >= seen.at_us);
            let (at_us, state) = looked.unwrap_or_else(|| (seen.at_us, seen.state.clone()));
            (key.clone(), (at_us / 1_000, state))
        };
        Snapshot {
            budgets: family.budgets.iter().map(last).collect(),
            overrides: family.overrides.clone(),
            ahead_ms: family.ahead_ms,
            heard_ms: family.at_us / 1_000,
            last_id: family.life.last_id,
        }
    }

    /// What was known of a family has been told, and now this is its life.
    pub(super) fn told(&self, family: &str, sight: &Sight) {
        if let Some(family) = self.families().get_mut(family) {
            (family.life, family.at_us) = (sight.life.clone(), sight.at_us);
        }
    }

    /// Forgets what the store has forgotten, in its time.
    pub(super) fn forget(&self, now_ms: i64) {
        self.families().retain(|_, family| {
            family.budgets.retain(|_, seen| seen.until_ms > now_ms);
            !family.budgets.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sight(began: &str, at_us: i64, state: &str) -> Sight {
        let life = Life { began: began.to_owned(), last_id: at_us.unsigned_abs() };
        Sight { life, at_us, changed: vec![(1, at_us, 1_000, state.as_bytes().to_vec())] }
    }

    fn state(known: &Known) -> String {
        String::from_utf8(known.of("acme").1[0].1.state.clone()).unwrap()
    }

    #[test]
    fn what_was_seen_last_is_known_in_whatever_order_it_comes() {
        let known = Known::default();
        for (began, at_us, text) in [("1", 5, "five"), ("1", 3, "three"), ("9", 9, "nine"), ("1", 7, "over")] {
            known.see("acme", &["key"], sight(began, at_us, text), 0);
        }
        assert_eq!(state(&known), "nine");
        assert_eq!(known.life("acme"), Life { began: "9".to_owned(), last_id: 9 });
        assert_eq!(known.life("other"), Life::default());
    }

    #[test]
    fn what_the_store_forgets_is_forgotten() {
        let known = Known::default();
        known.see("acme", &["key"], sight("1", 5, "five"), 100);
        known.forget(1_099);
        assert_eq!(known.names(), ["acme"]);
        known.forget(1_100);
        assert!(known.names().is_empty());
    }
}
