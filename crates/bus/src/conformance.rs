//! What every bus must do, as checks that each take a fresh bus and panic where it does otherwise.
//!
//! ```
//! # use std::sync::Arc;
//! # use tidegate_bus::{Bus, InProcess, InProcessConfig, conformance::Conformance};
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let clock = tidegate_daemon::clock::system();
//! let bus: Arc<dyn Bus> = Arc::new(InProcess::new(InProcessConfig::default(), clock.clone()));
//! Conformance::new(clock).messages_come_in_the_order_they_were_sent(bus).await;
//! # }
//! ```

mod parking;
mod sharing;

use std::sync::Arc;
use std::time::Duration;

use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Envelope, JobId, JobSubmitted, Lane, Message, VERSION};
use tidegate_daemon::Clock;
use uuid::Uuid;

use crate::{Bus, BusError, Consumer, Delivery, Parcel, ack_all};

/// The checks, and how much time they give a bus.
pub struct Conformance {
    /// What parked messages are due by.
    pub clock: Clock,
    /// How long a message is parked at least; no shorter than the bus can tell apart. Default 50 ms.
    pub delay: Duration,
    /// How late a parked message may come, and how long anything else may take. Default 5 s.
    pub patience: Duration,
    /// How long to look out for what must not come. Default 50 ms.
    pub quiet: Duration,
}

impl Conformance {
    /// With the defaults, which suit a bus inside of the process.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        let (delay, patience, quiet) = (Duration::from_millis(50), Duration::from_secs(5), Duration::from_millis(50));
        Self { clock, delay, patience, quiet }
    }

    /// Runs every check, each with a bus of its own.
    ///
    /// # Panics
    /// Where the bus does not conform.
    pub async fn all(&self, make: impl AsyncFn() -> Arc<dyn Bus>) {
        self.messages_come_in_the_order_they_were_sent(make().await).await;
        self.an_acknowledged_message_is_gone(make().await).await;
        self.a_dropped_delivery_comes_back_first_and_is_counted(make().await).await;
        self.what_a_dead_consumer_held_goes_to_the_next(make().await).await;
        self.no_more_than_the_prefetch_is_out(make().await).await;
        self.a_rejected_message_is_kept_with_its_reason(make().await).await;
        self.queues_are_apart(make().await).await;
        self.a_cancelled_wait_loses_nothing(make().await).await;
        self.a_closed_bus_ends_its_consumers(make().await).await;
        self.a_parked_message_comes_when_due_and_not_before(make().await).await;
        self.parked_messages_come_in_the_order_they_are_due(make().await).await;
        self.a_parked_message_holds_nobody_up(make().await).await;
        self.parked_messages_are_counted_by_how_long_they_wait(make().await).await;
        self.a_plans_queue_has_one_consumer_at_a_time(make().await).await;
        self.who_waits_is_woken_by_whatever_frees_a_message(make().await).await;
        self.every_watcher_gets_every_event(make().await).await;
        self.many_senders_and_consumers_lose_nothing(make().await).await;
    }

    /// # Panics
    /// Where the bus does not conform.
    pub async fn messages_come_in_the_order_they_were_sent(&self, bus: Arc<dyn Bus>) {
        send(&bus, &Queue::Outcomes, 0..10).await;
        send(&bus, &Queue::Outcomes, 10..30).await;
        let mut consumer = consume(&bus, &Queue::Outcomes, 100).await;
        let taken = self.take(&mut consumer, 20).await;
        assert_eq!(numbers(&taken), (0..20).collect::<Vec<_>>());
        let one = self.next(&mut consumer).await;
        assert_eq!((number(&one), one.redelivered), (20, 0));
        assert_eq!(numbers(&self.take(&mut consumer, 9).await), (21..30).collect::<Vec<_>>());
    }

    /// # Panics
    /// Where the bus does not conform.
    pub async fn an_acknowledged_message_is_gone(&self, bus: Arc<dyn Bus>) {
        send(&bus, &Queue::Outcomes, 0..4).await;
        let mut consumer = consume(&bus, &Queue::Outcomes, 10).await;
        settled(self.next(&mut consumer).await.ack().await);
        settled(ack_all(self.take(&mut consumer, 2).await).await);
        drop(consumer);
        let mut consumer = consume(&bus, &Queue::Outcomes, 10).await;
        assert_eq!(number(&*self.next(&mut consumer).await), 3, "what was acknowledged must not come again");
    }

    /// # Panics
    /// Where the bus does not conform.
    pub async fn a_dropped_delivery_comes_back_first_and_is_counted(&self, bus: Arc<dyn Bus>) {
        send(&bus, &Queue::Outcomes, 0..3).await;
        let mut consumer = consume(&bus, &Queue::Outcomes, 1).await;
        for redelivered in 0..3 {
            let delivery = self.next(&mut consumer).await;
            assert_eq!((number(&delivery), delivery.redelivered), (0, redelivered));
        }
        settled(self.next(&mut consumer).await.ack().await);
        let delivery = self.next(&mut consumer).await;
        assert_eq!((number(&delivery), delivery.redelivered), (1, 0));
    }

    /// # Panics
    /// Where the bus does not conform.
    pub async fn what_a_dead_consumer_held_goes_to_the_next(&self, bus: Arc<dyn Bus>) {
        send(&bus, &Queue::Outcomes, 0..6).await;
        let mut consumer = consume(&bus, &Queue::Outcomes, 6).await;
        let mut held = self.take(&mut consumer, 3).await;
        let kept = held.pop();
        drop((consumer, held));
        // Still with whoever has it: a handler finishes its work after its consumer has stopped.
        if let Some(kept) = kept {
            settled(kept.ack().await);
        }
        let mut consumer = consume(&bus, &Queue::Outcomes, 6).await;
        let mut again = self.take(&mut consumer, 5).await;
        again.sort_by_key(|delivery| number(delivery));
        assert_eq!(numbers(&again), [0, 1, 3, 4, 5]);
        assert!(again[..2].iter().all(|delivery| delivery.redelivered == 1), "{again:?}");
    }

    /// # Panics
    /// Where the bus does not conform.
    pub async fn no_more_than_the_prefetch_is_out(&self, bus: Arc<dyn Bus>) {
        // Apart: what is sent together may be fetched together, and then another consumer has to wait for it.
        for n in 0..6 {
            send(&bus, &Queue::Outcomes, n..n + 1).await;
        }
        let mut consumer = consume(&bus, &Queue::Outcomes, 3).await;
        let mut held = self.take(&mut consumer, 3).await;
        self.nothing(&mut consumer).await;
        settled(held.remove(1).ack().await);
        let next = self.next(&mut consumer).await;
        assert_eq!(number(&next), 3);
        self.nothing(&mut consumer).await;
        settled(next.reject("of no use").await);
        held.push(self.next(&mut consumer).await);
        assert_eq!(numbers(&held), [0, 2, 4]);
        // Another consumer has a prefetch of its own.
        let mut other = consume(&bus, &Queue::Outcomes, 3).await;
        assert_eq!(number(&*self.next(&mut other).await), 5);
    }

    /// # Panics
    /// Where the bus does not conform.
    pub async fn a_rejected_message_is_kept_with_its_reason(&self, bus: Arc<dyn Bus>) {
        send(&bus, &Queue::Outcomes, 0..2).await;
        let mut consumer = consume(&bus, &Queue::Outcomes, 1).await;
        drop(self.next(&mut consumer).await);
        settled(self.next(&mut consumer).await.reject("no such job").await);
        assert_eq!(number(&*self.next(&mut consumer).await), 1, "what was rejected must not come again");
        let letters = self.until("the dead letter is listed", async || match bus.dead(10).await {
            Ok(taken) => (!taken.letters.is_empty()).then_some(taken),
            Err(error) => panic!("taking dead letters: {error}"),
        });
        let taken = letters.await;
        let [letter] = taken.letters.as_slice() else { panic!("one dead letter expected: {taken:?}") };
        let dead_id = letter.id();
        let id = letter.envelope.as_ref().map(|envelope| envelope.id.as_u128());
        assert_eq!((id, letter.redelivered), (Some(0), 1));
        assert_eq!((&letter.queue, letter.reason.as_str()), (&Queue::Outcomes, "no such job"));
        drop(taken);
        let again = self.until("what was dropped is there again", async || match bus.dead(10).await {
            Ok(taken) => (!taken.letters.is_empty()).then_some(taken),
            Err(error) => panic!("taking dead letters: {error}"),
        });
        let again = again.await;
        assert_eq!(again.letters[0].id(), dead_id, "the same letter has the same id");
        settled(again.ack().await);
        assert!(bus.dead(10).await.is_ok_and(|left| left.letters.is_empty()), "acknowledged, it is gone");
    }

    /// # Panics
    /// Where the bus does not conform.
    pub async fn queues_are_apart(&self, bus: Arc<dyn Bus>) {
        let calls = |provider: &str, lane| Queue::Calls { provider: provider.into(), lane };
        let mut queues = vec![Queue::Outcomes, Queue::Plans(0), Queue::Plans(1), calls("mastodon", Lane::Bulk)];
        queues.extend([calls("mastodon", Lane::Normal), calls("github", Lane::Normal)]);
        for (queue, n) in queues.iter().zip(0..) {
            send(&bus, queue, n..n + 1).await;
        }
        for (queue, n) in queues.iter().zip(0..) {
            let mut consumer = consume(&bus, queue, 10).await;
            let delivery = self.next(&mut consumer).await;
            assert_eq!(number(&delivery), n, "{queue}");
            self.nothing(&mut consumer).await;
        }
    }

    /// # Panics
    /// Where the bus does not conform.
    pub async fn a_cancelled_wait_loses_nothing(&self, bus: Arc<dyn Bus>) {
        let mut consumers = [consume(&bus, &Queue::Outcomes, 5).await, consume(&bus, &Queue::Outcomes, 5).await];
        let mut taken = Vec::new();
        for n in 0..5 {
            let [one, other] = &mut consumers;
            // Both wait, one gets it or is cancelled as it gets it; then it must still be there.
            let first = tokio::select! {
                first = one.next() => first,
                first = other.next_batch(1) => first.into_iter().next(),
                () = async { send(&bus, &Queue::Outcomes, n..n + 1).await } => None,
            };
            taken.push(match first {
                Some(delivery) => delivery,
                None => tokio::select! {
                    delivery = self.next(one) => delivery,
                    delivery = self.next(other) => delivery,
                },
            });
        }
        assert_eq!(numbers(&taken), [0, 1, 2, 3, 4]);
    }

    /// # Panics
    /// Where the bus does not conform.
    pub async fn a_closed_bus_ends_its_consumers(&self, bus: Arc<dyn Bus>) {
        send(&bus, &Queue::Plans(0), 0..1).await;
        let mut waiting = Vec::new();
        for queue in [Queue::Outcomes, Queue::Plans(0), Queue::Plans(0), Queue::Events] {
            let mut consumer = consume(&bus, &queue, 1).await;
            waiting.push(tokio::spawn(async move {
                let first = consumer.next().await;
                (first.is_some(), consumer.next().await.is_none(), consumer.next_batch(9).await.is_empty())
            }));
        }
        // The first consumer of the plans has its prefetch used up, the second waits for its turn.
        tokio::time::sleep(self.quiet).await;
        bus.close().await;
        for (task, got_one) in waiting.into_iter().zip([false, true, false, false]) {
            let ended = tokio::time::timeout(self.patience, task).await;
            assert!(matches!(ended, Ok(Ok(end)) if end == (got_one, true, true)), "{ended:?}");
        }
        let sent = bus.publish(&Queue::Outcomes, vec![message(0)]).await;
        assert!(matches!(sent, Err(BusError::Closed)), "{sent:?}");
        let parked = bus.publish_later(&Queue::Outcomes, message(0), 0).await;
        assert!(matches!(parked, Err(BusError::Closed)), "{parked:?}");
        assert!(matches!(bus.consume(&Queue::Outcomes, 1).await.map(drop), Err(BusError::Closed)));
    }

    /// The next delivery.
    async fn next(&self, consumer: &mut Box<dyn Consumer>) -> Delivery {
        match tokio::time::timeout(self.patience, consumer.next()).await {
            Ok(Some(delivery)) => delivery,
            Ok(None) => panic!("the consumer ended"),
            Err(_) => panic!("no message within {:?}", self.patience),
        }
    }

    /// The next `count` deliveries, by batches.
    async fn take(&self, consumer: &mut Box<dyn Consumer>, count: usize) -> Vec<Delivery> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let left = count - taken.len();
            match tokio::time::timeout(self.patience, consumer.next_batch(left)).await {
                Ok(batch) if batch.is_empty() => panic!("the consumer ended"),
                Ok(batch) => taken.extend(batch),
                Err(_) => panic!("{} of {count} messages within {:?}", taken.len(), self.patience),
            }
        }
        assert_eq!(taken.len(), count, "a batch is no longer than asked for");
        taken
    }

    /// Nothing comes for a while.
    async fn nothing(&self, consumer: &mut Box<dyn Consumer>) {
        if let Ok(delivery) = tokio::time::timeout(self.quiet, consumer.next()).await {
            panic!("nothing should come: {delivery:?}");
        }
    }

    /// Asks until there is an answer.
    async fn until<T>(&self, what: &str, ask: impl AsyncFn() -> Option<T>) -> T {
        let asking = async {
            loop {
                match ask().await {
                    Some(answer) => return answer,
                    None => tokio::time::sleep(Duration::from_millis(5)).await,
                }
            }
        };
        match tokio::time::timeout(self.patience, asking).await {
            Ok(answer) => answer,
            Err(_) => panic!("not within {:?}: {what}", self.patience),
        }
    }
}

/// A message that is told from others by its number.
#[must_use]
pub fn message(number: u128) -> Envelope {
    let job = JobId::from_slice(&number.to_be_bytes()).unwrap_or_default();
    let message = Message::JobSubmitted(JobSubmitted { job });
    Envelope { version: VERSION, id: Uuid::from_u128(number), sent_at_ms: 0, traceparent: None, message }
}

/// The number of a message.
#[must_use]
pub fn number(parcel: &Parcel) -> u128 {
    parcel.envelope.id.as_u128()
}

fn numbers(deliveries: &[Delivery]) -> Vec<u128> {
    deliveries.iter().map(|delivery| number(delivery)).collect()
}

async fn send(bus: &Arc<dyn Bus>, queue: &Queue, numbers: std::ops::Range<u128>) {
    if let Err(error) = bus.publish(queue, numbers.map(message).collect()).await {
        panic!("publishing to {queue}: {error}");
    }
}

async fn consume(bus: &Arc<dyn Bus>, queue: &Queue, prefetch: u16) -> Box<dyn Consumer> {
    match bus.consume(queue, prefetch).await {
        Ok(consumer) => consumer,
        Err(error) => panic!("consuming {queue}: {error}"),
    }
}

fn settled(result: Result<(), BusError>) {
    if let Err(error) = result {
        panic!("settling: {error}");
    }
}
