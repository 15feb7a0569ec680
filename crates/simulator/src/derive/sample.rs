//! A text in which a regular expression is found.

use std::iter::Peekable;
use std::str::Chars;

use tidegate_answer::Pattern;

/// A text in which `pattern` is found; none where it is more than plain words, choices and classes.
pub(super) fn sample(pattern: &Pattern) -> Option<String> {
    let text = written(&mut pattern.as_str().chars().peekable());
    pattern.is_in(&text).then_some(text)
}

/// The first choice of what stands before the next `)`.
fn written(chars: &mut Peekable<Chars<'_>>) -> String {
    let mut out = String::new();
    while let Some(char) = chars.next() {
        match char {
            ')' => return out,
            '|' => {
                skip_choices(chars);
                return out;
            }
            '(' => {
                let flags = chars.next_if_eq(&'?').is_some();
                // `(?i)` says nothing more, `(?:` goes on.
                if !flags || chars.find(|char| matches!(char, ':' | ')')) == Some(':') {
                    out.push_str(&written(chars));
                }
            }
            '[' => out.push(member(chars)),
            '{' => _ = chars.find(|char| *char == '}'),
            '\\' => out.extend(escaped(chars.next())),
            '.' => out.push('x'),
            '^' | '$' | '*' | '+' | '?' => {}
            char => out.push(char),
        }
    }
    out
}

/// Passes over the other choices, up to the end of the group.
fn skip_choices(chars: &mut Peekable<Chars<'_>>) {
    let mut depth = 0;
    while let Some(char) = chars.next() {
        match char {
            '\\' => _ = chars.next(),
            '(' => depth += 1,
            ')' if depth == 0 => return,
            ')' => depth -= 1,
            _ => {}
        }
    }
}

/// A member of the class that was opened.
fn member(chars: &mut Peekable<Chars<'_>>) -> char {
    let first = chars.next();
    let member = match first {
        Some('^') => None,
        Some('\\') => escaped(chars.next()),
        other => other,
    };
    _ = chars.find(|char| *char == ']');
    member.unwrap_or('~')
}

fn escaped(char: Option<char>) -> Option<char> {
    match char? {
        'd' => Some('7'),
        'w' => Some('a'),
        's' => Some(' '),
        'b' | 'B' | 'A' | 'z' => None,
        char => Some(char),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_found_by_its_expression() {
        for (pattern, text) in [
            ("(?i)too many (calls|requests)", "too many calls"),
            ("^Please reduce .*$", "Please reduce x"),
            (r"#\d+: (?:a|b)[xyz]\.$", "#7: ax."),
            ("slow|fast", "slow"),
            (r"\bdead\b (one(two|three)|four)!", "dead onetwo!"),
            ("[^a]b", "~b"),
        ] {
            assert_eq!(sample(&Pattern::parse(pattern).unwrap()).as_deref(), Some(text), "{pattern}");
        }
    }

    #[test]
    fn what_cannot_be_made_up_is_none() {
        assert_eq!(sample(&Pattern::parse("^a{7}$").unwrap()), None);
    }
}
