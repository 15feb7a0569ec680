//! The executor's metrics.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Counter, Histogram};
use tidegate_contracts::{Class, Lane, WaitReason};
use tidegate_metrics::table;

use crate::Gauges;
use crate::handle_call::ARBITER;

/// The executor's instruments.
pub(crate) struct Metrics {
    requests: Histogram<f64>,
    permits: Histogram<f64>,
    waits: Counter<u64>,
    unmatched: Counter<u64>,
    credentials: Counter<u64>,
    parked: Counter<u64>,
    pushed: Counter<u64>,
    tokens: Counter<u64>,
    ignored: Counter<u64>,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        Self {
            requests: table::CALL_DURATION.histogram(),
            permits: table::PERMIT_WAIT.histogram(),
            waits: table::CALL_WAITS.counter(),
            unmatched: table::ANSWER_UNMATCHED.counter(),
            credentials: table::CREDENTIAL_PARKED.counter(),
            parked: table::CALL_PARKED.counter(),
            pushed: table::PAGE_PUSHED.counter(),
            tokens: table::TOKEN_ASKED.counter(),
            ignored: table::LIMIT_IGNORED.counter(),
        }
    }

    /// Tells of what calls do right now, for as long as the process lives.
    pub(crate) fn watch(gauges: &Arc<Gauges>) {
        let of = Arc::clone(gauges);
        table::CALL_IN_FLIGHT.watch(move |gauge| gauge.observe(of.in_flight.load(Relaxed) as f64, &[]));
        let of = Arc::clone(gauges);
        let sleeping = move || of.sleeping().iter().map(|(_, sleeping)| sleeping.calls).sum::<u64>();
        table::CALL_SLEEPING.watch(move |gauge| gauge.observe(sleeping() as f64, &[]));
    }

    /// A permit came, this long after it was first asked for.
    pub(crate) fn permitted(&self, lane: Lane, waited: Duration) {
        self.permits.record(waited.as_secs_f64(), &[KeyValue::new("lane", lane.name())]);
    }

    pub(crate) fn request(&self, provider: &str, lane: Lane, class: &'static str, took: Duration) {
        let labels = [
            KeyValue::new("provider", provider.to_owned()),
            KeyValue::new("lane", lane.name()),
            KeyValue::new("class", class),
        ];
        self.requests.record(took.as_secs_f64(), &labels);
    }

    /// A call waits, here or parked.
    pub(crate) fn waits(&self, provider: &str, lane: Lane, reason: &WaitReason) {
        let reason = match reason {
            WaitReason::Limit(limit) if limit == WaitReason::RESULTS => "results",
            WaitReason::Limit(limit) if limit == WaitReason::TOKENS => "tokens",
            WaitReason::Limit(limit) if limit == ARBITER => "arbiter",
            WaitReason::Limit(_) => "limit",
            WaitReason::Backoff(_) => "backoff",
            WaitReason::Paused { .. } => "paused",
            WaitReason::Down { .. } => "down",
        };
        let labels = [
            KeyValue::new("provider", provider.to_owned()),
            KeyValue::new("lane", lane.name()),
            KeyValue::new("reason", reason),
        ];
        self.waits.add(1, &labels);
    }

    /// No error rule speaks of an answer.
    pub(crate) fn unmatched(&self, provider: &str) {
        self.unmatched.add(1, &[KeyValue::new("provider", provider.to_owned())]);
    }

    /// A credential was parked, for a refusal of this class.
    pub(crate) fn credential_parked(&self, provider: &str, class: Class) {
        let labels = [KeyValue::new("provider", provider.to_owned()), KeyValue::new("class", class.name())];
        self.credentials.add(1, &labels);
    }

    /// `kind`: the message's type, or `refused`.
    pub(crate) fn pushed(&self, provider: &str, kind: &'static str) {
        self.pushed.add(1, &[KeyValue::new("provider", provider.to_owned()), KeyValue::new("kind", kind)]);
    }

    /// `end`: `renewed`, `refused` or `later`.
    pub(crate) fn token_asked(&self, provider: &str, end: &'static str) {
        self.tokens.add(1, &[KeyValue::new("provider", provider.to_owned()), KeyValue::new("end", end)]);
    }

    /// So many headers of an answer spoke of limits and made no sense.
    pub(crate) fn ignored(&self, provider: &str, headers: u64) {
        if headers > 0 {
            self.ignored.add(headers, &[KeyValue::new("provider", provider.to_owned())]);
        }
    }

    pub(crate) fn parked(&self, provider: &str, lane: Lane) {
        self.parked.add(1, &[KeyValue::new("provider", provider.to_owned()), KeyValue::new("lane", lane.name())]);
    }
}
