//! What of a job's specification matters for its progress.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use tidegate_limits::Rate as LimitRate;

/// The steps of a job and what its provider allows, out of the specification as it is stored.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shape {
    /// In the order of the job file.
    pub steps: Vec<StepShape>,
    /// Rates of the provider's limits, by name, where they are plain numbers.
    pub rates: HashMap<String, Rate>,
}

/// A step of a job file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct StepShape {
    /// Its name.
    pub id: String,
    /// The step for each of whose items it is done.
    #[serde(default)]
    pub for_each: Option<String>,
}

/// So many calls in so much time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Calls.
    pub calls: f64,
    /// In which time, ms.
    pub per_ms: f64,
}

/// Of the stored specification, no more than what is needed here: it must stay readable whatever else is in it.
#[derive(Deserialize)]
struct Stored {
    job: StoredJob,
    #[serde(default)]
    provider: StoredProvider,
}

#[derive(Default, Deserialize)]
struct StoredProvider {
    #[serde(default)]
    limits: Vec<Value>,
}

/// A limit that counts each call as one.
#[derive(Deserialize)]
struct StoredLimit {
    id: String,
    #[serde(default)]
    cost: Option<Value>,
    #[serde(default)]
    when: Option<Value>,
    #[serde(flatten)]
    rate: LimitRate,
}

impl StoredLimit {
    fn rate(&self) -> Option<Rate> {
        if self.cost.is_some() || self.when.is_some() {
            return None;
        }
        match self.rate {
            LimitRate::Window { calls, per, .. } | LimitRate::Sliding { calls, per } => {
                Some(Rate { calls: f64::from(calls), per_ms: per.as_secs_f64() * 1_000.0 })
            }
            LimitRate::Quota { calls, per, .. } => {
                Some(Rate { calls: f64::from(calls), per_ms: per.least_ms() as f64 })
            }
            LimitRate::Bucket { restore_per_s, .. } => Some(Rate { calls: 1.0, per_ms: 1_000.0 / restore_per_s }),
            LimitRate::Concurrency { .. } | LimitRate::Learn(_) | LimitRate::Breaker(_) | LimitRate::Told {} => None,
        }
    }
}

#[derive(Deserialize)]
struct StoredJob {
    steps: Vec<StepShape>,
}

impl Shape {
    /// Out of a job's specification as the ledger has it (JSON); nothing is known of one that can't be read.
    #[must_use]
    pub fn of_spec(spec: &str) -> Self {
        let Ok(Stored { job, provider }) = serde_json::from_str(spec) else { return Self::default() };
        let limits = provider.limits.into_iter().filter_map(|limit| serde_json::from_value::<StoredLimit>(limit).ok());
        Self { steps: job.steps, rates: limits.filter_map(|limit| Some((limit.id.clone(), limit.rate()?))).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_read_whatever_else_a_specification_has() {
        let shape = Shape::of_spec(
            r#"{"job": {"provider": "p", "new": 1, "steps": [{"id": "a", "call": "x"},
                {"id": "b", "for_each": "a", "with": {"id": "{{ item.id }}"}}]}, "provider": {"limits": [
                {"id": "token", "key": ["credential"], "window": {"calls": 300, "per": "5m"}},
                {"id": "dear", "cost": 2, "window": {"calls": 300, "per": "5m"}}, {"id": "new", "kind": 1}]}}"#,
        );
        let named: Vec<_> = shape.steps.iter().map(|step| (step.id.as_str(), step.for_each.as_deref())).collect();
        assert_eq!(named, [("a", None), ("b", Some("a"))]);
        assert_eq!(shape.rates, HashMap::from([("token".to_owned(), Rate { calls: 300.0, per_ms: 300_000.0 })]));
        for strange in ["", "{}", "[1]", r#"{"steps": []}"#] {
            assert_eq!(Shape::of_spec(strange), Shape::default(), "{strange}");
        }
    }
}
