//! Marks: how far a list has been seen, as a value that only grows.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Primitive;

/// A value out of an item, by which newer items are told from older ones.
///
/// Kept and sent as one text whose bytes sort as the values do, within a kind: a database finds the highest one without
/// knowing what they are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Mark(String);

/// How the values of a field compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// As decimal numbers, however many digits they have; also where they are written as texts.
    Number,
    /// As times of RFC 3339, whatever their offset.
    Time,
    /// Byte by byte.
    Text,
}

/// A value can't be a mark, or not beside another.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MarkError {
    /// It is not of the kind.
    #[error("expected {expected}, found {found}")]
    Kind {
        /// What it should be.
        expected: &'static str,
        /// What it is, shortened.
        found: String,
    },
    /// It is too long.
    #[error("expected at most {} bytes, found {bytes}", Mark::VALUE_MAX_BYTES)]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// A text that was kept as a mark is none.
    #[error("a mark that can't be read")]
    Kept,
}

impl MarkKind {
    /// For people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Number => "number",
            Self::Time => "time",
            Self::Text => "text",
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Number => "a decimal number, or a text that is one",
            Self::Time => "a time such as 2026-01-31T12:00:00Z",
            Self::Text => "a text",
        }
    }
}

impl fmt::Display for MarkKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Most digits of a number, before and after its point each.
const DIGITS_MAX: usize = 100;

impl Mark {
    /// Longest value, as it is written in JSON, in bytes.
    pub const VALUE_MAX_BYTES: usize = 512;

    /// Reads a JSON value. Without a kind its own decides: a number, or a text of digits, is a number; a text that is a
    /// time of RFC 3339 is one; any other text is a text.
    ///
    /// # Errors
    /// [`MarkError::Kind`], [`MarkError::TooLong`].
    pub fn read(json: &str, kind: Option<MarkKind>) -> Result<Self, MarkError> {
        if json.len() > Self::VALUE_MAX_BYTES {
            return Err(MarkError::TooLong { bytes: json.len() });
        }
        let refuse = |expected| {
            let found = json.chars().take(40).collect();
            Err(MarkError::Kind { expected, found })
        };
        let text: Option<String> = serde_json::from_str(json).ok();
        let bare = text.as_deref().unwrap_or(json);
        let is_number = json.starts_with(|first: char| first.is_ascii_digit() || first == '-');
        if text.is_none() && !is_number {
            return refuse(kind.map_or("a number, a time or a text", MarkKind::expected));
        }
        let kind = kind.unwrap_or_else(|| match () {
            () if is_number || is_whole_number(bare) => MarkKind::Number,
            () if time_key(bare).is_some() => MarkKind::Time,
            () => MarkKind::Text,
        });
        let kept = match kind {
            MarkKind::Number => number_key(bare).map(|key| format!("n{key} {json}")),
            MarkKind::Time => text.as_deref().and_then(time_key).map(|key| format!("t{key} {bare}")),
            // A database's text can't hold the character zero.
            MarkKind::Text => text.as_deref().filter(|text| !text.contains('\0')).map(|text| format!("s{text}")),
        };
        kept.map(Self).map_or_else(|| refuse(kind.expected()), Ok)
    }

    /// How it compares.
    #[must_use]
    pub fn kind(&self) -> MarkKind {
        match self.0.as_bytes().first() {
            Some(b'n') => MarkKind::Number,
            Some(b't') => MarkKind::Time,
            _ => MarkKind::Text,
        }
    }

    /// Whether it is above `other`: newer. Of equal values neither is, however they are written.
    ///
    /// # Errors
    /// [`MarkError::Kind`]: they are of different kinds.
    pub fn is_above(&self, other: &Self) -> Result<bool, MarkError> {
        if self.kind() != other.kind() {
            let found = format!("the {} {}", self.kind(), self.shown());
            return Err(MarkError::Kind { expected: other.kind().expected(), found });
        }
        Ok(self.key() > other.key())
    }

    /// The value, as it is asked for with: as the provider wrote it.
    #[must_use]
    pub fn value(&self) -> Primitive {
        match self.written().parse() {
            Ok(number) if self.kind() == MarkKind::Number => Primitive::Integer(number),
            _ => Primitive::Text(self.shown()),
        }
    }

    /// The value, for people.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.kind() {
            MarkKind::Number => self.written().trim_matches('"').to_owned(),
            _ => self.written().to_owned(),
        }
    }

    /// As it is kept.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What values are compared by.
    fn key(&self) -> &str {
        match self.kind() {
            MarkKind::Text => &self.0,
            _ => self.0.split_once(' ').map_or(&self.0, |(key, _)| key),
        }
    }

    /// As the provider wrote it; a number with its quotes, if it had any.
    fn written(&self) -> &str {
        match self.kind() {
            MarkKind::Text => self.0.get(1..).unwrap_or_default(),
            _ => self.0.split_once(' ').map_or("", |(_, written)| written),
        }
    }
}

fn is_whole_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// Decimal numbers as texts that sort as the numbers do. A greater number has a sign of its own, then more digits before
/// its point, then greater ones. Those of negative numbers are turned round.
fn number_key(text: &str) -> Option<String> {
    let (negative, plain) = text.strip_prefix('-').map_or((false, text), |plain| (true, plain));
    let (whole, part) = plain.split_once('.').unwrap_or((plain, "0"));
    let are_digits =
        |text: &str| (1..=DIGITS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if !are_digits(whole) || !are_digits(part) {
        return None;
    }
    let (whole, part) = (whole.trim_start_matches('0'), part.trim_end_matches('0'));
    if whole.is_empty() && part.is_empty() {
        return Some("1000".to_owned());
    }
    let key = format!("{:03}{whole}{}{part}", whole.len(), if part.is_empty() { "" } else { "." });
    if !negative {
        return Some(format!("1{key}"));
    }
    let turned =
        key.chars().map(|char| char.to_digit(10).and_then(|digit| char::from_digit(9 - digit, 10)).unwrap_or(char));
    // What is longer is less here, and `~` comes after all of it.
    Some(format!("0{}~", turned.collect::<String>()))
}

/// Times as texts that sort as they do.
fn time_key(text: &str) -> Option<String> {
    // Before that library's own forms: RFC 3339 begins with a date and a time.
    let is_likely = text.len() >= "2026-01-31T12:00Z".len() && text.as_bytes().get(4) == Some(&b'-');
    let time: jiff::Timestamp = is_likely.then(|| text.parse().ok())??;
    // From the year -9999 on, all positive.
    Some(format!("{:030}", time.as_nanosecond() + 1_000_000_000_000_000_000_000))
}

impl TryFrom<String> for Mark {
    type Error = MarkError;

    fn try_from(kept: String) -> Result<Self, MarkError> {
        let is_whole = match kept.chars().next() {
            Some('n' | 't') => kept.contains(' '),
            first => first == Some('s'),
        };
        if is_whole { Ok(Self(kept)) } else { Err(MarkError::Kept) }
    }
}

impl From<Mark> for String {
    fn from(mark: Mark) -> Self {
        mark.0
    }
}

impl fmt::Debug for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind(), self.shown())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn mark(json: &str) -> Mark {
        Mark::read(json, None).unwrap()
    }

    #[test]
    fn values_are_taken_for_what_they_are() {
        for (json, kind) in [
            ("12", MarkKind::Number),
            ("-1.5", MarkKind::Number),
            (r#""1234567890123456789012""#, MarkKind::Number),
            (r#""2026-01-31T12:00:00Z""#, MarkKind::Time),
            (r#""2026-01-31T12:00:00.123+02:00""#, MarkKind::Time),
            (r#""2026-01-31""#, MarkKind::Text),
            (r#""12a""#, MarkKind::Text),
            (r#""""#, MarkKind::Text),
        ] {
            assert_eq!(mark(json).kind(), kind, "{json}");
        }
        for json in ["null", "true", "[1]", "{}", "1e9", r#""a\u0000""#, &format!("\"{}\"", "x".repeat(600))] {
            assert!(Mark::read(json, None).is_err(), "{json}");
        }
    }

    #[test]
    fn a_kind_that_is_asked_for_is_had_or_refused() {
        assert_eq!(Mark::read(r#""12""#, Some(MarkKind::Text)).unwrap().kind(), MarkKind::Text);
        assert_eq!(Mark::read(r#""1.5""#, Some(MarkKind::Number)).unwrap().kind(), MarkKind::Number);
        for (json, kind) in [("12", MarkKind::Text), (r#""a""#, MarkKind::Number), ("12", MarkKind::Time)] {
            let error = Mark::read(json, Some(kind)).unwrap_err().to_string();
            assert!(error.starts_with("expected a") && error.ends_with(&format!("found {json}")), "{error}");
        }
    }

    #[test]
    fn numbers_times_and_texts_compare_as_what_they_are() {
        let ascending = [
            &[
                "-100", "-99.5", "-99", "-1.25", "-1.2", "-1", "-0.5", "0", "0.05", "0.5", "1", "1.05", "1.5", "9",
                "10", "99", "100",
            ][..],
            &[r#""9""#, "10", r#""99999999999999999999""#, r#""100000000000000000000""#],
            &[
                r#""2026-01-31T12:00:00+02:00""#,
                r#""2026-01-31T11:00:00Z""#,
                r#""2026-01-31T11:00:00.5Z""#,
                r#""2026-01-31T11:00:01Z""#,
            ],
            &[r#""a""#, r#""a b""#, r#""aa""#, r#""b""#],
        ];
        for list in ascending {
            for pair in list.windows(2) {
                let (low, high) = (mark(pair[0]), mark(pair[1]));
                assert!(high.is_above(&low).unwrap() && !low.is_above(&high).unwrap(), "{pair:?}");
                assert!(high.as_str() > low.as_str(), "{pair:?}");
            }
        }
        assert!(!mark(r#""2026-01-31T12:00:00+02:00""#).is_above(&mark(r#""2026-01-31T10:00:00Z""#)).unwrap());
        assert!(!mark("1.0").is_above(&mark(r#""01""#)).unwrap());
        assert!(
            mark("1")
                .is_above(&mark(r#""a""#))
                .unwrap_err()
                .to_string()
                .contains("expected a text, found the number 1")
        );
    }

    #[test]
    fn what_is_asked_for_is_what_was_written() {
        assert_eq!(mark("12").value(), Primitive::Integer(12));
        assert_eq!(mark(r#""12""#).value(), Primitive::Text("12".to_owned()));
        assert_eq!(mark("1.50").value(), Primitive::Text("1.50".to_owned()));
        assert_eq!(mark(r#""2026-01-31T12:00:00+02:00""#).shown(), "2026-01-31T12:00:00+02:00");
        assert_eq!(mark(r#""a b""#).value(), Primitive::Text("a b".to_owned()));
    }

    #[test]
    fn a_mark_reads_back_as_it_was_kept_and_nothing_else_does() {
        for json in ["12", r#""a b""#, r#""""#, r#""2026-01-31T12:00:00Z""#] {
            let text = serde_json::to_string(&mark(json)).unwrap();
            assert_eq!(serde_json::from_str::<Mark>(&text).unwrap(), mark(json), "{text}");
        }
        for kept in ["", "x1 1", "n1"] {
            assert!(Mark::try_from(kept.to_owned()).is_err(), "{kept}");
        }
    }

    proptest! {
        #[test]
        fn numbers_sort_as_texts_as_they_do_as_numbers(a in any::<i64>(), b in any::<i64>(), small in -20_i64..20, part in 0_u32..100) {
            let close = format!("{small}.{part:02}");
            for (one, other) in [(a.to_string(), b.to_string()), (a.to_string(), close.clone()), (small.to_string(), close)] {
                let (x, y): (f64, f64) = (one.parse().unwrap(), other.parse().unwrap());
                // Far from each other, so that a float tells them apart.
                if (x - y).abs() > 1e-9 * x.abs().max(y.abs()) {
                    prop_assert_eq!(mark(&one).as_str() > mark(&other).as_str(), x > y, "{} {}", one, other);
                }
            }
        }
    }
}
