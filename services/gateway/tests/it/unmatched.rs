//! Answers that no error rule speaks of, as rules.

use reqwest::Method;
use serde_json::json;
use tidegate_ledger::{NewUnmatched, UnmatchedAnswers as _};

use crate::world::{NOW, World};

/// A sample of tenant `a`'s.
pub(crate) fn new(fingerprint: i64, sample: String) -> NewUnmatched {
    let (tenant, provider) = ("a".to_owned(), "shop".to_owned());
    NewUnmatched { tenant, provider, fingerprint, sample, count: 3, last_seen_ms: NOW }
}

#[tokio::test]
async fn samples_are_shown_to_their_tenant_with_a_rule_and_its_test() {
    let world = World::start().await;
    let sample = json!({
        "endpoint": "orders", "status": 400, "headers": { "retry-after": "7" }, "body": r#"{"code":17}"#,
        "class": "invalid", "message": "no",
    });
    // One that another build wrote.
    let samples = [new(1, sample.to_string()), new(2, "{}".to_owned())];
    world.ledger.keep_unmatched(&samples, NOW).await.unwrap();
    let list = world.get("/v1/providers/shop/unmatched").await.json();
    let [one] = list["unmatched"].as_array().unwrap().as_slice() else { panic!("{list}") };
    assert_eq!(one["rule"], json!({ "status": [400], "json": { "$.code": [17] }, "class": "invalid" }));
    let answer = json!({
        "status": 400, "headers": { "retry-after": "7" }, "body": { "code": 17 }, "endpoint": "orders", "means": "invalid",
    });
    assert_eq!((&one["answer"], &one["count"], &one["class"]), (&answer, &json!(3), &json!("invalid")));
    let stranger = world.tenant("b").await;
    let of_b = world.bare(Method::GET, "/v1/providers/shop/unmatched").key(&stranger).send().await.json();
    assert_eq!(of_b["unmatched"], json!([]));
    assert_eq!(world.get("/v1/providers/../unmatched").await.status, 404);
}
