//! Checks of messages that wait until they are due.

use std::sync::Arc;
use std::time::Duration;

use tidegate_contracts::topology::{DELAY_LEVELS, Queue};

use super::{Conformance, consume, message, number, numbers, send, settled};
use crate::{Bus, BusError};

impl Conformance {
    /// # Panics
    /// Where the bus does not conform.
    pub async fn a_parked_message_comes_when_due_and_not_before(&self, bus: Arc<dyn Bus>) {
        // One consumer waits already when the message is parked, and one comes when it is due.
        for queue in [Queue::Outcomes, Queue::Plans(0)] {
            let mut consumer = consume(&bus, &queue, 1).await;
            let due_ms = self.due_ms(1);
            let park = async || {
                tokio::time::sleep(Duration::from_millis(5)).await;
                settled(bus.publish_later(&queue, message(7), due_ms).await);
            };
            let (delivery, ()) = tokio::join!(self.next(&mut consumer), park());
            let late_ms = (self.clock)() - due_ms;
            assert_eq!((number(&delivery), delivery.redelivered), (7, 0));
            assert!(late_ms >= 0, "{} ms too early", -late_ms);
            assert!(u128::from(late_ms.unsigned_abs()) <= self.patience.as_millis(), "{late_ms} ms too late");
            settled(delivery.ack().await);
            self.nothing(&mut consumer).await;
        }
        let due_ms = self.due_ms(1);
        settled(bus.publish_later(&Queue::Plans(1), message(8), due_ms).await);
        tokio::time::sleep(self.delay * 2).await;
        let mut late = consume(&bus, &Queue::Plans(1), 1).await;
        assert_eq!(number(&*self.next(&mut late).await), 8);
        let events = bus.publish_later(&Queue::Events, message(9), due_ms).await;
        assert!(matches!(events, Err(BusError::Refused { .. })), "{events:?}");
    }

    /// # Panics
    /// Where the bus does not conform.
    pub async fn parked_messages_come_in_the_order_they_are_due(&self, bus: Arc<dyn Bus>) {
        let mut consumer = consume(&bus, &Queue::Outcomes, 10).await;
        for times in [3, 1, 2] {
            let parked = bus.publish_later(&Queue::Outcomes, message(u128::from(times)), self.due_ms(times)).await;
            settled(parked);
        }
        assert_eq!(numbers(&self.take(&mut consumer, 3).await), [1, 2, 3]);
    }

    /// # Panics
    /// Where the bus does not conform.
    pub async fn a_parked_message_holds_nobody_up(&self, bus: Arc<dyn Bus>) {
        let mut consumer = consume(&bus, &Queue::Outcomes, 1).await;
        settled(bus.publish_later(&Queue::Outcomes, message(1), (self.clock)() + 3_600_000).await);
        settled(bus.publish_later(&Queue::Outcomes, message(2), (self.clock)() - 1).await);
        settled(self.next(&mut consumer).await.ack().await);
        send(&bus, &Queue::Outcomes, 3..4).await;
        let delivery = self.next(&mut consumer).await;
        assert_eq!(number(&delivery), 3);
        settled(delivery.ack().await);
        self.nothing(&mut consumer).await;
    }

    /// # Panics
    /// Where the bus does not conform.
    pub async fn parked_messages_are_counted_by_how_long_they_wait(&self, bus: Arc<dyn Bus>) {
        let counts = async || bus.parked().await.unwrap_or_else(|error| panic!("counting: {error}"));
        assert_eq!(counts().await, vec![0; DELAY_LEVELS as usize]);
        for (queue, wait_s) in [(Queue::Outcomes, 300), (Queue::Plans(0), 400), (Queue::Outcomes, 1 << 30)] {
            settled(bus.publish_later(&queue, message(wait_s), (self.clock)() + wait_s as i64 * 1_000).await);
        }
        let mut expected = vec![0; DELAY_LEVELS as usize];
        (expected[8], expected[16]) = (2, 1);
        assert_eq!(counts().await, expected);
        settled(bus.publish_later(&Queue::Outcomes, message(1), self.due_ms(1)).await);
        assert_eq!(counts().await.iter().sum::<usize>(), 4);
        let mut consumer = consume(&bus, &Queue::Outcomes, 1).await;
        settled(self.next(&mut consumer).await.ack().await);
        assert_eq!(counts().await, expected, "what has come is parked no more");
    }

    /// When a message parked for `times` the delay is due.
    fn due_ms(&self, times: u32) -> i64 {
        let delay_ms = i64::try_from((self.delay * times).as_millis()).unwrap_or(i64::MAX);
        (self.clock)().saturating_add(delay_ms)
    }
}
