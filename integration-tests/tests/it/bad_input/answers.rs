//! Answers that are none: an error is never a blank page. What came before them is kept, what is wrong is said, and a job
//! that may not be whole never looks as if it were.

use std::io::Write as _;
use std::time::Duration;

use crate::hostile::{Hostile, Seen, Trick, head, page};
use crate::world::{OUT, STATE, World};

/// A list by cursor, with little patience.
const CHAIN: &str = "retry: { attempts: 2, base: 10ms }
timeouts: { connect: 1s, first_byte: 500ms, idle: 500ms, total: 1500ms }
endpoints:
  items:
    get: /items
    items: '$.items[*]'
    key: $.id
    pages: { cursor: after, next: $.next }
";
const JOB: &str = "steps: [ { id: items, call: items } ]\n";
/// Items on the good first page.
const FIRST: u64 = 3;

/// A list whose second page is a trick.
async fn list_with(trick: impl Fn(&Seen) -> Trick + Send + Sync + 'static) -> Hostile {
    Hostile::start(move |seen| match seen.query("after") {
        None => Trick::json(page(0, FIRST, r#","next":"b""#)),
        Some(_) => trick(seen),
    })
    .await
}

/// Pulls a list whose second page is a trick: the job fails with a class and a message, after so many requests for that
/// page, and the first page is kept.
async fn check(
    what: &str,
    trick: impl Fn(&Seen) -> Trick + Send + Sync + 'static,
    (class, says, tries): (&str, &str, usize),
) {
    let hostile = list_with(trick).await;
    let world = World::with(hostile.origin(), CHAIN, JOB);
    let finished = world.job(&[]).await;
    assert_eq!(finished.code, Some(1), "{what}: {}{}", finished.stdout, finished.stderr);
    let report = finished.json();
    let failure = &report["failures"][0];
    let message = failure["message"].as_str().unwrap_or_default();
    assert_eq!(failure["class"], class, "{what}: {failure}");
    assert!(message.contains(says), "{what}: {message}");
    assert_eq!((finished.number("/calls_succeeded"), finished.number("/calls_failed")), (1, 1), "{what}");
    assert_eq!(hostile.seen().len(), 1 + tries, "{what}");
    assert_eq!(world.ids(OUT).len() as u64, FIRST, "{what}");
    let kept = world.run(&["items", STATE]).await.expect(0);
    assert_eq!(kept.stdout, world.read(OUT), "{what}");
    world.finish().await;
}

#[tokio::test]
async fn a_body_that_is_no_page_is_tried_again_and_then_fails() {
    let html =
        |_: &Seen| Trick::answer("200 OK", "content-type: text/html\r\n", "<!DOCTYPE html><title>Log in</title>");
    check("HTML", html, ("suspect", "the body is an HTML page, JSON was expected", 2)).await;
    for (what, body, says) in [
        ("nothing", "", "the body is empty"),
        ("white space", " \r\n\t", "the body is empty"),
        ("an error", r#"{"error":{"message":"Try later"}}"#, "no `$.items[*]`, where the items should be"),
        (
            "an error beside no items",
            r#"{"items":null,"error":"x"}"#,
            "there are no items, and an error beside them: x",
        ),
        ("half a page", r#"{"items":[{"id":4},{"id""#, "the body breaks off after 24 bytes"),
        ("NaN", r#"{"items":[{"id":NaN}]}"#, "the body is not JSON: expected value at line 1, column 17"),
        ("two texts", r#"{"items":[]}{"items":[]}"#, "the body is not JSON: trailing characters"),
        ("XML", "<?xml version='1.0'?><items/>", "the body is XML"),
        ("a cursor that is a list", r#"{"items":[{"id":4}],"next":[1]}"#, "`$.next` is a list or an object"),
    ] {
        check(what, move |_| Trick::json(body), ("suspect", says, 2)).await;
    }
    let bytes = b"{\"items\":[{\"id\":\"\xff\xfe\"}]}";
    check("bytes that are no UTF-8", move |_| Trick::json(bytes), ("suspect", "not UTF-8: the byte at 17", 2)).await;
}

#[tokio::test]
async fn a_connection_that_dies_is_tried_again_and_then_fails() {
    let cut = || [head("200 OK", "", Some(1_000)), page(4, 9, "")].concat().into_bytes();
    let broke = "the connection broke before the answer was complete";
    check("a reset in mid-body", move |_| Trick::Reset(cut()), ("transient", broke, 2)).await;
    check("an end in mid-body", move |_| Trick::Say(cut()), ("transient", broke, 2)).await;
    check("a reset at once", |_| Trick::Reset(Vec::new()), ("transient", broke, 2)).await;
    check("no HTTP", |_| Trick::Say(b"SSH-2.0-OpenSSH_9.2\r\n".into()), ("transient", broke, 2)).await;
    let silence = |_: &Seen| Trick::Silence;
    check("no answer", silence, ("timeout", "no answer within 500 ms", 2)).await;
    let drip = |_: &Seen| Trick::Drip {
        bytes: [head("200 OK", "", None), page(4, 200, "")].concat().into_bytes(),
        pause: Duration::from_millis(20),
    };
    check("a byte now and then", drip, ("timeout", "no answer within 500 ms", 2)).await;
    let slow_body = |_: &Seen| Trick::Repeat { head: head("200 OK", "", Some(10)), piece: Vec::new(), times: 0 };
    check("a body that ends early", slow_body, ("transient", broke, 2)).await;
}

/// Each piece comes in time; only the whole takes too long.
#[tokio::test]
async fn a_body_that_drips_meets_the_deadline_of_the_whole() {
    let hostile = list_with(|seen| {
        let body = page(4, 200, "");
        match seen.nth {
            // The head within half a second, the body within ten.
            1 => Trick::Drip {
                bytes: [head("200 OK", "", None), body].concat().into_bytes(),
                pause: Duration::from_millis(5),
            },
            _ => Trick::json(body),
        }
    })
    .await;
    let world = World::with(hostile.origin(), CHAIN, JOB);
    let finished = world.job(&["--log", "info"]).await.expect(0);
    assert!(finished.stderr.contains("the call did not end within 1500 ms"), "{}", finished.stderr);
    assert_eq!(world.ids(OUT).len(), 199);
    world.finish().await;
}

#[tokio::test]
async fn an_answer_beyond_its_limits_fails_at_once_and_fills_no_memory() {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    for _ in 0..64 {
        packed.write_all(&vec![b' '; 1 << 20]).expect("memory");
    }
    let bomb = packed.finish().expect("memory");
    let gzip = "content-type: application/json\r\ncontent-encoding: gzip\r\n";
    let unpacked = move |_: &Seen| Trick::answer("200 OK", gzip, &bomb);
    check("a gzip bomb", unpacked, ("too_large", "it grows more than 100-fold when decoded", 1)).await;
    let deep = [r#"{"items":"#, &"[".repeat(100_000), &"]".repeat(100_000), "}"].concat();
    check("deep nesting", move |_| Trick::json(&deep), ("too_large", "nests deeper than", 1)).await;
    let cursor = "c".repeat(10_000);
    let long = move |_: &Seen| Trick::json(page(4, 5, &format!(r#","next":"{cursor}""#)));
    check("an endless cursor", long, ("too_large", "longer than 8192 bytes", 1)).await;
}

/// 2 GiB that are announced, and 2 GiB that are not: neither is taken in.
#[tokio::test]
async fn a_body_of_two_gigabytes_is_cut_off_and_memory_stays_flat() {
    for announced in [None, Some(2 << 30)] {
        let hostile = list_with(move |_| Trick::Repeat {
            head: head("200 OK", "content-type: application/json\r\n", announced),
            piece: vec![b' '; 1 << 20],
            times: 2 << 10,
        })
        .await;
        let world = World::with(hostile.origin(), CHAIN, JOB);
        world.provider(hostile.origin(), &CHAIN.replace("total: 1500ms", "total: 60s"));
        let mut running = world.job_line(&[]).spawn();
        let peak = running.peak_memory().await;
        let finished = running.wait().await.expect(1);
        let message = finished.json()["failures"].to_string();
        assert!(message.contains("more than 52428800 bytes on the wire"), "{message}");
        assert!(peak < 200 << 20, "{} MiB at {announced:?}", peak >> 20);
        assert!(hostile.sent_bytes() < 80 << 20, "{} MiB went out", hostile.sent_bytes() >> 20);
        assert_eq!(hostile.seen().len(), 2);
        world.finish().await;
    }
}

/// Where the program can know that it was led round in circles, it says so.
#[tokio::test]
async fn a_cursor_that_repeats_ends_the_list_and_is_reported() {
    for (what, next, calls, guard) in [
        // Page 0 to 4, then 2 again, which was asked for before.
        (
            "back into the list",
            Box::new(|n: u64| if n == 4 { 2 } else { n + 1 }) as Box<dyn Fn(u64) -> u64 + Send + Sync>,
            5,
            "repeated_pointer",
        ),
        ("to itself", Box::new(|n: u64| n.max(1)), 2, "repeated_pointer"),
    ] {
        let hostile = Hostile::start(move |seen| {
            let n = seen.number("after");
            Trick::json(page(n * 10, n * 10 + 10, &format!(r#","next":{}"#, next(n))))
        })
        .await;
        let world = World::with(hostile.origin(), CHAIN, JOB);
        let finished = world.job(&[]).await.expect(0);
        assert_eq!(finished.number("/items"), calls * 10, "{what}");
        assert_eq!(hostile.seen().len() as u64, calls, "{what}");
        assert_eq!(finished.json()["steps"][0]["guards"][0][0], guard, "{what}");
        world.finish().await;
    }
    // New cursors for ever, all for one page.
    let hostile = Hostile::start(|seen| Trick::json(page(0, 10, &format!(r#","next":{}"#, seen.nth + 1)))).await;
    let world = World::with(hostile.origin(), CHAIN, JOB);
    let finished = world.job(&[]).await.expect(0);
    assert_eq!((hostile.seen().len(), world.ids(OUT).len()), (2, 10));
    assert_eq!(finished.json()["steps"][0]["guards"][0][0], "repeated_page");
    world.finish().await;
}

/// Texts of any length and kind that an answer may hold go into the ledger, or fail their call: never the program.
#[tokio::test]
async fn strange_texts_in_answers_never_stop_the_program() {
    // In JSON, each of these takes six characters.
    let control = r"\u0001".repeat(8_000);
    let hostile = Hostile::start(move |seen| match seen.query("after") {
        None => Trick::json(page(0, 3, &format!(r#","next":"{control}""#))),
        Some(_) => Trick::json(page(3, 5, "")),
    })
    .await;
    let world = World::with(hostile.origin(), CHAIN, JOB);
    let finished = world.job(&[]).await;
    assert_eq!(finished.code, Some(0), "{}", finished.stderr);
    assert_eq!(world.ids(OUT).len(), 5);
    world.finish().await;

    for (what, text) in [("long", "x".repeat(20_000)), ("control characters", r"\u0000\u0001".repeat(2_000))] {
        let item = format!(r#"{{"items":[{{"id":0,"text":"{text}"}},{{"id":1,"text":"ok"}}]}}"#);
        let hostile = Hostile::start(move |seen| match seen.query("q") {
            None => Trick::json(&item),
            Some(_) => Trick::json(page(3, 5, "")),
        })
        .await;
        let provider = "endpoints: { items: { get: /items, items: '$.items[*]', params: [q] } }\n";
        let job = "steps:\n  - { id: items, call: items }\n  - { id: more, call: items, for_each: items, with: { q: \
                   '{{ item.text }}' } }\n";
        let world = World::with(hostile.origin(), provider, job);
        let finished = world.job(&[]).await;
        assert!(matches!(finished.code, Some(0 | 1)), "{what}: {:?} {}", finished.code, finished.stderr);
        assert_eq!(finished.number("/calls_succeeded") + finished.number("/calls_failed"), 3, "{what}");
        world.finish().await;
    }

    let message = format!(r#"{{"error":"{}"}}"#, r"\u0000 \n\t\u202e\ud83d\ude00'; DROP TABLE jobs; --".repeat(400));
    let says = "DROP TABLE";
    check("a long message", move |_| Trick::answer("400 Bad Request", "", &message), ("invalid", says, 1)).await;
}
