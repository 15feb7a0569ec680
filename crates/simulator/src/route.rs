//! Which endpoint a call is for, and its parameters.

use std::collections::BTreeMap;

use serde_json::Value;

/// A path with parameters, such as `/users/{id}/posts`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    segments: Vec<Segment>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    Literal(String),
    /// A parameter between two fixed texts, which may be empty.
    Param {
        before: String,
        after: String,
    },
}

impl Route {
    pub(crate) fn read(path: &str) -> Result<Self, String> {
        let path =
            path.strip_prefix('/').ok_or_else(|| format!("a path that starts with `/` was expected, not `{path}`"))?;
        let segments = path.split('/').map(|segment| match segment.split_once('{') {
            None if segment.contains('}') => Err(format!("`{{` is missing in `{segment}`")),
            None => Ok(Segment::Literal(segment.to_owned())),
            Some((before, rest)) => match rest.split_once('}') {
                Some((name, after)) if !name.trim().is_empty() && !after.contains('{') => {
                    Ok(Segment::Param { before: before.to_owned(), after: after.to_owned() })
                }
                _ => Err(format!("one `{{name}}` was expected in `{segment}`")),
            },
        });
        Ok(Self { segments: segments.collect::<Result<_, _>>()? })
    }

    /// The values of the parameters if `path` is of this route, in their order.
    pub(crate) fn matches(&self, path: &str) -> Option<Vec<String>> {
        let mut values = Vec::new();
        let mut parts = path.strip_prefix('/')?.split('/');
        for segment in &self.segments {
            let part = parts.next()?;
            match segment {
                Segment::Literal(text) if text == part => {}
                Segment::Literal(_) => return None,
                Segment::Param { before, after } => {
                    let value = part.strip_prefix(before.as_str())?.strip_suffix(after.as_str())?;
                    if value.is_empty() {
                        return None;
                    }
                    values.push(decoded(value));
                }
            }
        }
        parts.next().is_none().then_some(values)
    }

    /// Routes with more fixed segments are tried first: `/users/me` before `/users/{id}`.
    pub(crate) fn literals(&self) -> usize {
        self.segments.iter().filter(|segment| matches!(segment, Segment::Literal(_))).count()
    }
}

/// `%41` to `A`; what is not well escaped is left as it is.
pub(crate) fn decoded(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    let hex = |byte: u8| char::from(byte).to_digit(16);
    while let [first, after @ ..] = rest {
        let escaped = match after {
            [high, low, after @ ..] if *first == b'%' => {
                hex(*high).zip(hex(*low)).map(|(high, low)| (high * 16 + low, after))
            }
            _ => None,
        };
        let (byte, after) = escaped.map_or((*first, after), |(byte, after)| (byte as u8, after));
        out.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// A call's parameters: those of the query or a form, and those of a JSON body.
#[derive(Debug, Clone, Default)]
pub(crate) struct Params {
    query: BTreeMap<String, String>,
    body: Value,
}

impl Params {
    /// A body that is no JSON may be a form; one that is neither has no parameters.
    pub(crate) fn read(query: &str, body: &[u8]) -> Self {
        let pairs = |text: &[u8]| url::form_urlencoded::parse(text).into_owned().collect::<BTreeMap<_, _>>();
        match serde_json::from_slice(body) {
            Ok(body) => Self { query: pairs(query.as_bytes()), body },
            Err(_) => {
                let mut all = pairs(body);
                all.extend(pairs(query.as_bytes()));
                Self { query: all, body: Value::Null }
            }
        }
    }

    /// Of the query or a form, else of a JSON body, where dots lead inwards.
    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.query.get(name).cloned().or_else(|| {
            let value = name.split('.').try_fold(&self.body, |value, name| value.get(name))?;
            match value {
                Value::String(text) => Some(text.clone()),
                Value::Number(number) => Some(number.to_string()),
                _ => None,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_matched_with_its_parameters() {
        let route = Route::read("/users/{id}/p-{post}.json").unwrap();
        assert_eq!(route.matches("/users/a%2Fb%20c/p-7.json"), Some(vec!["a/b c".to_owned(), "7".to_owned()]));
        for other in [
            "/users/1/p-.json",
            "/users/1/p-7.xml",
            "/users/1",
            "/users/1/p-7.json/x",
            "users/1/p-7.json",
            "/users//p-7.json",
        ] {
            assert_eq!(route.matches(other), None, "{other}");
        }
    }

    #[test]
    fn a_path_that_cannot_be_is_an_error() {
        for path in ["users", "/users/{id", "/users/id}", "/users/{}", "/users/{a}{b}"] {
            assert!(Route::read(path).is_err(), "{path}");
        }
    }

    #[test]
    fn badly_escaped_text_is_left_as_it_is() {
        assert_eq!(decoded("a%zz%4"), "a%zz%4");
        assert_eq!(decoded("%C3%A9%41+"), "éA+");
    }

    #[test]
    fn parameters_are_of_the_query_or_the_body() {
        let params = Params::read("limit=5&cursor=a%2Bb%3D", br#"{"variables":{"after":"x","first":10}}"#);
        assert_eq!(params.get("cursor").as_deref(), Some("a+b="));
        assert_eq!(params.get("variables.after").as_deref(), Some("x"));
        assert_eq!(params.get("variables.first").as_deref(), Some("10"));
        assert_eq!(params.get("variables"), None);
        assert_eq!(Params::read("", b"cursor=a%2Bb&n=5").get("cursor").as_deref(), Some("a+b"));
    }
}
