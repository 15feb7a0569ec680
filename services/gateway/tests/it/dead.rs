//! Messages that could not be handled: seen, sent again and dropped by who runs the deployment, and by nobody else.

use reqwest::Method;
use serde_json::json;
use tidegate_bus::Bus as _;
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{DeadId, Envelope, JobId, JobSubmitted, Message};
use tidegate_gateway::Config;
use tidegate_ledger::{DeadLetters as _, NewDead};

use crate::world::{NOW, World};

async fn operated() -> World {
    World::with(Config { operator: "a".to_owned(), ..Config::default() }).await
}

pub(crate) fn letter(number: u8, queue: &Queue, body: Vec<u8>) -> NewDead {
    NewDead {
        id: DeadId::derive("q", &[number], NOW),
        queue: queue.to_string(),
        kind: None,
        job: None,
        reason: format!("reason {number}"),
        redelivered: 0,
        died_at_ms: NOW,
        body,
    }
}

#[tokio::test]
async fn dead_letters_are_paged_shown_and_dropped() {
    let world = operated().await;
    let letters: Vec<_> = (1..=5).map(|number| letter(number, &Queue::Outcomes, b"not json".to_vec())).collect();
    world.ledger.keep_dead(&letters, NOW).await.unwrap();
    let first = world.get("/v1/dead?limit=3").await.json();
    let next = first["next"].as_str().unwrap().to_owned();
    let rest = world.get(&format!("/v1/dead?limit=3&after={next}")).await.json();
    let reasons = |page: &serde_json::Value| -> Vec<String> {
        page["dead"].as_array().unwrap().iter().map(|dead| dead["reason"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (reasons(&first), reasons(&rest)),
        (vec!["reason 5".into(), "reason 4".into(), "reason 3".into()], vec!["reason 2".into(), "reason 1".into()],)
    );
    assert_eq!(rest["next"], json!(null));
    assert_eq!(world.get("/v1/dead?queue=tidegate.plans.1.0").await.json()["dead"], json!([]));
    assert_eq!(world.get("/v1/dead?job=nonsense").await.problem(422), "invalid");

    let path = format!("/v1/dead/{}", letters[0].id);
    let shown = world.get(&path).await.json();
    assert_eq!((&shown["message"], &shown["queue"]), (&json!("not json"), &json!("tidegate.outcomes.1")));
    let replayed = world.ask(Method::POST, &format!("{path}/replay")).send().await;
    assert_eq!(replayed.problem(422), "invalid", "what is no message is not sent");
    assert_eq!(world.ask(Method::DELETE, &path).send().await.status, 204);
    assert_eq!(world.get(&path).await.problem(404), "not-found");
    assert_eq!(reasons(&world.get("/v1/dead").await.json()).len(), 4);
}

#[tokio::test]
async fn a_dead_letter_is_sent_again_to_where_it_came_from() {
    let world = operated().await;
    let message = Envelope::new(Message::JobSubmitted(JobSubmitted { job: JobId::new() }), NOW, None);
    let dead = letter(1, &Queue::Outcomes, message.encode().unwrap());
    world.ledger.keep_dead(std::slice::from_ref(&dead), NOW).await.unwrap();
    world.pass(7);
    let replayed = world.ask(Method::POST, &format!("/v1/dead/{}/replay", dead.id)).send().await.json();
    assert_eq!(replayed["replayed_at_ms"], json!(NOW + 7));
    let mut outcomes = world.bus.consume(&Queue::Outcomes, 1).await.unwrap();
    let delivery = outcomes.next().await.unwrap();
    assert_eq!(*delivery.envelope, message);
    delivery.ack().await.unwrap();
    let listed = world.get("/v1/dead").await.json();
    assert_eq!(listed["dead"][0]["replayed_at_ms"], json!(NOW + 7), "it stays, and says so");
}

#[tokio::test]
async fn only_who_runs_the_deployment_sees_dead_letters() {
    let world = operated().await;
    let dead = letter(1, &Queue::Outcomes, b"canary".to_vec());
    world.ledger.keep_dead(std::slice::from_ref(&dead), NOW).await.unwrap();
    let stranger = world.tenant("b").await;
    let reader = world.key("a", &[tidegate_registry::Scope::Read], None).await;
    let path = format!("/v1/dead/{}", dead.id);
    for key in [&stranger, &reader] {
        assert_eq!(world.bare(Method::GET, "/v1/dead").key(key).send().await.problem(403), "forbidden");
    }
    for (method, path) in
        [(Method::GET, path.clone()), (Method::POST, format!("{path}/replay")), (Method::DELETE, path)]
    {
        let got = world.bare(method, &path).key(&stranger).send().await;
        assert_eq!(got.problem(404), "not-found");
    }
    assert_eq!(world.get("/v1/dead").await.json()["dead"].as_array().unwrap().len(), 1);
}
