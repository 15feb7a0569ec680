use proptest::prelude::*;
use serde_json::json;

use super::*;

fn classifier(rules: serde_json::Value) -> Classifier {
    let rules: Vec<ErrorRule> = serde_json::from_value(rules).unwrap();
    assert!(rules.iter().all(|rule| rule.check().is_empty()), "{rules:?}");
    Classifier::new(&rules, None)
}

fn verdict(classifier: &Classifier, status: u16, header: (&'static str, &str), body: &str) -> Verdict {
    let headers = HeaderMap::from_iter([(header.0.parse().unwrap(), header.1.parse().unwrap())]);
    classifier.classify(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
}

const NO_HEADER: (&str, &str) = ("x-none", "");

/// The rule that matches, and the class.
fn matched(
    rules: &Classifier,
    status: u16,
    header: (&'static str, &str),
    body: &str,
) -> Option<(Option<usize>, Class)> {
    match verdict(rules, status, header, body) {
        Verdict::Page => None,
        Verdict::Failure(failure) => Some((failure.matched, failure.class)),
    }
}

#[test]
fn a_field_that_counts_milliseconds_says_so_by_its_name() {
    let rules = classifier(json!([{"status": 429, "class": "rate_limited", "until": "$.retry_after_ms"}]));
    for (body, header, expected) in [
        (r#"{"retry_after_ms":2500}"#, NO_HEADER, Some("2.5")),
        (r#"{"retry_after_ms":"2000"}"#, ("retry-after", "9"), Some("2")),
        (r#"{"retry_after_ms":-1}"#, ("retry-after", "9"), Some("9")),
        (r#"{"retry_after_ms":"soon"}"#, NO_HEADER, None),
    ] {
        let Verdict::Failure(failure) = verdict(&rules, 429, header, body) else { panic!("a page: {body}") };
        assert_eq!(failure.retry_after.as_deref(), expected, "{body}");
    }
}

#[test]
fn the_first_rule_whose_conditions_all_hold_counts() {
    let rules = classifier(json!([
        {"status": 400, "json": {"$.code": 1, "$.sub": [2, 3]}, "class": "gone"},
        {"status": 400, "json": {"$.code": 1}, "class": "not_found"},
        {"status": ["4xx"], "header": {"X-Why": "^lim"}, "class": "rate_limited"},
        {"status": "4xx", "message": "(?i)blocked", "class": "permission"},
        {"status": "5xx", "body": "html", "class": "provider_down"},
        {"status": 500, "body": "empty", "class": "timeout"},
        {"status": 502, "body": "not_json", "class": "suspect"},
    ]));
    let why = ("x-why", "limits");
    let table = [
        (400, NO_HEADER, r#"{"code":1,"sub":3}"#, Some((Some(0), Class::Gone))),
        (400, NO_HEADER, r#"{"code":1,"sub":4}"#, Some((Some(1), Class::NotFound))),
        (400, why, r#"{"code":1}"#, Some((Some(1), Class::NotFound))),
        (400, why, r#"{"code":2}"#, Some((Some(2), Class::RateLimited))),
        (400, why, "not json", Some((Some(2), Class::RateLimited))),
        (400, NO_HEADER, r#"{"error":{"message":"You are BLOCKED"}}"#, Some((Some(3), Class::Permission))),
        (418, NO_HEADER, "blocked by policy", Some((Some(3), Class::Permission))),
        (418, NO_HEADER, r#"{"reasons":["blocked"]}"#, Some((Some(3), Class::Permission))),
        (418, NO_HEADER, r#"{"message":"no","hint":"blocked"}"#, Some((None, Class::Invalid))),
        (500, NO_HEADER, "<html>", Some((Some(4), Class::ProviderDown))),
        (500, NO_HEADER, " \n", Some((Some(5), Class::Timeout))),
        (500, NO_HEADER, "{}", Some((None, Class::Transient))),
        (502, NO_HEADER, "oops", Some((Some(6), Class::Suspect))),
        (502, NO_HEADER, "", Some((Some(6), Class::Suspect))),
        (502, NO_HEADER, "{}", Some((None, Class::Transient))),
        (200, why, r#"{"code":1,"error":"blocked"}"#, None),
    ];
    for (status, header, body, expected) in table {
        assert_eq!(matched(&rules, status, header, body), expected, "{status} {body}");
    }
}

#[test]
fn rules_without_a_status_are_asked_about_successful_answers() {
    let rules = classifier(json!([
        {"json": {"$.ok": false, "$.error": "ratelimited"}, "class": "rate_limited"},
        {"json": {"$.errors[*].extensions.code": "THROTTLED"}, "class": "rate_limited"},
        {"json": {"$.errors": {"exists": true}}, "class": "suspect"},
        {"status": 200, "header": {"x-cached": "stale"}, "class": "transient"},
        {"message": "(?i)try again", "class": "transient"},
        {"status": "2xx", "body": "html", "class": "provider_down"},
    ]));
    let table = [
        (NO_HEADER, r#"{"ok":true,"error":null}"#, None),
        (NO_HEADER, r#"{"ok":false,"error":"ratelimited"}"#, Some(0)),
        (NO_HEADER, r#"{"ok":false,"error":"other"}"#, None),
        (NO_HEADER, r#"{"errors":[{"x":1},{"extensions":{"code":"THROTTLED"}}]}"#, Some(1)),
        (NO_HEADER, r#"{"errors":[{"message":"x"}]}"#, Some(2)),
        (NO_HEADER, r#"{"errors":null,"data":{}}"#, None),
        (("x-cached", "stale"), "{}", Some(3)),
        (NO_HEADER, r#"{"error":"Try again later"}"#, Some(4)),
        (NO_HEADER, r#"{"message":"try again","text":"try again"}"#, None),
        (NO_HEADER, "please try again", None),
        (NO_HEADER, "<!doctype html>try again", Some(5)),
    ];
    for (header, body, rule) in table {
        let found = matched(&rules, 200, header, body);
        assert_eq!(found.map(|(rule, _)| rule), rule.map(Some), "{body}");
    }
}

#[test]
fn a_good_answers_body_is_not_looked_at_where_no_rule_asks() {
    let rules = classifier(json!([
        {"status": 400, "json": {"$.a": 1}, "class": "gone"},
        {"header": {"x-why": "lim"}, "json": {"$..a": 1}, "class": "gone"},
    ]));
    let headers = HeaderMap::new();
    let answer = Evidence::new(StatusCode::OK, &headers, b"{}", &rules.finder);
    assert!(!rules.rules.iter().any(|rule| rule.matches(&answer, true, rules.places)));
    assert!(!answer.was_looked_into());
}

#[test]
fn a_failure_carries_what_its_rule_selects() {
    let rules = classifier(json!([
        {"status": 429, "json": {"$.global": true}, "class": "rate_limited", "scope": "global",
         "until": "$.retry_after", "message_path": "$.why.text"},
        {"status": 429, "class": "rate_limited", "scope": "route", "until": {"header": "X-Reset"}},
    ]));
    let failure = |header, body| match verdict(&rules, 429, header, body) {
        Verdict::Failure(failure) => failure,
        Verdict::Page => panic!("expected a failure"),
    };
    let global = failure(("retry-after", "65"), r#"{"global":true,"retry_after":64.57,"why":{"text":"slow\ndown"}}"#);
    let expected = Classified {
        class: Class::RateLimited,
        scope: Some("global".to_owned()),
        retry_after: Some("64.57".to_owned()),
        lasts: None,
        status: 429,
        message: "slow down".to_owned(),
        matched: Some(0),
    };
    assert_eq!(global, expected);
    let fallen_back = failure(("retry-after", "65"), r#"{"global":true,"retry_after":null,"message":"m"}"#);
    assert_eq!((fallen_back.retry_after.as_deref(), fallen_back.message.as_str()), (Some("65"), "m"));
    let route = failure(("x-reset", "Wed, 21 Oct 2015 07:28:00 GMT"), "");
    assert_eq!(route.retry_after.as_deref(), Some("Wed, 21 Oct 2015 07:28:00 GMT"));
    assert_eq!((route.scope.as_deref(), route.message.as_str()), (Some("route"), "Too Many Requests"));
}

#[test]
fn an_own_message_path_comes_before_the_usual_places() {
    let rules = classifier(json!([
        {"status": 400, "message_path": "$.faults[0].text", "message": "^gone", "class": "gone"},
    ]));
    let body = r#"{"message":"gone","faults":[{"text":"wrong"}]}"#;
    assert_eq!(matched(&rules, 400, NO_HEADER, body), Some((None, Class::Invalid)));
    let body = r#"{"message":"wrong","faults":[{"text":"gone"}]}"#;
    assert_eq!(matched(&rules, 400, NO_HEADER, body), Some((Some(0), Class::Gone)));
    let body = r#"{"message":"gone","faults":[]}"#;
    assert_eq!(matched(&rules, 400, NO_HEADER, body), Some((Some(0), Class::Gone)));
}

#[test]
fn only_the_start_of_a_body_stands_in_for_a_message() {
    let rules = classifier(json!([{"status": 400, "message": "needle", "class": "gone"}]));
    let hidden = "x".repeat(BODY_MAX_BYTES) + "needle";
    assert_eq!(matched(&rules, 400, NO_HEADER, &hidden), Some((None, Class::Invalid)));
    assert_eq!(matched(&rules, 400, NO_HEADER, &hidden[6..]), Some((Some(0), Class::Gone)));
}

#[test]
fn declared_success_replaces_the_usual_one() {
    let success: Statuses = serde_json::from_value(json!([200, 404])).unwrap();
    let rules: Vec<ErrorRule> =
        serde_json::from_value(json!([{"status": 404, "json": {"$.code": 5}, "class": "gone"}])).unwrap();
    let classifier = Classifier::new(&rules, Some(&success));
    assert_eq!(matched(&classifier, 200, NO_HEADER, ""), None);
    assert_eq!(matched(&classifier, 404, NO_HEADER, "[]"), None);
    assert_eq!(matched(&classifier, 404, NO_HEADER, r#"{"code":5}"#), Some((Some(0), Class::Gone)));
    assert_eq!(matched(&classifier, 202, NO_HEADER, "{}"), Some((None, Class::Suspect)));
}

#[test]
fn without_rules_the_status_decides() {
    let classifier = classifier(json!([]));
    for (status, class) in [(200, None), (204, None), (304, Some(Class::Suspect)), (404, Some(Class::NotFound))] {
        assert_eq!(matched(&classifier, status, NO_HEADER, ""), class.map(|class| (None, class)), "{status}");
    }
}

proptest! {
    #[test]
    fn any_answer_gets_a_verdict(
        status in 100_u16..600, body in proptest::collection::vec(any::<u8>(), 0..80), value in "[ -~]{0,20}",
    ) {
        let rules = classifier(json!([
            {"json": {"$.a": 1, "$..b": {"match": "x"}}, "class": "gone", "until": "$.c"},
            {"message": "x+", "class": "suspect"},
            {"header": {"retry-after": "9"}, "body": "not_json", "class": "timeout"},
        ]));
        let headers = HeaderMap::from_iter([(RETRY_AFTER, value.parse().unwrap())]);
        let verdict = rules.classify(StatusCode::from_u16(status).unwrap(), &headers, &body);
        if let Verdict::Failure(failure) = verdict {
            prop_assert!(failure.message.chars().count() <= tidegate_contracts::Failure::MESSAGE_MAX_CHARS);
            prop_assert!(!failure.message.chars().any(char::is_control));
        } else {
            prop_assert!((200..300).contains(&status));
        }
    }
}
