//! Items, failed calls, limits, providers and credentials on the page.

use reqwest::Method;
use serde_json::json;
use tidegate_bus::Bus as _;
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{End, Envelope, JobId, JobSubmitted, Message, Wait, WaitReason};
use tidegate_gateway::Config;
use tidegate_ledger::{DeadLetters as _, UnmatchedAnswers as _};
use tidegate_registry::{Registry as _, Scope};

use super::browser::Browser;
use crate::budgets::{OWN, SHARED, ask};
use crate::dead::letter;
use crate::world::{NOW, World};

#[tokio::test]
async fn items_are_looked_at_page_by_page_and_taken_along_in_each_format() {
    let world = World::start().await;
    let job = world.submit().await;
    let calls = world.begin(job, 2).await;
    let lines = |from: u32| (from..from + 15).map(|n| format!("{{\"n\":{n},\"text\":\"<i>\"}}\n")).collect::<String>();
    world.succeed(&calls[0], &lines(100)).await;
    world.succeed(&calls[1], &lines(200)).await;
    let mut browser = Browser::of(&world).await;
    let page = format!("/ui/jobs/{job}");
    assert!(browser.page(&page).await.contains(&format!("href=\"{page}/items\"")));
    let first = browser.page(&format!("{page}/items?step=")).await;
    assert_eq!(first.matches("&lt;i&gt;").count(), 20, "{first}");
    assert!(first.contains("\"n\": 204") || first.contains("&quot;n&quot;: 204"), "{first}");
    let more = first.split("rel=\"next\"").next().unwrap().rsplit("href=\"").next().unwrap();
    let more = browser.page(&more.split('"').next().unwrap().replace("&amp;", "&")).await;
    assert!(more.matches("&lt;i&gt;").count() == 10 && !more.contains("rel=\"next\""), "{more}");
    assert!(browser.page(&format!("{page}/items?step=others")).await.contains("There are none."));
    for (format, media, begin) in [
        ("ndjson", "application/x-ndjson", "{\"n\":100,"),
        ("csv", "text/csv", "n,text"),
        ("json", "application/json", "["),
    ] {
        let got = browser.get(&format!("{page}/download?format={format}")).await;
        assert!(got.header("content-type").starts_with(media) && got.text.starts_with(begin), "{got:?}");
        assert_eq!(got.header("content-disposition"), format!("attachment; filename=\"{job}.{format}\""));
    }
    assert_eq!(browser.get(&format!("{page}/download?format=%22exe")).await.status, 422);
}

#[tokio::test]
async fn failed_calls_are_grouped_by_error_and_shown_one_by_one() {
    let world = World::start().await;
    let job = world.submit().await;
    let calls = world.begin(job, 53).await;
    for call in &calls[..51] {
        world.fail(call, "no such order").await;
    }
    world.fail(&calls[51], "another").await;
    let mut browser = Browser::of(&world).await;
    let html = browser.page(&format!("/ui/jobs/{job}")).await;
    let of_class = format!("/ui/jobs/{job}/failures?step=orders&amp;class=invalid");
    assert!(html.contains(&format!("<a href=\"{of_class}\">51</a>")), "{html}");
    let first = browser.page(&of_class.replace("&amp;", "&")).await;
    assert_eq!((first.matches("<b>invalid</b> 422").count(), first.contains("orders, page 2")), (50, true), "{first}");
    let more = first.split("rel=\"next\"").next().unwrap().rsplit("href=\"").next().unwrap();
    let more = browser.page(&more.split('"').next().unwrap().replace("&amp;", "&")).await;
    assert!(more.contains("another") && !more.contains("rel=\"next\""), "{more}");
}

#[tokio::test]
async fn a_limit_is_seen_paused_with_a_reason_set_to_another_rate_and_let_go() {
    let world = World::start().await;
    ask(&world, OWN).await;
    ask(&world, SHARED).await;
    let mut browser = Browser::of(&world).await;
    let html = browser.page("/ui/limits").await;
    assert!(html.contains("1 of 5") && html.contains("credential=alice, of=a"), "{html}");
    assert!(html.contains("hx-get=\"/ui/limits/live?provider=&amp;blocked=false\" hx-trigger=\"every 2s\""), "{html}");
    assert_eq!(html.matches("Pause or change").count(), 1, "what is shared is the operator's: {html}");
    let change = format!("/ui/limits/change?key={}", OWN.replace('{', "%7B").replace('}', "%7D"));
    let token = super::browser::csrf(&browser.page(&change).await);
    let got = browser.send("/ui/limits/pause", &of_own(&token, &[("reason", "<maintenance>"), ("minutes", "5")])).await;
    assert_eq!(got.header("location"), "/ui/limits", "{got:?}");
    let shown = world.get("/v1/limits").await.json();
    let expected = json!([{ "key": OWN, "does": "pause", "reason": "<maintenance>", "until_ms": NOW + 300_000 }]);
    assert_eq!(shown["overrides"], expected);
    assert!(browser.page("/ui/limits/live?blocked=true").await.contains("&lt;maintenance&gt;"));
    let rate = &[("kind", "window"), ("calls", "3"), ("number", "1.5"), ("reason", "they asked"), ("minutes", "")];
    browser.send("/ui/limits/rate", &of_own(&token, rate)).await;
    let html = browser.page(&change).await;
    assert!(html.contains("3 in 1.5 s they asked") && html.contains("End the pause"), "{html}");
    browser.send("/ui/limits/end", &of_own(&token, &[("does", "pause")])).await;
    browser.send("/ui/limits/end", &of_own(&token, &[("does", "rate")])).await;
    assert_eq!(world.get("/v1/limits").await.json()["overrides"], json!([]));
    for (path, more, said) in [
        ("/ui/limits/pause", &[("reason", "")][..], "a text of 1 to 500 characters"),
        ("/ui/limits/pause", &[("reason", "x"), ("minutes", "soon")], "expected a whole number"),
        ("/ui/limits/rate", &[("reason", "x"), ("calls", "0"), ("kind", "concurrency")], "1 to"),
        ("/ui/limits/rate", &[("reason", "x"), ("calls", "5"), ("kind", "odd")], "expected window"),
    ] {
        let got = browser.send(path, &of_own(&token, more)).await;
        assert!(got.status == 422 && got.text.contains(said), "{got:?}");
    }
    let shared = browser.send("/ui/limits/pause", &[("csrf", &token), ("key", SHARED), ("reason", "x")]).await;
    assert_eq!(shared.status, 403);
}

/// Fields of a form about [`OWN`].
fn of_own<'a>(token: &'a str, more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&[("csrf", token), ("key", OWN)], more].concat()
}

#[tokio::test]
async fn who_waits_for_a_limit_is_named_beside_it() {
    let world = World::start().await;
    let job = world.submit().await;
    let calls = world.begin(job, 1).await;
    ask(&world, OWN).await;
    let wait = Wait { until_ms: NOW + 90_000, reason: WaitReason::Limit("token".into()) };
    world.end(&calls[0], End::Deferred { wait }).await;
    let mut browser = Browser::of(&world).await;
    let html = browser.page("/ui/limits").await;
    assert!(
        html.contains(&format!("<a href=\"/ui/jobs/{job}\">shop</a>")) && html.contains("1 call, up to 1 min 30 s"),
        "{html}"
    );
    assert!(browser.page(&format!("/ui/jobs/{job}")).await.contains("1 call waits for limit `token` of provider shop"));
}

#[tokio::test]
async fn dead_letters_are_sent_again_and_dropped_by_who_runs_the_deployment_alone() {
    let world = World::with(Config { operator: "a".to_owned(), ..Config::default() }).await;
    let job = JobId::new();
    let message = Message::JobSubmitted(JobSubmitted { job });
    let letter = letter(1, &Queue::Outcomes, Envelope::new(message, NOW, None).encode().unwrap());
    world.ledger.keep_dead(std::slice::from_ref(&letter), NOW).await.unwrap();
    let mut browser = Browser::of(&world).await;
    assert!(browser.page("/ui/jobs").await.contains("href=\"/ui/dead\""));
    let page = format!("/ui/dead/{}", letter.id);
    assert!(browser.page("/ui/dead").await.contains(&format!("<a href=\"{page}\">reason 1</a>")));
    assert!(browser.page(&page).await.contains(&job.to_string()), "what it says");
    let mut sent = world.bus.consume(&Queue::Outcomes, 1).await.unwrap();
    assert_eq!(browser.press(&page, &format!("{page}/replay")).await.header("location"), page);
    assert_eq!(sent.next().await.unwrap().envelope.message, Message::JobSubmitted(JobSubmitted { job }));
    assert!(browser.page(&page).await.contains("<dt>Sent again</dt>"));
    let stranger = world.tenant("b").await;
    let mut other = Browser::with_key(&world, &stranger).await;
    assert!(!other.page("/ui/jobs").await.contains("/ui/dead"));
    assert_eq!((other.get("/ui/dead").await.status.as_u16(), other.get(&page).await.status.as_u16()), (403, 404));
    assert_eq!(browser.press(&page, &format!("{page}/drop")).await.header("location"), "/ui/dead");
    assert!(browser.page("/ui/dead").await.contains("There are none."));
}

#[tokio::test]
async fn providers_are_shown_and_of_credentials_only_the_names() {
    let world = World::start().await;
    let mut browser = Browser::of(&world).await;
    assert!(browser.page("/ui/providers").await.contains("No provider file is stored."));
    assert!(browser.page("/ui/credentials").await.contains("No credential is stored."));
    world.put_shop().await;
    let secret = r#"{"token": "canary-of-the-secret"}"#;
    world.ask(Method::PUT, "/v1/credentials/alice").json(secret).send().await;
    assert!(browser.page("/ui/providers").await.contains("href=\"/ui/providers/shop\""));
    assert!(browser.page("/ui/providers/shop").await.contains("https://shop.example"));
    assert_eq!(browser.get("/ui/providers/nothing").await.status, 404);
    let html = browser.page("/ui/credentials").await;
    assert!(html.contains("alice") && html.contains(">fine<") && !html.contains("canary"), "{html}");
    let parked = json!({
        "credential": "alice", "provider": "shop", "class": "auth_revoked", "message": "<gone>", "since_ms": NOW,
    });
    let (tenant, name) = ("a".parse().unwrap(), "alice".to_owned().try_into().unwrap());
    assert!(world.registry.park_credential(&tenant, &name, 1, &parked.to_string()).await.unwrap());
    let html = browser.page("/ui/credentials").await;
    assert!(html.contains("shop takes it no more (auth_revoked): &lt;gone&gt;") && !html.contains("canary"), "{html}");
    let reader = world.key("a", &[Scope::Read], None).await;
    let mut reader = Browser::with_key(&world, &reader).await;
    for path in ["/ui/limits", "/ui/providers", "/ui/providers/shop", "/ui/credentials"] {
        assert_eq!(reader.page(path).await.matches("<form").count(), 1 + usize::from(path == "/ui/limits"), "{path}");
    }
    assert_eq!(reader.get("/ui/limits/change?key=%7Bshop%7D%2F").await.status, 403);
}

#[tokio::test]
async fn answers_that_no_rule_speaks_of_are_shown_as_rules() {
    let world = World::start().await;
    let sample = json!({
        "endpoint": "orders", "status": 400, "headers": {}, "body": r#"{"code":17}"#, "class": "invalid", "message": "<no>",
    });
    world.ledger.keep_unmatched(&[crate::unmatched::new(1, sample.to_string())], NOW).await.unwrap();
    let mut browser = Browser::of(&world).await;
    let html = browser.page("/ui/providers/shop/unmatched").await;
    assert!(
        html.contains("orders 400, taken for invalid") && html.contains("&lt;no&gt;") && html.contains("$.code"),
        "{html}"
    );
    let stranger = world.tenant("b").await;
    let mut other = Browser::with_key(&world, &stranger).await;
    assert!(other.page("/ui/providers/shop/unmatched").await.contains("There are none."));
}

#[tokio::test]
async fn a_rule_is_tried_on_samples_and_put_before_the_others() {
    let world = World::start().await;
    world.put_shop().await;
    let sample = |code: u32| {
        let body = format!(r#"{{"code":{code}}}"#);
        json!({
            "endpoint": "orders", "status": 400, "headers": {}, "body": body, "class": "invalid", "message": "no",
        })
        .to_string()
    };
    let samples = [17, 18].map(|code| crate::unmatched::new(code.into(), sample(code)));
    world.ledger.keep_unmatched(&samples, NOW).await.unwrap();
    let (to, rules) = ("/ui/providers/shop/unmatched", "/ui/providers/shop/rules");
    let mut browser = Browser::of(&world).await;
    let token = super::browser::csrf(&browser.page(to).await);
    let rule = r#"{ "json": { "$.code": 17 }, "class": "transient" }"#;
    let html = browser.send(to, &[("csrf", &token), ("rule", rule)]).await.text;
    assert!(html.contains("It speaks of 1 sample of 2.") && html.contains("<b>transient</b>"), "{html}");
    for (wrong, why) in [("{", "can't be read"), (r#"{ "class": "invalid" }"#, "expected")] {
        let html = browser.send(to, &[("csrf", &token), ("rule", wrong)]).await.text;
        assert!(html.contains("role=\"alert\"") && html.contains(why), "{html}");
        assert_eq!(browser.send(rules, &[("csrf", &token), ("rule", wrong)]).await.status, 422);
    }
    for _ in 0..2 {
        assert_eq!(
            browser.send(rules, &[("csrf", &token), ("rule", rule)]).await.header("location"),
            "/ui/providers/shop"
        );
    }
    let stored = world.get("/v1/providers/shop").await.json();
    let classes: Vec<_> = stored["file"]["errors"].as_array().unwrap().iter().map(|rule| &rule["class"]).collect();
    assert_eq!(classes, ["transient"]);
    let reader = world.key("a", &[Scope::Read], None).await;
    let mut reader = Browser::with_key(&world, &reader).await;
    let token = super::browser::csrf(&reader.page(to).await);
    let html = reader.send(to, &[("csrf", &token), ("rule", rule)]).await.text;
    assert!(html.contains("It speaks of 1 sample") && !html.contains("/rules"), "{html}");
    assert_eq!(reader.send(rules, &[("csrf", &token), ("rule", rule)]).await.status, 403);
}

#[tokio::test]
async fn packs_are_listed_and_shown() {
    let world = World::start().await;
    let mut browser = Browser::of(&world).await;
    let html = browser.page("/ui/providers").await;
    assert!(html.contains("href=\"/ui/providers/github\"") && html.contains("GitHub, REST and GraphQL"), "{html}");
    assert!(browser.page("/ui/providers/github").await.contains("base_url: &quot;{{ config.api }}&quot;"));
}
