//! Each style of paging, paged whole.

use std::collections::BTreeSet;

use tidegate_simulator::{EndpointSpec, Method, NoNext, Running, Shape, Simulator, SimulatorSpec};

use crate::client::{Answer, call, encoded, follow, get};

async fn start(endpoint: EndpointSpec) -> Running {
    Simulator::start(&SimulatorSpec::seeded(7).with("users", endpoint)).await.unwrap()
}

fn users() -> EndpointSpec {
    EndpointSpec::at("/users").items(95)
}

fn text_at(answer: &Answer, pointer: &str) -> Option<String> {
    Some(answer.json().pointer(pointer)?.as_str()?.to_owned())
}

#[tokio::test]
async fn a_list_on_one_page_is_served_whole() {
    let running = start(users()).await;
    assert_eq!(follow(&running, "/users", |_| None).await, running.ids("users", ""));
    assert_eq!(running.ids("users", "").len(), 95);
}

#[tokio::test]
async fn a_list_by_offset_is_served_whole_and_tells_its_size() {
    let running = start(users().offset("skip").size("n", 20).total_in_body("$.total")).await;
    let mut ids = Vec::new();
    for skip in (0..95).step_by(20) {
        let answer = get(&running, &format!("/users?skip={skip}&n=20")).await;
        assert_eq!(answer.json()["total"], 95);
        ids.extend(answer.ids());
    }
    assert_eq!(ids, running.ids("users", ""));
    assert!(get(&running, "/users?skip=100&n=20").await.ids().is_empty());
}

#[tokio::test]
async fn a_list_by_page_number_is_served_whole_whatever_the_first_number() {
    for first in [0, 1] {
        let running = start(users().page_number("page", first).size("n", 20).total_in_header("X-Total")).await;
        let mut ids = Vec::new();
        for page in first..first + 5 {
            let answer = get(&running, &format!("/users?page={page}&n=20")).await;
            assert_eq!(answer.header("x-total"), "95");
            ids.extend(answer.ids());
        }
        assert_eq!(ids, running.ids("users", ""));
    }
}

#[tokio::test]
async fn a_list_by_cursor_is_served_whole_in_whatever_way_the_last_page_says_so() {
    for no_next in [NoNext::Absent, NoNext::Null, NoNext::Empty] {
        let endpoint = users().cursor("after", "$.meta.next").size("n", 20).has_more_in_body("$.more");
        let shape = Shape { no_next, ..endpoint.shape.clone().unwrap() };
        let running = start(EndpointSpec { shape: Some(shape), ..endpoint }).await;
        let ids = follow(&running, "/users?n=20", |answer| {
            let next = text_at(answer, "/meta/next").filter(|next| !next.is_empty());
            assert_eq!(answer.json()["more"], next.is_some());
            Some(format!("/users?n=20&after={}", encoded(&next?)))
        });
        assert_eq!(ids.await, running.ids("users", ""));
    }
}

#[tokio::test]
async fn a_list_by_the_last_id_is_served_whole() {
    let running = start(users().last_id("starting_after").size("n", 20)).await;
    let ids =
        follow(&running, "/users?n=20", |answer| Some(format!("/users?n=20&starting_after={}", answer.ids().last()?)));
    assert_eq!(ids.await, running.ids("users", ""));
}

#[tokio::test]
async fn a_list_by_link_is_served_whole() {
    let running = start(users().link().size("n", 20)).await;
    let ids = follow(&running, "/users?n=20&q=a%20b", |answer| {
        let link = answer.header("link").split(", ").find(|link| link.ends_with("; rel=\"next\""))?;
        assert!(link.contains("q=a+b"), "other parameters are kept: {link}");
        Some(link.trim_start_matches('<').split_once('>')?.0.to_owned())
    });
    assert_eq!(ids.await, running.ids("users", ""));
}

#[tokio::test]
async fn a_list_by_address_is_served_whole() {
    let running = start(users().next_url("$.links.next").size("n", 20)).await;
    let ids = follow(&running, "/users?n=20", |answer| text_at(answer, "/links/next"));
    assert_eq!(ids.await, running.ids("users", ""));
}

#[tokio::test]
async fn parameters_may_come_in_a_json_body() {
    let endpoint = users().method(Method::Post).cursor("variables.after", "$.next").size("variables.first", 20);
    let running = start(endpoint).await;
    let (mut ids, mut after) = (Vec::new(), serde_json::Value::Null);
    loop {
        let body = serde_json::json!({ "query": "…", "variables": { "first": 20, "after": after } }).to_string();
        let answer = call(&running, "POST /users", "content-type: application/json\r\n", &body).await.unwrap();
        ids.extend(answer.ids());
        after = answer.json()["next"].clone();
        if after.is_null() {
            break;
        }
    }
    assert_eq!(ids, running.ids("users", ""));
}

#[tokio::test]
async fn each_parent_has_a_list_of_its_own() {
    let posts = EndpointSpec::at("/users/{id}/posts").items_between(0, 50).cursor("after", "$.next").size("n", 20);
    let running = start(posts).await;
    let (mut sizes, mut all) = (BTreeSet::new(), BTreeSet::new());
    for parent in ["1", "2", "3", "4", "a%2Fb"] {
        let path = format!("/users/{parent}/posts?n=20");
        let ids =
            follow(&running, &path, |answer| Some(format!("{path}&after={}", encoded(&text_at(answer, "/next")?))))
                .await;
        assert_eq!(ids, running.ids("users", &parent.replace("%2F", "/")));
        sizes.insert(ids.len());
        all.extend(ids.iter().cloned());
        assert!(ids.len() <= 50);
    }
    assert!(sizes.len() > 2, "{sizes:?}");
    assert_eq!(all.len(), running.stats().endpoints["users"].items as usize, "no id belongs to two parents");
}

#[tokio::test]
async fn a_parent_may_be_named_by_a_query_parameter_and_answer_for_itself() {
    let running = start(EndpointSpec { parent: Some("channel".into()), ..users().items(3) }).await;
    assert_eq!(get(&running, "/users?channel=c7").await.ids(), ["c7.1", "c7.2", "c7.3"]);
    let running = start(EndpointSpec::at("/users/{id}").items_at("$")).await;
    assert_eq!(get(&running, "/users/17").await.json()["id"], 17);
    assert_eq!(running.ids("users", "17"), ["17"]);
}

#[tokio::test]
async fn short_and_blank_pages_come_though_more_follow() {
    let endpoint = EndpointSpec {
        short_pages: Some(0.3),
        blank_pages: Some(0.2),
        ..users().items(1000).cursor("after", "$.next").size("n", 20)
    };
    let running = start(endpoint).await;
    let sizes = std::sync::Mutex::new(Vec::new());
    let ids = follow(&running, "/users?n=20", |answer| {
        sizes.lock().unwrap().push(answer.ids().len());
        Some(format!("/users?n=20&after={}", encoded(&text_at(answer, "/next")?)))
    });
    assert_eq!(ids.await, running.ids("users", ""));
    let sizes = sizes.into_inner().unwrap();
    assert_eq!((sizes.len(), sizes[0], sizes[49]), (50, 20, 20));
    assert!((5..25).contains(&sizes.iter().filter(|size| (1..20).contains(*size)).count()), "{sizes:?}");
    assert!((3..18).contains(&sizes.iter().filter(|size| **size == 0).count()), "{sizes:?}");
}

#[tokio::test]
async fn a_page_is_no_larger_than_the_most() {
    let running = start(users().offset("skip").size("n", 20)).await;
    assert_eq!(get(&running, "/users?n=500").await.ids().len(), 20);
    assert_eq!(get(&running, "/users").await.ids().len(), 20);
    assert_eq!(get(&running, "/users?n=7").await.ids().len(), 7);
    assert_eq!(get(&running, "/users?n=x").await.status, 400);
}
