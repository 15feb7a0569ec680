//! The calls in this executor's hands, so that none is there twice.

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tidegate_contracts::CallId;

/// The calls in hand. A call whose lease ran out while it waited here comes again; the one in hand goes on alone.
#[derive(Debug, Default)]
pub(crate) struct InHand(Mutex<HashSet<CallId>>);

/// A call in hand, until it is dropped.
pub(crate) struct Held<'a> {
    in_hand: &'a InHand,
    call: CallId,
}

impl InHand {
    /// Takes a call in hand; `None` if it is already.
    pub(crate) fn take(&self, call: CallId) -> Option<Held<'_>> {
        let is_new = self.calls().insert(call);
        // Made only where it is new: one that is dropped lets the call go.
        is_new.then(|| Held { in_hand: self, call })
    }

    fn calls(&self) -> MutexGuard<'_, HashSet<CallId>> {
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
        let held = in_hand.take(call);
        assert!(held.is_some() && in_hand.take(call).is_none());
        drop(held);
        assert!(in_hand.take(call).is_some());
    }
}
