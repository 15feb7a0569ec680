//! Numbers and times as people read them.

use jiff::Timestamp;
use maud::{Markup, html};

/// With a comma between thousands.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Singular for one, else plural, with the number.
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", count(number), if number == 1 { one } else { many })
}

/// A time, UTC, to the second.
pub(super) fn time(at_ms: i64) -> Markup {
    let Ok(at) = Timestamp::from_millisecond(at_ms) else { return html! { "beyond all calendars" } };
    html! { time datetime=(at.strftime("%Y-%m-%dT%H:%M:%SZ")) { (at.strftime("%Y-%m-%d %H:%M:%S UTC")) } }
}

/// How long, in its two largest units.
pub(super) fn duration(ms: i64) -> String {
    const UNITS: [(&str, i64); 4] = [("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1)];
    let seconds = ms.max(0) / 1_000;
    if seconds == 0 {
        return "less than 1 s".to_owned();
    }
    let largest = UNITS.iter().position(|(_, size)| seconds >= *size).unwrap_or(UNITS.len() - 1);
    let parts = UNITS[largest..].iter().take(2).scan(seconds, |left, (unit, size)| {
        let number = *left / size;
        *left %= size;
        Some((number, unit))
    });
    parts
        .filter(|(number, _)| *number > 0)
        .map(|(number, unit)| format!("{number} {unit}"))
        .collect::<Vec<_>>()
        .join(" ")
}

/// At most `max` characters of a text.
pub(super) fn short(text: &str, max: usize) -> String {
    let mut chars = text.chars();
    let begin: String = chars.by_ref().take(max).collect();
    if chars.next().is_some() { format!("{begin}…") } else { begin }
}

/// A value in the query of an address.
pub(super) fn query(value: &str) -> String {
    url::form_urlencoded::byte_serialize(value.as_bytes()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_between_thousands() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(number), text);
        }
        assert_eq!(
            (counted(1, "call", "calls"), counted(2_000, "call", "calls")),
            ("1 call".into(), "2,000 calls".into())
        );
    }

    #[test]
    fn times_are_told_in_their_two_largest_units() {
        for (ms, text) in [
            (-5, "less than 1 s"),
            (999, "less than 1 s"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h"),
            (3_601_000, "1 h"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(duration(ms), text, "{ms}");
        }
        assert!(time(1_800_000_000_000).into_string().contains("2027-01-15 08:00:00 UTC"));
    }

    #[test]
    fn long_texts_are_cut_between_characters() {
        assert_eq!((short("äöü", 3), short("äöüß", 3)), ("äöü".into(), "äöü…".into()));
    }
}
