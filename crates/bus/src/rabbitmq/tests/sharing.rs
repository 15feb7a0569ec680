//! Many messages in one of the broker's.

use super::*;
use crate::ack_all;

/// Publishers, and messages that each sends one after another.
const MANY: u128 = 50;
const EACH: u128 = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_publishers_share_messages_and_each_keeps_its_order() {
    on_broker(config(), async |bus| {
        let mut tasks = Vec::new();
        for publisher in 0..MANY {
            let bus = bus.clone();
            tasks.push(tokio::spawn(async move {
                for n in 0..EACH {
                    let envelope = message(publisher * EACH + n);
                    bus.publish(&Queue::Outcomes, vec![envelope]).await.expect("sent");
                }
            }));
        }
        for task in tasks {
            task.await.expect("no panic");
        }
        let ready = bus.depth(&Queue::Outcomes).await.expect("counted").ready;
        assert!(ready > 0 && (ready as u128) < MANY * EACH / 2, "{ready} messages of the broker's");
        let mut consumer = bus.consume(&Queue::Outcomes, 2_000).await.expect("consumes");
        let mut numbers = Vec::new();
        while (numbers.len() as u128) < MANY * EACH {
            let batch = within("messages", consumer.next_batch(256)).await;
            numbers.extend(batch.iter().map(|delivery| number(delivery)));
            ack_all(batch).await.expect("acknowledged");
        }
        for publisher in 0..MANY {
            let of: Vec<u128> = numbers.iter().copied().filter(|n| n / EACH == publisher).collect();
            assert_eq!(of, (publisher * EACH..(publisher + 1) * EACH).collect::<Vec<_>>());
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_shared_message_is_settled_part_by_part() {
    on_broker(config(), async |bus| {
        bus.publish(&Queue::Outcomes, messages(0..5)).await.expect("sent");
        assert_eq!(bus.depth(&Queue::Outcomes).await.expect("counted").ready, 1, "they share one");
        let mut consumer = bus.consume(&Queue::Outcomes, 10).await.expect("consumes");
        let mut taken = within("messages", consumer.next_batch(4)).await;
        taken.remove(3).reject("bad").await.expect("rejected");
        taken.remove(2).ack().await.expect("acknowledged");
        drop(taken.remove(1));
        let again = next(&mut consumer).await;
        assert_eq!((number(&again), again.redelivered), (1, 1), "what is dropped comes back first");
        drop((consumer, again));
        // One is still out; the rest goes to the next consumer, with its count.
        let mut consumer = bus.consume(&Queue::Outcomes, 10).await.expect("consumes");
        let mut seen = Vec::new();
        for _ in 0..2 {
            let delivery = next(&mut consumer).await;
            seen.push((number(&delivery), delivery.redelivered));
            delivery.ack().await.expect("acknowledged");
        }
        assert_eq!(seen, [(1, 2), (4, 0)]);
        taken.remove(0).ack().await.expect("acknowledged after its consumer is gone");
        let dead = bus.dead(10).await.expect("taken").letters;
        let ids: Vec<_> =
            dead.iter().map(|letter| letter.envelope.as_ref().map(|envelope| envelope.id.as_u128())).collect();
        assert_eq!(ids, [Some(3)]);
    })
    .await;
    // Checked from outside: nothing of it is left with the broker.
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_before_it_is_due_is_parked_again() {
    on_broker(config(), async |bus| {
        // The sender's clock is two seconds ahead, as if the message had come down from the ladder's longest wait.
        let ahead: Clock = Arc::new(|| clock::now_ms() + 2_000);
        let sender = RabbitMq::connect(bus.core.config.clone(), ahead).await.expect("connects");
        let mut consumer = bus.consume(&Queue::Outcomes, 10).await.expect("consumes");
        let due_ms = clock::now_ms() + 3_000;
        sender.publish_later(&Queue::Outcomes, message(1), due_ms).await.expect("parked");
        let delivery = next(&mut consumer).await;
        assert!(clock::now_ms() >= due_ms, "{} ms early", due_ms - clock::now_ms());
        assert_eq!((number(&delivery), delivery.redelivered), (1, 0));
        delivery.ack().await.expect("acknowledged");
        // What the sender used, the bus would not know to delete.
        sender.delete_all().await.expect("deleted");
    })
    .await;
}
