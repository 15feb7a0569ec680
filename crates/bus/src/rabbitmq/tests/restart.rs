//! A broker of the test's own, killed and started again, or out of memory.

use std::collections::HashSet;

use super::node::Node;
use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_confirmed_is_lost_when_the_broker_is_killed_and_all_goes_on_when_it_is_back() {
    const TOTAL: u128 = 600;
    let Some(mut node) = Node::start().await else { return };
    let away = Duration::from_secs(300);
    let config = RabbitConfig { publish_timeout: away, connect_timeout: Duration::from_secs(60), ..config() };
    let bus = connect(&by(node.port, &config)).await;
    let mut consumer = bus.consume(&Queue::Outcomes, 20).await.expect("consumes");
    let publisher = tokio::spawn({
        let bus = bus.clone();
        async move {
            let mut confirmed = HashSet::new();
            for n in 0..TOTAL {
                if bus.publish(&Queue::Outcomes, messages(n..n + 1)).await.is_ok() {
                    confirmed.insert(n);
                }
            }
            confirmed
        }
    });
    let mut seen = HashSet::new();
    let consuming = async {
        let mut killed = false;
        // What waits on the ladder meanwhile is not lost either, but comes when the broker looks again, up to three minutes
        // later; the tracker does not wait for that.
        while (seen.len() as u128) < TOTAL {
            let batch = consumer.next_batch(20).await;
            seen.extend(batch.iter().map(|delivery| number(delivery)));
            if !killed && seen.len() as u128 > TOTAL / 3 {
                killed = true;
                // Which queues there are, and who leads them, it writes down within seconds or minutes; messages it writes
                // before it confirms them.
                node.control(&["eval", "mnesia:sync_log(), [dets:sync(Table) || Table <- dets:all()]."]);
                node.kill();
                node.run();
            }
            // What was in hand as it died can't be acknowledged, and comes again.
            let acknowledged = crate::ack_all(batch).await;
            assert!(acknowledged.is_ok() || killed, "{acknowledged:?}");
        }
    };
    let all = tokio::time::timeout(away, consuming).await;
    assert!(all.is_ok(), "{} messages in time; lost for {:?}", seen.len(), bus.lost_for());
    let confirmed = publisher.await.expect("no panic");
    assert_eq!(confirmed.len() as u128, TOTAL);
    assert!(confirmed.is_subset(&seen));
    // A link that nobody needed meanwhile comes back by itself, too, a little later.
    let both_are_back = async {
        while bus.lost_for().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(away, both_are_back).await.is_ok(), "lost for {:?}", bus.lost_for());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_parked_on_several_levels_outlives_a_broker_that_is_killed() {
    const TOTAL: u128 = 60;
    let Some(mut node) = Node::start().await else { return };
    let away = Duration::from_secs(300);
    let config = RabbitConfig { publish_timeout: away, connect_timeout: Duration::from_secs(60), ..config() };
    let bus = connect(&by(node.port, &config)).await;
    let mut consumer = bus.consume(&Queue::Outcomes, 100).await.expect("consumes");
    let first_due_ms = clock::now_ms() + 20_000;
    let due_ms = |number: u128| first_due_ms + number as i64 * 1_000;
    for number in 0..TOTAL {
        bus.publish_later(&Queue::Outcomes, message(number), due_ms(number)).await.expect("parked");
    }
    let before = bus.parked().await.expect("counted");
    assert_eq!(before.iter().sum::<usize>() as u128, TOTAL, "{before:?}");
    assert!(before.iter().filter(|count| **count > 0).count() > 1, "{before:?}");
    node.control(&["eval", "mnesia:sync_log(), [dets:sync(Table) || Table <- dets:all()]."]);
    node.kill();
    node.run();
    let mut seen = HashSet::new();
    let coming = async {
        while (seen.len() as u128) < TOTAL {
            let batch = consumer.next_batch(100).await;
            let now_ms = clock::now_ms();
            for delivery in &batch {
                assert!(now_ms >= due_ms(number(delivery)), "{} comes early", number(delivery));
            }
            seen.extend(batch.iter().map(|delivery| number(delivery)));
            crate::ack_all(batch).await.expect("acknowledged");
        }
    };
    let all = tokio::time::timeout(away, coming).await;
    assert!(all.is_ok(), "{} of {TOTAL} messages in time", seen.len());
    assert_eq!(bus.parked().await.expect("counted").iter().sum::<usize>(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_an_alarm_publishers_wait_and_then_fail_while_consumers_go_on() {
    let Some(node) = Node::start().await else { return };
    let connect_timeout = Duration::from_secs(60);
    let config = by(node.port, &RabbitConfig { connect_timeout, ..config() });
    let bus = connect(&config).await;
    bus.publish(&Queue::Outcomes, messages(0..3)).await.expect("sent");
    let hasty = connect(&RabbitConfig { publish_timeout: Duration::from_secs(1), ..config }).await;
    let mut consumer = bus.consume(&Queue::Outcomes, 10).await.expect("consumes");
    node.control(&["set_vm_memory_high_watermark", "absolute", "1"]);
    let error = within("an answer", async {
        loop {
            // The first may still be taken: the broker blocks those who publish as they do.
            if let Err(error) = hasty.publish(&Queue::Plans(0), messages(7..8)).await {
                return error;
            }
        }
    });
    assert!(matches!(error.await, BusError::Broker { .. }));
    for expected in 0..3 {
        let delivery = next(&mut consumer).await;
        assert_eq!(number(&delivery), expected);
        delivery.ack().await.expect("acknowledged");
    }
    node.control(&["set_vm_memory_high_watermark", "0.4"]);
    bus.publish(&Queue::Outcomes, messages(9..10)).await.expect("sent");
    assert_eq!(number(&*next(&mut consumer).await), 9);
}
