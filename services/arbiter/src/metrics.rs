//! The arbiter's metrics.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry::KeyValue;
use opentelemetry::metrics::Counter;
use tidegate_daemon::clock;
use tidegate_limits::{Decision, Override, OverrideKind, Question, Report, Usage, Why};
use tidegate_metrics::{Metric, table};

use crate::redis::{Calls, Presence};

/// In place of a limit's id: the answer did not say which of several it was.
const ANY: &str = "any";

/// The arbiter's instruments.
pub(crate) struct Metrics {
    granted: Counter<u64>,
    waits: Counter<u64>,
    refusals: Counter<u64>,
    returned: Counter<u64>,
    unused: Counter<u64>,
    seen: Arc<Mutex<Seen>>,
}

/// Budgets and overrides as they were at the last look.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// By provider and limit.
    limits: BTreeMap<(String, String), Sums>,
    /// By provider: breakers that are open.
    down: BTreeMap<String, u64>,
    /// By provider and kind.
    overrides: BTreeMap<(String, &'static str), u64>,
}

/// All budgets of one limit.
#[derive(Debug, Default, PartialEq)]
struct Sums {
    budgets: u64,
    used: u64,
    size: Option<u64>,
    /// Units of cost an hour.
    pace: Option<u64>,
    utilization: Option<f64>,
    blocked: u64,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        watch(&seen, table::LIMIT_BUDGETS, |sums| Some(sums.budgets as f64));
        watch(&seen, table::LIMIT_USED, |sums| Some(sums.used as f64));
        watch(&seen, table::LIMIT_SIZE, |sums| sums.size.map(|size| size as f64));
        watch(&seen, table::LIMIT_PACE, |sums| sums.pace.map(|pace| pace as f64));
        watch(&seen, table::LIMIT_UTILIZATION, |sums| sums.utilization);
        watch(&seen, table::LIMIT_BLOCKED, |sums| Some(sums.blocked as f64));
        let of = Arc::clone(&seen);
        table::PROVIDER_DOWN.watch(move |gauge| {
            for (provider, down) in &of.lock().unwrap_or_else(PoisonError::into_inner).down {
                gauge.observe(*down as f64, &[KeyValue::new("provider", provider.clone())]);
            }
        });
        let of = Arc::clone(&seen);
        table::LIMIT_OVERRIDES.watch(move |gauge| {
            for ((provider, does), overrides) in &of.lock().unwrap_or_else(PoisonError::into_inner).overrides {
                let labels = [KeyValue::new("provider", provider.clone()), KeyValue::new("does", *does)];
                gauge.observe(*overrides as f64, &labels);
            }
        });
        Self {
            granted: table::PERMIT_GRANTED.counter(),
            waits: table::PERMIT_WAITS.counter(),
            refusals: table::PERMIT_REFUSED.counter(),
            returned: table::PERMIT_RETURNED.counter(),
            unused: table::PERMIT_UNUSED.counter(),
            seen,
        }
    }

    /// `providers`: of each question, in order.
    pub(crate) fn decided(&self, providers: &[String], decisions: &[Decision]) {
        for (provider, decision) in providers.iter().zip(decisions) {
            match decision {
                Decision::Granted(permit) => self.granted.add(u64::from(permit.calls), &[]),
                Decision::Wait { limit, why, .. } => {
                    let reason = match why {
                        None => "full",
                        Some(Why::Paused { .. }) => "paused",
                        Some(Why::Down { .. }) => "down",
                    };
                    let labels = of_limit(provider, limit);
                    self.waits.add(1, &[labels, vec![KeyValue::new("reason", reason)]].concat());
                }
            }
        }
    }

    pub(crate) fn reported(&self, reports: &[Report]) {
        for refused in reports.iter().filter_map(|report| report.answer.as_ref()?.refused.as_ref()) {
            let (provider, limit) = refuses(&refused.keys);
            self.refusals.add(1, &of_limit(provider, limit));
        }
        let calls = |report: &Report| u64::from(report.permit.calls);
        self.returned.add(reports.iter().map(calls).sum(), &[]);
        self.unused.add(reports.iter().filter(|report| !report.sent).map(calls).sum(), &[]);
    }

    /// Budgets and overrides are so now.
    pub(crate) fn looked(&self, usage: &[Usage], overrides: &[Override]) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Seen::of(usage, overrides).after(&seen);
    }
}

/// The provider that a question is about; empty if no limit is touched.
pub(crate) fn provider(question: &Question) -> String {
    question.charges.first().map_or("", |charge| names(&charge.key).0).to_owned()
}

impl Seen {
    fn of(usage: &[Usage], overrides: &[Override]) -> Self {
        let mut seen = Self::default();
        for usage in usage {
            let provider = names(&usage.key).0.to_owned();
            *seen.down.entry(provider.clone()).or_default() += u64::from(usage.down.is_some());
            seen.limits.entry((provider, usage.limit.clone())).or_default().add(usage);
        }
        for wanted in overrides {
            let does = match wanted.kind() {
                OverrideKind::Pause => "pause",
                OverrideKind::Rate => "rate",
            };
            *seen.overrides.entry((names(&wanted.key).0.to_owned(), does)).or_default() += 1;
        }
        seen
    }

    /// What has gone since is told as 0, so that nobody takes the last value for today's.
    fn after(mut self, before: &Self) -> Self {
        for provider in before.down.keys() {
            self.down.entry(provider.clone()).or_default();
        }
        for key in before.overrides.keys() {
            self.overrides.entry(key.clone()).or_default();
        }
        self
    }
}

impl Sums {
    fn add(&mut self, usage: &Usage) {
        self.budgets += 1;
        self.used += usage.used;
        self.blocked += u64::from(usage.blocked_until_ms.is_some());
        if let Some(learnt) = usage.learnt {
            *self.pace.get_or_insert(0) += learnt.per_hour;
        }
        if let Some(size) = usage.size.filter(|&size| size > 0) {
            *self.size.get_or_insert(0) += size;
            let part = (usage.used as f64 / size as f64).min(1.0);
            self.utilization = Some(self.utilization.map_or(part, |most| most.max(part)));
        }
    }
}

/// Provider and limit out of a budget's key, `{provider}/limit/…`; the limit is empty where the key is a provider's.
fn names(key: &str) -> (&str, &str) {
    let (provider, rest) = key.strip_prefix('{').and_then(|key| key.split_once("}/")).unwrap_or_default();
    (provider, rest.split('/').next().unwrap_or_default())
}

/// The provider and the limit that a refusal is about, of all budgets that it may be about. Those that every call has stand
/// behind the provider file's own.
fn refuses(keys: &[String]) -> (&str, &str) {
    let provider = keys.first().map_or("", |key| names(key).0);
    let of_all = |limit: &&str| ["breaker", "told"].contains(limit);
    let limits: Vec<&str> = keys.iter().map(|key| names(key).1).collect();
    let own: Vec<&str> = limits.iter().copied().filter(|limit| !of_all(limit)).collect();
    let limit = match (&own[..], &limits[..]) {
        ([limit], _) | ([], [limit]) => *limit,
        _ => ANY,
    };
    (provider, limit)
}

fn of_limit(provider: &str, limit: &str) -> Vec<KeyValue> {
    vec![KeyValue::new("provider", provider.to_owned()), KeyValue::new("limit", limit.to_owned())]
}

/// Tells of each limit that was in use at the last look.
fn watch(seen: &Arc<Mutex<Seen>>, metric: Metric, value: impl Fn(&Sums) -> Option<f64> + Send + Sync + 'static) {
    let seen = Arc::clone(seen);
    metric.watch(move |gauge| {
        for ((provider, limit), sums) in &seen.lock().unwrap_or_else(PoisonError::into_inner).limits {
            if let Some(value) = value(sums) {
                gauge.observe(value, &of_limit(provider, limit));
            }
        }
    });
}

/// Tells whether Redis is away, for as long as its store lives.
pub(crate) fn watch_redis(presence: &Arc<Presence>) {
    let presence = Arc::downgrade(presence);
    table::REDIS_AWAY.watch(move |gauge| {
        let Some(presence) = presence.upgrade() else { return };
        let now = presence.calls(clock::now_ms());
        for (calls, name) in [(Calls::Wait, "wait"), (Calls::Share, "share")] {
            gauge.observe(f64::from(now == Some(calls)), &[KeyValue::new("calls", name)]);
        }
    });
}

#[cfg(test)]
mod tests {
    use tidegate_limits::{Does, Down, Learnt};

    use super::*;

    fn usage(key: &str, used: u64, size: Option<u64>) -> Usage {
        Usage {
            key: key.to_owned(),
            limit: names(key).1.to_owned(),
            used,
            size,
            resets_at_ms: None,
            blocked_until_ms: None,
            learnt: None,
            learnt_slots: None,
            down: None,
        }
    }

    #[test]
    fn budgets_of_a_limit_are_summed_and_the_fullest_is_told() {
        let budgets = [
            Usage { blocked_until_ms: Some(5), ..usage("{acme}/token/credential=a", 30, Some(60)) },
            usage("{acme}/token/credential=b", 59, Some(60)),
            usage("{acme}/token/credential=c", 5, None),
            usage("{other}/token/", 0, Some(0)),
        ];
        let seen = Seen::of(&budgets, &[]);
        let of = |provider: &str| &seen.limits[&(provider.to_owned(), "token".to_owned())];
        let (used, size, utilization) = (94, Some(120), Some(59.0 / 60.0));
        assert_eq!(*of("acme"), Sums { budgets: 3, used, size, pace: None, utilization, blocked: 1 });
        assert_eq!(*of("other"), Sums { budgets: 1, ..Sums::default() });
    }

    #[test]
    fn a_refusal_is_the_limit_s_that_it_names_or_the_only_one_of_the_provider_file() {
        for (keys, limit) in [
            (&["{acme}/token/credential=a"][..], "token"),
            (&["{acme}/breaker/egress=x", "{acme}/token/credential=a", "{acme}/told/credential=a"], "token"),
            (&["{acme}/told/credential=a"], "told"),
            (&["{acme}/day/provider", "{acme}/token/credential=a"], ANY),
            (&["{acme}/breaker/egress=x", "{acme}/told/credential=a"], ANY),
        ] {
            let keys: Vec<String> = keys.iter().map(|&key| key.to_owned()).collect();
            assert_eq!(refuses(&keys), ("acme", limit), "{keys:?}");
        }
        assert_eq!(refuses(&[]), ("", ANY));
    }

    #[test]
    fn a_breaker_that_has_closed_and_an_override_that_has_ended_are_told_as_zero() {
        let down = Some(Down { since_ms: 0, probe_at_ms: 0 });
        let learnt = Some(Learnt { per_hour: 90, is_proven: true, refused_at_ms: None });
        let ill = Usage { down, learnt, ..usage("{acme}/breaker/", 5, Some(5)) };
        let paused =
            Override { key: "{acme}/".to_owned(), does: Does::Pause, reason: "test".to_owned(), until_ms: None };
        let before = Seen::of(&[ill], &[paused]);
        assert_eq!(before.limits[&("acme".to_owned(), "breaker".to_owned())].pace, Some(90));
        assert_eq!((before.down["acme"], before.overrides[&("acme".to_owned(), "pause")]), (1, 1));
        let after = Seen::of(&[], &[]).after(&before);
        assert_eq!((after.down["acme"], after.overrides[&("acme".to_owned(), "pause")]), (0, 0));
        assert!(after.limits.is_empty());
    }
}
