//! Every metric: its name, unit, labels, and what it says. Services take their instruments from [`table`], so nothing is
//! measured that is not on the page (`docs/metrics.md`, made from the table).
//!
//! Names and units follow OpenTelemetry's conventions (<https://opentelemetry.io/docs/specs/semconv/general/metrics/>), and
//! are taken from them where they have the metric. Labels have few values: no job, tenant, key or address is one.
//!
//! *To add a metric*: an entry in the table, and `cargo run -p tidegate-metrics --example page`.

mod page;
pub mod table;

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use opentelemetry::metrics::{AsyncInstrument, Counter, Gauge, Histogram, Meter, ObservableGauge};

pub use page::page;
pub use table::ALL;

static EXPORTED: AtomicBool = AtomicBool::new(false);

/// Says that what is measured leaves this process: to be said once, before anything is measured.
pub fn set_exported() {
    EXPORTED.store(true, Relaxed);
}

/// Whether what is measured leaves this process. Who would have to look for it, asks first.
#[must_use]
pub fn is_exported() -> bool {
    EXPORTED.load(Relaxed)
}

/// How a metric is counted.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// How often something has happened since the process began.
    Counter,
    /// How much there is of something now.
    Gauge,
    /// How large something was each time, with the upper bounds of its buckets.
    Histogram(&'static [f64]),
}

/// A metric.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Name.
    pub name: &'static str,
    /// How it is counted.
    pub kind: Kind,
    /// Unit, in UCUM: `s`, `1`, what is counted in braces, or that per hour.
    pub unit: &'static str,
    /// Service that counts.
    pub service: &'static str,
    /// Labels that it may have.
    pub labels: &'static [&'static str],
    /// What it says.
    pub text: &'static str,
}

impl Metric {
    /// Its name in Prometheus, as collectors make it of name, unit and kind
    /// (<https://opentelemetry.io/docs/specs/otel/compatibility/prometheus_and_openmetrics/>). Of a histogram without
    /// `_bucket`, `_sum` and `_count`.
    #[must_use]
    pub fn prometheus(&self) -> String {
        let name = self.name.replace('.', "_");
        match (self.kind, self.unit) {
            (Kind::Counter, _) => format!("{name}_total"),
            (Kind::Gauge, "1") => format!("{name}_ratio"),
            (_, "s") => format!("{name}_seconds"),
            (_, unit) if unit.ends_with("/h") => format!("{name}_per_hour"),
            _ => name,
        }
    }

    /// The instrument of a counter.
    #[must_use]
    pub fn counter(&self) -> Counter<u64> {
        self.meter().u64_counter(self.name).with_unit(self.unit).with_description(self.text).build()
    }

    /// The instrument of a histogram.
    #[must_use]
    pub fn histogram(&self) -> Histogram<f64> {
        let meter = self.meter();
        let builder = meter.f64_histogram(self.name).with_unit(self.unit).with_description(self.text);
        match self.kind {
            Kind::Histogram(bounds) => builder.with_boundaries(bounds.to_vec()).build(),
            _ => builder.build(),
        }
    }

    /// The instrument of a gauge that is set.
    #[must_use]
    pub fn gauge(&self) -> Gauge<f64> {
        self.meter().f64_gauge(self.name).with_unit(self.unit).with_description(self.text).build()
    }

    /// A gauge for which `look` is called whenever metrics go out, for as long as the process lives.
    pub fn watch(&self, look: impl Fn(&dyn AsyncInstrument<f64>) + Send + Sync + 'static) -> ObservableGauge<f64> {
        let meter = self.meter();
        let builder = meter.f64_observable_gauge(self.name).with_unit(self.unit);
        builder.with_description(self.text).with_callback(look).build()
    }

    fn meter(&self) -> Meter {
        opentelemetry::global::meter(match self.service {
            "arbiter" => "tidegate.arbiter",
            "executor" => "tidegate.executor",
            "gateway" => "tidegate.gateway",
            "planner" => "tidegate.planner",
            "tracker" => "tidegate.tracker",
            _ => "tidegate",
        })
    }
}
