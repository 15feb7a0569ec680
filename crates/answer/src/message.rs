//! What a failed answer says to people.

use jsonpath_rust::query::queryable::Queryable;
use tidegate_contracts::Failure;

use crate::error_rule::BodyKind;
use crate::evidence::Evidence;
use crate::json_path::JsonPath;
use crate::raw::Scalar;
use crate::tree::Node;

/// How much of a body stands in for its message in a rule's condition, in bytes.
pub(crate) const BODY_MAX_BYTES: usize = 64 * 1024;
/// How much of a body without a message is shown, in characters.
const BODY_SHOWN_CHARS: usize = 200;

/// The fields in which providers put messages. Their order here is that of [`Place`].
const FIELDS: [&str; 9] =
    ["error", "message", "error_description", "errors", "detail", "title", "error_message", "errorMessage", "msg"];

/// Numbers within [`FIELDS`].
#[derive(Clone, Copy)]
enum Place {
    Error,
    Message,
    ErrorDescription,
    Errors,
    Detail,
    Title,
    ErrorMessage,
    CamelErrorMessage,
    Msg,
}

/// Where messages usually stand, compiled: numbers of paths in a finder, from this one.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Places {
    from: usize,
}

impl Places {
    /// Adds the paths to `values`.
    pub(crate) fn add(values: &mut Vec<JsonPath>) -> Self {
        let from = values.len();
        values.extend(FIELDS.iter().map(|field| JsonPath::of_name(field)));
        Self { from }
    }

    /// The message that the body of a failed answer holds in one of the usual places.
    pub(crate) fn any(self, evidence: &Evidence<'_>) -> Option<String> {
        let text = |place| self.text(evidence, place);
        self.inner(evidence)
            .or_else(|| text(Place::Message))
            .or_else(|| text(Place::ErrorDescription))
            .or_else(|| text(Place::Error))
            .or_else(|| text(Place::Detail))
            .or_else(|| text(Place::Title))
            .or_else(|| self.first_of_errors(evidence))
            .or_else(|| text(Place::ErrorMessage))
            .or_else(|| text(Place::CamelErrorMessage))
            .or_else(|| text(Place::Msg))
    }

    /// The same, only from places that no item of a successful answer uses for itself.
    pub(crate) fn of_errors_only(self, evidence: &Evidence<'_>) -> Option<String> {
        self.inner(evidence)
            .or_else(|| self.text(evidence, Place::ErrorDescription))
            .or_else(|| self.text(evidence, Place::Error))
            .or_else(|| self.first_of_errors(evidence))
    }

    fn text(self, evidence: &Evidence<'_>, place: Place) -> Option<String> {
        text_of(self.json(evidence, place)?)
    }

    /// `error.message`.
    fn inner(self, evidence: &Evidence<'_>) -> Option<String> {
        field_of(self.json(evidence, Place::Error)?, &["message"])
    }

    /// `errors[0]`, a text or with a text in it; or `errors` itself, a text.
    fn first_of_errors(self, evidence: &Evidence<'_>) -> Option<String> {
        let errors = Node::read(self.json(evidence, Place::Errors)?).ok()?;
        let first = errors.elements().first().unwrap_or(&errors).raw();
        text_of(first).or_else(|| field_of(first, &["message", "detail", "title", "description"]))
    }

    fn json<'a>(self, evidence: &Evidence<'a>, place: Place) -> Option<&'a str> {
        evidence.values(self.from + place as usize).next()
    }
}

/// The text that `json` is, if any.
pub(crate) fn text_of(json: &str) -> Option<String> {
    match Scalar::of(json) {
        Scalar::Text(text) if !text.trim().is_empty() => Some(text.into_owned()),
        _ => None,
    }
}

/// The first text among these fields of the object that `json` is.
fn field_of(json: &str, names: &[&str]) -> Option<String> {
    let node = Node::read(json).ok()?;
    names.iter().find_map(|name| text_of(node.get(name)?.raw()))
}

/// What is shown of an answer that holds no message: its page's title, its beginning, or what its status means.
pub(crate) fn stand_in(evidence: &Evidence<'_>) -> String {
    if evidence.is(BodyKind::Html) {
        return title(&evidence.start(BODY_MAX_BYTES)).unwrap_or_else(|| "an HTML page without a title".to_owned());
    }
    let start: String = evidence.start(BODY_SHOWN_CHARS * 4).chars().take(BODY_SHOWN_CHARS).collect();
    if start.is_empty() { evidence.status.canonical_reason().unwrap_or("no message").to_owned() } else { start }
}

/// The text of an HTML page's `<title>`.
fn title(html: &str) -> Option<String> {
    let lower = html.to_ascii_lowercase();
    let tag = lower.find("<title")?;
    let from = tag + lower[tag..].find('>')? + 1;
    let to = from + lower[from..].find("</title")?;
    let title = html[from..to].trim();
    (!title.is_empty()).then(|| title.to_owned())
}

/// A message fit for logs and people: one line, no control or direction characters, at most
/// [`Failure::MESSAGE_MAX_CHARS`] long.
pub(crate) fn clean(message: &str) -> String {
    let mut clean = String::new();
    let mut chars = 0;
    for one in message.trim().chars() {
        let space = one.is_whitespace();
        if (one.is_control() && !space) || is_direction(one) || (space && clean.ends_with(' ')) {
            continue;
        }
        if chars == Failure::MESSAGE_MAX_CHARS {
            break;
        }
        clean.push(if space { ' ' } else { one });
        chars += 1;
    }
    clean
}

/// Characters that turn the direction of what follows, which can make a log say what it does not.
fn is_direction(one: char) -> bool {
    matches!(one, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::finder::{Finder, Items};

    fn with_evidence<T>(body: &str, ask: impl FnOnce(Places, &Evidence<'_>) -> T) -> T {
        let mut values = Vec::new();
        let places = Places::add(&mut values);
        let (finder, headers) = (Finder::new(Items::Unwanted, values), HeaderMap::new());
        ask(places, &Evidence::new(StatusCode::BAD_GATEWAY, &headers, body.as_bytes(), &finder))
    }

    #[test]
    fn a_message_is_found_in_the_usual_places() {
        let table = [
            (r#"{"error":{"message":"A","code":190},"message":"B"}"#, Some("A")),
            (r#"{"error":"RateLimitExceeded","message":"B"}"#, Some("B")),
            (r#"{"error":"invalid_grant","error_description":"B"}"#, Some("B")),
            (r#"{"ok":false,"error":"token_revoked"}"#, Some("token_revoked")),
            (r#"{"detail":"Not found."}"#, Some("Not found.")),
            (r#"{"title":"Unauthorized","type":"about:blank","status":401,"detail":"D"}"#, Some("D")),
            (r#"{"title":"Unauthorized"}"#, Some("Unauthorized")),
            (r#"{"data":null,"errors":[{"message":"Throttled"},{"message":"x"}]}"#, Some("Throttled")),
            (r#"{"errors":[{"status":"422","detail":"D"}]}"#, Some("D")),
            (r#"{"errors":["E"]}"#, Some("E")),
            (r#"{"errors":"Exceeded 2 calls per second"}"#, Some("Exceeded 2 calls per second")),
            (r#"{"errorMessage":"M"}"#, Some("M")),
            (r#"{"msg":"M"}"#, Some("M")),
            (r#"{"error":{"code":5},"message":""}"#, None),
            (r#"{"errors":[]}"#, None),
            (r#"{"errors":{"name":["taken"]}}"#, None),
            (r#"["message"]"#, None),
            ("message", None),
        ];
        for (body, message) in table {
            assert_eq!(with_evidence(body, |places, evidence| places.any(evidence)).as_deref(), message, "{body}");
        }
    }

    #[test]
    fn an_items_own_fields_are_no_message_of_a_successful_answer() {
        let item = r#"{"sha":"1","message":"fix rate limit","title":"rate limit","detail":"rate limit","msg":"x"}"#;
        assert_eq!(with_evidence(item, |places, evidence| places.of_errors_only(evidence)), None);
        let table = [
            (r#"{"error":"A"}"#, "A"),
            (r#"{"error":{"message":"A"}}"#, "A"),
            (r#"{"errors":[{"message":"A"}]}"#, "A"),
        ];
        for (body, message) in table {
            assert_eq!(
                with_evidence(body, |places, evidence| places.of_errors_only(evidence)).as_deref(),
                Some(message)
            );
        }
    }

    #[test]
    fn a_body_without_a_message_still_says_something() {
        let long = "x".repeat(1000);
        let table = [
            ("<html><head><TITLE lang=en>\n 502 Bad\tGateway </TITLE>", "502 Bad\tGateway"),
            ("<html><title></title>", "an HTML page without a title"),
            ("<html><title>never closed", "an HTML page without a title"),
            ("upstream timed out", "upstream timed out"),
            (r#"{"code":5}"#, r#"{"code":5}"#),
            (long.as_str(), &long[..200]),
            ("", "Bad Gateway"),
        ];
        for (body, message) in table {
            assert_eq!(with_evidence(body, |_, evidence| stand_in(evidence)), message, "{body}");
        }
    }

    #[test]
    fn a_cleaned_message_is_one_short_line() {
        assert_eq!(clean(" a\r\n\tb\u{0}\u{1b}[31m c\u{202e}d "), "a b[31m cd");
        assert_eq!(clean(&"ä".repeat(600)).chars().count(), Failure::MESSAGE_MAX_CHARS);
    }

    #[test]
    fn every_place_has_its_field() {
        let last = Place::Msg as usize;
        assert_eq!((FIELDS.len(), FIELDS[last]), (last + 1, "msg"));
        assert_eq!(FIELDS[Place::CamelErrorMessage as usize], "errorMessage");
        assert_eq!(FIELDS[Place::ErrorMessage as usize], "error_message");
    }
}
