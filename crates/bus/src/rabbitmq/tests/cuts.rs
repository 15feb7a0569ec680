//! Links that are cut, and a broker that is not there.

use std::collections::HashSet;

use tidegate_daemon::Status;

use super::relay::{Relay, listen};
use super::*;

fn target() -> String {
    let authority = config().uri().expect("an address").authority;
    format!("{}:{}", authority.host, authority.port)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_confirmed_is_lost_when_links_are_cut_and_consumers_come_back() {
    const TOTAL: u128 = 3_000;
    on_broker(config(), async |steady| {
        let relay = Relay::start(target()).await;
        let bus = connect(&by(relay.port, &steady.core.config)).await;
        let mut consumer = bus.consume(&Queue::Outcomes, 50).await.expect("consumes");
        let publisher = tokio::spawn({
            let bus = bus.clone();
            async move {
                let mut confirmed = HashSet::new();
                for n in (0..TOTAL).step_by(10) {
                    if bus.publish(&Queue::Outcomes, messages(n..n + 10)).await.is_ok() {
                        confirmed.extend(n..n + 10);
                    }
                }
                confirmed
            }
        });
        let mut seen = HashSet::new();
        let consuming = async {
            let mut next_cut = TOTAL as usize / 5;
            while (seen.len() as u128) < TOTAL {
                let batch = consumer.next_batch(20).await;
                seen.extend(batch.iter().map(|delivery| number(delivery)));
                if seen.len() >= next_cut {
                    next_cut += TOTAL as usize / 5;
                    relay.cut();
                }
                // One that is on its way when the link is cut may be lost and not fail; then its message comes again.
                let _ = crate::ack_all(batch).await;
            }
        };
        within("every message", consuming).await;
        let confirmed = publisher.await.expect("no panic");
        assert_eq!(confirmed.len() as u128, TOTAL, "publishing goes on over cuts, within its deadline");
        assert!(confirmed.is_subset(&seen));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_in_hand_of_a_lost_link_comes_again_and_counts_once() {
    on_broker(config(), async |steady| {
        let relay = Relay::start(target()).await;
        let bus = connect(&by(relay.port, &steady.core.config)).await;
        let mut consumer = bus.consume(&Queue::Plans(1), 10).await.expect("consumes");
        bus.publish(&Queue::Plans(1), messages(0..2)).await.expect("sent");
        let mut watcher = bus.consume(&Queue::Events, 1).await.expect("watches");
        for cut in 0..3 {
            let held = next(&mut consumer).await;
            assert_eq!((number(&held), held.redelivered), (0, u32::from(cut > 0)), "cut {cut}");
            relay.cut();
            until("the cut is noticed", || bus.core.consuming.live().is_none()).await;
            let acknowledged = held.ack().await;
            assert!(matches!(acknowledged, Err(BusError::Broker { .. })), "{acknowledged:?}");
        }
        for expected in [0, 1] {
            let delivery = next(&mut consumer).await;
            assert_eq!(number(&delivery), expected);
            delivery.ack().await.expect("acknowledged");
        }
        // A watcher comes back too, though it missed what was sent meanwhile.
        let heard = async {
            loop {
                steady.publish(&Queue::Events, messages(5..6)).await.expect("sent");
                let event = tokio::time::timeout(Duration::from_millis(200), watcher.next()).await;
                if let Ok(Some(event)) = event {
                    return number(&event);
                }
            }
        };
        assert_eq!(within("an event", heard).await, 5);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broker_that_stays_away_is_reported_and_given_up_and_comes_back() {
    on_broker(config(), async |steady| {
        let relay = Relay::start(target()).await;
        let config = by(relay.port, &steady.core.config);
        let (publish_timeout, give_up_after) = (Duration::from_millis(500), Duration::from_secs(1));
        let bus = connect(&RabbitConfig { publish_timeout, give_up_after, ..config }).await;
        let up = || bus.checks().iter().all(|(_, check)| check.status() == Status::Up);
        let mut consumer = bus.consume(&Queue::Outcomes, 1).await.expect("consumes");
        assert!(up() && bus.lost_for().is_none());
        relay.set_open(false);
        relay.cut();
        let error = bus.publish(&Queue::Outcomes, messages(0..1)).await.expect_err("nobody is there");
        assert!(matches!(error, BusError::Broker { .. }), "{error}");
        within("giving up", bus.given_up()).await;
        assert!(!up() && bus.lost_for() >= Some(give_up_after));
        relay.set_open(true);
        until("it is back", || bus.lost_for().is_none()).await;
        bus.publish(&Queue::Outcomes, messages(1..2)).await.expect("sent");
        let delivery = next(&mut consumer).await;
        assert!([0, 1].contains(&number(&delivery)), "what failed may be there all the same");
        until("all is well", up).await;
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bus_that_starts_before_its_broker_waits_for_it() {
    on_broker(config(), async |steady| {
        let (listener, port) = listen().await;
        drop(listener);
        let connect_timeout = Duration::from_millis(300);
        let config = RabbitConfig { connect_timeout, ..by(port, &steady.core.config) };
        let bus = connect(&config).await;
        let mut consumer = bus.consume(&Queue::Outcomes, 1).await.expect("consumes, later");
        let sending = tokio::spawn({
            let bus = bus.clone();
            async move { bus.publish(&Queue::Outcomes, messages(3..4)).await }
        });
        let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await.expect("still free");
        let _relay = Relay::on(listener, port, target());
        assert_eq!(number(&*next(&mut consumer).await), 3);
        sending.await.expect("no panic").expect("sent");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_link_that_falls_silent_is_noticed_by_its_heartbeat() {
    on_broker(config(), async |steady| {
        let relay = Relay::start(target()).await;
        let config = RabbitConfig { heartbeat: Duration::from_secs(1), ..by(relay.port, &steady.core.config) };
        let bus = connect(&config).await;
        let mut consumer = bus.consume(&Queue::Outcomes, 1).await.expect("consumes");
        bus.publish(&Queue::Outcomes, messages(0..1)).await.expect("sent");
        next(&mut consumer).await.ack().await.expect("acknowledged");
        relay.stall();
        bus.publish(&Queue::Outcomes, messages(1..2)).await.expect("sent over another link");
        assert_eq!(number(&*next(&mut consumer).await), 1);
    })
    .await;
}
