//! Every kind of paging that a provider file can declare: all items once, in as few calls as the kind allows.

use serde_json::json;
use tidegate_simulator::{EndpointSpec, EndpointStats, Faults, Method, Simulator, SimulatorSpec};

use crate::process::Finished;
use crate::world::{OUT, World, assert_same};

const ITEMS: &str = r#"get: /list, items: "$.items[*]", key: "$.id""#;

fn list(items: u64) -> EndpointSpec {
    EndpointSpec::at("/list").items(items)
}

/// What came of pulling a list.
struct Pulled {
    ids: Vec<String>,
    stats: EndpointStats,
    report: Finished,
}

/// Pulls a list; `endpoint` is how the provider file declares it, `step` what the step says besides its call.
async fn pull(spec: SimulatorSpec, endpoint: &str, step: &str) -> Pulled {
    let simulator = Simulator::start(&spec).await.unwrap();
    let provider = format!("retry: {{ base: 1ms, cap: 5ms }}\nendpoints:\n  list: {{ {endpoint} }}");
    let world = World::with(&simulator.base_url(), &provider, &format!("steps: [{{ id: list, call: list{step} }}]"));
    let report = world.job(&[]).await.expect(0);
    let (ids, stats) = (world.ids(OUT), simulator.stats().endpoints["list"].clone());
    world.finish().await;
    Pulled { ids, stats, report }
}

fn first(items: u64) -> Vec<String> {
    (1..=items).map(|id| id.to_string()).collect()
}

fn one(endpoint: EndpointSpec) -> SimulatorSpec {
    SimulatorSpec::seeded(1).with("list", endpoint)
}

#[tokio::test]
async fn a_last_item_that_comes_again_on_the_next_page_comes_out_once() {
    let pages =
        r#"pages: { cursor: max_id, next: { last_item: "$.id" }, overlaps: true, size: { param: limit, max: 10 } }"#;
    let pulled = pull(one(list(45).last_id_again("max_id").size("limit", 10)), &format!("{ITEMS}, {pages}"), "").await;
    assert_same(pulled.ids, first(45));
    // 10, then 9 more on each page, and a page that holds nothing else than the last item.
    assert_eq!((pulled.stats.requests, pulled.report.number("/run/duplicates")), (6, 5));
    assert_eq!(pulled.report.json()["steps"][0]["guards"], json!([]), "it ends as it should");
}

#[tokio::test]
async fn a_short_page_by_last_item_ends_the_list_where_the_provider_promises_it() {
    let pages = r#"pages: { cursor: before, next: { last_item: "$.id" }, short_page_ends: true, size: { param: limit, max: 10 } }"#;
    let pulled = pull(one(list(45).last_id("before").size("limit", 10)), &format!("{ITEMS}, {pages}"), "").await;
    assert_same(pulled.ids, first(45));
    assert_eq!(pulled.stats.requests, 5);
}

#[tokio::test]
async fn a_token_travels_in_the_body_of_a_post_where_its_dots_lead() {
    let endpoint = list(45)
        .method(Method::Post)
        .items_at("$.data.list.nodes[*]")
        .cursor("variables.after", "$.data.list.pageInfo.endCursor")
        .has_more_in_body("$.data.list.pageInfo.hasNextPage")
        .size("variables.first", 10);
    let declared = r#"post: /list, send: json, idempotent: true, items: "$.data.list.nodes", key: "$.id",
        params: { query: { default: "query($first: Int, $after: String)" }, variables.kind: { default: all } },
        pages: { cursor: variables.after, next: "$.data.list.pageInfo.endCursor",
          has_more: "$.data.list.pageInfo.hasNextPage", size: { param: variables.first, max: 10 } }"#;
    let pulled = pull(one(endpoint), declared, "").await;
    assert_same(pulled.ids, first(45));
    assert_eq!(pulled.stats.requests, 5);
}

#[tokio::test]
async fn a_call_of_its_own_tells_how_many_there_are() {
    let count = EndpointSpec::at("/list/count").items(45).total_in_body("$.count");
    let spec = one(list(45).offset("offset").size("limit", 10)).with("count", count);
    let pages =
        r#"pages: { offset: offset, size: { param: limit, max: 10 }, count: { path: /list/count, total: "$.count" } }"#;
    let pulled = pull(spec, &format!("{ITEMS}, {pages}"), "").await;
    assert_same(pulled.ids, first(45));
    assert_eq!(pulled.stats.requests, 5, "and none past the end");
    let economy = &pulled.report.json()["economy"];
    assert_eq!(economy, &json!([{"step": "list", "calls": 6, "fewest": 5}]), "one more, that counts");
}

#[tokio::test]
async fn a_range_is_read_in_slices_that_are_within_reach() {
    for (form, since, until) in [("iso8601", r#""1970-01-01""#, r#""1970-01-01T00:05:00Z""#), ("epoch_s", "0", "300")] {
        for way in ["page: page", "offset: offset"] {
            let list = list(1_000).total_in_body("$.total").range(("since", "until"), 3, 100);
            let list = if way.starts_with("page") { list.page_number("page", 1) } else { list.offset("offset") };
            let pages = format!(
                r#"params: [since, until], pages: {{ {way}, size: {{ param: limit, max: 20 }}, total: "$.total",
                  slices: {{ from: since, until: until, cap: 100, as: {form} }} }}"#
            );
            let step = format!(", with: {{ since: {since}, until: {until} }}");
            let pulled = pull(one(list.size("limit", 20)), &format!("{ITEMS}, {pages}"), &step).await;
            // 300 seconds of three items each: the whole range, ten slices of 30 seconds, and each slice's further pages.
            assert_same(pulled.ids, first(900));
            assert_eq!(pulled.report.number("/run/duplicates"), 0, "{way} {form}");
            assert!(pulled.stats.requests <= 1 + 10 * 5, "{way} {form}: {}", pulled.stats.requests);
        }
    }
}

#[tokio::test]
async fn a_slice_that_cannot_be_thin_enough_is_told() {
    let list = list(400).total_in_body("$.total").range(("since", "until"), 200, 100).page_number("page", 1);
    let pages = r#"params: [since, until], pages: { page: page, size: { param: limit, max: 20 }, total: "$.total",
        slices: { from: since, until: until, cap: 100, as: epoch_s } }"#;
    let pulled =
        pull(one(list.size("limit", 20)), &format!("{ITEMS}, {pages}"), ", with: { since: 0, until: 2 }").await;
    assert_eq!(pulled.ids.len(), 200);
    assert_eq!(pulled.report.json()["steps"][0]["guards"], json!([["depth_cap", 1]]));
}

/// Each kind that can be asked for smaller pages, or for fewer items.
fn kinds(items: u64) -> Vec<(EndpointSpec, &'static str)> {
    vec![
        (list(items).offset("offset").total_in_body("$.total"), r#"offset: offset, total: "$.total""#),
        (list(items).offset("offset"), "offset: offset, parallel: 3"),
        (list(items).offset("offset").total_in_body("$.total"), r#"offset: offset, in_order: true, total: "$.total""#),
        (list(items).page_number("page", 0), "page: page, first: 0, parallel: 2"),
        (list(items).page_number("page", 1).total_in_header("X-Total"), "page: page, total: { header: X-Total }"),
        (list(items).cursor("cursor", "$.next"), r#"cursor: cursor, next: "$.next""#),
        (list(items).last_id("since_id"), r#"cursor: since_id, next: { last_item: "$.id" }"#),
        (list(items).link(), "link: next"),
        (list(items).next_url("$.next"), r#"next_url: "$.next""#),
    ]
}

#[tokio::test]
async fn a_page_that_is_too_large_is_asked_for_in_smaller_ones() {
    for (endpoint, way) in kinds(350) {
        let endpoint = endpoint.size("limit", 100);
        let faults = Faults { too_much_above: Some(30), ..Faults::default() };
        let pages = format!("pages: {{ {way}, size: {{ param: limit, max: 100, min: 5 }} }}");
        let pulled = pull(one(endpoint.faults(faults)), &format!("{ITEMS}, {pages}"), "").await;
        assert_same(pulled.ids, first(350));
        let json = pulled.report.json();
        assert_eq!((&json["calls_failed"], pulled.report.number("/run/duplicates")), (&json!(0), 0), "{way}");
        assert!(json["failures"].to_string().contains("asked again in smaller pages"), "{way}: {json}");
        assert!(pulled.stats.requests <= 40, "{way}: {}", pulled.stats.requests);
    }
}

#[tokio::test]
async fn a_page_that_is_too_large_at_its_smallest_fails() {
    let faults = Faults { too_much_above: Some(3), ..Faults::default() };
    let endpoint = list(50).cursor("cursor", "$.next").size("limit", 100).faults(faults);
    let simulator = Simulator::start(&one(endpoint)).await.unwrap();
    let pages = r#"pages: { cursor: cursor, next: "$.next", size: { param: limit, max: 100, min: 5 } }"#;
    let provider = format!("endpoints:\n  list: {{ {ITEMS}, {pages} }}");
    let world = World::with(&simulator.base_url(), &provider, "steps: [{ id: list, call: list }]");
    let report = world.job(&[]).await.expect(1).json();
    assert_eq!((&report["calls_failed"], &report["calls_skipped"]), (&json!(1), &json!(5)));
    world.finish().await;
}

#[tokio::test]
async fn a_limit_is_exact_and_costs_no_call_more() {
    for (endpoint, way) in kinds(350) {
        for (limit, requests) in [(1, 1), (10, 1), (25, 3), (100, 10)] {
            let pages = format!("pages: {{ {way}, size: {{ param: limit, max: 10 }} }}");
            let endpoint = endpoint.clone().size("limit", 10);
            let pulled = pull(one(endpoint), &format!("{ITEMS}, {pages}"), &format!(", limit: {limit}")).await;
            assert_same(pulled.ids, first(limit));
            assert_eq!(pulled.report.number("/items"), limit, "{way} {limit}");
            let strided = u64::from(way.contains("parallel: 3")) * 2 + u64::from(way.contains("parallel: 2"));
            assert!(pulled.stats.requests <= requests + strided, "{way} {limit}: {}", pulled.stats.requests);
        }
    }
}
