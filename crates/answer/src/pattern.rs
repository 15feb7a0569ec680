//! Regular expressions, bounded.

use std::fmt;

use regex::{Regex, RegexBuilder};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest regular expression accepted, in bytes.
pub const PATTERN_MAX_BYTES: usize = 1000;
/// Largest compiled expression, in bytes; `\w` in all alphabets takes about a tenth of it.
const COMPILED_MAX_BYTES: usize = 1024 * 1024;

/// A regular expression in the syntax of the Rust `regex` crate, searched for anywhere in the text; `(?i)` in front
/// ignores case. It runs in time linear in the text.
#[derive(Clone, Serialize, Deserialize, JsonSchema)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(Regex);

/// A text is no regular expression that is accepted here.
#[derive(Debug, thiserror::Error)]
pub enum ParsePatternError {
    /// It is none.
    #[error("expected a regular expression, found `{pattern}`: {}", reason(.source))]
    Syntax {
        /// What was found.
        pattern: String,
        /// What is wrong with it.
        source: regex::Error,
    },
    /// It is longer than [`PATTERN_MAX_BYTES`].
    #[error("expected a regular expression of at most {PATTERN_MAX_BYTES} bytes, found {bytes}")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
}

impl Pattern {
    /// Compiles an expression.
    ///
    /// # Errors
    ///
    /// It is none, or too long or too large.
    pub fn parse(pattern: &str) -> Result<Self, ParsePatternError> {
        if pattern.len() > PATTERN_MAX_BYTES {
            return Err(ParsePatternError::TooLong { bytes: pattern.len() });
        }
        let compiled =
            RegexBuilder::new(pattern).size_limit(COMPILED_MAX_BYTES).dfa_size_limit(COMPILED_MAX_BYTES).build();
        compiled.map(Self).map_err(|source| ParsePatternError::Syntax { pattern: pattern.to_owned(), source })
    }

    /// Whether it is found in `text`.
    #[must_use]
    pub fn is_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }

    /// As it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }
}

/// The last line of what the compiler says; the lines before it draw the expression.
fn reason(error: &regex::Error) -> String {
    let shown = error.to_string();
    let last = shown.lines().last().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

impl TryFrom<String> for Pattern {
    type Error = ParsePatternError;

    fn try_from(pattern: String) -> Result<Self, Self::Error> {
        Self::parse(&pattern)
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.as_str().to_owned()
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Pattern {}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({})", self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_searched_for_anywhere() {
        assert!(Pattern::parse("(?i)too MANY").unwrap().is_in("there are Too many calls"));
        assert!(!Pattern::parse("^many").unwrap().is_in("too many"));
    }

    #[test]
    fn bad_patterns_are_refused_with_a_reason() {
        let error = Pattern::parse("(a").unwrap_err().to_string();
        assert_eq!(error, "expected a regular expression, found `(a`: unclosed group");
        let error = Pattern::parse(r"(\w{100}){100}").unwrap_err().to_string();
        assert!(error.contains("exceeds size limit"), "{error}");
        assert!(matches!(Pattern::parse(&"a".repeat(1001)), Err(ParsePatternError::TooLong { bytes: 1001 })));
    }
}
