use std::collections::BTreeMap;

use http::StatusCode;
use serde_json::json;

use super::*;
use crate::file::{JobFile, ProviderFile};
use crate::{Spec, parse_job, parse_provider};

const NOW: i64 = 1_800_000_000_000;

fn spec(oauth2: &str) -> Spec {
    let provider = format!(
        "tidegate: 1\nprovider: p\nbase_url: https://api.example\nconfig: {{ host: {{ default: login.example }} }}\n\
         auth: {{ oauth2: {{ token_url: 'https://{{{{ config.host }}}}/token'{oauth2} }} }}\nendpoints: {{ x: {{ get: /x }} }}\n"
    );
    let provider: ProviderFile = parse_provider(&provider, "p.yaml").unwrap().file;
    let job: JobFile = parse_job("provider: p\ncredential: a\nsteps: [{ id: x, call: x }]\n", "j.yaml").unwrap().file;
    Spec::compile(job, provider).unwrap()
}

fn credential(fields: &[(&str, &str)]) -> Credential {
    Credential::new("a", fields.iter().map(|(name, secret)| ((*name).to_owned(), (*secret).into())))
}

fn form(parts: &RequestParts) -> BTreeMap<String, String> {
    url::form_urlencoded::parse(parts.body.as_ref().unwrap()).into_owned().collect()
}

fn fields(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

const CLIENT: [(&str, &str); 3] = [("client_id", "me:1"), ("client_secret", "s&cret"), ("refresh_token", "r1")];

#[test]
fn a_refresh_is_asked_for_as_the_provider_wants_the_client_to_say_who_it_is() {
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", "r1")];
    let client = [("client_id", "me:1"), ("client_secret", "s&cret")];
    for (said, basic, expected) in [
        ("", true, refresh.to_vec()),
        (", client: body", false, [&refresh[..], &client].concat()),
        (
            ", client: params, params: { client_key: '{{ credential.client_id }}', audience: 'of {{ config.host }}' }",
            false,
            [&refresh[..], &[("client_key", "me:1"), ("audience", "of login.example")]].concat(),
        ),
        (", scopes: [a, b]", true, [&refresh[..], &[("scope", "a b")]].concat()),
    ] {
        let parts = spec(said).token_request(&credential(&CLIENT)).unwrap().unwrap();
        assert_eq!((parts.method.as_str(), parts.url.as_str()), ("POST", "https://login.example/token"));
        assert_eq!(form(&parts), fields(&expected), "{said}");
        // RFC 6749, section 2.3.1: both are encoded as in a form before they are joined.
        let header = parts.headers.get(AUTHORIZATION);
        assert_eq!(header.is_some(), basic, "{said}");
        if let Some(header) = header {
            assert!(header.is_sensitive());
            assert_eq!(header, &format!("Basic {}", STANDARD.encode("me%3A1:s%26cret")));
        }
    }
}

#[test]
fn a_public_client_says_its_id_alone() {
    let parts = spec("").token_request(&credential(&[("client_id", "me"), ("refresh_token", "r1")])).unwrap().unwrap();
    assert_eq!(form(&parts), fields(&[("grant_type", "refresh_token"), ("refresh_token", "r1"), ("client_id", "me")]));
    assert!(!parts.headers.contains_key(AUTHORIZATION));
}

#[test]
fn the_first_grant_that_the_credential_has_the_fields_for_is_used() {
    let both = spec(", grants: [refresh_token, client_credentials]");
    let grant = |spec: &Spec, fields: &[(&str, &str)]| spec.oauth2().unwrap().grant(&credential(fields));
    assert_eq!(grant(&both, &CLIENT), Some(Grant::RefreshToken));
    assert_eq!(grant(&both, &CLIENT[..2]), Some(Grant::ClientCredentials));
    assert_eq!(grant(&both, &CLIENT[..1]), None);
    assert_eq!(grant(&spec(""), &CLIENT[..2]), None);
    assert_eq!(grant(&both, &[("token", "t")]), None, "a token alone is used as it is");
}

#[test]
fn calls_carry_the_token_that_was_fetched_else_the_one_that_was_given() {
    let spec_of = spec("");
    let header = |spec: &Spec, fields: &[(&str, &str)]| {
        let step = spec.steps().first().unwrap();
        let pointer = tidegate_contracts::PagePointer::First;
        let parts = spec.request(step, &tidegate_contracts::Params::default(), &pointer, Some(&credential(fields)));
        parts.map(|parts| parts.headers)
    };
    assert_eq!(header(&spec_of, &[("token", "t")]).unwrap()["authorization"], "Bearer t");
    assert_eq!(header(&spec_of, &[("token", "t"), ("access_token", "n")]).unwrap()["authorization"], "Bearer n");
    assert!(header(&spec_of, &CLIENT).is_err());
    let own = spec(", send: { header: { name: X-Token, value: '{{ credential.access_token }}' } }");
    assert_eq!(header(&own, &[("access_token", "n")]).unwrap()["x-token"], "n");
}

#[test]
fn an_answer_is_a_token_a_refusal_or_trouble_that_passes() {
    let read = |status: u16, body: &str| match TokenAnswer::read(StatusCode::from_u16(status).unwrap(), body.as_bytes())
    {
        TokenAnswer::Tokens(_) => "token".to_owned(),
        TokenAnswer::Refused(why) => format!("refused: {why}"),
        TokenAnswer::Later(why) => format!("later: {why}"),
    };
    for (status, body, expected) in [
        (200, r#"{"access_token":"t","token_type":"bearer","expires_in":3600}"#, "token"),
        (200, r#"{"access_token":"t","ok":true}"#, "token"),
        (200, r#"{"token_type":"bearer"}"#, "later: status 200 OK: no access_token in the answer"),
        (200, "", "later: status 200 OK: no access_token in the answer"),
        (
            400,
            r#"{"error":"invalid_grant","error_description":"It was\nrevoked."}"#,
            "refused: invalid_grant: It was revoked.",
        ),
        (401, r#"{"error":"invalid_client"}"#, "refused: invalid_client"),
        (400, r#"{"error":"unauthorized_client"}"#, "refused: unauthorized_client"),
        (401, "<html>", "refused: status 401 Unauthorized"),
        (401, r#"{"message":"Unauthorized","error":401}"#, "refused: Unauthorized"),
        (404, r#"{"error":{"message":"no such app"}}"#, "refused: no such app"),
        (200, r#"{"error":"bad_refresh_token"}"#, "refused: bad_refresh_token"),
        (200, r#"{"ok":false,"error":"invalid_refresh_token"}"#, "refused: invalid_refresh_token"),
        (403, "<html>", "later: status 403 Forbidden"),
        (400, r#"{"error":"temporarily_unavailable"}"#, "later: temporarily_unavailable"),
        (429, r#"{"error":"invalid_grant"}"#, "later: invalid_grant"),
        (503, "", "later: status 503 Service Unavailable"),
        (302, "", "later: status 302 Found"),
    ] {
        assert_eq!(read(status, body), expected, "{status} {body}");
    }
    let long = format!(r#"{{"error":"invalid_grant","error_description":"{}"}}"#, "x".repeat(9_999));
    assert!(read(400, &long).len() < 400);
}

fn tokens(json: &serde_json::Value) -> Tokens {
    match TokenAnswer::read(StatusCode::OK, json.to_string().as_bytes()) {
        TokenAnswer::Tokens(tokens) => tokens,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_new_token_takes_the_place_of_the_one_before() {
    let before =
        credential(&[("client_id", "me"), ("refresh_token", "r1"), ("expires_at", "5"), ("access_token", "t1")]);
    let shown = |credential: &Credential| {
        let shown = credential.fields().map(|(name, secret)| format!("{name}={}", secret.expose_secret()));
        shown.collect::<Vec<_>>().join(" ")
    };
    let renewed = tokens(&json!({ "access_token": "t2", "expires_in": "2" })).renew(&before, NOW);
    assert_eq!(
        shown(&renewed),
        format!("access_token=t2 client_id=me expires_at={} refresh_token=r1 refreshed_at={NOW}", NOW + 2_000)
    );
    let renewed =
        tokens(&json!({ "access_token": "t3", "refresh_token": "r2", "expires_in": -1 })).renew(&renewed, NOW + 9);
    assert_eq!(shown(&renewed), format!("access_token=t3 client_id=me refresh_token=r2 refreshed_at={}", NOW + 9));
    let debug = format!("{:?}", tokens(&json!({ "access_token": "canary", "refresh_token": "canary" })));
    assert!(!debug.contains("canary"), "{debug}");
}

#[test]
fn a_token_is_refreshed_before_its_end_and_when_there_is_none() {
    let spec = spec("");
    let oauth2 = spec.oauth2().unwrap();
    let due = |more: &[(&str, &str)], now_ms| oauth2.due(&credential(&[&CLIENT[..], more].concat()), now_ms);
    assert_eq!(due(&[], NOW), Due::Now);
    assert_eq!(due(&[("token", "t")], NOW), Due::No, "how long it lasts is not known");
    for end in ["1800000000", "1800000000000", "2027-01-15T08:00:00Z"] {
        let due = |now_ms| due(&[("access_token", "t"), ("expires_at", end)], now_ms);
        // Five minutes, the last quarter of which is drawn.
        assert_eq!((due(NOW - 300_001), due(NOW - 225_000)), (Due::No, Due::Soon), "{end}");
        assert_eq!((due(NOW - 1), due(NOW)), (Due::Soon, Due::Now), "{end}");
    }
    let since = (NOW - 10_000).to_string();
    let short = [("access_token", "t"), ("expires_at", "1800000000"), ("refreshed_at", &since)];
    assert_eq!((due(&short, NOW - 2_001), due(&short, NOW - 1_500)), (Due::No, Due::Soon), "a fifth of ten seconds");
    assert_eq!(oauth2.due(&credential(&[("token", "t"), ("expires_at", "1")]), NOW), Due::No, "it is all there is");
}

#[test]
fn a_refused_token_is_refreshed_unless_it_is_new() {
    let spec = spec("");
    let oauth2 = spec.oauth2().unwrap();
    let refreshed = |age_ms: i64, left_ms: i64| {
        let (since, end) = ((NOW - age_ms).to_string(), (NOW + left_ms).to_string());
        let token = [("access_token", "t"), ("refreshed_at", since.as_str()), ("expires_at", end.as_str())];
        oauth2.may_have_expired(&credential(&[&CLIENT[..], &token].concat()), NOW)
    };
    assert!(refreshed(FRESH_MS, 1), "it may be revoked early");
    assert!(!refreshed(FRESH_MS - 1, 1));
    assert!(refreshed(2_000, 0), "its time is over");
    assert!(
        oauth2.may_have_expired(&credential(&[&CLIENT[..], &[("token", "t")]].concat()), NOW),
        "given, not fetched"
    );
    assert!(!oauth2.may_have_expired(&credential(&[("token", "t")]), NOW), "there is no other");
}
