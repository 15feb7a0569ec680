//! Lists of every kind of pagination come whole: each item once, in no more calls than it takes.

use serde_json::json;
use tidegate_simulator::{EndpointSpec, EndpointStats, Latency, Lies, NoNext, Period, Shape, Simulator, SimulatorSpec};

use crate::world::{OUT, World, assert_same};

/// Items of a list, unless a test says otherwise: ten full pages and a half.
const ITEMS: u64 = 1_050;

/// A list at `/list`.
fn list() -> EndpointSpec {
    EndpointSpec::at("/list").items(ITEMS)
}

/// Pulls the list whole, by an endpoint described so (`get: /list` and more), and tells what the server saw.
async fn pull(endpoint: EndpointSpec, described: impl AsRef<str>) -> EndpointStats {
    let simulator = Simulator::start(&SimulatorSpec::seeded(1).with("list", endpoint)).await.unwrap();
    let provider = format!("endpoints:\n  list: {{ {} }}", described.as_ref());
    let world = World::with(&simulator.base_url(), &provider, "steps: [{ id: list, call: list }]");
    let report = world.job(&[]).await.expect(0);
    assert_same(world.ids(OUT), simulator.ids("list", ""));
    let stats = simulator.stats().endpoints["list"].clone();
    assert_eq!(report.number("/items"), stats.items);
    assert_eq!((report.number("/requests"), report.number("/run/requests")), (stats.requests, stats.requests));
    assert_eq!((stats.duplicates, stats.errors.len()), (0, 0), "{stats:?}");
    world.finish().await;
    stats
}

const OFFSET: &str = r#"get: /list, items: "$.items[*]", pages: { offset: offset, size: { param: limit, max: 100 }"#;
const PAGE: &str = r#"get: /list, items: "$.items[*]", pages: { page: page, size: { param: limit, max: 100 }"#;
const CURSOR: &str = r#"get: /list, items: "$.items[*]", pages: { cursor: cursor, size: { param: limit, max: 100 }"#;

#[tokio::test]
async fn a_list_by_offset_that_tells_its_total_takes_one_call_for_each_page() {
    let served = pull(
        list().offset("offset").size("limit", 100).total_in_body("$.total"),
        format!(r#"{OFFSET}, total: "$.total" }}"#),
    );
    assert_eq!(served.await.requests, 11);
}

#[tokio::test]
async fn a_list_by_offset_whose_server_grants_smaller_pages_loses_nothing() {
    let served = pull(
        list().offset("offset").size("limit", 30).total_in_body("$.total"),
        format!(r#"{OFFSET}, total: "$.total" }}"#),
    );
    assert_eq!(served.await.requests, 35);
}

#[tokio::test]
async fn a_list_by_offset_in_the_body_of_posts_takes_one_call_for_each_page() {
    let served = pull(
        list().method(tidegate_simulator::Method::Post).offset("offset").size("limit", 100).total_in_body("$.total"),
        format!(r#"{}, total: "$.total" }}"#, OFFSET.replace("get:", "send: json, idempotent: true, post:")),
    );
    assert_eq!(served.await.requests, 11);
}

#[tokio::test]
async fn a_list_by_page_number_from_1_takes_one_call_for_each_page() {
    let served = pull(
        list().page_number("page", 1).size("limit", 100).total_in_header("X-Total"),
        format!("{PAGE}, first: 1, total: {{ header: X-Total }} }}"),
    );
    assert_eq!(served.await.requests, 11);
}

#[tokio::test]
async fn a_list_by_page_number_from_0_takes_one_call_for_each_page() {
    let served = pull(
        list().page_number("page", 0).size("limit", 100).total_in_body("$.meta.total"),
        format!(r#"{PAGE}, first: 0, total: "$.meta.total" }}"#),
    );
    assert_eq!(served.await.requests, 11);
}

#[tokio::test]
async fn a_list_by_page_number_whose_server_grants_smaller_pages_loses_nothing() {
    let served = pull(
        list().page_number("page", 1).size("limit", 30).total_in_body("$.total"),
        format!(r#"{PAGE}, total: "$.total" }}"#),
    );
    assert_eq!(served.await.requests, 35);
}

#[tokio::test]
async fn a_list_by_a_cursor_in_the_body_takes_one_call_for_each_page() {
    for no_next in [NoNext::Absent, NoNext::Null, NoNext::Empty] {
        let shape = Shape { next: Some("$.paging.after".into()), no_next, ..Shape::default() };
        let served = pull(
            EndpointSpec { shape: Some(shape), ..list().cursor("cursor", "$.next").size("limit", 100) },
            format!(r#"{CURSOR}, next: "$.paging.after" }}"#),
        );
        assert_eq!(served.await.requests, 11, "{no_next:?}");
    }
}

#[tokio::test]
async fn a_list_by_a_cursor_in_a_header_takes_one_call_for_each_page() {
    let shape = Shape { next_header: Some("X-Next".into()), ..Shape::default() };
    let served = pull(
        EndpointSpec { shape: Some(shape), ..list().cursor("cursor", "$.next").size("limit", 100) },
        format!("{CURSOR}, next: {{ header: X-Next }} }}"),
    );
    assert_eq!(served.await.requests, 11);
}

#[tokio::test]
async fn a_list_by_the_last_items_id_ends_where_the_answer_says_there_is_no_more() {
    let served = pull(
        list().last_id("cursor").size("limit", 100).has_more_in_body("$.more"),
        format!(r#"{CURSOR}, next: {{ last_item: "$.id" }}, has_more: "$.more" }}"#),
    );
    assert_eq!(served.await.requests, 11);
}

#[tokio::test]
async fn a_list_by_the_last_items_id_that_says_nothing_ends_with_a_blank_page() {
    let served =
        pull(list().last_id("cursor").size("limit", 100), format!(r#"{CURSOR}, next: {{ last_item: "$.id" }} }}"#));
    assert_eq!(served.await.requests, 12);
}

const LINK: &str = r#"get: /list, items: "$.items[*]", pages: { link: next, size: { param: limit, max: 100 } }"#;
const NEXT_URL: &str =
    r#"get: /list, items: "$.items[*]", pages: { next_url: "$.next", size: { param: limit, max: 100 } }"#;

#[tokio::test]
async fn a_list_by_link_header_takes_one_call_for_each_page() {
    assert_eq!(pull(list().link().size("limit", 100), LINK).await.requests, 11);
}

#[tokio::test]
async fn a_list_by_next_address_takes_one_call_for_each_page() {
    assert_eq!(pull(list().next_url("$.next").size("limit", 100), NEXT_URL).await.requests, 11);
}

#[tokio::test]
async fn next_addresses_may_be_relative() {
    // Without an origin, what is left of an address is path and query.
    let relative = || {
        let lies = Lies { next_to_other_host: Some(String::new()), ..Lies::default() };
        list().size("limit", 100).faults(tidegate_simulator::Faults { lies, ..Default::default() })
    };
    assert_eq!(pull(relative().next_url("$.next"), NEXT_URL).await.requests, 11);
    assert_eq!(pull(relative().link(), LINK).await.requests, 11);
}

#[tokio::test]
async fn a_list_of_unknown_size_is_asked_for_in_strides() {
    let latency = Some(Latency::Fixed(Period::from_ms(30)));
    let list = EndpointSpec { latency, ..list() };
    let served = pull(list.offset("offset").size("limit", 100), format!("{OFFSET}, parallel: 4 }}")).await;
    // Each stride ends with a blank page.
    assert!((12..=11 + 4).contains(&served.requests), "{served:?}");
    assert!((2..=4).contains(&served.max_in_flight), "{served:?}");
}

#[tokio::test]
async fn a_list_of_unknown_size_by_page_number_is_asked_for_in_strides() {
    let served = pull(list().page_number("page", 1).size("limit", 100), format!("{PAGE}, parallel: 4 }}")).await;
    assert!((12..=11 + 4).contains(&served.requests), "{served:?}");
}

#[tokio::test]
async fn a_list_that_comes_in_one_answer_takes_one_call() {
    assert_eq!(pull(list(), r#"get: /list, items: "$.items[*]""#).await.requests, 1);
}

#[tokio::test]
async fn an_answer_without_items_is_an_item() {
    let thing = EndpointSpec::at("/list").items(1).items_at("$");
    assert_eq!(pull(thing, "get: /list").await.requests, 1);
}

#[tokio::test]
async fn items_may_be_the_whole_answer_or_wrapped() {
    let offset = |items: &str| format!(r#"{}, total: {{ header: X-Total }} }}"#, OFFSET.replace("$.items[*]", items));
    for items in ["$[*]", "$.data.edges[*].node"] {
        let endpoint = list().items_at(items).offset("offset").size("limit", 100).total_in_header("X-Total");
        assert_eq!(pull(endpoint, &offset(items)).await.requests, 11, "{items}");
    }
}

#[tokio::test]
async fn a_list_without_items_takes_one_call() {
    let empty = list().items(0).offset("offset").size("limit", 100).total_in_body("$.total");
    assert_eq!(pull(empty, format!(r#"{OFFSET}, total: "$.total" }}"#)).await.requests, 1);
    let empty = list().items(0).cursor("cursor", "$.next").size("limit", 100);
    assert_eq!(pull(empty, format!(r#"{CURSOR}, next: "$.next" }}"#)).await.requests, 1);
    let empty = list().items(0).page_number("page", 1).size("limit", 100);
    assert_eq!(pull(empty, format!("{PAGE} }}")).await.requests, 1);
}

#[tokio::test]
async fn short_and_blank_pages_amid_a_list_end_nothing() {
    let gaps = || EndpointSpec { short_pages: Some(0.3), blank_pages: Some(0.3), ..list() };
    let served = pull(
        gaps().offset("offset").size("limit", 50).total_in_body("$.total"),
        format!(r#"{OFFSET}, total: "$.total" }}"#),
    );
    assert_eq!(served.await.requests, 21);
    let served = pull(
        gaps().cursor("cursor", "$.next").size("limit", 50),
        format!(r#"{CURSOR}, next: "$.next", blank_page_ends: false }}"#),
    );
    assert_eq!(served.await.requests, 21);
}

#[tokio::test]
async fn packed_answers_are_unpacked() {
    let items = json!({ "id": "{{id}}", "text": "{{text}}" });
    let plain = list().item(items).offset("offset").size("limit", 100).total_in_body("$.total");
    let described = format!(r#"{OFFSET}, total: "$.total" }}"#);
    let unpacked = pull(plain.clone(), &described).await;
    let packed = pull(EndpointSpec { compress: Some(true), ..plain }, &described).await;
    assert_eq!((packed.requests, packed.items), (unpacked.requests, unpacked.items));
    assert!(packed.bytes * 2 < unpacked.bytes, "{} bytes packed of {}", packed.bytes, unpacked.bytes);
}
