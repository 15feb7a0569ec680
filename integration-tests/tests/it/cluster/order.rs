//! Messages in another order than they were sent in, each of them twice, and old ones among new ones: the broker promises
//! none of the opposite once a service or a connection is lost.

use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::message::Delivery;
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicPublishOptions, ConfirmSelectOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tidegate_contracts::Lane;
use tidegate_contracts::topology::{PLAN_PARTITIONS, Queue};

use super::fixture::Cluster;
use super::jobs::{requests, third_party, write_job};
use crate::process::DEADLINE;
use crate::world::{JOB, assert_same, ids, until};

const USERS: u64 = 400;
/// Requests that are needed when nothing goes wrong.
const NEEDED: u64 = USERS / 10 + USERS * 3;
/// How often each service finds its queue in disorder.
const ROUNDS: u64 = 3;
/// A queue that has not grown for so long holds all that came of the service before it.
const QUIET: Duration = Duration::from_millis(300);

/// A message as the broker had it, without what the broker wrote on it.
#[derive(Clone)]
struct Copy {
    queue: String,
    body: Vec<u8>,
    properties: BasicProperties,
}

/// Meddles with queues that nobody consumes for now.
struct Meddler {
    connection: Connection,
    channel: Channel,
    random: u64,
    /// What was in the queues before; it comes again, late.
    old: Vec<Copy>,
}

impl Meddler {
    async fn of(cluster: &Cluster) -> Self {
        let properties = ConnectionProperties::default();
        let connection = Connection::connect(&cluster.rabbitmq(), properties).await.expect("connects");
        let channel = connection.create_channel().await.expect("a channel");
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms");
        Self { connection, channel, random: 0x9e37_79b9_7f4a_7c15, old: Vec::new() }
    }

    /// Below `end`; xorshift, the same in every run.
    fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        usize::try_from(self.random % end as u64).expect("small")
    }

    /// Takes what is in these queues, once it is something and no more comes. Returns the last one's tag, too; none is
    /// acknowledged yet. (Queues of plans hand out nothing but to a consumer.)
    async fn take(&self, queues: &[String]) -> (Vec<Copy>, u64) {
        let (mut taken, mut last, started) = (Vec::new(), 0, Instant::now());
        let mut consumers = Vec::new();
        for queue in queues {
            let (name, options, none) = (queue.as_str().into(), BasicConsumeOptions::default(), FieldTable::default());
            let consumer = self.channel.basic_consume(name, "".into(), options, none).await.expect("consumed");
            consumers.push((queue, consumer));
        }
        let mut before = usize::MAX;
        while taken.is_empty() || taken.len() != before {
            assert!(started.elapsed() < DEADLINE, "nothing comes to {queues:?}");
            before = taken.len();
            tokio::time::sleep(QUIET).await;
            for (queue, consumer) in &mut consumers {
                while let Some(Some(delivery)) = consumer.next().now_or_never() {
                    let delivery = delivery.expect("delivered");
                    last = last.max(delivery.delivery_tag);
                    taken.push(copied(queue, delivery));
                }
            }
        }
        for (queue, mut consumer) in consumers {
            self.channel.basic_cancel(consumer.tag(), BasicCancelOptions::default()).await.expect("cancelled");
            while let Some(delivery) = consumer.next().await {
                let delivery = delivery.expect("delivered");
                last = last.max(delivery.delivery_tag);
                taken.push(copied(queue, delivery));
            }
        }
        (taken, last)
    }

    /// Waits until these queues hold messages and grow no more, takes all, and puts each back twice and out of order,
    /// together with those of earlier rounds. Returns how many it put back.
    async fn shuffle(&mut self, queues: &[String]) -> u64 {
        let (taken, last) = self.take(queues).await;
        let mut again = [&taken[..], &taken[..], &self.old[..]].concat();
        for place in (1..again.len()).rev() {
            let other = self.below(place + 1);
            again.swap(place, other);
        }
        let count = again.len() as u64;
        for Copy { queue, body, properties } in again {
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let sent = self.channel.basic_publish("".into(), queue.into(), options, &body, properties).await;
            let confirm = sent.expect("sent").await.expect("confirmed");
            assert!(confirm.is_ack() && confirm.take_message().is_none(), "the queue is there");
        }
        let all = BasicAckOptions { multiple: true };
        self.channel.basic_ack(last, all).await.expect("acknowledged");
        self.old.extend(taken);
        count
    }
}

fn copied(queue: &str, delivery: Delivery) -> Copy {
    let properties = without_the_broker_s(&delivery.properties);
    Copy { queue: queue.to_owned(), body: delivery.data, properties }
}

fn without_the_broker_s(properties: &BasicProperties) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (name, value) in properties.headers().iter().flat_map(FieldTable::inner) {
        if !name.as_str().starts_with("x-") {
            headers.insert(name.clone(), value.clone());
        }
    }
    properties.clone().with_headers(headers)
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_out_of_order_twice_and_late_come_to_the_same_end() {
    let (mut cluster, simulator) = (Cluster::start().await, third_party(USERS, 5).await);
    write_job(&cluster, &simulator);
    let job = cluster.submit(JOB).await;
    let name = |queue: Queue| format!("{}{queue}", cluster.prefix());
    let calls = vec![name(Queue::Calls { provider: "sim".to_owned(), lane: Lane::Normal })];
    let plans: Vec<_> = (0..PLAN_PARTITIONS).map(|partition| name(Queue::Plans(partition))).collect();
    let stages = [("executor", calls), ("planner", vec![name(Queue::Outcomes)]), ("tracker", plans)];
    let mut meddlers = Vec::new();
    for _ in &stages {
        meddlers.push(Meddler::of(&cluster).await);
    }
    // One of them is always away, so the ring goes on by a step at a time, and all there is stands in one place.
    let mut calls_twice = 0;
    until("the job is in its middle", || requests(&simulator) > 50).await;
    cluster.stop("executor").await;
    for _ in 0..ROUNDS {
        for (place, (kind, queues)) in stages.iter().enumerate() {
            let put = meddlers[place].shuffle(queues).await;
            calls_twice += if *kind == "executor" { put } else { 0 };
            cluster.stop(stages[(place + 1) % stages.len()].0).await;
            cluster.add(kind).await;
        }
    }
    cluster.add("executor").await;
    for meddler in meddlers {
        meddler.connection.close(200, "done".into()).await.expect("closes");
    }
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!(ended["counts"]["items"], USERS + USERS * 12, "{ended}");
    assert_eq!(ended["counts"]["calls_planned"], NEEDED, "{ended}");
    assert_eq!(ended["counts"]["calls_failed"], 0, "{ended}");
    assert_same(ids(&cluster.items(&job, "users").await), simulator.ids("users", ""));
    assert_eq!(cluster.items(&job, "posts").await.len() as u64, USERS * 12);
    // Only a call that came twice may be made twice.
    let served = requests(&simulator);
    assert!(served <= NEEDED + calls_twice, "{served} requests for {NEEDED} pages, {calls_twice} of them sent again");
    simulator.stop().await;
    cluster.finish().await;
}
