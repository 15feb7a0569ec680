//! What a queue holds, in order. Pure: no lock, no clock, no waiting.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, VecDeque};
use std::sync::Arc;

use tidegate_contracts::Envelope;

use crate::Parcel;

/// Messages ready and parked. A message gets its place (the tag) when it becomes ready, and keeps it: `ready`
/// is sorted by tag, so what comes back comes to where it was.
#[derive(Debug, Default)]
pub(super) struct Shelf {
    ready: VecDeque<Parcel>,
    parked: BinaryHeap<Parked>,
    /// Place of the next message that becomes ready.
    next_tag: u64,
    /// Keeps messages that are due at the same time in the order they were parked.
    next_parked: u64,
}

#[derive(Debug)]
struct Parked {
    due_ms: i64,
    number: u64,
    envelope: Arc<Envelope>,
}

impl Shelf {
    /// Messages to be delivered now.
    pub(super) fn ready(&self) -> usize {
        self.ready.len()
    }

    /// Messages parked.
    pub(super) fn parked(&self) -> usize {
        self.parked.len()
    }

    /// When parked messages are due, in no order.
    pub(super) fn due_ms(&self) -> impl Iterator<Item = i64> {
        self.parked.iter().map(|parked| parked.due_ms)
    }

    /// When the first parked message is due.
    pub(super) fn next_due_ms(&self) -> Option<i64> {
        self.parked.peek().map(|parked| parked.due_ms)
    }

    /// Adds a message at the end.
    pub(super) fn push(&mut self, envelope: Arc<Envelope>) {
        let tag = self.next_tag;
        self.next_tag += 1;
        self.ready.push_back(Parcel { envelope, redelivered: 0, tag });
    }

    /// Parks a message; whether it is now the first to be due.
    pub(super) fn park(&mut self, envelope: Arc<Envelope>, due_ms: i64) -> bool {
        let first = self.next_due_ms().is_none_or(|next| due_ms < next);
        let number = self.next_parked;
        self.next_parked += 1;
        self.parked.push(Parked { due_ms, number, envelope });
        first
    }

    /// Makes ready what is due, in the order it is due.
    pub(super) fn promote(&mut self, now_ms: i64) {
        while self.next_due_ms().is_some_and(|due_ms| due_ms <= now_ms) {
            if let Some(parked) = self.parked.pop() {
                self.push(parked.envelope);
            }
        }
    }

    /// Takes the first message.
    pub(super) fn take(&mut self) -> Option<Parcel> {
        self.ready.pop_front()
    }

    /// Puts a message that was taken back to its place, as delivered once more.
    pub(super) fn put_back(&mut self, parcel: Parcel) {
        let place = self.ready.partition_point(|other| other.tag < parcel.tag);
        let redelivered = parcel.redelivered.saturating_add(1);
        self.ready.insert(place, Parcel { redelivered, ..parcel });
    }
}

/// The greatest is the first due, as a [`BinaryHeap`] wants it.
impl Ord for Parked {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due_ms, other.number).cmp(&(self.due_ms, self.number))
    }
}

impl PartialOrd for Parked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Parked {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Parked {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::conformance::{message, number};

    use super::*;

    fn numbers(shelf: &mut Shelf) -> Vec<(u128, u32)> {
        std::iter::from_fn(|| shelf.take()).map(|parcel| (number(&parcel), parcel.redelivered)).collect()
    }

    proptest! {
        #[test]
        fn what_comes_back_in_any_order_stands_where_it_stood(
            total in 1..40_u128,
            taken in 0..40_usize,
            seed in any::<u64>(),
        ) {
            let mut shelf = Shelf::default();
            (0..total).for_each(|n| shelf.push(Arc::new(message(n))));
            let mut out: Vec<Parcel> = (0..taken).map_while(|_| shelf.take()).collect();
            let returned = out.len() as u128;
            out.sort_by_key(|parcel| (parcel.tag + 1).wrapping_mul(seed | 1));
            out.into_iter().for_each(|parcel| shelf.put_back(parcel));
            let expected: Vec<(u128, u32)> = (0..total).map(|n| (n, u32::from(n < returned))).collect();
            prop_assert_eq!(numbers(&mut shelf), expected);
        }

        #[test]
        fn what_is_due_becomes_ready_in_the_order_it_is_due_and_nothing_else_does(
            dues in prop::collection::vec(0..20_i64, 0..40),
            now_ms in 0..20_i64,
        ) {
            let mut shelf = Shelf::default();
            for (n, due_ms) in dues.iter().enumerate() {
                let earliest = dues[..n].iter().all(|other| due_ms < other);
                prop_assert_eq!(shelf.park(Arc::new(message(n as u128)), *due_ms), earliest);
            }
            shelf.promote(now_ms);
            let mut expected: Vec<(i64, u128)> =
                dues.iter().copied().zip(0..).filter(|(due_ms, _)| *due_ms <= now_ms).collect();
            expected.sort_unstable();
            prop_assert_eq!((shelf.ready(), shelf.parked()), (expected.len(), dues.len() - expected.len()));
            prop_assert_eq!(shelf.next_due_ms(), dues.iter().copied().filter(|due_ms| *due_ms > now_ms).min());
            let ready: Vec<u128> = numbers(&mut shelf).into_iter().map(|(n, _)| n).collect();
            prop_assert_eq!(ready, expected.into_iter().map(|(_, n)| n).collect::<Vec<_>>());
        }
    }
}
