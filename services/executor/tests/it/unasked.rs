//! Calls while the arbiter can't be asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tidegate_contracts::Outcome;
use tidegate_executor::{Permits, PermitsError};
use tidegate_limits::{Decision, Permit, Question, Report};
use tokio::net::TcpListener;

use crate::kit::{World, third_party};

/// An arbiter that is down until it is said to be up.
#[derive(Default)]
struct Arbiter {
    is_up: AtomicBool,
    asked: AtomicU32,
}

#[async_trait]
impl Permits for Arbiter {
    async fn ask(&self, question: Question) -> Result<Decision, PermitsError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if !self.is_up.load(Ordering::Relaxed) {
            return Err(PermitsError("it is down".to_owned()));
        }
        let keys = question.charges.into_iter().map(|charge| charge.key).collect();
        Ok(Decision::Granted(Permit::new(1, keys)))
    }

    async fn report(&self, _report: Report) -> Result<(), PermitsError> {
        Err(PermitsError("it is down again".to_owned()))
    }
}

#[tokio::test]
async fn a_call_waits_for_the_arbiter_without_spinning_spending_an_attempt_or_going_out() {
    let (listener, requests) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::default());
    let port = listener.local_addr().unwrap().port();
    third_party(listener, Arc::clone(&requests));
    let arbiter = Arc::new(Arbiter::default());
    let started = Instant::now();
    let pace = "limits:\n  - { id: pace, key: [provider], bucket: { calls: 1, restore_per_s: 1 } }\n";
    let world = World::start(Arc::clone(&arbiter) as Arc<dyn Permits>, port, pace).await;

    while arbiter.asked.load(Ordering::Relaxed) < 4 {
        assert!(started.elapsed() < Duration::from_secs(20), "it asks again");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(started.elapsed() >= Duration::from_millis(125 + 250 + 500), "it does not spin");
    assert_eq!(requests.load(Ordering::Relaxed), 0, "nothing goes out unasked");

    arbiter.is_up.store(true, Ordering::Relaxed);
    let outcome = world.outcome().await;
    let Outcome::Failed { call, failure } = &outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.status, Some(404), "{failure:?}");
    assert_eq!((call.requests, call.attempt), (1, 1), "only the request itself counts");
    world.stop().await;
}
