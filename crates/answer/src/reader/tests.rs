use serde_json::json;
use tidegate_contracts::Next;

use super::*;
use crate::lines::ITEMS_MAX;
use crate::raw::DEPTH_MAX;

fn path(text: &str) -> JsonPath {
    JsonPath::parse(text).unwrap()
}

fn read_by(reader: &Reader, body: &[u8]) -> Result<Vec<String>, Unreadable> {
    let url = Url::parse("https://api.example/items").unwrap();
    let page = reader.read(&HeaderMap::new(), body, &url)?;
    let lines: Vec<String> = String::from_utf8(page.lines).unwrap().lines().map(str::to_owned).collect();
    assert_eq!(page.facts.items as usize, lines.len());
    Ok(lines)
}

fn read(items: &str, body: &str) -> Result<Vec<String>, Unreadable> {
    read_by(&Reader::new(Some(&path(items)), None, None), body.as_bytes())
}

#[test]
fn items_are_selected_as_the_path_says() {
    let table: [(&str, &str, &[&str]); 21] = [
        ("$[*]", r#"[{"id":1},{"id":2}]"#, &[r#"{"id":1}"#, r#"{"id":2}"#]),
        ("$", r#"[1,"two",null]"#, &["1", r#""two""#, "null"]),
        ("$", r#"{"id":1}"#, &[r#"{"id":1}"#]),
        ("$.results", r#"{"results":[1,2]}"#, &["1", "2"]),
        ("$.results[*]", r#"{"results":[1,2]}"#, &["1", "2"]),
        ("$['results']", r#"{"results":[1,2]}"#, &["1", "2"]),
        ("$.results", r#"{"\u0072esults":[1]}"#, &["1"]),
        ("$.results", r#"{"results":{"a":[1]}}"#, &[r#"{"a":[1]}"#]),
        ("$.results[*]", r#"{"results":{"a":[1],"b":2}}"#, &["[1]", "2"]),
        ("$.results", r#"{"results":[]}"#, &[]),
        ("$.results", r#"{"results":null}"#, &[]),
        ("$.results[*]", r#"{"results":null}"#, &[]),
        ("$.results[*]", r#"{"results":{}}"#, &[]),
        ("$.a.b[*]", r#"{"x":[{"b":[9]}],"a":{"y":{"b":[9]},"b":[1],"z":0}}"#, &["1"]),
        ("$.results", r#"{"results":[1,2],"results":[3]}"#, &["3"]),
        ("$.a.b", r#"{"a":{"b":[1]},"a":{"b":[2]}}"#, &["2"]),
        ("$.results[0]", r#"{"results":[[1,2],[3]]}"#, &["1", "2"]),
        (
            "$.groups[*].members[*]",
            r#"{"groups":[{"members":[1,2]},{"members":[]},{"members":[3]}]}"#,
            &["1", "2", "3"],
        ),
        ("$.items[?@.kind == 'a']", r#"{"items":[{"kind":"a"},{"kind":"b"}]}"#, &[r#"{"kind":"a"}"#]),
        ("$.items[?@.kind == 'c']", r#"{"items":[{"kind":"a"},{"kind":"b"}]}"#, &[]),
        ("$..id", r#"{"a":{"id":1},"id":2}"#, &["2", "1"]),
    ];
    for (items, body, lines) in table {
        assert_eq!(read(items, body).unwrap(), lines, "{items} {body}");
    }
}

#[test]
fn an_error_beside_no_items_is_never_an_empty_page() {
    let table = [
        (r#"{"items":null,"error":"x"}"#, Some("x")),
        (r#"{"items":[],"error":{"message":"x"}}"#, Some("x")),
        (r#"{"items":null,"errors":[{"message":"x"},{"message":"y"}]}"#, Some("x")),
        (r#"{"items":[],"error":null,"errors":[],"error_description":""}"#, None),
        (r#"{"items":[],"error":false,"message":"no more"}"#, None),
        (r#"{"items":[{"error":"x"}],"errors":["y"]}"#, None),
    ];
    for (body, message) in table {
        let error = message.map(|message| Unreadable::ErrorBeside { message: message.to_owned() });
        assert_eq!(read("$.items[*]", body).err(), error, "{body}");
    }
}

#[test]
fn what_is_not_there_is_never_an_empty_page() {
    let absent = |path: &str| Unreadable::NoItems { path: path.to_owned() };
    let other = |path: &str, found| Unreadable::NotItems { path: path.to_owned(), found };
    let table = [
        ("$.results", r#"{"error":"x"}"#, absent("$.results")),
        ("$.results[*]", r#"{"error":"x"}"#, absent("$.results[*]")),
        ("$.results", "[]", absent("$.results")),
        ("$.a.b", r#"{"a":null}"#, absent("$.a.b")),
        ("$.a.b", r#"{"a":{"b":[1]},"a":{}}"#, absent("$.a.b")),
        ("$.results", r#"{"results":"none"}"#, other("$.results", "a text")),
        ("$.results[*]", r#"{"results":0}"#, other("$.results[*]", "a number")),
        ("$.results", r#"{"results":false}"#, other("$.results", "a truth value")),
        ("$", "5", other("$", "a number")),
        ("$.results[0]", r#"{"results":[]}"#, absent("$.results[0]")),
        ("$.groups[*].members[*]", r#"{"groups":[{"name":"x"}]}"#, absent("$.groups[*].members[*]")),
        ("$.groups[*].members[*]", r#"{"error":"x"}"#, absent("$.groups[*].members[*]")),
        ("$.items[?@.a]", r#"{"items":{"code":5}}"#, other("$.items[?@.a]", "an object")),
        ("$..id", r#"{"error":"x"}"#, absent("$..id")),
    ];
    for (items, body, refused) in table {
        assert_eq!(read(items, body).unwrap_err(), refused, "{items} {body}");
    }
}

#[test]
fn an_answer_without_the_items_field_is_a_page_only_where_it_says_so() {
    let conditions = serde_json::from_value(serde_json::json!({ "$.meta.count": 0 })).unwrap();
    let pages = serde_json::from_value(serde_json::json!({ "cursor": "c", "next": "$.meta.next" })).unwrap();
    let reader = Reader::new(Some(&"$.data[*]".parse().unwrap()), None, Some(&pages)).or_blank(&conditions);
    let read = |body: &str| reader.read(&HeaderMap::new(), body.as_bytes(), &"https://a.example".parse().unwrap());
    let blank = read(r#"{"meta":{"count":0,"next":"n"}}"#).unwrap();
    assert_eq!((blank.facts.items, blank.lines.len()), (0, 0));
    assert_eq!(blank.facts.next, Some(tidegate_contracts::Next::Cursor("n".to_owned())), "what it says else is read");
    assert_eq!(read(r#"{"data":[1],"meta":{"count":0}}"#).unwrap().facts.items, 1);
    let absent = Unreadable::NoItems { path: "$.data[*]".to_owned() };
    for body in [r#"{"meta":{"count":1}}"#, "{}", r#"{"error":"x"}"#] {
        assert_eq!(read(body), Err(absent.clone()), "{body}");
    }
    assert!(matches!(read(r#"{"meta":{"count":0},"error":"x"}"#), Err(Unreadable::ErrorBeside { .. })));
}

#[test]
fn a_bad_body_says_what_is_wrong_with_it() {
    let table = [
        ("", "the body is empty"),
        ("<html>", "the body is an HTML page, JSON was expected"),
        (r#"{"results":[1,]}"#, "the body is not JSON: trailing comma at line 1, column 15"),
        ("{\"results\":\n[1 2]}", "the body is not JSON: expected `,` or `]` at line 2, column 4"),
        (r#"{"results":[1]} x"#, "the body is not JSON: trailing characters at line 1, column 17"),
        ("oops", "the body is not JSON: expected value at line 1, column 1"),
        (r#"{"results":[{"id":1},{"i"#, "the body breaks off after 24 bytes, in the middle of its JSON"),
        (r#"{"results":[1]"#, "the body breaks off after 14 bytes, in the middle of its JSON"),
        (r#"{"error":"x"}"#, "the body has no `$.results`, where the items should be"),
        (r#"{"results":7}"#, "the body has a number at `$.results`, where a list of items should be"),
    ];
    for (body, text) in table {
        assert_eq!(read("$.results", body).unwrap_err().to_string(), text, "{body}");
        let by_tree = read("$.results[0:]", body).unwrap_err().to_string().replace("results[0:]", "results");
        // The decoder words it another way where it skips a value, so only the kind of trouble is compared.
        assert_eq!(by_tree.split(": ").next(), text.split(": ").next(), "by tree: {body}");
    }
    let latin = read_by(&Reader::new(None, None, None), b"{\"name\":\"Z\xfcrich\"}").unwrap_err();
    assert_eq!(latin.to_string(), "the body is not UTF-8: the byte at 10 can't stand there");
}

#[test]
fn items_stay_as_they_were_written_but_for_line_breaks() {
    let body = "\u{feff}{\n  \"results\": [\r\n    {\"id\": 1.0,\n     \"name\": \"a\\n  b\"},\n    {\"id\": 1e400, \"big\": 123456789012345678901234567890}\n  ]\n}\n";
    let lines = [r#"{"id":1.0,"name":"a\n  b"}"#, r#"{"id": 1e400, "big": 123456789012345678901234567890}"#];
    assert_eq!(read("$.results", body).unwrap(), lines);
    assert_eq!(read("$.results[0:]", body).unwrap(), lines, "by tree");
}

#[test]
fn the_whole_body_is_one_item_without_a_path() {
    let reader = Reader::new(None, None, None);
    for body in [r#"{"id":1}"#, "[1,2]", "5", "null", r#""x""#] {
        assert_eq!(read_by(&reader, body.as_bytes()).unwrap(), [body]);
    }
}

#[test]
fn no_body_is_one_null_only_where_nothing_was_to_be_found() {
    assert_eq!(read_by(&Reader::new(None, None, None), b" ").unwrap(), ["null"]);
    assert_eq!(read_by(&Reader::new(Some(&path("$")), None, None), b""), Err(Unreadable::Empty));
    let pages = Pages { link: Some("next".to_owned()), ..Pages::default() };
    assert_eq!(read_by(&Reader::new(None, None, Some(&pages)), b""), Err(Unreadable::Empty));
}

#[test]
fn depth_is_limited_wherever_it_is_and_whatever_reads_it() {
    let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
    let around = |inner: &str| [format!(r#"{{"results":[{inner}]}}"#), format!(r#"{{"results":[],"x":[{inner}]}}"#)];
    for items in ["$.results", "$.results[*]", "$.results[0:]"] {
        for body in around(&nested(DEPTH_MAX - 2)) {
            assert!(read(items, &body).is_ok(), "{items}");
        }
        for levels in [DEPTH_MAX - 1, 200, 100_000] {
            for body in around(&nested(levels)) {
                assert_eq!(read(items, &body), Err(Unreadable::TooDeep), "{items} {levels}");
            }
        }
        let unclosed = format!(r#"{{"results":{}"#, "[".repeat(100_000));
        assert!(read(items, &unclosed).is_err(), "{items}");
    }
}

#[test]
fn what_is_read_can_be_decoded() {
    let deepest = "[".repeat(DEPTH_MAX) + &"]".repeat(DEPTH_MAX);
    let lines = read_by(&Reader::new(None, None, None), deepest.as_bytes()).unwrap();
    assert!(serde_json::from_str::<serde_json::Value>(&lines[0]).is_ok());
    let deeper = format!("[{deepest}]");
    assert_eq!(read_by(&Reader::new(None, None, None), deeper.as_bytes()), Err(Unreadable::TooDeep));
    assert!(serde_json::from_str::<serde_json::Value>(&deeper).is_err());
}

#[test]
fn items_are_limited() {
    let body = |items: u32| format!("[{}]", vec!["0"; items as usize].join(","));
    for items in ["$", "$[0:]"] {
        assert_eq!(read(items, &body(ITEMS_MAX)).unwrap().len(), ITEMS_MAX as usize);
        assert_eq!(read(items, &body(ITEMS_MAX + 1)), Err(Unreadable::TooManyItems));
    }
}

#[test]
fn items_and_values_may_stand_within_each_other() {
    let pages: Pages = serde_json::from_value(json!({
        "cursor": "after", "next": "$.data.after", "total": "$.data", "has_more": "$.data.children"
    }))
    .unwrap();
    let body = br#"{"kind":"Listing","data":{"after":"t3_x","children":[1,2]}}"#;
    let url = Url::parse("https://api.example/items").unwrap();
    for (items, count) in
        [(Some("$.data.children[*]"), 2), (Some("$.data"), 1), (Some("$.data[*]"), 2), (Some("$"), 1), (None, 1)]
    {
        let reader = Reader::new(items.map(path).as_ref(), None, Some(&pages));
        let facts = reader.read(&HeaderMap::new(), body, &url).unwrap().facts;
        assert_eq!(facts.items, count, "{items:?}");
        assert_eq!(facts.next, Some(Next::Cursor("t3_x".to_owned())), "{items:?}");
    }
}

#[test]
fn equal_items_have_equal_fingerprints_whatever_is_around_them() {
    let print = |body: &str| {
        let reader = Reader::new(Some(&path("$.items")), None, None);
        reader
            .read(&HeaderMap::new(), body.as_bytes(), &Url::parse("https://a.example").unwrap())
            .unwrap()
            .facts
            .fingerprint
    };
    assert_eq!(print(r#"{"items":[1,2],"at":5}"#), print(r#"{"at":6, "items": [1, 2]}"#));
    assert_ne!(print(r#"{"items":[1,2]}"#), print(r#"{"items":[12]}"#));
}

#[test]
fn an_items_key_is_its_text() {
    let table = [
        ("$.id", r#"{"id":"a\u0041"}"#, Some("aA")),
        ("$.id", r#"{"x":{"id":1},"id":12345678901234567890123}"#, Some("12345678901234567890123")),
        ("$.id", r#"{"id":true}"#, Some("true")),
        ("$.id", r#"{"id":{"$oid": "5"}}"#, Some(r#"{"$oid":"5"}"#)),
        ("$.id['$oid']", r#"{"id":{"$oid": "5"}}"#, Some("5")),
        ("$.ids[0]", r#"{"ids":[7,8]}"#, Some("7")),
        ("$", "\"x\"\n", Some("x")),
        ("$.id", r#"{"id":null}"#, None),
        ("$.id", r#"{"id":""}"#, None),
        ("$.id", "{}", None),
        ("$.id", "5", None),
        ("$.ids[*]", r#"{"ids":[7,8]}"#, None),
        ("$.id", r#"{"id":1"#, None),
    ];
    for (key, line, text) in table {
        let reader = Reader::new(None, Some(&path(key)), None);
        assert_eq!(reader.item_key(line.as_bytes()).as_deref(), text, "{key} {line}");
    }
    assert_eq!(Reader::new(None, None, None).item_key(b"{}"), None);
}

#[test]
fn pages_of_the_same_items_are_alike_by_their_keys_however_else_they_differ() {
    let pages: Pages = serde_json::from_value(json!({"cursor": "c", "next": "$.n", "total": "$.total"})).unwrap();
    let reader = Reader::new(Some(&path("$.items")), Some(&path("$.id")), Some(&pages));
    let url = Url::parse("https://api.example/items").unwrap();
    let print = |body: &str| reader.read(&HeaderMap::new(), body.as_bytes(), &url).unwrap().facts.fingerprint;
    let first = print(r#"{"items":[{"id":1,"seen":1},{"id":2,"seen":1}]}"#);
    assert_eq!(first, print(r#"{"items":[{"id":2,"seen":9},{"id":1,"seen":9}]}"#));
    assert_ne!(first, print(r#"{"items":[{"id":2,"seen":1}]}"#));
    assert_ne!(
        print(r#"{"items":[{"seen":1}]}"#),
        print(r#"{"items":[{"seen":2}]}"#),
        "an item without a key is known by all of it"
    );
    let told = |seen| print(&format!(r#"{{"items":[{{"id":1,"seen":{seen}}}],"total":1}}"#));
    assert_ne!(told(1), told(2), "keys cost work that a list with a total does not need");
}

#[test]
fn a_count_is_read_without_items_and_also_from_headers_alone() {
    let url = Url::parse("https://api.example/count").unwrap();
    let body = Reader::of_count(&serde_json::from_value(json!("$.meta.count")).unwrap());
    let page = body.read(&HeaderMap::new(), br#"{"meta":{"count":42},"items":[1]}"#, &url).unwrap();
    assert_eq!((page.facts.total, page.facts.items, page.lines), (Some(42), 0, vec![]));
    let header = Reader::of_count(&serde_json::from_value(json!({"header": "X-Total"})).unwrap());
    let headers = HeaderMap::from_iter([("x-total".parse().unwrap(), "7".parse().unwrap())]);
    assert_eq!(header.read(&headers, b"", &url).unwrap().facts.total, Some(7));
    for wrong in [&b"<html>"[..], b"{}", b"", br#"{"meta":{"count":"many"}}"#] {
        assert!(body.read(&HeaderMap::new(), wrong, &url).is_err(), "an error is never a count");
    }
}

#[test]
fn the_first_items_of_a_page_are_kept_and_the_rest_left_out() {
    let url = Url::parse("https://api.example/items").unwrap();
    for (kept, lines) in [(0, ""), (1, "1\n"), (3, "1\n2\n3\n"), (9, "1\n2\n3\n")] {
        let reader = Reader::new(Some(&path("$")), None, None);
        let mut page = reader.read(&HeaderMap::new(), b"[1,2,3]", &url).unwrap();
        page.keep(kept);
        assert_eq!((page.lines.as_slice(), page.facts.items), (lines.as_bytes(), kept.min(3)));
    }
}
