//! How long it takes to read a page of 100 items; run with `--release`.

use std::hint::black_box;
use std::time::Instant;

use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tidegate_answer::{Classifier, ErrorRule, JsonPath, Pages, Reader};
use url::Url;

fn main() {
    let item = |id: u64| {
        json!({"id": (109_302_436_954_721_990 + id).to_string(), "username": format!("user{id}"), "locked": false,
            "created_at": "2022-11-08T00:00:00.000Z", "followers_count": id * 37, "url": format!("https://social.example/@user{id}"),
            "note": "<p>Hello \u{e9}, this is a \"note\"</p>", "fields": [{"name": "Site", "value": "https://example.org", "verified_at": null}]})
    };
    let page = json!({"count": 12345, "next": "https://api.example/x?page=2", "results": (0..100).map(item).collect::<Vec<_>>()});
    let (compact, pretty) = (page.to_string(), serde_json::to_string_pretty(&page).unwrap_or_default());
    let pages: Pages = serde_json::from_value(json!({"next_url": "$.next", "total": "$.count"})).unwrap_or_default();
    let (headers, url) = (HeaderMap::new(), Url::parse("https://api.example/x"));
    let Ok(url) = url else { return };
    for (name, body) in [("compact", &compact), ("pretty", &pretty)] {
        for items in ["$.results", "$.results[*]", "$.results[0:]"] {
            let Ok(path) = JsonPath::parse(items) else { return };
            let reader = Reader::new(Some(&path), None, Some(&pages));
            time(&format!("read {name} {} B {items}", body.len()), || {
                reader.read(&headers, body.as_bytes(), &url).is_ok()
            });
        }
        time(&format!("decode {name} to Value"), || serde_json::from_str::<Value>(body).is_ok());
        time(&format!("skip {name}"), || serde_json::from_str::<serde::de::IgnoredAny>(body).is_ok());
    }
    let plain: Vec<ErrorRule> =
        serde_json::from_value(json!([{"status": 429, "class": "rate_limited"}])).unwrap_or_default();
    let by_body: Vec<ErrorRule> =
        serde_json::from_value(json!([{"json": {"$.ok": false}, "class": "invalid"}])).unwrap_or_default();
    for (name, rules) in [("by status", plain), ("by json", by_body)] {
        let classifier = Classifier::new(&rules, None);
        time(&format!("classify {name}"), || {
            classifier.classify(StatusCode::OK, &headers, compact.as_bytes()) == tidegate_answer::Verdict::Page
        });
    }
    if let (Ok(key), line) = (JsonPath::parse("$.id"), item(5).to_string()) {
        let reader = Reader::new(None, Some(&key), None);
        time("item key", || reader.item_key(line.as_bytes()).is_some());
    }
}

#[expect(clippy::print_stdout, reason = "it is what this example is for")]
fn time(name: &str, mut run: impl FnMut() -> bool) {
    let mut best = u128::MAX;
    for _ in 0..30 {
        let started = Instant::now();
        for _ in 0..100 {
            assert!(black_box(run()));
        }
        best = best.min(started.elapsed().as_nanos() / 100);
    }
    println!("{name}: {:.1} µs", best as f64 / 1000.0);
}
