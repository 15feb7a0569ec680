//! Answers that no error rule speaks of: kept as samples, and turned into a rule and its test for who writes the file.

use std::collections::BTreeMap;

use http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tidegate_answer::{Classifier, ErrorRule, Verdict};
use tidegate_contracts::Class;
use xxhash_rust::xxh3::xxh3_64;

use crate::recorded::header_map;

/// Bytes of a body that are looked at, and characters of it that are kept.
const BODY_SEEN_BYTES: usize = 16 << 10;
const BODY_KEPT_CHARS: usize = 4_000;
/// Longest body that is read as JSON, in bytes.
const JSON_MAX_BYTES: usize = 256 << 10;
/// Headers that are kept, and characters of each.
const HEADERS_MAX: usize = 16;
const HEADER_MAX_CHARS: usize = 256;
/// Headers that are kept: these, and those that have one of these words in their name.
const HEADERS: [&str; 3] = ["content-type", "retry-after", "www-authenticate"];
const HEADER_WORDS: [&str; 6] = ["ratelimit", "rate-limit", "usage", "quota", "error", "throttl"];
/// Fields that tell one error from another, as far down as this.
const CODES: [&str; 9] =
    ["code", "subcode", "error_code", "errorCode", "error_subcode", "errcode", "reason", "type", "error"];
const CODES_DEPTH: usize = 4;
/// Longest text that is taken for a code, and longest part of a message that a rule is made of, in characters.
const CODE_MAX_CHARS: usize = 80;
const MESSAGE_MAX_CHARS: usize = 100;

/// An answer that no error rule speaks of, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unmatched {
    /// The endpoint that answered.
    pub endpoint: String,
    /// Its status.
    pub status: u16,
    /// Those of its headers that may matter.
    pub headers: BTreeMap<String, String>,
    /// Its body, or the beginning of it.
    pub body: String,
    /// What it was taken for.
    pub class: Class,
    /// What it says to people.
    pub message: String,
}

impl Unmatched {
    /// Takes a sample. `redact` takes secrets out of a text.
    #[must_use]
    pub fn take(
        endpoint: &str,
        (status, headers, body): (StatusCode, &HeaderMap, &[u8]),
        (class, message): (Class, &str),
        redact: impl Fn(&str) -> String,
    ) -> Self {
        let matters = |name: &str| HEADERS.contains(&name) || HEADER_WORDS.iter().any(|word| name.contains(word));
        let kept = headers.iter().filter(|(name, _)| matters(name.as_str())).map(|(name, value)| {
            let value = redact(&String::from_utf8_lossy(value.as_bytes()));
            (name.as_str().to_owned(), cut(&value, HEADER_MAX_CHARS))
        });
        Self {
            endpoint: endpoint.to_owned(),
            status: status.as_u16(),
            headers: kept.take(HEADERS_MAX).collect(),
            body: beginning(body, &redact),
            class,
            message: redact(message),
        }
    }

    /// The same for answers that differ only in numbers, ids and names within their message.
    #[must_use]
    pub fn fingerprint(&self) -> i64 {
        let codes: Vec<String> = self.codes().into_iter().map(|(path, code)| format!("{path}={code}")).collect();
        let text = format!("{} {} {} {}", self.status, self.class, codes.join(" "), shape(&self.message));
        xxh3_64(text.as_bytes()).cast_signed()
    }

    /// An error rule that speaks of it, as it stands under `errors` of a provider file, of the class that it was taken for;
    /// `None` when nothing of it tells it from a page.
    #[must_use]
    pub fn rule(&self) -> Option<Value> {
        let status = json!([self.status]);
        let class = self.class;
        let codes: Map<String, Value> = self.codes().into_iter().map(|(path, code)| (path, json!([code]))).collect();
        let by_codes = (!codes.is_empty()).then(|| json!({ "status": status, "json": codes, "class": class }));
        let said = pattern(&self.message);
        let by_message = (!said.is_empty()).then(|| json!({ "status": status, "message": said, "class": class }));
        let by_body =
            ["html", "empty", "not_json"].map(|body| json!({ "status": status, "body": body, "class": class }));
        let by_field = ["$.error", "$.errors"]
            .map(|path| json!({ "status": status, "json": { path: { "exists": true } }, "class": class }));
        // What fails by its status alone is no page, whatever it says.
        let by_status = (!(200..300).contains(&self.status)).then(|| json!({ "status": status, "class": class }));
        let rules = by_codes.into_iter().chain(by_message).chain(by_field).chain(by_body).chain(by_status);
        rules.into_iter().find(|rule| self.meets(rule))
    }

    /// The answer as `tidegate provider test` takes it, with what it means once there is the rule.
    #[must_use]
    pub fn answer(&self) -> Value {
        let means = self.rule().map_or(json!("page"), |_| json!(self.class));
        let body = serde_json::from_str(&self.body).ok().filter(|json: &Value| !json.is_null());
        let body = body.unwrap_or_else(|| self.body.clone().into());
        json!({
            "status": self.status, "headers": self.headers, "body": body, "endpoint": self.endpoint, "means": means,
        })
    }

    fn meets(&self, rule: &Value) -> bool {
        let rule = serde_json::from_value::<ErrorRule>(rule.clone()).ok().filter(|rule| rule.check().is_empty());
        rule.is_some_and(|rule| self.by(&rule).is_some())
    }

    /// What it is by this rule; `None` where the rule does not speak of it.
    #[must_use]
    pub fn by(&self, rule: &ErrorRule) -> Option<Class> {
        let status = StatusCode::from_u16(self.status).ok()?;
        let headers = header_map(&self.headers).ok()?;
        match Classifier::new(std::slice::from_ref(rule), None).classify(status, &headers, self.body.as_bytes()) {
            Verdict::Failure(failure) if failure.matched.is_some() => Some(failure.class),
            _ => None,
        }
    }

    /// What tells one error from another in a JSON body: paths, and what stands there.
    fn codes(&self) -> Vec<(String, Value)> {
        let mut found = Vec::new();
        if let Ok(body) = serde_json::from_str(&self.body) {
            collect(&body, "$", CODES_DEPTH, &mut found);
        }
        found
    }
}

fn collect(value: &Value, path: &str, depth: usize, found: &mut Vec<(String, Value)>) {
    let Some(depth) = depth.checked_sub(1) else { return };
    match value {
        Value::Object(fields) => {
            for (name, value) in fields.iter().filter(|(name, _)| is_plain(name)) {
                let path = format!("{path}.{name}");
                if CODES.contains(&name.as_str()) && is_code(value) {
                    found.push((path, value.clone()));
                } else {
                    collect(value, &path, depth, found);
                }
            }
        }
        Value::Array(values) => {
            if let Some(first) = values.first() {
                collect(first, &format!("{path}[0]"), depth, found);
            }
        }
        _ => {}
    }
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// A number, or a word.
fn is_code(value: &Value) -> bool {
    let is_word =
        |text: &str| !text.is_empty() && text.chars().count() <= CODE_MAX_CHARS && !text.contains(char::is_whitespace);
    value.is_i64() || value.is_u64() || value.as_str().is_some_and(is_word)
}

/// The beginning of a body without secrets. A secret that is cut in two would not be known for one: so what is looked at goes
/// well beyond what is kept.
fn beginning(body: &[u8], redact: impl Fn(&str) -> String) -> String {
    // JSON may write a secret in many ways, which are one once it is read.
    if body.len() <= JSON_MAX_BYTES
        && let Ok(mut json) = serde_json::from_slice::<Value>(body)
    {
        redact_json(&mut json, &redact);
        return cut(&redact(&json.to_string()), BODY_KEPT_CHARS);
    }
    let seen = redact(&String::from_utf8_lossy(&body[..body.len().min(BODY_SEEN_BYTES)]));
    let is_whole = body.len() <= BODY_SEEN_BYTES;
    if is_whole || seen.len() >= 2 * BODY_KEPT_CHARS { cut(&seen, BODY_KEPT_CHARS) } else { String::new() }
}

fn redact_json(value: &mut Value, redact: &impl Fn(&str) -> String) {
    match value {
        Value::String(text) => *text = redact(text),
        Value::Array(values) => values.iter_mut().for_each(|value| redact_json(value, redact)),
        Value::Object(fields) => {
            for (name, mut value) in std::mem::take(fields) {
                redact_json(&mut value, redact);
                fields.insert(redact(&name), value);
            }
        }
        _ => {}
    }
}

fn cut(text: &str, chars_max: usize) -> String {
    let shown = |char| if char == '\0' { char::REPLACEMENT_CHARACTER } else { char };
    text.chars().take(chars_max).map(shown).collect()
}

/// A message without what differs each time: words with a digit in them, and what is quoted.
fn shape(message: &str) -> String {
    const QUOTES: [char; 3] = ['"', '\'', '`'];
    let mut quoted = false;
    let words = message.split_whitespace().filter(|word| {
        let word = word.trim_matches(['.', ',', ':', ';', '(', ')', '[', ']']);
        quoted |= word.starts_with(QUOTES);
        let hidden = quoted || word.contains(|char: char| char.is_ascii_digit());
        quoted &= !word.ends_with(QUOTES);
        !hidden
    });
    words.collect::<Vec<_>>().join(" ")
}

/// A regular expression for the beginning of a message, whatever its numbers are.
fn pattern(message: &str) -> String {
    let mut pattern = String::new();
    let mut in_number = false;
    for char in message.trim().chars().take(MESSAGE_MAX_CHARS) {
        if char.is_ascii_digit() {
            if !in_number {
                pattern.push_str("[0-9]+");
            }
        } else {
            pattern.push_str(&regex::escape(char.encode_utf8(&mut [0; 4])));
        }
        in_number = char.is_ascii_digit();
    }
    pattern
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Recorded;

    fn sample(status: u16, body: &str) -> Unmatched {
        let status = StatusCode::from_u16(status).expect("a status");
        let headers = HeaderMap::from_iter([
            ("content-type".parse().expect("a name"), "application/json".parse().expect("a value")),
            ("set-cookie".parse().expect("a name"), "canary".parse().expect("a value")),
        ]);
        let classifier = Classifier::new(&[], None);
        let (class, message) = match classifier.classify(status, &headers, body.as_bytes()) {
            Verdict::Failure(failure) => (failure.class, failure.message),
            Verdict::Page => (Class::Suspect, "the answer has no items".to_owned()),
        };
        let redact = |text: &str| text.replace("t0ken", "***");
        Unmatched::take("list", (status, &headers, body.as_bytes()), (class, &message), redact)
    }

    #[test]
    fn a_rule_and_its_test_are_made_of_what_tells_the_answer_from_others() {
        let meta =
            r#"{"error":{"message":"User 12 is \"gone\"","type":"OAuthException","code":190,"error_subcode":463}}"#;
        let cases = [
            (
                400,
                meta,
                json!({"json": {"$.error.type": ["OAuthException"], "$.error.code": [190], "$.error.error_subcode": [463]}}),
            ),
            (403, r#"{"message":"Only 25 of them (per day)"}"#, json!({"message": r"Only [0-9]+ of them \(per day\)"})),
            (200, r#"{"errors":[{"code":"nope","message":"no"}]}"#, json!({"json": {"$.errors[0].code": ["nope"]}})),
            (200, r#"{"error":{"text":"strange"}}"#, json!({"json": {"$.error": {"exists": true}}})),
            (200, "<html><title>Sorry</title></html>", json!({"body": "html"})),
            (200, "", json!({"body": "empty"})),
        ];
        for (status, body, conditions) in cases {
            let sample = sample(status, body);
            let rule = sample.rule().unwrap_or_else(|| panic!("no rule of {body}"));
            for (name, condition) in conditions.as_object().expect("an object") {
                assert_eq!(&rule[name], condition, "{rule}");
            }
            let recorded = json!({ "answers": [sample.answer()] }).to_string();
            let file = json!({
                "tidegate": 1, "provider": "acme", "base_url": "https://acme.example", "errors": [rule],
                "endpoints": { "list": { "get": "/list", "items": "$[*]" } },
            });
            let file = crate::parse_provider(&file.to_string(), "acme").expect("a provider file").file;
            let recorded = Recorded::parse(&recorded).expect("a recorded file");
            assert_eq!(recorded.check(&file), Vec::<String>::new(), "{body}");
            assert!(recorded.unmet(&file).is_empty(), "{body}");
        }
    }

    #[test]
    fn what_may_be_a_page_gets_no_rule() {
        let sample = sample(200, r#"{"data":{"title":"a"}}"#);
        assert_eq!((sample.rule(), &sample.answer()["means"]), (None, &json!("page")));
    }

    #[test]
    fn answers_that_differ_in_numbers_and_names_alone_are_one() {
        let print = |status, body| sample(status, body).fingerprint();
        let one = print(403, r#"{"message":"User 17 can't see 'x y' today"}"#);
        assert_eq!(one, print(403, r#"{"message":"User 4711 can't see 'zed 9' today"}"#));
        for (status, body) in [
            (404, r#"{"message":"User 17 can't see 'x y' today"}"#),
            (403, r#"{"message":"User 17 can't see 'x y' tomorrow"}"#),
            (403, r#"{"message":"User 17 can't see 'x y' today","code":7}"#),
        ] {
            assert_ne!(one, print(status, body), "{body}");
        }
    }

    #[test]
    fn secrets_and_what_does_not_matter_are_left_out_and_the_rest_is_bounded() {
        let body = format!(r#"{{"message":"t0ken is bad","more":"{}"}}"#, "x".repeat(50_000));
        let sample_of = |body| sample(401, body);
        let sample = sample_of(&body);
        assert!(sample.body.starts_with(r#"{"message":"*** is bad""#) && sample.body.len() == BODY_KEPT_CHARS);
        assert_eq!((sample.message.as_str(), sample.headers.len()), ("*** is bad", 1));
        assert!(sample.rule().is_some(), "what is cut still has a status");
        let sample = sample_of(r#"{"message":"t0\u006ben is bad","t0ken":["\u0074\u0030ken"]}"#);
        assert_eq!(sample.body, r#"{"message":"*** is bad","***":["***"]}"#, "however it is written");
        let secrets = "t0ken".repeat(10_000);
        assert_eq!(beginning(secrets.as_bytes(), |_| "***".to_owned()), "", "what was cut may be half a secret");
    }
}
