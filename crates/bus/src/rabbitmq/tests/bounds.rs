//! What is refused, and how it is said.

use std::error::Error as _;

use lapin::options::QueueDeleteOptions;
use tidegate_contracts::Lane;

use super::*;

fn calls() -> Queue {
    Queue::Calls { provider: "mastodon".into(), lane: Lane::Normal }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_so_and_takes_more_when_there_is_room() {
    let config = RabbitConfig { queue_max: 5, publish_timeout: Duration::from_millis(600), ..config() };
    on_broker(config, async |bus| {
        // The broker hears of a full queue a little late, and takes some more.
        let mut sent = 0;
        let error = loop {
            match bus.publish(&calls(), messages(sent..sent + 1)).await {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
            assert!(sent < 50, "it takes everything");
        };
        assert_eq!(
            error.to_string(),
            "queue tidegate.calls.1.mastodon.normal takes no messages: it holds 5, or can't store more"
        );
        let mut consumer = bus.consume(&calls(), 100).await.expect("consumes");
        for _ in 0..sent {
            next(&mut consumer).await.ack().await.expect("acknowledged");
        }
        let room = async { while bus.publish(&calls(), messages(99..100)).await.is_err() {} };
        within("room", room).await;
        assert_eq!(number(&*next(&mut consumer).await), 99);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_full_queue_refused_is_sent_when_there_is_room_once_and_holds_up_no_other_queue() {
    on_broker(RabbitConfig { queue_max: 5, ..config() }, async |bus| {
        let other = (0..).map(|n| Queue::Calls { provider: format!("other-{n}"), lane: Lane::Normal });
        let mut same_sender = other.filter(|other| std::ptr::eq(bus.core.sender(other), bus.core.sender(&calls())));
        let other = same_sender.next().expect("they are few");
        let sending = {
            let bus = Arc::clone(&bus);
            // More than it holds, in one window and in several.
            tokio::spawn(async move {
                for n in 0..2 {
                    bus.publish(&calls(), messages(n * 30..(n + 1) * 30)).await.expect("sent in the end");
                }
            })
        };
        within("the queue is full", async { while bus.depth(&calls()).await.expect("open").ready < 5 {} }).await;
        within("another queue", bus.publish(&other, messages(0..1))).await.expect("sent");
        assert!(!sending.is_finished(), "all was taken");
        let mut consumer = bus.consume(&calls(), 1).await.expect("consumes");
        let mut came = Vec::new();
        while came.len() < 60 {
            let delivery = next(&mut consumer).await;
            came.push(number(&delivery));
            delivery.ack().await.expect("acknowledged");
        }
        within("all is sent", sending).await.expect("no panic");
        came.sort_unstable();
        assert_eq!(came, (0..60).collect::<Vec<u128>>());
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_queue_with_other_arguments_is_named_with_what_differs() {
    on_broker(config(), async |bus| {
        bus.publish(&Queue::Outcomes, messages(0..1)).await.expect("sent");
        let other = connect(&RabbitConfig { queue_max: 7, ..bus.core.config.clone() }).await;
        let sent = other.publish(&Queue::Outcomes, messages(1..2)).await.expect_err("refused");
        let consumed = other.consume(&Queue::Outcomes, 1).await.map(drop).expect_err("refused");
        for error in [sent, consumed] {
            let source = error.source().expect("a cause").to_string();
            assert!(source.contains("tidegate.outcomes.1") && source.contains("x-max-length"), "{source}");
        }
        bus.publish(&Queue::Outcomes, messages(1..2)).await.expect("who has it right goes on");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_queue_is_made_anew_by_whoever_publishes() {
    on_broker(config(), async |bus| {
        for n in 0..3 {
            bus.publish(&calls(), messages(n..n + 1)).await.expect("sent");
            let channel = bus.core.consuming.ready().await.channel(false).await.expect("a channel");
            let name = bus.core.plan.queue(&calls());
            channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.expect("deleted");
        }
        bus.publish(&calls(), messages(9..10)).await.expect("sent");
        let mut consumer = bus.consume(&calls(), 1).await.expect("consumes");
        assert_eq!(number(&*next(&mut consumer).await), 9);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_dead_letters_take_and_give_nothing_directly_and_no_message_is_too_large() {
    on_broker(config(), async |bus| {
        assert!(matches!(bus.publish(&Queue::Dead, messages(0..1)).await, Err(BusError::Refused { .. })));
        assert!(matches!(bus.publish_later(&Queue::Dead, message(0), 0).await, Err(BusError::Refused { .. })));
        assert!(matches!(bus.consume(&Queue::Dead, 1).await.map(drop), Err(BusError::Refused { .. })));
        let mut large = message(0);
        large.traceparent = Some("0".repeat(tidegate_contracts::topology::MESSAGE_MAX_BYTES));
        let error = bus.publish(&Queue::Outcomes, vec![large]).await.expect_err("too large");
        assert_eq!(error.to_string(), "queue tidegate.outcomes.1 takes no message of more than 1 MiB");
        let long = Queue::Calls { provider: "x".repeat(200), lane: Lane::Bulk };
        assert!(matches!(bus.publish(&long, messages(0..1)).await, Err(BusError::Refused { .. })));
    })
    .await;
}

#[tokio::test]
async fn a_wrong_password_is_refused_at_once_and_not_shown() {
    let mut uri = config().uri().expect("an address");
    uri.authority.userinfo.password = "hunter2".into();
    let config = RabbitConfig::new(SecretString::from(uri.to_string()));
    let refused = within("an answer", RabbitMq::connect(config, clock::system())).await;
    let error = refused.map(drop).expect_err("refused");
    let text = format!("{error}: {:?}", error.source());
    assert!(text.contains("ACCESS_REFUSED") && !text.contains("hunter2"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_due_to_a_queue_that_is_gone_goes_to_the_dead_letters() {
    on_broker(config(), async |bus| {
        bus.publish_later(&calls(), message(1), clock::now_ms() + 1_500).await.expect("parked");
        let channel = bus.core.consuming.ready().await.channel(false).await.expect("a channel");
        let name = bus.core.plan.queue(&calls());
        channel.queue_delete(name.into(), QueueDeleteOptions::default()).await.expect("deleted");
        let dead = within("a dead letter", async {
            loop {
                let taken = bus.dead(10).await.expect("taken");
                if !taken.letters.is_empty() {
                    break taken;
                }
            }
        });
        let dead = dead.await;
        let id = dead.letters[0].envelope.as_ref().map(|envelope| envelope.id.as_u128());
        assert_eq!((id, &dead.letters[0].queue), (Some(1), &calls()));
        dead.ack().await.expect("acknowledged");
    })
    .await;
}
