//! The bus inside of one process: it conforms, and what is its own.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tidegate_daemon::clock;

use super::*;
use crate::ack_all;
use crate::conformance::{Conformance, message, number};

macro_rules! conforms {
    ($($check:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                Conformance::new(clock::system()).$check(Arc::new(bus())).await;
            }
        )*
    };
}

conforms! {
    messages_come_in_the_order_they_were_sent
    an_acknowledged_message_is_gone
    a_dropped_delivery_comes_back_first_and_is_counted
    what_a_dead_consumer_held_goes_to_the_next
    no_more_than_the_prefetch_is_out
    a_rejected_message_is_kept_with_its_reason
    queues_are_apart
    a_cancelled_wait_loses_nothing
    a_closed_bus_ends_its_consumers
    a_parked_message_comes_when_due_and_not_before
    parked_messages_come_in_the_order_they_are_due
    a_parked_message_holds_nobody_up
    parked_messages_are_counted_by_how_long_they_wait
    a_plans_queue_has_one_consumer_at_a_time
    who_waits_is_woken_by_whatever_frees_a_message
    every_watcher_gets_every_event
    many_senders_and_consumers_lose_nothing
}

fn bus() -> InProcess {
    InProcess::new(InProcessConfig::default(), clock::system())
}

/// A bus whose queues hold five messages.
fn small(publish_timeout: Duration) -> InProcess {
    let config = InProcessConfig { queue_max: 5, publish_timeout, ..InProcessConfig::default() };
    InProcess::new(config, clock::system())
}

fn messages(numbers: std::ops::Range<u128>) -> Vec<Envelope> {
    numbers.map(message).collect()
}

#[tokio::test]
async fn it_conforms_on_one_thread_too() {
    Conformance::new(clock::system()).all(async || Arc::new(bus()) as Arc<dyn Bus>).await;
}

#[tokio::test]
async fn a_full_queue_takes_all_or_nothing_and_is_named() {
    let bus = small(Duration::ZERO);
    bus.publish(&Queue::Plans(2), messages(0..3)).await.expect("room");
    bus.publish_later(&Queue::Plans(2), message(3), i64::MAX).await.expect("room");
    let error = bus.publish(&Queue::Plans(2), messages(4..6)).await.expect_err("full");
    assert_eq!(error.to_string(), "queue tidegate.plans.1.2 takes no messages: it holds 5, or can't store more");
    bus.publish(&Queue::Plans(2), messages(4..5)).await.expect("room for one");
    assert!(matches!(bus.publish_later(&Queue::Plans(2), message(5), 0).await, Err(BusError::Full { .. })));
    bus.publish(&Queue::Outcomes, messages(0..5)).await.expect("another queue has its own room");
    // What is out makes room, and can come back all the same.
    let taken = bus.consume(&Queue::Plans(2), 9).await.expect("open").next_batch(9).await;
    bus.publish(&Queue::Plans(2), messages(5..9)).await.expect("room");
    drop(taken);
    assert_eq!(bus.depth(&Queue::Plans(2)).await.expect("open").ready, 8);
}

#[tokio::test]
async fn who_publishes_to_a_full_queue_waits_until_there_is_room_for_all() {
    let bus = small(Duration::from_mins(1));
    bus.publish(&Queue::Outcomes, messages(0..4)).await.expect("room");
    let mut waiting = bus.publish(&Queue::Outcomes, messages(4..6));
    assert!(futures_util::poll!(&mut waiting).is_pending(), "there is room for one");
    bus.publish_later(&Queue::Outcomes, message(9), 0).await.expect("room for one");
    let mut consumer = bus.consume(&Queue::Outcomes, 9).await.expect("open");
    let mut taken = consumer.next_batch(1).await;
    assert!(futures_util::poll!(&mut waiting).is_pending(), "there is room for one");
    taken.extend(consumer.next_batch(1).await);
    tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("woken").expect("room for both");
    taken.extend(consumer.next_batch(9).await);
    let mut taken: Vec<u128> = taken.iter().map(|delivery| number(delivery)).collect();
    taken.sort_unstable();
    assert_eq!(taken, [0, 1, 2, 3, 4, 5, 9]);
}

#[tokio::test]
async fn a_closed_bus_lets_those_go_who_wait_for_room() {
    let bus = small(Duration::from_mins(1));
    bus.publish(&Queue::Outcomes, messages(0..5)).await.expect("room");
    let mut waiting = bus.publish(&Queue::Outcomes, messages(5..6));
    assert!(futures_util::poll!(&mut waiting).is_pending(), "there is no room");
    bus.close().await;
    let ended = tokio::time::timeout(Duration::from_secs(5), waiting).await.expect("woken");
    assert!(matches!(ended, Err(BusError::Closed)), "{ended:?}");
}

#[tokio::test]
async fn the_depth_says_where_messages_are() {
    let now = Arc::new(AtomicI64::new(0));
    let clock: Clock = Arc::new({
        let now = now.clone();
        move || now.load(Ordering::SeqCst)
    });
    let bus = InProcess::new(InProcessConfig::default(), clock);
    let depth = async || {
        let QueueDepth { ready, unacked, delayed } = bus.depth(&Queue::Outcomes).await.expect("open");
        (ready, unacked, delayed)
    };
    assert_eq!(depth().await, (0, 0, 0));
    bus.publish(&Queue::Outcomes, messages(0..4)).await.expect("room");
    bus.publish_later(&Queue::Outcomes, message(4), 1_000).await.expect("room");
    let mut consumer = bus.consume(&Queue::Outcomes, 9).await.expect("open");
    let mut taken = consumer.next_batch(3).await;
    assert_eq!(depth().await, (1, 3, 1));
    taken.pop().expect("three").reject("bad").await.expect("settled");
    drop(taken.pop());
    assert_eq!((depth().await, bus.depth(&Queue::Dead).await.expect("open").ready), ((2, 1, 1), 1));
    now.store(1_000, Ordering::SeqCst);
    assert_eq!(depth().await, (3, 1, 0));
    taken.extend(consumer.next_batch(9).await);
    ack_all(taken).await.expect("settled");
    assert_eq!(depth().await, (0, 0, 0));
}

#[tokio::test]
async fn who_is_woken_and_goes_away_wakes_the_next() {
    let bus = bus();
    let mut first = bus.consume(&Queue::Outcomes, 1).await.expect("open");
    let mut second = bus.consume(&Queue::Outcomes, 1).await.expect("open");
    let (mut first_waits, mut second_waits) = (first.next(), second.next());
    for waiting in [&mut first_waits, &mut second_waits] {
        assert!(tokio::time::timeout(Duration::from_millis(1), waiting).await.is_err());
    }
    bus.publish(&Queue::Outcomes, messages(0..1)).await.expect("room");
    drop(first_waits);
    let taken = tokio::time::timeout(Duration::from_secs(5), second_waits).await.expect("woken");
    assert_eq!(taken.map(|delivery| number(&delivery)), Some(0));
}

#[tokio::test]
async fn who_leaves_messages_behind_wakes_the_next() {
    let bus = bus();
    let mut consumers = Vec::new();
    for _ in 0..3 {
        consumers.push(bus.consume(&Queue::Outcomes, 1).await.expect("open"));
    }
    let mut waiting: Vec<_> = consumers.iter_mut().map(|consumer| consumer.next()).collect();
    for waits in &mut waiting {
        assert!(tokio::time::timeout(Duration::from_millis(1), waits).await.is_err());
    }
    bus.publish(&Queue::Outcomes, messages(0..3)).await.expect("room");
    let mut taken = Vec::new();
    for waits in waiting {
        taken.extend(tokio::time::timeout(Duration::from_secs(5), waits).await.expect("woken"));
    }
    assert_eq!(taken.len(), 3);
}

#[tokio::test]
async fn a_clock_that_is_set_is_noticed_by_who_waits() {
    let now = Arc::new(AtomicI64::new(0));
    let clock: Clock = Arc::new({
        let now = now.clone();
        move || now.load(Ordering::SeqCst)
    });
    let bus = InProcess::new(InProcessConfig::default(), clock);
    bus.publish_later(&Queue::Outcomes, message(1), 3_600_000).await.expect("room");
    let mut consumer = bus.consume(&Queue::Outcomes, 1).await.expect("open");
    let waiting = tokio::spawn(async move { consumer.next().await.map(|delivery| number(&delivery)) });
    tokio::task::yield_now().await;
    now.store(3_600_000, Ordering::SeqCst);
    let due = tokio::time::timeout(Duration::from_secs(5), waiting).await;
    assert_eq!(due.expect("in time").expect("no panic"), Some(1));
}

#[tokio::test]
async fn a_slow_watcher_misses_the_oldest_events_and_holds_nobody_up() {
    let bus = InProcess::new(InProcessConfig { events_max: 4, ..InProcessConfig::default() }, clock::system());
    let mut watcher = bus.consume(&Queue::Events, 1).await.expect("open");
    bus.publish(&Queue::Events, messages(0..10)).await.expect("sent");
    let seen: Vec<u128> = watcher.next_batch(9).await.iter().map(|delivery| number(delivery)).collect();
    assert_eq!(seen, [6, 7, 8, 9]);
}

#[tokio::test]
async fn the_dead_letters_take_and_give_nothing_directly() {
    let bus = bus();
    assert!(matches!(bus.publish(&Queue::Dead, messages(0..1)).await, Err(BusError::Refused { .. })));
    assert!(matches!(bus.publish_later(&Queue::Dead, message(0), 0).await, Err(BusError::Refused { .. })));
    assert!(matches!(bus.consume(&Queue::Dead, 1).await.map(drop), Err(BusError::Refused { .. })));
}

#[tokio::test]
async fn queues_without_end_are_refused() {
    let bus = bus();
    for n in 0..QUEUES_MAX {
        bus.publish(&Queue::Plans(u32::try_from(n).expect("small")), Vec::new()).await.expect("room");
    }
    let error = bus.publish(&Queue::Outcomes, Vec::new()).await.expect_err("one too many");
    assert_eq!(error.to_string(), "queue tidegate.outcomes.1 is one too many");
    bus.publish(&Queue::Plans(0), Vec::new()).await.expect("an old one still works");
}

#[tokio::test]
async fn a_dropped_bus_ends_its_consumers() {
    let bus = bus();
    let mut consumer = bus.consume(&Queue::Outcomes, 1).await.expect("open");
    drop(bus);
    assert!(consumer.next().await.is_none());
}

#[tokio::test]
async fn it_has_no_results_exchange_and_says_so() {
    let bus = bus();
    assert!(!bus.pushes());
    for refused in [
        bus.publish(&Queue::Results, messages(0..1)).await,
        bus.publish_later(&Queue::Results, message(0), 0).await,
        bus.consume(&Queue::Results, 1).await.map(drop),
    ] {
        assert!(matches!(refused, Err(BusError::Refused { queue: Queue::Results, .. })), "{refused:?}");
    }
}
