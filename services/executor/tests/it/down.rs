//! Calls while their provider is down.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use tidegate_contracts::{Outcome, WaitReason};
use tidegate_daemon::clock::now_ms;
use tidegate_executor::{Permits, PermitsError};
use tidegate_limits::{Decision, Health, Limiter, Question, Report};
use tokio::net::TcpListener;

use crate::kit::{World, third_party};

/// An arbiter that counts the probes that were reported.
#[derive(Default)]
struct Arbiter {
    limiter: Mutex<Limiter>,
    probes: AtomicU32,
}

#[async_trait]
impl Permits for Arbiter {
    async fn ask(&self, question: Question) -> Result<Decision, PermitsError> {
        Ok(self.limiter.lock().unwrap().ask(now_ms(), &question.charges))
    }

    async fn report(&self, report: Report) -> Result<(), PermitsError> {
        self.limiter.lock().unwrap().report(now_ms(), &report);
        self.probes.fetch_add(u32::from(report.permit.probe), Ordering::Relaxed);
        if report.permit.probe && self.probes.load(Ordering::Relaxed) == 1 {
            assert_eq!((report.health, report.sent), (Some(Health::Silent), false));
        }
        Ok(())
    }
}

#[tokio::test]
async fn a_call_waits_while_its_provider_is_down_and_spends_no_attempt_on_trying_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let more = "retry: { base: 1ms }\nlimits:\n  - { id: health, key: [egress], breaker: { first_probe: 3s } }\n";
    let arbiter = Arc::new(Arbiter::default());
    let started_ms = now_ms();
    let world = World::start(Arc::clone(&arbiter) as Arc<dyn Permits>, address.port(), more).await;

    for (probes, distance_ms) in [(0, 3_000), (1, 6_000)] {
        let outcome = world.outcome().await;
        let Outcome::Deferred { call, wait } = &outcome else { panic!("{outcome:?}") };
        let WaitReason::Down { since_ms, cause } = &wait.reason else { panic!("{wait:?}") };
        assert!((started_ms..=now_ms()).contains(since_ms));
        assert!(cause.as_ref().is_some_and(|cause| cause.contains("refused")), "{cause:?}");
        assert_eq!(
            (call.attempt, call.requests),
            (5, 5 + probes),
            "five are enough to find it down, and probes are free"
        );
        assert!(call.failing_since_ms.is_none(), "it does not fail while it waits");
        assert!(wait.until_ms - since_ms >= distance_ms);
    }
    let requests = Arc::default();
    third_party(TcpListener::bind(address).await.unwrap(), Arc::clone(&requests));
    let outcome = world.outcome().await;
    let Outcome::Failed { call, failure } = &outcome else { panic!("{outcome:?}") };
    assert_eq!(failure.status, Some(404), "it answers again, though not with what was wanted: {failure:?}");
    assert_eq!((call.attempt, call.requests, requests.load(Ordering::Relaxed)), (6, 7, 1));
    assert_eq!(arbiter.probes.load(Ordering::Relaxed), 2);
    world.stop().await;
}
