use http::header::LINK;
use serde_json::json;

use super::*;

/// What an answer to `https://api.example/v1/items?page=1` tells whose items are at `$.items`.
fn told(pages: serde_json::Value, body: &str, header: (&'static str, &str)) -> Result<Told, Unreadable> {
    let pages: Pages = serde_json::from_value(pages).unwrap();
    let mut values = Vec::new();
    let sources = Sources::of(&pages, &mut values);
    let found = Finder::new(Items::At(JsonPath::parse("$.items").unwrap()), values).find(body).unwrap();
    let headers = HeaderMap::from_iter([(header.0.parse().unwrap(), header.1.parse().unwrap())]);
    let url = Url::parse("https://api.example/v1/items?page=1").unwrap();
    sources.read(&Context { headers: &headers, found: &found, url: &url })
}

const NO_HEADER: (&str, &str) = ("x-none", "");

#[test]
fn an_object_of_query_parameters_is_kept_whole_and_none_is_the_end() {
    let pages = || json!({"next_query": "$.continue"});
    let said = |next: &str| told(pages(), &format!(r#"{{"items":[1],"continue":{next}}}"#), NO_HEADER);
    let kept = said(r#"{"gapcontinue":"B","continue":"gap||"}"#).unwrap().next;
    assert_eq!(kept, Some(Next::Cursor(r#"{"continue":"gap||","gapcontinue":"B"}"#.to_owned())));
    for end in ["null", "{}"] {
        assert_eq!(said(end).unwrap().next, None, "{end}");
    }
    assert_eq!(told(pages(), r#"{"items":[1]}"#, NO_HEADER).unwrap().next, None);
    for broken in [r#""B""#, r#"{"a":{"b":1}}"#] {
        assert!(matches!(said(broken), Err(Unreadable::NextNotText { .. })), "{broken}");
    }
}

#[test]
fn a_cursor_is_a_text_or_a_number_and_nothing_is_none() {
    let table = [
        (r#""abc""#, Some("abc")),
        (r#""a\u0041 ""#, Some("aA ")),
        ("17", Some("17")),
        ("123456789012345678901234567890", Some("123456789012345678901234567890")),
        ("0", Some("0")),
        ("null", None),
        (r#""""#, None),
        (r#""  ""#, None),
        ("false", None),
    ];
    for (next, cursor) in table {
        let body = format!(r#"{{"items":[],"next":{next}}}"#);
        let told = told(json!({"cursor": "c", "next": "$.next"}), &body, NO_HEADER).unwrap();
        assert_eq!(told.next, cursor.map(|cursor| Next::Cursor(cursor.to_owned())), "{next}");
    }
    let absent = told(json!({"cursor": "c", "next": "$.next"}), r#"{"items":[]}"#, NO_HEADER).unwrap();
    assert_eq!(absent, Told::default());
}

#[test]
fn a_cursor_that_is_neither_text_nor_number_is_unreadable() {
    for (next, found) in [("true", "a truth value"), ("{}", "a list or an object"), ("[1]", "a list or an object")] {
        let body = format!(r#"{{"items":[],"next":{next}}}"#);
        let refused = told(json!({"cursor": "c", "next": "$.next"}), &body, NO_HEADER).unwrap_err();
        assert_eq!(refused, Unreadable::NextNotText { source_text: "$.next".to_owned(), found });
    }
}

#[test]
fn cursors_and_addresses_have_a_greatest_length() {
    let told_of = |length: usize, pages| {
        let next = "x".repeat(length);
        told(pages, &format!(r#"{{"items":[],"next":"{next}"}}"#), NO_HEADER)
    };
    let cursor = json!({"cursor": "c", "next": "$.next"});
    assert!(told_of(CURSOR_MAX_BYTES, cursor.clone()).unwrap().next.is_some());
    assert_eq!(told_of(CURSOR_MAX_BYTES + 1, cursor), Err(Unreadable::NextTooLong));
    assert_eq!(told_of(CURSOR_MAX_BYTES, json!({"next_url": "$.next"})), Err(Unreadable::NextTooLong), "made absolute");
}

#[test]
fn a_cursor_comes_from_a_header_or_the_last_item_too() {
    let by_header = json!({"cursor": "c", "next": {"header": "X-Next"}});
    let items = r#"{"items":[{"id":1},{"id":"b"}]}"#;
    let cursor = |text: &str| Some(Next::Cursor(text.to_owned()));
    assert_eq!(told(by_header.clone(), items, ("x-next", "abc")).unwrap().next, cursor("abc"));
    assert_eq!(told(by_header.clone(), items, ("x-next", "")).unwrap().next, None);
    assert_eq!(told(by_header, items, NO_HEADER).unwrap().next, None);
    let by_item = json!({"cursor": "c", "next": {"last_item": "$.id"}, "has_more": "$.more"});
    assert_eq!(told(by_item.clone(), items, NO_HEADER).unwrap().next, cursor("b"));
    assert_eq!(told(by_item.clone(), r#"{"items":[]}"#, NO_HEADER).unwrap().next, None);
    let lacking = r#"{"items":[{"id":1},{"id":null}]}"#;
    let refused = told(by_item.clone(), lacking, NO_HEADER).unwrap_err();
    assert_eq!(refused, Unreadable::NoNextInItem { path: "$.id".to_owned() });
    let last = r#"{"items":[{"id":1},{}],"more":false}"#;
    assert_eq!(told(by_item, last, NO_HEADER).unwrap().next, None, "the answer says it is the end");
}

#[test]
fn addresses_are_made_absolute_and_stay_at_home() {
    let page = |query: &str| Some(Next::Url(format!("https://api.example/v1/items?{query}")));
    let body = |next: &str| format!(r#"{{"items":[],"next":"{next}"}}"#);
    let in_body = json!({"next_url": "$.next"});
    assert_eq!(told(in_body.clone(), &body("?page=2"), NO_HEADER).unwrap().next, page("page=2"));
    assert_eq!(told(in_body.clone(), &body(""), NO_HEADER).unwrap().next, None);
    assert_eq!(told(in_body.clone(), r#"{"items":[],"next":null}"#, NO_HEADER).unwrap().next, None);
    let foreign = told(in_body, &body("https://evil.example/"), NO_HEADER).unwrap_err();
    assert_eq!(foreign, Unreadable::ForeignNext { origin: "https://evil.example".to_owned() });
    let in_header = json!({"next_url": {"header": "Next-Page"}});
    assert_eq!(told(in_header, &body("x"), ("next-page", "/v1/items?t=5")).unwrap().next, page("t=5"));
    let link = json!({"link": "next"});
    let header = |value| (LINK.as_str(), value);
    assert_eq!(told(link.clone(), &body("x"), header("<?page=2>; rel=next")).unwrap().next, page("page=2"));
    assert_eq!(told(link.clone(), &body("x"), header("<?page=2>; rel=last")).unwrap().next, None);
    assert_eq!(told(link.clone(), &body("x"), header("<>; rel=next")).unwrap().next, None);
    assert!(told(link, &body("x"), header("<http://evil.example/>; rel=next")).is_err());
}

#[test]
fn a_list_with_random_access_learns_only_whether_there_is_more() {
    let size = json!({"param": "limit", "max": 5});
    let pages = json!({"offset": "o", "size": size, "next": "$.next", "has_more": "$.more"});
    let table = [
        (r#"{"items":[],"next":"https://evil.example/"}"#, Some(true)),
        (r#"{"items":[],"next":{"offset":5}}"#, Some(true)),
        (r#"{"items":[],"next":null}"#, Some(false)),
        (r#"{"items":[],"next":""}"#, Some(false)),
        (r#"{"items":[]}"#, Some(false)),
        (r#"{"items":[],"next":"x","more":false}"#, Some(false)),
        (r#"{"items":[],"next":null,"more":true}"#, Some(true)),
    ];
    for (body, has_more) in table {
        assert_eq!(told(pages.clone(), body, NO_HEADER).unwrap(), Told { has_more, ..Told::default() }, "{body}");
    }
    let silent = json!({"page": "p", "size": size});
    assert_eq!(told(silent, r#"{"items":[],"next":"x"}"#, NO_HEADER).unwrap(), Told::default());
}

#[test]
fn has_more_is_read_from_its_usual_spellings() {
    let table = [
        ("true", Some(true)),
        ("1", Some(true)),
        (r#""true""#, Some(true)),
        (r#""True""#, Some(true)),
        (r#""1""#, Some(true)),
        ("false", Some(false)),
        ("0", Some(false)),
        (r#""false""#, Some(false)),
        ("null", None),
        ("2", None),
        (r#""yes""#, None),
        ("[]", None),
    ];
    for (more, has_more) in table {
        let body = format!(r#"{{"items":[],"more":{more}}}"#);
        let told = told(json!({"link": "next", "has_more": "$.more"}), &body, NO_HEADER).unwrap();
        assert_eq!(told.has_more, has_more, "{more}");
    }
    let by_header = json!({"link": "next", "has_more": {"header": "X-More"}});
    assert_eq!(told(by_header, r#"{"items":[]}"#, ("x-more", "false")).unwrap().has_more, Some(false));
}

#[test]
fn a_total_is_a_whole_number_or_none() {
    let table = [
        ("319", Some(319)),
        (r#""319""#, Some(319)),
        (r#"" 319 ""#, Some(319)),
        ("0", Some(0)),
        ("319.0", Some(319)),
        ("3.19e2", Some(319)),
        ("-1", None),
        ("1.5", None),
        ("1e300", None),
        ("null", None),
        (r#""many""#, None),
        (r#""1,234""#, None),
        (r#""NaN""#, None),
        (r#"{"value":5}"#, None),
    ];
    for (total, number) in table {
        let body = format!(r#"{{"items":[],"total":{total}}}"#);
        let told = told(json!({"link": "next", "total": "$.total"}), &body, NO_HEADER).unwrap();
        assert_eq!(told.total, number, "{total}");
    }
    for (header, number) in [("42", Some(42)), ("items 0-24/319", Some(319)), ("items 0-24/*", None)] {
        let pages = json!({"link": "next", "total": {"header": "X-Total"}});
        assert_eq!(told(pages, r#"{"items":[]}"#, ("x-total", header)).unwrap().total, number, "{header}");
    }
}
