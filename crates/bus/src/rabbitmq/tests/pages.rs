//! Pages for whoever binds a queue to the results exchange.

use lapin::message::BasicGetMessage;
use lapin::options::{BasicGetOptions, QueueBindOptions};
use lapin::types::AMQPValue;
use lapin::{BasicProperties, Channel};
use tidegate_contracts::{CallId, FetchId, JobId, PagePointer, PushedPage};

use super::*;

fn page(number: i64, lines: Option<&str>) -> PushedPage {
    let (job, params) = (JobId::new(), [("id", number)].into_iter().collect());
    let fetch = FetchId::derive(job, None, "posts", &params);
    PushedPage {
        tenant: "acme".into(),
        job,
        job_name: "every night".into(),
        step: "posts".into(),
        fetch,
        call: CallId::derive(fetch, &PagePointer::First),
        params,
        items: 2,
        lines: lines.map(|lines| lines.as_bytes().to_vec()),
    }
}

/// A queue of somebody else's, bound for `key`; it goes with its connection.
async fn bound(bus: &RabbitMq, key: &str, arguments: FieldTable) -> (Channel, String) {
    let live = bus.core.consuming.ready().await;
    live.ensure(&Need::Queue(Queue::Results)).await.expect("an exchange");
    let channel = live.channel(false).await.expect("a channel");
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    let queue = channel.queue_declare("".into(), options, arguments).await.expect("a queue").name().to_string();
    let (exchange, options) = (bus.core.plan.way(&Queue::Results).0, QueueBindOptions::default());
    let none = FieldTable::default();
    channel.queue_bind(queue.as_str().into(), exchange.into(), key.into(), options, none).await.expect("bound");
    (channel, queue)
}

async fn get((channel, queue): &(Channel, String)) -> Option<BasicGetMessage> {
    channel.basic_get(queue.as_str().into(), BasicGetOptions { no_ack: true }).await.expect("asks")
}

fn header<'a>(properties: &'a BasicProperties, name: &str) -> Option<&'a AMQPValue> {
    properties.headers().as_ref().and_then(|headers| headers.inner().get(name))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pushed_page_comes_with_its_items_and_where_it_is_from() {
    on_broker(config(), async |bus| {
        let (mine, other) =
            (bound(&bus, "acme.*.posts", FieldTable::default()).await, bound(&bus, "x.#", FieldTable::default()).await);
        let pushed = page(7, Some("{\"a\":1}\n{\"a\":2}\n"));
        bus.push(pushed.clone()).await.expect("pushed");
        let came = get(&mine).await.expect("a page");
        assert_eq!(came.routing_key.as_str(), "acme.every_night.posts");
        assert_eq!(came.data, pushed.lines.clone().expect("lines"));
        let properties = &came.properties;
        let text = |name: &str| match header(properties, name) {
            Some(AMQPValue::LongString(text)) => text.to_string(),
            other => panic!("{name}: {other:?}"),
        };
        assert_eq!(properties.message_id().as_ref().map(ToString::to_string), Some(pushed.call.to_string()));
        assert_eq!(properties.kind().as_ref().map(ToString::to_string).as_deref(), Some(PushedPage::ITEMS));
        assert_eq!(properties.delivery_mode(), &Some(2));
        assert_eq!((text("job"), text("job-name")), (pushed.job.to_string(), "every night".to_owned()));
        assert_eq!((text("fetch"), text("params")), (pushed.fetch.to_string(), "{\"id\":7}".to_owned()));
        assert_eq!((text("address"), text("tenant"), text("step")), (pushed.address(), "acme".into(), "posts".into()));
        assert_eq!(header(properties, "items"), Some(&AMQPValue::LongLongInt(2)));
        assert!(get(&mine).await.is_none() && get(&other).await.is_none(), "it comes once, to whom it is for");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_is_too_large_comes_as_a_reference() {
    on_broker(config(), async |bus| {
        let mine = bound(&bus, "#", FieldTable::default()).await;
        bus.push(page(1, None)).await.expect("pushed");
        let came = get(&mine).await.expect("a page");
        assert!(came.data.is_empty());
        assert_eq!(came.properties.kind().as_ref().map(ToString::to_string).as_deref(), Some(PushedPage::REFERENCE));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_that_nobody_waits_for_is_dropped() {
    on_broker(config(), async |bus| {
        bus.push(page(1, Some("{}\n"))).await.expect("pushed to nobody");
        let refused = bus.publish(&Queue::Results, messages(0..1)).await.expect_err("refused");
        assert_eq!(refused.to_string(), "queue tidegate.results takes only pages");
        let refused = bus.consume(&Queue::Results, 1).await.map(drop).expect_err("refused");
        assert_eq!(refused.to_string(), "queue tidegate.results can't be consumed");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_queue_that_is_full_says_so_to_whoever_pushes() {
    on_broker(config(), async |bus| {
        let mut arguments = FieldTable::default();
        arguments.insert("x-max-length".into(), AMQPValue::LongLongInt(1));
        arguments.insert("x-overflow".into(), AMQPValue::LongString("reject-publish".into()));
        let mine = bound(&bus, "#", arguments).await;
        bus.push(page(1, Some("1\n"))).await.expect("there is room");
        let error = bus.push(page(2, Some("2\n"))).await.expect_err("full");
        assert_eq!(error.to_string(), "the broker failed to pass a page on");
        assert_eq!(get(&mine).await.expect("the first").data, b"1\n");
        bus.push(page(2, Some("2\n"))).await.expect("there is room again");
        assert_eq!(get(&mine).await.expect("the second").data, b"2\n");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_exchange_that_was_deleted_is_made_anew_by_whoever_pushes() {
    on_broker(config(), async |bus| {
        bus.push(page(1, Some("1\n"))).await.expect("pushed");
        let channel = bus.core.consuming.ready().await.channel(false).await.expect("a channel");
        let name = bus.core.plan.way(&Queue::Results).0;
        channel.exchange_delete(name.into(), ExchangeDeleteOptions::default()).await.expect("deleted");
        bus.push(page(2, Some("2\n"))).await.expect("pushed again");
    })
    .await;
}
