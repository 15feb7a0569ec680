//! The gateway's metrics.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use opentelemetry::KeyValue;
use tidegate_contracts::Lane;
use tidegate_metrics::table;

/// A job was taken. Jobs are rare next to calls: the instrument is looked up each time.
pub(crate) fn submitted(lane: Lane) {
    table::JOB_SUBMITTED.counter().add(1, &[KeyValue::new("lane", lane.name())]);
}

/// A request was answered; of a stream, its head.
pub(crate) fn answered(method: &Method, route: &'static str, status: StatusCode, elapsed: Duration) {
    let labels = [
        KeyValue::new("http.request.method", known(method)),
        KeyValue::new("http.route", route),
        KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
    ];
    table::HTTP_DURATION.histogram().record(elapsed.as_secs_f64(), &labels);
}

/// A method that clients make up is no label.
fn known(method: &Method) -> &'static str {
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE]
        .iter()
        .position(|known| known == method)
        .map_or("_OTHER", |at| ["GET", "HEAD", "POST", "PUT", "DELETE"][at])
}
