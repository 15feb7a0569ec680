//! What is measured of messages and of the broker. All of it is rare: instruments are looked up each time.

use opentelemetry::KeyValue;
use tidegate_metrics::table;

/// A message of this type is delivered again.
pub(crate) fn redelivered(kind: &'static str) {
    table::MESSAGE_REDELIVERED.counter().add(1, &[KeyValue::new("message", kind)]);
}

/// A connection to the broker lives, or is lost.
pub(crate) fn connected(connection: &str, connected: bool) {
    table::BROKER_CONNECTED.gauge().record(f64::from(u8::from(connected)), &[named(connection)]);
}

/// The broker takes nothing over a connection, or takes messages again.
pub(crate) fn blocked(connection: &str, blocked: bool) {
    table::BROKER_BLOCKED.gauge().record(f64::from(u8::from(blocked)), &[named(connection)]);
}

fn named(connection: &str) -> KeyValue {
    KeyValue::new("connection", connection.to_owned())
}
