//! What third parties say of themselves that is not so: totals, and times to come back.

use std::time::Duration;

use crate::hostile::{Hostile, Trick, page};
use crate::world::{OUT, World};

/// Pages of ten by offset, forty at most.
const OFFSET: &str = "retry: { attempts: 2, base: 10ms }
endpoints:
  items:
    get: /items
    items: '$.items[*]'
    key: $.id
    pages: { offset: o, size: { param: limit, max: 10 }, total: $.total, max_pages: 40 }
";
const JOB: &str = "steps: [ { id: items, call: items } ]\n";
/// Items that there really are.
const ITEMS: u64 = 35;

/// The list comes whole whatever is told of its size, in a bounded number of calls.
#[tokio::test]
async fn a_total_that_lies_costs_calls_but_never_items() {
    let mut pulling = tokio::task::JoinSet::new();
    for (told, calls, guarded) in [
        // As without a total: until a blank page.
        ("null", 5, false),
        ("-1", 5, false),
        ("\"many\"", 5, false),
        ("3.5", 5, false),
        ("[35]", 5, false),
        ("1e300", 5, false),
        // The first page alone has more.
        ("0", 5, false),
        ("3", 5, false),
        // Its last page is full, and should not be.
        ("13", 5, false),
        ("29", 5, false),
        // The truth, as a text.
        ("\"35\"", 4, false),
        ("39", 4, false),
        // Too large: all pages that the provider file allows, and the report says so.
        ("100", 10, false),
        ("1000", 40, true),
        ("1000000000000000000", 40, true),
        ("18446744073709551615", 40, true),
    ] {
        pulling.spawn(async move {
            let hostile = Hostile::start(move |seen| {
                let from = seen.number("o").min(ITEMS);
                let until = (from + seen.number("limit")).min(ITEMS);
                Trick::json(page(from, until, &format!(r#","total":{told}"#)))
            })
            .await;
            let world = World::with(hostile.origin(), OFFSET, JOB);
            let finished = world.job(&[]).await.expect(0);
            assert_eq!((world.ids(OUT).len() as u64, finished.number("/items")), (ITEMS, ITEMS), "total {told}");
            assert_eq!(hostile.seen().len(), calls, "total {told}");
            let guards = &finished.json()["steps"][0]["guards"];
            assert_eq!(guards.as_array().is_some_and(|guards| !guards.is_empty()), guarded, "total {told}: {guards}");
            world.finish().await;
        });
    }
    while let Some(ended) = pulling.join_next().await {
        ended.expect("no case fails");
    }
}

/// What was told is obeyed if it makes sense, and stands for a back-off of a second if it does not.
#[tokio::test]
async fn a_refusal_that_names_a_strange_time_is_waited_for_within_bounds() {
    let mut waiting = tokio::task::JoinSet::new();
    for (status, header, least_ms, most_ms) in [
        ("429 Too Many Requests", String::new(), 900, 5_000),
        ("429 Too Many Requests", "retry-after: Thu, 01 Jan 1970 00:00:00 GMT\r\n".to_owned(), 900, 5_000),
        ("429 Too Many Requests", "retry-after: 1000000000\r\n".to_owned(), 900, 5_000),
        ("429 Too Many Requests", "retry-after: -5\r\n".to_owned(), 900, 5_000),
        ("429 Too Many Requests", "retry-after: soon\r\n".to_owned(), 900, 5_000),
        ("429 Too Many Requests", "retry-after: \u{7f}\r\n".to_owned(), 0, 5_000),
        ("429 Too Many Requests", "retry-after: 99999999999999999999999999\r\n".to_owned(), 900, 5_000),
        ("429 Too Many Requests", "retry-after: 1.5\r\n".to_owned(), 1_500, 6_000),
        ("429 Too Many Requests", "retry-after: 3\r\n".to_owned(), 3_000, 8_000),
        ("429 Too Many Requests", "retry-after: IN-THREE-SECONDS\r\n".to_owned(), 2_000, 8_000),
        ("503 Service Unavailable", "retry-after: 1000000000\r\n".to_owned(), 0, 5_000),
        ("503 Service Unavailable", "retry-after: 2\r\n".to_owned(), 2_000, 7_000),
    ] {
        waiting.spawn(async move {
            let refusal = header.clone();
            let hostile = Hostile::start(move |seen| match seen.nth {
                0 => {
                    let refusal = refusal.replace("IN-THREE-SECONDS", &in_three_seconds());
                    Trick::answer(status, &refusal, r#"{"error":"slow down"}"#)
                }
                _ => Trick::json(page(0, 5, "")),
            })
            .await;
            let world = World::with(hostile.origin(), OFFSET, JOB);
            let finished = world.job(&[]).await;
            let what = format!("{status} {header:?}");
            assert_eq!(finished.code, Some(0), "{what}: {}{}", finished.stdout, finished.stderr);
            assert_eq!(world.ids(OUT).len(), 5, "{what}");
            let seen = hostile.seen();
            let paused = seen[1].at - seen[0].at;
            let (least, most) = (Duration::from_millis(least_ms), Duration::from_millis(most_ms));
            assert!((least..most).contains(&paused), "{what}: {paused:?}");
            world.finish().await;
        });
    }
    while let Some(ended) = waiting.join_next().await {
        ended.expect("no case fails");
    }
}

/// As a date of whole seconds: up to one second less.
#[expect(clippy::disallowed_methods, reason = "a date in a header is one of the real clock")]
fn in_three_seconds() -> String {
    httpdate::fmt_http_date(std::time::SystemTime::now() + Duration::from_secs(3))
}
