//! While Redis can't be asked: nothing is granted, or shares of what was seen last, as configured.
//!
//! ```text
//!        fails for 2 s                 answers                    has been told
//! here ───────────────────▶ away ─────────────────▶ returning ───────────────────▶ here
//!                                    (nothing is granted)
//! ```

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tidegate_limits::Sharing;

pub(super) use self::local::{Local, Spent};
use super::known::Known;
use crate::StoreError;

mod local;
mod portion;
mod seen;

/// For so long Redis must have failed before it is away; until then calls wait.
const FAILS_FOR_MS: i64 = 2_000;
/// Permits begin this much above the last one that is known at most, at random, so that no two arbiters give out the same.
const IDS_APART: u64 = 1 << 24;

/// What is granted while Redis can't be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhileAway {
    /// Nothing: calls wait.
    Wait,
    /// A share of what was seen last.
    Share {
        /// In per cent of what was left, and of what time restores. Times the arbiters, it must be at most 100, for limits to
        /// hold.
        percent: u32,
        /// For how long; then nothing.
        at_most: Duration,
    },
}

/// What becomes of calls while Redis is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Calls {
    /// They wait.
    Wait,
    /// They go by shares.
    Share,
}

/// Whether Redis is there, and what was granted while it is not.
pub(crate) struct Presence {
    config: WhileAway,
    state: Mutex<State>,
}

enum State {
    /// Since when it fails, Unix ms.
    Here(Option<i64>),
    Away(Absence),
    Returning,
}

/// One time without Redis.
struct Absence {
    since_ms: i64,
    families: HashMap<String, Local>,
}

impl Presence {
    pub(super) fn new(config: WhileAway) -> Self {
        Self { config, state: Mutex::new(State::Here(None)) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is changed under the lock is changed whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything is ever granted without Redis.
    pub(super) fn shares(&self) -> bool {
        matches!(self.config, WhileAway::Share { .. })
    }

    /// Redis has answered.
    pub(super) fn answered(&self) {
        if let State::Here(failing) = &mut *self.state() {
            *failing = None;
        }
    }

    /// Redis has not answered. Whether it is away, and shares may be granted.
    pub(super) fn failed(&self, now_ms: i64) -> bool {
        let mut state = self.state();
        if let State::Here(since) = &mut *state {
            let since_ms = *since.get_or_insert(now_ms);
            if self.shares() && now_ms - since_ms >= FAILS_FOR_MS {
                tracing::warn!("Redis is away; shares of limits are granted, as they were seen last");
                *state = State::Away(Absence { since_ms: now_ms, families: HashMap::new() });
            }
        }
        matches!(*state, State::Away(_))
    }

    /// Decides without Redis, over a family's budgets; none if Redis is there.
    pub(super) fn locally<T>(
        &self,
        now_ms: i64,
        family: &str,
        (known, sharing): (&Known, &Sharing),
        decide: impl FnOnce(&mut Local) -> T,
    ) -> Option<Result<T, StoreError>> {
        let WhileAway::Share { percent, at_most } = self.config else { return None };
        match &mut *self.state() {
            State::Here(_) => None,
            State::Returning => Some(Err(StoreError("Redis is being told what was granted without it".to_owned()))),
            State::Away(absence) if absence.is_too_long(now_ms, at_most) => {
                Some(Err(StoreError("Redis is away for longer than shares are granted".to_owned())))
            }
            State::Away(absence) => {
                let local = absence.families.entry(family.to_owned()).or_insert_with(|| {
                    let snapshot = known.snapshot(family);
                    let first_id =
                        snapshot.last_id.max(now_ms.unsigned_abs() * 1_000) + rand::random_range(2..IDS_APART);
                    Local::new(snapshot, sharing, percent, first_id)
                });
                Some(Ok(decide(local)))
            }
        }
    }

    /// Whether calls may be granted though Redis does not answer.
    pub(super) fn may_grant(&self, now_ms: i64) -> bool {
        let WhileAway::Share { at_most, .. } = self.config else { return false };
        matches!(&*self.state(), State::Away(absence) if !absence.is_too_long(now_ms, at_most))
    }

    /// What becomes of calls, if Redis is away.
    pub(crate) fn calls(&self, now_ms: i64) -> Option<Calls> {
        let is_away = match &*self.state() {
            State::Here(since) => since.is_some_and(|since_ms| now_ms - since_ms >= FAILS_FOR_MS),
            State::Away(_) | State::Returning => true,
        };
        is_away.then(|| if self.may_grant(now_ms) { Calls::Share } else { Calls::Wait })
    }

    /// What was granted, if Redis was away, to tell it; nothing is granted meanwhile.
    pub(super) fn returning(&self) -> Option<Return<'_>> {
        let mut state = self.state();
        match std::mem::replace(&mut *state, State::Returning) {
            State::Away(absence) => Some(Return { presence: self, absence: Some(absence) }),
            other => {
                *state = other;
                None
            }
        }
    }
}

/// What was granted without Redis, while it is told. Dropped before all is told, Redis is away still.
pub(super) struct Return<'a> {
    presence: &'a Presence,
    absence: Option<Absence>,
}

impl Return<'_> {
    /// What was granted of a family's budgets, if anything was asked.
    pub(super) fn family(&self, family: &str) -> Option<&Local> {
        self.absence.as_ref()?.families.get(family)
    }

    /// Redis knows what was granted of a family's budgets.
    pub(super) fn told(&mut self, family: &str) {
        if let Some(absence) = &mut self.absence {
            absence.families.remove(family);
        }
    }

    /// Redis knows it all.
    pub(super) fn here(mut self) {
        tracing::warn!("Redis is back, and knows what was granted without it");
        self.absence = None;
    }
}

impl Drop for Return<'_> {
    fn drop(&mut self) {
        *self.presence.state() = self.absence.take().map_or(State::Here(None), State::Away);
    }
}

impl Absence {
    fn is_too_long(&self, now_ms: i64, at_most: Duration) -> bool {
        u128::from((now_ms - self.since_ms).max(0).unsigned_abs()) >= at_most.as_millis()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARE: WhileAway = WhileAway::Share { percent: 50, at_most: Duration::from_secs(10) };

    #[test]
    fn redis_is_away_when_it_has_failed_for_two_seconds_until_it_answers() {
        for (config, calls) in [(WhileAway::Wait, Calls::Wait), (SHARE, Calls::Share)] {
            let presence = Presence::new(config);
            assert_eq!(presence.calls(0), None);
            presence.failed(0);
            assert_eq!(presence.calls(FAILS_FOR_MS - 1), None);
            presence.answered();
            presence.failed(FAILS_FOR_MS);
            assert_eq!(presence.calls(FAILS_FOR_MS), None, "it has answered in between");
            presence.failed(2 * FAILS_FOR_MS);
            assert_eq!(presence.calls(2 * FAILS_FOR_MS), Some(calls));
            if let Some(back) = presence.returning() {
                assert_eq!(presence.calls(2 * FAILS_FOR_MS), Some(Calls::Wait), "nothing is granted while it is told");
                back.here();
            }
            presence.answered();
            assert_eq!(presence.calls(2 * FAILS_FOR_MS), None);
        }
    }

    #[test]
    fn shares_end_with_their_time_and_calls_wait() {
        let presence = Presence::new(SHARE);
        presence.failed(0);
        presence.failed(FAILS_FOR_MS);
        assert_eq!(presence.calls(FAILS_FOR_MS + 9_999), Some(Calls::Share));
        assert_eq!(presence.calls(FAILS_FOR_MS + 10_000), Some(Calls::Wait));
    }
}
