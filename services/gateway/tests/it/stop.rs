//! Cancelling, and trying again.

use reqwest::Method;
use serde_json::json;
use tidegate_bus::Bus as _;
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{End, Event, Message};
use tidegate_ledger::{Ledger as _, Windows};

use crate::world::{NOW, World};

#[tokio::test]
async fn a_cancelled_job_sends_out_nothing_more_and_stays_so() {
    let world = World::start().await;
    let job = world.submit().await;
    let calls = world.begin(job, 400).await;
    assert!(calls.len() < 400, "some wait in the ledger");
    let mut events = world.bus.consume(&Queue::Events, 0).await.unwrap();
    let path = format!("/v1/jobs/{job}");
    let got = world.ask(Method::DELETE, &path).send().await;
    assert_eq!((got.status.as_u16(), &got.json()["state"]), (200, &json!("running")), "what is out comes back");
    let delivery = events.next().await.unwrap();
    assert!(matches!(&delivery.envelope.message, Message::Event(Event::JobStopped { job: told }) if *told == job));
    for call in &calls {
        let committed = world.succeed(call, "1\n").await;
        assert!(committed.released.is_empty(), "no new call");
    }
    assert!(world.ledger.sweep(true, &Windows::default(), NOW).await.unwrap().calls.is_empty());
    for _ in 0..2 {
        let got = world.ask(Method::DELETE, &path).send().await;
        assert_eq!((got.status.as_u16(), &got.json()["state"]), (200, &json!("cancelled")));
        assert!(got.json()["reason"].as_str().unwrap().contains(world.key.split('_').nth(1).unwrap()));
    }
}

#[tokio::test]
async fn a_paused_job_sends_out_nothing_until_it_is_resumed_and_then_at_once() {
    let world = World::start().await;
    let job = world.submit().await;
    let calls = world.begin(job, 3).await;
    let (pause, resume) = (format!("/v1/jobs/{job}/pause"), format!("/v1/jobs/{job}/resume"));
    let mut events = world.bus.consume(&Queue::Events, 0).await.unwrap();
    let mut plans = world.bus.consume(&Queue::plans_of(job), 0).await.unwrap();
    for _ in 0..2 {
        let got = world.ask(Method::POST, &pause).send().await;
        assert_eq!((got.status.as_u16(), &got.json()["paused_at_ms"]), (200, &json!(NOW)));
        let event = events.next().await.unwrap();
        assert!(matches!(&event.envelope.message, Message::Event(Event::JobPaused { job: told }) if *told == job));
    }
    assert!(world.end(&calls[0], End::Returned).await.released.is_empty());
    _ = events.next().await;
    assert!(world.get(&format!("/v1/jobs/{job}")).await.json()["paused_at_ms"].is_i64());
    for released in [1, 0] {
        let got = world.ask(Method::POST, &resume).send().await;
        assert_eq!((got.status.as_u16(), &got.json()["paused_at_ms"]), (200, &json!(null)));
        let event = events.next().await.unwrap();
        assert!(matches!(&event.envelope.message, Message::Event(Event::JobResumed { job: told }) if *told == job));
        let Message::Plan(plan) = plans.next().await.unwrap().envelope.message.clone() else { panic!("not a plan") };
        let committed = world.ledger.commit(&[plan], &Windows::default(), NOW).await.unwrap();
        assert_eq!(committed.released.len(), released);
    }
    for call in &calls {
        world.succeed(call, "1\n").await;
    }
    assert_eq!(world.ask(Method::POST, &pause).send().await.problem(409), "finished");
    assert_eq!(world.ask(Method::POST, &resume).send().await.problem(409), "finished");
}

#[tokio::test]
async fn a_job_that_nobody_has_begun_is_cancelled_at_once() {
    let world = World::start().await;
    let job = world.submit().await;
    let got = world.ask(Method::DELETE, &format!("/v1/jobs/{job}")).send().await;
    assert_eq!((got.status.as_u16(), &got.json()["state"]), (200, &json!("cancelled")));
}

#[tokio::test]
async fn failed_calls_of_a_finished_job_are_made_again() {
    let world = World::start().await;
    let job = world.submit().await;
    let path = format!("/v1/jobs/{job}/retry-failed");
    let calls = world.begin(job, 3).await;
    assert_eq!(world.ask(Method::POST, &path).send().await.problem(409), "not-finished");
    world.succeed(&calls[0], "1\n").await;
    world.fail(&calls[1], "no").await;
    world.fail(&calls[2], "no").await;
    let mut plans = world.bus.consume(&Queue::plans_of(job), 0).await.unwrap();
    for nothing in ["class=permission", "status=599", "message=yes", "step=other"] {
        let got = world.ask(Method::POST, &format!("{path}?{nothing}")).send().await;
        assert_eq!((got.status.as_u16(), got.json()), (202, json!({ "calls": 0 })), "{nothing}");
    }
    let refused = world.ask(Method::POST, &format!("{path}?fetch=one")).send().await;
    assert_eq!(
        (refused.problem(422), &refused.json()["errors"][0]["pointer"]),
        ("invalid".to_owned(), &json!("fetch"))
    );
    let got = world.ask(Method::POST, &path).send().await;
    assert_eq!((got.status.as_u16(), got.json()), (202, json!({ "calls": 2 })));
    assert_eq!(world.get(&format!("/v1/jobs/{job}")).await.json()["counts"]["calls_open"], 2);
    // The tracker is told, and what it is told releases the calls.
    let delivery = plans.next().await.unwrap();
    let Message::Plan(plan) = &delivery.envelope.message else { panic!("{:?}", delivery.envelope) };
    let committed = world.ledger.commit(std::slice::from_ref(plan), &Windows::default(), NOW).await.unwrap();
    let released: Vec<_> = committed.released.iter().map(|call| call.call).collect();
    assert_eq!(released, [calls[1].call, calls[2].call]);
    // A plan that comes twice, or when the job is finished again, changes nothing.
    for call in &committed.released {
        world.succeed(call, "1\n").await;
    }
    let again = world.ledger.commit(std::slice::from_ref(plan), &Windows::default(), NOW).await.unwrap();
    assert!(again.released.is_empty() && again.finished.is_empty(), "{again:?}");
    assert_eq!(world.get(&format!("/v1/jobs/{job}")).await.json()["state"], "succeeded");
}
