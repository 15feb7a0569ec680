//! Workers, of whom each works on one call at a time: whoever comes while all are busy waits for one, first come first served.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::Period;
use crate::latency::LATENCY_MAX;

/// A provider that refuses nothing and slows down when it has too much to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Busy {
    /// How many calls it works on at a time, from 1 to 100,000.
    #[schemars(range(min = 1, max = 100_000))]
    pub workers: u32,
    /// How long each call takes of a worker's time.
    pub takes: Period,
}

impl Default for Busy {
    fn default() -> Self {
        Self { workers: 8, takes: Period::from_ms(50) }
    }
}

impl Busy {
    /// `WORKERSxTIME`, such as `8x50ms`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("slow_when_busy: expected WORKERSxTIME such as 8x50ms, found {text}");
        let (workers, takes) = text.split_once('x').ok_or_else(wrong)?;
        let workers = workers.parse().ok().filter(|workers| (1..=100_000).contains(workers)).ok_or_else(wrong)?;
        Ok(Self { workers, takes: humantime::parse_duration(takes).map(Period).map_err(|_| wrong())? })
    }
}

/// Those who work.
#[derive(Debug)]
pub(crate) struct Workers {
    free: Semaphore,
    takes: Duration,
}

impl Workers {
    pub(crate) fn new(busy: &Busy) -> Self {
        let workers = usize::try_from(busy.workers.clamp(1, 100_000)).unwrap_or(1);
        Self { free: Semaphore::new(workers), takes: busy.takes.0.min(LATENCY_MAX) }
    }

    /// Waits for a worker, and for its work.
    pub(crate) async fn work(&self) {
        let _worker = self.free.acquire().await;
        tokio::time::sleep(self.takes).await;
    }
}
