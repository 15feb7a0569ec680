//! Takes known secrets out of text.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use crate::Credential;

/// What stands in a secret's place.
pub(crate) const MASK: &str = "***";
/// Shorter values are no secrets: taking them out would only maim the text.
const SECRET_MIN_CHARS: usize = 4;

/// The text with each of `secrets` of at least four characters replaced by `***`: as it is, percent-encoded
/// and in base64.
#[must_use]
pub fn redact<'a>(text: &str, secrets: impl IntoIterator<Item = &'a str>) -> String {
    let mut forms: Vec<String> =
        secrets.into_iter().filter(|s| s.chars().count() >= SECRET_MIN_CHARS).flat_map(forms).collect();
    // Longest first: a secret that holds another one goes as a whole.
    forms.sort_unstable_by_key(|form| std::cmp::Reverse(form.len()));
    forms.into_iter().fold(text.to_owned(), |text, form| text.replace(&form, MASK))
}

/// The text without anything of `credential`, the two halves of basic authentication taken together included.
#[must_use]
pub fn redact_credential(text: &str, credential: &Credential) -> String {
    let secrets: Vec<&str> = credential.secrets().collect();
    let pairs = secrets.iter().flat_map(|user| secrets.iter().map(move |password| format!("{user}:{password}")));
    let basic: Vec<String> = pairs.collect();
    redact(text, secrets.iter().copied().chain(basic.iter().map(String::as_str)))
}

fn forms(secret: &str) -> Vec<String> {
    let strict = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
    let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    let json = serde_json::Value::from(secret).to_string();
    let json = json[1..json.len() - 1].to_owned(); // Without its quotes.
    let slashed = json.replace('/', "\\/");
    let mut forms =
        vec![secret.to_owned(), strict.to_ascii_lowercase(), strict, form, STANDARD.encode(secret), json, slashed];
    forms.dedup();
    forms
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_of_a_secret_goes() {
        let secret = "p@ss w/ord";
        for text in ["p@ss\\\"w/ord", "p@ss\\\"w\\/ord"] {
            assert_eq!(redact(&format!("<{text}>"), ["p@ss\"w/ord"]), "<***>", "{text}");
        }
        for text in ["p@ss w/ord", "p%40ss%20w%2Ford", "p%40ss%20w%2ford", "p%40ss+w%2Ford", "cEBzcyB3L29yZA=="] {
            assert_eq!(redact(&format!("<{text}>"), [secret]), "<***>", "{text}");
        }
    }

    #[test]
    fn both_halves_of_basic_authentication_go_together() {
        let fields = [("user", "alice"), ("password", "pass:word")];
        let credential = Credential::new("a", fields.map(|(name, secret)| (name.to_owned(), secret.into())));
        let text = "Authorization: Basic YWxpY2U6cGFzczp3b3Jk of alice";
        assert_eq!(redact_credential(text, &credential), "Authorization: Basic *** of ***");
    }

    #[test]
    fn short_values_stay_and_long_ones_go_first() {
        assert_eq!(redact("abc abcd", ["abc"]), "abc abcd");
        assert_eq!(redact("token-1234 token", ["token", "token-1234"]), "*** ***");
        assert_eq!(redact("nothing", []), "nothing");
    }
}
