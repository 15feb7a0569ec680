//! Messages as the broker carries them: body, properties and headers of our own.
//!
//! Headers are made anew for each publish and never copied from a delivery: before RabbitMQ 4.0 an `x-death` that a
//! client sends counts as a dead-letter cycle, and the message is stuck for ever.

use lapin::BasicProperties;
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable};
use tidegate_contracts::topology::MESSAGE_MAX_BYTES;
use tidegate_contracts::{BATCH_TYPE, Batch, ENVELOPE_TYPE, Envelope, PushedPage};

/// Deaths before: how often it came back by us.
const REDELIVERED: &str = "tidegate-redelivered";
/// Unix time in milliseconds before which it is not to be delivered.
const DUE_MS: &str = "tidegate-due-ms";
/// Name of the queue it is for or was in, after the prefix.
const ADDRESS: &str = "tidegate-address";
/// Why it died.
const REASON: &str = "tidegate-reason";
/// Unix time in milliseconds.
const DIED_AT_MS: &str = "tidegate-died-at-ms";
/// The broker's count, on quorum queues: it counts what a client fetched and lost with its link, too.
const BROKERS_COUNT: &str = "x-delivery-count";

/// Deliveries by the broker's count that count as one together: restarts and cut links, which are nobody's fault.
/// Beyond, each is taken for the death of a process by this message.
const LOST_WITH_LINKS: u32 = 10;

/// Of pages that are pushed.
const NDJSON: &str = "application/x-ndjson";
/// AMQP delivery mode of what is written to disk.
const PERSISTENT: u8 = 2;

/// One envelope, encoded.
#[derive(Debug, Clone, Default)]
pub(super) struct Letter {
    pub body: Vec<u8>,
    /// For people who look at the broker.
    pub id: String,
    pub traceparent: Option<String>,
    /// Properties of its own, of what is not for us.
    pub own: Option<BasicProperties>,
}

/// What our headers say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stamp {
    pub redelivered: u32,
    pub due_ms: Option<i64>,
    pub address: Option<String>,
    /// Reason and time, of a dead letter.
    pub death: Option<(String, i64)>,
}

/// Properties of a message that carries `letters`; `batch` says in which form.
pub(super) fn properties(stamp: &Stamp, letters: &[&Letter], batch: bool) -> BasicProperties {
    let mut headers = FieldTable::default();
    let mut text = |key: &str, value: &str| {
        headers.insert(key.into(), AMQPValue::LongString(value.into()));
    };
    if let Some(address) = &stamp.address {
        text(ADDRESS, address);
    }
    if let Some((reason, _)) = &stamp.death {
        text(REASON, reason);
    }
    if let [Letter { traceparent: Some(traceparent), .. }] = letters {
        text("traceparent", traceparent);
    }
    let mut number = |key: &str, value: i64| {
        headers.insert(key.into(), AMQPValue::LongLongInt(value));
    };
    number(REDELIVERED, stamp.redelivered.into());
    if let Some(due_ms) = stamp.due_ms {
        number(DUE_MS, due_ms);
    }
    if let Some((_, died_at_ms)) = stamp.death {
        number(DIED_AT_MS, died_at_ms);
    }
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_content_type(if batch { BATCH_TYPE } else { ENVELOPE_TYPE }.into())
        .with_headers(headers);
    match letters.first() {
        Some(first) => properties.with_message_id(first.id.as_str().into()),
        None => properties,
    }
}

/// A page for others: its items as they are, and all that is to be known of them beside, by names that need no document.
pub(super) fn page(page: PushedPage, now_ms: i64) -> Letter {
    let mut headers = FieldTable::default();
    let texts = [
        ("tenant", page.tenant.clone()),
        ("job", page.job.to_string()),
        ("job-name", page.job_name.clone()),
        ("step", page.step.clone()),
        ("fetch", page.fetch.to_string()),
        ("call", page.call.to_string()),
        ("params", page.params.canonical()),
        ("address", page.address()),
    ];
    for (key, text) in texts {
        headers.insert(key.into(), AMQPValue::LongString(text.into()));
    }
    headers.insert("items".into(), AMQPValue::LongLongInt(page.items.into()));
    let id = page.call.to_string();
    let properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(id.as_str().into())
        .with_type(page.kind().into())
        .with_content_type(NDJSON.into())
        .with_timestamp(u64::try_from(now_ms / 1_000).unwrap_or(0))
        .with_app_id("tidegate".into())
        .with_headers(headers);
    Letter { body: page.lines.unwrap_or_default(), id, traceparent: None, own: Some(properties) }
}

/// What came: our headers, and each message that is in it.
pub(super) struct Opened {
    pub stamp: Stamp,
    pub contents: Vec<Content>,
}

/// A message, or bytes that are none and why.
pub(super) enum Content {
    Message(Box<Envelope>),
    Unreadable { bytes: Vec<u8>, reason: String },
}

/// Reads a delivery, whatever is in it.
pub(super) fn open(delivery: &Delivery) -> Opened {
    let stamp = stamp(delivery);
    let content_type = delivery.properties.content_type().as_ref().map(|kind| kind.as_str());
    let contents = if delivery.data.len() > MESSAGE_MAX_BYTES {
        let reason = format!("{} bytes, and a message may have {MESSAGE_MAX_BYTES}", delivery.data.len());
        vec![unreadable(&delivery.data, reason)]
    } else if content_type == Some(BATCH_TYPE) {
        match Batch::decode(&delivery.data) {
            Ok(batch) => batch.messages.iter().map(|raw| read(raw.get().as_bytes())).collect(),
            Err(error) => vec![unreadable(&delivery.data, error.to_string())],
        }
    } else {
        vec![read(&delivery.data)]
    };
    Opened { stamp, contents }
}

fn read(bytes: &[u8]) -> Content {
    match Envelope::decode(bytes) {
        Ok(envelope) => Content::Message(Box::new(envelope)),
        Err(error) => unreadable(bytes, error.to_string()),
    }
}

fn unreadable(bytes: &[u8], reason: String) -> Content {
    Content::Unreadable { bytes: bytes.to_vec(), reason }
}

fn stamp(delivery: &Delivery) -> Stamp {
    let headers = delivery.properties.headers().as_ref();
    let get = |key: &str| headers.and_then(|headers| headers.inner().get(key));
    let number = |key: &str| get(key).and_then(integer);
    let text = |key: &str| get(key).and_then(string);
    let count = |key: &str| number(key).and_then(|count| u32::try_from(count).ok());
    let lost = count(BROKERS_COUNT).unwrap_or(0).max(u32::from(delivery.redelivered));
    let lost = lost.min(1) + lost.saturating_sub(LOST_WITH_LINKS);
    Stamp {
        redelivered: count(REDELIVERED).unwrap_or(0).saturating_add(lost),
        due_ms: number(DUE_MS),
        address: text(ADDRESS),
        death: text(REASON).map(|reason| (reason, number(DIED_AT_MS).unwrap_or(0))),
    }
}

/// Why and from which queue the broker itself dead-lettered a message, and the Unix time in milliseconds.
pub(super) fn broker_death(delivery: &Delivery) -> Option<(String, String, i64)> {
    let headers = delivery.properties.headers().as_ref()?;
    let AMQPValue::FieldArray(deaths) = headers.inner().get("x-death")? else { return None };
    let AMQPValue::FieldTable(death) = deaths.as_slice().first()? else { return None };
    let text = |key: &str| death.inner().get(key).and_then(string);
    let time_ms = match death.inner().get("time") {
        Some(AMQPValue::Timestamp(seconds)) => i64::try_from(seconds.saturating_mul(1_000)).unwrap_or(0),
        _ => 0,
    };
    Some((text("reason")?, text("queue")?, time_ms))
}

fn string(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

fn integer(value: &AMQPValue) -> Option<i64> {
    match value {
        AMQPValue::ShortShortInt(number) => Some((*number).into()),
        AMQPValue::ShortShortUInt(number) => Some((*number).into()),
        AMQPValue::ShortInt(number) => Some((*number).into()),
        AMQPValue::ShortUInt(number) => Some((*number).into()),
        AMQPValue::LongInt(number) => Some((*number).into()),
        AMQPValue::LongUInt(number) => Some((*number).into()),
        AMQPValue::LongLongInt(number) => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(count: Option<u32>, own: u32, redelivered: bool) -> Delivery {
        let mut delivery = Delivery::mock(1, "".into(), "".into(), redelivered, Vec::new());
        let mut headers = FieldTable::default();
        headers.insert(REDELIVERED.into(), AMQPValue::LongLongInt(own.into()));
        if let Some(count) = count {
            headers.insert(BROKERS_COUNT.into(), AMQPValue::LongLongInt(count.into()));
        }
        delivery.properties = BasicProperties::default().with_headers(headers);
        delivery
    }

    #[test]
    fn links_that_were_lost_count_once_and_what_kills_processes_counts_on() {
        let cases = [(None, 0, false, 0), (None, 2, false, 2), (None, 0, true, 1), (Some(1), 2, true, 3)];
        for (count, own, flag, expected) in cases.into_iter().chain([(Some(10), 0, true, 1), (Some(14), 1, true, 6)]) {
            assert_eq!(stamp(&delivery(count, own, flag)).redelivered, expected, "{count:?} {own} {flag}");
        }
    }

    #[test]
    fn what_is_stamped_is_read_back() {
        let letter = Letter { id: "7".into(), ..Letter::default() };
        let (due_ms, address) = (Some(-5), Some("tidegate.outcomes.1".to_owned()));
        let stamped = Stamp { redelivered: 3, due_ms, address, death: Some(("né".into(), 9)) };
        let mut delivery = Delivery::mock(1, "".into(), "".into(), false, Vec::new());
        delivery.properties = properties(&stamped, &[&letter], false);
        assert_eq!(stamp(&delivery), stamped);
    }
}
