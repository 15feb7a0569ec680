//! The bus over a real broker (`TIDEGATE_TEST_RABBITMQ`): it conforms, and what is its own. Each test has a prefix of
//! its own, and deletes what it made.

mod bounds;
mod cuts;
mod node;
mod pages;
mod poison;
mod relay;
mod restart;
mod sharing;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use secrecy::SecretString;
use tidegate_contracts::Envelope;
use tidegate_daemon::clock;
use uuid::Uuid;

use super::*;
use crate::Delivery;
use crate::conformance::{Conformance, message, number};

macro_rules! conforms {
    ($($check:ident)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $check() {
                on_broker(config(), async |bus| suite().$check(bus).await).await;
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

fn suite() -> Conformance {
    let (delay, patience, quiet) = (Duration::from_secs(1), Duration::from_secs(30), Duration::from_millis(100));
    Conformance { clock: clock::system(), delay, patience, quiet }
}

fn url() -> String {
    std::env::var("TIDEGATE_TEST_RABBITMQ").unwrap_or_else(|_| "amqp://guest:guest@127.0.0.1:5672".into())
}

/// Under a prefix of its own.
fn config() -> RabbitConfig {
    let prefix = format!("test-{}.", Uuid::now_v7().simple());
    RabbitConfig { prefix, publish_timeout: Duration::from_secs(30), ..RabbitConfig::new(SecretString::from(url())) }
}

/// The same deployment by another way to the broker.
fn by(port: u16, config: &RabbitConfig) -> RabbitConfig {
    let mut url = config.uri().expect("an address");
    url.authority.port = port;
    RabbitConfig { url: SecretString::from(url.to_string()), ..config.clone() }
}

async fn connect(config: &RabbitConfig) -> Arc<RabbitMq> {
    Arc::new(RabbitMq::connect(config.clone(), clock::system()).await.expect("connects"))
}

/// Runs a test, and deletes what it made, whatever came of it.
async fn on_broker(config: RabbitConfig, test: impl AsyncFnOnce(Arc<RabbitMq>)) {
    let bus = connect(&config).await;
    let result = AssertUnwindSafe(test(bus.clone())).catch_unwind().await;
    // What consumers leave behind they bring back on their own; deleted before, it would be made anew.
    let gone = async {
        while Arc::strong_count(&bus.core) > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    if tokio::time::timeout(Duration::from_secs(10), gone).await.is_err() {
        assert!(result.is_err(), "a delivery or consumer is never let go");
    }
    bus.delete_all().await.expect("deleted");
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

fn messages(numbers: std::ops::Range<u128>) -> Vec<Envelope> {
    numbers.map(message).collect()
}

async fn within<T>(what: &str, work: impl Future<Output = T>) -> T {
    let result = tokio::time::timeout(Duration::from_secs(30), work).await;
    result.unwrap_or_else(|_| panic!("not in time: {what}"))
}

async fn next(consumer: &mut Box<dyn Consumer>) -> Delivery {
    within("a message", consumer.next()).await.expect("not closed")
}

async fn until(what: &str, ask: impl Fn() -> bool) {
    let asking = async {
        while !ask() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    within(what, asking).await;
}
