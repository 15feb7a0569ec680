//! Messages that nobody should have sent: unreadable ones, senseless ones, and each one several times.

use std::collections::HashSet;
use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use serde_json::Value;
use tidegate_bus::{Bus, RabbitConfig, RabbitMq};
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Call, Envelope, JobId, JobSubmitted, Lane, Message, Outcome};
use tidegate_daemon::clock;

use super::fixture::Cluster;
use super::jobs::{third_party, write_job};
use crate::process::DEADLINE;
use crate::world::{JOB, assert_same, ids};

const USERS: u64 = 300;

fn calls() -> Queue {
    Queue::Calls { provider: "sim".to_owned(), lane: Lane::Normal }
}

/// The cluster's bus, to meddle with.
async fn bus(cluster: &Cluster) -> RabbitMq {
    let config = RabbitConfig { prefix: cluster.prefix(), ..RabbitConfig::new(cluster.rabbitmq().into()) };
    RabbitMq::connect(config, clock::system()).await.expect("a bus")
}

/// Takes real messages off a queue, and sends three of each in its place. Returns the first of them.
async fn copy(bus: &RabbitMq, queue: Queue, most: usize) -> Envelope {
    let (mut first, mut seen) = (None, HashSet::new());
    let mut taking = bus.consume(&queue, 16).await.expect("consumes");
    while seen.len() < most {
        let next = tokio::time::timeout(Duration::from_secs(2), taking.next()).await;
        // The others have taken the rest.
        let Ok(Some(delivery)) = next else { break };
        let envelope = (*delivery.envelope).clone();
        // One of our own copies goes back as it came.
        let copies = if seen.insert(envelope.id) { 3 } else { 1 };
        bus.publish(&queue, vec![envelope.clone(); copies]).await.expect("sent");
        delivery.ack().await.expect("acknowledged");
        first.get_or_insert(envelope);
    }
    first.unwrap_or_else(|| panic!("nothing came of {queue}"))
}

/// Publishes bytes past the bus.
async fn publish_raw(cluster: &Cluster, queue: &Queue, bytes: &[u8]) {
    let connection = Connection::connect(&cluster.rabbitmq(), ConnectionProperties::default()).await.expect("connects");
    let channel = connection.create_channel().await.expect("a channel");
    channel.confirm_select(Default::default()).await.expect("confirms");
    let (name, properties) = (format!("{}{queue}", cluster.prefix()), BasicProperties::default());
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirm =
        channel.basic_publish("".into(), name.clone().into(), options, bytes, properties).await.expect("sent");
    let confirm = confirm.await.expect("confirmed");
    assert!(confirm.is_ack() && confirm.take_message().is_none(), "there is a queue {name}");
    connection.close(200, "done".into()).await.expect("closes");
}

/// The cluster's dead letters, newest first, once they are so many.
async fn dead_letters(cluster: &Cluster, count: usize) -> Vec<Value> {
    let gathering = async {
        loop {
            let listed = cluster.cli(&["dead", "list", "--limit", "200", "--json"]).run().await.expect(0).stdout;
            let letters = crate::world::items(&listed);
            if letters.len() >= count {
                return letters;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let letters = tokio::time::timeout(DEADLINE, gathering).await.expect("all are put aside");
    assert_eq!(letters.len(), count, "{letters:?}");
    letters
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_put_aside_with_its_reason_while_the_job_goes_on() {
    let (mut cluster, simulator) = (Cluster::start().await, third_party(USERS, 20).await);
    write_job(&cluster, &simulator);
    let job = cluster.submit(JOB).await;
    let bus = bus(&cluster).await;
    let real = copy(&bus, calls(), 1).await;
    let Message::Call(real) = real.message else { panic!("not a call: {real:?}") };
    let nobody_s = Call { job: JobId::new(), ..real.clone() };
    let mut reasons = Vec::new();
    for queue in [calls(), Queue::Outcomes, Queue::plans_of(real.job)] {
        for (bytes, reason) in [
            (b"not json".to_vec(), "not a message:"),
            (br#"{"version":1,"kind":"nonsense","body":7}"#.to_vec(), "not a message:"),
            (br#"{"version":999,"kind":"call"}"#.to_vec(), "version 999 is newer"),
            (vec![0; 64], "not a message:"),
            ([vec![b'['; 100_000], vec![b']'; 100_000]].concat(), "not a message:"),
        ] {
            publish_raw(&cluster, &queue, &bytes).await;
            reasons.push(reason);
        }
    }
    // RabbitMQ 4 itself refuses more than 16 MiB.
    publish_raw(&cluster, &calls(), &vec![b' '; 15 << 20]).await;
    reasons.push("15728640 bytes");
    // These can be read, and are for somebody else, or about what nobody knows.
    for (queue, message, reason) in [
        (calls(), Message::JobSubmitted(JobSubmitted { job: real.job }), "not a message for an executor"),
        (Queue::Outcomes, Message::Call(real.clone()), "not a message for the planner"),
        (Queue::plans_of(real.job), Message::Call(real.clone()), "not a message for the tracker"),
        (Queue::Outcomes, Message::JobSubmitted(JobSubmitted { job: JobId::new() }), "there is no job"),
        (Queue::Outcomes, Message::Outcome(Outcome::Cancelled { call: nobody_s.clone() }), "there is no job"),
        (calls(), Message::Call(nobody_s), "there is no job"),
    ] {
        bus.publish(&queue, vec![Envelope::new(message, clock::now_ms(), None)]).await.expect("sent");
        reasons.push(reason);
    }
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!(ended["counts"]["items"], USERS + USERS * 12, "{ended}");
    assert_eq!(ended["counts"]["calls_failed"], 0, "{ended}");
    let letters = dead_letters(&cluster, reasons.len()).await;
    let found: Vec<_> = letters.iter().filter_map(|letter| letter["reason"].as_str()).collect();
    for reason in &reasons {
        let (expected, found) = (reasons.iter().filter(|other| other == &reason), found.iter());
        assert_eq!(found.filter(|found| found.contains(reason)).count(), expected.count(), "{reason}: {letters:?}");
    }
    // What is of no use is of none the second time, and is another letter; what is dropped is gone.
    let useless = letters.iter().find(|letter| letter["kind"] == "job_submitted" && letter["reason"] != reasons[0]);
    let useless = useless.and_then(|letter| letter["id"].as_str()).expect("a message that can be read");
    let shown = cluster.cli(&["dead", "show", useless]).run().await.expect(0).stdout;
    assert!(shown.contains("\"kind\": \"job_submitted\""), "{shown}");
    cluster.cli(&["dead", "replay", useless]).run().await.expect(0);
    assert_ne!(dead_letters(&cluster, reasons.len() + 1).await[0]["id"], useless);
    cluster.cli(&["dead", "drop", useless]).run().await.expect(0);
    assert_eq!(cluster.cli(&["dead", "show", useless]).run().await.expect(1).stdout, "");
    let table = cluster.cli(&["dead", "list"]).run().await.expect(0).stdout;
    assert!(table.contains("SENT AGAIN") && table.contains("there is no job") && !table.contains(useless), "{table}");
    bus.close().await;
    simulator.stop().await;
    cluster.expect_dead(reasons.len());
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_come_three_times_have_one_effect() {
    let (cluster, simulator) = (Cluster::start().await, third_party(USERS, 10).await);
    write_job(&cluster, &simulator);
    let job = cluster.submit(JOB).await;
    let bus = bus(&cluster).await;
    // Three outcomes make three plans.
    tokio::join!(copy(&bus, calls(), 200), copy(&bus, Queue::Outcomes, 100));
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!(ended["counts"]["items"], USERS + USERS * 12, "{ended}");
    assert_eq!(ended["counts"]["calls_planned"], USERS / 10 + USERS * 3, "{ended}");
    assert_same(ids(&cluster.items(&job, "users").await), simulator.ids("users", ""));
    assert_eq!(cluster.items(&job, "posts").await.len() as u64, USERS * 12);
    bus.close().await;
    simulator.stop().await;
    cluster.finish().await;
}
