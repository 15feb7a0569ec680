//! Pages pushed to the results exchange, as somebody gets them who has bound a queue there.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};

use super::fixture::Cluster;
use super::jobs::{ENDPOINTS, third_party};
use crate::process::DEADLINE;
use crate::world::JOB;

/// A page as it came first.
struct Page {
    kind: String,
    step: String,
    address: String,
    lines: String,
}

/// Somebody with a queue of their own.
struct Receiver {
    _connection: Connection,
    channel: Channel,
    queue: String,
    /// One for all pages: what a consumer that is dropped was sent is lost with it.
    deliveries: Option<Consumer>,
    pages: BTreeMap<String, Page>,
    /// Pages that came again.
    again: usize,
}

impl Receiver {
    /// Binds a queue for `key`, before there is any page.
    async fn bound(cluster: &Cluster, key: &str, arguments: FieldTable) -> Self {
        let connection =
            Connection::connect(&cluster.rabbitmq(), ConnectionProperties::default()).await.expect("a broker");
        let channel = connection.create_channel().await.expect("a channel");
        let exchange = format!("{}tidegate.results", cluster.prefix());
        let options = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let none = FieldTable::default();
        let declared = channel.exchange_declare(exchange.as_str().into(), ExchangeKind::Topic, options, none.clone());
        declared.await.expect("an exchange");
        let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare("".into(), options, arguments).await.expect("a queue").name().to_string();
        let bind =
            channel.queue_bind(queue.as_str().into(), exchange.into(), key.into(), QueueBindOptions::default(), none);
        bind.await.expect("bound");
        Self { _connection: connection, channel, queue, deliveries: None, pages: BTreeMap::new(), again: 0 }
    }

    async fn consume(&self) -> Consumer {
        let (options, none) = (BasicConsumeOptions::default(), FieldTable::default());
        self.channel.basic_consume(self.queue.as_str().into(), "".into(), options, none).await.expect("consumes")
    }

    /// Takes pages until there are `count` different ones.
    async fn take(&mut self, count: usize) {
        let mut deliveries = match self.deliveries.take() {
            Some(deliveries) => deliveries,
            None => self.consume().await,
        };
        let started = Instant::now();
        while self.pages.len() < count {
            let next = tokio::time::timeout(DEADLINE.saturating_sub(started.elapsed()), deliveries.next()).await;
            let next = next.unwrap_or_else(|_| panic!("{} of {count} pages came", self.pages.len()));
            let delivery = next.expect("not closed").expect("a page");
            let headers = delivery.properties.headers().clone().expect("headers");
            let text = |name: &str| match headers.inner().get(name) {
                Some(AMQPValue::LongString(text)) => text.to_string(),
                other => panic!("{name}: {other:?}"),
            };
            let page = Page {
                kind: delivery.properties.kind().as_ref().expect("a type").to_string(),
                step: text("step"),
                address: text("address"),
                lines: String::from_utf8(delivery.data.clone()).expect("text"),
            };
            let id = delivery.properties.message_id().as_ref().expect("an id").to_string();
            delivery.ack(BasicAckOptions::default()).await.expect("acknowledged");
            match self.pages.get(&id) {
                Some(before) => {
                    assert_eq!(before.lines, page.lines, "what comes again is the same");
                    self.again += 1;
                }
                None => _ = self.pages.insert(id, page),
            }
        }
        self.deliveries = Some(deliveries);
    }

    /// All items of all pages.
    fn lines(&self) -> Vec<&str> {
        sorted(self.pages.values().flat_map(|page| page.lines.lines()))
    }
}

fn sorted<'a>(lines: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut lines: Vec<&str> = lines.collect();
    lines.sort_unstable();
    lines
}

/// A job with users and their posts that pushes its pages, `of_users` among them.
fn write(cluster: &Cluster, base_url: &str, of_users: bool) {
    cluster.world.provider(base_url, ENDPOINTS);
    let users = format!("{{ id: users, call: users, push: {of_users} }}");
    let posts = "{ id: posts, call: posts, for_each: users, with: { id: \"{{ item.id }}\" } }";
    let job = format!("provider: ./sim.yaml\nname: every.night\npush: true\nsteps:\n  - {users}\n  - {posts}\n");
    cluster.world.write(JOB, &job);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_is_pushed_with_its_items_though_executors_are_killed() {
    const USERS: u64 = 300;
    let (mut cluster, simulator) = (Cluster::start().await, third_party(USERS, 10).await);
    let mut receiver = Receiver::bound(&cluster, "default.every_night.*", FieldTable::default()).await;
    write(&cluster, &simulator.base_url(), true);
    let job = cluster.submit(JOB).await;
    let pages = usize::try_from(USERS / 10 + USERS * 3).expect("fits");
    for part in 1..4 {
        receiver.take(pages * part / 6).await;
        cluster.kill("executor").await;
    }
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!(ended["state"], "succeeded", "{ended}");
    receiver.take(pages).await;
    let all = cluster.cli(&["items", &job]).run().await.expect(0).stdout;
    assert_eq!(receiver.lines(), sorted(all.lines()), "what is pushed is what is stored");
    assert_eq!(receiver.pages.len(), pages);
    // Only what an executor had in hand when it was killed may come again.
    assert!(receiver.again <= 3 * 64, "{} pages came again", receiver.again);
    simulator.stop().await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_too_large_is_pushed_as_a_reference_and_a_step_that_does_not_want_it_is_not_pushed() {
    let cluster = Cluster::over(super::servers::Addresses::usual()).await.set("TIDEGATE_PUSH_MAX_BYTES", "0");
    let (cluster, simulator) = (cluster.started().await, third_party(20, 0).await);
    let mut receiver = Receiver::bound(&cluster, "#", FieldTable::default()).await;
    write(&cluster, &simulator.base_url(), false);
    let job = cluster.submit(JOB).await;
    cluster.ended(&job).await.expect(0);
    receiver.take(20 * 3).await;
    let mut lines = String::new();
    for page in receiver.pages.values() {
        assert_eq!((page.kind.as_str(), page.step.as_str()), ("tidegate.page-reference.1", "posts"));
        assert_eq!(page.lines, "");
        let answer = cluster.ask("gateway", "GET", &page.address, "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        lines.push_str(&answer.body);
    }
    let posts = cluster.cli(&["items", &job, "--step", "posts"]).run().await.expect(0).stdout;
    assert_eq!(sorted(lines.lines()), sorted(posts.lines()));
    simulator.stop().await;
    cluster.finish().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_whose_pages_nobody_has_room_for_waits_and_says_so() {
    let (cluster, simulator) = (Cluster::start().await, third_party(30, 0).await);
    let mut arguments = FieldTable::default();
    arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(1));
    arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
    let mut receiver = Receiver::bound(&cluster, "*.*.users", arguments).await;
    write(&cluster, &simulator.base_url(), true);
    let job = cluster.submit(JOB).await;
    let started = Instant::now();
    loop {
        let explained = cluster.cli(&["explain", &job]).run().await.expect(0).stdout;
        if explained.contains("wait with their pages for the results exchange") {
            break;
        }
        assert!(started.elapsed() < DEADLINE, "{explained}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    receiver.take(3).await;
    let ended = cluster.ended(&job).await.expect(0).json();
    assert_eq!((ended["state"].as_str(), ended["counts"]["items"].as_u64()), (Some("succeeded"), Some(30 + 360)));
    simulator.stop().await;
    cluster.finish().await;
}
