//! The calls in this executor's hands, so that none is there twice.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidegate_contracts::{CallId, JobId};

/// The calls in hand, until what came of them is told. A call whose lease ran out while it waited here comes again; the one in
/// hand goes on alone.
#[derive(Debug, Default)]
pub(crate) struct InHand(Mutex<HashMap<CallId, JobId>>);

/// A call in hand, until it is dropped.
pub(crate) struct Held<'a> {
    in_hand: &'a InHand,
    call: CallId,
}

impl InHand {
    /// Takes a call in hand; `None` if it is already.
    pub(crate) fn take(&self, call: CallId, job: JobId) -> Option<Held<'_>> {
        match self.calls().entry(call) {
            Entry::Occupied(_) => None,
            Entry::Vacant(vacant) => {
                vacant.insert(job);
                Some(Held { in_hand: self, call })
            }
        }
    }

    /// Whose calls are in hand.
    pub(crate) fn jobs(&self) -> HashSet<JobId> {
        self.calls().values().copied().collect()
    }

    fn calls(&self) -> MutexGuard<'_, HashMap<CallId, JobId>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.in_hand.calls().remove(&self.call);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_in_hand_once_until_it_is_let_go() {
        let (in_hand, call) = (InHand::default(), CallId::from_slice(&[1; 16]).expect("16 bytes"));
        let job = JobId::new();
        let held = in_hand.take(call, job);
        assert!(held.is_some() && in_hand.take(call, job).is_none());
        assert_eq!(in_hand.jobs(), HashSet::from([job]));
        drop(held);
        assert!(in_hand.jobs().is_empty() && in_hand.take(call, job).is_some());
    }
}
