//! The gateway's metrics. No job, tenant or address is a label.

use std::time::Duration;

use axum::http::{Method, StatusCode};
use opentelemetry::KeyValue;
use tidegate_contracts::Lane;

/// A job was taken. Jobs are rare next to calls: the instrument is looked up each time.
pub(crate) fn submitted(lane: Lane) {
    let jobs = opentelemetry::global::meter("tidegate.gateway")
        .u64_counter("tidegate.job.submitted")
        .with_unit("{job}")
        .with_description("Jobs taken")
        .build();
    jobs.add(1, &[KeyValue::new("lane", lane.name())]);
}

/// A request was answered; of a stream, its head.
pub(crate) fn answered(method: &Method, route: &'static str, status: StatusCode, elapsed: Duration) {
    let durations = opentelemetry::global::meter("tidegate.gateway")
        .f64_histogram("http.server.request.duration")
        .with_unit("s")
        .with_description("From a request to the head of its answer")
        .with_boundaries(vec![0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0])
        .build();
    let labels = [
        KeyValue::new("http.request.method", known(method)),
        KeyValue::new("http.route", route),
        KeyValue::new("http.response.status_code", i64::from(status.as_u16())),
    ];
    durations.record(elapsed.as_secs_f64(), &labels);
}

/// A method that clients make up is no label.
fn known(method: &Method) -> &'static str {
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE]
        .iter()
        .position(|known| known == method)
        .map_or("_OTHER", |at| ["GET", "HEAD", "POST", "PUT", "DELETE"][at])
}
