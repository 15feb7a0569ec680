//! Declarations and answers of real providers, through the public interface alone.

#![expect(clippy::unwrap_used, reason = "this whole file is tests; clippy only knows functions marked as such")]

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tidegate_answer::{Classified, Classifier, ErrorRule, JsonPath, PageRead, Pages, Reader, Unreadable, Verdict};
use tidegate_contracts::{Class, Next};
use url::Url;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let pair =
        |(name, value): &(&'static str, &str)| (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
    pairs.iter().map(pair).collect()
}

fn reader(items: &str, pages: Value) -> Reader {
    let pages: Pages = serde_json::from_value(pages).unwrap();
    assert_eq!(pages.check(), []);
    Reader::new(Some(&JsonPath::parse(items).unwrap()), Some(&JsonPath::parse("$.id").unwrap()), Some(&pages))
}

fn read(reader: &Reader, url: &str, pairs: &[(&'static str, &str)], body: &str) -> Result<PageRead, Unreadable> {
    reader.read(&headers(pairs), body.as_bytes(), &Url::parse(url).unwrap())
}

fn classifier(rules: Value) -> Classifier {
    let rules: Vec<ErrorRule> = serde_json::from_value(rules).unwrap();
    assert!(rules.iter().all(|rule| rule.check().is_empty()));
    Classifier::new(&rules, None)
}

fn failure(classifier: &Classifier, status: u16, pairs: &[(&'static str, &str)], body: &str) -> Classified {
    match classifier.classify(StatusCode::from_u16(status).unwrap(), &headers(pairs), body.as_bytes()) {
        Verdict::Failure(failure) => failure,
        Verdict::Page => panic!("expected a failure: {body}"),
    }
}

fn is_page(classifier: &Classifier, body: &str) -> bool {
    classifier.classify(StatusCode::OK, &HeaderMap::new(), body.as_bytes()) == Verdict::Page
}

#[test]
fn facebook_graph_names_the_next_page_by_address_even_on_short_pages() {
    let edge = reader("$.data", json!({"next_url": "$.paging.next", "size": {"param": "limit", "max": 100}}));
    let url = "https://graph.facebook.com/v25.0/me/posts?limit=100";
    let body = r#"{"data":[{"id":"1_2","message":"Gr\u00fc\u00dfe"}],"paging":{"cursors":{"before":"QVFI","after":"QVFJ"},
        "next":"https:\/\/graph.facebook.com\/v25.0\/1\/posts?limit=100&after=QVFJ"}}"#;
    let page = read(&edge, url, &[], body).unwrap();
    assert_eq!(page.lines, b"{\"id\":\"1_2\",\"message\":\"Gr\\u00fc\\u00dfe\"}\n");
    let next = "https://graph.facebook.com/v25.0/1/posts?limit=100&after=QVFJ".to_owned();
    assert_eq!(page.facts.next, Some(Next::Url(next)));
    let empty = read(&edge, url, &[], r#"{"data":[]}"#).unwrap().facts;
    assert_eq!((empty.items, empty.next), (0, None));
    let error = r#"{"error":{"message":"An unknown error has occurred.","type":"OAuthException","code":1}}"#;
    assert_eq!(read(&edge, url, &[], error), Err(Unreadable::NoItems { path: "$.data".to_owned() }));
}

#[test]
fn facebook_graph_tells_its_errors_apart_by_code_and_subcode() {
    let rules = classifier(json!([
        {"json": {"$.error.code": 190, "$.error.error_subcode": [463]}, "class": "auth_expired"},
        {"json": {"$.error.code": 190, "$.error.error_subcode": 492}, "class": "permission"},
        {"json": {"$.error.code": [102, 190]}, "class": "auth_revoked"},
        {"json": {"$.error.code": 4}, "class": "rate_limited", "scope": "app"},
        {"json": {"$.error.code": [17, 613]}, "class": "rate_limited", "scope": "user"},
        {"json": {"$.error.code": {"match": "^(10|2\\d\\d)$"}}, "class": "permission"},
        {"message": "reduce the amount of data", "class": "too_much_data"},
        {"json": {"$.error.is_transient": true}, "class": "transient"},
    ]));
    let error = |fields: &str| {
        format!(r#"{{"error":{{"message":"(#0) Text","type":"OAuthException",{fields},"fbtrace_id":"A"}}}}"#)
    };
    let table = [
        (r#""code":190,"error_subcode":463"#, Class::AuthExpired, Some(0)),
        (r#""code":190,"error_subcode":492"#, Class::Permission, Some(1)),
        (r#""code":190,"error_subcode":460"#, Class::AuthRevoked, Some(2)),
        (r#""code":190"#, Class::AuthRevoked, Some(2)),
        (r#""code":4"#, Class::RateLimited, Some(3)),
        (r#""code":17"#, Class::RateLimited, Some(4)),
        (r#""code":200"#, Class::Permission, Some(5)),
        (r#""code":2,"is_transient":true"#, Class::Transient, Some(7)),
        (r#""code":100"#, Class::Invalid, None),
    ];
    for (fields, class, matched) in table {
        let found = failure(&rules, 400, &[], &error(fields));
        assert_eq!((found.class, found.matched), (class, matched), "{fields}");
        assert_eq!(found.message, "(#0) Text");
    }
    assert_eq!(failure(&rules, 400, &[], &error(r#""code":4"#)).scope.as_deref(), Some("app"));
    let too_much = r#"{"error":{"code":1,"message":"Please reduce the amount of data you're asking for, then retry"}}"#;
    assert_eq!(failure(&rules, 500, &[], too_much).class, Class::TooMuchData);
}

#[test]
fn slack_answers_200_to_everything() {
    let rules = classifier(json!([
        {"json": {"$.ok": false, "$.error": ["invalid_auth", "not_authed", "token_revoked", "account_inactive"]}, "class": "auth_revoked"},
        {"json": {"$.ok": false, "$.error": "token_expired"}, "class": "auth_expired"},
        {"json": {"$.ok": false, "$.error": "ratelimited"}, "class": "rate_limited"},
        {"json": {"$.ok": false}, "class": "invalid"},
    ]));
    let history = reader(
        "$.messages",
        json!({
            "cursor": "cursor", "next": "$.response_metadata.next_cursor", "has_more": "$.has_more", "size": {"param": "limit", "max": 200}
        }),
    );
    let good = r#"{"ok":true,"messages":[{"type":"message","ts":"1.2"}],"has_more":true,"response_metadata":{"next_cursor":"bmV4dA=="}}"#;
    assert!(is_page(&rules, good));
    let facts = read(&history, "https://slack.com/api/conversations.history", &[], good).unwrap().facts;
    assert_eq!((facts.next, facts.has_more), (Some(Next::Cursor("bmV4dA==".to_owned())), Some(true)));
    let last = r#"{"ok":true,"messages":[],"has_more":false,"response_metadata":{"next_cursor":""}}"#;
    let facts = read(&history, "https://slack.com/api/conversations.history", &[], last).unwrap().facts;
    assert_eq!((facts.next, facts.has_more), (None, Some(false)));
    let table = [
        ("token_revoked", Class::AuthRevoked),
        ("token_expired", Class::AuthExpired),
        ("ratelimited", Class::RateLimited),
        ("channel_not_found", Class::Invalid),
    ];
    for (error, class) in table {
        let found = failure(&rules, 200, &[("retry-after", "30")], &format!(r#"{{"ok":false,"error":"{error}"}}"#));
        assert_eq!((found.class, found.message.as_str(), found.retry_after.as_deref()), (class, error, Some("30")));
    }
    // Should no rule match, the answer is still no empty page.
    assert!(read(&history, "https://slack.com/api/conversations.history", &[], r#"{"ok":false,"error":"x"}"#).is_err());
}

#[test]
fn graphql_answers_200_with_errors() {
    let rules = classifier(json!([
        {"json": {"$.errors[*].extensions.code": "THROTTLED"}, "class": "rate_limited", "scope": "points"},
        {"json": {"$.errors[*].type": ["NOT_FOUND"]}, "class": "not_found"},
        {"json": {"$.errors": {"exists": true}}, "class": "invalid"},
    ]));
    let throttled =
        r#"{"errors":[{"message":"Throttled","extensions":{"code":"THROTTLED"}}],"extensions":{"cost":{}}}"#;
    let found = failure(&rules, 200, &[], throttled);
    assert_eq!(
        (found.class, found.scope.as_deref(), found.message.as_str()),
        (Class::RateLimited, Some("points"), "Throttled")
    );
    let missing =
        r#"{"data":{"user":null},"errors":[{"type":"NOT_FOUND","path":["user"],"message":"Could not resolve"}]}"#;
    assert_eq!(failure(&rules, 200, &[], missing).class, Class::NotFound);
    assert_eq!(failure(&rules, 200, &[], r#"{"errors":[{"message":"Parse error"}]}"#).class, Class::Invalid);
    let good =
        r#"{"data":{"viewer":{"repos":{"nodes":[{"id":"R_1"}],"pageInfo":{"hasNextPage":false,"endCursor":"Y3"}}}}}"#;
    assert!(is_page(&rules, good));
    let repos = reader(
        "$.data.viewer.repos.nodes",
        json!({
            "cursor": "after", "next": "$.data.viewer.repos.pageInfo.endCursor", "has_more": "$.data.viewer.repos.pageInfo.hasNextPage"
        }),
    );
    let facts = read(&repos, "https://api.github.com/graphql", &[], good).unwrap().facts;
    assert_eq!((facts.items, facts.next, facts.has_more), (1, None, Some(false)));
}

#[test]
fn django_rest_framework_counts_and_names_both_neighbours() {
    let by_page = reader(
        "$.results",
        json!({
            "page": "page", "size": {"param": "page_size", "max": 100}, "total": "$.count", "next": "$.next"
        }),
    );
    let body = r#"{"count":1023,"next":"http://api.example.org/accounts/?page=5","previous":null,"results":[{"id":7},{"id":8}]}"#;
    let facts = read(&by_page, "https://api.example.org/accounts/?page=4", &[], body).unwrap().facts;
    assert_eq!((facts.items, facts.total, facts.has_more, facts.next), (2, Some(1023), Some(true), None));
    let by_address = reader("$.results", json!({"next_url": "$.next", "total": "$.count"}));
    let facts = read(&by_address, "https://api.example.org/accounts/?page=4", &[], body).unwrap().facts;
    let upgraded = Next::Url("https://api.example.org/accounts/?page=5".to_owned());
    assert_eq!(facts.next, Some(upgraded), "a proxy in front of Django often makes it write http");
    let plain = classifier(json!([]));
    let past_the_end = failure(&plain, 404, &[], r#"{"detail":"Invalid page."}"#);
    assert_eq!((past_the_end.class, past_the_end.message.as_str()), (Class::NotFound, "Invalid page."));
    let throttled = failure(
        &plain,
        429,
        &[("retry-after", "52")],
        r#"{"detail":"Request was throttled. Expected available in 52 seconds."}"#,
    );
    assert_eq!((throttled.class, throttled.retry_after.as_deref()), (Class::RateLimited, Some("52")));
    let fields = failure(&plain, 400, &[], r#"{"email":["Enter a valid email address."]}"#);
    assert_eq!(
        (fields.class, fields.message.as_str()),
        (Class::Invalid, r#"{"email":["Enter a valid email address."]}"#)
    );
}

#[test]
fn kinto_puts_the_next_page_and_the_total_into_headers() {
    let records = reader(
        "$.data",
        json!({
            "next_url": {"header": "Next-Page"}, "total": {"header": "Total-Records"}, "size": {"param": "_limit", "max": 1000}
        }),
    );
    let url = "https://kinto.example/v1/buckets/b/collections/c/records?_limit=2";
    let next = "https://kinto.example/v1/buckets/b/collections/c/records?_limit=2&_token=eyJsYXN0";
    let page =
        read(&records, url, &[("next-page", next), ("total-records", "5")], r#"{"data":[{"id":"a"},{"id":"b"}]}"#)
            .unwrap();
    assert_eq!((page.facts.total, page.facts.next), (Some(5), Some(Next::Url(next.to_owned()))));
    let keys: Vec<_> = page.lines.split_inclusive(|byte| *byte == b'\n').map(|line| records.item_key(line)).collect();
    assert_eq!(keys, [Some("a".to_owned()), Some("b".to_owned())]);
    let last = read(&records, url, &[("total-records", "5")], r#"{"data":[]}"#).unwrap();
    assert_eq!((last.facts.items, last.facts.next), (0, None));
}

#[test]
fn mastodon_links_to_ids_that_no_item_shows() {
    let followers = reader("$[*]", json!({"link": "next", "size": {"param": "limit", "max": 80}}));
    let url = "https://mastodon.example/api/v1/accounts/109/followers?limit=2";
    let link = r#"<https://mastodon.example/api/v1/accounts/109/followers?limit=2&max_id=7628164>; rel="next", <https://mastodon.example/api/v1/accounts/109/followers?limit=2&since_id=7628165>; rel="prev""#;
    let facts = read(&followers, url, &[("link", link)], r#"[{"id":"1"},{"id":"2"}]"#).unwrap().facts;
    let next = "https://mastodon.example/api/v1/accounts/109/followers?limit=2&max_id=7628164";
    assert_eq!((facts.items, facts.next), (2, Some(Next::Url(next.to_owned()))));
    let rules = classifier(json!([{"status": 422, "message": "(?i)validation failed", "class": "not_found"}]));
    assert_eq!(failure(&rules, 422, &[], r#"{"error":"Validation failed: x"}"#).class, Class::NotFound);
    let revoked = failure(&rules, 401, &[], r#"{"error":"The access token was revoked"}"#);
    assert_eq!((revoked.class, revoked.matched), (Class::AuthRevoked, None));
}

#[test]
fn stripe_goes_on_after_the_last_items_id() {
    let charges = reader(
        "$.data",
        json!({
            "cursor": "starting_after", "next": {"last_item": "$.id"}, "has_more": "$.has_more", "size": {"param": "limit", "max": 100}
        }),
    );
    let url = "https://api.stripe.com/v1/charges";
    let more = r#"{"object":"list","data":[{"id":"ch_1"},{"id":"ch_2"}],"has_more":true,"url":"/v1/charges"}"#;
    assert_eq!(read(&charges, url, &[], more).unwrap().facts.next, Some(Next::Cursor("ch_2".to_owned())));
    let end = r#"{"object":"list","data":[{"id":"ch_3"}],"has_more":false}"#;
    assert_eq!(read(&charges, url, &[], end).unwrap().facts.next, None);
}

#[test]
fn other_providers_refusals_are_told_apart() {
    let bluesky = classifier(json!([{"status": 400, "json": {"$.error": "ExpiredToken"}, "class": "auth_expired"}]));
    let expired = failure(&bluesky, 400, &[], r#"{"error":"ExpiredToken","message":"Token has expired"}"#);
    assert_eq!((expired.class, expired.message.as_str()), (Class::AuthExpired, "Token has expired"));
    let youtube = classifier(json!([
        {"status": 403, "json": {"$.error.errors[0].reason": ["quotaExceeded", "dailyLimitExceeded"]}, "class": "quota_exhausted", "scope": "day"},
        {"status": 403, "json": {"$.error.errors[0].reason": {"match": "[rR]ateLimitExceeded$"}}, "class": "rate_limited", "scope": "minute"},
    ]));
    let error = |reason: &str| {
        format!(
            r#"{{"error":{{"code":403,"message":"m","errors":[{{"domain":"youtube.quota","reason":"{reason}"}}]}}}}"#
        )
    };
    assert_eq!(failure(&youtube, 403, &[], &error("quotaExceeded")).class, Class::QuotaExhausted);
    assert_eq!(failure(&youtube, 403, &[], &error("userRateLimitExceeded")).scope.as_deref(), Some("minute"));
    assert_eq!(failure(&youtube, 403, &[], &error("forbidden")).class, Class::Permission);
    let github = classifier(json!([]));
    let secondary = r#"{"message":"You have exceeded a secondary rate limit.","documentation_url":"https://docs"}"#;
    assert_eq!(failure(&github, 403, &[("retry-after", "60")], secondary).class, Class::RateLimited);
    let gateway = failure(&github, 502, &[], "<html>\r\n<head><title>502 Bad Gateway</title></head></html>");
    assert_eq!((gateway.class, gateway.message.as_str()), (Class::Transient, "502 Bad Gateway"));
}
