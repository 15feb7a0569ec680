//! Logs, traces and metrics, as collectors receive them.

pub(crate) mod collector;

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use serde_json::Value;

use crate::hostile::{Hostile, Trick, page};
use crate::world::{OUT, World};
use collector::{Collector, Span};

const TOKEN: &str = "canary-58c1d0e4";
const PROVIDER: &str = "retry: { attempts: 2, base: 10ms }
auth: { bearer: '{{ credential.token }}' }
endpoints:
  items: { get: /items, items: '$.items[*]', key: $.id, pages: { cursor: after, next: $.next } }
  child: { get: '/items/{id}' }
";
/// Two pages of three items, and a call for each item: eight calls, one of which needs two requests and one of which
/// fails.
const JOB: &str = "credential: alice
steps:
  - { id: items, call: items }
  - { id: more, call: child, for_each: items, with: { id: '{{ item.id }}' }, on_failure: continue }
";
const CALLS: u64 = 8;
const REQUESTS: u64 = 9;

async fn third_party() -> Hostile {
    let broken = AtomicBool::new(false);
    Hostile::start(move |seen| match (seen.target.as_str(), seen.query("after")) {
        ("/items/1", _) => Trick::answer("403 Forbidden", "", r#"{"error":"not yours"}"#),
        ("/items/4", _) if !broken.swap(true, Relaxed) => Trick::Reset(Vec::new()),
        (target, _) if target.starts_with("/items/") => Trick::json(r#"{"id":0}"#),
        (_, None) => Trick::json(page(0, 3, r#","next":"b""#)),
        (_, Some(_)) => Trick::json(page(3, 6, "")),
    })
    .await
}

#[tokio::test]
async fn the_way_of_every_call_can_be_followed_by_links_from_submit_to_the_last_commit() {
    let (collector, hostile) = (Collector::start().await, third_party().await);
    let world = World::with(hostile.origin(), PROVIDER, JOB);
    let run = world.job_line(&[]).env("TIDEGATE_CREDENTIAL_ALICE", TOKEN);
    run.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()).run().await.expect(0);
    let spans = collector.spans();
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    assert_eq!((named("submit").len(), named("call").len() as u64), (1, CALLS));
    let by_id: HashMap<_, &Span> = spans.iter().map(|span| (span.id, span)).collect();
    let senders = |span: &Span| span.links.iter().filter_map(|id| by_id.get(id).copied()).collect::<Vec<_>>();
    // Backwards: each span names who sent what it works on.
    for call in named("call") {
        assert_eq!(call.links.len(), 1, "a call is one message: {call:?}");
        let way = way_to_submit(call, &senders);
        let way = way.unwrap_or_else(|| panic!("no way from {call:?} to submit among {spans:#?}"));
        assert!(
            [
                "call commit plan submit",
                "call commit plan call commit plan submit",
                "call commit plan call commit plan call commit plan submit"
            ]
            .contains(&way.as_str()),
            "{way}"
        );
    }
    // Forwards: what came of each call was planned, and the plan was committed.
    for call in named("call") {
        let plan = named("plan").into_iter().find(|plan| plan.links.contains(&call.id));
        let plan = plan.unwrap_or_else(|| panic!("nobody planned what came of {call:?}"));
        assert!(named("commit").iter().any(|commit| commit.links.contains(&plan.id)), "nobody committed {plan:?}");
    }
    assert!(collector.posts("/v1/traces").iter().all(|post| post.has("tidegate")), "the service has a name");
    world.finish().await;
}

/// Names of the spans on the shortest way to `submit`.
fn way_to_submit<'a>(from: &'a Span, senders: &impl Fn(&Span) -> Vec<&'a Span>) -> Option<String> {
    let mut ways = VecDeque::from([(from, from.name.clone())]);
    let mut been = HashSet::new();
    while let Some((span, way)) = ways.pop_front() {
        if span.name == "submit" {
            return Some(way);
        }
        for sender in senders(span) {
            if been.insert(sender.id) {
                ways.push_back((sender, format!("{way} {}", sender.name)));
            }
        }
    }
    None
}

#[tokio::test]
async fn metrics_count_what_was_done() {
    let (collector, hostile) = (Collector::start().await, third_party().await);
    let world = World::with(hostile.origin(), PROVIDER, JOB);
    let run = world.job_line(&[]).env("TIDEGATE_CREDENTIAL_ALICE", TOKEN);
    let finished = run.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()).run().await.expect(0);
    assert_eq!((finished.number("/calls_planned"), finished.number("/run/requests")), (CALLS, REQUESTS));
    assert_eq!(hostile.seen().len() as u64, REQUESTS);
    let counted = collector.metrics();
    let count = |name: &str| counted.get(name).copied().unwrap_or_else(|| panic!("no {name} in {counted:?}"));
    for (name, expected) in [
        ("tidegate.job.submitted", 1),
        ("tidegate.job.duration", 1),
        ("tidegate.call.duration", REQUESTS),
        ("tidegate.call.ended", CALLS),
        ("tidegate.call.released", CALLS),
        ("tidegate.permit.granted", REQUESTS),
        ("tidegate.plan.made", CALLS + 1),
        ("tidegate.plan.fetches", 1 + 6),
    ] {
        assert_eq!(count(name), expected, "{name}");
    }
    assert!((2..=CALLS + 1).contains(&count("tidegate.commit.duration")), "{counted:?}");
    // Everything that is measured is on the page of metrics, with that unit and those labels.
    let described = collector.described();
    assert!(described.len() >= 15, "{described:?}");
    for (name, label) in [("tidegate.queue.ready", "queue"), ("tidegate.queue.parked", "level")] {
        assert!(described.get(name).is_some_and(|(_, labels)| labels.contains(label)), "{name}: {described:?}");
    }
    for (name, (unit, labels)) in described {
        let known = tidegate_metrics::ALL.iter().find(|metric| metric.name == name);
        let known = known.unwrap_or_else(|| panic!("{name} is on no page"));
        assert_eq!(unit, known.unit, "{name}");
        assert!(labels.iter().all(|label| known.labels.contains(&label.as_str())), "{name}: {labels:?}");
    }
    // Labels are few: no id, address or parameter is one.
    for post in collector.posts("/v1/metrics") {
        for text in ["job_", "call_", "fetch_", "127.0.0.1", "/items"] {
            assert!(!post.has(text), "{text} is a label");
        }
    }
    world.finish().await;
}

#[tokio::test]
async fn log_lines_say_which_call_they_are_about_and_in_which_trace() {
    let (collector, hostile) = (Collector::start().await, third_party().await);
    let world = World::with(hostile.origin(), PROVIDER, JOB);
    let run = world.job_line(&["--log", "debug", "--log-format", "json"]).env("TIDEGATE_CREDENTIAL_ALICE", TOKEN);
    let finished = run.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()).run().await.expect(0);
    let lines: Vec<Value> = finished
        .stderr
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in the line {line}")))
        .collect();
    let of = |message: &str| lines.iter().filter(|line| line["message"] == message).collect::<Vec<_>>();
    let called = of("called");
    assert_eq!(called.len() as u64, REQUESTS);
    let spans = collector.spans();
    for line in called.iter().copied().chain(of("trying again")) {
        assert!(line["job.id"].as_str().is_some_and(|id| id.starts_with("job_")), "{line}");
        assert!(line["call.id"].as_str().is_some_and(|id| id.starts_with("call_")), "{line}");
        assert_eq!((&line["provider"], &line["lane"]), (&"sim".into(), &"normal".into()), "{line}");
        assert!(line["timestamp"].is_string() && line["level"].is_string() && line["target"].is_string(), "{line}");
        // The span that the line names is one that the collector knows.
        let id = |field: &str| line[field].as_str().unwrap_or_else(|| panic!("no {field} in {line}")).to_owned();
        let span = spans.iter().find(|span| span.trace == id("trace_id") && span.id.to_string() == id("span_id"));
        assert!(span.is_some_and(|span| span.name == "call"), "{line}");
    }
    let tries = of("trying again");
    assert_eq!(tries.len(), 1);
    assert_eq!((&tries[0]["class"], &tries[0]["attempt"]), (&"transient".into(), &1.into()), "{}", tries[0]);
    let submitted = of("job submitted");
    assert_eq!(submitted.len(), 1);
    assert!(submitted[0]["trace_id"].is_string() && submitted[0]["job.id"].is_string(), "{}", submitted[0]);
    world.finish().await;
}

/// Not in traces, metrics, logs, output or files; the third party alone gets it.
#[tokio::test]
async fn the_token_is_in_no_signal() {
    let (collector, hostile) = (Collector::start().await, third_party().await);
    for provider in [
        PROVIDER.to_owned(),
        PROVIDER.replace(
            "auth: { bearer: '{{ credential.token }}' }",
            "auth: { query: { name: key, value: '{{ credential.token }}' } }",
        ),
    ] {
        let world = World::with(hostile.origin(), &provider, JOB);
        let run = world.job_line(&["--log", "debug", "--log-format", "json"]).env("TIDEGATE_CREDENTIAL_ALICE", TOKEN);
        let finished = run.env("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url()).run().await;
        assert!(hostile.seen().iter().any(|seen| seen.head.contains(TOKEN)), "the third party got it");
        assert!(!finished.stderr.contains(TOKEN) && !finished.stdout.contains(TOKEN), "the token is shown");
        for file in world.files("") {
            let bytes = std::fs::read(&file).expect("a file of the test's own");
            assert!(
                !bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes()),
                "it stands in {}",
                file.display()
            );
        }
        world.finish().await;
    }
    assert!(!collector.posts("/v1/traces").is_empty() && !collector.posts("/v1/metrics").is_empty());
    assert!(!collector.all().iter().any(|post| post.has(TOKEN)), "the collector got the token");
}

#[tokio::test]
async fn without_the_variable_nothing_is_sent_and_no_trace_is_named() {
    // Where exporters go that nobody tells; another collector may sit there, which is no matter.
    let (collector, hostile) = (Collector::start_at("127.0.0.1:4318").await, third_party().await);
    let world = World::with(hostile.origin(), PROVIDER, JOB);
    let run = world.job_line(&["--log", "debug", "--log-format", "json"]).env("TIDEGATE_CREDENTIAL_ALICE", TOKEN);
    let finished = run.env("OTEL_SERVICE_NAME", "named").run().await.expect(0);
    assert!(finished.stderr.contains("\"message\":\"called\""), "{}", finished.stderr);
    assert!(!finished.stderr.contains("trace_id"), "{}", finished.stderr);
    assert!(collector.is_none_or(|collector| collector.all().is_empty()));
    world.finish().await;
}

/// A collector that is away, or takes what it gets and never answers, costs a few seconds at the end and nothing else.
#[tokio::test]
async fn a_collector_that_is_not_well_does_not_harm_the_job() {
    let silent = Hostile::start(|_| Trick::Silence).await;
    let broken = Hostile::start(|_| Trick::answer("500 Internal Server Error", "", "")).await;
    let mut ending = tokio::task::JoinSet::new();
    for endpoint in ["http://127.0.0.1:9", silent.origin(), broken.origin()].map(str::to_owned) {
        ending.spawn(async move {
            let hostile = third_party().await;
            let world = World::with(hostile.origin(), PROVIDER, JOB);
            let run = world.job_line(&[]).env("TIDEGATE_CREDENTIAL_ALICE", TOKEN);
            let finished = run.env("OTEL_EXPORTER_OTLP_ENDPOINT", &endpoint).run().await.expect(0);
            assert!(finished.took < Duration::from_secs(9), "{endpoint}: {:?}", finished.took);
            assert_eq!(world.items(OUT).len(), 6 + 5, "{endpoint}");
            let said = &finished.stderr;
            assert!(said.contains("WARN") || said.contains("ERROR"), "{endpoint}: nobody is told: {said}");
            world.finish().await;
        });
    }
    while let Some(ended) = ending.join_next().await {
        ended.expect("no case fails");
    }
}
