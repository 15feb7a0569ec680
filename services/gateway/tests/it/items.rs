//! What was fetched.

use futures_util::StreamExt as _;
use reqwest::Method;
use tidegate_contracts::JobId;

use crate::world::{SOON, World};

async fn five_pages(world: &World) -> JobId {
    let job = world.submit().await;
    for (number, call) in world.begin(job, 5).await.iter().enumerate() {
        world.succeed(call, &format!("{{\"n\":{number}.10}}\n{{\"n\":\"{number}b\"}}\n")).await;
    }
    job
}

fn lines(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| format!("{{\"n\":{number}.10}}\n{{\"n\":\"{number}b\"}}\n")).collect()
}

#[tokio::test]
async fn items_come_as_the_provider_wrote_them() {
    let world = World::start().await;
    let job = five_pages(&world).await;
    let got = world.get(&format!("/v1/jobs/{job}/items")).await;
    assert_eq!((got.status.as_u16(), got.header("content-type")), (200, "application/x-ndjson"));
    assert_eq!(got.text, lines(0..5));
    assert_eq!(world.get(&format!("/v1/jobs/{job}/items?step=orders")).await.text, lines(0..5));
    assert_eq!(world.get(&format!("/v1/jobs/{job}/items?step=others")).await.text, "");
    let empty = world.submit().await;
    assert_eq!(world.get(&format!("/v1/jobs/{empty}/items")).await.text, "");
}

#[tokio::test]
async fn one_page_is_found_by_its_call_and_by_its_own_job_alone() {
    let world = World::start().await;
    let job = world.submit().await;
    let call = world.begin(job, 1).await.remove(0);
    let path = |job: JobId| format!("/v1/jobs/{job}/pages/{}", call.call);
    world.get(&path(job)).await.problem(404);
    world.succeed(&call, "{\"n\":1.10}\n").await;
    let got = world.get(&path(job)).await;
    assert_eq!((got.status.as_u16(), got.header("content-type")), (200, "application/x-ndjson"));
    assert_eq!(got.text, "{\"n\":1.10}\n");
    let other = world.submit().await;
    world.get(&path(other)).await.problem(404);
    world.get(&format!("/v1/jobs/{job}/pages/nothing")).await.problem(404);
    let stranger = world.tenant("b").await;
    world.bare(Method::GET, &path(job)).key(&stranger).send().await.problem(404);
}

#[tokio::test]
async fn items_come_as_csv_or_as_an_array_by_name_or_by_the_accept_header() {
    let world = World::start().await;
    let job = five_pages(&world).await;
    let path = format!("/v1/jobs/{job}/items");
    let csv = world.get(&format!("{path}?format=csv")).await;
    assert_eq!(csv.header("content-type"), "text/csv; charset=utf-8; header=present");
    let rows: String = (0..5).map(|number| format!("{number}.10\r\n{number}b\r\n")).collect();
    assert_eq!(csv.text, format!("n\r\n{rows}"));
    assert_eq!(world.ask(Method::GET, &path).header("accept", "text/csv").send().await.text, csv.text);
    let named = world.get(&format!("{path}?format=csv&columns=x,n&origin=true&step=orders")).await.text;
    assert!(named.starts_with("_step,_params,x,n\r\norders,{},,0.10\r\n"), "{named}");

    let array = world.get(&format!("{path}?format=json")).await;
    assert_eq!((array.status.as_u16(), array.header("content-type")), (200, "application/json"));
    let items: Vec<serde_json::Value> = serde_json::from_str(&array.text).unwrap();
    assert_eq!((items.len(), &items[1]["n"]), (10, &"0b".into()));
    assert!(array.text.contains("{\"n\":4.10}"), "no digit is changed");
    let empty = world.submit().await;
    assert_eq!(world.get(&format!("/v1/jobs/{empty}/items?format=json")).await.text, "[]\n");
    assert_eq!(world.get(&format!("/v1/jobs/{empty}/items?format=csv&columns=n")).await.text, "n\r\n");
}

#[tokio::test]
async fn a_format_that_is_not_there_or_does_not_fit_is_refused_by_its_field() {
    let world = World::start().await;
    let job = world.submit().await;
    for (query, field) in [
        ("format=xml", "format"),
        ("format=csv&columns=a,,b", "columns"),
        ("columns=a", "columns"),
        ("format=json&pages=2", "pages"),
    ] {
        let refused = world.get(&format!("/v1/jobs/{job}/items?{query}")).await;
        assert_eq!(refused.problem(422), "invalid", "{query}");
        assert!(
            refused.text.contains(&format!("\"{field}\"")) || refused.text.contains(&format!("{field}:")),
            "{}",
            refused.text
        );
    }
}

#[tokio::test]
async fn answers_of_some_pages_go_on_where_the_one_before_ended() {
    let world = World::start().await;
    let job = five_pages(&world).await;
    let (mut text, mut asked, mut after) = (String::new(), 0, "0".to_owned());
    loop {
        let got = world.get(&format!("/v1/jobs/{job}/items?pages=2&after={after}")).await;
        text.push_str(&got.text);
        asked += 1;
        match got.header("tidegate-next") {
            "" => break,
            next => after = next.to_owned(),
        }
    }
    assert_eq!((text, asked), (lines(0..5), 4));
}

#[tokio::test]
async fn lines_with_their_origin_can_be_gone_on_from_one_by_one() {
    let world = World::start().await;
    let job = five_pages(&world).await;
    let all = world.get(&format!("/v1/jobs/{job}/items?origin=true")).await.text;
    let all: Vec<&str> = all.lines().collect();
    assert_eq!(all.len(), 10);
    let items: String = all
        .iter()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((&line["step"], &line["params"]), (&"orders".into(), &serde_json::json!({})));
            line["cursor"].as_str().unwrap().to_owned() + "\n"
        })
        .collect();
    for (seen, cursor) in items.lines().enumerate() {
        let rest = world.get(&format!("/v1/jobs/{job}/items?origin=true&after={cursor}")).await.text;
        assert_eq!(rest.lines().collect::<Vec<_>>(), all[seen + 1..], "after {cursor}");
    }
    assert!(all[0].ends_with("\"item\":{\"n\":0.10}}"), "no digit is changed: {}", all[0]);
}

#[tokio::test]
async fn a_job_can_be_followed_to_its_end() {
    let world = World::start().await;
    let job = world.submit().await;
    let calls = world.begin(job, 2).await;
    world.succeed(&calls[0], "1\n").await;
    let response = world.ask(Method::GET, &format!("/v1/jobs/{job}/items?follow=true")).open().await;
    let mut stream = response.bytes_stream();
    let mut next = async || tokio::time::timeout(SOON, stream.next()).await.unwrap();
    assert_eq!(next().await.unwrap().unwrap(), "1\n");
    world.succeed(&calls[1], "2\n").await;
    assert_eq!(next().await.unwrap().unwrap(), "2\n");
    assert!(next().await.is_none());
}

#[tokio::test]
async fn a_large_job_is_never_in_memory_as_a_whole_and_a_reader_who_goes_away_gives_his_place_back() {
    let config = tidegate_gateway::Config { item_streams_max: 1, ..Default::default() };
    let world = World::with(config).await;
    let job = world.submit().await;
    let page = format!("{{\"text\":\"{}\"}}\n", "x".repeat(1 << 20)).repeat(4);
    for call in world.begin(job, 16).await {
        world.succeed(&call, &page).await;
    }
    let path = format!("/v1/jobs/{job}/items");
    let response = world.ask(Method::GET, &path).open().await;
    let refused = world.get(&path).await;
    assert_eq!((refused.problem(429).as_str(), refused.header("retry-after")), ("too-many-open", "5"));
    drop(response);
    let got = tokio::time::timeout(SOON, async {
        loop {
            let got = world.get(&path).await;
            if got.status == 200 {
                return got;
            }
        }
    });
    assert_eq!(got.await.unwrap().text.len(), 16 * page.len());
}

#[tokio::test]
async fn a_stream_that_the_gateway_has_to_end_does_not_look_whole() {
    let mut world = World::start().await;
    let job = world.submit().await;
    let calls = world.begin(job, 2).await;
    world.succeed(&calls[0], "1\n").await;
    let response = world.ask(Method::GET, &format!("/v1/jobs/{job}/items?follow=true")).open().await;
    let mut stream = response.bytes_stream();
    stream.next().await.unwrap().unwrap();
    world.stop().await;
    let end = tokio::time::timeout(SOON, stream.next()).await.unwrap();
    assert!(end.is_some_and(|end| end.is_err()));
}
