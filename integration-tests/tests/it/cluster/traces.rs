//! One call's way through all processes, over AMQP and HTTP.

use std::collections::{HashMap, HashSet, VecDeque};

use super::fixture::Cluster;
use super::jobs::{ENDPOINTS, requests, third_party, write_job};
use super::servers::{Addresses, Rotel, Span};
use crate::world::JOB;

/// Names of spans with their services on the shortest way to a span of this name, by links and parents.
fn way(from: &Span, to: &str, by_id: &HashMap<&str, &Span>) -> Option<Vec<String>> {
    let step = |span: &Span| format!("{} {}", span.service, span.name);
    let (mut ways, mut been) = (VecDeque::from([(from, vec![step(from)])]), HashSet::new());
    while let Some((span, way)) = ways.pop_front() {
        if span.name == to {
            return Some(way);
        }
        for before in span.links.iter().chain(&span.parent).filter_map(|id| by_id.get(id.as_str())) {
            if been.insert(&before.id) {
                ways.push_back((before, [&way[..], &[step(before)]].concat()));
            }
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn the_way_of_a_call_can_be_followed_from_the_arbiter_and_the_wire_back_to_the_client_s_request() {
    let (collector, simulator) = (Rotel::start().await, third_party(10, 0).await);
    let cluster = Cluster::over(Addresses::usual()).await;
    let cluster = cluster.set("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url()).started().await;
    write_job(&cluster, &simulator);
    let limited =
        format!("limits:\n  - {{ id: quota, key: [provider], window: {{ calls: 1000, per: 1s }} }}\n{}", ENDPOINTS);
    cluster.world.provider(&simulator.base_url(), &limited);
    let job = cluster.submit(JOB).await;
    cluster.ended(&job).await.expect(0);
    let sent = requests(&simulator);
    simulator.stop().await;
    // What is left goes out when they end.
    cluster.finish().await;
    let spans = collector.spans().await;
    let by_id: HashMap<&str, &Span> = spans.iter().map(|span| (span.id.as_str(), span)).collect();
    let named = |name: &str| spans.iter().filter(|span| span.name == name).collect::<Vec<_>>();
    let first = [
        "tidegate-executor call",
        "tidegate-tracker commit",
        "tidegate-planner plan",
        "tidegate-gateway submit",
        "tidegate-gateway request",
    ];
    let in_trace = |trace: &str| spans.iter().filter(|span| span.trace == trace).collect::<Vec<_>>();
    let ways = |name: &str, before: &[&str]| {
        let spans = named(name);
        assert!(!spans.is_empty(), "no span {name}");
        for span in &spans {
            let way = way(span, "submit", &by_id)
                .unwrap_or_else(|| panic!("no way from {span:?} to submit: {:#?}", in_trace(&span.trace)));
            assert_eq!(way[..before.len()], *before, "{way:?}");
            assert_eq!(way[before.len()..][..3], first[..3], "{way:?}");
        }
        // The first page's way is the whole of it.
        let whole = [before, &first[..]].concat();
        assert!(
            spans.iter().any(|span| way(span, "request", &by_id).is_some_and(|way| way == whole)),
            "{name}: {spans:?}"
        );
    };
    ways("http_request", &["tidegate-executor http_request"]);
    ways("permits", &["tidegate-executor permits"]);
    let parent = |span: &Span| by_id.get(span.parent.as_deref()?).copied();
    let asked = |span: &&Span| parent(span).is_some_and(|parent| parent.name == "permits");
    let decided = spans.iter().filter(|span| span.name == "decide").filter(asked).collect::<Vec<_>>();
    assert_eq!(decided.len(), named("permits").len(), "each request to the arbiter is seen there");
    for decided in decided {
        let parent = parent(decided).expect("asked");
        assert_eq!((decided.service.as_str(), &decided.trace), ("tidegate-arbiter", &parent.trace));
    }
    assert_eq!(named("http_request").len() as u64, sent);
    // Forwards: what came of each call is stored by its executor, planned, and committed.
    for call in named("call") {
        let stored = named("store").into_iter().find(|store| store.parent.as_deref() == Some(&*call.id));
        assert!(stored.is_some_and(|store| store.service == "tidegate-executor"), "nobody stored {call:?}");
        let plan = named("plan").into_iter().find(|plan| plan.links.contains(&call.id));
        let plan = plan.unwrap_or_else(|| panic!("nobody planned what came of {call:?}"));
        assert!(named("commit").iter().any(|commit| commit.links.contains(&plan.id)), "nobody committed {plan:?}");
    }
}
