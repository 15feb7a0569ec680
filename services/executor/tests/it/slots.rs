//! Calls that wait in the executor's hand.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use tidegate_contracts::Outcome;
use tidegate_daemon::clock::now_ms;
use tidegate_executor::{Permits, PermitsError};
use tidegate_limits::{Decision, Limiter, Question, Report};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use crate::kit::World;

/// An arbiter that counts questions.
#[derive(Default)]
struct Arbiter {
    limiter: Mutex<Limiter>,
    questions: AtomicU32,
}

#[async_trait]
impl Permits for Arbiter {
    async fn ask(&self, question: Question) -> Result<Decision, PermitsError> {
        self.questions.fetch_add(1, Ordering::Relaxed);
        Ok(self.limiter.lock().unwrap().ask(now_ms(), &question.charges))
    }

    async fn report(&self, report: Report) -> Result<(), PermitsError> {
        self.limiter.lock().unwrap().report(now_ms(), &report);
        Ok(())
    }
}

/// Says 404 to everybody, after a while.
fn slow_third_party(listener: TcpListener, takes: Duration) {
    tokio::spawn(async move {
        loop {
            let (mut connection, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let _ = connection.read(&mut [0; 4_096]).await;
                tokio::time::sleep(takes).await;
                let answer = b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = connection.write_all(answer).await;
            });
        }
    });
}

#[tokio::test]
async fn a_hundred_calls_that_wait_for_two_slots_keep_them_busy_and_ask_little() {
    const CALLS: u32 = 100;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    slow_third_party(listener, Duration::from_millis(100));
    let arbiter = Arc::new(Arbiter::default());
    let more = "limits:\n  - { id: slots, key: [provider], concurrency: { calls: 2 } }\n";
    let world = World::start(Arc::clone(&arbiter) as Arc<dyn Permits>, port, more).await;
    let started = Instant::now();
    world.release_others(1..CALLS).await;
    for _ in 0..CALLS {
        world.outcome().await;
    }
    let (took, questions) = (started.elapsed(), arbiter.questions.load(Ordering::Relaxed));
    let a_second = f64::from(questions) / took.as_secs_f64();
    eprintln!("{questions} questions in {took:?}: {a_second:.0} a second");
    // Two at a time, 100 ms each, are 5 s; a slot that nobody takes at once shows in that.
    assert!(took < Duration::from_secs(9), "{took:?}");
    assert!(a_second < 100.0, "{questions} questions in {took:?}");
    world.stop().await;
}

#[tokio::test]
async fn another_job_s_call_gets_past_more_calls_that_wait_than_the_hand_holds() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    slow_third_party(listener, Duration::ZERO);
    let more =
        "limits:\n  - { id: slow, key: [provider], when: \"call.page > 1\", bucket: { calls: 1, restore_per_s: 1 } }\n";
    let world = World::start(Arc::<Arbiter>::default(), port, more).await;
    // The hand holds 128.
    world.release_others(1..160).await;
    let other = world.release_of_another_job().await;
    let free = async { while !matches!(world.outcome().await, Outcome::Failed { call, .. } if call.job == other) {} };
    // By itself, 32 of those before it would take that many seconds.
    tokio::time::timeout(Duration::from_secs(15), free).await.expect("it goes out meanwhile");
    world.stop().await;
}
