//! Durations as people write them (`5m`, `1s500ms`), for `#[serde(with = "…")]`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serializer};

/// Writes the shortest text that reads back as the same duration.
///
/// # Errors
/// Only the serializer's own.
pub fn serialize<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&humantime::format_duration(*duration))
}

/// Reads a duration from text such as `5m` or `1s500ms`.
///
/// # Errors
/// When it is not text or not a duration; the message says what was met.
pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    humantime::parse_duration(&text).map_err(|error| {
        serde::de::Error::custom(format_args!("{text:?} is not a duration such as \"5m\" or \"1s500ms\": {error}"))
    })
}
