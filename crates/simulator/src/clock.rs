//! The simulator's time: it runs with tokio's clock, so that a paused test can turn it.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// Microseconds since 1970 that go forward only.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    started: Instant,
    started_us: u64,
}

impl Clock {
    #[expect(
        clippy::disallowed_methods,
        reason = "the simulator's edge: windows aligned to the epoch need the real time"
    )]
    pub(crate) fn start() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_us: since_1970.as_micros() as u64 }
    }

    /// Microseconds since 1970.
    pub(crate) fn now_us(&self) -> u64 {
        self.started_us + self.started.elapsed().as_micros() as u64
    }

    /// When it was started, in microseconds since 1970.
    pub(crate) fn started_us(&self) -> u64 {
        self.started_us
    }
}
