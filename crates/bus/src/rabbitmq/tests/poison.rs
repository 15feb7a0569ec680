//! What nobody can read.

use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use tidegate_contracts::BATCH_TYPE;

use super::*;

/// Publishes bytes past the bus, and waits until the broker has them.
async fn publish_raw(bus: &RabbitMq, queue: &Queue, kind: &str, bytes: &[u8]) {
    let live = bus.core.publishing.ready().await;
    let channel = live.channel(true).await.expect("a channel");
    let name = bus.core.plan.queue(queue);
    let (options, properties) =
        (BasicPublishOptions::default(), BasicProperties::default().with_content_type(kind.into()));
    let confirm = channel.basic_publish("".into(), name.into(), options, bytes, properties).await.expect("sent");
    assert!(confirm.await.expect("confirmed").is_ack());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_goes_to_the_dead_letters_at_once_and_holds_nobody_up() {
    on_broker(config(), async |bus| {
        let mut consumer = bus.consume(&Queue::Outcomes, 10).await.expect("consumes");
        let nested = [vec![b'['; 100_000], vec![b']'; 100_000]].concat();
        let good = message(7).encode().expect("JSON");
        let half = [&br#"{"version":1,"messages":["#[..], &good[..], br#",{"version":1}]}"#].concat();
        let cases: Vec<(&str, Vec<u8>, &str)> = vec![
            ("application/json", b"not json".to_vec(), "not a message"),
            ("text/plain", b"".to_vec(), "not a message"),
            ("application/json", br#"{"version":1,"kind":"nonsense","body":7}"#.to_vec(), "not a message"),
            ("application/json", br#"{"version":99,"kind":"call"}"#.to_vec(), "version 99 is newer than 1"),
            ("application/json", vec![0; 64], "not a message"),
            ("application/json", nested, "not a message"),
            // RabbitMQ 4 itself refuses more than 16 MiB.
            ("application/json", vec![b' '; 15 << 20], "15728640 bytes"),
            (BATCH_TYPE, br#"{"version":2,"parts":[]}"#.to_vec(), "version 2 is newer than 1"),
            (BATCH_TYPE, b"[]".to_vec(), "not a message"),
            (BATCH_TYPE, half, "not a message"),
        ];
        for (kind, bytes, _) in &cases {
            publish_raw(&bus, &Queue::Outcomes, kind, bytes).await;
        }
        publish_raw(&bus, &Queue::Outcomes, BATCH_TYPE, br#"{"version":1,"messages":[]}"#).await;
        bus.publish(&Queue::Outcomes, messages(8..9)).await.expect("sent");
        for expected in [7, 8] {
            let delivery = next(&mut consumer).await;
            assert_eq!((number(&delivery), delivery.redelivered), (expected, 0));
            delivery.ack().await.expect("acknowledged");
        }
        let letters = within("all letters", async {
            loop {
                let taken = bus.dead(100).await.expect("taken");
                if taken.letters.len() == cases.len() {
                    return taken;
                }
            }
        });
        let taken = letters.await;
        let letters = &taken.letters;
        for (_, _, reason) in &cases {
            assert!(letters.iter().any(|letter| letter.reason.contains(reason)), "{reason}: {letters:?}");
        }
        assert!(letters.iter().all(|letter| letter.envelope.is_none() && letter.queue == Queue::Outcomes));
        assert!(letters.iter().any(|letter| letter.bytes == b"not json"), "the bytes are there");
        assert!(bus.dead(100).await.expect("taken").letters.is_empty(), "what is taken nobody else takes");
        drop(taken);
        drop(consumer);
        assert_eq!(bus.depth(&Queue::Outcomes).await.expect("counted").ready, 0);
    })
    .await;
}
