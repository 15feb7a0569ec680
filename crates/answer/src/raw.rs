//! JSON text as text: its depth, its breaks, its scalars. All of it expects valid JSON, and is only wrong, never
//! in trouble, where it is not.

use std::borrow::Cow;

/// Deepest nesting of lists and objects that is read, in levels: as deep as `serde_json` decodes, so that whoever
/// decodes an item later can.
pub const DEPTH_MAX: usize = 127;

/// A value that is no list and no object; of those only that they are.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar<'b> {
    Null,
    Bool(bool),
    /// As it was written.
    Number(&'b str),
    /// Decoded.
    Text(Cow<'b, str>),
    /// A list or an object.
    Compound,
}

impl<'b> Scalar<'b> {
    /// The scalar that `json` is.
    pub(crate) fn of(json: &'b str) -> Self {
        match json.as_bytes() {
            [b'"', ..] => Self::Text(decoded(json)),
            [b'{' | b'[', ..] => Self::Compound,
            b"true" => Self::Bool(true),
            b"false" => Self::Bool(false),
            b"null" | [] => Self::Null,
            _ => Self::Number(json),
        }
    }

    /// One text for a scalar: a text itself, a number as it was written, `true` and `false`.
    pub(crate) fn text(self) -> Option<Cow<'b, str>> {
        match self {
            Self::Null | Self::Compound => None,
            Self::Bool(yes) => Some(Cow::Borrowed(if yes { "true" } else { "false" })),
            Self::Number(number) => Some(Cow::Borrowed(number)),
            Self::Text(text) => Some(text),
        }
    }
}

/// What kind of value `json` is, for people.
pub(crate) fn kind(json: &str) -> &'static str {
    match json.as_bytes().first() {
        Some(b'"') => "a text",
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b't' | b'f') => "a truth value",
        Some(b'n') | None => "null",
        Some(_) => "a number",
    }
}

/// The text in a JSON text with its quotes. Half a surrogate pair, which some providers cut emoji to, can't be
/// decoded; such a text stays as it was written, without its quotes.
pub(crate) fn decoded(json: &str) -> Cow<'_, str> {
    let inner = json.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(json);
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    serde_json::from_str(json).map_or(Cow::Borrowed(inner), Cow::Owned)
}

/// Whether valid JSON nests deeper than `levels`.
pub(crate) fn is_deeper(json: &str, levels: usize) -> bool {
    // Almost always there are not even that many brackets; counting them is far quicker than looking into texts.
    let brackets = json.bytes().filter(|byte| byte | 0x20 == b'{').count();
    brackets > levels && depth(json) > levels
}

/// Levels of lists and objects.
fn depth(json: &str) -> usize {
    let (mut now, mut most, mut at) = (0_usize, 0, 0);
    while let Some(byte) = json.as_bytes().get(at) {
        at += 1;
        match byte {
            b'"' => at = after_text(json, at),
            b'[' | b'{' => {
                now += 1;
                most = most.max(now);
            }
            b']' | b'}' => now = now.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// Where the text ends whose opening quote is just before `from`: after its closing quote, or where `json` ends.
fn after_text(json: &str, from: usize) -> usize {
    let mut at = from;
    // Texts are short: names and ids. A plain loop is quicker over them than a search by words.
    while let Some(byte) = json.as_bytes().get(at) {
        at += match byte {
            b'"' => return at + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    json.len()
}

/// Whether there are line breaks. Inside a JSON text there can't be: there they are written `\n`.
pub(crate) fn has_breaks(json: &str) -> bool {
    json.as_bytes().contains(&b'\n') || json.as_bytes().contains(&b'\r')
}

/// Appends `json` without the white space around its tokens.
pub(crate) fn compact(json: &str, to: &mut Vec<u8>) {
    let bytes = json.as_bytes();
    let (mut from, mut at) = (0, 0);
    while let Some(byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'"' => at = after_text(json, at),
            b' ' | b'\t' | b'\n' | b'\r' => {
                to.extend_from_slice(&bytes[from..at - 1]);
                let space = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
                at += bytes[at..].iter().take_while(space).count();
                from = at;
            }
            _ => {}
        }
    }
    to.extend_from_slice(&bytes[from..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_levels_outside_of_texts() {
        let table = [("1", 0), ("[]", 1), (r#"{"a":[{}]}"#, 3), (r#"["[[[[","\"[[[","\\"]"#, 1), ("[[],[[]],[]]", 3)];
        for (json, levels) in table {
            assert_eq!(depth(json), levels, "{json}");
        }
    }

    #[test]
    fn a_hundred_thousand_levels_are_only_counted() {
        let deep = "[".repeat(100_000) + &"]".repeat(100_000);
        assert!(is_deeper(&deep, DEPTH_MAX));
        assert!(!is_deeper(&"[".repeat(DEPTH_MAX), DEPTH_MAX));
        assert!(!is_deeper(&"[]".repeat(100_000), 1));
    }

    #[test]
    fn compacting_leaves_texts_alone() {
        let mut line = Vec::new();
        compact("{\r\n  \"a b\" : [ 1.0 ,\t\"x\\\" \\\\\" , null ]\n}", &mut line);
        assert_eq!(String::from_utf8(line).unwrap(), r#"{"a b":[1.0,"x\" \\",null]}"#);
    }

    #[test]
    fn scalars_keep_what_was_written() {
        let table = [
            ("null", None),
            ("[1]", None),
            ("{}", None),
            ("true", Some("true")),
            ("12345678901234567890123", Some("12345678901234567890123")),
            ("1.10", Some("1.10")),
            (r#""a\u0041\n""#, Some("aA\n")),
            (r#""half \ud83d""#, Some(r"half \ud83d")),
        ];
        for (json, text) in table {
            assert_eq!(Scalar::of(json).text().as_deref(), text, "{json}");
        }
    }
}
