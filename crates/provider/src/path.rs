//! Paths with placeholders: `/accounts/{id}/followers`.
//!
//! A value fills its place and nothing more: whatever it is, the path keeps its number of segments.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use tidegate_contracts::{Params, Primitive};

/// All but the unreserved characters of RFC 3986 2.3.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A path, read.
#[derive(Debug)]
pub(crate) struct PathTemplate {
    /// Without the slash that begins each.
    segments: Vec<Vec<Part>>,
}

#[derive(Debug)]
enum Part {
    Text(String),
    Param(String),
}

/// The path can't be read.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PathSyntaxError {
    #[error("expected a path that begins with /, found {0:?}")]
    Relative(String),
    #[error("expected {{name}}, found a brace that has no partner in {0:?}")]
    Brace(String),
    #[error("expected a path without {0:?}; query parameters stand under query or params")]
    Character(char),
    #[error("expected a path without . and .. segments")]
    Dots,
}

/// A value that can't stand in the path.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// There is none.
    #[error("parameter {0} is missing")]
    Missing(String),
    /// It is empty, and the path would lead elsewhere.
    #[error("parameter {0} is empty")]
    Empty(String),
    /// It makes the segment `.` or `..`.
    #[error("parameter {0} makes a . or .. segment")]
    Dots(String),
}

impl PathTemplate {
    pub(crate) fn parse(path: &str) -> Result<Self, PathSyntaxError> {
        let inner = path.strip_prefix('/').ok_or_else(|| PathSyntaxError::Relative(path.to_owned()))?;
        let odd = |c: &char| matches!(c, '?' | '#' | '\\') || c.is_whitespace() || c.is_control();
        if let Some(odd) = inner.chars().find(odd) {
            return Err(PathSyntaxError::Character(odd));
        }
        let segments = inner.split('/').map(parse_segment).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { segments })
    }

    /// Names of the placeholders.
    pub(crate) fn params(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().flatten().filter_map(|part| match part {
            Part::Param(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// Appends the path to `out`, each value percent-encoded.
    pub(crate) fn render_to(&self, params: &Params, out: &mut String) -> Result<(), PathError> {
        for segment in &self.segments {
            out.push('/');
            let start = out.len();
            for part in segment {
                match part {
                    Part::Text(text) => out.push_str(text),
                    Part::Param(name) => push_value(name, params, out)?,
                }
            }
            if matches!(&out[start..], "." | "..") {
                let name = segment
                    .iter()
                    .find_map(|part| if let Part::Param(name) = part { Some(name.clone()) } else { None });
                return Err(PathError::Dots(name.unwrap_or_default()));
            }
        }
        Ok(())
    }
}

fn push_value(name: &str, params: &Params, out: &mut String) -> Result<(), PathError> {
    match params.get(name) {
        None => return Err(PathError::Missing(name.to_owned())),
        Some(Primitive::Text(text)) if text.is_empty() => return Err(PathError::Empty(name.to_owned())),
        Some(Primitive::Text(text)) => out.extend(utf8_percent_encode(text, SEGMENT)),
        Some(other) => out.extend(utf8_percent_encode(&other.to_string(), SEGMENT)),
    }
    Ok(())
}

fn parse_segment(segment: &str) -> Result<Vec<Part>, PathSyntaxError> {
    let brace = || PathSyntaxError::Brace(segment.to_owned());
    // `%2e` is a dot to every reader of URLs (WHATWG URL, "double-dot path segment").
    if matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..") {
        return Err(PathSyntaxError::Dots);
    }
    let mut parts = Vec::new();
    let mut rest = segment;
    while let Some(open) = rest.find('{') {
        let close = rest[open..].find('}').ok_or_else(brace)? + open;
        let name = &rest[open + 1..close];
        if name.is_empty() || name.contains('{') || rest[..open].contains('}') {
            return Err(brace());
        }
        if open > 0 {
            parts.push(Part::Text(rest[..open].to_owned()));
        }
        parts.push(Part::Param(name.to_owned()));
        rest = &rest[close + 1..];
    }
    if rest.contains('}') {
        return Err(brace());
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.to_owned()));
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use url::Url;

    use super::*;

    fn render(path: &str, params: &[(&str, &str)]) -> Result<String, PathError> {
        let mut out = String::new();
        let params: Params = params.iter().copied().collect();
        PathTemplate::parse(path).unwrap().render_to(&params, &mut out)?;
        Ok(out)
    }

    #[test]
    fn values_fill_their_places() {
        for (path, value, rendered) in [
            ("/", "x", "/"),
            ("/a", "x", "/a"),
            ("/a/{id}", "x", "/a/x"),
            ("/a/{id}/", "x", "/a/x/"),
            ("/a/{id}.json", "a/b", "/a/a%2Fb.json"),
            ("/{id}/{id}", "ä b", "/%C3%A4%20b/%C3%A4%20b"),
            ("/{id}", "..a", "/..a"),
            ("/{id}", "%2e%2e", "/%252e%252e"),
            ("/x{id}", "?q=1#f", "/x%3Fq%3D1%23f"),
        ] {
            assert_eq!(render(path, &[("id", value)]).as_deref(), Ok(rendered), "{path}");
        }
    }

    #[test]
    fn values_that_lead_elsewhere_are_refused() {
        for (path, params, error) in [
            ("/{id}", vec![], PathError::Missing("id".to_owned())),
            ("/{id}", vec![("id", "")], PathError::Empty("id".to_owned())),
            ("/{id}", vec![("id", "..")], PathError::Dots("id".to_owned())),
            ("/a/{id}/b", vec![("id", ".")], PathError::Dots("id".to_owned())),
            ("/.{id}", vec![("id", ".")], PathError::Dots("id".to_owned())),
            ("/{a}{b}", vec![("a", "."), ("b", ".")], PathError::Dots("a".to_owned())),
        ] {
            assert_eq!(render(path, &params), Err(error), "{path}");
        }
    }

    #[test]
    fn a_path_that_can_not_be_read_is_refused() {
        for path in [
            "",
            "a",
            "/{",
            "/}",
            "/{a",
            "/a}",
            "/{}",
            "/{a{b}}",
            "/}{",
            "/a?b",
            "/a#b",
            "/a b",
            "/..",
            "/%2E%2e/a",
            "/a\\b",
        ] {
            assert!(PathTemplate::parse(path).is_err(), "{path}");
        }
    }

    proptest! {
        #[test]
        fn no_value_changes_the_origin_or_the_number_of_segments(a in any::<String>(), b in "[./\\\\%2eE:@?#&;\\s\u{0}-\u{1f}]{1,6}") {
            let base = Url::parse("https://api.example/v1").unwrap();
            for (first, second) in [(&a, &b), (&b, &a)] {
                let Ok(path) = render("/v1/x/{a}/y-{b}/z", &[("a", first), ("b", second)]) else { continue };
                let mut url = base.clone();
                url.set_path(&path);
                prop_assert_eq!(url.origin(), base.origin());
                prop_assert_eq!((url.query(), url.fragment()), (None, None));
                let segments: Vec<_> = url.path_segments().unwrap().collect();
                prop_assert_eq!(segments.len(), 5, "{}", url);
                prop_assert_eq!(percent_encoding::percent_decode_str(segments[2]).decode_utf8().unwrap(), first.as_str());
                // What a server or proxy that reads the address once more makes of it.
                let again = Url::parse(url.as_str()).unwrap();
                prop_assert_eq!(again, url);
            }
        }
    }
}
