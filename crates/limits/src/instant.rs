//! Points in time as headers write them.

use crate::block::LONGEST_TOLD_MS;
use crate::headers::ResetAs;

/// A time that has passed by no more is taken for now: clocks differ, and answers take their time.
const LATEST_PAST_MS: i64 = 5_000;

/// A told time, and what it may have been rounded by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Instant {
    /// Unix time in ms.
    pub(crate) at_ms: i64,
    /// 1000 for whole seconds, else 0.
    pub(crate) step_ms: i64,
    /// Whether it was told from now on.
    pub(crate) is_relative: bool,
}

/// Reads a time; none when it is nonsense: malformed, long past, or more than 32 days away.
pub(crate) fn read(text: &str, written_as: ResetAs, now_ms: i64) -> Option<Instant> {
    let told = match written_as {
        ResetAs::Auto => number(text).map(|n| from_number(text, guess(n), n, now_ms)).or_else(|| date(text)),
        ResetAs::Iso8601 => date(text),
        _ => number(text).map(|n| from_number(text, written_as, n, now_ms)),
    }?;
    (now_ms - LATEST_PAST_MS..=now_ms + LONGEST_TOLD_MS).contains(&told.at_ms).then_some(told)
}

/// Reads a number that counts something: finite, not negative. What follows a comma or a semicolon (`100, 100;w=60`)
/// is left out.
pub(crate) fn number(text: &str) -> Option<f64> {
    let first = text.split([',', ';']).next()?.trim();
    // Rust reads "inf", "nan" and "+1"; headers do not write them.
    if !first.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    first.parse().ok().filter(|n: &f64| n.is_finite())
}

/// Times since 1970 are much larger than any wait.
fn guess(n: f64) -> ResetAs {
    match n {
        n if n > 1e12 => ResetAs::EpochMs,
        n if n > 1e9 => ResetAs::EpochS,
        _ => ResetAs::DeltaS,
    }
}

fn from_number(text: &str, written_as: ResetAs, n: f64, now_ms: i64) -> Instant {
    let step_ms = if text.contains('.') { 0 } else { 1_000 };
    match written_as {
        ResetAs::EpochMs => Instant { at_ms: n.ceil() as i64, step_ms: 0, is_relative: false },
        ResetAs::EpochS => Instant { at_ms: (n * 1e3).ceil() as i64, step_ms, is_relative: false },
        _ => Instant { at_ms: now_ms.saturating_add((n * 1e3).ceil() as i64), step_ms, is_relative: true },
    }
}

/// Reads a date, as in ISO 8601 or HTTP.
pub(crate) fn date(text: &str) -> Option<Instant> {
    let text = text.trim();
    if let Ok(timestamp) = text.parse::<jiff::Timestamp>() {
        let step_ms = if text.contains('.') { 0 } else { 1_000 };
        return Some(Instant { at_ms: timestamp.as_millisecond(), step_ms, is_relative: false });
    }
    let since_1970 = httpdate::parse_http_date(text).ok()?.duration_since(std::time::UNIX_EPOCH).ok()?;
    Some(Instant { at_ms: i64::try_from(since_1970.as_millis()).ok()?, step_ms: 1_000, is_relative: false })
}
