//! How long an answer takes.

use std::f64::consts::TAU;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Period;
use crate::draw::Draw;

/// No answer is held back longer than this, whatever a spec's tail would give.
pub const LATENCY_MAX: Duration = Duration::from_secs(300);

/// The 99th percentile of the standard normal distribution.
const NORMAL_P99: f64 = 2.326_347_874;

/// Time from a call's arrival to the head of its answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a length of time such as `20ms`, or { p50: 20ms, p99: 200ms }, was expected")]
pub enum Latency {
    /// Always the same, such as `20ms`.
    Fixed(Period),
    /// Lognormal.
    Spread(Spread),
}

/// A lognormal distribution by two of its percentiles.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Spread {
    /// Median.
    pub p50: Period,
    /// 99th percentile; not below the median.
    pub p99: Period,
}

impl Latency {
    /// The latency that belongs to `draw`.
    pub(crate) fn drawn(&self, draw: Draw) -> Duration {
        match self {
            Self::Fixed(period) => period.0.min(LATENCY_MAX),
            Self::Spread(spread) => spread.drawn(draw),
        }
    }

    pub(crate) fn check(&self) -> Result<(), String> {
        match self {
            Self::Spread(spread) if spread.p50.0.is_zero() || spread.p99 < spread.p50 => {
                Err("a p50 above 0 and a p99 not below it were expected".to_owned())
            }
            _ => Ok(()),
        }
    }
}

impl Spread {
    fn drawn(&self, draw: Draw) -> Duration {
        let sigma = (self.p99.0.as_secs_f64() / self.p50.0.as_secs_f64()).ln() / NORMAL_P99;
        // Box-Muller; 1 - unit is above 0, so the logarithm is finite.
        let radius = (-2.0 * (1.0 - draw.with(1).unit()).ln()).sqrt();
        let normal = radius * (TAU * draw.with(2).unit()).cos();
        let secs = self.p50.0.as_secs_f64() * (sigma * normal).exp();
        Duration::try_from_secs_f64(secs).unwrap_or(LATENCY_MAX).min(LATENCY_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_has_the_percentiles_it_was_given() {
        let latency = Latency::Spread(Spread { p50: Period::from_ms(20), p99: Period::from_ms(200) });
        let mut drawn: Vec<_> = (0..20_000).map(|n| latency.drawn(Draw::seeded(3).with(n))).collect();
        drawn.sort();
        let p50_ms = drawn[10_000].as_secs_f64() * 1e3;
        let p99_ms = drawn[19_800].as_secs_f64() * 1e3;
        assert!((18.0..22.0).contains(&p50_ms), "{p50_ms}");
        assert!((180.0..220.0).contains(&p99_ms), "{p99_ms}");
    }
}
