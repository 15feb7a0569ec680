//! Jobs and a job on the page.

use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::json;
use tidegate_registry::Scope;

use super::browser::Browser;
use crate::world::{SOON, World};

const NAMED: &str =
    r#"{"provider": "shop", "name": "<b>Orders</b> & \"more\"", "steps": [{"id": "orders", "call": "orders"}]}"#;

#[tokio::test]
async fn jobs_are_listed_found_by_name_and_state_and_paged() {
    let world = World::start().await;
    let mut browser = Browser::of(&world).await;
    assert!(browser.page("/ui/jobs").await.contains("No job was submitted yet."));
    world.put_shop().await;
    for _ in 0..51 {
        world.ask(Method::POST, "/v1/jobs").json(NAMED).send().await;
    }
    let other = world.submit().await;
    let first = browser.page("/ui/jobs").await;
    assert_eq!(first.matches("href=\"/ui/jobs/job").count(), 50, "{first}");
    let older = first.split("rel=\"next\"").next().unwrap().rsplit("href=\"").next().unwrap();
    let older = older.split('"').next().unwrap().replace("&amp;", "&");
    assert_eq!(browser.page(&older).await.matches("href=\"/ui/jobs/job").count(), 2);
    let found = browser.page("/ui/jobs?search=SHO&state=").await;
    assert!(found.matches("href=\"/ui/jobs/job").count() == 1 && found.contains(&other.to_string()), "{found}");
    assert!(browser.page("/ui/jobs?search=&state=failed").await.contains("No job fits."));
    assert_eq!(browser.get("/ui/jobs?state=odd").await.status, 422);
}

#[tokio::test]
async fn what_others_wrote_is_shown_as_text() {
    let world = World::start().await;
    world.put_shop().await;
    let got = world.ask(Method::POST, "/v1/jobs").json(NAMED).send().await;
    let job = got.json()["id"].as_str().unwrap().to_owned();
    let calls = world.begin(job.parse().unwrap(), 2).await;
    world.fail(&calls[0], "<script>alert('x')</script>\r\n<img src=//evil.example>").await;
    let mut browser = Browser::of(&world).await;
    for path in ["/ui/jobs".to_owned(), format!("/ui/jobs/{job}"), format!("/ui/jobs/{job}/cancel")] {
        let html = browser.page(&path).await;
        assert!(html.contains("&lt;b&gt;Orders&lt;/b&gt; &amp; "), "{path}: {html}");
        assert!(!html.contains("<b>Orders") && !html.contains("<script>") && !html.contains("<img src=//"), "{html}");
    }
    assert!(browser.page(&format!("/ui/jobs/{job}")).await.contains("&lt;script&gt;alert("));
}

#[tokio::test]
async fn a_job_shows_why_it_is_not_finished_its_steps_its_tree_and_what_failed() {
    let world = World::start().await;
    let job = world.submit().await;
    let calls = world.begin(job, 5).await;
    world.succeed(&calls[0], "{\"n\":1}\n{\"n\":2}\n").await;
    world.fail(&calls[1], "no such order").await;
    let mut browser = Browser::of(&world).await;
    let html = browser.page(&format!("/ui/jobs/{job}")).await;
    for text in [
        "running: 3 calls are with executors or on their way there",
        "<dt>Items</dt><dd>2</dd>",
        "<dt>Calls ended</dt><dd>2<span class=\"note\"> of 5</span></dd>",
        "no such order",
        "Submitted",
    ] {
        assert!(html.contains(text), "{text} in {html}");
    }
    let below = html.split("id=\"fetch-").nth(1).unwrap().split("href=\"").nth(1).unwrap().split('"').next().unwrap();
    let below = browser.page(below.split('#').next().unwrap()).await;
    assert!(below.contains("Nothing is below.") && below.contains(">Roots</a>"), "{below}");
    assert_eq!(browser.get(&format!("/ui/jobs/{job}?parent=nothing")).await.status, 422);
    for call in &calls[2..] {
        world.succeed(call, "{}\n").await;
    }
    let html = browser.page(&format!("/ui/jobs/{job}")).await;
    assert!(html.contains("<dt>Calls against the fewest</dt><dd>5<span class=\"note\"> for 1</span></dd>"), "{html}");
}

#[tokio::test]
async fn buttons_do_what_the_api_does() {
    let world = World::start().await;
    let job = world.submit().await;
    let page = format!("/ui/jobs/{job}");
    let calls = world.begin(job, 2).await;
    let mut browser = Browser::of(&world).await;
    let shown = async || world.get(&format!("/v1/jobs/{job}")).await.json();
    assert_eq!(browser.press(&page, &format!("{page}/pause")).await.header("location"), page);
    assert!(shown().await["paused_at_ms"].is_i64());
    browser.press(&page, &format!("{page}/resume")).await;
    assert!(shown().await["paused_at_ms"].is_null());
    assert_eq!(browser.press(&format!("{page}/cancel"), &format!("{page}/cancel")).await.header("location"), page);
    assert!(!browser.page(&page).await.contains("/pause\""), "what is being stopped can't be paused");
    for call in &calls {
        world.fail(call, "no").await;
    }
    assert!(browser.page(&page).await.contains("Retry 2 failed calls"));
    assert_eq!(browser.press(&page, &format!("{page}/retry-failed")).await.header("location"), page);
    assert_eq!(shown().await["counts"]["calls_open"], 2);
}

#[tokio::test]
async fn calls_that_failed_alike_are_made_again_together() {
    let world = World::start().await;
    let job = world.submit().await;
    let page = format!("/ui/jobs/{job}");
    let calls = world.begin(job, 3).await;
    for (call, message) in calls.iter().zip(["no\n way & back", "no\n way & back", "never"]) {
        world.fail(call, message).await;
    }
    let mut browser = Browser::of(&world).await;
    let html = browser.page(&page).await;
    assert_eq!(html.matches("Retry these").count(), 2, "{html}");
    let to = html.split("action=\"").filter_map(|form| form.split('"').next()).find(|to| to.contains("way"));
    let to = to.unwrap().replace("&amp;", "&");
    let sent = browser.send(&to, &[("csrf", &super::browser::csrf(&html))]).await;
    assert_eq!(sent.header("location"), page);
    let counts = world.get(&format!("/v1/jobs/{job}")).await.json()["counts"].clone();
    assert_eq!((&counts["calls_open"], &counts["calls_failed"]), (&json!(2), &json!(1)));
    assert!(!browser.page(&page).await.contains("Retry these"), "it goes on");
}

#[tokio::test]
async fn a_key_that_may_only_read_has_no_buttons_and_changes_nothing() {
    let world = World::start().await;
    let job = world.submit().await;
    let reader = world.key("a", &[Scope::Read], None).await;
    let mut browser = Browser::with_key(&world, &reader).await;
    let html = browser.page(&format!("/ui/jobs/{job}")).await;
    assert_eq!(html.matches("<form").count(), 1, "only to log out: {html}");
    let token = super::browser::csrf(&html);
    let got = browser.send(&format!("/ui/jobs/{job}/pause"), &[("csrf", &token)]).await;
    assert_eq!(got.status, 403);
    assert!(got.text.contains("this needs the scope submit; the key has read"), "{}", got.text);
    assert!(world.get(&format!("/v1/jobs/{job}")).await.json()["paused_at_ms"].is_null());
}

#[tokio::test]
async fn the_job_of_another_tenant_is_not_there() {
    let world = World::start().await;
    let job = world.submit().await;
    let stranger = world.tenant("b").await;
    let mut browser = Browser::with_key(&world, &stranger).await;
    let token = super::browser::csrf(&browser.page("/ui/jobs").await);
    assert!(!browser.page("/ui/jobs").await.contains(&job.to_string()));
    for path in ["", "/live", "/cancel", "/items", "/download", "/failures"] {
        assert_eq!(browser.get(&format!("/ui/jobs/{job}{path}")).await.status, 404, "{path}");
    }
    for action in ["cancel", "pause", "resume", "retry-failed"] {
        assert_eq!(
            browser.send(&format!("/ui/jobs/{job}/{action}"), &[("csrf", &token)]).await.status,
            404,
            "{action}"
        );
    }
}

#[tokio::test]
async fn who_watches_is_sent_the_page_anew_until_the_job_is_finished() {
    let world = World::start().await;
    let job = world.submit().await;
    let calls = world.begin(job, 1).await;
    let mut browser = Browser::of(&world).await;
    assert!(browser.page(&format!("/ui/jobs/{job}")).await.contains(&format!("sse-connect=\"/ui/jobs/{job}/live\"")));
    let response = browser.ask(Method::GET, &format!("/ui/jobs/{job}/live")).open().await;
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let mut stream = Box::pin(response.bytes_stream());
    let mut told = String::new();
    let mut next = async |until: &str| {
        while !told.contains(until) {
            let piece = tokio::time::timeout(SOON, stream.next()).await.expect("in time").expect("not at its end");
            told.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
    };
    next("class=\"state running\"").await;
    world.succeed(&calls[0], "1\n").await;
    next("class=\"state succeeded\"").await;
    next("event: end").await;
    assert!(!browser.page(&format!("/ui/jobs/{job}")).await.contains("sse-connect"), "its end is no news");
}
