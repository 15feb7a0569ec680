//! The messages as they travel: golden files are added, never edited. Topology and its page are the same.

use std::path::Path;

use tidegate_contracts::topology::{EXCHANGES, PLAN_PARTITIONS, QUEUES, Queue};
use tidegate_contracts::*;

fn job() -> JobId {
    JobId::from_slice(&[1; 16]).expect("16 bytes")
}

fn call() -> Call {
    let params: Params = [("id", 109)].into_iter().collect();
    let pointer = PagePointer::Offset { offset: 100, size: 100 };
    Call { ordinal: 1, provider: "mastodon".into(), ..Call::root(job(), "statuses", params, pointer) }
}

/// A page that knows all that one can know of others.
fn along() -> PagePointer {
    let part_of = Some(Box::new(PagePointer::Offset { offset: 100, size: 100 }));
    let trail =
        Trail { size: Some(50), before: 7, calm: 1, patience: 16, tiny: 2, total: Some(250), last: true, part_of };
    PagePointer::Cursor { cursor: "abc".into() }.along(trail).within(-5, 60, 9)
}

fn sliced() -> NewPages {
    let within = NewPages::Numbers { from: 2, until: 5, size: 100, ordinal: 1 };
    NewPages::Sliced { from: -5, until: 60, budget: 9, within: Box::new(within) }
}

fn failure() -> Failure {
    Failure { class: Class::Invalid, status: Some(422), message: "limit must be at most 40".into() }
}

fn messages() -> Vec<(&'static str, Message)> {
    let facts = PageFacts {
        items: 100,
        total: Some(250),
        next: Some(Next::Cursor("abc".into())),
        has_more: Some(true),
        fingerprint: Fingerprint(42),
        ..PageFacts::default()
    };
    let wait = Wait { until_ms: 1_800_000_000_000, reason: WaitReason::Limit("token".into()) };
    let reason =
        WaitReason::Paused { limit: "token".into(), reason: "maintenance".into(), until_ms: Some(1_800_000_060_000) };
    let paused = Wait { until_ms: 1_800_000_000_000, reason };
    let down =
        Wait { until_ms: 1_800_000_000_000, reason: WaitReason::Down { since_ms: 1_799_999_000_000, cause: None } };
    let cause = Some("status 503: maintenance".to_owned());
    let down_for_a_cause = Wait { reason: WaitReason::Down { since_ms: 1_799_999_000_000, cause }, ..down.clone() };
    let ended = |end| {
        let call = call();
        Some(CallEnd { fetch: call.fetch, call: call.call, attempt: 0, requests: 1, end })
    };
    let plan = |ended, fail_job| Plan {
        job: job(),
        ended,
        pages: vec![
            NewPages::Offsets { from: 200, until: 250, size: 100, ordinal: 2 },
            NewPages::One { pointer: PagePointer::Cursor { cursor: "abc".into() }, ordinal: 2 },
        ],
        fetches: vec![NewFetch {
            fetch: call().fetch,
            parent: None,
            step: "statuses".into(),
            params: call().params,
            pages: vec![NewPages::One { pointer: PagePointer::First, ordinal: 0 }],
            failure: None,
            tolerated: false,
            after: Vec::new(),
            mark: None,
        }],
        fetch_end: Some(FetchEnd::PageCap),
        total: Some(250),
        fail_job,
        left_out: std::collections::BTreeMap::new(),
    };
    let waiting = NewFetch {
        fetch: FetchId::derive(job(), None, "digest", &Params::default()),
        parent: None,
        step: "digest".into(),
        params: Params::default(),
        pages: vec![NewPages::One { pointer: PagePointer::First, ordinal: 0 }],
        failure: None,
        tolerated: false,
        after: vec![call().fetch],
        mark: None,
    };
    let marked = NewFetch { mark: Some(MarkId::derive("statuses of 109")), ..waiting.clone() };
    let since = Mark::read("\"109\"", None).ok();
    let seen = PageFacts { items: 2, seen: 3, ends_seen: true, ..PageFacts::default() };
    let left_out = [("likes".to_owned(), 3)].into_iter().collect();
    vec![
        ("job_submitted", Message::JobSubmitted(JobSubmitted { job: job() })),
        ("call", Message::Call(call())),
        (
            "call_again",
            Message::Call(Call { again: true, attempt: 2, requests: 3, failing_since_ms: Some(1), ..call() }),
        ),
        ("call_along", Message::Call(Call { pointer: along(), ..call() })),
        ("call_since", Message::Call(Call { since, ..call() })),
        ("call_waited", Message::Call(Call { waited_for: Some("token".into()), ..call() })),
        ("plan_marked", Message::Plan(Plan { fetches: vec![marked], ..Plan::nothing(job()) })),
        ("outcome_seen", Message::Outcome(Outcome::Page { call: call(), facts: seen })),
        ("plan_seen", Message::Plan(Plan { fetch_end: Some(FetchEnd::Seen), ..Plan::nothing(job()) })),
        ("plan_sliced", Message::Plan(Plan { pages: vec![sliced()], ..Plan::nothing(job()) })),
        ("outcome_page", Message::Outcome(Outcome::Page { call: call(), facts })),
        ("outcome_failed", Message::Outcome(Outcome::Failed { call: call(), failure: failure() })),
        ("outcome_deferred", Message::Outcome(Outcome::Deferred { call: call(), wait: wait.clone() })),
        ("outcome_paused", Message::Outcome(Outcome::Deferred { call: call(), wait: paused })),
        ("outcome_down", Message::Outcome(Outcome::Deferred { call: call(), wait: down })),
        ("outcome_down_for_a_cause", Message::Outcome(Outcome::Deferred { call: call(), wait: down_for_a_cause })),
        ("outcome_cancelled", Message::Outcome(Outcome::Cancelled { call: call() })),
        ("plan_succeeded", Message::Plan(plan(ended(End::Succeeded { items: 100 }), None))),
        (
            "plan_failed",
            Message::Plan(plan(ended(End::Failed { failure: failure(), tolerated: false }), Some("no".into()))),
        ),
        ("plan_skipped", Message::Plan(plan(ended(End::Skipped { failure: failure() }), None))),
        ("plan_deferred", Message::Plan(plan(ended(End::Deferred { wait: wait.clone() }), None))),
        ("plan_cancelled", Message::Plan(plan(ended(End::Cancelled), None))),
        ("outcome_returned", Message::Outcome(Outcome::Returned { call: call() })),
        ("plan_returned", Message::Plan(plan(ended(End::Returned), None))),
        ("event_paused", Message::Event(Event::JobPaused { job: job() })),
        ("event_resumed", Message::Event(Event::JobResumed { job: job() })),
        ("plan_first", Message::Plan(plan(None, None))),
        ("plan_after", Message::Plan(Plan { fetches: vec![waiting], left_out, ..Plan::nothing(job()) })),
        ("event_waiting", Message::Event(Event::CallWaiting { job: job(), wait })),
        ("event_progressed", Message::Event(Event::JobProgressed { job: job() })),
        ("event_stopped", Message::Event(Event::JobStopped { job: job() })),
        ("event_finished", Message::Event(Event::JobFinished { job: job() })),
    ]
}

/// Sets the golden file when there is none, so that a new message brings its own; an existing one is never touched.
#[test]
fn every_message_reads_and_writes_its_golden_file() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    for (name, message) in messages() {
        let mut envelope = Envelope::new(
            message,
            1_700_000_000_000,
            Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into()),
        );
        envelope.id = "01938f2a-0000-7000-8000-000000000000".parse().expect("a UUID");
        let path = folder.join(format!("v1.{name}.json"));
        if !path.exists() && std::env::var_os("TIDEGATE_NEW_GOLDEN").is_some() {
            let text = serde_json::to_string_pretty(&envelope).expect("JSON");
            std::fs::write(&path, text + "\n").expect("written");
        }
        let golden = std::fs::read(&path).unwrap_or_else(|_| panic!("{} is missing", path.display()));
        assert_eq!(Envelope::decode(&golden).expect("reads"), envelope, "{name}");
        let written: serde_json::Value = serde_json::from_slice(&envelope.encode().expect("writes")).expect("JSON");
        let golden: serde_json::Value = serde_json::from_slice(&golden).expect("JSON");
        assert_eq!(written, golden, "{name}");
    }
}

#[test]
fn a_message_of_a_newer_version_is_refused_before_it_is_read() {
    let newer = br#"{"version": 2, "kind": "something_new", "body": 7}"#;
    assert!(matches!(Envelope::decode(newer), Err(MessageError::Newer(2, 1))));
    for bytes in [&b"not json"[..], b"{}", b"{\"version\":1}", b"[]", b"\xff\xfe"] {
        assert!(matches!(Envelope::decode(bytes), Err(MessageError::Malformed(_))));
    }
}

#[test]
fn a_batch_reads_and_writes_its_golden_file_and_one_bad_message_does_not_spoil_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden");
    let single = std::fs::read(folder.join("v1.outcome_page.json")).expect("golden");
    let single: serde_json::Value = serde_json::from_slice(&single).expect("JSON");
    let single = serde_json::to_vec(&single).expect("JSON");
    let bytes = Batch::encode([&single[..], br#"{"version":9}"#, &single[..]]);
    let path = folder.join("v1.batch.json");
    if !path.exists() && std::env::var_os("TIDEGATE_NEW_GOLDEN").is_some() {
        std::fs::write(&path, &bytes).expect("written");
    }
    let golden = std::fs::read(&path).expect("v1.batch.json");
    assert_eq!(String::from_utf8_lossy(&bytes), String::from_utf8_lossy(&golden));
    let batch = Batch::decode(&golden).expect("reads");
    let read: Vec<_> = batch.messages.iter().map(|raw| Envelope::decode(raw.get().as_bytes())).collect();
    assert!(matches!(read[..], [Ok(_), Err(MessageError::Newer(9, 1)), Ok(_)]), "{read:?}");
    assert!(matches!(Batch::decode(br#"{"version":2,"parts":7}"#), Err(MessageError::Newer(2, 1))));
    assert!(matches!(Batch::decode(br#"{"version":1}"#), Err(MessageError::Malformed(_))));
}

#[test]
fn a_queue_is_read_back_from_its_name() {
    let calls = |provider: &str| Queue::Calls { provider: provider.into(), lane: Lane::Bulk };
    for queue in [Queue::Outcomes, Queue::Plans(7), calls("mastodon"), calls("a.b"), Queue::Events, Queue::Dead] {
        assert_eq!(Queue::from_name(&queue.to_string()), Some(queue));
    }
    for name in ["", "tidegate.plans.1.x", "tidegate.calls.1.mastodon.slow", "tidegate.calls.1.bulk", "other"] {
        assert_eq!(Queue::from_name(name), None, "{name}");
    }
}

#[test]
fn a_job_always_goes_to_the_same_partition() {
    let Queue::Plans(partition) = Queue::plans_of(job()) else { panic!("not a plans queue") };
    assert_eq!(partition, 1 % PLAN_PARTITIONS);
    let used: std::collections::HashSet<_> = (0..200).map(|_| Queue::plans_of(JobId::new())).collect();
    assert_eq!(used.len() as u32, PLAN_PARTITIONS, "random jobs spread over all partitions");
}

#[test]
fn the_topology_page_says_what_the_code_says() {
    let mut page = String::from(
        "# Topology\n\nWritten from `crates/contracts/src/topology.rs`; a test keeps the two equal \
         (`TIDEGATE_NEW_GOLDEN=1 cargo test -p tidegate-contracts` writes it anew).\n\n\
         Names follow the deployment's prefix. All queues but those of the watchers are durable.\n\n\
         ## Exchanges\n\n| exchange | type | from | carries |\n| --- | --- | --- | --- |\n",
    );
    for row in EXCHANGES {
        page += &format!("| `{}` | {} | {} | {} |\n", row.name, row.kind, row.from, row.carries);
    }
    page += "\n## Queues\n\n| queue | bound by | to | arguments |\n| --- | --- | --- | --- |\n";
    for row in QUEUES {
        page += &format!("| `{}` | {} | {} | `{}` |\n", row.name, row.key, row.to, row.arguments);
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/topology.md");
    if std::env::var_os("TIDEGATE_NEW_GOLDEN").is_some() {
        std::fs::write(&path, &page).expect("written");
    }
    assert_eq!(std::fs::read_to_string(&path).expect("docs/topology.md"), page);
}
