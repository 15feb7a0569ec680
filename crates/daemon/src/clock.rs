//! The clock. Everything else takes the time as an argument, or a [`Clock`] where it must ask again.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

/// Tells the Unix time in milliseconds. Not monotonic: the system's time may be set back.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// Unix time in milliseconds; negative before 1970.
#[must_use]
pub fn now_ms() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the system's time")]
    let now = SystemTime::now();
    let millis = |duration: std::time::Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
    now.duration_since(UNIX_EPOCH).map_or_else(|before| -millis(before.duration()), millis)
}

/// The system's clock.
#[must_use]
pub fn system() -> Clock {
    Arc::new(now_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_tells_unix_time_in_milliseconds() {
        // From this code's first year to the end of the century: seconds or microseconds would lie outside.
        assert!((1_767_225_600_000..4_102_444_800_000).contains(&system()()));
    }
}
