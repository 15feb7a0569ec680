//! Texts as they are kept for people.

/// The beginning of a text for people. Postgres' texts have no room for NUL.
pub(crate) fn shown(text: &str, chars_max: usize) -> String {
    text.chars().take(chars_max).map(|char| if char == '\0' { char::REPLACEMENT_CHARACTER } else { char }).collect()
}
