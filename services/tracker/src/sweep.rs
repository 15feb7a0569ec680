//! Finding what was lost: calls that nobody has spoken of, jobs that nobody has planned; and jobs whose time is over.

use anyhow::Context;
use tidegate_contracts::topology::Queue;
use tidegate_contracts::{Envelope, Event, JobSubmitted, Message};
use tidegate_ledger::Windows;

use crate::Deps;
use crate::metrics::Metrics;
use crate::service::{publish_calls, tell_finished};

/// Releases again what was lost, and returns how many calls and jobs that were. In a quiet run there are none.
///
/// `everything`: the bus is known to be empty (an embedded process has just started), so whatever was released is lost;
/// calls that wait go back to waiting.
///
/// # Errors
/// When the ledger or the bus refuses.
pub async fn sweep(deps: &Deps, windows: &Windows, everything: bool) -> anyhow::Result<usize> {
    let (metrics, now_ms) = (Metrics::get(), (deps.clock)());
    let lanes = deps.ledger.lanes_open().await.context("can't count jobs")?;
    let windows = &windows.shared_by(lanes.clone());
    metrics.looked(&lanes, windows);
    let swept = deps.ledger.sweep(everything, windows, now_ms).await.context("can't look for lost calls")?;
    metrics.swept(&swept);
    let found = swept.calls.len() + swept.unplanned.len();
    if found > 0 {
        tracing::info!(calls = swept.calls.len(), jobs = swept.unplanned.len(), "released again");
    }
    let stopped = swept.stopped.iter().map(|job| Event::JobStopped { job: *job });
    let finished = swept.finished.iter().map(|job| Event::JobFinished { job: *job });
    let events = stopped.chain(finished).map(|event| Envelope::new(Message::Event(event), now_ms, None)).collect();
    deps.bus.publish(&Queue::Events, events).await.context("can't send events")?;
    let (waiting, due): (Vec<_>, Vec<_>) = swept.calls.into_iter().partition(|(_, due_ms)| *due_ms > now_ms);
    for (call, due_ms) in waiting {
        let queue = Queue::Calls { provider: call.provider.clone(), lane: call.lane };
        let envelope = Envelope::new(Message::Call(call), now_ms, None);
        deps.bus.publish_later(&queue, envelope, due_ms).await.context("can't park a call")?;
    }
    publish_calls(deps, due.into_iter().map(|(call, _)| call).collect()).await?;
    let submitted = swept.unplanned.into_iter().map(|job| Message::JobSubmitted(JobSubmitted { job }));
    let submitted = submitted.map(|message| Envelope::new(message, now_ms, None)).collect();
    deps.bus.publish(&Queue::Outcomes, submitted).await.context("can't send jobs")?;
    tell_finished(deps, metrics, &swept.finished).await?;
    Ok(found)
}
