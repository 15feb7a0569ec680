//! Calls that are back before the broker has confirmed what was told of them.

use std::sync::Arc;

use async_trait::async_trait;
use tidegate_bus::{Bus, BusError, Consumer, DeadLetters, InProcess, InProcessConfig, QueueDepth};
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Envelope, Outcome, PushedPage};
use tidegate_daemon::clock;
use tidegate_executor::{Permits, PermitsError};
use tidegate_limits::{Decision, Permit, Question, Report};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use crate::kit::{World, third_party};

/// Delivers outcomes at once, and confirms them when it is let.
struct LateConfirms {
    inner: InProcess,
    confirm: Arc<Semaphore>,
}

#[async_trait]
impl Bus for LateConfirms {
    async fn publish(&self, queue: &Queue, messages: Vec<Envelope>) -> Result<(), BusError> {
        self.inner.publish(queue, messages).await?;
        if matches!(queue, Queue::Outcomes) {
            self.confirm.acquire().await.unwrap().forget();
        }
        Ok(())
    }

    async fn publish_later(&self, queue: &Queue, message: Envelope, due_ms: i64) -> Result<(), BusError> {
        self.inner.publish_later(queue, message, due_ms).await
    }

    fn pushes(&self) -> bool {
        self.inner.pushes()
    }

    async fn push(&self, page: PushedPage) -> Result<(), BusError> {
        self.inner.push(page).await
    }

    async fn consume(&self, queue: &Queue, prefetch: u16) -> Result<Box<dyn Consumer>, BusError> {
        self.inner.consume(queue, prefetch).await
    }

    async fn depth(&self, queue: &Queue) -> Result<QueueDepth, BusError> {
        self.inner.depth(queue).await
    }

    async fn parked(&self) -> Result<Vec<usize>, BusError> {
        self.inner.parked().await
    }

    async fn dead(&self, max: usize) -> Result<DeadLetters, BusError> {
        self.inner.dead(max).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// An arbiter that grants everything.
struct Open;

#[async_trait]
impl Permits for Open {
    async fn ask(&self, question: Question) -> Result<Decision, PermitsError> {
        let keys = question.charges.into_iter().map(|charge| charge.key).collect();
        Ok(Decision::Granted(Permit::new(1, keys)))
    }

    async fn report(&self, _report: Report) -> Result<(), PermitsError> {
        Ok(())
    }
}

#[tokio::test]
async fn a_call_that_is_back_before_its_outcome_is_confirmed_is_made_again_and_not_dropped() {
    let (listener, requests) = (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::default());
    let port = listener.local_addr().unwrap().port();
    third_party(listener, Arc::clone(&requests));
    let confirm = Arc::new(Semaphore::new(0));
    let inner = InProcess::new(InProcessConfig::default(), clock::system());
    let bus = Arc::new(LateConfirms { inner, confirm: Arc::clone(&confirm) });
    let world = World::over(bus, Arc::new(Open), port, "").await;

    for _ in 0..2 {
        let outcome = world.outcome().await;
        assert!(matches!(outcome, Outcome::Failed { .. }), "{outcome:?}");
        world.release().await;
    }
    assert!(matches!(world.outcome().await, Outcome::Failed { .. }));
    confirm.add_permits(3);
    world.stop().await;
}
