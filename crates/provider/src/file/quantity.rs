//! Durations and sizes as people write them: `30s`, `1h30m`, `50MiB`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// A length of time above zero, up to a year: `500ms`, `30s`, `1h30m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Period(Duration);

impl Period {
    const MAX: Duration = Duration::from_secs(366 * 24 * 3600);
    const TITLE: &'static str = "a duration such as 500ms, 30s or 1h30m";

    /// As a duration.
    #[must_use]
    pub fn get(self) -> Duration {
        self.0
    }
}

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match humantime::parse_duration(&text) {
            Ok(period) if period.is_zero() => Err(format!("expected a duration above zero, found {text:?}")),
            Ok(period) if period > Self::MAX => Err(format!("expected a duration of at most 366d, found {text:?}")),
            Ok(period) => Ok(Self(period)),
            Err(_) => Err(format!("expected {}, found {text:?}", Self::TITLE)),
        }
    }
}

impl From<Period> for String {
    fn from(period: Period) -> Self {
        period.to_string()
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without blanks, as people write it; read back the same.
        f.write_str(&humantime::format_duration(self.0).to_string().replace(' ', ""))
    }
}

impl JsonSchema for Period {
    fn schema_name() -> Cow<'static, str> {
        "Period".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "title": Self::TITLE, "pattern": r"^([0-9]+\s*[a-zA-Z]+\s*)+$" })
    }
}

/// A number of bytes above zero: `50MiB`, `64kB` or `1048576`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "SizeText", into = "SizeText")]
pub struct Size(u64);

/// A size as written.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum SizeText {
    Bytes(u64),
    Text(String),
}

impl Size {
    const TITLE: &'static str = "a size such as 50MiB, or a number of bytes";
    const UNITS: [(&'static str, u64); 7] = [
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1_000),
        ("B", 1),
    ];

    /// In bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.0
    }
}

impl TryFrom<SizeText> for Size {
    type Error = String;

    fn try_from(text: SizeText) -> Result<Self, String> {
        let (bytes, found) = match text {
            SizeText::Bytes(bytes) => (Some(bytes), bytes.to_string()),
            SizeText::Text(text) => {
                // `B` ends every unit, so it is tried last.
                let parts = Self::UNITS.iter().find_map(|(unit, factor)| Some((text.strip_suffix(unit)?, factor)));
                let bytes = parts.and_then(|(number, factor)| number.trim().parse::<u64>().ok()?.checked_mul(*factor));
                (bytes, format!("{text:?}"))
            }
        };
        bytes.filter(|bytes| *bytes > 0).map(Self).ok_or_else(|| format!("expected {}, found {found}", Self::TITLE))
    }
}

impl From<Size> for SizeText {
    fn from(size: Size) -> Self {
        match Size::UNITS.iter().find(|(unit, factor)| unit.ends_with("iB") && size.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => Self::Text(format!("{}{unit}", size.0 / factor)),
            None => Self::Bytes(size.0),
        }
    }
}

impl JsonSchema for Size {
    fn schema_name() -> Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": ["string", "integer"], "title": Self::TITLE,
            "minimum": 1, "pattern": r"^[0-9]+\s*(GiB|MiB|KiB|GB|MB|kB|B)$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_written_and_come_back_the_same() {
        for (text, millis) in [("500ms", 500), ("30s", 30_000), ("1h30m", 5_400_000), ("1h 30m", 5_400_000)] {
            let period = Period::try_from(text.to_owned()).unwrap();
            assert_eq!(period.get().as_millis(), millis);
            assert_eq!(Period::try_from(period.to_string()), Ok(period));
        }
        for text in ["", "30", "0s", "many", "1000y", "-5s"] {
            assert!(Period::try_from(text.to_owned()).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_read_as_written_and_come_back_the_same() {
        for (text, bytes) in
            [("\"50MiB\"", 50 << 20), ("\"64kB\"", 64_000), ("\"7 B\"", 7), ("1048576", 1 << 20), ("9", 9)]
        {
            let size: Size = serde_json::from_str(text).unwrap();
            assert_eq!(size.bytes(), bytes, "{text}");
            assert_eq!(serde_json::from_value::<Size>(serde_json::to_value(size).unwrap()).unwrap(), size);
        }
        for text in ["0", "\"many\"", "\"MiB\"", "\"12\"", "\"5TB\"", "-1", "\"99999999999999GiB\""] {
            let read = serde_json::from_str::<Size>(text);
            assert!(read.is_err(), "{text} is {read:?}");
        }
    }
}
