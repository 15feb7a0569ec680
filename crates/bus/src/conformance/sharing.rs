//! Checks of consumers side by side.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tidegate_contracts::topology::Queue;

use super::{Conformance, consume, number, numbers, send, settled};
use crate::{Bus, Consumer, Delivery, ack_all};

/// Messages that each sender sends in the check of many.
const EACH: u128 = 2_000;
/// Senders, and as many consumers, in the check of many.
const MANY: u128 = 4;

impl Conformance {
    /// # Panics
    /// Where the bus does not conform.
    pub async fn a_plans_queue_has_one_consumer_at_a_time(&self, bus: Arc<dyn Bus>) {
        let mut first = consume(&bus, &Queue::Plans(3), 2).await;
        let mut second = consume(&bus, &Queue::Plans(3), 10).await;
        let mut elsewhere = consume(&bus, &Queue::Plans(4), 10).await;
        send(&bus, &Queue::Plans(3), 0..4).await;
        send(&bus, &Queue::Plans(4), 9..10).await;
        let mut held = self.take(&mut first, 2).await;
        assert_eq!(number(&*self.next(&mut elsewhere).await), 9, "another partition has a consumer of its own");
        // Not even while the first one may take no more.
        self.nothing(&mut second).await;
        settled(held.remove(0).ack().await);
        // Nor when it has stopped and still has a message in work, so that no two write at once.
        drop(first);
        self.nothing(&mut second).await;
        drop(held);
        let taken = self.take(&mut second, 3).await;
        assert_eq!((numbers(&taken), taken[0].redelivered), (vec![1, 2, 3], 1));
    }

    /// # Panics
    /// Where the bus does not conform.
    pub async fn who_waits_is_woken_by_whatever_frees_a_message(&self, bus: Arc<dyn Bus>) {
        // Its own prefetch is used up until a delivery is acknowledged.
        send(&bus, &Queue::Outcomes, 0..2).await;
        let mut consumer = consume(&bus, &Queue::Outcomes, 1).await;
        let held = self.next(&mut consumer).await;
        let acknowledge = self.soon(async || settled(held.ack().await));
        let (held, ()) = tokio::join!(self.next(&mut consumer), acknowledge);
        assert_eq!(number(&held), 1);
        // The one message is with another consumer until that one dies; its turn has not come before.
        for (queue, held, holder) in [(Queue::Outcomes, held, consumer), self.held(&bus, Queue::Plans(5)).await] {
            let mut other = consume(&bus, &queue, 1).await;
            let die = self.soon(async || drop((holder, held)));
            let (delivery, ()) = tokio::join!(self.next(&mut other), die);
            assert_eq!((number(&delivery), delivery.redelivered), (1, 1), "{queue}");
        }
    }

    /// A queue with message 1, that message delivered, and its consumer.
    async fn held(&self, bus: &Arc<dyn Bus>, queue: Queue) -> (Queue, Delivery, Box<dyn Consumer>) {
        send(bus, &queue, 1..2).await;
        let mut consumer = consume(bus, &queue, 1).await;
        (queue, self.next(&mut consumer).await, consumer)
    }

    /// Does something while another waits.
    async fn soon(&self, work: impl AsyncFnOnce()) {
        tokio::time::sleep(self.quiet).await;
        work().await;
    }

    /// # Panics
    /// Where the bus does not conform.
    pub async fn every_watcher_gets_every_event(&self, bus: Arc<dyn Bus>) {
        send(&bus, &Queue::Events, 0..1).await;
        let mut watchers = [consume(&bus, &Queue::Events, 1).await, consume(&bus, &Queue::Events, 1).await];
        send(&bus, &Queue::Events, 1..4).await;
        for watcher in &mut watchers {
            let mut seen = self.take(watcher, 3).await;
            assert_eq!(numbers(&seen), [1, 2, 3], "what was sent since the watcher came");
            settled(seen.remove(0).ack().await);
            settled(seen.remove(0).reject("of no interest").await);
        }
        let mut late = consume(&bus, &Queue::Events, 1).await;
        send(&bus, &Queue::Events, 4..5).await;
        for watcher in watchers.iter_mut().chain([&mut late]) {
            assert_eq!(number(&*self.next(watcher).await), 4, "dropped events do not come back");
        }
    }

    /// # Panics
    /// Where the bus does not conform.
    pub async fn many_senders_and_consumers_lose_nothing(&self, bus: Arc<dyn Bus>) {
        let open = Arc::new(AtomicUsize::new(usize::try_from(EACH * MANY).unwrap_or(usize::MAX)));
        let mut tasks = Vec::new();
        for place in 0..MANY {
            let prefetch = if place == 0 { 1 } else { 50 };
            let consumer = consume(&bus, &Queue::Outcomes, prefetch).await;
            tasks.push(tokio::spawn(work(consumer, open.clone(), bus.clone())));
        }
        for sender in 0..MANY {
            let bus = bus.clone();
            tokio::spawn(async move {
                for n in (0..EACH).step_by(20) {
                    let start = sender * EACH + n;
                    send(&bus, &Queue::Outcomes, start..start + 20).await;
                    tokio::task::yield_now().await;
                }
            });
        }
        let mut seen = BTreeMap::new();
        let joined = async {
            for task in tasks {
                match task.await {
                    Ok(numbers) => numbers.into_iter().for_each(|n| *seen.entry(n).or_insert(0) += 1),
                    Err(error) => panic!("a consumer failed: {error}"),
                }
            }
        };
        let in_time = tokio::time::timeout(self.patience * 4, joined).await.is_ok();
        assert!(in_time, "{} messages are missing", open.load(Ordering::SeqCst));
        assert!(seen.keys().copied().eq(0..EACH * MANY), "every message came");
        assert!(seen.values().all(|count| *count == 1), "no message was acknowledged twice");
    }
}

/// Drops every seventh message the first time and acknowledges the rest; the bus is closed by whoever has
/// acknowledged the last.
async fn work(mut consumer: Box<dyn Consumer>, open: Arc<AtomicUsize>, bus: Arc<dyn Bus>) -> Vec<u128> {
    let mut done = Vec::new();
    loop {
        let batch = consumer.next_batch(17).await;
        if batch.is_empty() {
            return done;
        }
        let keep = batch.into_iter().filter(|delivery| delivery.redelivered > 0 || !number(delivery).is_multiple_of(7));
        let keep: Vec<_> = keep.collect();
        let (count, mut these) = (keep.len(), numbers(&keep));
        settled(ack_all(keep).await);
        done.append(&mut these);
        if open.fetch_sub(count, Ordering::SeqCst) == count {
            bus.close().await;
        }
    }
}
