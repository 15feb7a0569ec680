//! The page of all metrics.

use std::fmt::Write as _;

use crate::{ALL, Kind};

/// The page, as Markdown.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
        Services send metrics by OTLP to the collector that `OTEL_EXPORTER_OTLP_ENDPOINT` names, and measure nothing without \
        one. This\npage is made from `crates/metrics/src/table.rs` by \
        `cargo run -p tidegate-metrics --example page`. In Prometheus names\nare as the second column says; histograms \
        have `_bucket`, `_sum` and `_count` after it. Several processes may tell of the same gauge, as\narbiters do of limits \
        and trackers of jobs: take the largest (`max by`), not the sum, but of `tidegate.call.in_flight` and\n\
        `tidegate.call.sleeping`, which each executor has for itself. Dashboards and alerts made of them: \
        [observability.md](observability.md).\n",
    );
    let mut service = "";
    for metric in ALL {
        if metric.service != service {
            service = metric.service;
            // Writing to a String does not fail.
            let _ = write!(
                page,
                "\n## {service}\n\n| metric | in Prometheus | kind | unit | labels | says |\n| --- | --- | --- | --- | --- | --- |\n"
            );
        }
        let kind = match metric.kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        };
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let _ = writeln!(
            page,
            "| `{}` | `{}` | {kind} | `{}` | {} | {} |",
            metric.name,
            metric.prometheus(),
            metric.unit,
            labels.join(" "),
            metric.text
        );
    }
    page
}
